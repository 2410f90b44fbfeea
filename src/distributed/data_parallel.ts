/**
 * One training run over ranks: every rank has the model, reads its part of each batch, and takes the steps that one process
 * would have taken.
 *
 * A batch is cut into equal parts, by default one a rank. With `parts` their number is fixed: each part gives gradients of its
 * own, and these are added pairwise, neighbours first, on a rank as between ranks. Then the bits do not depend on how many ranks
 * there are. Random numbers (dropout) are drawn for each part from a stream of its own, for the same reason.
 *
 * @module
 */
import { type FerrotypeError, OptionError } from "../core/errors.ts";
import { type GeneratorState, philox } from "../core/random.ts";
import type { Module } from "../nn/mod.ts";
import { add, mul, randomState, setRandomState, slice, sqrt, type Tensor, tensor } from "../ops/mod.ts";
import { clipAt } from "../optim/clip.ts";
import { NotFiniteError } from "../optim/finite.ts";
import { gradNorm, type Optimizer, type OptimizerState } from "../optim/mod.ts";
import { addInto, keep, noGrad, readNow, tidy } from "../tensor/mod.ts";
import type { Distributed } from "./distributed.ts";
import { onAllRanks } from "../core/on_all_ranks.ts";
import { offsetOf, wireType } from "./memory.ts";
import type { Messenger } from "./messenger.ts";
import { Reducer } from "./reducer.ts";
import { gatherTexts } from "./texts.ts";
import { Timeline, type TraceEvent } from "./timeline.ts";
import { Divided } from "./zero.ts";

/**
 * One of the equal parts of a batch.
 *
 * @category Training
 */
export interface BatchPart {
  /** Which, from 0. */
  readonly index: number;
  /** Of how many. */
  readonly count: number;
}

/** How a run is divided. */
export interface ParallelOptions {
  /** Parts of a batch, fixed for the same bits whatever the number of ranks. */
  readonly parts?: number | undefined;
  /** 1: optimizer states are divided over ranks; 2: gradients too. */
  readonly zero?: 0 | 1 | 2 | undefined;
  /** What gradients travel as. */
  readonly wire?: "f32" | "bf16" | undefined;
  /** Whether to note what is done when. */
  readonly trace?: boolean | undefined;
}

/** What the loop gives for a step. */
export interface StepWork<B> {
  /** Where batches come from. */
  readonly data: { getState(): unknown; setState(state: unknown): void; next(part?: BatchPart): B };
  /** Batches to a step. */
  readonly batches: number;
  /** Goes through one part of the next batch: its loss times `share`, with gradients added to those that are there. */
  backward(part: BatchPart, share: number): Tensor;
}

/** A run's part on this rank. */
export class DataParallel<B> {
  /** What was done when, where that is noted. */
  readonly timeline: Timeline | null;
  readonly #distributed: Distributed;
  readonly #messenger: Messenger | null;
  readonly #parts: number;
  readonly #own: readonly number[];
  readonly #options: ParallelOptions;
  #reducer: Reducer | null = null;
  #divided: Divided | null = null;
  #stops = false;

  /**
   * A run over the ranks of `distributed`.
   * @throws {OptionError} where `parts` are not divided by them.
   */
  constructor(distributed: Distributed, options: ParallelOptions) {
    const { size, rank } = distributed, { parts = size } = options, each = parts / size;
    if (!Number.isInteger(Math.log2(each))) {
      throw new OptionError(
        `Trainer: parts is ${parts}, expected ${size} (the ranks) times a power of two, as parts are added up pairwise`,
      );
    }
    this.#distributed = distributed;
    this.#messenger = distributed.messenger;
    this.#options = options;
    this.#parts = parts;
    this.#own = Array.from({ length: each }, (_, i) => rank * each + i);
    this.timeline = options.trace ? new Timeline(rank) : null;
  }

  /** How many parts a batch is cut into. */
  get parts(): number {
    return this.#parts;
  }

  /** Whether some rank was told to stop; all know it after the same step. */
  get stops(): boolean {
    return this.#stops;
  }

  /** How many optimizer states are here, and of how many. */
  get owned(): { elements: number; of: number } | null {
    return this.#divided && { elements: this.#ownElements, of: this.#allElements };
  }
  #ownElements = 0;
  #allElements = 0;

