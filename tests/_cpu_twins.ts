/** The cpu device's engine and the reference device, side by side for {@link Twins}. */
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import type { Engine } from "../src/backends/cpu/engine.ts";
import type { Backend } from "../src/backends/contract.ts";
import { type Device, Twins } from "./_twins.ts";

/** The memory of an engine as a device. */
function deviceOf({ heap }: Engine): Device {
  return {
    allocate: (byteLength): CpuBuffer => ({ byteLength, pointer: heap.allocate(byteLength) }),
    release: (buffer) => heap.release((buffer as CpuBuffer).pointer),
    upload: (buffer, byteOffset, bytes) => heap.u8.set(bytes, (buffer as CpuBuffer).pointer + byteOffset),
    bytes: (buffer) => {
      const { pointer } = buffer as CpuBuffer;
      return heap.u8.subarray(pointer, pointer + buffer.byteLength);
    },
  };
}

/** Views on both at once. */
export function cpuTwins(engine: Engine, reference: Backend): Twins {
  return new Twins(deviceOf(engine), {
    allocate: (byteLength) => reference.allocate(byteLength),
    release: (buffer) => reference.release(buffer),
    upload: (buffer, byteOffset, bytes) => reference.upload(buffer, byteOffset, bytes),
    bytes: (buffer) => (reference.mapped as NonNullable<Backend["mapped"]>)(buffer),
  });
}
