/**
 * The reference device: plain TypeScript, written to be read and believed rather than to be fast.
 *
 * It has every primitive and no kernels, so every structured operation runs from its definition here; that makes it
 * the oracle of the other devices. f32 is computed in double precision and rounded when stored. The only device with
 * f64, which gradient checks need.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { Backend, DeviceBuffer, MemoryUse } from "../contract.ts";
import { checkMaxMemory } from "../max_memory.ts";
import { cumsum } from "./kernels/cumsum.ts";
import { elementwise } from "./kernels/elementwise.ts";
import { gather, scatter } from "./kernels/gather.ts";
import { matmul } from "./kernels/matmul.ts";
import { random } from "./kernels/random.ts";
import { reduce } from "./kernels/reduce.ts";
import { sort } from "./kernels/sort.ts";
import { dataOf, type ReferenceBuffer } from "./memory.ts";

/** Tells engines apart whose functions differ in a last bit. */
function fingerprint(): string {
  const { exp, log, sin, cos, tanh, pow } = Math, bits = new DataView(new ArrayBuffer(8));
  let hash = 0;
  for (let i = 1; i < 200; i++) {
    const x = i * Math.SQRT1_2;
    for (const y of [exp(x / 9), log(x), sin(x), cos(x), tanh(x / 40), pow(x, 1 / i)]) {
      bits.setFloat64(0, y);
      hash = Math.imul(hash, 31) + bits.getInt32(0) + Math.imul(bits.getInt32(4), 17) | 0;
    }
  }
  return (hash >>> 0).toString(16);
}

/** A reference device with memory of its own, `maxMemory` bytes at most. */
export function createReferenceBackend(maxMemory: number = Infinity): Backend {
  let bytes = 0, buffers = 0;
  const bytesOf = (buffer: DeviceBuffer): Uint8Array => new Uint8Array(dataOf(buffer), 0, buffer.byteLength);

  function allocate(byteLength: number): ReferenceBuffer {
    checkMaxMemory(backend, { bytes, buffers }, byteLength);
    let data: ArrayBuffer;
    try {
      // Whole eights, so that a buffer can be seen as an array of any dtype.
      data = new ArrayBuffer(Math.ceil(byteLength / 8) * 8);
    } catch (cause) {
      throw new DeviceError(
        `reference: no memory for ${counted(byteLength, "byte")} beside ${bytes} in use`,
        { cause },
      );
    }
    bytes += byteLength;
    buffers++;
    return { byteLength, data };
  }

  function release(buffer: DeviceBuffer): void {
    dataOf(buffer);
    (buffer as ReferenceBuffer).data = null;
    bytes -= buffer.byteLength;
    buffers--;
  }

  const backend: Backend = {
    name: "reference",
    maxMemory,
    kernels: {},
    arithmetic: `f64, functions of JavaScript (${fingerprint()})`,
    supports: () => true,
    allocate,
    release,
    upload: (buffer, byteOffset, from) => bytesOf(buffer).set(from, byteOffset),
    download: (buffer, byteOffset, byteLength) =>
      Promise.resolve(bytesOf(buffer).slice(byteOffset, byteOffset + byteLength)),
    mapped: bytesOf,
    memory: (): MemoryUse => ({ bytes, buffers }),
    elementwise,
    reduce,
    matmul,
    gather,
    scatter,
    cumsum,
    sort,
    random,
  };
  return backend;
}
