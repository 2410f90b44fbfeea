/**
 * The device behind the kernels: commands recorded in batches, pipelines and bind groups remembered, data moved.
 *
 * A kernel's bindings are one block of numbers (shapes, strides, scalars) and the buffers. The blocks of a batch lie
 * in one uniform buffer, each dispatch sees its own by a dynamic offset, and they are written in one go when the
 * batch is submitted. So a dispatch costs a few calls and no GPU memory of its own, and a step of generation, which
 * meets the same buffers every time, finds all its bind groups made.
 *
 * @module
 */
import { DeviceError, type ShapeError } from "../../core/errors.ts";
import { indexError, targetError } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { DeviceBuffer } from "../contract.ts";
import type { Clock } from "./clock.ts";
import type { Job, Listener } from "./captured.ts";
import { Buffers, gpuOf, usage, type WebGpuBuffer } from "./buffers.ts";

/** A compiled kernel. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Its number, by which bind groups are remembered. */
  readonly id: number;
  /** Numbers in its parameter block. */
  readonly words: number;
}

/** What a kernel is made of. */
export interface KernelSource {
  /** The code, without bindings: it names them `b0`, `b1`, … and its parameters as {@link param} does. */
  readonly code: string;
  /** The element type of each binding, "array<u32>" and the like. */
  readonly types: readonly string[];
  /** Which bindings are written to. */
  readonly writes: readonly boolean[];
  /** Numbers in the parameter block. */
  readonly words: number;
}

/** Parameter number `k` in WGSL, an i32. Those that a caller gives begin at 1. */
export function param(k: number): string {
  return `p[${k >> 2}][${k & 3}]`;
}

const bits = new Int32Array(1), float = new Float32Array(bits.buffer);

/** The bits of an f32, to pass it as a parameter. */
export function floatBits(value: number): number {
  float[0] = value;
  return bits[0];
}

const paramBytes = 1 << 18, maxDispatches = 512, maxGroups = 4096;

function resourceOf(buffer: WebGpuBuffer): GPUBufferBinding {
  if (buffer.start === undefined) return { buffer: gpuOf(buffer) };
  return { buffer: gpuOf(buffer), offset: buffer.start, size: buffer.byteLength };
}

/** Invocations in a workgroup of kernels that do one element each. */
export const groupSize = 64;

/** What can go wrong while data is looked at; kernels note it, and the next read throws. */
const notes = { bytes: 20 };

/** Stands for the axis in a note about a target of cross-entropy. */
export const targetNote = 0x7fffffff;

/** The error that a note stands for. */
function noteError([, index, size, axis, high]: Int32Array): ShapeError {
  const what = "an operation before this read";
  if (axis === targetNote) return targetError(what, index, size);
  return indexError(what, (BigInt(high) << 32n) + BigInt(index >>> 0), size, axis);
}

/** How a {@link Gpu} works. */
export interface GpuOptions {
  /** Whether the adapter is a processor in disguise, whose kernels are others. Default false. */
  readonly software?: boolean;
  /** Most bytes of a buffer that a kernel sees at once, below the adapter's own limit. */
  readonly bindingLimit?: number;
  /** Most workgroups along one dim of a dispatch, below the adapter's own limit. */
  readonly maxGroups?: number;
  /** Whether kernels use subgroups, which the device then has. Default false. */
  readonly subgroups?: boolean;
  /**
   * Whether products with f16 weights are computed in f16, in sums of sixteen terms that are then added up in f32; the
   * device then has shader-f16. Default false: all of it in f32.
   */
  readonly allowFp16ReducedPrecisionReduction?: boolean;
}

