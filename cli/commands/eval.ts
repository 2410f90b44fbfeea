/**
 * `ferrotype eval`: how well a model predicts a text, or many.
 *
 * @module
 */
import { number, oneOf, whole } from "../../src/core/kinds.ts";
import { type CacheDType, type CausalLM, evaluate, FerrotypeError } from "../../mod.ts";
import { onStop, stopStatus } from "../../src/platform/platform.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, LiveLine, note, print, printJson } from "../output.ts";
import { readText, splitText } from "../text.ts";
import type { Line } from "../sharing/records.ts";
import { settingsOf } from "../sharing/settings.ts";
import { share, sharingIdle, sharingOptions, type Work } from "../sharing/work.ts";

/** How well one text is predicted. */
interface Found {
  /** Mean loss of a token. */
  readonly loss: number;
  readonly perplexity: number;
  readonly bits_per_byte: number;
  readonly tokens: number;
  readonly bytes: number;
  readonly block_size: number;
}

/** The part of a file's text that is asked for. */
async function textOf(values: Values, path: string): Promise<string> {
  const [, text] = splitText(await readText(path), values.number("fraction") ?? 1);
  if (text === "") throw new UsageError(`eval: ${path} is empty; there is nothing to predict`);
  return text;
}

/** A model that has a tokenizer, and windows that it has room for. */
async function modelOf(values: Values, signal: AbortSignal): Promise<{ model: CausalLM; name: string }> {
  const { model, name } = await loadModel(values, signal), blockSize = values.number("block-size") ?? 0;
  if (!model.tokenizer) throw new UsageError(`${name} has no tokenizer to read the text with`);
  if (blockSize > model.contextLength) {
    const most = counted(model.contextLength, "position");
    throw new UsageError(`--block-size is ${blockSize}, expected at most the model's ${most}`);
  }
  return { model, name };
}

async function look(
  values: Values,
  model: CausalLM,
  text: string,
  signal: AbortSignal,
  onProgress: (progress: { done: number; total: number }) => void,
): Promise<Found> {
  const blockSize = values.number("block-size") ?? model.contextLength,
    bytes = new TextEncoder().encode(text).length;
  const cacheDType = values.text("cache-dtype");
  const { loss, perplexity, bitsPerByte = NaN, tokens } = await evaluate(
    model,
    model.tokenizer!.encode(text),
    {
      blockSize,
      stride: values.number("stride") ?? Math.max(1, blockSize >> 1),
      batchSize: values.number("batch-size") ?? 8,
      bytes,
      ...(cacheDType === undefined ? {} : { cacheDType: cacheDType as CacheDType }),
      signal,
      onProgress,
    },
  );
  return { loss, perplexity, bits_per_byte: bitsPerByte, tokens, bytes, block_size: blockSize };
}

const said = ({ loss, perplexity, bits_per_byte: bits, tokens }: Omit<Found, "block_size">): string =>
  `loss ${loss.toFixed(4)} nats a token; perplexity ${perplexity.toFixed(3)}; ${
    bits.toFixed(4)
  } bits a byte; ${counted(tokens, "token")}`;

/** The texts together: each token counts the same. */
function together(found: readonly Found[]): Omit<Found, "block_size"> {
  const sum = (f: (one: Found) => number): number => found.reduce((all, one) => all + f(one), 0);
  const tokens = sum((one) => one.tokens), bytes = sum((one) => one.bytes);
  const loss = sum((one) => one.loss * one.tokens) / tokens;
  return {
    loss,
    perplexity: Math.exp(loss),
    bits_per_byte: sum((one) => one.bits_per_byte * one.bytes) / bytes,
    tokens,
    bytes,
  };
}

/** Many texts, each a piece of work. A text that cannot be read, or has nothing to predict, failed, and is no result. */
function workOf(values: Values, paths: readonly string[]): Work<{ readonly id: string }> {
  return {
    form: { command: "eval", output: "results.jsonl", begins: '{"file":', key: "file", failure: "error" },
    ...{ noun: "text", pieces: paths.map((id) => ({ id })), content: null },
    settings: () => settingsOf(values, ["dtype", "block-size", "stride", "cache-dtype", "fraction"]),
    hopeless: ({ id }) => ({ file: id, error: "every worker that was at it died" }),
    prepare: async (signal) => {
      const { model } = await modelOf(values, signal);
      const work = async ({ id }: { readonly id: string }): Promise<Line> => {
        try {
          return { file: id, ...await look(values, model, await textOf(values, id), signal, () => {}) };
        } catch (error) {
          if (signal.aborted || !(error instanceof FerrotypeError || error instanceof UsageError)) {
            throw error;
          }
          return { file: id, error: error.message.replace(/^eval: /, "") };
        }
      };
      return { most: 1, work, end: () => model.dispose() };
    },
  };
}

