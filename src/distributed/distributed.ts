/**
 * Several processes as one program: ranks, and what they say to each other, named as in torch.distributed.
 *
 * Who started the processes is asked (`mpirun`, `mpiexec`, `srun`); a program that was started alone is rank 0 of 1, and its
 * collectives do nothing. Every rank calls the same ones in the same order. A rank that dies, hangs or fails takes all others
 * along, with a sentence that names it and its host.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { FerrotypeError, OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { sameShape } from "../core/shape.ts";
import { counted, show } from "../core/show.ts";
import { concat, empty, mul, slice, type Tensor, tensor, where } from "../ops/mod.ts";
import { copyInto, demandTensor, noGrad, readNow, tidy } from "../tensor/mod.ts";
import { DataParallel, type ParallelOptions } from "./data_parallel.ts";
import { isOnAllRanks, onAllRanks } from "../core/on_all_ranks.ts";
import { offsetOf, onCpu, wireType } from "./memory.ts";
import type { Family } from "../models/family.ts";
import type { Job, Join, Messenger, WireReduction, WireType } from "./messenger.ts";
import { partOf } from "./pipeline.ts";
import { demandSame, gatherTexts } from "./texts.ts";

/**
 * How numbers of all ranks become one: their sum, mean, product, largest or smallest.
 *
 * @category Distributed
 */
export type ReduceOp = "sum" | "avg" | "product" | "max" | "min";

/**
 * Options of {@link Distributed.init}.
 *
 * @category Distributed
 */
export interface InitOptions {
  /**
   * Seconds that others are waited for before one that does not come counts as hung and the job is ended. Who was longer at
   * work itself waits as long as that. For all to come to `init` itself, 60 s are waited at least. Default 7.
   */
  timeout?: number;
}

/**
 * Options of reductions.
 *
 * @category Distributed
 */
export interface ReduceOptions {
  /** Default "sum". */
  op?: ReduceOp;
}

/**
 * Options of {@link Distributed.broadcast}.
 *
 * @category Distributed
 */
export interface BroadcastOptions {
  /** The rank whose numbers all get. Default 0. */
  src?: number;
}

const initOptions: OptionTable<InitOptions> = { timeout: kinds.number({ from: 1, to: 86_400 }) };
const reduceOptions: OptionTable<ReduceOptions> = { op: kinds.oneOf("sum", "avg", "product", "max", "min") };
const broadcastOptions: OptionTable<BroadcastOptions> = { src: kinds.whole(0) };

/**
 * The processes that were started together. There is one, `distributed`.
 *
 * @category Distributed
 */
export class Distributed {
  readonly #join: Join;
  #messenger: Messenger | null = null;
  #state: "before" | "ready" | "over" = "before";

  /**
   * Processes that `join` brings together; a program takes `distributed`.
   * @internal
   */
  constructor(join: Join) {
    demandNoMore(arguments, 1, "Distributed");
    this.#join = join;
  }

  /**
   * Joins the other processes; alone where there are none. A second call changes nothing.
   * @throws {DeviceError} when a launcher started this process and there is no MPI library that fits it, saying why.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  async init(options: InitOptions = {}): Promise<this> {
    const { timeout = 7 } = checkOptions("distributed.init", options, initOptions);
    if (this.#state === "over") {
      throw new FerrotypeError("distributed.init: MPI was ended by destroy(); it begins once a process");
    }
    if (this.#state === "before") {
      this.#messenger = await this.#join({ timeout });
      this.#state = "ready";
    }
    return this;
  }

  /** Whether `init` was called, and `destroy` not. */
  get isInitialized(): boolean {
    return this.#state === "ready";
  }

  /**
   * This process among all, from 0.
   * @throws {FerrotypeError} before init.
   */
  get rank(): number {
    this.#demandReady("rank");
    return this.#messenger?.rank ?? 0;
  }

  /**
   * How many processes there are; 1 for one that was started alone.
   * @throws {FerrotypeError} before init.
   */
  get size(): number {
    this.#demandReady("size");
    return this.#messenger?.size ?? 1;
  }

  /** The hosts of all ranks; none for a process that was started alone. */
  get hosts(): readonly string[] {
    return this.#messenger?.hosts ?? [];
  }

  /** What carries the numbers: "Open MPI 4.1.4"; null for a process that was started alone. */
  get library(): string | null {
    return this.#messenger?.library ?? null;
  }

