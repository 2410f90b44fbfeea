/**
 * Gradients of all ranks added up, in buckets, while backward still runs.
 *
 * Large gradients travel where they lie, small ones are packed together. The buckets stand in the order in which they were whole
 * on rank 0 in the first step; each goes off as soon as its gradients are there and those before it have gone, so that every
 * rank posts the same jobs in the same order, whatever its own order is. A gradient that a rank does not have counts as zeros
 * there; one that no rank has stays away.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { empty, slice, type Tensor, tensor, zeros } from "../ops/mod.ts";
import { copyInto, keep, noGrad, onLeafGradient, readNow, tidy } from "../tensor/mod.ts";
import { offsetOf } from "./memory.ts";
import type { Job, Messenger } from "./messenger.ts";
import type { Timeline } from "./timeline.ts";

/** Gradients with as many elements travel alone; smaller ones are packed up to as many. */
const alone = 1 << 16, most = 1 << 18;

interface Bucket {
  /** Which parameters. */
  readonly members: number[];
  /** The rank that wants the sum; null: all. */
  readonly owner: number | null;
  elements: number;
}

interface Sent {
  readonly bucket: Bucket;
  readonly job: number;
  readonly work: Tensor;
  readonly offset: number;
  done: boolean;
}

/** How sums are made. */
export type ReduceMode = "allReduce" | "exactAllReduce" | "bf16AllReduce";

/** Adds up the gradients of a list of parameters, step after step. */
export class Reducer {
  readonly #messenger: Messenger;
  readonly #params: readonly Tensor[];
  readonly #index: ReadonlyMap<unknown, number>;
  readonly #mode: ReduceMode;
  /** For each parameter the rank that alone wants its gradient; null: all want all. */
  readonly #owners: readonly number[] | null;
  readonly #timeline: Timeline | null;
  #buckets: Bucket[] | null = null;
  #bucketOf: number[] = [];
  // Of the step at work.
  #arrived: number[] = [];
  #missing: number[] = [];
  #next = 0;
  #sent: Sent[] = [];
  #early = new Set<number>();

  constructor(
    messenger: Messenger,
    params: readonly Tensor[],
    mode: ReduceMode,
    owners: readonly number[] | null,
    timeline: Timeline | null,
  ) {
    this.#messenger = messenger;
    this.#params = params;
    this.#index = new Map(params.map((p, i) => [p, i]));
    this.#mode = mode;
    this.#owners = owners;
    this.#timeline = timeline;
  }

