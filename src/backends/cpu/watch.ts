/**
 * Watches operations of the cpu device, for tests: an operation writes to the elements of its outputs and to nothing else.
 *
 * The heap's guards (`heap_guard.ts`) see what runs over the end of a block. What strays into the middle of another one is
 * seen here: before an operation the contents of all blocks are summed up, and after it those of which it has no output must
 * be the same; of an output's own block, what lies between its elements. An operation that throws is watched as well. What
 * an operation is given to read or write must lie inside of its buffers.
 *
 * @module
 */
import { blockValues, byteSize, isQuantized } from "../../core/dtype.ts";
import { DeviceError } from "../../core/errors.ts";
import { formatShape, isContiguous, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { View } from "../contract.ts";
import { type Arguments, eachView, type Operation } from "../operations.ts";
import type { CpuBuffer } from "./buffer.ts";
import type { Heap } from "./heap.ts";

/** Where more bytes than these are live, guards alone are looked at: all contents twice would take too long. */
const mostBytes = 4 << 20;

/** The same for the elements of an output. */
const mostElements = 1 << 16;

/** The contents of one block before an operation. */
interface Before {
  readonly pointer: number;
  readonly bytes: number;
  /** Their sum; of a block that is written to, the contents themselves. */
  readonly sum: number;
  readonly copy: Uint8Array | null;
}

/** Watches the operations on one heap. */
export class Watch {
  readonly #heap: Heap;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** Runs an operation. @throws {DeviceError} when it wrote to anything else than its row of the table says. */
  run(operation: Operation, args: Arguments, run: () => unknown): unknown {
    const outputs: View[] = [];
    eachView(operation, args, (view, role) => {
      demandInside(operation.name, view);
      // Products interleave the rows of quantised weights in place.
      if (role !== "reads" || isQuantized(view.dtype)) outputs.push(view);
    });
    const written = new Set(outputs.map(({ buffer }) => (buffer as CpuBuffer).pointer));
    const before = this.#heap.bytes > mostBytes ? [] : this.#contents(written);
    try {
      return run();
    } finally {
      const wrong = this.#heap.check() ?? this.#changed(before, outputs);
      // deno-lint-ignore no-unsafe-finally -- what was overwritten matters more than why the operation threw
      if (wrong !== null) throw new DeviceError(`cpu: while ${operation.name} ran, ${wrong}`);
    }
  }

  #contents(written: ReadonlySet<number>): Before[] {
    const list: Before[] = [];
    for (const { pointer, room: bytes, counted } of this.#heap.blocks()) {
      if (!counted) continue;
      const copy = written.has(pointer) ? this.#heap.u8.slice(pointer, pointer + bytes) : null;
      list.push({ pointer, bytes, copy, sum: copy ? 0 : this.#sum(pointer, bytes) });
    }
    return list;
  }

  #sum(pointer: number, bytes: number): number {
    const { u32 } = this.#heap;
    // The rest of the last word is the heap's own, and does not change.
    let sum = 0;
    for (let at = pointer >>> 2, end = (pointer + bytes + 3) >>> 2; at < end; at++) {
      sum = Math.imul(sum ^ u32[at], 16777619) + 0x9e3779b9 | 0;
    }
    return sum;
  }

  #changed(before: readonly Before[], outputs: readonly View[]): string | null {
    for (const { pointer, bytes, sum, copy } of before) {
      if (copy === null) {
        if (this.#sum(pointer, bytes) === sum) continue;
        return `a block of ${counted(bytes, "byte")} at ${pointer} changed, which is none of its outputs`;
      }
      const own = outputs.filter(({ buffer }) => (buffer as CpuBuffer).pointer === pointer);
      const at = this.#changedBetween(copy, own);
      if (at >= 0) return `byte ${at} of an output of ${bytes} changed, which is none of its elements`;
    }
    return null;
  }

  /** The first byte of a block that changed though it belongs to no element of `outputs`; -1: none. */
  #changedBetween(copy: Uint8Array, outputs: readonly View[]): number {
    if (outputs.some(({ dtype, shape }) => isQuantized(dtype) || sizeOf(shape) > mostElements)) return -1;
    const { pointer } = outputs[0].buffer as CpuBuffer, now = this.#heap.u8;
    let own: Uint8Array | null = null;
    for (let at = 0; at < copy.length; at++) {
      if (copy[at] === now[pointer + at]) continue;
      own ??= bytesOf(copy.length, outputs);
      if (own[at] === 0) return at;
    }
    return -1;
  }
}

/** @throws {DeviceError} when elements of the view lie outside of its buffer. */
function demandInside(name: string, { buffer, dtype, shape, strides, offset }: View): void {
  if (sizeOf(shape) === 0) return;
  let first = offset, last = offset;
  shape.forEach((size, d) => {
    if (strides[d] < 0) first += (size - 1) * strides[d];
    else last += (size - 1) * strides[d];
  });
  const end = isQuantized(dtype)
    ? byteSize(dtype, Math.ceil((last + 1) / blockValues(dtype)) * blockValues(dtype))
    : byteSize(dtype, last + 1);
  if (first >= 0 && end <= buffer.byteLength) return;
  throw new DeviceError(
    `cpu: ${name} was given a view of shape ${formatShape(shape)}, strides ${
      formatShape(strides)
    }, offset ${offset} that ` +
      `reaches from element ${first} to ${last} of ${counted(buffer.byteLength, "byte")} of ${dtype}`,
  );
}

/** 1 for each byte of a block of `length` bytes that belongs to an element of `views`. */
function bytesOf(length: number, views: readonly View[]): Uint8Array {
  const own = new Uint8Array(length);
  for (const { dtype, shape, strides, offset } of views) {
    const width = byteSize(dtype, 1), size = sizeOf(shape);
    if (isContiguous(shape, strides)) {
      own.fill(1, offset * width, (offset + size) * width);
      continue;
    }
    const position = shape.map(() => 0);
    for (let n = 0; n < size; n++) {
      const at = position.reduce((sum, i, d) => sum + i * strides[d], offset) * width;
      own.fill(1, at, at + width);
      for (let d = shape.length - 1; d >= 0 && ++position[d] === shape[d]; d--) position[d] = 0;
    }
  }
  return own;
}