  /** "rank 1 on host-7", for messages. */
  describe(rank: number = this.#messenger?.rank ?? 0): string {
    return `rank ${rank}${this.hosts[rank] === undefined ? "" : ` on ${this.hosts[rank]}`}`;
  }

  /**
   * Whether every rank threw this error at the same time, so that one of them need tell it.
   * @internal
   */
  isCommon(error: unknown): boolean {
    return typeof error === "object" && error !== null && isOnAllRanks(error);
  }

  /**
   * What carries the numbers; null where there is nobody else.
   * @internal
   */
  get messenger(): Messenger | null {
    this.#demandReady("a collective");
    return this.#messenger;
  }

  #demandReady(what: string): void {
    if (this.#state === "ready") return;
    throw new FerrotypeError(
      this.#state === "before"
        ? `distributed: ${what} is asked for before there are ranks; await distributed.init() first`
        : `distributed: ${what} is asked for after destroy()`,
    );
  }

  /**
   * Makes the elements of `t` what they are over all ranks, in place, and gives `t`. f16 and bf16 are summed in f32.
   * @throws {OptionError} for "avg" of whole numbers.
   * @throws {DTypeError} for what is no tensor.
   * @throws {FerrotypeError} before `init`.
   */
  async allReduce(t: Tensor, options: ReduceOptions = {}): Promise<Tensor> {
    const { op = "sum" } = checkOptions("distributed.allReduce", options, reduceOptions);
    demandTensor("distributed.allReduce", t, "t");
    const mean = op === "avg", reduction: WireReduction = mean ? "sum" : op;
    demandMean("allReduce", t, mean);
    const { messenger } = this, dtype = reduced("allReduce", t);
    if (messenger === null) return t;
    const work = await onCpu(t, dtype), job = { ...whatOf("allReduce", work), reduction } as const;
    const nans = anywhereNan(messenger, work, op);
    const reduce = (one: Tensor, what: typeof job): void =>
      messenger.wait(
        messenger.post({ operation: "allReduce", ...what, from: offsetOf(one), count: one.size }),
      );
    reduce(work, job);
    if (nans) {
      reduce(nans, { ...whatOf("allReduce", nans), reduction: "max" });
      withNans(work, nans);
    }
    await settle(work, t, mean ? 1 / messenger.size : 1);
    return t;
  }

  /**
   * Gives every rank the elements of `t` on rank `src`, in place, and gives `t`, which has one shape everywhere.
   * @throws {DTypeError} for what is no tensor.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FerrotypeError} before `init`.
   */
  async broadcast(t: Tensor, options: BroadcastOptions = {}): Promise<Tensor> {
    const { src = 0 } = checkOptions("distributed.broadcast", options, broadcastOptions);
    demandTensor("distributed.broadcast", t, "t");
    const { messenger, size } = this;
    if (src >= size) {
      throw new OptionError(`distributed.broadcast: src is ${src}, expected a rank below ${size}`);
    }
    const what = whatOf("broadcast", t);
    if (messenger === null) return t;
    const work = await onCpu(t);
    messenger.wait(
      messenger.post({ operation: "broadcast", ...what, peer: src, from: offsetOf(work), count: t.size }),
    );
    await settle(work, t, 1);
    return t;
  }

  /**
   * The tensors `t` of all ranks, which have one shape, in the order of the ranks.
   * @throws {DTypeError} for what is no tensor.
   * @throws {FerrotypeError} before `init`.
   */
  async allGather(t: Tensor): Promise<Tensor[]> {
    demandTensor("distributed.allGather", t, "t");
    const { messenger, size } = this, what = whatOf("allGather", t);
    if (messenger === null) return [t.detach().clone()];
    const work = await onCpu(t);
    using all = empty([size, ...t.shape], { dtype: t.dtype, device: "cpu" });
    messenger.wait(
      messenger.post({
        operation: "allGather",
        ...what,
        from: offsetOf(work),
        to: offsetOf(all),
        count: t.size,
      }),
    );
    if (work !== t) work.dispose();
    return Array.from(
      { length: size },
      (_, rank) => tidy(() => slice(all, rank).clone().to({ device: t.device })),
    );
  }

