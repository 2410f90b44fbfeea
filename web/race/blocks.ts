/**
 * A loss built from blocks: dragged, or clicked, into a sum, each with a weight. What comes out is a formula.
 *
 * @module
 */
import { h } from "../shared/elements.ts";
import { say } from "../shared/status.ts";

/** What there is to build from. */
export const blocks: Readonly<Record<string, string>> = {
  Bowl: "(x^2 + y^2)/2",
  Trough: "5*y^2",
  "Bent valley": "5*(y - x^2/2)^2",
  Saddle: "x^2 - y^2",
  Slope: "x",
  Ripples: "sin(3*x)*sin(3*y)",
  Hole: "-3*exp(-2*((x - 1)^2 + y^2))",
  Hill: "3*exp(-(x + 1)^2 - y^2)",
  Crease: "abs(x + y)",
};

/** A block that was placed. */
export interface Placed {
  readonly name: string;
  weight: number;
}

/** The most blocks of a sum, so that its formula stays short enough. */
export const mostBlocks = 8;

/** The formula of a sum. */
export function formulaOf(placed: readonly Placed[]): string {
  return placed.map(({ name, weight }, i) => {
    const sign = weight < 0 ? "-" : i === 0 ? "" : "+", size = Math.abs(weight), term = blocks[name];
    return `${i === 0 ? sign : ` ${sign} `}${size === 1 && sign !== "-" ? `(${term})` : `${size}*(${term})`}`;
  }).join("");
}

/** The blocks and their sum in `box`; `changed` is given the formula. */
export function showBlocks(box: HTMLElement, changed: (formula: string) => void): void {
  const placed: Placed[] = [], kind = "text/x-ferrotype-block";
  const sum = h("ul", { class: "sum", "aria-label": "Your sum of blocks" });
  const tell = (): void => changed(formulaOf(placed));
  const add = (name: string): void => {
    if (!Object.hasOwn(blocks, name)) return;
    if (placed.length === mostBlocks) return say(`${mostBlocks} blocks are the most; remove one first.`);
    placed.push({ name, weight: 1 });
    show();
    tell();
  };
  const show = (): void => {
    sum.replaceChildren(...placed.map((one, i) => {
      const weight = h("input", {
        ...{ type: "number", step: 0.5, min: -9, max: 9, value: one.weight },
        "aria-label": `How much of ${one.name}`,
        oninput: () => {
          if (!(Math.abs(weight.valueAsNumber) <= 9)) return;
          one.weight = weight.valueAsNumber;
          tell();
        },
      });
      return h(
        "li",
        {},
        i > 0 ? "+ " : "",
        weight,
        ` × ${one.name} `,
        h("button", {
          ...{ type: "button", class: "quiet", "aria-label": `Remove ${one.name}` },
          onclick: () => {
            placed.splice(i, 1);
            show();
            if (placed.length > 0) tell();
          },
        }, "×"),
      );
    }));
    if (placed.length === 0) {
      sum.append(h("li", { class: "hint" }, "Drag blocks here, or click them: their sum is the loss."));
    }
  };
  sum.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes(kind)) return;
    event.preventDefault();
    sum.classList.add("over");
  });
  sum.addEventListener("dragleave", () => sum.classList.remove("over"));
  sum.addEventListener("drop", (event) => {
    sum.classList.remove("over");
    event.preventDefault();
    add(event.dataTransfer?.getData(kind) ?? "");
  });
  show();
  box.replaceChildren(
    h(
      "div",
      { class: "palette", role: "group", "aria-label": "Blocks" },
      ...Object.entries(blocks).map(([name, term]) =>
        h("button", {
          ...{ type: "button", draggable: "true", title: term },
          onclick: () => add(name),
          ondragstart: (event) => (event as DragEvent).dataTransfer?.setData(kind, name),
        }, name)
      ),
    ),
    sum,
  );
}
