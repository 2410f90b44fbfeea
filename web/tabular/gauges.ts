/**
 * How sure an answer is, drawn: doubt between classes as a gauge, a value on the scale of all that was seen.
 *
 * @module
 */
import type { InputSummary } from "../engine/tables.ts";
import { h } from "../shared/elements.ts";

const svg = "http://www.w3.org/2000/svg";

function shape(name: string, attributes: Readonly<Record<string, string | number>>, text = ""): SVGElement {
  const made = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/** A point of the half circle, `part` of the way from left to right. */
const onArc = (part: number, radius: number): string =>
  `${(60 - radius * Math.cos(Math.PI * part)).toFixed(2)} ${
    (58 - radius * Math.sin(Math.PI * part)).toFixed(2)
  }`;

/** Doubt from none (left) to as much as there can be (right): entropy as a share of the largest. */
export function entropyGauge(bits: number, share: number, classes: number): HTMLElement {
  const part = Math.min(Math.max(share, 0), 1), most = Math.log2(classes);
  const label = `Doubt: ${bits.toFixed(2)} of ${most.toFixed(2)} bits`;
  const picture = shape("svg", { viewBox: "0 0 120 66", class: "gauge", role: "img", "aria-label": label });
  picture.append(
    shape("path", { d: `M ${onArc(0, 46)} A 46 46 0 0 1 ${onArc(1, 46)}`, class: "gauge-all" }),
    shape("path", { d: `M ${onArc(0, 46)} A 46 46 0 0 1 ${onArc(part, 46)}`, class: "gauge-part" }),
    shape("line", {
      x1: 60,
      y1: 58,
      x2: onArc(part, 40).split(" ")[0],
      y2: onArc(part, 40).split(" ")[1],
      class: "gauge-hand",
    }),
    shape("circle", { cx: 60, cy: 58, r: 3.5, class: "gauge-hub" }),
  );
  return h(
    "figure",
    { class: "doubt" },
    picture as unknown as HTMLElement,
    h(
      "figcaption",
      { class: "hint" },
      `${label}: ${part < 0.005 ? "none" : `${(100 * part).toFixed(0)} % of what is possible`}`,
    ),
  );
}

/** What a scale shows, all in the unit of the value. */
export interface OnScale {
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly lower: number;
  readonly upper: number;
  /** The share of truths between lower and upper. */
  readonly level: number;
}

/** The value on the range of all rows, with their mean, and the interval that holds most truths. */
export function valueScale(
  { value, min, max, mean, lower, upper, level }: OnScale,
  short: (value: number) => string,
): HTMLElement {
  const reach = max - min || 1, at = (x: number): number => 100 * Math.min(Math.max((x - min) / reach, 0), 1);
  const mark = (name: string, x: number): HTMLElement =>
    h("span", { class: name, style: `left:${at(x).toFixed(2)}%` });
  const label = `${short(value)} on a scale from ${short(min)} to ${short(max)}, the mean of all rows being ${
    short(mean)
  }; ${(100 * level).toFixed(0)} % of truths lie from ${short(lower)} to ${short(upper)}`;
  return h(
    "div",
    { class: "scale", role: "img", "aria-label": label },
    h(
      "div",
      { class: "scale-line" },
      h("span", {
        class: "scale-interval",
        style: `left:${at(lower).toFixed(2)}%;width:${(at(upper) - at(lower)).toFixed(2)}%`,
      }),
      mark("scale-mean", mean),
      mark("scale-value", value),
    ),
    h(
      "div",
      { class: "scale-ends hint" },
      h("span", {}, short(min)),
      h("span", { class: "scale-mean-name", style: `left:${at(mean).toFixed(2)}%` }, `mean ${short(mean)}`),
      h("span", {}, short(max)),
    ),
  );
}

/** How usual a value is, by how many deviations it is from the mean: the name of a colour. */
const usual = (z: number): string => Math.abs(z) < 1 ? "near" : Math.abs(z) < 2 ? "off" : "far";

/** Where a value lies in what was seen of an input: a bar from the mean, whose colour says how usual that is. */
export function inputScale(
  { min, max, mean, std }: InputSummary,
  short: (value: number) => string,
): { readonly element: HTMLElement; show(value: number): void } {
  const reach = max - min || 1, at = (x: number): number => 100 * Math.min(Math.max((x - min) / reach, 0), 1);
  const bar = h("span"), text = h("span", {});
  const element = h(
    "div",
    { class: "input-scale hint" },
    h(
      "div",
      { class: "input-line", "aria-hidden": "true" },
      bar,
      h("span", { class: "input-mean", style: `left:${at(mean).toFixed(2)}%` }),
    ),
    h("div", {}, h("span", {}, short(min)), text, h("span", {}, short(max))),
  );
  return {
    element,
    show(value: number): void {
      const z = (value - mean) / (std || 1), from = at(Math.min(value, mean)), to = at(Math.max(value, mean));
      bar.className = `input-part ${usual(z)}`;
      bar.style.cssText = `left:${from.toFixed(2)}%;width:${(to - from).toFixed(2)}%`;
      text.textContent = `mean ${short(mean)}, z ${z < 0 ? "−" : "+"}${Math.abs(z).toFixed(1)}`;
    },
  };
}
