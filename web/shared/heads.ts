/**
 * What each token looks at: a small map of every head, and arcs over the text from one token to those before it.
 *
 * @module
 */
import type { Attention } from "../engine/lens.ts";
import { fitCanvas } from "./chart.ts";
import { cssColor, rgbOf } from "./colors.ts";
import { h } from "./elements.ts";

/** A token as it is shown: what is white is seen. */
export const visible = (piece: string): string => piece.replaceAll("\n", "⏎").replaceAll(" ", "␣");

/** Tokens that arcs are drawn for, and how high they rise, in pixels. */
const mostShown = 256, height = 150, line = 22;

const colors = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];

/** Maps and arcs; `element` goes into a page. */
export class HeadsView {
  /** All of it. */
  readonly element: HTMLElement;
  readonly #thumbs = h("div", { class: "heads row", role: "group", "aria-label": "Heads" });
  readonly #canvas = h("canvas", {
    class: "arcs",
    role: "img",
    tabindex: 0,
    "aria-label": "What each token looks at; the arrow keys move through the tokens",
  });
  readonly #row = h("p", { class: "arcs-row mono" });
  #found: Attention | null = null;
  #at = -1;
  /** −1: all of them. */
  #head = -1;
  /** Where each token that is shown ends, in pixels. */
  #ends: number[] = [];

  /** `id` is that of the arcs; what they show is told below them. */
  constructor(id: string) {
    this.#canvas.id = id;
    this.#row.id = `${id}-row`;
    this.#canvas.setAttribute("aria-describedby", this.#row.id);
    this.element = h(
      "div",
      { class: "stack heads-view", hidden: true },
      this.#thumbs,
      h("div", { class: "scroll" }, this.#canvas),
      this.#row,
    );
    this.#canvas.addEventListener("pointermove", ({ offsetX }) => {
      const place = this.#ends.findIndex((end) => offsetX < end);
      if (place >= 0) this.#move(this.#first + place);
    });
    this.#canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#move(this.#at + step);
    });
    addEventListener("themechange", () => this.#draw());
  }

  /** Nothing is known of the text as it is now. */
  clear(): void {
    this.#found = null;
    this.element.hidden = true;
  }

  /** Shows a layer; the token and the head that were looked at stay so where the text is as long. */
  show(found: Attention): void {
    const isOther = this.#found?.tokens.length !== found.tokens.length;
    if (isOther) this.#at = found.tokens.length - 1;
    if (this.#thumbs.childElementCount !== found.heads + 1) {
      this.#head = -1;
      const button = (head: number, ...inner: (Node | string)[]): HTMLElement =>
        h("button", { type: "button", onclick: () => this.#choose(head) }, ...inner);
      this.#thumbs.replaceChildren(
        button(-1, "All"),
        ...Array.from({ length: found.heads }, (_, i) => button(i, h("canvas"), String(i + 1))),
      );
    }
    this.#found = found;
    this.element.hidden = false;
    this.#draw();
    const box = this.#canvas.parentElement!;
    if (isOther) box.scrollLeft = box.scrollWidth;
  }

  get #first(): number {
    return Math.max(0, this.#found!.tokens.length - mostShown);
  }

  #choose(head: number): void {
    this.#head = head;
    this.#draw();
  }

  #move(to: number): void {
    if (!this.#found) return;
    this.#at = Math.min(this.#found.tokens.length - 1, Math.max(this.#first, to));
    this.#draw();
  }

  #weight(head: number, row: number, column: number): number {
    const { tokens: { length }, weights } = this.#found!;
    return weights[(head * length + row) * length + column];
  }

  /** A pixel for each pair, scaled up without smoothing. */
  #drawMap(canvas: HTMLCanvasElement, head: number): void {
    const { length } = this.#found!.tokens, low = rgbOf(cssColor("--sunken")), high = this.#colorOf(head);
    canvas.width = canvas.height = length;
    const pen = canvas.getContext("2d")!, image = pen.createImageData(length, length), to = rgbOf(high);
    for (let row = 0; row < length; row++) {
      for (let column = 0; column <= row; column++) {
        // The root, so that small shares show.
        const share = Math.sqrt(this.#weight(head, row, column)), pixel = 4 * (row * length + column);
        for (let c = 0; c < 3; c++) image.data[pixel + c] = low[c] + share * (to[c] - low[c]);
        image.data[pixel + 3] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
  }

  #colorOf(head: number): string {
    return cssColor(colors[head % colors.length]);
  }

  #draw(): void {
    if (!this.#found) return;
    const { tokens, heads } = this.#found, canvas = this.#canvas, first = this.#first;
    [...this.#thumbs.children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i - 1 === this.#head));
      const map = button.querySelector("canvas");
      if (map) this.#drawMap(map, i - 1);
    });
    const font = "13px ui-monospace, monospace", measure = canvas.getContext("2d")!;
    measure.font = font;
    let x = 4;
    const shown = tokens.slice(first).map(visible);
    this.#ends = shown.map((text) =>
      x += Math.max(7, measure.measureText(text).width + (text.length > 1 ? 6 : 0))
    );
    canvas.style.width = `${Math.ceil(x) + 4}px`;
    canvas.style.height = `${height + line}px`;
    const { scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, x + 4, height + line);
    pen.font = font;
    pen.textAlign = "center";
    const middle = (place: number): number => ((place ? this.#ends[place - 1] : 4) + this.#ends[place]) / 2;
    const each = this.#head < 0 ? Array.from({ length: heads }, (_, i) => i) : [this.#head];
    const share = (place: number): number =>
      each.reduce((sum, head) => sum + this.#weight(head, this.#at, place), 0) / each.length;
    const from = middle(this.#at - first), accent = cssColor("--accent");
    for (let place = first; place <= this.#at; place++) {
      const to = middle(place - first), left = place > first ? this.#ends[place - first - 1] : 4;
      pen.globalAlpha = Math.min(1, 0.7 * Math.sqrt(share(place)));
      pen.fillStyle = accent;
      pen.fillRect(left, height, this.#ends[place - first] - left, line);
      for (const head of each) {
        const weight = this.#weight(head, this.#at, place);
        if (weight < 0.02 || place === this.#at) continue;
        pen.globalAlpha = 0.25 + 0.75 * weight;
        pen.strokeStyle = this.#colorOf(head);
        pen.lineWidth = 0.75 + 5 * weight;
        const rise = Math.min(height - 6, 14 + (from - to) / 2 + 4 * head);
        pen.beginPath();
        pen.moveTo(from, height);
        pen.bezierCurveTo(from, height - rise * 1.33, to, height - rise * 1.33, to, height);
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    shown.forEach((text, place) => {
      pen.fillStyle = cssColor(place + first <= this.#at ? "--ink" : "--muted");
      pen.fillText(text, middle(place), height + 16);
      if (place + first === this.#at) pen.fillRect(middle(place) - 4, height + line - 2, 8, 2);
    });
    const most = Array.from({ length: this.#at + 1 }, (_, i) => i).sort((a, b) => share(b) - share(a)).slice(
      0,
      5,
    );
    this.#row.textContent = `Token ${this.#at + 1}, ${visible(tokens[this.#at])}, looks at ${
      most.map((i) => `${visible(tokens[i])} (${i + 1}) ${(100 * share(i)).toFixed(0)} %`).join(", ")
    }${this.#head < 0 ? "; the mean of all heads" : ""}`;
  }
}
