/**
 * `ferrotype logits`: what a model says of the next token, as numbers.
 *
 * @module
 */
import { type CausalLM, LogitsError, noGrad } from "../../mod.ts";
import { type Command, UsageError } from "../command.ts";
import { deviceIdle, loadModel, modelOptions, parseIds } from "../model.ts";
import { print, printJson } from "../output.ts";

/** The command. */
export const logits: Command = {
  name: "logits",
  usage: "--model DIR --prompt-ids 1,2,3 [options]",
  summary: "Prints the logits after a prompt.",
  details:
    "Without --json: the ten likeliest next tokens, one a line, as id, logit and text; with --full and --json, the logits\n" +
    "of all positions.",
  positionals: [0, 1],
  options: {
    ...modelOptions,
    "prompt-ids": { value: "1,2,3", help: "the prompt as token ids (instead of a text)" },
    full: { help: "with --json, the logits of all positions" },
    loss: { help: "the mean cross-entropy of each token given those before it, in nats" },
  },
  idle: [
    ...deviceIdle,
    {
      option: "full",
      when: ({ json }) => !json,
      because: "the logits of all positions are told with --json only",
    },
  ],
  async run(values, positionals) {
    const text = values.text("prompt-ids");
    if ((text === undefined) === (positionals.length === 0)) {
      throw new UsageError("logits: give a prompt, either as --prompt-ids 1,2,3 or as a text");
    }
    const given = text === undefined ? null : parseIds(text);
    const { model } = await loadModel(values);
    const ids = given ?? model.encode(positionals[0]);
    if (ids.length === 0) throw new UsageError("logits: the prompt is empty; give at least one token");
    if (values.flag("loss") && ids.length < 2) {
      throw new UsageError(
        "logits: --loss needs at least 2 tokens, one to tell another from; the prompt has 1",
      );
    }
    const result = noGrad(() => model.forward([ids]));
    const rows = (await result.toArray() as number[][][])[0];
    await demandNumbers(model, rows);
    const last = rows[rows.length - 1];
    const loss = values.flag("loss") ? await noGrad(() => model.loss([ids])).item() : undefined;
    if (values.flag("json")) {
      return await printJson({
        shape: result.shape,
        last,
        ...(values.flag("full") ? { logits: rows } : {}),
        ...(loss === undefined ? {} : { loss }),
      });
    }
    if (loss !== undefined) await print(`loss ${loss}`);
    const best = last.map((value, id) => ({ value, id })).sort((a, b) => b.value - a.value).slice(0, 10);
    for (const { value, id } of best) {
      const shown = model.tokenizer ? JSON.stringify(model.tokenizer.decode([id])) : "";
      await print(`${String(id).padStart(6)}  ${value.toFixed(6).padStart(12)}  ${shown}`);
    }
  },
};

/** @throws {LogitsError} for a logit that is NaN or ∞, naming the weight behind it. */
async function demandNumbers(model: CausalLM, rows: readonly (readonly number[])[]): Promise<void> {
  for (const [position, row] of rows.entries()) {
    const id = row.findIndex((x) => !(x < Infinity));
    if (id < 0) continue;
    const { whyIn } = await import("../../src/nn/flaw.ts"), why = await whyIn(model.namedParameters());
    throw new LogitsError(`logits: at position ${position} the logit of id ${id} is ${row[id]}: ${why}`);
  }
}
