/**
 * One step played slowly: a point goes forward through the layers, its error comes back, and the weights move. Loaded when
 * it is asked for.
 *
 * @module
 */
import { short } from "../shared/chart.ts";
import { h } from "../shared/elements.ts";
import { reducedMotion } from "../shared/page.ts";
import { cleared, everyWeight, inkOf, nameInputs, type Palette, roomFor, strokeWeight } from "./draw.ts";
import { along, ends, placeOf, sizeIn } from "./geometry.ts";
import { type Phase, phases } from "./phases.ts";
import type { NetworkOptions, NetworkView, Walk } from "./view.ts";

/** Milliseconds a part takes. */
const duration = 1800;

/** Plays a step on the diagram until it is closed. */
export class WalkPlayer {
  readonly #canvas: HTMLCanvasElement;
  readonly #view: NetworkView;
  readonly #walk: Walk;
  readonly #options: NetworkOptions;
  readonly #colors: () => Palette;
  readonly #phases: readonly Phase[];
  readonly #text = h("p", { class: "walk-text", role: "status" });
  readonly #auto: HTMLButtonElement;
  #at = 0;
  #began = 0;
  #playing: boolean;
  #open = true;

  /** Shows the first part in `box`; `closed` is called at the end. */
  constructor(
    canvas: HTMLCanvasElement,
    box: HTMLElement,
    view: NetworkView,
    walk: Walk,
    options: NetworkOptions,
    colors: () => Palette,
    closed: () => void,
  ) {
    this.#canvas = canvas;
    this.#view = view;
    this.#walk = walk;
    this.#options = options;
    this.#colors = colors;
    this.#phases = phases(walk, options);
    this.#playing = !reducedMotion();
    const button = (text: string, click: () => void): HTMLButtonElement =>
      h("button", { type: "button", onclick: click }, text);
    this.#auto = button("", () => this.#play(!this.#playing));
    box.replaceChildren(
      this.#text,
      h(
        "div",
        { class: "row" },
        button("Back", () => this.#go(this.#at - 1)),
        button("Next", () => this.#go(this.#at + 1)),
        this.#auto,
        button("Close", closed),
      ),
    );
    box.hidden = false;
    this.#play(this.#playing);
    this.#show();
    requestAnimationFrame(this.#frame);
  }

  /** Ends it. */
  close(): void {
    this.#open = false;
  }

  #play(on: boolean): void {
    this.#playing = on;
    this.#began = performance.now();
    this.#auto.textContent = on ? "Hold" : "Go on by itself";
  }

  #go(to: number): void {
    this.#play(false);
    this.#at = Math.min(Math.max(to, 0), this.#phases.length - 1);
    this.#show();
  }

  #show(): void {
    this.#began = performance.now();
    this.#text.textContent = `${this.#at + 1} of ${this.#phases.length}. ${this.#phases[this.#at].text}`;
  }

  readonly #frame = (now: number): void => {
    if (!this.#open) return;
    const t = reducedMotion() ? 1 : Math.min((now - this.#began) / duration, 1);
    this.draw(Math.max(0, t));
    // The last part stays, for as long as one likes to read it.
    if (this.#playing && t === 1 && now - this.#began > 1.5 * duration) {
      if (this.#at === this.#phases.length - 1) this.#play(false);
      else {
        this.#at++;
        this.#show();
      }
    }
    requestAnimationFrame(this.#frame);
  };

  /** Draws the part that is on, `t` of its way. */
  draw(t: number): void {
    const { kind, layer } = this.#phases[this.#at], walk = this.#walk, colors = this.#colors();
    const pen = cleared(this.#canvas), room = roomFor(this.#canvas, this.#view, this.#options.features);
    const size = sizeIn(room),
      reached = kind === "enter" ? 0 : kind === "forward" ? layer + t : room.counts.length - 1;
    // Errors are known for the layers behind the one that is on.
    const back = kind === "backward" ? layer + 1 - t : kind === "step" ? 0 : Infinity;
    const values = (l: number): Float32Array => l === 0 ? walk.inputs : walk.outputs[l - 1];
    const largest = walk.gradients.map(({ weight }) =>
      weight.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9)
    );
    const furthest = walk.changes.map((change) => change.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9));
    everyWeight(room, (place) => {
      const k = place.to * room.counts[place.layer] + place.from, weight = walk.before[place.layer][k];
      const on = place.layer === layer, flow = weight * values(place.layer)[place.from];
      let shown = weight / 4, strength = 0.1;
      if (kind === "forward" && on) [shown, strength] = [flow, Math.min(0.25 + Math.abs(flow), 0.95)];
      if (place.layer + 0.5 > back && (kind === "backward" || kind === "step")) {
        shown = walk.gradients[place.layer].weight[k] / largest[place.layer] * 3;
        strength = Math.min(0.15 + Math.abs(shown) / 3, 0.95);
      }
      if (kind === "step") {
        shown = walk.changes[place.layer][k] / furthest[place.layer] * 3;
        strength = 0.15 + Math.abs(shown) / 4 * t;
      }
      pen.strokeStyle = inkOf(shown, strength, colors);
      pen.lineWidth = Math.min(0.6 + 1.4 * Math.abs(shown), 5);
      strokeWeight(pen, room, place);
      if (!on || t >= 1) return;
      const [x, y] = along(ends(room, place), kind === "forward" ? t : 1 - t);
      pen.fillStyle = inkOf(shown, 1, colors);
      pen.beginPath();
      pen.arc(x, y, Math.min(1.5 + 2 * Math.abs(shown), 5), 0, 7);
      pen.fill();
    });
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [l, count] of room.counts.entries()) {
      for (let i = 0; i < count; i++) {
        const [x, y] = placeOf(room, l, i), half = size / 2, known = l <= Math.floor(reached);
        const error = l > 0 && l >= back ? walk.errors[l - 1][i] : null, value = values(l)[i];
        pen.fillStyle = colors.paper;
        pen.fillRect(x - half, y - half, size, size);
        if (known) {
          const chance = l === room.counts.length - 1, filled = error ?? (chance ? 2 * value - 1 : value);
          pen.fillStyle = inkOf(filled, Math.min(Math.abs(filled) * (error === null ? 0.6 : 2), 0.6), colors);
          pen.fillRect(x - half, y - half, size, size);
        }
        pen.strokeStyle = colors.ink;
        pen.lineWidth = error === null ? 1 : 2;
        pen.strokeRect(x - half, y - half, size, size);
        if (!known || size < 24) continue;
        pen.font = "10px ui-monospace, monospace";
        pen.fillStyle = colors.ink;
        const text = short(+(error ?? value).toPrecision(2));
        pen.fillText(text, x, y, size - 2);
      }
    }
    nameInputs(pen, room, this.#options.features, colors);
  }
}