  /**
   * Reduces over all ranks what each gives, and gives this rank its part: of a list with a tensor for each rank the one of this
   * rank, of one tensor its share of the first axis, which the number of ranks divides.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {FerrotypeError} before `init`.
   */
  async reduceScatter(input: Tensor | readonly Tensor[], options: ReduceOptions = {}): Promise<Tensor> {
    const { op = "sum" } = checkOptions("distributed.reduceScatter", options, reduceOptions);
    const { messenger, size } = this, isList = Array.isArray(input), mean = op === "avg";
    const list = isList ? input as Tensor[] : [input as Tensor];
    for (const t of list) {
      demandTensor("distributed.reduceScatter", t, isList ? "a tensor of the list" : "input");
    }
    const [first] = list;
    const other = list.find((t) => t.dtype !== first.dtype || !sameShape(t.shape, first.shape));
    if (isList && (list.length !== size || other)) {
      const them = other
        ? `${first.dtype} ${show(first.shape)} and ${other.dtype} ${show(other.shape)}`
        : counted(list.length, "tensor");
      throw new OptionError(
        `distributed.reduceScatter: the list has ${them}, expected ${size} of one dtype and shape`,
      );
    }
    if (!isList && (first.shape.length === 0 || first.shape[0] % size !== 0)) {
      throw new OptionError(
        `distributed.reduceScatter: the input has shape ${show(first.shape)}, expected a first axis that ${
          counted(size, "rank")
        } divide`,
      );
    }
    demandMean("reduceScatter", first, mean);
    const shape = isList ? first.shape : [first.shape[0] / size, ...first.shape.slice(1)];
    const dtype = reduced("reduceScatter", first);
    if (messenger === null) return first.detach().clone();
    const whole = isList ? noGrad(() => concat(list.map((t) => t.reshape([1, ...t.shape])), 0)) : first;
    const work = await onCpu(whole, dtype), out = empty(shape, { dtype, device: "cpu" });
    const nans = anywhereNan(messenger, work, op);
    const reduce = (from: Tensor, to: Tensor, reduction: WireReduction): void =>
      messenger.wait(messenger.post({
        operation: "reduceScatter",
        ...whatOf("reduceScatter", from),
        reduction,
        from: offsetOf(from),
        to: offsetOf(to),
        count: to.size,
      }));
    reduce(work, out, mean ? "sum" : op);
    if (nans) {
      using own = empty(shape, { dtype: "u8", device: "cpu" });
      reduce(nans, own, "max");
      withNans(out, own);
    }
    if (work !== whole) work.dispose();
    if (isList) whole.dispose();
    return tidy(() =>
      (mean ? mul(out, 1 / size) : out.clone()).to({ dtype: first.dtype, device: first.device })
    );
  }

  /**
   * Waits until every rank has come here.
   * @throws {FerrotypeError} before `init`.
   */
  barrier(): Promise<void> {
    const { messenger } = this;
    if (messenger !== null) messenger.wait(messenger.post({ operation: "barrier" }));
    return Promise.resolve();
  }

