/**
 * What a device is: the few things every one must do, and the many it may do faster.
 *
 * The primitives of {@link Backend} say once how memory is held and how elements are mapped, reduced, multiplied,
 * picked and sorted; every operation of the library is defined in them. {@link Kernels} are optional: a device that
 * has one is faster there, never different. Nothing here knows of gradients, modules or files.
 *
 * Calls are synchronous and may return before the work is done (WebGPU); only `download` waits. Arguments arrive
 * checked: shapes agree, dtypes are supported, views lie inside their buffers.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";
import type { Program } from "../expr/nodes.ts";
import type { RowProgram } from "../expr/row_program.ts";

/**
 * Where tensors live.
 *
 * @category Devices
 */
export type DeviceName = "cpu" | "webgpu" | "reference";

/** A piece of device memory; each device extends it with what it needs. */
export interface DeviceBuffer {
  /** Its usable size in bytes. */
  readonly byteLength: number;
}

/** Memory seen as an array of numbers. `strides` and `offset` count elements; a stride may be 0 or negative. */
export interface View {
  /** The memory. */
  readonly buffer: DeviceBuffer;
  /** The element type. */
  readonly dtype: DType;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Steps between neighbours along each axis, in elements. */
  readonly strides: readonly number[];
  /** Where the first element is, in elements. */
  readonly offset: number;
}

/** What `reduce` computes. `argmax` and `argmin` give the first position and reduce exactly one axis. */
export type ReduceKind = "sum" | "prod" | "max" | "min" | "argmax" | "argmin";

/**
 * An expression applied to results before they are stored: input 0 is the result, inputs 1… are `inputs`, views
 * that already have the output's shape (strides 0 where they repeat).
 */
export interface Epilogue {
  /** The expression, with exactly one output. */
  readonly program: Program;
  /** Operands 1… of the program. */
  readonly inputs: readonly View[];
  /** The program's scalars. */
  readonly scalars: readonly number[];
}

/**
 * Device memory in use.
 *
 * @category Devices
 */
export interface MemoryUse {
  /** Bytes held by live buffers. */
  readonly bytes: number;
  /** Live buffers. */
  readonly buffers: number;
}

/** Work that a device did once and does again in one call. */
export interface Captured {
  /**
   * Does it again, on the memory it was done on. False, and nothing is done, when the device has changed so that it must be
   * captured anew.
   */
  replay(): boolean;
  /** Gives its memory back. */
  dispose(): void;
}

