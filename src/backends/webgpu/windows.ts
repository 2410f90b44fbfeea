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
import type { View } from "../contract.ts";
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

/** `view` through a window, or null when its elements lie further apart than a binding reaches. */
function windowed(gpu: Gpu, view: View): View | null {
  const { dtype, shape, strides, offset } = view, own = view.buffer as WebGpuBuffer, limit = gpu.bindingLimit;
  if (gpuOf(own).size <= limit) return view;
  let first = offset, last = offset;
  shape.forEach((size, d) => {
    if (strides[d] < 0) first += (size - 1) * strides[d];
    else last += (size - 1) * strides[d];
  });
  // A window begins at a multiple of 256 bytes, and blocks stay whole.
  const unit = isQuantized(dtype) ? 128 * quantBlock : 256 / byteSize(dtype, 1);
  const begin = Math.floor(first / unit) * unit, start = byteSize(dtype, begin);
  const block = isQuantized(dtype) ? quantBlock : 1;
  const end = byteSize(dtype, Math.floor(last / block) * block + block);
  const length = Math.min(Math.ceil((end - start) / 256) * 256, gpuOf(own).size - start);
  if (length > limit) return null;
  return { buffer: windowOf(own, start, length), dtype, shape, strides, offset: offset - begin };
}

/** The views as bindings can hold them, or null when one reaches too far. */
export function throughWindows(gpu: Gpu, views: readonly View[]): readonly View[] | null {
  // Nearly always nothing is to be done.
  if (views.every((v) => gpuOf(v.buffer).size <= gpu.bindingLimit)) return views;
  const seen = views.map((v) => windowed(gpu, v));
  return seen.every((v) => v !== null) ? seen : null;
}

/** Positions start to start + length of one axis of `view`. */
export function part(view: View, axis: number, start: number, length: number): View {
  const shape = view.shape.map((n, d) => d === axis ? length : n);
  const { offset } = view, step = view.strides[axis] * start;
  return { ...seenAs(view, shape, view.strides), offset: offset + step };
}

/** Calls `run` with views halved along an axis until bindings hold them all; `axis` chooses it for a shape. */
export function inParts(
  gpu: Gpu,
  views: readonly View[],
  axisOf: (shape: readonly number[]) => number,
  run: (views: readonly View[]) => void,
): void {
  const seen = throughWindows(gpu, views);
  if (seen) return run(seen);
  const { shape } = views[0], axis = axisOf(shape), half = shape[axis] >> 1;
  if (sizeOf(shape) < 2 || !half) {
    throw new DeviceError(
      `webgpu: a tensor of ${
        formatShape(shape)
      } reaches further than the ${gpu.bindingLimit} bytes this adapter binds`,
    );
  }
  inParts(gpu, views.map((v) => part(v, axis, 0, half)), axisOf, run);
  inParts(gpu, views.map((v) => part(v, axis, half, shape[axis] - half)), axisOf, run);
}
