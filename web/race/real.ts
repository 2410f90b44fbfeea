/**
 * The race on a real loss: the same small GPT for each optimizer, in loss and in text, and a slice of that loss with their paths.
 * Comes when a visitor asks for it; everything is computed in a worker.
 *
 * @module
 */
import { optimizers2d } from "../../src/landscape/mod.ts";
import { type ChartLine, drawChart, fitCanvas, short } from "../shared/chart.ts";
import { cssColor, heatColors, isDark } from "../shared/colors.ts";
import { h } from "../shared/elements.ts";
import { visible } from "../shared/heads.ts";
import { messageOf } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { texts } from "../train/texts.ts";
import { optimizerTexts } from "./explain.ts";
import { type RealName, realRates } from "./real_settings.ts";
import type { Directions, Slice } from "./real_race.ts";
import type { Answer, Question } from "./worker.ts";

const names = Object.keys(realRates) as RealName[], steps = 150;
const colorOf = (name: RealName): string => `--c${1 + optimizers2d.indexOf(name)}`;
const titleOf = (name: RealName): string => optimizerTexts[name].title;

/** What is shown of a slice: its rows as they come. */
interface Shown {
  readonly slice: Slice;
  readonly rows: (readonly number[])[];
}

/** The card. */
export class RealCard {
  readonly #rates: Record<RealName, number> = { ...realRates };
  readonly #lines = new Map<RealName, ChartLine>(
    names.map((
      name,
    ) => [name, { color: "", x: new Float64Array(steps), y: new Float64Array(steps), length: 0 }]),
  );
  readonly #chart = h("canvas", {
    id: "real-loss",
    class: "loss",
    role: "img",
    "aria-label": "The loss of each by step",
  });
  readonly #map = h("canvas", {
    id: "real-slice",
    class: "slice",
    role: "img",
    "aria-label": "A slice of the loss, and the paths on it",
  });
  readonly #list = h("ul", { id: "real-texts", class: "real-texts" });
  readonly #facts = h("p", { id: "real-facts", class: "hint" });
  readonly #hint = h("p", { class: "hint" });
  readonly #choice = h(
    "select",
    { id: "directions" },
    h("option", { value: "paths" }, "in which the paths spread most (PCA)"),
    h("option", { value: "random" }, "random, filter-normalised"),
  );
  readonly #text = h(
    "select",
    { id: "real-text" },
    ...Object.keys(texts).map((name) => h("option", {}, name)),
  );
  #worker: Worker | null = null;
  #run = 0;
  #shown: Shown | null = null;

  /** Fills an element. */
  constructor(into: HTMLElement) {
    const go = h("button", { type: "button", class: "primary", id: "real-go" }, "Race");
    const stop = h("button", { type: "button", id: "real-stop" }, "Stop");
    go.addEventListener("click", () => this.start());
    stop.addEventListener("click", () => this.#ask({ ask: "stop" }));
    this.#choice.addEventListener("change", () => {
      this.#shown = null;
      this.#ask({ ask: "slice", directions: this.#choice.value as Directions });
    });
    for (const name of names) {
      const rate = h("input", {
        type: "number",
        value: this.#rates[name],
        min: 0,
        step: "any",
        id: `real-rate-${name}`,
        "aria-label": `Learning rate of ${titleOf(name)}`,
      });
      rate.addEventListener("input", () => this.#rates[name] = rate.valueAsNumber);
      this.#list.append(
        h(
          "li",
          { "data-name": name, style: `--color:var(${colorOf(name)})` },
          h("span", { class: "name" }, h("span", { class: "swatch" }), titleOf(name)),
          rate,
          h("span", { class: "loss-now number" }),
          h("p", { class: "real-text" }),
        ),
      );
    }
    into.replaceChildren(
      h(
        "p",
        { class: "hint" },
        "The same small GPT (one layer, 32 wide) with the same first weights and the same batches, once for each optimizer.",
      ),
      h("div", { class: "row" }, h("label", { class: "row" }, "Text", this.#text), go, stop),
      this.#facts,
      h(
        "div",
        { class: "real" },
        h("div", { class: "stack" }, this.#chart, this.#list),
        h(
          "div",
          { class: "stack" },
          h("label", { class: "row" }, "Slice of the loss, directions", this.#choice),
          this.#map,
          this.#hint,
        ),
      ),
    );
    const draw = (): void => {
      this.#drawChart();
      this.#drawSlice();
    };
    addEventListener("themechange", draw);
    new ResizeObserver(draw).observe(this.#chart);
  }

  /** A new race; one that runs ends. */
  start(): void {
    const wrong = names.find((name) => !(this.#rates[name] > 0));
    if (wrong) return say(`The learning rate of ${titleOf(wrong)} should be a number above 0.`, "error");
    this.#shown = null;
    this.#hint.textContent = this.#facts.textContent = "";
    for (const line of this.#lines.values()) line.length = 0;
    this.#ask({
      ask: "race",
      run: ++this.#run,
      text: texts[this.#text.value](),
      rates: { ...this.#rates },
      steps,
    });
  }

  #ask(question: Question): void {
    if (this.#worker === null) {
      this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      this.#worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.#take(data));
      this.#worker.addEventListener("error", (event) => {
        this.#worker = null;
        say(
          event.message
            ? messageOf(event.message)
            : "The engine could not be loaded; is the connection lost?",
          "error",
        );
      });
    }
    this.#worker.postMessage(question);
  }

  #take(answer: Answer): void {
    if (answer.run !== this.#run) return;
    switch (answer.say) {
      case "losses":
        for (const name of names) {
          const loss = answer.losses[name] ?? NaN, line = this.#lines.get(name)!;
          line.x[line.length] = answer.step;
          line.y[line.length++] = loss;
          this.#part(name, ".loss-now").textContent = Number.isFinite(loss) ? loss.toFixed(3) : "diverged";
        }
        this.#facts.textContent = `Step ${answer.step} of ${steps}`;
        this.#drawChart();
        break;
      case "texts":
        for (const name of names) {
          this.#part(name, ".real-text").textContent = visible(answer.texts[name] ?? "");
        }
        break;
      case "over":
        this.#facts.textContent = this.#outcome(answer.ways);
        break;
      case "row":
        if (this.#shown?.slice.domain.join() !== answer.slice.domain.join()) {
          this.#shown = { slice: answer.slice, rows: [] };
        }
        this.#shown!.rows[answer.index] = answer.losses;
        this.#hint.textContent = this.#choice.value === "paths"
          ? "Lines are the paths, from the common start; the rest of each path lies outside of this plane, so a point may be lower than its place here."
          : "Around the best end, each filter as long as its weights (Li et al. 2018). Paths hardly move in random directions: nearly all of each lies outside.";
        this.#drawSlice();
        break;
      case "error":
        say(answer.message, "error");
    }
  }

  #part(name: RealName, what: string): HTMLElement {
    return this.#list.querySelector(`[data-name=${name}] ${what}`)!;
  }

  /** Who leads, and from what was measured why. */
  #outcome(ways: Extract<Answer, { say: "over" }>["ways"]): string {
    const last = (name: RealName): number => {
      const { y, length } = this.#lines.get(name)!,
        recent = [...y.subarray(Math.max(0, length - 10), length)];
      return recent.reduce((a, b) => a + b, 0) / recent.length;
    };
    const alive = names.filter((name) => Number.isFinite(last(name))),
      gone = names.filter((name) => !alive.includes(name));
    if (alive.length === 0) return "Everyone diverged; take lower learning rates.";
    const lost = gone.length > 0
      ? ` Diverged, as the rate was too high: ${gone.map(titleOf).join(", ")}.`
      : "";
    const left = alive.filter((name) => ways[name]).sort((a, b) => last(a) - last(b));
    if (left.length === 0) return `It was stopped before anyone had gone far enough to compare.${lost}`;
    const told = (name: RealName): string => {
      const { length, far } = ways[name]!;
      return `${titleOf(name)} ends at ${short(last(name))}: it walked ${length.toFixed(1)} and is ${
        far.toFixed(1)
      } from the start`;
    };
    const [first] = left, end = left.at(-1)!;
    return `${told(first)}${
      end === first ? "" : `; ${told(end)}`
    } (lengths in the space of all weights, losses the mean of ten steps).${lost}`;
  }

  #drawChart(): void {
    for (const [name, line] of this.#lines) line.color = cssColor(colorOf(name));
    drawChart(this.#chart, [...this.#lines.values()], { log: true });
  }

  #drawSlice(): void {
    const { width, height, scale } = fitCanvas(this.#map), pen = this.#map.getContext("2d")!;
    if (width === 0) return;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.#shown) return;
    const { slice: { side, domain: [x0, x1, y0, y1], paths }, rows } = this.#shown;
    const known = rows.flat().filter(Number.isFinite),
      least = Math.log(Math.min(...known)),
      most = Math.log(Math.max(...known));
    const small = document.createElement("canvas"), colors = heatColors(isDark());
    small.width = small.height = side;
    const picture = small.getContext("2d")!, image = picture.createImageData(side, side);
    const level = (loss: number): number => (Math.log(loss) - least) / (most - least || 1);
    rows.forEach((row, j) =>
      row.forEach((loss, i) => {
        const color = 3 * Math.round(255 * (Number.isFinite(loss) ? level(loss) : 1)),
          to = 4 * ((side - 1 - j) * side + i);
        for (let c = 0; c < 3; c++) image.data[to + c] = colors[color + c];
        image.data[to + 3] = 255;
      })
    );
    picture.putImageData(image, 0, 0);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, width, height);
    const px = (x: number): number => width * (x - x0) / (x1 - x0),
      py = (y: number): number => height * (y1 - y) / (y1 - y0);
    for (const [name, path] of Object.entries(paths) as [RealName, readonly number[]][]) {
      pen.strokeStyle = pen.fillStyle = cssColor(colorOf(name));
      pen.lineWidth = 2;
      pen.beginPath();
      for (let i = 0; i < path.length; i += 2) pen.lineTo(px(path[i]), py(path[i + 1]));
      pen.stroke();
      pen.beginPath();
      pen.arc(px(path.at(-2)!), py(path.at(-1)!), 4, 0, 7);
      pen.fill();
    }
    pen.fillStyle = cssColor("--ink");
    pen.font = "11px ui-monospace, monospace";
    pen.fillText(
      `loss ${short(Math.exp(least))} (pale blue) to ${short(Math.exp(most))} (rust)`,
      6,
      height - 6,
    );
  }
}
