/**
 * `ferrotype eval`: how well a model predicts a text.
 *
 * @module
 */
import { number, oneOf, whole } from "../../src/core/kinds.ts";
import { type CacheDType, evaluate } from "../../mod.ts";
import { onStop } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, LiveLine, print, printJson } from "../output.ts";
import { readText, splitText } from "../text.ts";

/** The command. */
export const evalCommand: Command = {
  name: "eval",
  usage: "TEXTFILE [options]",
  summary: "Prints loss, perplexity and bits per byte of a model on a text.",
  details:
    "The text is read in windows of --block-size tokens; of each window, the last --stride tokens count, so that every\n" +
    "token is predicted once with as much before it as the windows allow.",
  positionals: [1, 1],
  options: {
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
  idle: deviceIdle,
  async run(values, positionals) {
    const [, text] = splitText(await readText(positionals[0]), values.number("fraction") ?? 1);
    if (text === "") throw new UsageError(`eval: ${positionals[0]} is empty; there is nothing to predict`);
    const bytes = new TextEncoder().encode(text).length;
    const controller = new AbortController(), remove = onStop(() => controller.abort());
    const line = new LiveLine();
    try {
      const { model, name } = await loadModel(values, controller.signal);
      if (!model.tokenizer) throw new UsageError(`${name} has no tokenizer to read the text with`);
      const ids = model.tokenizer.encode(text);
      const blockSize = values.number("block-size") ?? model.contextLength;
      if (blockSize > model.contextLength) {
        throw new UsageError(
          `--block-size is ${blockSize}, expected at most the model's ${
            counted(model.contextLength, "position")
          }`,
        );
      }
      const cacheDType = values.text("cache-dtype");
      const result = await evaluate(model, ids, {
        blockSize,
        stride: values.number("stride") ?? Math.max(1, blockSize >> 1),
        batchSize: values.number("batch-size") ?? 8,
        bytes,
        ...(cacheDType === undefined ? {} : { cacheDType: cacheDType as CacheDType }),
        signal: controller.signal,
        onProgress: ({ done, total }) => void line.show(`${done} of ${counted(total, "window")}`),
      });
      await line.end();
      const { loss, perplexity, bitsPerByte = NaN, tokens } = result;
      if (values.flag("json")) {
        return await printJson({
          model: name,
          loss,
          perplexity,
          bits_per_byte: bitsPerByte,
          tokens,
          bytes,
          block_size: blockSize,
        });
      }
      await print(
        `loss ${loss.toFixed(4)} nats a token; perplexity ${perplexity.toFixed(3)}; ` +
          `${bitsPerByte.toFixed(4)} bits a byte; ${counted(tokens, "token")}`,
      );
    } finally {
      remove();
    }
  },
};
