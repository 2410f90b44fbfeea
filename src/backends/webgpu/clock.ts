/**
 * How long the GPU works, by its own clock: every pass notes when it begins and ends ("timestamp-query").
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";

// GPUBufferUsage and GPUMapMode, whose objects are missing where there is no WebGPU.
const mapRead = 1, copySource = 4, copyTarget = 8, queryResolve = 512;

/** Passes that are measured at once: WebGPU's largest set of queries holds the two times of each. */
const most = 2048;

/** Measures the passes that begin while it is a device's `clock`. */
export class Clock {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;
  #passes = 0;

  /** @throws {DeviceError} where the device has no "timestamp-query". */
  constructor(device: GPUDevice) {
    if (!device.features.has("timestamp-query")) {
      throw new DeviceError(
        "webgpu: this adapter has no timestamp-query; measure by the time that passes here",
      );
    }
    this.#device = device;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * most });
    this.#resolved = device.createBuffer({ size: 16 * most, usage: queryResolve | copySource });
    this.#staging = device.createBuffer({ size: 16 * most, usage: mapRead | copyTarget });
  }

  /**
   * Where the next pass notes its times.
   * @throws {DeviceError} for more passes than are measured at once.
   */
  next(): GPUComputePassTimestampWrites {
    if (this.#passes >= most) {
      throw new DeviceError(`webgpu: more than ${most} passes are measured; read the clock between them`);
    }
    const first = 2 * this.#passes++;
    return { querySet: this.#queries, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
  }

  /** What the passes since the last call took together, in the clock's units: nanoseconds, as the specification says. */
  async read(): Promise<number> {
    const count = this.#passes;
    this.#passes = 0;
    if (count === 0) return 0;
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, 2 * count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16 * count);
    this.#device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(1);
    const times = new BigUint64Array(this.#staging.getMappedRange(0, 16 * count).slice(0));
    this.#staging.unmap();
    let total = 0;
    for (let i = 0; i < count; i++) total += Number(times[2 * i + 1] - times[2 * i]);
    return total;
  }

  /** Gives the memory back. */
  dispose(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }
}
