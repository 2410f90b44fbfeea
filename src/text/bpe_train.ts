/**
 * Learning the merges of a byte-level BPE tokenizer.
 *
 * The texts are read once, piece by piece, into a table of distinct words with their counts; that table is all that
 * is kept of them. Then the most frequent pair of neighbours is merged, again and again. A merge touches only the
 * words that contain its pair: each pair knows these words, and counts change by differences. The heap holds counts
 * that may be out of date; one that is is put back with the true count. Choice and ties are those of the Rust
 * library of Hugging Face (`BpeTrainer`).
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { OptionError, throwIfAborted } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import { counted } from "../core/show.ts";
import { type AddedToken, AddedTokens } from "./added_tokens.ts";
import { bytesInSymbolOrder, byteSymbols } from "./bytes.ts";
import { PairCounts } from "./pair_counts.ts";
import { pieceEnd } from "./pattern.ts";
import { toWtf8 } from "./utf8.ts";
import { WordTable } from "./words.ts";

/**
 * How far the training of a tokenizer is.
 *
 * @category Text
 */
export interface BpeTrainProgress {
  /** `count`: reading the texts; `merge`: learning merges. */
  readonly phase: "count" | "merge";
  /** Code units read, or merges learnt. */
  readonly done: number;
  /** Merges wanted; unknown while counting. */
  readonly total: number | undefined;
}

/**
 * Options of `BpeTokenizer.train`.
 *
 * @category Text
 */
export interface BpeTrainOptions {
  /** Size of the vocabulary: 256 bytes, the merges, the special tokens. It comes out smaller when pairs run out. */
  readonly vocabSize: number;
  /** How often a pair must occur to be merged. Default 2. */
  readonly minFrequency?: number;
  /** Special tokens, which get the last ids. Where they stand in the texts nothing is learnt. Default `<|endoftext|>`. */
  readonly specialTokens?: readonly string[];
  /** Told from time to time how far it is. */
  readonly onProgress?: (progress: BpeTrainProgress) => void;
  /** Stops the training with CancelledError. */
  readonly signal?: AbortSignal;
}

const trainOptions: OptionTable<BpeTrainOptions> = {
  vocabSize: required(kinds.whole(256)),
  minFrequency: kinds.number({ from: 1 }),
  specialTokens: kinds.listOf(kinds.someText, "a list of texts of at least one character"),
  onProgress: kinds.callback,
  signal: kinds.abortSignal,
};

/** What training gives: the parts of a tokenizer. */
export interface TrainedBpe {
  readonly vocab: Map<string, number>;
  readonly merges: [first: string, second: string][];
  readonly addedTokens: AddedToken[];
}

const MERGES_A_STEP = 16;

/** Trains on texts that are there. Each text stands alone: no piece reaches from one into the next. */
export function trainBpe(texts: Iterable<string>, options: BpeTrainOptions): TrainedBpe {
  const trainer = new BpeTrainer(options);
  for (const text of texts) trainer.count(text);
  while (trainer.mergeSome());
  return trainer.parts();
}

/** Trains on texts as they arrive, and lets others run now and then, so that a signal can be heard. */
export async function trainBpeAsync(
  texts: AsyncIterable<string>,
  options: BpeTrainOptions,
): Promise<TrainedBpe> {
  const trainer = new BpeTrainer(options);
  for await (const text of texts) trainer.count(text);
  for (const breathe = breather(); trainer.mergeSome();) await breathe();
  return trainer.parts();
}

class BpeTrainer {
  readonly #options: BpeTrainOptions;
  readonly #minFrequency: number;
  readonly #specials: AddedTokens;
  readonly #merges: [first: string, second: string][] = [];
  readonly #wanted: number;
  readonly #tokens: string[] = bytesInSymbolOrder.map((byte) => byteSymbols[byte]);
  readonly #ids: Map<string, number> = new Map(this.#tokens.map((token, id) => [token, id]));

  #words: WordTable | undefined = new WordTable();
  #wordCounts = new Float64Array(1 << 12);
  #read = 0;

  // Word n is symbols[starts[n], starts[n] + lengths[n]).
  #symbols = new Int32Array(0);
  #starts = new Int32Array(0);
  #lengths = new Int32Array(0);
  #pairs: PairCounts | undefined;

