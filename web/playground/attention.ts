/**
 * What each token looks at: the probabilities of one head as a map, a row for each token, and the row of one token over the
 * text in words.
 *
 * @module
 */
import type { Engine } from "../engine/client.ts";
import type { Attention } from "../engine/lens.ts";
import type { LoadedModel } from "../engine/messages.ts";
import { cssColor, rgbOf } from "../shared/colors.ts";
import { h } from "../shared/elements.ts";
import { element as at, messageOf } from "../shared/page.ts";
import { say } from "../shared/status.ts";

const visible = (piece: string): string => piece.replaceAll("\n", "⏎").replaceAll(" ", "␣");

/** The card. */
export class AttentionView {
  readonly #engine: Engine;
  readonly #text: () => string;
  readonly #layer = h("select", { id: "layer" });
  readonly #head = h("select", { id: "head" });
  readonly #canvas = h("canvas", {
    id: "attention-map",
    role: "img",
    tabindex: 0,
    "aria-label": "What each token looks at; the arrow keys move through the tokens",
    "aria-describedby": "attention-row",
  });
  readonly #row = h("p", { id: "attention-row", class: "mono" });
  readonly #look = h("button", { type: "button", id: "look" }, "Look");
  #found: Attention | null = null;
  #at = 0;

  /** `text` gives what there is to look at. */
  constructor(engine: Engine, text: () => string) {
    this.#engine = engine;
    this.#text = text;
    this.#look.addEventListener("click", () => void this.show());
    this.#layer.addEventListener("change", () => void this.show());
    this.#head.addEventListener("change", () => this.#draw());
    addEventListener("themechange", () => this.#draw());
    this.#canvas.addEventListener("pointermove", ({ offsetY }) => {
      if (this.#found) {
        this.#move(Math.floor(offsetY / this.#canvas.clientHeight * this.#found.tokens.length));
      }
    });
    this.#canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#move(this.#at + step);
    });
    this.#canvas.hidden = true;
    at("attention").append(
      h(
        "div",
        { class: "row" },
        h("label", {}, "Layer", this.#layer),
        h("label", {}, "Head", this.#head),
        this.#look,
      ),
      this.#canvas,
      this.#row,
    );
  }

  /** Another model: other layers and heads. */
  use({ layers, heads }: LoadedModel): void {
    const fill = (select: HTMLSelectElement, count: number): void =>
      select.replaceChildren(
        ...Array.from({ length: count }, (_, i) => h("option", { value: i }, String(i + 1))),
      );
    fill(this.#layer, layers);
    fill(this.#head, heads);
    this.#found = null;
    this.#canvas.hidden = true;
    this.#row.textContent = "";
  }

  /** Computes the map of the text as it is. */
  async show(): Promise<void> {
    const text = this.#text();
    if (!text) return say("There is no text to look at yet.", "error");
    this.#look.disabled = true;
    try {
      this.#found = await this.#engine.ask({ do: "attend", text, layer: Number(this.#layer.value) });
      this.#at = this.#found.tokens.length - 1;
      this.#draw();
    } catch (error) {
      say(messageOf(error), "error");
    } finally {
      this.#look.disabled = false;
    }
  }

  #move(to: number): void {
    if (!this.#found) return;
    this.#at = Math.min(this.#found.tokens.length - 1, Math.max(0, to));
    this.#draw();
  }

  #weight(row: number, column: number): number {
    const { tokens: { length }, weights } = this.#found as Attention;
    return weights[(Number(this.#head.value) * length + row) * length + column];
  }

  #draw(): void {
    if (!this.#found) return;
    const { tokens } = this.#found, { length } = tokens, canvas = this.#canvas;
    canvas.hidden = false;
    // A pixel for each pair, scaled up without smoothing.
    canvas.width = canvas.height = length;
    const context = canvas.getContext("2d") as CanvasRenderingContext2D,
      image = context.createImageData(length, length);
    const low = rgbOf(cssColor("--sunken")),
      high = rgbOf(cssColor("--accent")),
      mark = rgbOf(cssColor("--c2"));
    for (let row = 0; row < length; row++) {
      for (let column = 0; column < length; column++) {
        // The root, so that small shares show.
        const share = column <= row ? Math.sqrt(this.#weight(row, column)) : 0,
          to = row === this.#at ? mark : high;
        for (let c = 0; c < 3; c++) {
          image.data[4 * (row * length + column) + c] = low[c] + share * (to[c] - low[c]);
        }
        image.data[4 * (row * length + column) + 3] = column <= row ? 255 : 0;
      }
    }
    context.putImageData(image, 0, 0);
    const most = Array.from({ length: this.#at + 1 }, (_, i) => i)
      .sort((a, b) => this.#weight(this.#at, b) - this.#weight(this.#at, a)).slice(0, 5);
    const shares = most.map((i) =>
      `${visible(tokens[i])} (${i + 1}) ${(100 * this.#weight(this.#at, i)).toFixed(0)} %`
    );
    this.#row.textContent = `Token ${this.#at + 1}, ${visible(tokens[this.#at])}, looks at ${
      shares.join(", ")
    }`;
  }
}
