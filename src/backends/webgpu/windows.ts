/**
 * Buffers larger than a binding may be: kernels see a window of them.
 *
 * A view whose elements lie within the limit of each other gets a window around them. Operations cut views that reach
 * further into parts that fit, along an axis.
 *
 * @module
 */
import { byteSize, isQuantized, quantBlock } from "../../core/dtype.ts";
import { DeviceError } from "../../core/errors.ts";
import { formatShape, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { DeviceBuffer, View } from "../contract.ts";
import { gpuOf, type WebGpuBuffer } from "./buffers.ts";
import type { Gpu } from "./gpu.ts";
import { seenAs } from "./wgsl/module.ts";

/** The window of `parent` from `start` on. The same range is the same object, as bindings want it. */
function windowOf(parent: WebGpuBuffer, start: number, byteLength: number): WebGpuBuffer {
  const windows = parent.windows ??= new Map(), key = `${start}+${byteLength}`;
  let window = windows.get(key);
  if (!window) {
    window = { byteLength, gpu: parent.gpu, id: parent.id, batch: 0, parent, start };
    windows.set(key, window);
  }
  return window;
}

/** The bytes of its buffer that `view` needs. */
function reachOf({ dtype, shape, strides, offset, buffer }: View): [start: number, end: number] {
  let first = offset, last = offset;
  shape.forEach((size, d) => {
    if (strides[d] < 0) first += (size - 1) * strides[d];
    else last += (size - 1) * strides[d];
  });
  // A window begins at a multiple of 256 bytes, and blocks stay whole.
  const unit = unitOf(dtype), block = isQuantized(dtype) ? quantBlock : 1;
  const start = byteSize(dtype, Math.floor(first / unit) * unit);
  const end = byteSize(dtype, Math.floor(last / block) * block + block);
  return [start, Math.min(start + Math.ceil((end - start) / 256) * 256, gpuOf(buffer).size)];
}

/** Elements in a piece of 256 bytes, or of as few as hold whole blocks. */
function unitOf(dtype: View["dtype"]): number {
  return isQuantized(dtype) ? 128 * quantBlock : 256 / byteSize(dtype, 1);
}

/** Bytes that a binding of `buffer` shows. */
function boundSize(buffer: DeviceBuffer): number {
  return (buffer as WebGpuBuffer).parent ? buffer.byteLength : gpuOf(buffer).size;
}

/** The views as bindings can hold them, or null when one reaches too far. */
export function throughWindows(gpu: Gpu, views: readonly View[]): readonly View[] | null {
  const limit = gpu.bindingLimit;
  // Nearly always nothing is to be done.
  if (views.every((v) => boundSize(v.buffer) <= limit)) return views;
  const reach = new Map<DeviceBuffer, [start: number, end: number]>();
  const seen: View[] = [];
  for (const view of views) {
    const [start, end] = reachOf(view), known = reach.get(view.buffer);
    if (end - start > limit && boundSize(view.buffer) > limit) return null;
    reach.set(view.buffer, known ? [Math.min(start, known[0]), Math.max(end, known[1])] : [start, end]);
  }
  for (const view of views) {
    const { buffer, dtype, shape, strides, offset } = view, own = buffer as WebGpuBuffer;
    if (boundSize(buffer) <= limit) {
      seen.push(view);
      continue;
    }
    // One window for all that is seen of a buffer, if it may be that large: what is read and written cannot be two.
    const all = reach.get(buffer)!, unit = unitOf(dtype);
    const [start, end] = all[1] - all[0] <= limit ? all : reachOf(view);
    const before = start / byteSize(dtype, unit) * unit;
    seen.push({ buffer: windowOf(own, start, end - start), dtype, shape, strides, offset: offset - before });
  }
  return seen;
}

/** Positions start to start + length of one axis of `view`. */
export function part(view: View, axis: number, start: number, length: number): View {
  const shape = view.shape.map((n, d) => d === axis ? length : n);
  const { offset } = view, step = view.strides[axis] * start;
  return { ...seenAs(view, shape, view.strides), offset: offset + step };
}

/** Calls `run` with views halved along an axis until bindings hold them all; `axisOf` chooses it (−1: there is none). */
export function inParts(
  gpu: Gpu,
  views: readonly View[],
  axisOf: (shape: readonly number[]) => number,
  run: (views: readonly View[]) => void,
): void {
  const seen = throughWindows(gpu, views);
  if (seen) return run(seen);
  const { shape } = views[0], axis = axisOf(shape), half = (shape[axis] ?? 0) >> 1;
  if (sizeOf(shape) < 2 || !half) {
    throw new DeviceError(
      `webgpu: a tensor of ${formatShape(shape)} reaches further than the ${
        counted(gpu.bindingLimit, "byte")
      } this adapter binds`,
    );
  }
  inParts(gpu, views.map((v) => part(v, axis, 0, half)), axisOf, run);
  inParts(gpu, views.map((v) => part(v, axis, half, shape[axis] - half)), axisOf, run);
}