/** A WebGPU device at work. */
export class Gpu {
  readonly device: GPUDevice;
  readonly buffers: Buffers;
  /** Words in which kernels note an index out of range: 1, the index, the size, the axis, the index's upper half. */
  readonly notes: WebGpuBuffer;
  /** Most bytes of a buffer that a kernel can see at once. */
  readonly bindingLimit: number;
  /** Most workgroups along one dim of a dispatch. */
  readonly maxGroups: number;
  /** Whether the adapter is a processor in disguise. */
  readonly software: boolean;
  /** Whether kernels use subgroups. */
  readonly subgroups: boolean;
  /** Whether products with f16 weights are computed in f16. */
  readonly halfProducts: boolean;
  /** Where passes note when they begin and end, while somebody measures. */
  clock: Clock | null = null;
  /** What listens to the jobs, while somebody captures them. */
  listener: Listener | null = null;
  /** Why the device can no longer be used. */
  lost: string | null = null;

  readonly #params: GPUBuffer;
  readonly #words = new Int32Array(paramBytes / 4);
  readonly #align: number;
  readonly #kernels = new Map<string, Kernel>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  #used = 0;
  #dispatches = 0;
  #batch = 1;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #errors: Promise<string | null>[] = [];

  constructor(device: GPUDevice, options: GpuOptions = {}) {
    const { software, bindingLimit, maxGroups, subgroups, allowFp16ReducedPrecisionReduction } = options;
    this.device = device;
    this.subgroups = subgroups ?? false;
    this.halfProducts = allowFp16ReducedPrecisionReduction ?? false;
    this.maxGroups = Math.min(maxGroups ?? Infinity, device.limits.maxComputeWorkgroupsPerDimension);
    this.bindingLimit = Math.min(bindingLimit ?? Infinity, device.limits.maxStorageBufferBindingSize);
    this.software = software ?? false;
    this.buffers = new Buffers(device);
    this.#align = device.limits.minUniformBufferOffsetAlignment;
    this.#params = device.createBuffer({ size: paramBytes, usage: usage.uniform });
    this.notes = {
      byteLength: notes.bytes,
      gpu: device.createBuffer({ size: notes.bytes, usage: usage.storage }),
      id: 0,
      batch: 0,
    };
    device.lost.then(({ message, reason }) => this.lost = message || reason);
  }

  /** The number of the batch that commands go into. */
  get batch(): number {
    return this.#batch;
  }

  /** How many batches were submitted. */
  get submitted(): number {
    return this.#batch - 1;
  }

  /** How many bind groups are remembered. */
  get bindGroups(): number {
    return this.#groups.size;
  }

