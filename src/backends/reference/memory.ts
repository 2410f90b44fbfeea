/**
 * The reference device's memory: one ArrayBuffer a tensor, checked at every use.
 *
 * @module
 */
import { arrayOn, blockValues, byteSize, type DataArray, isQuantized } from "../../core/dtype.ts";
import { DeviceError } from "../../core/errors.ts";
import { formatShape, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { DeviceBuffer, View } from "../contract.ts";

/** Memory of the reference device. */
export interface ReferenceBuffer extends DeviceBuffer {
  /** The bytes; null once they were given back. */
  data: ArrayBuffer | null;
}

/** The bytes of `buffer`. @throws {DeviceError} when they were given back. */
export function dataOf(buffer: DeviceBuffer): ArrayBuffer {
  const { data } = buffer as ReferenceBuffer;
  if (data === null) {
    throw new DeviceError(
      `this buffer of ${counted(buffer.byteLength, "byte")} was released; use a tensor before disposing it`,
    );
  }
  return data;
}

/**
 * All elements of the view's buffer as an array of its dtype (bytes for q8 and q4), indexed as the view counts.
 *
 * @throws {DeviceError} when the buffer was given back, or the view reaches outside of it.
 */
export function elementsOf(view: View): DataArray {
  const data = dataOf(view.buffer), { dtype, shape, strides } = view;
  const room = isQuantized(dtype)
    ? Math.floor(data.byteLength / byteSize(dtype, blockValues(dtype))) * blockValues(dtype)
    : Math.floor(data.byteLength / byteSize(dtype, 1));
  let first = view.offset, last = view.offset;
  shape.forEach((size, i) => {
    if (strides[i] < 0) first += (size - 1) * strides[i];
    else last += (size - 1) * strides[i];
  });
  if (sizeOf(shape) > 0 && (first < 0 || last >= room)) {
    throw new DeviceError(
      `a view of shape ${formatShape(shape)}, strides ${
        formatShape(strides)
      }, offset ${view.offset} reaches from ` +
        `element ${first} to ${last} of a buffer of ${room} ${dtype} elements`,
    );
  }
  return arrayOn(dtype, data, 0, isQuantized(dtype) ? data.byteLength : room);
}
