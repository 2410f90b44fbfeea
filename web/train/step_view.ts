/**
 * One step of training played operation by operation, with shapes and a line each. Loaded when it is looked at.
 *
 * @module
 */
import { h } from "../shared/elements.ts";
import { reducedMotion } from "../shared/page.ts";
import { type Operand, type Operation, type Part, readPlan } from "./operations.ts";

const parts: Readonly<Record<Part, string>> = {
  forward: "Forward",
  loss: "Loss",
  backward: "Backward",
  optimizer: "Optimizer",
};
/** Milliseconds an operation is shown while it plays by itself. */
const pace = 1600;

const what: Readonly<Record<Operand["kind"], string>> = {
  between: "made in this step",
  kept: "a weight, or what the optimizer remembers",
  given: "given to the step",
  constant: "a constant",
};

/** A tensor as a box: as high as it has rows and as wide as it has columns, both as logarithms. */
function box(operand: Operand): HTMLElement {
  const { shape } = operand, side = (n: number): number => 14 + 9 * Math.log2(Math.max(n, 1));
  const columns = shape.at(-1) ?? 1, rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const picture = h("span", { class: `tensor ${operand.kind}` });
  picture.style.width = `${side(columns)}px`;
  picture.style.height = `${side(rows)}px`;
  return h(
    "div",
    { class: "operand" },
    picture,
    h("span", { class: "mono" }, shape.length === 0 ? "one number" : shape.join(" × ")),
    h("span", { class: "hint" }, `${operand.dtype}, ${what[operand.kind]}`),
  );
}

/** The player. */
export class StepView {
  /** What the page shows. */
  readonly element: HTMLElement;
  readonly #title = h("p", { class: "op-title" });
  readonly #picture = h("div", { class: "op-picture" });
  readonly #text = h("p", { class: "op-text", role: "status" });
  readonly #line = h("p", { class: "mono op-line" });
  readonly #slider = h("input", {
    type: "range",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    "aria-label": "Operation",
  });
  readonly #parts = h("div", { class: "row op-parts", role: "group", "aria-label": "Part of the step" });
  readonly #auto: HTMLButtonElement;
  #plan = "";
  #operations: readonly Operation[] = [];
  #at = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Empty until `show`. */
  constructor() {
    const button = (text: string, act: () => void): HTMLButtonElement =>
      h("button", { type: "button", onclick: act }, text);
    this.#auto = button("Play", () => this.#play(this.#timer === undefined));
    this.#slider.addEventListener("input", () => this.#go(this.#slider.valueAsNumber));
    this.element = h(
      "div",
      { class: "op" },
      this.#parts,
      this.#title,
      this.#picture,
      this.#text,
      this.#line,
      this.#slider,
      h(
        "div",
        { class: "row" },
        button("Back", () => this.#go(this.#at - 1)),
        button("Next", () => this.#go(this.#at + 1)),
        this.#auto,
      ),
    );
  }

  /** Shows the first operation of a plan; the plan that is shown already goes on where it is. */
  show(plan: string): void {
    if (plan === this.#plan) return;
    this.#plan = plan;
    this.#operations = readPlan(plan);
    this.#slider.max = String(this.#operations.length - 1);
    this.#parts.replaceChildren(...(Object.keys(parts) as Part[]).map((part) => {
      const first = this.#operations.findIndex((one) => one.part === part);
      return h("button", { type: "button", "data-part": part, onclick: () => this.#go(first) }, parts[part]);
    }));
    this.#at = 0;
    this.#draw();
    this.#play(!reducedMotion());
  }

  #play(on: boolean): void {
    clearInterval(this.#timer);
    this.#timer = on ? setInterval(() => this.#next(), pace) : undefined;
    this.#auto.textContent = on ? "Hold" : "Play";
  }

  #next(): void {
    // Nobody looks at what is not in the page.
    if (!this.element.isConnected || document.hidden) return;
    if (this.#at === this.#operations.length - 1) return this.#play(false);
    this.#at++;
    this.#draw();
  }

  #go(to: number): void {
    this.#play(false);
    this.#at = Math.min(Math.max(to, 0), this.#operations.length - 1);
    this.#draw();
  }

  #draw(): void {
    const { part, name, where, takes, gives, text, line } = this.#operations[this.#at];
    this.#slider.value = String(this.#at);
    for (const button of this.#parts.children) {
      button.setAttribute("aria-pressed", String((button as HTMLElement).dataset.part === part));
    }
    this.#title.textContent = `${this.#at + 1} of ${this.#operations.length}: ${name}${
      where === "" ? "" : `, ${where}`
    }`;
    this.#picture.replaceChildren(
      ...takes.slice(0, 4).map(box),
      h("span", { class: "op-arrow", "aria-hidden": "true" }, "→"),
      ...gives.slice(0, 3).map(box),
    );
    this.#text.textContent = text;
    this.#line.textContent = line;
  }
}
