/**
 * What the adapter could do at best, measured now: bytes read in a second, and multiply-adds in registers. Benches hold
 * kernels against it.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import type { WebGpuBuffer } from "./buffers.ts";
import { Clock } from "./clock.ts";
import { type Gpu, param } from "./gpu.ts";

const team = 256;

/** The limits of one device. */
export class WebGpuLimits {
  readonly #gpu: Gpu;
  readonly #clock: Clock | null;
  #nanoseconds = 1;
  #large: WebGpuBuffer | null = null;

  private constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#clock = gpu.device.features.has("timestamp-query") ? new Clock(gpu.device) : null;
  }

  /** Compares the GPU's clock with the one here, since not every runtime counts in nanoseconds as it should. */
  static async open(gpu: Gpu): Promise<WebGpuLimits> {
    const limits = new WebGpuLimits(gpu);
    if (!limits.#clock) return limits;
    let repeats = 1, wall = 0, ticks = 0;
    // Long enough that what else passes between sending and hearing does not count.
    while (wall < 0.25 && repeats < 1 << 14) {
      const started = performance.now();
      ticks = await limits.#ticks(() => limits.#multiply("f32", repeats));
      wall = (performance.now() - started) / 1e3;
      if (wall < 0.25) repeats *= 2;
    }
    const ratio = wall * 1e9 / ticks;
    // Within a fifth it is the same unit, and the clocks differ by what is not the GPU's work.
    limits.#nanoseconds = ratio > 0.8 && ratio < 1.25 ? 1 : ratio;
    return limits;
  }

  /** Whether seconds are those of the GPU's own clock; else those that pass here until the work is done. */
  get byClock(): boolean {
    return this.#clock !== null;
  }

  /** Seconds that the GPU works on what `record` records (and may wait for). */
  async seconds(record: () => unknown): Promise<number> {
    if (this.#clock) return await this.#ticks(record) * this.#nanoseconds / 1e9;
    this.#gpu.flush();
    await this.#gpu.device.queue.onSubmittedWorkDone();
    const started = performance.now();
    await record();
    this.#gpu.flush();
    await this.#gpu.device.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1e3;
  }

  async #ticks(record: () => unknown): Promise<number> {
    this.#gpu.flush();
    this.#gpu.clock = this.#clock;
    try {
      await record();
      this.#gpu.flush();
    } finally {
      this.#gpu.clock = null;
    }
    return await this.#clock!.read();
  }

  /** Bytes read in a second, of memory too large for a cache: of a binding, or 512 MiB where that holds more. */
  async read(): Promise<number> {
    const gpu = this.#gpu,
      bytes = Math.min(gpu.bindingLimit, 512 << 20, gpu.device.limits.maxBufferSize) & -4096;
    const large = this.#large ??= gpu.buffers.allocate(bytes), out = gpu.buffers.allocate(256);
    const groups = 2048,
      stride = groups * team,
      kernel = gpu.kernel("limit read", () => ({
        code: `
@compute @workgroup_size(${team})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var sum = vec4<u32>();
  for (var i = i32(id.x); i < ${param(1)}; i += ${stride}) { sum |= b0[i]; }
  // What nobody uses is not read.
  if (all(sum == vec4<u32>(0x12345678u))) { b1[0] = 1u; }
}`,
        types: ["array<vec4<u32>>", "array<u32>"],
        writes: [false, true],
        words: 2,
      }));
    const seconds = await this.#best(() => gpu.run(kernel, [large, out], [bytes / 16], groups));
    gpu.buffers.release(out);
    return bytes / seconds;
  }

  /**
   * Multiplications and additions in a second, in registers.
   * @throws {DeviceError} for f16 where there is no shader-f16.
   */
  async multiplyAdd(type: "f32" | "f16" = "f32"): Promise<number> {
    if (type === "f16" && !this.#gpu.device.features.has("shader-f16")) {
      throw new DeviceError("webgpu: this adapter has no shader-f16");
    }
    const repeats = this.#gpu.software ? 8 : 512;
    return this.#operations(repeats) / await this.#best(() => this.#multiply(type, repeats));
  }

  get #groups(): number {
    return this.#gpu.software ? 16 : 4096;
  }

  #operations(repeats: number): number {
    return this.#groups * team * repeats * 16 * 8 * 4 * 2;
  }

  #multiply(type: "f32" | "f16", repeats: number): void {
    const gpu = this.#gpu,
      out = gpu.buffers.allocate(256),
      sums = Array.from({ length: 8 }, (_, i) => `s${i}`);
    const kernel = gpu.kernel(`limit multiply ${type}`, () => ({
      code: `
@compute @workgroup_size(${team})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = vec4<${type}>(${type}(id.x & 7u)) * ${type}(0.125); let y = vec4<${type}>(${type}(p[0][2]));
  ${sums.map((s, i) => `var ${s} = vec4<${type}>(${type}(${i}));`).join(" ")}
  for (var i = 0; i < ${param(1)}; i++) {
    for (var j = 0; j < 16; j++) { ${sums.map((s) => `${s} = fma(${s}, x, y);`).join(" ")} }
  }
  if (all(${sums.join(" + ")} == vec4<${type}>(${type}(-77)))) { b0[0] = 1u; }
}`,
      types: ["array<u32>"],
      writes: [true],
      words: 3,
    }));
    gpu.run(kernel, [out], [repeats, 1], this.#groups);
    gpu.buffers.release(out);
  }

  /** The shortest of some runs. */
  async #best(record: () => void): Promise<number> {
    let best = Infinity;
    for (let i = 0; i < 4; i++) best = Math.min(best, await this.seconds(record));
    return best;
  }

  /** Gives the memory back. */
  dispose(): void {
    this.#clock?.dispose();
    if (this.#large) this.#gpu.buffers.release(this.#large);
    this.#large = null;
  }
}