  constructor(options: BpeTrainOptions) {
    checkOptions("BpeTokenizer.train", options, trainOptions);
    const specials = options.specialTokens ?? ["<|endoftext|>"];
    if (options.vocabSize < 256 + specials.length) {
      throw new OptionError(
        `vocabSize should be an integer of at least ${256 + specials.length}, for 256 bytes and ` +
          `${counted(specials.length, "special token")}, and is ${options.vocabSize}`,
      );
    }
    this.#minFrequency = options.minFrequency ?? 2;
    if (
      new Set(specials).size !== specials.length ||
      specials.some((token) => token === "" || this.#ids.has(token))
    ) {
      throw new OptionError(
        `specialTokens should be distinct, not empty and no byte symbols, and are ${
          JSON.stringify(specials)
        }`,
      );
    }
    this.#options = options;
    this.#specials = new AddedTokens(specials.map((content, id) => ({ id, content })));
    this.#wanted = options.vocabSize - specials.length;
  }

  /** Counts the words of a text. */
  count(text: string): void {
    throwIfAborted(this.#options.signal, "training the tokenizer");
    const words = this.#words!;
    this.#specials.split(text, false, (start, end) => {
      for (let from = start; from < end;) {
        const to = pieceEnd(text, from, end), found = words.add(text, from, to);
        if (words.size > this.#wordCounts.length) {
          const larger = new Float64Array(2 * this.#wordCounts.length);
          larger.set(this.#wordCounts);
          this.#wordCounts = larger;
        }
        this.#wordCounts[found < 0 ? ~found : found]++;
        from = to;
      }
    }, () => {});
    this.#read += text.length;
    this.#options.onProgress?.({ phase: "count", done: this.#read, total: undefined });
  }

  /** Learns some more merges; false when there are no more to learn. */
  mergeSome(): boolean {
    throwIfAborted(this.#options.signal, "training the tokenizer");
    const pairs = this.#pairs ??= this.#countPairs();
    let more = true;
    for (let k = 0; k < MERGES_A_STEP && more; k++) more = this.#mergeBest(pairs);
    const done = this.#tokens.length - 256;
    this.#options.onProgress?.({ phase: "merge", done, total: this.#wanted - 256 });
    return more;
  }

  /** The tokenizer that has been learnt. */
  parts(): TrainedBpe {
    const vocab = new Map(this.#ids);
    const addedTokens: AddedToken[] = [];
    for (const { content } of this.#specials.byId.values()) {
      const id = vocab.size;
      vocab.set(content, id);
      addedTokens.push({ id, content });
    }
    return { vocab, merges: this.#merges, addedTokens };
  }

  /** Words become runs of byte ids, and the counts of their pairs are taken. */
  #countPairs(): PairCounts {
    const words = this.#words!, pairs = new PairCounts();
    this.#words = undefined;
    const byteIds = new Int32Array(256);
    bytesInSymbolOrder.forEach((byte, id) => byteIds[byte] = id);
    this.#starts = new Int32Array(words.size);
    this.#lengths = new Int32Array(words.size);
    let symbols = new Int32Array(2 * words.units + 16), at = 0;
    for (let word = 0; word < words.size; word++) {
      const bytes = toWtf8(words.word(word));
      if (at + bytes.length > symbols.length) {
        const larger = new Int32Array(2 * symbols.length + bytes.length);
        larger.set(symbols);
        symbols = larger;
      }
      this.#starts[word] = at;
      this.#lengths[word] = bytes.length;
      for (let i = 0; i < bytes.length; i++) {
        symbols[at++] = byteIds[bytes[i]];
        if (i > 0) pairs.change(symbols[at - 2], symbols[at - 1], this.#wordCounts[word], word);
      }
    }
    this.#symbols = symbols;
    pairs.queueChanged();
    return pairs;
  }

  #mergeBest(pairs: PairCounts): boolean {
    if (this.#tokens.length >= this.#wanted) return false;
    const best = pairs.takeBest(this.#minFrequency);
    if (best === undefined) return false;
    const { first, second } = best, token = this.#tokens[first] + this.#tokens[second];
    if (this.#specials.idOf(token) !== undefined) { // its name is taken: this pair stays as it is
      pairs.forEachWord(best, () => {});
      return true;
    }
    let id = this.#ids.get(token);
    if (id === undefined) {
      id = this.#tokens.length;
      this.#tokens.push(token);
      this.#ids.set(token, id);
    }
    this.#merges.push([this.#tokens[first], this.#tokens[second]]);
    pairs.forEachWord(best, (word) => this.#mergeInWord(pairs, word, first, second, id));
    pairs.queueChanged();
    return true;
  }

  #mergeInWord(pairs: PairCounts, word: number, first: number, second: number, id: number): void {
    const symbols = this.#symbols, count = this.#wordCounts[word];
    const start = this.#starts[word], end = start + this.#lengths[word];
    let out = start;
    for (let i = start; i < end; out++) {
      if (symbols[i] !== first || i + 1 === end || symbols[i + 1] !== second) {
        symbols[out] = symbols[i++];
        continue;
      }
      symbols[out] = id;
      i += 2;
      if (out > start) {
        pairs.change(symbols[out - 1], first, -count, word);
        pairs.change(symbols[out - 1], id, count, word);
      }
      if (i < end) {
        pairs.change(second, symbols[i], -count, word);
        pairs.change(id, symbols[i], count, word);
      }
    }
    this.#lengths[word] = out - start;
  }
}
