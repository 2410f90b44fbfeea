/**
 * The cpu device: memory in one WebAssembly heap, operations as kernels emitted for what they are asked to do.
 *
 * This file only puts together; the operations live in `kernels/`, one file each, named as on the other devices. Those that
 * not every tensor needs come with their operation (`provided.ts`).
 *
 * @module
 */
import { type DType, isQuantized } from "../../core/dtype.ts";
import type { Program } from "../../expr/nodes.ts";
import type {
  Backend,
  Captured,
  DeviceBuffer,
  Epilogue,
  Kernels,
  MemoryUse,
  ReduceKind,
  View,
} from "../contract.ts";
import { elementwiseInHalves, isBeyondCount, matmulLarge, mostCounted, reduceLarge } from "../large.ts";
import { checkMaxMemory } from "../max_memory.ts";
import { type Arguments, type Operation, operations } from "../operations.ts";
import { arithmeticText, readArithmetic } from "./arithmetic.ts";
import type { CpuBuffer } from "./buffer.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { blockKernels, hasBlocks } from "./kernels/blocks.ts";
import { cumsum } from "./kernels/cumsum.ts";
import { elementwise } from "./kernels/elementwise.ts";
import { gather } from "./kernels/gather.ts";
import { layerNorm, layerNormBackward } from "./kernels/layer_norm.ts";
import { matmul } from "./kernels/matmul.ts";
import { reduce } from "./kernels/reduce.ts";
import { scatter } from "./kernels/scatter.ts";
import { softmax, softmaxBackward } from "./kernels/softmax.ts";
import { sort } from "./kernels/sort.ts";
import { Overflow } from "./overflow.ts";
import { tune } from "./tune.ts";
import { type Provided, providedSince } from "./provided.ts";
import { Watch } from "./watch.ts";

/**
 * How the cpu device is made. With `guard` every operation is watched (`watch.ts`): one that writes anywhere but to its
 * outputs throws.
 */
export type CpuOptions = EngineOptions;

/** What is done around an operation: `run` does it. */
type Around = (operation: Operation, args: Arguments, run: () => unknown) => unknown;

/** The cpu device. */
export class CpuBackend implements Backend {
  /** Its name. */
  readonly name = "cpu";
  /** Heap, compiled kernels and threads. */
  readonly engine: Engine;

  readonly #kernels: Record<string, unknown>;
  readonly #overflow: Overflow;
  readonly #spare: number;
  #maxMemory = Infinity;
  readonly #arounds: Around[] = [];
  #provided = 0;

  /**
   * A device with a heap of its own.
   * @throws {DeviceError} when the options ask for what this machine has not.
   */
  constructor(options: CpuOptions = {}) {
    this.engine = new Engine(options);
    this.#kernels = { ...kernelsOn(this.engine) };
    const { totalMemory } = options.platform ?? {};
    // A tenth of the machine is left to others, and the heap has its part.
    this.#spare = totalMemory === undefined
      ? Infinity
      : Math.max(0, 0.9 * totalMemory - this.engine.heap.maximum);
    this.#overflow = new Overflow(this.engine.heap, this.#spare);
    if (options.guard) {
      const watch = new Watch(this.engine.heap);
      this.#wrapAll((operation, args, run) => watch.run(operation, args, run));
    }
  }

