/**
 * A small GPT that learns a text by its characters. Runs in the page's worker, and anywhere else with the same numbers.
 *
 * @module
 */
// Not from mod.ts: a bundler keeps all of a file that two chunks reach, and this worker needs a part.
import { copyInto, manualSeed, randomState, setRandomState, tensor } from "../../src/ops/mod.ts";
import * as optim from "../../src/optim/mod.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";
import { CharTokenizer } from "../../src/text/mod.ts";
import { randomBatches, type StepReport, Trainer } from "../../src/train/mod.ts";
import type { ZipEntry } from "../../src/files/zip.ts";
import { readingOf } from "../engine/reading.ts";
import type { Inside, Wish } from "./inside.ts";

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

/** The weights as they were after a step, and what was written with them. */
export interface Snapshot {
  readonly step: number;
  readonly text: string;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** How many snapshots there are at most, and how many bytes they take. */
const mostSnapshots = 40, mostBytes = 96e6;

/** Pieces of the text that a step learns from. */
const batchSize = 8;

/** A training run. */
export class Lesson {
  /** The model. */
  readonly model: GPT2;
  /** Its state now and then, from before the first step on. */
  readonly snapshots: Snapshot[] = [];
  readonly #options: LessonOptions;
  readonly #letters: readonly string[];
  readonly #axes = new Map<string, Float32Array>();
  /** Another model of its sizes, which takes the weights of a snapshot; made when one is asked for. */
  #shown: { model: GPT2; step: number } | null = null;
  /** The plan of a step, once it was asked for: it stays the same. */
  #plan: string | null = null;
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
    this.#letters = tokenizer.characters;
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

  /** Whether a snapshot is due after `step`: at first often, when most changes. */
  isDue(step: number): boolean {
    const { steps } = this.#options, every = Math.max(10, Math.round(steps / 12));
    return step % every === 0 || step === steps || (step < every && (step & (step - 1)) === 0);
  }

  /** Keeps the weights as they are after `step`, and what they write; where there are too many, every second one goes. */
  async keep(step: number): Promise<Snapshot> {
    const weights = new Map<string, Float32Array>();
    for (const [name, p] of this.model.namedParameters()) {
      weights.set(name, Float32Array.from(await p.data() as Float32Array));
    }
    const kept = { step, text: await this.sample(), weights }, { snapshots } = this;
    const most = Math.max(4, Math.min(mostSnapshots, Math.floor(mostBytes / (4 * this.parameters))));
    if (snapshots.length >= most) {
      snapshots.splice(0, snapshots.length, ...snapshots.filter((_, i) => i % 2 === 0));
    }
    snapshots.push(kept);
    return kept;
  }

  /** The model as it was after a step of which there is a snapshot; as it is now where there is none, or for null. */
  at(step: number | null): GPT2 {
    const kept = this.snapshots.find((one) => one.step === step);
    if (!kept) return this.model;
    const random = randomState(), shown = this.#shown ??= { model: new GPT2(this.model.config), step: -1 };
    setRandomState(random); // whoever looks changes nothing
    if (shown.step !== kept.step) {
      shown.model.tokenizer = this.model.tokenizer;
      tidy(() => {
        const shapes = new Map(this.model.namedParameters().map(([name, { shape }]) => [name, shape]));
        shown.model.loadStateDict(
          Object.fromEntries(
            [...kept.weights].map(([name, values]) => [name, tensor(values).reshape(shapes.get(name)!)]),
          ),
        );
      });
      shown.step = kept.step;
    }
    return shown.model;
  }

  /** What is inside it, now or after a step of which there is a snapshot. */
  async look(wish: Wish, step: number | null = null): Promise<Inside> {
    if (wish.view === "step") {
      const { stepPlan } = await import("./plan.ts");
      this.#plan ??= stepPlan(this.model, batchSize, this.#options.context);
      return { view: "step", left: "", plan: this.#plan };
    }
    const { lookInto } = await import("./inside.ts"), { context } = this.#options, ids = this.#ids;
    // A few windows, evenly over the text.
    const rows = [0, 1, 2, 3].map((i) => {
      const from = Math.floor(i * (ids.length - context - 1) / 3);
      return ids.slice(from, from + context + 1);
    });
    return await lookInto(this.at(step), this.#letters, wish, rows, this.#axes);
  }

  /** The weights as bits of 16-bit floating-point numbers, now or after a step of which there is a snapshot. */
  async half(step: number | null = null): Promise<Uint16Array<ArrayBuffer>> {
    const bits = new Uint16Array(this.parameters);
    let at = 0;
    for (const parameter of this.at(step).parameters()) {
      using narrow = parameter.detach().to({ dtype: "f16" });
      bits.set(await narrow.data() as Uint16Array, at);
      at += parameter.size;
    }
    return bits;
  }

  /** Takes weights that {@link Lesson.half} gave. @throws where they are of another model. */
  takeHalf(bits: Uint16Array): void {
    if (bits.length !== this.parameters) {
      throw new Error(
        `The link's model has ${bits.length} weights, and these settings and this text make one of ${this.parameters}.`,
      );
    }
    let at = 0;
    for (const parameter of this.model.parameters()) {
      const mine = bits.slice(at, at += parameter.size);
      tidy(() =>
        noGrad(() =>
          copyInto(tensor(mine, { dtype: "f16" }).to({ dtype: "f32" }).reshape(...parameter.shape), parameter)
        )
      );
    }
  }

  /** Gives all memory back. */
  dispose(): void {
    this.model.dispose();
    this.#shown?.model.dispose();
    this.snapshots.length = 0;
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
        data: randomBatches(this.#ids, { batchSize, blockSize: context, seed }),
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

  /**
   * A prompt, and what it writes after it now, or wrote after a step of which there is a snapshot; of a long prompt it sees the end, and
   * of letters that it does not know nothing.
   * @throws where it knows none of them.
   */
  async write(prompt: string, count = 120, step: number | null = null): Promise<string> {
    const { seed } = this.#options, model = this.at(step);
    model.eval();
    try {
      const more = await model.complete(readingOf(model, prompt).seen, {
        maxNewTokens: count,
        temperature: 0.8,
        seed,
        contextOverflow: "slide",
      });
      return prompt + more;
    } finally {
      model.train();
    }
  }

  /** The folder that Hugging Face transformers reads, of the model now or after a step of which there is a snapshot. */
  async files(step: number | null = null): Promise<ZipEntry[]> {
    const entries: ZipEntry[] = [];
    for (const { name, content } of this.at(step).files()) {
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
