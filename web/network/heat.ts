/**
 * The weight matrices as heat maps: a row a neuron, a column an input of it, the last one its bias.
 *
 * @module
 */
import { h } from "../shared/elements.ts";
import { cleared, inkOf, type Palette } from "./draw.ts";
import type { WeightPlace } from "./geometry.ts";
import type { NetworkView } from "./view.ts";

const cell = 20, gap = 8;

/** One canvas a layer, kept as long as the layers have the same sizes. */
export class HeatMaps {
  readonly #box: HTMLElement;
  readonly #choose: (place: WeightPlace, edit: boolean) => void;
  #shape = "";
  #canvases: HTMLCanvasElement[] = [];

  /** Draws into `box`; `choose` is told which number was pointed at, and whether it is to be changed. */
  constructor(box: HTMLElement, choose: (place: WeightPlace, edit: boolean) => void) {
    this.#box = box;
    this.#choose = choose;
  }

  #make({ biases, weights }: NetworkView): void {
    this.#canvases = biases.map((bias, layer) => {
      const rows = bias.length, columns = weights[layer].length / rows + 1;
      const canvas = h("canvas", {
        class: "heat",
        tabindex: 0,
        role: "application",
        "aria-label":
          `Weights of layer ${layer + 1}: a row a neuron, a column an input, the last one the bias. ` +
          "Arrow keys choose a number, Enter changes it.",
      });
      canvas.style.width = `${columns * cell + gap}px`;
      canvas.style.height = `${rows * cell}px`;
      let at = [0, 0];
      const tell = (edit: boolean): void =>
        this.#choose({ layer, to: at[0], from: at[1] === columns - 1 ? -1 : at[1] }, edit);
      canvas.addEventListener("click", ({ offsetX, offsetY }) => {
        const column = offsetX > columns * cell - cell
          ? columns - 1
          : Math.min(Math.floor(offsetX / cell), columns - 2);
        at = [Math.min(Math.max(Math.floor(offsetY / cell), 0), rows - 1), column];
        tell(false);
      });
      canvas.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (event.key !== "Enter" && by === undefined) return;
        if (by) at = [(at[0] + by[0] + rows) % rows, (at[1] + by[1] + columns) % columns];
        tell(event.key === "Enter");
        event.preventDefault();
      });
      return canvas;
    });
    this.#box.replaceChildren(...this.#canvases.map((canvas, layer) =>
      h(
        "figure",
        {},
        h(
          "figcaption",
          { class: "hint" },
          `Layer ${layer + 1}: ${biases[layer].length} × ${
            weights[layer].length / biases[layer].length
          }, and bias`,
        ),
        canvas,
      )
    ));
  }

  /** Draws the weights as they are; `chosen` has a frame. */
  draw(view: NetworkView, colors: Palette, chosen: WeightPlace | null): void {
    const shape = view.weights.map(({ length }) => length).join();
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#make(view);
    }
    const largest = view.weights.reduce((most, w) => w.reduce((a, b) => Math.max(a, Math.abs(b)), most), 1);
    for (const [layer, canvas] of this.#canvases.entries()) {
      const pen = cleared(canvas), { length: rows } = view.biases[layer];
      const columns = view.weights[layer].length / rows;
      for (let to = 0; to < rows; to++) {
        for (let from = -1; from < columns; from++) {
          const value = from < 0 ? view.biases[layer][to] : view.weights[layer][to * columns + from];
          const x = from < 0 ? columns * cell + gap : from * cell, y = to * cell;
          pen.fillStyle = inkOf(value, Math.min(Math.abs(value) / largest, 1) * 0.95, colors);
          pen.fillRect(x, y, cell - 1, cell - 1);
          const framed = chosen !== null && chosen.layer === layer && chosen.to === to &&
            chosen.from === from;
          pen.strokeStyle = colors.ink;
          pen.lineWidth = framed ? 2.5 : 0.25;
          pen.strokeRect(x + 0.5, y + 0.5, cell - 2, cell - 2);
        }
      }
    }
  }
}
