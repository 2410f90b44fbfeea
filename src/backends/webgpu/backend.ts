/**
 * The webgpu device: memory and arithmetic on a GPU, kernels as WGSL written for what they are asked to do.
 *
 * This file only puts together; the operations live in `kernels/`, one file each, named as on the other devices.
 * Calls record commands and return; `download` submits them and waits.
 *
 * @module
 */
import { type DType, isK } from "../../core/dtype.ts";
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
import type { WebGpuBuffer } from "./buffers.ts";
import { Gpu, type GpuOptions } from "./gpu.ts";
import { attention } from "./kernels/attention.ts";
import { attentionBackward } from "./kernels/attention_backward.ts";
import { attentionStep } from "./kernels/attention_step.ts";
import { crossEntropy, crossEntropyBackward } from "./kernels/cross_entropy.ts";
import { cumsum } from "./kernels/cumsum.ts";
import { elementwise } from "./kernels/elementwise.ts";
import { rows } from "./kernels/fused_rows.ts";
import { checkMaxMemory } from "../max_memory.ts";
import { gather } from "./kernels/gather.ts";
import { layerNorm, layerNormBackward } from "./kernels/layer_norm.ts";
import { matmul } from "./kernels/matmul.ts";
import { fitsMatmulRows, matmulRows } from "./kernels/matmul_rows.ts";
import { random } from "./kernels/random.ts";
import { reduce } from "./kernels/reduce.ts";
import { rmsNorm, rmsNormBackward } from "./kernels/rms_norm.ts";
import { sample } from "./kernels/sample.ts";
import { scatter } from "./kernels/scatter.ts";
import { softmax, softmaxBackward } from "./kernels/softmax.ts";
import { sort } from "./kernels/sort.ts";
import { captureOn } from "./captured.ts";
import { download, upload } from "./transfer.ts";

/** The webgpu device. */
export class WebGpuBackend implements Backend {
  /** Its name. */
  readonly name = "webgpu";
  /** Bytes that it takes at most. */
  maxMemory = Infinity;
  /** Commands, pipelines and memory. */
  readonly gpu: Gpu;
  /** Structured operations done in one go. */
  readonly kernels: Kernels;

  /** The device of a `GPUDevice`. */
  constructor(device: GPUDevice, options: GpuOptions = {}) {
    this.gpu = new Gpu(device, options);
    this.kernels = kernelsOn(this.gpu);
  }

  /** See {@link Backend.arithmetic}: the adapter's, whose driver compiles the kernels. */
  get arithmetic(): string {
    const { adapterInfo: info } = this.gpu.device as unknown as { adapterInfo?: Record<string, string> };
    const name = [info?.vendor, info?.architecture, info?.description].filter(Boolean).join(" ");
    return `${name || "an adapter without a name"}${this.gpu.halfProducts ? ", products in f16" : ""}`;
  }

  /** Everything but f64. */
  supports(dtype: DType): boolean {
    return dtype !== "f64" && !isK(dtype);
  }

  /** Memory with undefined contents. */
  allocate(byteLength: number): WebGpuBuffer {
    checkMaxMemory(this, this.gpu.buffers.memory(), byteLength);
    return this.gpu.buffers.allocate(byteLength);
  }

  /**
   * Gives memory back.
   * @throws {DeviceError} when it was given back before.
   */
  release(buffer: DeviceBuffer): void {
    this.gpu.buffers.release(buffer);
  }

  /** Copies `bytes` into the buffer at `byteOffset`. */
  upload(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    upload(this.gpu, buffer, byteOffset, bytes);
  }

  /** A copy of `byteLength` bytes, once all work recorded before is done. */
  download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    return download(this.gpu, buffer, byteOffset, byteLength);
  }

  /** Bytes and buffers live. */
  memory(): MemoryUse {
    return this.gpu.buffers.memory();
  }

  /** See {@link Backend.capture}. */
  capture(f: () => void): Captured | null {
    return captureOn(this.gpu, f);
  }

  /** See {@link Backend.elementwise}. */
  elementwise(
    program: Program,
    inputs: readonly View[],
    scalars: readonly number[],
    outputs: readonly View[],
  ): void {
    if (isBeyondCount(outputs[0].shape)) elementwiseInHalves(this, program, inputs, scalars, outputs);
    else elementwise(this.gpu, program, inputs, scalars, outputs);
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
    } else reduce(this.gpu, kind, program, inputs, scalars, axes, output, epilogue);
  }

  /** See {@link Backend.matmul}. */
  matmul(a: View, b: View, out: View, epilogue?: Epilogue): void {
    if (a.shape[a.shape.length - 1] > mostCounted) matmulLarge(this, a, b, out, epilogue);
    else matmul(this.gpu, a, b, out, epilogue);
  }

  /** See {@link Backend.gather}. */
  gather(x: View, axis: number, index: View, out: View): void {
    gather(this.gpu, x, axis, index, out);
  }

  /** See {@link Backend.scatter}. */
  scatter(mode: "add" | "set", out: View, axis: number, index: View, source: View): void {
    scatter(this.gpu, mode, out, axis, index, source);
  }

  /** See {@link Backend.cumsum}. */
  cumsum(x: View, axis: number, out: View): void {
    cumsum(this.gpu, x, axis, out);
  }

  /** See {@link Backend.sort}. */
  sort(x: View, descending: boolean, values: View, indices: View): void {
    sort(this.gpu, x, descending, values, indices);
  }

  /** See {@link Backend.random}. */
  random(kind: "uniform" | "normal", seed: number, offset: number, out: View): void {
    random(this.gpu, kind, seed, offset, out);
  }
}

function kernelsOn(gpu: Gpu): Kernels {
  return {
    softmax: (...args) => softmax(gpu, ...args),
    softmaxBackward: (...args) => softmaxBackward(gpu, ...args),
    layerNorm: (...args) => layerNorm(gpu, ...args),
    layerNormBackward: (...args) => layerNormBackward(gpu, ...args),
    rmsNorm: (...args) => rmsNorm(gpu, ...args),
    rmsNormBackward: (...args) => rmsNormBackward(gpu, ...args),
    attention: (...args) => attention(gpu, ...args),
    attentionStep: (...args) => attentionStep(gpu, ...args),
    attentionBackward: (...args) => attentionBackward(gpu, ...args),
    crossEntropy: (...args) => crossEntropy(gpu, ...args),
    crossEntropyBackward: (...args) => crossEntropyBackward(gpu, ...args),
    rows: (...args) => rows(gpu, ...args),
    matmulRows: (...args) => matmulRows(gpu, ...args),
    fitsMatmulRows: (...args) => fitsMatmulRows(gpu, ...args),
    sample: (...args) => sample(gpu, ...args),
  };
}
