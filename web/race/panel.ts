/**
 * The table of racers and the sliders beside the map.
 *
 * @module
 */
import { type Optimizer2d, optimizers2d } from "../../src/landscape/mod.ts";
import { short } from "../shared/chart.ts";
import { element } from "../shared/page.ts";
import { optimizerTexts, sliderTexts } from "./explain.ts";
import { lossAt, type Race } from "./race.ts";
import { type Settings, sliders } from "./settings.ts";

const fromSlider = (value: number): number => 10 ** (value / 100);

/** The panel; `changed` is called after a setting was. */
export class Panel {
  readonly #settings: Settings;
  readonly #rows = new Map<Optimizer2d, { item: HTMLElement; place: HTMLElement; loss: HTMLElement }>();
  readonly #order = optimizers2d.map((_, i) => i);
  readonly #leading: number[] = [];
  readonly #now = new Float64Array(optimizers2d.length);
  readonly #refresh: (() => void)[] = [];

  /** Builds the panel into the page. */
  constructor(settings: Settings, changed: () => void, about: () => string) {
    this.#settings = settings;
    const explain = element("explain"), list = element("racers");
    const tell = (target: HTMLElement, text: string): void => {
      for (const event of ["pointerenter", "focusin"]) {
        target.addEventListener(event, () => explain.textContent = text);
      }
      for (const event of ["pointerleave", "focusout"]) {
        target.addEventListener(event, () => explain.textContent = about());
      }
    };
    for (const [index, name] of optimizers2d.entries()) {
      const { title, about } = optimizerTexts[name], item = document.createElement("li");
      item.style.setProperty("--color", `var(--c${index + 1})`);
      item.innerHTML = `<input type="checkbox" id="on-${name}"><label class="name" for="on-${name}">` +
        `<span class="swatch"></span>${title}<span class="place"></span></label><span class="loss-now number"></span>` +
        `<div class="rate"><label for="rate-${name}">rate<span class="visually-hidden"> of ${title}</span></label>` +
        `<input type="range" id="rate-${name}" min="-600" max="48" step="1"><output for="rate-${name}"></output></div>`;
      const on = item.querySelector<HTMLInputElement>("[type=checkbox]")!;
      const rate = item.querySelector<HTMLInputElement>("[type=range]")!, out = item.querySelector("output")!;
      const show = (): void => {
        on.checked = settings.on[name];
        rate.value = String(Math.round(100 * Math.log10(settings.rates[name])));
        out.textContent = short(settings.rates[name]);
        rate.setAttribute("aria-valuetext", out.textContent);
      };
      on.addEventListener("change", () => {
        settings.on[name] = on.checked;
        changed();
      });
      rate.addEventListener("input", () => {
        settings.rates[name] = fromSlider(Number(rate.value));
        show();
        changed();
      });
      tell(item, about);
      list.append(item);
      this.#refresh.push(show);
      this.#rows.set(name, {
        item,
        place: item.querySelector(".place")!,
        loss: item.querySelector(".loss-now")!,
      });
    }
    for (const [key, label, least, most, step] of sliders) {
      const field = document.createElement("div");
      field.className = "field";
      field.innerHTML =
        `<span class="row"><label for="set-${key}">${label}</label><output for="set-${key}"></output></span>` +
        `<input type="range" id="set-${key}" min="${least}" max="${most}" step="${step}">`;
      const range = field.querySelector("input")!, out = field.querySelector("output")!;
      const show = (): void => {
        range.value = String(settings[key]);
        out.textContent = String(settings[key]);
      };
      range.addEventListener("input", () => {
        settings[key] = Number(range.value);
        show();
        changed();
      });
      tell(field, sliderTexts[key]);
      element("sliders").append(field);
      this.#refresh.push(show);
    }
    this.show();
    explain.textContent = about();
  }

  /** Shows the settings as they are. */
  show(): void {
    for (const show of this.#refresh) show();
  }

  /** Shows who leads after `step`; gives the racers that are in it, the best first. */
  standings(race: Race, step: number): readonly number[] {
    const { racers } = race, now = this.#now, settings = this.#settings;
    for (let i = 0; i < racers.length; i++) {
      const racer = racers[i], out = racer.lost && step >= racer.steps;
      now[i] = out || !settings.on[racer.name] ? Infinity : racer.ring[racer.rowOf(step) + lossAt];
    }
    // At the border the first there leads; who is still on the way is behind.
    const border = (i: number): number =>
      racers[i].arrived && step >= racers[i].steps ? racers[i].steps : Infinity;
    this.#order.sort((a, b) => {
      const [mine, its] = settings.on[racers[a].name] && settings.on[racers[b].name]
        ? [border(a), border(b)]
        : [0, 0];
      return mine !== its ? mine - its : now[a] === now[b] ? a - b : now[a] - now[b];
    });
    let place = 0;
    this.#leading.length = 0;
    for (const index of this.#order) {
      const racer = racers[index], row = this.#rows.get(racer.name)!, on = settings.on[racer.name];
      const lost = on && racer.lost && step >= racer.steps;
      row.item.classList.toggle("out", !on || lost);
      if (on && !lost) this.#leading.push(index);
      row.place.textContent = !on
        ? ""
        : lost
        ? "left the plane"
        : `#${++place}${border(index) < Infinity ? `, out at step ${racer.steps}` : ""}`;
      row.loss.textContent = !on || lost ? "" : short(now[index]);
      row.item.style.order = String(on ? place + (lost ? 50 : 0) : 99);
    }
    return this.#leading;
  }
}