  /** Takes leave of the others, when all have come so far; a program does so before it ends. Twice is once. */
  destroy(): Promise<void> {
    if (this.#state !== "ready") return Promise.resolve();
    this.#messenger?.finalize();
    // Who was alone may begin again; MPI begins once a process.
    this.#state = this.#messenger === null ? "before" : "over";
    this.#messenger = null;
    return Promise.resolve();
  }

  /** Same as {@link Distributed.destroy}; makes `await using` work. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }

  /**
   * Has rank 0 do `f` (write files, say), while the others wait for it with patience; all go on when it is done.
   * @internal
   */
  async first(f: () => void | Promise<void>): Promise<void> {
    const { messenger } = this;
    if (messenger === null) return await f();
    if (messenger.rank === 0) await this.patiently(async () => await f());
    messenger.wait(messenger.post({ operation: "barrier" }));
  }

  /**
   * How many ranks there are on this rank's host, itself among them.
   * @internal
   */
  get onThisHost(): number {
    const { hosts, rank } = this;
    return Math.max(1, hosts.filter((host) => plain(host) === plain(hosts[rank])).length);
  }

  /**
   * Ends the job on all ranks, with `message` on standard error where there is one.
   * @internal
   */
  abort(message: string | null): void {
    this.#messenger?.abort(message);
  }

  /**
   * The error, which every rank throws at the same time: one of them need tell it.
   * @internal
   */
  common<E extends Error>(error: E): E {
    return onAllRanks(error);
  }

  /**
   * What rank 0 says, on all ranks.
   * @internal
   */
  ofFirst(text: string): string {
    const { messenger } = this;
    return messenger === null ? text : gatherTexts(messenger, text)[0];
  }

  /**
   * Throws on all ranks when these are not the same on each.
   * @internal
   */
  demandAlike(facts: Readonly<Record<string, string>>): void {
    const { messenger } = this;
    const problem = messenger && demandSame(messenger, facts, (rank) => this.describe(rank));
    if (problem) throw onAllRanks(problem);
  }

  /**
   * Does what takes long on this rank alone, while the others wait for it with patience.
   * @internal
   */
  async patiently<T>(f: () => Promise<T>): Promise<T> {
    const { messenger } = this;
    if (messenger === null) return await f();
    messenger.busy = true;
    try {
      return await f();
    } finally {
      messenger.busy = false;
    }
  }

  /**
   * A family whose models are this rank's layers of them; the family itself where there is one rank.
   * @internal
   */
  part<C extends object>(family: Family<C>): Family<C> {
    const { messenger } = this;
    return messenger === null ? family : partOf(family, messenger);
  }

  /**
   * What a Trainer trains over ranks with.
   * @internal
   */
  parallel<B>(options: ParallelOptions): DataParallel<B> {
    this.#demandReady("training over ranks");
    return new DataParallel<B>(this, options);
  }
}

function demandMean(what: string, t: Tensor, mean: boolean): void {
  if (!mean || /^b?f\d/.test(t.dtype)) return;
  throw new OptionError(
    `distributed.${what}: op "avg" is of ${t.dtype}, expected a floating-point dtype; take "sum"`,
  );
}

/** The dtype in which numbers of all ranks are added up. */
function reduced(what: string, t: Tensor): Tensor["dtype"] {
  const type = wireType(what, t);
  if (t.dtype === "bool") {
    throw new OptionError(`distributed.${what}: bool is no number; convert it with .to({ dtype: "u8" })`);
  }
  return type === "u16" ? "f32" : t.dtype;
}

/** How a tensor is told of to other ranks. */
function whatOf(
  what: string,
  t: Tensor,
): { type: WireType; dtype: NonNullable<Job["dtype"]>; shape: readonly number[] } {
  return { type: wireType(what, t), dtype: t.dtype as NonNullable<Job["dtype"]>, shape: t.shape };
}

/**
 * Where `work` is no number, as u8, if it is none on any rank and the largest or smallest is asked for; else null. MPI leaves open
 * what is the largest of a number and NaN, and gives each rank another answer.
 */
function anywhereNan(messenger: Messenger, work: Tensor, op: ReduceOp): Tensor | null {
  if ((op !== "max" && op !== "min") || work.dtype !== "f32") return null;
  const values = readNow(work) as Float32Array, has = values.some(Number.isNaN);
  // For the smallest, 0 is what is looked for.
  const isMax = op === "max";
  using any = tensor([isMax === has ? 1 : 0], { dtype: "u8", device: "cpu" });
  // To others it is told of as what was called.
  const { dtype, shape } = whatOf("a reduction", work);
  messenger.wait(
    messenger.post({
      operation: "allReduce",
      type: "u8",
      reduction: op,
      from: offsetOf(any),
      count: 1,
      dtype,
      shape,
    }),
  );
  if ((readNow(any) as Uint8Array)[0] !== (isMax ? 1 : 0)) return null;
  return tensor(Uint8Array.from(values, (value) => Number.isNaN(value) ? 1 : 0), {
    shape: work.shape,
    dtype: "u8",
    device: "cpu",
  });
}

/** Writes NaN into `work` where `nans` is 1, and gives up `nans`. */
function withNans(work: Tensor, nans: Tensor): void {
  noGrad(() => tidy(() => copyInto(where(nans.to({ dtype: "bool" }), NaN, work.detach()), work)));
  nans.dispose();
}

/** Writes what came into `t`, `times` as much. */
async function settle(work: Tensor, t: Tensor, times: number): Promise<void> {
  await noGrad(async () => {
    if (work === t) t.storage.version++;
    if (work === t && times === 1) return;
    const scaled = times === 1 ? work : mul(work, times);
    const there = scaled.device === t.device ? scaled : scaled.to({ device: t.device });
    copyInto(there, t);
    for (const one of new Set([work, scaled, there])) if (one !== t) one.dispose();
    await Promise.resolve();
  });
}

/** A host without the number of the process there. */
const plain = (host: string | undefined): string => (host ?? "").replace(/ \(process \d+\)$/, "");