  /** The kernel `key`, made by `source` when it is first asked for. */
  kernel(key: string, source: () => KernelSource): Kernel {
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      this.#open();
      kernel = this.#compile(source());
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** Records one run of `kernel` over `buffers` (or parts of them, in bytes) in `groups` workgroups. */
  run(
    kernel: Kernel,
    buffers: readonly DeviceBuffer[],
    params: readonly number[],
    x: number,
    y: number = 1,
    z: number = 1,
  ): void {
    if (x === 0 || y === 0 || z === 0) return;
    for (const buffer of buffers) gpuOf(buffer);
    const job = { kernel, group: this.#group(kernel, buffers), buffers, params, x, y, z };
    this.listener?.jobs.push({ ...job, params: [...params] });
    this.encode(job);
  }

  /** Puts a job into the batch. */
  encode({ kernel, group, buffers, params, x, y, z }: Job): void {
    const bytes = kernel.words * 4;
    if (this.#used + bytes > paramBytes || this.#dispatches >= maxDispatches) this.flush();
    this.#open();
    for (const buffer of buffers) this.#touch(buffer);
    // Number 0 is 0, which no compiler knows: see `hide` in wgsl/math.ts.
    this.#words[this.#used / 4] = 0;
    this.#words.set(params, this.#used / 4 + 1);
    const pass = this.#pass!;
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group, [this.#used]);
    pass.dispatchWorkgroups(x, y, z);
    this.#used = Math.ceil((this.#used + bytes) / this.#align) * this.#align;
    this.#dispatches++;
  }

  /** Records one invocation for each of `count` elements, in groups of {@link groupSize}; see {@link elementIndex}. */
  runOver(kernel: Kernel, buffers: readonly DeviceBuffer[], params: readonly number[], count: number): void {
    const groups = Math.ceil(count / groupSize), rows = Math.ceil(groups / 32768);
    this.run(kernel, buffers, params, rows > 1 ? 32768 : groups, rows);
  }

  /** What is done now cannot be done again by what is being captured. */
  refuseCapture(): void {
    if (this.listener) this.listener.failed = true;
  }

  /** Submits what was recorded. */
  flush(): void {
    if (!this.#encoder) return;
    this.#pass!.end();
    if (this.#used > 0) {
      const words = Math.min(paramBytes, this.#used);
      this.device.queue.writeBuffer(this.#params, 0, this.#words.buffer as ArrayBuffer, 0, words);
    }
    const encoder = this.#encoder;
    this.#guard(() => this.device.queue.submit([encoder.finish()]));
    this.#encoder = this.#pass = null;
    this.#close();
    this.#used = this.#dispatches = 0;
    this.#batch++;
    if (this.#groups.size > maxGroups) this.#groups.clear();
    this.buffers.trim((id) => this.#forget(id));
  }

  /** Copies bytes to the buffer, after all work recorded before. Offset and length are multiples of 4. */
  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    const own = buffer as WebGpuBuffer;
    this.refuseCapture();
    // Writing goes to the queue at once, so that what is only recorded so far would come after it.
    if (own.batch === this.#batch) this.flush();
    this.#demandAlive();
    const source = bytes as Uint8Array<ArrayBuffer>;
    const gpu = gpuOf(buffer);
    this.#guard(() => this.device.queue.writeBuffer(gpu, byteOffset, source, 0, bytes.byteLength));
  }

  /**
   * The bytes of a piece of the buffer, once all work recorded before is done. Offset and length are multiples of 4.
   * @throws {DeviceError} when that work failed. @throws {ShapeError} when it met an index out of range.
   */
  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#demandAlive();
    this.refuseCapture();
    const size = byteLength + notes.bytes, idle = this.#staging.get(size) ?? [];
    const staging = idle.pop() ?? this.device.createBuffer({ size, usage: usage.staging });
    this.#open();
    this.#pass!.end();
    const encoder = this.#encoder!;
    encoder.copyBufferToBuffer(gpuOf(buffer), byteOffset, staging, 0, byteLength);
    encoder.copyBufferToBuffer(gpuOf(this.notes), 0, staging, byteLength, notes.bytes);
    // A note is for the first read after it: others may be on their way already.
    encoder.clearBuffer(gpuOf(this.notes), 0, notes.bytes);
    this.#beginPass();
    this.flush();
    const errors = this.#errors.splice(0);
    let bytes: Uint8Array;
    try {
      await staging.mapAsync(1);
      bytes = new Uint8Array(staging.getMappedRange().slice(0));
      // Ids and losses are read again and again; large reads are rare, and their memory is better given back.
      if (size > 4096 || idle.length >= 8) staging.destroy();
      else {
        staging.unmap();
        this.#staging.set(size, idle);
        idle.push(staging);
      }
    } catch (cause) {
      this.#noteLoss(cause);
      // The map may fail before the device is known to be lost.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
      this.#demandAlive();
      throw new DeviceError(`webgpu: reading ${counted(byteLength, "byte")} failed`, { cause });
    }
    for (const error of await Promise.all(errors)) {
      if (error !== null) throw new DeviceError(`webgpu: ${error}`);
    }
    const noted = new Int32Array(bytes.buffer.slice(byteLength));
    if (noted[0]) throw noteError(noted);
    return bytes.subarray(0, byteLength);
  }

  /** Marks a buffer as used by the batch being recorded. */
  #touch(buffer: DeviceBuffer): void {
    const own = buffer as WebGpuBuffer;
    (own.parent ?? own).batch = this.#batch;
  }

  #noteLoss(cause: unknown): void {
    const { message = "" } = cause as { message?: string };
    if (/device is lost|device lost/i.test(message)) this.lost ??= message;
  }

  /** Calls that some runtimes let throw as soon as the device is lost. */
  #guard<T>(call: () => T): T {
    try {
      return call();
    } catch (cause) {
      this.#noteLoss(cause);
      this.#demandAlive();
      throw cause;
    }
  }

  #demandAlive(): void {
    if (this.lost !== null) {
      throw new DeviceError(
        `the webgpu device was lost (${this.lost}); its tensors are gone, call initWebGPU() for a new one`,
      );
    }
  }

  #open(): void {
    if (this.#encoder) return;
    this.#demandAlive();
    this.#guard(() => {
      this.device.pushErrorScope("validation");
      this.device.pushErrorScope("out-of-memory");
      this.#encoder = this.device.createCommandEncoder();
      this.#beginPass();
    });
  }

  #beginPass(): void {
    const timestampWrites = this.clock?.next();
    this.#pass = this.#encoder!.beginComputePass(timestampWrites ? { timestampWrites } : {});
  }

  #close(): void {
    for (const what of ["out of memory", "not valid"]) {
      const answer = this.device.popErrorScope();
      this.#errors.push(answer.then((e) => e ? `${what}: ${e.message}` : null, (e) => String(e)));
    }
  }

