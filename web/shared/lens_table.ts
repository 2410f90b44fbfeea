/**
 * What each layer would say next, as a table: the text across, layers downwards, what is likelier is darker.
 *
 * @module
 */
import type { Lens } from "../engine/lens.ts";
import { h } from "./elements.ts";
import { visible } from "./heads.ts";

/** The table, and the guesses of one of its cells in words. */
export class LensTable {
  /** All of it. */
  readonly element: HTMLElement;
  readonly #box = h("div", {
    class: "scroll lens",
    tabindex: 0,
    role: "group",
    "aria-label": "What each layer would say next; the arrow keys move through the table",
  });
  readonly #row = h("p", { class: "arcs-row mono" });
  #lens: Lens | null = null;
  #at: [depth: number, place: number] = [0, 0];

  /** `id` is that of the table's box. */
  constructor(id: string) {
    this.#box.id = id;
    this.#row.id = `${id}-row`;
    this.#box.setAttribute("aria-describedby", this.#row.id);
    this.element = h("div", { class: "stack", hidden: true }, this.#box, this.#row);
    this.#box.addEventListener("pointerover", ({ target }) => {
      const cell = (target as Element).closest<HTMLElement>("td");
      if (cell) this.#move(Number(cell.dataset.depth), Number(cell.dataset.place));
    });
    this.#box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#move(this.#at[0] + step[0], this.#at[1] + step[1]);
    });
  }

  /** Nothing is known of the text as it is now. */
  clear(): void {
    this.#lens = null;
    this.element.hidden = true;
  }

  /** Shows it; the place that was looked at stays so where the text is as long. */
  show(lens: Lens): void {
    const { tokens, guesses } = lens, last = guesses.length - 1;
    const isOther = this.#lens?.tokens.length !== tokens.length ||
      this.#lens.guesses.length !== guesses.length;
    if (isOther) this.#at = [last, tokens.length - 1];
    const { scrollLeft } = this.#box;
    this.#lens = lens;
    const names = guesses.map((_, depth) =>
      depth === 0 ? "Embeddings" : depth === last ? "Says" : `Layer ${depth}`
    );
    this.#box.replaceChildren(
      h(
        "table",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "row" }, "Reads"),
          ...tokens.map((token) => h("th", { scope: "col" }, visible(token))),
        ),
        ...guesses.map((row, depth) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, names[depth]),
            ...row.map(([{ text, probability }], place) =>
              h(
                "td",
                {
                  "data-depth": depth,
                  "data-place": place,
                  style: `--share:${(60 * probability).toFixed(0)}%`,
                },
                visible(text),
              )
            ),
          )
        ),
      ),
    );
    this.element.hidden = false;
    this.#box.scrollLeft = isOther ? this.#box.scrollWidth : scrollLeft;
    this.#move(...this.#at);
  }

  #move(depth: number, place: number): void {
    const { tokens, guesses } = this.#lens!;
    depth = Math.min(guesses.length - 1, Math.max(0, depth));
    place = Math.min(tokens.length - 1, Math.max(0, place));
    this.#at = [depth, place];
    this.#box.querySelector(".chosen")?.classList.remove("chosen");
    this.#box.querySelector(`[data-depth="${depth}"][data-place="${place}"]`)?.classList.add("chosen");
    const who = depth === 0 ? "the embeddings alone" : depth === 1 ? "layer 1" : `${depth} layers`;
    this.#row.textContent = `After ${visible(tokens[place])}, ${who} would say ${
      guesses[depth][place].map(({ text, probability }) =>
        `${visible(text)} ${(100 * probability).toFixed(0)} %`
      )
        .join(", ")
    }`;
  }
}