/** A device. All of these are mandatory. */
export interface Backend {
  /** Its name. */
  readonly name: DeviceName;
  /** Fast kernels for structured operations; absent ones are computed from their definitions. */
  readonly kernels: Kernels;
  /**
   * What rounding depends on, in words: where two processes agree in it, the same operations give the same bits. It changes
   * with the device's mode.
   */
  readonly arithmetic: string;
  /**
   * Goes on with the arithmetic that a process had before, as its {@link Backend.arithmetic} said it, where that is a choice that the
   * device has; else all stays as it is.
   */
  follow?(arithmetic: string): void;
  /** Whether tensors of `dtype` can live and be computed on here. */
  supports(dtype: DType): boolean;
  /** Bytes that it takes at most; Infinity: what the machine gives. What is in use already stays. */
  maxMemory: number;
  /** Bytes that it could have in all, where that is known before it is tried. */
  readonly capacity?: number;
  /**
   * Memory with undefined contents.
   * @throws {DeviceError} when there is none left, saying how much was asked for.
   */
  allocate(byteLength: number): DeviceBuffer;
  /** Gives memory back. The contents may be overwritten at once by work issued later. */
  release(buffer: DeviceBuffer): void;
  /** Copies `bytes` into the buffer at `byteOffset`. */
  upload(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void;
  /** A copy of `byteLength` bytes, once all work issued before is done. */
  download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array>;
  /** The memory of the buffer itself, where the device's memory is JavaScript's: files are read straight into it. */
  mapped?(buffer: DeviceBuffer): Uint8Array;
  /** Bytes and buffers live. */
  memory(): MemoryUse;
  /**
   * Runs `f`, which is synchronous, and gives what it made the device do as work that can be done again, or null where it
   * cannot. Buffers that `f` takes and gives back stay with what is captured; those that it reads, or takes and keeps, must be
   * alive whenever it runs. Numbers that `f` hands over (scalars, uploads) are part of it, or prevent it.
   */
  capture?(f: () => void): Captured | null;

  /**
   * `outputs[k][i] = program.outputs[k](inputs[0][i], …)`. All views have the same shape (broadcast axes have stride
   * 0). An output may be strided but covers no element twice; it may be the same memory as an input with the same strides.
   *
   * Elements are converted when loaded and stored: a float becomes an integer by cutting its fraction and staying at
   * the ends of the range (-3.7 → u8 0, 3e9 → i32 2147483647), NaN becomes 0; an integer becomes a narrower one by
   * wrapping; anything but 0 (NaN too) is true; floats round to nearest even.
   */
  elementwise(
    program: Program,
    inputs: readonly View[],
    scalars: readonly number[],
    outputs: readonly View[],
  ): void;

  /**
   * Reduces `axes` (sorted) of the elementwise `program` (one output; `null` is input 0 itself) over `inputs`, all of
   * one shape. `output` keeps the reduced axes with size 1, contiguous; argmax and argmin write i32 positions. Sums of
   * f32, f16, bf16 are in f32 with an error that grows at most with the logarithm of the length (pairwise, or in blocks).
   * Max and min pass NaN on, argmax and argmin give the first NaN's position; -0 and 0 count as equal. An empty sum is
   * 0, an empty product 1.
   * Integers are reduced in the compute type and wrap. An epilogue is applied to the stored results.
   */
  reduce(
    kind: ReduceKind,
    program: Program | null,
    inputs: readonly View[],
    scalars: readonly number[],
    axes: readonly number[],
    output: View,
    epilogue?: Epilogue,
  ): void;

  /**
   * `out[…, m, n] = epilogue(Σk a[…, m, k] · b[…, k, n])`; all have the same rank ≥ 2 and the same leading sizes
   * (stride 0 repeats), any strides. `b` may be quantised: then it is 2-D, was stored as [n, k] blocks along k, and is
   * seen transposed (q8 from -127 to 127: symmetric blocks hold no -128). Floating-point only (sums in f32), or i32. `out` does not overlap a or b.
   */
  matmul(a: View, b: View, out: View, epilogue?: Epilogue): void;

  /**
   * `out[i0…] = x[… index[i0…] at axis …]`; index (i32 or i64) has out's shape; values in [0, size) or [-size, 0).
   * Out is of x's dtype, and f32 where x is quantised.
   * @throws {ShapeError} for other values, where the device can tell in time.
   */
  gather(x: View, axis: number, index: View, out: View): void;

  /** Adds (or writes) `source[i0…]` to `out[… index[i0…] at axis …]`. `out` is contiguous. Repeats add up in order. */
  scatter(mode: "add" | "set", out: View, axis: number, index: View, source: View): void;

  /** Running sums along `axis`; x and out have one shape, out is contiguous. */
  cumsum(x: View, axis: number, out: View): void;

  /** Sorts along the last axis, stably, NaN larger than all numbers; values and positions (i32), contiguous. */
  sort(x: View, descending: boolean, values: View, indices: View): void;

  /** Fills a contiguous f32 view from words offset, offset + 1, … of the Philox stream `seed` (`core/random.ts`). */
  random(kind: "uniform" | "normal", seed: number, offset: number, out: View): void;
}

/** Structured operations a device may do in one go. All views are contiguous f32 unless said otherwise. */
export interface Kernels {
  /** Softmax (or its logarithm) over the last axis. */
  softmax?(x: View, out: View, log: boolean): void;
  /** dx from dy and the result y of {@link Kernels.softmax}. */
  softmaxBackward?(dy: View, y: View, dx: View, log: boolean): void;
  /** Layer norm over the last axis: out = (x - mean) · rstd · weight + bias; mean and rstd (one per row) are kept. */
  layerNorm?(
    x: View,
    weight: View | null,
    bias: View | null,
    eps: number,
    out: View,
    mean: View,
    rstd: View,
  ): void;
  /** Gradients of layer norm; dweight and dbias are null when weight was. */
  layerNormBackward?(
    dy: View,
    x: View,
    weight: View | null,
    mean: View,
    rstd: View,
    dx: View,
    dweight: View | null,
    dbias: View | null,
  ): void;
  /** RMS norm over the last axis: out = x · rstd · weight, rstd = 1 / √(mean(x²) + eps); rstd (one per row) is kept. */
  rmsNorm?(x: View, weight: View | null, eps: number, out: View, rstd: View): void;
  /** Gradients of RMS norm; dweight is null when weight was. */
  rmsNormBackward?(
    dy: View,
    x: View,
    weight: View | null,
    rstd: View,
    dx: View,
    dweight: View | null,
  ): void;
  /**
   * Scaled dot-product attention. q: [batch, heads, tq, d], k and v: [batch, heads (or fewer, dividing it), tk, d],
   * strided with unit last stride; out: [batch, heads, tq, d], strided likewise; `lse` [batch, heads, tq] receives
   * log Σ exp of each row when not null. Causal: row i sees keys up to i + tk - tq. k and v may both be of one of
   * {@link Kernels.attentionDTypes}.
   */
  attention?(
    q: View,
    k: View,
    v: View,
    out: View,
    lse: View | null,
    scale: number,
    causal: boolean,
  ): void;
  /**
   * The same, each query by itself and its sums in the order of keys, so that a row's bits depend on what it sees alone: for
   * devices whose `arithmetic` is "deterministic". `softcap` and `window` as in {@link Kernels.attentionStep}; `seen` (bool
   * [batch, heads, tq, tk], strided with unit last stride) is 0 where a key is hidden.
   */
  attentionInOrder?(
    q: View,
    k: View,
    v: View,
    out: View,
    lse: View | null,
    scale: number,
    causal: boolean,
    softcap: number,
    window: number,
    seen: View | null,
  ): void;
  /**
   * A decoding step of several texts: `qkv` [rows, heads + 2 · groups, d] is contiguous f32, queries first, then keys, then
   * values; row i's keys and values are written at position `lengths[i]` of `keys[i]` and `values[i]` ([1, groups, capacity, d],
   * all of one dtype, f32 or one of {@link Kernels.attentionDTypes}), and its queries attend to all positions up to it:
   * `out` [rows, heads, d], contiguous. `groups` divides `heads`; `softcap` (0: none) keeps scores within ± it by
   * softcap · tanh(score / softcap), and of positions only the last `window` (0: all) are seen. With `places` (i32 [rows], contiguous) the lengths are read from there and `lengths` says nothing, also when the work
   * is done again ({@link Backend.capture}).
   */
  attentionStep?(
    qkv: View,
    keys: readonly View[],
    values: readonly View[],
    lengths: readonly number[],
    out: View,
    scale: number,
    places?: View,
    softcap?: number,
    window?: number,
  ): void;
  /** What k and v of {@link Kernels.attention} may be stored as besides f32, where a head is a multiple of 32 wide. */
  readonly attentionDTypes?: readonly DType[];
  /**
   * Bytes that the matrix b takes in the order in which {@link Kernels.matmulPacked} reads it, for a product of these shapes,
   * strides and dtypes; 0 where `matmul` does as well without. Nothing is read or written.
   */
  packedBytes?(a: View, b: View, out: View, epilogue?: Epilogue): number;
  /** b [k, n], any strides, in that order: out [bytes / 4] is contiguous f32. */
  pack?(b: View, out: View): void;
  /**
   * `matmul` with a matrix b that was packed, for a product that {@link Kernels.packedBytes} gave bytes for. Where the device's
   * mode has changed since, it may read b itself.
   */
  matmulPacked?(a: View, b: View, packed: View, out: View, epilogue?: Epilogue): void;
  /**
   * Products of rows with matrices that they choose: row i of `out` is W[index[i]] · x[i]. `w` [experts · columns, depth] has all
   * matrices one below the other, as they lie, and may be in blocks; x [rows, depth] and out [rows, columns] are contiguous, index is
   * [rows]. Matrices that no row chooses are not read.
   */
  matmulExperts?(x: View, w: View, index: View, out: View): void;
  /**
   * Convolution over one or two axes (cross-correlation): x [batch, channels, …] with weight [filters, channels / groups, …], both
   * contiguous and without empty axes, a filter of at most 2^17 weights. The first window begins `before` elements before the
   * input (a number an axis, as `stride` and `dilation` have them; negative: inside of it), and there are as many as `out`
   * [batch, filters, …], of any strides, has places; beyond the input is 0. An epilogue is applied to the stored results.
   */
  conv?(
    x: View,
    weight: View,
    stride: readonly number[],
    dilation: readonly number[],
    before: readonly number[],
    groups: number,
    out: View,
    epilogue?: Epilogue,
  ): void;
  /** Writes x [.., n], f32 with unit last stride, as q8 blocks along the last axis of `out` (up to 4 dims, whole blocks). */
  quantize?(x: View, out: View): void;
  /** Gradients of attention from what the forward kernel kept; views strided as there. */
  attentionBackward?(
    dout: View,
    q: View,
    k: View,
    v: View,
    out: View,
    lse: View,
    dq: View,
    dk: View,
    dv: View,
    scale: number,
    causal: boolean,
  ): void;
  /**
   * Cross-entropy per row: logits [n, classes], targets [n] (i32), losses [n] and lse [n]; a target equal to
   * `ignoreIndex` gives loss 0.
   */
  crossEntropy?(logits: View, targets: View, losses: View, lse: View, ignoreIndex: number): void;
  /** dlogits = (softmax - onehot) · scale[row]; `scale` is [n]; ignored rows give 0. dlogits may be the logits' memory. */
  crossEntropyBackward?(
    logits: View,
    targets: View,
    lse: View,
    scale: View,
    dlogits: View,
    ignoreIndex: number,
  ): void;
  /**
   * Draws an index of logits [n] with its probability softmax(logits / temperature), of the `topK` largest alone where
   * that is above 0 (with what ties with the last of them), by the number `uniform` of [0, 1), which walks down the indices
   * in their order. out is [1], i32: -1 where every logit is -∞ or NaN.
   * A temperature of 0: the largest, the first where they tie, and -1 where it is NaN or infinite.
   */
  sample?(logits: View, temperature: number, topK: number, uniform: number, out: View): void;
  /**
   * A program over rows. Views are f32, [rows, length] with unit last stride where they are wide, [rows, 1] where they are narrow;
   * an output may be the memory of an input seen the same way. Rows are at most 16,384 long, and one operand is wide.
   */
  rows?(
    program: RowProgram,
    inputs: readonly View[],
    scalars: readonly number[],
    outputs: readonly View[],
  ): void;
  /**
   * A product of few rows whose left operand is the first output of a program over rows, wide: out [rows, n] =
   * epilogue(that [rows, length] · b [length, n]), b as in `matmul`. What else the program has as `outputs` (f32) is stored
   * besides; nothing that is written is memory of something that is read. Inputs (f32, f16 or bf16) that the program picks are
   * tables [size, length], and `indices` [rows, 1] are what its positions are computed of. Only what
   * {@link Kernels.fitsMatmulRows} allows.
   */
  matmulRows?(
    program: RowProgram,
    inputs: readonly View[],
    scalars: readonly number[],
    indices: readonly View[],
    outputs: readonly View[],
    b: View,
    out: View,
    epilogue?: Epilogue,
  ): void;
  /** Whether {@link Kernels.matmulRows} takes this, and does it in one go. Nothing is read or written. */
  fitsMatmulRows?(...args: Parameters<NonNullable<Kernels["matmulRows"]>>): boolean;
}