async function many(values: Values, paths: readonly string[], out: string): Promise<number> {
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice !== undefined) {
    throw new UsageError(`eval: ${twice} is given twice; each text is one of many once`);
  }
  if (paths.includes("-")) throw new UsageError("eval: with -o texts are files; name one instead of -");
  const { done, output, isStopped, lines, failures } = await share(values, out, workOf(values, paths));
  const good = paths.flatMap((path) => lines.has(path) ? [JSON.parse(lines.get(path)!) as Found] : []);
  const bad = paths.filter((path) => failures.has(path));
  const all = good.length > 0 ? together(good) : null;
  if (values.flag("json")) {
    const finished = output !== null;
    await printJson({
      out,
      texts: paths.length,
      evaluated: done,
      failed: bad.length,
      finished,
      output,
      ...all,
    });
  } else {
    if (all) await print(`${said(all)} of ${counted(good.length, "text")}`);
    const failed = bad.length > 0 ? `, ${bad.length} failed` : "";
    await note(`${done} of ${counted(paths.length, "text")} evaluated${failed}; ${output ?? out}`);
  }
  if (isStopped) return stopStatus();
  if (bad.length === 0) return 0;
  const why = failures.get(bad[0])!;
  throw new FerrotypeError(
    `eval: ${counted(bad.length, "text")} of ${paths.length} failed; the first: ${
      why.includes(bad[0]) ? why : `${bad[0]}: ${why}`
    }`,
  );
}

/** The command. */
export const evalCommand: Command = {
  name: "eval",
  usage: "TEXTFILE … [options]",
  summary: "Prints loss, perplexity and bits per byte of a model on a text, or on many.",
  details:
    "The text is read in windows of --block-size tokens; of each window, the last --stride tokens count, so that every\n" +
    "token is predicted once with as much before it as the windows allow.\n" +
    "With -o DIR each of many texts is a line of DIR/results.jsonl, in their order, once all are there; what DIR holds is not computed\n" +
    "again, and another model or other options than DIR was begun with (its settings.json) are refused. A text that fails is tried again\n" +
    "next time. Workers of an array (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or --share) take every Nth text,\n" +
    "those of a --queue the next one.",
  positionals: [1, Infinity],
  options: {
    out: { short: "o", value: "DIR", help: "where lines for each text go; workers share it" },
    ...sharingOptions("texts", "takes every Nth text"),
    status: { help: "with -o: tell how many are evaluated, and evaluate none" },
    ...modelOptions,
    "block-size": {
      value: "N",
      kind: whole(2),
      help: "tokens in a window (default: the model's positions)",
    },
    stride: {
      value: "N",
      kind: whole(1),
      help: "tokens from one window to the next (default: half a window)",
    },
    "batch-size": { value: "N", kind: whole(1), help: "windows at a time (default 8)" },
    "cache-dtype": {
      value: "DTYPE",
      kind: oneOf("f32", "f16", "bf16", "q8"),
      help: "keys and values go through a cache that stores them so",
    },
    fraction: {
      value: "F",
      kind: number({ above: 0, to: 1 }),
      help: "only the last F of the text (0.1: the last tenth)",
    },
  },
  idle: [
    ...deviceIdle,
    ...sharingIdle,
    {
      option: ["share", "queue", "status"],
      when: ({ out }) => out === undefined,
      because: "there is no -o DIR to record in",
    },
    {
      option: [
        ...[...Object.keys(modelOptions), "share"],
        ...["block-size", "stride", "batch-size", "cache-dtype", "fraction"],
      ],
      when: ({ status }) => status === true,
      because: "--status only tells, and evaluates none",
    },
  ],
  async run(values, paths) {
    const out = values.text("out");
    if (out !== undefined) return await many(values, paths, out);
    if (paths.length > 1) {
      throw new UsageError(
        `eval: ${counted(paths.length, "text")} are given; say with -o DIR where their lines go`,
      );
    }
    const text = await textOf(values, paths[0]), line = new LiveLine();
    const controller = new AbortController(), remove = onStop(() => controller.abort());
    try {
      const { model, name } = await modelOf(values, controller.signal);
      const found = await look(values, model, text, controller.signal, ({ done, total }) => {
        void line.show(`${done} of ${counted(total, "window")}`);
      });
      await line.end();
      if (values.flag("json")) await printJson({ model: name, ...found });
      else await print(said(found));
    } finally {
      remove();
    }
    return 0;
  },
};
