/**
 * A small GPT that learns a text by its characters. Runs in the page's worker, and anywhere else with the same numbers.
 *
 * @module
 */
// Not from mod.ts: a bundler keeps all of a file that two chunks reach, and this worker needs a part.
import { manualSeed } from "../../src/ops/mod.ts";
import * as optim from "../../src/optim/mod.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import { noGrad } from "../../src/tensor/mod.ts";
import { CharTokenizer } from "../../src/text/mod.ts";
import { randomBatches, type StepReport, Trainer } from "../../src/train/mod.ts";
import type { ZipEntry } from "../../src/files/zip.ts";

/** What the visitor chooses. */
export interface LessonOptions {
  /** What is learnt. */
  readonly text: string;
  /** Blocks of attention. */
  readonly layers: number;
  /** Numbers that stand for a character; a multiple of 4, the number of heads. */
  readonly width: number;
  /** How many characters it sees at once. */
  readonly context: number;
  /** Steps in all. */
  readonly steps: number;
  /** The largest learning rate. */
  readonly lr: number;
  /** Of weights and batches. */
  readonly seed: number;
}

/** A training run. */
export class Lesson {
  /** The model. */
  readonly model: GPT2;
  readonly #options: LessonOptions;
  readonly #ids: number[];
  /** The end of the text, which is not learnt; empty where the text is short. */
  readonly #heldOut: number[];

  /** A model with fresh weights. @throws when the text is too short. */
  constructor(options: LessonOptions) {
    const { text, layers, width, context, seed } = options;
    if (text.length < 2 * context) {
      throw new Error(
        `The text has ${text.length} characters; ${2 * context} are the least for this context.`,
      );
    }
    manualSeed(seed);
    const tokenizer = CharTokenizer.from(text);
    this.#options = options;
    const ids = [...tokenizer.encode(text)], end = Math.floor(ids.length / 10);
    this.#heldOut = end > context ? ids.splice(-end) : [];
    this.#ids = ids;
    this.model = new GPT2({
      vocabSize: tokenizer.vocabSize,
      nPositions: context,
      nEmbd: width,
      nLayer: layers,
      nHead: 4,
      residPdrop: 0,
      embdPdrop: 0,
      attnPdrop: 0,
      bosTokenId: null,
      eosTokenId: null,
    });
    this.model.tokenizer = tokenizer;
  }

  /** How many weights there are. */
  get parameters(): number {
    return this.model.parameters().reduce((sum, { size }) => sum + size, 0);
  }

  /** Trains until all steps are done or `signal` is aborted; `onStep` hears of each step. */
  async run(onStep: (report: StepReport) => void | Promise<void>, signal: AbortSignal): Promise<boolean> {
    const { context, steps, lr, seed } = this.#options;
    const optimizer = new optim.AdamW(this.model.parameters(), { lr, weightDecay: 0.01 });
    try {
      const trainer = new Trainer({
        model: this.model,
        data: randomBatches(this.#ids, { batchSize: 8, blockSize: context, seed }),
        optimizer,
        schedule: optim.schedules.cosine({ lr, warmup: Math.min(20, steps >> 1), steps, minLr: lr / 10 }),
        steps,
        clip: 1,
        reportEvery: 1,
        onStep,
        signal,
      });
      return (await trainer.run()).finished;
    } finally {
      optimizer.dispose();
    }
  }

  /** The mean loss on the end of the text that is not learnt, of at most 8 windows; null where there is none. */
  async heldOut(): Promise<number | null> {
    const { context } = this.#options, ids = this.#heldOut, most = Math.floor((ids.length - 1) / context);
    if (most < 1) return null;
    const windows = Array.from(
      { length: Math.min(8, most) },
      (_, i) => ids.slice(i * context, (i + 1) * context + 1),
    );
    this.model.eval();
    try {
      using loss = noGrad(() =>
        this.model.loss(windows.map((ids) => ids.slice(0, -1)), windows.map((ids) => ids.slice(1)))
      );
      return await loss.item();
    } finally {
      this.model.train();
    }
  }

  /** What it writes now, from the first characters of the text. */
  sample(count = 120): Promise<string> {
    return this.write(this.#options.text.slice(0, 12), count);
  }

  /** A prompt, and what it writes after it now; of a long prompt it sees the end. @throws where letters are not known. */
  async write(prompt: string, count = 120): Promise<string> {
    const { context, seed } = this.#options;
    this.model.eval();
    try {
      const more = await this.model.complete([...prompt].slice(-context).join(""), {
        maxNewTokens: count,
        temperature: 0.8,
        seed,
        contextOverflow: "slide",
      });
      return prompt + more;
    } finally {
      this.model.train();
    }
  }

  /** The folder that Hugging Face transformers reads. */
  async files(): Promise<ZipEntry[]> {
    const entries: ZipEntry[] = [];
    for (const { name, content } of this.model.files()) {
      if (typeof content === "string") {
        entries.push({ name: `my-gpt/${name}`, bytes: new TextEncoder().encode(content) });
        continue;
      }
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for await (const piece of content) pieces.push(Uint8Array.from(piece));
      entries.push({ name: `my-gpt/${name}`, bytes: new Uint8Array(await new Blob(pieces).arrayBuffer()) });
    }
    return entries;
  }
}
