/**
 * More tensors than the heap holds: a WebAssembly memory with 32-bit addresses ends at 4 GiB, and the weights of
 * GPT-2 XL in f32 are 6.2 GB.
 *
 * When the heap is nearly full, large buffers that are not in use move out of it, into plain JavaScript memory, and
 * come back when an operation asks for them. Kernels never notice: an operation's buffers are all inside while it runs. A
 * model that fits pays nothing; one that does not pays one copy, each time it is used, of the part that does not fit.
 * Memory with 64-bit addresses would need no copies, but every access would check its bounds, in every engine.
 *
 * A forward pass asks for its weights in the same order each time, so the buffer that was used last is the one that is
 * not needed for longest, and is the first to go (Belady's choice for a loop; the least recently used would always be
 * the one needed next). Copies outside stay valid until their buffer is written to: weights are copied out once.
 *
 * @module
 */
import { isQuantized } from "../../core/dtype.ts";
import { DeviceError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import { type Arguments, eachView, type Operation } from "../operations.ts";
import type { CpuBuffer } from "./buffer.ts";
import type { Heap } from "./heap.ts";

/** Smaller buffers stay inside. */
const leastBytes = 1 << 20;

/** Operations that a buffer has to be old to go out before a younger one: results are short-lived, and used at once. */
const youth = 64;

/** Buffers whose memory was asked for last stay inside: a file may be on its way into them. */
const mappedKept = 4;

/** A large buffer, and where it is. */
interface Large extends CpuBuffer {
  pointer: number;
  /** What it holds, as of when it was last outside; dropped when it is written to. */
  copy?: Uint8Array | undefined;
  /** Whether it is outside, and `pointer` means nothing. */
  outside?: boolean;
  /** Whether anything was ever written to it. */
  written?: boolean;
  /** Operations before it was made, and before it was used last. */
  born?: number;
  used?: number;
}

/** Large buffers of a heap. */
export class Overflow {
  /** Whether anything ever went out: then every operation must {@link Overflow.bring} its arguments. */
  engaged = false;
  /** Bytes and buffers that are outside. */
  bytes = 0;
  /** Buffers that are outside. */
  buffers = 0;

  readonly #heap: Heap;
  /** Bytes that may go outside. */
  most: number;

  readonly #large = new Set<Large>();
  readonly #needed = new Set<CpuBuffer>();
  readonly #mapped: CpuBuffer[] = [];
  #time = 0;

  /** Keeps an eighth of the heap for what operations need while they run. At most `most` bytes go outside. */
  constructor(heap: Heap, most: number = Infinity) {
    this.#heap = heap;
    this.most = most;
  }

  /** A fresh buffer. @throws {DeviceError} when there is no room outside either. */
  allocate(byteLength: number): CpuBuffer {
    const buffer: Large = { pointer: this.#inside(byteLength), byteLength };
    if (byteLength >= leastBytes) {
      buffer.born = buffer.used = this.#time;
      this.#large.add(buffer);
    }
    return buffer;
  }

  /** Gives a buffer back. */
  release(buffer: CpuBuffer): void {
    const large = buffer as Large;
    if (large.byteLength >= leastBytes) this.#large.delete(large);
    large.copy = undefined;
    if (!large.outside) return this.#heap.release(large.pointer);
    large.outside = false;
    this.bytes -= large.byteLength;
    this.buffers--;
  }

  /** A buffer that is to be read or written from outside of an operation. */
  open(buffer: CpuBuffer, writes: boolean): void {
    if (buffer.byteLength < leastBytes) return;
    this.#needed.clear();
    this.#needed.add(buffer);
    if (writes) {
      this.#mapped.push(buffer);
      if (this.#mapped.length > mappedKept) this.#mapped.shift();
    }
    this.#fetch(buffer as Large, writes);
  }

  /** Gets an operation's buffers inside. */
  bring(operation: Operation, args: Arguments): void {
    this.#time++;
    this.#needed.clear();
    eachView(operation, args, ({ buffer }) => this.#needed.add(buffer as CpuBuffer));
    eachView(operation, args, ({ buffer, dtype }, role) => {
      // Products interleave the rows of quantised weights in place.
      if (buffer.byteLength >= leastBytes) {
        this.#fetch(buffer as Large, role !== "reads" || isQuantized(dtype));
      }
    });
  }

  #fetch(buffer: Large, writes: boolean): void {
    if (buffer.outside) {
      buffer.pointer = this.#inside(buffer.byteLength);
      buffer.outside = false;
      this.bytes -= buffer.byteLength;
      this.buffers--;
      if (buffer.copy) this.#heap.u8.set(buffer.copy, buffer.pointer);
    }
    buffer.used = this.#time;
    if (!writes) return;
    buffer.written = true;
    buffer.copy = undefined;
  }

  #inside(byteLength: number): number {
    const heap = this.#heap;
    for (;;) {
      if (heap.bytes + byteLength <= heap.limit - heap.limit / 8 || byteLength < leastBytes) {
        try {
          return heap.allocate(byteLength);
        } catch (error) {
          // In pieces that are too small, or full.
          if (!this.#send()) throw error;
          continue;
        }
      }
      if (!this.#send()) return heap.allocate(byteLength);
    }
  }

  /** Moves one buffer out; false when there is none that may go. */
  #send(): boolean {
    if (this.most < leastBytes) return false;
    let best: Large | null = null;
    for (const buffer of this.#large) {
      if (buffer.outside || this.#needed.has(buffer) || this.#mapped.includes(buffer)) continue;
      if (best === null || this.#rank(buffer) > this.#rank(best)) best = buffer;
    }
    if (best === null) return false;
    const { byteLength, pointer } = best;
    if (this.bytes + byteLength > this.most) {
      throw new DeviceError(
        `cpu: the tensors need more memory than this machine has to spare, or setMaxMemory allows: ${
          counted(this.#heap.bytes, "byte")
        } are in the heap, ` +
          `${this.bytes} outside; load the model in bf16, q8 or q4, or dispose tensors that are no longer needed`,
      );
    }
    if (best.written && !best.copy) best.copy = this.#heap.u8.slice(pointer, pointer + byteLength);
    this.#heap.release(pointer);
    best.outside = true;
    this.engaged = true;
    this.bytes += byteLength;
    this.buffers++;
    return true;
  }

  /** Old ones before young ones, then the one used last. */
  #rank({ born = 0, used = 0 }: Large): number {
    return (this.#time - born >= youth ? 2 ** 40 : 0) + used;
  }
}