  #divide(optimizer: Optimizer): Divided | null {
    if (!this.#messenger || !this.#options.zero) return null;
    if (!this.#divided) {
      const divided = this.#divided = new Divided(this.#messenger, optimizer);
      const sizes = optimizer.paramGroups.flatMap(({ params }) => params).map((p) => p.size);
      this.#allElements = sizes.reduce((a, b) => a + b, 0);
      this.#ownElements = sizes.filter((_, i) => divided.owners[i] === this.#distributed.rank)
        .reduce((a, b) => a + b, 0);
    }
    return this.#divided;
  }

  /** Looks whether all ranks are about to do the same, and gives them the weights of rank 0. */
  begin(model: Module, optimizer: Optimizer, facts: Readonly<Record<string, string>>): void {
    const messenger = this.#messenger, params = optimizer.paramGroups.flatMap((group) => group.params);
    const elsewhere = [...params, ...model.parameters()].find((p) => p.device !== "cpu");
    if (elsewhere) {
      throw new OptionError(
        `Trainer: distributed training is on the cpu device, and the model is on "${elsewhere.device}"; move it there`,
      );
    }
    if (!messenger) return;
    const { zero = 0, wire = "f32" } = this.#options;
    this.#distributed.demandAlike({
      "model": params.map((p) => `${p.dtype}[${p.shape}]`).join(" "),
      "optimizer": JSON.stringify(optimizer.paramGroups.map(({ params, ...own }) => [params.length, own])),
      "division": `parts ${this.#parts}, ZeRO ${zero}, ${wire} on the wire`,
      ...facts,
    });
    const seen = new Set<unknown>();
    tidy(() => {
      for (const t of Object.values(model.stateDict())) {
        if (seen.has(t.storage) || t.size === 0) continue;
        seen.add(t.storage);
        const type = wireType("begin", t);
        messenger.wait(
          messenger.post({ operation: "broadcast", type, peer: 0, from: offsetOf(t), count: t.size }),
        );
        t.storage.version++;
      }
    });
    const divided = this.#divide(optimizer), { parts } = this.#options;
    const mode = wire === "bf16" ? "bf16AllReduce" : parts === undefined ? "allReduce" : "exactAllReduce";
    this.#reducer = new Reducer(
      messenger,
      params,
      mode,
      zero === 2 && mode === "allReduce" ? divided!.owners : null,
      this.timeline,
    );
  }

  /** The gradients of a step, over all ranks, where the parameters' gradients are; gives its loss, over all ranks. */
  gradients(params: readonly Tensor[], work: StepWork<B>, stop: boolean): Tensor {
    const { data, batches } = work, random = randomState(), several = this.#own.length > 1;
    const start = several ? data.getState() : null, share = 1 / (batches * this.#parts);
    const sums: { level: number; grads: (Tensor | null)[]; loss: Tensor }[] = [];
    let offset = random.offset;
    this.#own.forEach((index, at) => {
      if (several && at > 0) data.setState(start);
      setRandomState(streamOf(random, index));
      let loss: Tensor | null = null;
      for (let i = 0; i < batches; i++) {
        const last = i === batches - 1 && !several;
        const go = (): Tensor => work.backward({ index, count: this.#parts }, share);
        const started = this.timeline?.begin();
        const one = last && this.#reducer ? this.#reducer.during(go) : go();
        this.timeline?.end("forward and backward", started!);
        loss = loss ? add(loss, one) : one;
      }
      offset = randomState().offset;
      if (!several) return void sums.push({ level: 0, grads: [], loss: loss! });
      const grads = params.map((p) => p.exchangeGrad(null) as Tensor | null);
      sums.push({ level: 0, grads, loss: loss! });
      while (sums.length > 1 && sums.at(-1)!.level === sums.at(-2)!.level) merge(sums);
    });
    // Every part draws as many numbers, so all ranks stand at the same place again.
    setRandomState({ seed: random.seed, offset });
    const [{ grads, loss }] = sums;
    if (several) params.forEach((p, i) => p.grad = grads[i] as typeof p.grad);
    return this.#reduce(loss, stop);
  }

  #reduce(loss: Tensor, stop: boolean): Tensor {
    const [own] = readNow(loss) as Float32Array;
    let all = own;
    this.#stops = stop;
    if (this.#reducer) {
      if (this.#own.length > 1) this.#reducer.during(() => {});
      const sums = this.#reducer.finish(Float32Array.of(own, stop ? 1 : 0));
      all = sums[0];
      this.#stops = sums[1] > 0;
    }
    if (!Number.isFinite(all) && this.#messenger) throw this.#diverged(own, all);
    return tensor(all, { device: "cpu" });
  }

  /** Who lost the way. All ranks find the same. */
  #diverged(own: number, all: number): FerrotypeError {
    const texts = gatherTexts(this.#messenger!, String(own));
    const lost = texts.flatMap((text, rank) => Number.isFinite(Number(text)) ? [] : [rank]);
    const who = lost.length
      ? lost.map((rank) => this.#distributed.describe(rank)).join(", ")
      : "the sum of all ranks";
    return onAllRanks(
      new NotFiniteError(
        `the loss is ${lost.length ? Number(texts[lost[0]]) : all} (${who})`,
        "take a lower learning rate, or clip gradients",
      ),
    );
  }

  /** The norm of all gradients, which are scaled down to `clip` where one is given. */
  norm(params: readonly Tensor[], clip: number | undefined, step: number): Tensor {
    const { zero, parts, wire } = this.#options;
    if (!this.#messenger || zero !== 2 || parts !== undefined || wire === "bf16") {
      return clip === undefined ? gradNorm(params) : clipAt(params, clip, step);
    }
    // Each has the gradients that it owns.
    const own = gradNorm(params), square = noGrad(() => mul(own, own).reshape([1]));
    this.#messenger.wait(
      this.#messenger.post({ operation: "exactAllReduce", type: "f32", from: offsetOf(square), count: 1 }),
    );
    const norm = noGrad(() => slice(sqrt(square), 0));
    if (clip === undefined) return norm;
    const scale = Math.min(1, clip / ((readNow(norm) as Float32Array)[0] + 1e-6));
    noGrad(() => {
      for (const p of params) if (p.grad) p.grad = keep(mul(p.grad, scale)) as typeof p.grad;
    });
    return norm;
  }

  /** The optimizer's step, each rank its part of it where states are divided. */
  step(optimizer: Optimizer): void {
    const started = this.timeline?.begin(), divided = this.#divide(optimizer);
    if (divided) divided.step(optimizer);
    else optimizer.step();
    this.timeline?.end("step", started!);
  }

  /** Rank 0's number, for all. */
  agree(value: number): number {
    if (!this.#messenger) return value;
    return Number(gatherTexts(this.#messenger, String(value))[0]);
  }

  /** The whole optimizer's state, where states are divided: on rank 0. */
  collect(optimizer: Optimizer): OptimizerState | null {
    return this.#divide(optimizer)?.collect(optimizer) ?? null;
  }

  /** Takes a whole optimizer's state. */
  load(optimizer: Optimizer, state: OptimizerState): void {
    const divided = this.#divide(optimizer);
    if (divided) divided.load(optimizer, state);
    else optimizer.loadStateDict(state);
  }

  /** The spans of all ranks, where they were noted. All ranks call it. */
  traceEvents(): TraceEvent[] {
    const own = this.timeline?.events ?? [];
    if (!this.#messenger) return own;
    return gatherTexts(this.#messenger, JSON.stringify(own)).flatMap((text) =>
      JSON.parse(text) as TraceEvent[]
    );
  }
}

/** The stream that a part of a batch draws from: the first part's is the run's own. */
function streamOf(base: GeneratorState, index: number): GeneratorState {
  if (index === 0) return base;
  const out = new Uint32Array(4);
  philox(base.seed, 2 ** 52 + index, out);
  return { seed: (out[0] & 0x1fffff) * 2 ** 32 + out[1], offset: base.offset };
}

/** Adds the last set of gradients to the one before it. */
function merge(sums: { level: number; grads: (Tensor | null)[]; loss: Tensor }[]): void {
  const from = sums.pop()!, to = sums.at(-1)!;
  noGrad(() => {
    from.grads.forEach((g, i) => {
      const there = to.grads[i];
      if (!g) return;
      if (!there) to.grads[i] = g;
      else {
        addInto(g, there);
        g.dispose();
      }
    });
    to.loss = add(to.loss, from.loss);
  });
  to.level++;
}
