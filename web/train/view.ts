/**
 * Draws what is inside the model: maps of embeddings, heads, layers' guesses, and how numbers spread.
 *
 * @module
 */
import { fitCanvas, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { h } from "../shared/elements.ts";
import { HeadsView, visible } from "../shared/heads.ts";
import { LensTable } from "../shared/lens_table.ts";
import type { StepView } from "./step_view.ts";
import type { EmbeddingMap, Histogram, Inside, Part, View } from "./inside.ts";

/** What there is to look at: its name, and a sentence that explains it. */
export const views: Readonly<Record<View, readonly [name: string, hint: string]>> = {
  map: [
    "Letters",
    "Each letter is a vector; here is the plane in which they spread most (PCA). Letters that are used alike move together.",
  ],
  positions: [
    "Positions",
    "So is each position in the text: a line through all of them in order. Where it bends, the model tells places apart.",
  ],
  attention: [
    "Attention",
    "Every head chooses which letters before it a letter takes something from. Point at a letter; choose a head.",
  ],
  lens: [
    "Layers",
    "What the model would say next if it ended after each layer (the logit lens). Darker is surer.",
  ],
  spread: [
    "Numbers",
    "How weights, their gradients and what comes out of each part spread: from −4 to 4 times their root mean square.",
  ],
  step: [
    "Step",
    "One step of training, operation by operation, as the engine's compiler plans it: forward, the loss, back, and the weights move.",
  ],
};

const named = (units: readonly number[], of: number, what: string): string =>
  `${units.length} of ${of} units ${what}: ${units.slice(0, 8).map((u) => u + 1).join(", ")}${
    units.length > 8 ? " …" : ""
  }`;

/** Shows one thing at a time. */
export class InsideView {
  readonly #into: HTMLElement;
  readonly #heads = new HeadsView("arcs");
  readonly #lens = new LensTable("lens");
  readonly #map = h("canvas", { id: "map", class: "map", role: "img" });
  readonly #parts = h("div", { id: "parts", class: "parts" });
  #shown: Inside | null = null;
  #step: StepView | null = null;

  /** Goes into an element of the page. */
  constructor(into: HTMLElement) {
    this.#into = into;
    addEventListener("themechange", () => this.#shown && this.show(this.#shown));
    new ResizeObserver(() => this.#shown && "map" in this.#shown && this.#drawMap(this.#shown.map)).observe(
      this.#map,
    );
  }

  async #showStep(plan: string): Promise<void> {
    const { StepView } = await import("./step_view.ts"), view = this.#step ??= new StepView();
    // Something else may be looked at by now.
    if (this.#shown === null || !("plan" in this.#shown)) return;
    if (view.element.parentNode !== this.#into) this.#into.replaceChildren(view.element);
    view.show(plan);
  }

  /** Shows it. */
  show(inside: Inside): void {
    this.#shown = inside;
    const put = (element: HTMLElement): void => {
      if (element.parentNode !== this.#into) this.#into.replaceChildren(element);
    };
    if ("map" in inside) {
      put(this.#map);
      this.#map.setAttribute("aria-label", `${views[inside.view][0]} in their plane`);
      this.#drawMap(inside.map);
    } else if ("attention" in inside) {
      put(this.#heads.element);
      this.#heads.show(inside.attention);
    } else if ("lens" in inside) {
      put(this.#lens.element);
      this.#lens.show(inside.lens);
    } else if ("plan" in inside) {
      void this.#showStep(inside.plan);
    } else {
      put(this.#parts);
      this.#drawParts(inside.spread);
    }
  }

  #drawMap({ names, points, share }: EmbeddingMap): void {
    const { width, height, scale } = fitCanvas(this.#map), pen = this.#map.getContext("2d")!;
    if (width === 0) return;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    let most = 1e-9;
    for (const x of points) most = Math.max(most, Math.abs(x));
    const place = (i: number, axis: 0 | 1): number =>
      axis === 0
        ? width / 2 + points[2 * i] / most * (width / 2 - 16)
        : height / 2 - points[2 * i + 1] / most * (height / 2 - 24);
    pen.strokeStyle = cssColor("--line");
    pen.beginPath();
    pen.moveTo(width / 2, 0);
    pen.lineTo(width / 2, height);
    pen.moveTo(0, height / 2);
    pen.lineTo(width, height / 2);
    pen.stroke();
    const isLine = this.#shown?.view === "positions";
    if (isLine) {
      pen.strokeStyle = cssColor("--c2");
      pen.beginPath();
      names.forEach((_, i) => pen.lineTo(place(i, 0), place(i, 1)));
      pen.stroke();
    }
    pen.font = isLine ? "11px ui-monospace, monospace" : "600 14px ui-monospace, monospace";
    pen.textAlign = "center";
    names.forEach((name, i) => {
      if (isLine && i % 8 !== 0 && i !== names.length - 1) return;
      // What kind of letter it is, so that kinds are seen to part.
      const color = /[aeiou]/i.test(name)
        ? "--c1"
        : /\p{L}/u.test(name)
        ? "--c2"
        : /\d/.test(name)
        ? "--c3"
        : "--c4";
      pen.fillStyle = cssColor(isLine ? "--ink" : color);
      pen.fillText(visible(name), place(i, 0), place(i, 1) + 5);
    });
    pen.fillStyle = cssColor("--muted");
    pen.font = "11px ui-monospace, monospace";
    pen.textAlign = "left";
    pen.fillText(`${(100 * share).toFixed(0)} % of the spread lies in this plane`, 4, height - 6);
  }

  #drawParts(parts: readonly Part[]): void {
    const columns = ["weights", "gradients", "activations"] as const;
    if (this.#parts.childElementCount !== parts.length + 1) {
      const cell = (name: string, column: string): HTMLElement =>
        h(
          "div",
          {},
          h("canvas", { role: "img", "aria-label": `${column} of ${name}` }),
          h("span", { class: "number" }),
        );
      this.#parts.replaceChildren(
        h(
          "div",
          { class: "part hint" },
          h("span"),
          ...["Weights", "Gradients", "Activations"].map((name) => h("span", {}, name)),
        ),
        ...parts.map(({ name }) =>
          h(
            "div",
            { class: "part" },
            h("span", {}, name),
            ...columns.map((c) => cell(name, c)),
            h("span", { class: "idle" }),
          )
        ),
      );
    }
    const colors = columns.map((_, k) => cssColor(`--c${k + 1}`));
    const cells = (i: number, k: number): HTMLCollection =>
      this.#parts.children[i + 1].children[k + 1].children;
    // All pictures first: a text between them would have the page laid out again for each.
    parts.forEach((part, i) =>
      columns.forEach((column, k) => drawBars(cells(i, k)[0] as HTMLCanvasElement, part[column], colors[k]))
    );
    parts.forEach((part, i) => {
      const idle = this.#parts.children[i + 1].lastElementChild as HTMLElement;
      columns.forEach((column, k) => cells(i, k)[1].textContent = `rms ${short(part[column].rms)}`);
      idle.textContent = [
        ...part.dead.length > 0 ? [named(part.dead, part.units, "are dead")] : [],
        ...part.saturated.length > 0 ? [named(part.saturated, part.units, "are saturated")] : [],
      ].join("; ");
      idle.hidden = idle.textContent === "";
    });
  }
}

function drawBars(canvas: HTMLCanvasElement, { counts }: Histogram, color: string): void {
  const { width, height, scale } = fitCanvas(canvas),
    pen = canvas.getContext("2d")!,
    most = Math.max(1, ...counts);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = color;
  const each = width / counts.length;
  counts.forEach((count, i) => {
    const bar = (height - 2) * count / most;
    pen.fillRect(i * each, height - bar, Math.max(1, each - 1), bar);
  });
}
