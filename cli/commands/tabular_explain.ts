/**
 * `ferrotype tabular explain`: which columns matter to a model, and what each adds to one prediction.
 *
 * @module
 */
import type { Command } from "../command.ts";
import { print, printJson } from "../output.ts";
import { demandEvaluation, figure, importanceLines, openModel, parseRow } from "../tabular.ts";

/** The command. */
export const tabularExplain: Command = {
  name: "tabular explain",
  usage: "FILE [name=value … | '{\"name\": value}']",
  summary:
    "Tells which columns matter (permutation importance), or what each adds to the prediction of a row.",
  details:
    "Importance was measured on held-out rows when the model was fitted. Contributions are Shapley values against usual rows.",
  positionals: [1, 10_000],
  options: {},
  async run(values, [path, ...words]) {
    const row = words.length ? parseRow(words) : null;
    using model = await openModel(path);
    if (row === null) {
      const evaluation = demandEvaluation(model, path);
      if (values.flag("json")) {
        const metric = evaluation.confusion ? "accuracy" : "r2";
        return await printJson({ metric, importance: evaluation.importance });
      }
      for (const line of importanceLines(evaluation, Infinity)) await print(line);
      return;
    }
    const explanation = await model.explain(row), { outputs, prediction, base } = explanation;
    if (values.flag("json")) return await printJson({ target: model.schema.target.name, ...explanation });
    let best = 0;
    prediction.forEach((p, i) => best = p > prediction[best] ? i : best);
    const classification = model.schema.target.task === "classification";
    const show = (v: number): string => classification ? `${(v * 100).toFixed(2)} %` : figure(v);
    const signed = (v: number): string => `${v < 0 ? "−" : "+"}${show(Math.abs(v))}`;
    await print(
      classification
        ? `probability of "${outputs[best]}": ${show(prediction[best])}`
        : `${outputs[0]}: ${show(prediction[0])}`,
    );
    const ordered = [...explanation.columns].sort((a, b) =>
      Math.abs(b.contribution[best]) - Math.abs(a.contribution[best])
    );
    const width = Math.max("usual rows".length, ...ordered.map(({ column }) => column.length));
    await print(`  ${"usual rows".padEnd(width)}  ${show(base[best]).padStart(12)}`);
    for (const { column, contribution } of ordered) {
      await print(`  ${column.padEnd(width)}  ${signed(contribution[best]).padStart(12)}`);
    }
  },
};
