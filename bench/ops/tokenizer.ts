/**
 * Byte-level BPE: encoding of a megabyte of this repository's own source text, and learning merges from a hundred of words
 * drawn from it.
 *
 * @module
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BpeTokenizer } from "../../mod.ts";
import { residentMemory } from "../../src/platform/platform.ts";
import type { Bench, Group, Row } from "../harness.ts";

/** Texts of a megabyte: words of `text` in another order, some of them cut and joined, some with a number. */
async function* scrambled(text: string, megabytes: number): AsyncGenerator<string> {
  const words = text.split(/(?<=\s)/);
  let state = 12345;
  const draw = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  for (let i = 0; i < megabytes; i++) {
    const parts: string[] = [];
    for (let length = 0; length < 1e6; length += parts[parts.length - 1].length) {
      const word = words[draw(words.length)], kind = draw(100);
      parts.push(
        kind < 3 ? word.slice(0, 3) + words[draw(words.length)] : kind < 4 ? `${draw(1e6)} ${word}` : word,
      );
    }
    yield await Promise.resolve(parts.join(""));
  }
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts")).sort();
  const text = files.map((file) => readFileSync(join(root, "src", file), "utf8")).join("\n").slice(0, 1e6);
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-bench-"));
  try {
    const tokenizer = BpeTokenizer.train(text.slice(0, 300_000), { vocabSize: 4096 });
    const paths = { text: join(folder, "text.txt"), tokenizer: join(folder, "tokenizer.json") };
    writeFileSync(paths.text, text);
    writeFileSync(paths.tokenizer, JSON.stringify(tokenizer.toJSON()));
    yield {
      name: "encode 1 MB",
      unit: "MB/s",
      amount: new TextEncoder().encode(text).length / 1e6,
      subjects: [{ name: "ours", run: () => tokenizer.encode(text) }],
      rivals: ["@huggingface/tokenizers", "gpt-tokenizer", "tiktoken"].map((name) =>
        bench.rivals.job(name, "encode", paths)
      ),
      note:
        "gpt-tokenizer and tiktoken encode with GPT-2's own vocabulary, the others with one of 4,096 tokens made for it",
    };
    const megabytes = bench.settings.quick ? 5 : 100, before = residentMemory() ?? NaN;
    let peak = before;
    const train = async (): Promise<number> => {
      const started = performance.now();
      const onProgress = (): void => void (peak = Math.max(peak, residentMemory() ?? NaN));
      await BpeTokenizer.train(scrambled(text, megabytes), { vocabSize: 32_000, onProgress });
      return (performance.now() - started) / 1000;
    };
    await train();
    yield {
      name: `learn 32,000 tokens from ${megabytes} MB`,
      unit: "s",
      amount: 1,
      subjects: [{ name: "ours", run: train, atMost: 60 }],
      note: `the texts come one by one; memory grows by ${((peak - before) / 1e6).toFixed(0)} MB`,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Tokenizers. */
export const group: Group = { name: "tokenizer", rows };
