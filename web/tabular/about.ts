/**
 * How good a model is, and what it is made of, as a table in words.
 *
 * @module
 */
import type { ColumnSummary } from "../engine/tables.ts";
import { h } from "../shared/elements.ts";
import { withoutFlags } from "./words.ts";

/** What is measured on held-out rows, in words; the others are left to the command. */
const measures: Readonly<Record<string, string>> = {
  accuracy: "Share of right answers",
  logLoss: "Log loss, in nats",
  macroF1: "F1, the mean of all classes",
  auc: "Area under the ROC curve",
  ece: "Error of its certainty (ECE)",
  brier: "Brier score",
  rmse: "Root mean square error",
  mae: "Mean absolute error",
  r2: "R², the share it explains",
};

/** "2 networks of 4 → 32 → 3, and 1 of 4 → 3". */
function networksOf(networks: ColumnSummary["networks"]): string {
  const counts = new Map<string, number>();
  for (const { widths } of networks) {
    const shape = widths.join(" → ");
    counts.set(shape, (counts.get(shape) ?? 0) + 1);
  }
  return [...counts].map(([shape, count], i) =>
    i > 0 ? `${count} of ${shape}` : `${count} ${count === 1 ? "network" : "networks"} of ${shape}`
  ).join(", and ");
}

/** Fills the card's part. */
export function describe(model: ColumnSummary, short: (x: number) => string): HTMLElement[] {
  const { heldOut, standardError, baseline, rows, source, reading, split, networks, weights } = model;
  const names = Object.keys(measures).filter((name) => name in heldOut && name in baseline);
  return [
    h("p", {}, `${source}: ${rows.toLocaleString("en")} rows`),
    ...reading.map((text) => h("p", { class: "hint" }, withoutFlags(text))),
    h(
      "p",
      { class: "hint" },
      `Built of ${networksOf(networks)} numbers: ${
        weights.toLocaleString("en")
      } weights. What they say is mixed.`,
    ),
    h("p", { class: "hint" }, `Measured on rows that it had not seen: ${split}`),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Measures" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ...["", "this model", "always the same"].map((text, i) =>
              i === 0 ? h("td", {}) : h("th", { class: "number", scope: "col" }, text)
            ),
          ),
        ),
        h(
          "tbody",
          {},
          ...names.map((name) => {
            const error = standardError[name];
            return h(
              "tr",
              {},
              h("th", { scope: "row" }, measures[name]),
              h(
                "td",
                { class: "number" },
                short(heldOut[name]) + (error === undefined ? "" : ` ± ${short(error)}`),
              ),
              h("td", { class: "number" }, short(baseline[name])),
            );
          }),
        ),
      ),
    ),
  ];
}