  /** Runs `f`, the last backward of a step, and sends gradients off as they come. */
  during<T>(f: () => T): T {
    this.#arrived = [];
    this.#early.clear();
    this.#missing = this.#buckets?.map(({ members }) => members.length) ?? [];
    this.#next = 0;
    const stop = onLeafGradient((leaf, depth) => this.#arrive(leaf, depth));
    try {
      return f();
    } finally {
      stop();
    }
  }

  #arrive(leaf: unknown, depth: number): void {
    const i = this.#index.get(leaf);
    if (i === undefined) return;
    // What comes out of a backward inside of a backward may come again.
    if (depth > 1 || this.#early.has(i)) return this.#refuse(i);
    this.#early.add(i);
    this.#arrived.push(i);
    if (!this.#buckets) return;
    this.#missing[this.#bucketOf[i]]--;
    while (this.#next < this.#buckets.length && this.#missing[this.#next] === 0) this.#send(this.#next++);
    if (this.#owners) this.#drop(false);
  }

  /** Gradients that come in parts wait for the end. */
  #refuse(i: number): void {
    this.#early.add(i);
    if (!this.#buckets) return;
    if (this.#bucketOf[i] < this.#next) {
      throw new FerrotypeError(
        "distributed: a gradient went on after it was sent to the other ranks (a backward inside of a backward); " +
          "give the Trainer { parts } to add up at the end of each step",
      );
    }
    this.#missing[this.#bucketOf[i]] = Infinity;
  }

  /** What is left of a step: sends the rest and `tail`, waits, and gives the sum of the tails. */
  finish(tail: Float32Array): Float32Array {
    const params = this.#params, first = this.#buckets === null;
    const own = new Float32Array(tail.length + params.length);
    own.set(tail);
    params.forEach((p, i) => own[tail.length + i] = p.grad || this.#gone.has(i) ? 1 : 0);
    if (first) this.#plan();
    if (first) this.#next = 0;
    const buckets = this.#buckets!;
    while (this.#next < buckets.length) this.#send(this.#next++);
    using last = tensor(own, { device: "cpu" });
    const operation = this.#mode === "exactAllReduce" ? this.#mode : "allReduce";
    const job = this.#messenger.post({ operation, type: "f32", from: offsetOf(last), count: own.length });
    const waited = this.#timeline?.begin();
    this.#messenger.wait(job);
    this.#timeline?.end("wait for gradients", waited!);
    this.#drop(true);
    for (const sent of this.#sent) this.#timeline?.job(`reduce ${sent.work.size}`, this.#messenger, sent.job);
    this.#sent = [];
    this.#gone.clear();
    const sums = readNow(last) as Float32Array;
    // Nobody had it: nobody has it.
    params.forEach((p, i) => {
      if (sums[tail.length + i] === 0) p.grad = null;
    });
    return sums.subarray(0, tail.length);
  }

  /** Parameters whose gradient went to another rank in this step. */
  readonly #gone = new Set<number>();

  /** Takes in what has come; gradients that another rank owns are given up. */
  #drop(whole: boolean): void {
    for (const sent of this.#sent) {
      if (sent.done || (!whole && !this.#messenger.isDone(sent.job))) continue;
      this.#messenger.wait(sent.job);
      sent.done = true;
      this.#take(sent);
    }
  }

  #plan(): void {
    const params = this.#params, messenger = this.#messenger, late = params.map((_, i) => i);
    const seen = new Set(this.#arrived), order = [...this.#arrived, ...late.filter((i) => !seen.has(i))];
    using list = tensor(Int32Array.from(order), { dtype: "i32", device: "cpu" });
    messenger.wait(
      messenger.post({
        operation: "broadcast",
        type: "i32",
        peer: 0,
        from: offsetOf(list),
        count: order.length,
      }),
    );
    const buckets: Bucket[] = [], open = new Map<number | null, Bucket>(), last = new Map<Bucket, number>();
    let at = 0;
    for (const i of readNow(list) as Int32Array) {
      const { size } = params[i], owner = this.#owners?.[i] ?? null;
      let bucket = open.get(owner);
      if (size >= alone || !bucket || bucket.elements + size > most) {
        bucket = { members: [], owner, elements: 0 };
        buckets.push(bucket);
        if (size < alone) open.set(owner, bucket);
      }
      bucket.members.push(i);
      bucket.elements += size;
      last.set(bucket, at++);
    }
    // A bucket goes off when its last gradient is there, so they stand in that order.
    buckets.sort((a, b) => last.get(a)! - last.get(b)!);
    buckets.forEach(({ members }, which) => members.forEach((i) => this.#bucketOf[i] = which));
    this.#buckets = buckets;
  }

  #send(which: number): void {
    const bucket = this.#buckets![which], { members, owner, elements } = bucket;
    const work = noGrad(() => {
      const grads = members.map((i) => {
        const p = this.#params[i];
        if (!p.grad) p.grad = keep(zeros(p.shape, { device: "cpu" })) as Tensor & null;
        return p.grad!;
      });
      const [only] = grads;
      if (grads.length === 1 && only.dtype === "f32" && only.isContiguous) return only;
      const packed = keep(empty([elements], { device: "cpu" })) as Tensor;
      this.#copy(grads, packed, true);
      return packed;
    });
    if (elements === 0) return;
    const offset = offsetOf(work), all = owner === null || this.#mode !== "allReduce";
    // The first bucket of a step asks for all of them.
    const what = { type: "f32", from: offset, count: elements, isAsked: which === 0 } as const;
    const job: Job = all ? { operation: this.#mode, ...what } : { operation: "reduce", peer: owner, ...what };
    this.#sent.push({ bucket, job: this.#messenger.post(job), work, offset, done: false });
  }

  #copy(grads: readonly Tensor[], packed: Tensor, isIn: boolean): void {
    tidy(() => {
      let at = 0;
      for (const g of grads) {
        const place = slice(packed, [at, at + g.size]).reshape([...g.shape]);
        if (isIn) copyInto(g, place);
        else copyInto(place, g);
        at += g.size;
      }
    });
  }

  #take({ bucket, work, offset }: Sent): void {
    if (offsetOf(work) !== offset) {
      throw new FerrotypeError(
        "distributed: a gradient was moved while it was sent; give the device more memory",
      );
    }
    const grads = bucket.members.map((i) => this.#params[i].grad!);
    const isPacked = work !== grads[0];
    if (bucket.owner !== null && bucket.owner !== this.#messenger.rank) {
      for (const i of bucket.members) {
        this.#params[i].grad = null;
        this.#gone.add(i);
      }
    } else if (isPacked) noGrad(() => this.#copy(grads, work, false));
    else work.storage.version++;
    if (isPacked) work.dispose();
  }
}
