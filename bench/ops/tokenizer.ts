/**
 * Byte-level BPE: encoding of a megabyte of this repository's own source text.
 *
 * @module
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BpeTokenizer } from "../../mod.ts";
import type { Bench, Group, Row } from "../harness.ts";

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
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Tokenizers. */
export const group: Group = { name: "tokenizer", rows };
