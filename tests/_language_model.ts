/**
 * A language model small enough to compute by hand: the logits after a token are a row of a table.
 *
 * @module
 */
import {
  type GenerateOptions,
  generateText,
  generateTokens,
  type GenerationResult,
  type LanguageModel,
  type LanguageModelCache,
  type Tensor,
  tensor,
  type Tokenizer,
  type TokensResult,
} from "../mod.ts";
import { resolveOptions } from "../src/generate/options.ts";

/** Counts positions, and remembers the last id of each row as keys and values would. */
export class TableCache implements LanguageModelCache {
  readonly ids: number[] = [];
  length = 0;
  isDisposed = false;
  /** The text of each row, as far as it was computed. */
  rows: number[][];
  readonly batch: number;
  readonly capacity: number;
  readonly dtype = "f32";

  constructor(batch: number, capacity: number) {
    this.batch = batch;
    this.capacity = capacity;
    this.rows = Array.from({ length: batch }, () => []);
  }

  truncate(length: number): void {
    this.length = Math.min(this.length, length);
    this.ids.length = Math.min(this.ids.length, length);
    for (const row of this.rows) row.length = this.length;
  }

  /** As if a position took four bytes. */
  get byteLength(): number {
    return 4 * this.batch * this.capacity;
  }

  copyRows(from: TableCache, rows: readonly number[], start = 0, end: number = from.length): void {
    const kept = this.rows;
    this.rows = rows.map((
      row,
      i,
    ) => [...(kept[i] ?? []).slice(0, start), ...from.rows[row].slice(start, end)]);
    this.length = end;
    this.ids.splice(0, Infinity, ...end < from.length ? from.ids.slice(0, end) : from.ids);
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

/** Gives `logitsAfter(text)` for each text, and keeps account of what it was fed. */
export class TableModel implements LanguageModel<TableCache> {
  readonly contextLength: number;
  readonly caches: TableCache[] = [];
  /** The number of ids in each row of each call. */
  readonly fed: number[] = [];
  readonly #logitsAfter: (text: readonly number[]) => readonly number[];

  constructor(logitsAfter: (text: readonly number[]) => readonly number[], contextLength = 64) {
    this.#logitsAfter = logitsAfter;
    this.contextLength = contextLength;
  }

  createCache(batch = 1, capacity: number = this.contextLength): TableCache {
    const cache = new TableCache(batch, capacity);
    this.caches.push(cache);
    return cache;
  }

  forward(
    ids: readonly (readonly number[])[],
    { cache, lastOnly }: { cache: TableCache; lastOnly: boolean },
  ): Tensor {
    if (ids.length !== cache.batch) throw new Error(`${ids.length} rows for a cache of ${cache.batch}`);
    if (cache.length + ids[0].length > cache.capacity) throw new Error("more than the cache takes");
    this.fed.push(ids[0].length);
    const before = cache.length;
    ids.forEach((row, i) => cache.rows[i].push(...row));
    cache.length += ids[0].length;
    const from = lastOnly ? cache.length - 1 : before;
    const values = cache.rows.map((row) =>
      Array.from(
        { length: cache.length - from },
        (_, k) => [...this.#logitsAfter(row.slice(0, from + k + 1))],
      )
    );
    return tensor(values, { dtype: "f32", device: "reference" });
  }
}

/** A model that says `script`, whatever the prompt of `start` ids was, and then the script's last id for ever. */
export function scripted(
  script: readonly number[],
  vocabSize: number,
  start: number,
  contextLength?: number,
): TableModel {
  return new TableModel((text) => {
    const next = script[Math.min(text.length - start, script.length - 1)];
    return Array.from({ length: vocabSize }, (_, id) => id === next ? 10 : 0);
  }, contextLength);
}

/** Generates from ids: the new ids and how it ended. */
export async function run(
  model: TableModel,
  prompt: number[],
  options: GenerateOptions = {},
): Promise<TokensResult> {
  const steps = generateTokens(model, prompt, resolveOptions(options));
  for (;;) {
    const step = await steps.next();
    if (step.done) return step.value;
  }
}

/** Generates text: the pieces as they came, and what is said at the end. */
export async function pieces(
  model: TableModel,
  tokenizer: Tokenizer,
  prompt: number[],
  options: GenerateOptions,
): Promise<{ list: string[]; result: GenerationResult }> {
  const stream = generateText(model, tokenizer, prompt, resolveOptions(options)), list: string[] = [];
  for (;;) {
    const step = await stream.next();
    if (step.done) return { list, result: step.value };
    list.push(step.value);
  }
}
