/**
 * The script of a trained model as one HTML file: it asks nobody for anything.
 *
 * @module
 */
import { type Carried, predictor } from "./plain.ts";
import type { ColumnWords } from "./words.ts";

/** What the file holds beside this script. */
export interface Standalone {
  readonly model: Carried;
  readonly target: ColumnWords;
  readonly columns: readonly ColumnWords[];
  /** Regression: 90 % of truths lie this near; null where that is not known. */
  readonly radius: number | null;
}

const { model, target, columns, radius } = (globalThis as unknown as { STANDALONE: Standalone }).STANDALONE;
const { schema } = model, predict = predictor(model);
const cells = schema.columns.map(({ categories, quantiles, fill }) =>
  categories.length > 0 ? 0 : quantiles[10] ?? fill
);
const round = (x: number): string =>
  Number(x.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
const make = (name: string, text = ""): HTMLElement =>
  Object.assign(document.createElement(name), { textContent: text });

function show(): void {
  const said = predict(cells), answer = document.getElementById("answer")!;
  const unit = target[1] ? ` ${target[1]}` : "";
  if (schema.target.task === "regression") {
    answer.replaceChildren(make("strong", round(said[0]) + unit));
    if (radius !== null) {
      answer.append(
        make("p", `90 % of truths lie from ${round(said[0] - radius)} to ${round(said[0] + radius)}${unit}`),
      );
    }
    return;
  }
  const order = [...said.keys()].sort((a, b) => said[b] - said[a]);
  const named = (k: number): string => target[2]?.[schema.target.classes[k]] ?? schema.target.classes[k];
  answer.replaceChildren(make("strong", named(order[0])));
  for (const k of order) {
    const row = make("p", `${named(k)} ${(100 * said[k]).toFixed(1)} %`),
      bar = document.createElement("meter");
    bar.value = said[k];
    row.append(bar);
    answer.append(row);
  }
}

schema.columns.forEach((column, c) => {
  if (column.ignored !== null) return;
  const [label, unit, values] = columns[c], field = make("label", unit ? `${label}, ${unit}` : label);
  const options = values
    ? Object.entries(values).map(([cell, text]) => [Number(cell), text] as const)
    : column.categories.map((text, cell) => [cell, text] as const);
  if (options.length > 0) {
    const select = document.createElement("select");
    for (const [cell, text] of options) {
      select.append(new Option(text, String(cell), false, cell === cells[c]));
    }
    select.addEventListener("change", () => (cells[c] = Number(select.value), show()));
    field.append(select);
  } else {
    const input = Object.assign(document.createElement("input"), { type: "range" }), out = make("output");
    const whole = column.quantiles.every(Number.isInteger);
    Object.assign(input, {
      min: column.min,
      max: column.max,
      step: whole ? 1 : (column.max - column.min) / 200 || 1,
    });
    input.value = String(cells[c]);
    out.textContent = round(cells[c]);
    input.addEventListener("input", () => {
      cells[c] = input.valueAsNumber;
      out.textContent = round(cells[c]);
      show();
    });
    field.append(out, input);
  }
  document.getElementById("inputs")!.append(field);
});
show();