  #group(kernel: Kernel, buffers: readonly DeviceBuffer[]): GPUBindGroup {
    let key = String(kernel.id);
    for (const buffer of buffers) {
      const { id, start } = buffer as WebGpuBuffer;
      key += start === undefined ? `|${id}` : `|${id}|${start}+${buffer.byteLength}`;
    }
    let group = this.#groups.get(key);
    if (!group) {
      group = this.device.createBindGroup({
        layout: kernel.layout,
        entries: [
          { binding: 0, resource: { buffer: this.#params, size: kernel.words * 4 } },
          ...buffers.map((buffer, i) => ({ binding: i + 1, resource: resourceOf(buffer as WebGpuBuffer) })),
        ],
      });
      this.#groups.set(key, group);
    }
    return group;
  }

  #forget(id: number): void {
    for (const key of this.#groups.keys()) if (`${key}|`.includes(`|${id}|`)) this.#groups.delete(key);
  }

  #compile({ code, types, writes, words: given }: KernelSource): Kernel {
    const words = Math.ceil(Math.max(given, 4) / 4) * 4;
    const bindings = types.map((type, i) =>
      `@group(0) @binding(${i + 1}) var<storage, ${writes[i] ? "read_write" : "read"}> b${i}: ${type};\n`
    );
    const extensions = [
      ...(this.subgroups && code.includes("subgroup") ? ["subgroups"] : []),
      ...(this.device.features.has("shader-f16") && code.includes("<f16>") ? ["f16"] : []),
    ];
    const source = extensions.map((name) => `enable ${name};\n`).join("") +
      `@group(0) @binding(0) var<uniform> p: array<vec4<i32>, ${words / 4}>;\n` +
      bindings.join("") + code;
    const layout = this.#layout(writes, words);
    const pipeline = this.device.createComputePipeline({
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: this.device.createShaderModule({ code: source }), entryPoint: "main" },
    });
    return { pipeline, layout, id: this.#kernels.size, words };
  }

  #layout(writes: readonly boolean[], words: number): GPUBindGroupLayout {
    const key = `${words} ${writes}`;
    let layout = this.#layouts.get(key);
    if (!layout) {
      const visibility = 4; // GPUShaderStage.COMPUTE
      layout = this.device.createBindGroupLayout({
        entries: [
          {
            binding: 0,
            visibility,
            buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: words * 4 },
          },
          ...writes.map((write, i) => ({
            binding: i + 1,
            visibility,
            buffer: { type: write ? "storage" as const : "read-only-storage" as const },
          })),
        ],
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}
