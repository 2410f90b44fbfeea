/**
 * Tokenizers: with the vocabulary of a file, or with GPT-2's own where they bring it along.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Prepare } from "./host.ts";

/** Task "encode": text (a file), tokenizer (a tokenizer.json). */
export const prepare: Prepare = async (rival, _task, { text: file, tokenizer }, modules) => {
  const text = readFileSync(file, "utf8");
  if (rival === "@huggingface/tokenizers") {
    const { Tokenizer } = await import(
      pathToFileURL(join(modules, "@huggingface/tokenizers/dist/tokenizers.mjs")).href
    );
    const made = new Tokenizer(JSON.parse(readFileSync(tokenizer, "utf8")), {});
    return () => made.encode(text);
  }
  const require = createRequire(join(modules, "x.js"));
  if (rival === "gpt-tokenizer") {
    const { encode } = require("gpt-tokenizer/encoding/r50k_base");
    return () => encode(text);
  }
  const encoding = require("tiktoken").get_encoding("gpt2");
  return () => encoding.encode(text);
};