  /** Structured operations done in one go. */
  get kernels(): Kernels {
    for (const make of providedSince(this.#provided)) {
      this.#provided++;
      const made = make(this.engine) as Record<string, unknown>;
      Object.assign(this.#kernels, made);
      for (const around of this.#arounds) this.#wrap(this.#kernels, Object.keys(made), around);
    }
    return this.#kernels as Kernels;
  }

  /**
   * See {@link Backend.arithmetic}: whether products and sums are rounded together is up to the runtime and the processor, and who
   * multiplies is found out now, where that is open.
   */
  get arithmetic(): string {
    const { deterministic, blas } = this.engine;
    if (deterministic) return "deterministic";
    this.tune();
    const library = blas.available ? { name: blas.name!, reach: blas.reach } : null;
    return arithmeticText({ own: this.#rounding, library });
  }

  /** How our own kernels round. */
  get #rounding(): string {
    const { context } = this.engine;
    return !context.fma
      ? "products rounded before they are added"
      : context.fusedMadd
      ? "products added without rounding"
      : "relaxed instructions, products rounded before they are added";
  }

  /** See {@link Backend.follow}: the library that multiplied, with what it multiplied, where it is here; nothing is measured. */
  follow(arithmetic: string): void {
    const { engine } = this, { own, library } = readArithmetic(arithmetic);
    if (engine.deterministic || own !== this.#rounding) return;
    if (engine.blas.follow(library)) engine.epoch++;
  }

  /** Everything but f64, and blocks once their kernels are there (`kernels/blocks.ts`). */
  supports(dtype: DType): boolean {
    return isQuantized(dtype) ? hasBlocks() : dtype !== "f64";
  }

  /** Bytes that heap and what lies outside of it take at most. */
  get maxMemory(): number {
    return this.#maxMemory;
  }

  set maxMemory(bytes: number) {
    const { heap } = this.engine;
    this.#maxMemory = bytes;
    heap.limit = bytes;
    this.#overflow.most = Math.max(0, Math.min(this.#spare, bytes - heap.limit));
  }

  /** What the heap may grow to, and what may lie outside of it. */
  get capacity(): number {
    return this.engine.heap.limit + this.#overflow.most;
  }

  /** Memory with undefined contents, aligned to 64 bytes. */
  allocate(byteLength: number): CpuBuffer {
    if (this.#maxMemory !== Infinity) checkMaxMemory(this, this.memory(), byteLength);
    const overflow = this.#overflow, before = overflow.engaged;
    const buffer = overflow.allocate(byteLength);
    if (overflow.engaged && !before) {
      this.engine.epoch++;
      // From now on operations first get their buffers into the heap. Until then none pays for the question.
      this.#wrapAll((operation, args, run) => {
        overflow.bring(operation, args);
        return run();
      });
    }
    return buffer;
  }

  /** Which library multiplies is found out now, where that is open; see `tune.ts`. On a busy machine it takes some tries. */
  tune(): void {
    const { engine } = this;
    for (let tries = 0; tries < 4 && engine.blas.isOpen; tries++) tune(engine);
  }

  /**
   * Gives memory back.
   * @throws {DeviceError} when it was given back before.
   */
  release(buffer: DeviceBuffer): void {
    this.#overflow.release(buffer as CpuBuffer);
  }

  /** Copies `bytes` into the buffer at `byteOffset`. */
  upload(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.engine.u8.set(bytes, this.#open(buffer, true) + byteOffset);
  }

  /** A copy of `byteLength` bytes from `byteOffset` on. */
  download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    const start = this.#open(buffer, false) + byteOffset;
    return Promise.resolve(this.engine.u8.slice(start, start + byteLength));
  }

  /** The buffer's own memory, until something is allocated: then ask again. */
  mapped(buffer: DeviceBuffer): Uint8Array {
    const pointer = this.#open(buffer, true);
    return this.engine.u8.subarray(pointer, pointer + buffer.byteLength);
  }

  /** Bytes and buffers live. */
  memory(): MemoryUse {
    const { heap } = this.engine, { bytes, buffers } = this.#overflow;
    return { bytes: heap.bytes + bytes, buffers: heap.buffers + buffers };
  }

  /** The address of a buffer that JavaScript is about to read or write; rows of quantised weights lie as stored. */
  #open(buffer: DeviceBuffer, writes: boolean): number {
    const own = buffer as CpuBuffer;
    this.engine.refuseCapture();
    this.#overflow.open(own, writes || own.interleaved !== undefined);
    if (own.interleaved !== undefined) blockKernels().restoreRows(this.engine, own);
    return own.pointer;
  }

  /** See {@link Backend.capture}. */
  capture(f: () => void): Captured | null {
    const { engine } = this, overflow = this.#overflow;
    engine.blas.noteCapture();
    if (engine.blas.isDue) tune(engine);
    const work = engine.capture(f);
    if (!overflow.engaged) return work;
    work?.dispose();
    return null;
  }

  /** Has every operation, and every kernel that comes later, run inside of `around`. */
  #wrapAll(around: Around): void {
    this.#arounds.push(around);
    this.#wrap(this, [...operations.keys()], around);
    this.#wrap(this.#kernels, Object.keys(this.kernels), around);
  }

  /** Wraps the operations among `names` that `place` is the place of: kernels, or the device itself. */
  #wrap(place: object, names: readonly string[], around: Around): void {
    const own = place as Record<string, (...args: unknown[]) => unknown>, isKernel = place === this.#kernels;
    for (const name of names) {
      const operation = operations.get(name as Operation["name"]);
      if (operation?.isKernel !== isKernel) continue;
      const run = own[name].bind(place);
      own[name] = (...args) => around(operation, args, () => run(...args));
    }
  }

  /** See {@link Backend.elementwise}. */
  elementwise(
    program: Program,
    inputs: readonly View[],
    scalars: readonly number[],
    outputs: readonly View[],
  ): void {
    if (isBeyondCount(outputs[0].shape)) elementwiseInHalves(this, program, inputs, scalars, outputs);
    else elementwise(this.engine, program, inputs, scalars, outputs);
  }

  /** See {@link Backend.reduce}. */
  reduce(
    kind: ReduceKind,
    program: Program | null,
    inputs: readonly View[],
    scalars: readonly number[],
    axes: readonly number[],
    output: View,
    epilogue?: Epilogue,
  ): void {
    if (isBeyondCount(inputs[0]?.shape ?? output.shape)) {
      reduceLarge(this, kind, program, inputs, scalars, axes, output, epilogue);
    } else reduce(this.engine, kind, program, inputs, scalars, axes, output, epilogue);
  }

  /** See {@link Backend.matmul}. */
  matmul(a: View, b: View, out: View, epilogue?: Epilogue): void {
    if (this.engine.blas.isDue) tune(this.engine);
    if (a.shape[a.shape.length - 1] > mostCounted) matmulLarge(this, a, b, out, epilogue);
    else matmul(this.engine, a, b, out, epilogue);
  }

  /** See {@link Backend.gather}. */
  gather(x: View, axis: number, index: View, out: View): void {
    if (isQuantized(x.dtype)) blockKernels().gather(this.engine, x, axis, index, out);
    else gather(this.engine, x, axis, index, out);
  }

  /** See {@link Backend.scatter}. */
  scatter(mode: "add" | "set", out: View, axis: number, index: View, source: View): void {
    scatter(this.engine, mode, out, axis, index, source);
  }

  /** See {@link Backend.cumsum}. */
  cumsum(x: View, axis: number, out: View): void {
    cumsum(this.engine, x, axis, out);
  }

  /** See {@link Backend.sort}. */
  sort(x: View, descending: boolean, values: View, indices: View): void {
    sort(this.engine, x, descending, values, indices);
  }

  /** See {@link Backend.random}. */
  random(kind: "uniform" | "normal", seed: number, offset: number, out: View): void {
    (this.kernels as Provided).random!(kind, seed, offset, out);
  }
}

function kernelsOn(engine: Engine): Kernels {
  return {
    softmax: (x, out, log) => softmax(engine, x, out, log),
    softmaxBackward: (dy, y, dx, log) => softmaxBackward(engine, dy, y, dx, log),
    layerNorm: (x, weight, bias, eps, out, mean, rstd) =>
      layerNorm(engine, x, weight, bias, eps, out, mean, rstd),
    layerNormBackward: (dy, x, weight, mean, rstd, dx, dweight, dbias) =>
      layerNormBackward(engine, dy, x, weight, mean, rstd, dx, dweight, dbias),
  };
}

/** A cpu device. `platform` brings threads; without it there is one. */
export function createCpuBackend(options: CpuOptions = {}): CpuBackend {
  return new CpuBackend(options);
}
