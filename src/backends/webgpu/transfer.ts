/**
 * Bytes to and from the GPU, which takes whole words: the ends of an odd piece are put in by a kernel.
 *
 * @module
 */
import type { DeviceBuffer, View } from "../contract.ts";
import { type Gpu, param } from "./gpu.ts";
import { throughWindows } from "./windows.ts";
import { bind, overElements, source } from "./wgsl/module.ts";

/** Copies `bytes` into the buffer at `byteOffset`. */
export function upload(gpu: Gpu, buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
  const end = byteOffset + bytes.length, first = Math.ceil(byteOffset / 4) * 4, last = end - end % 4;
  // What lies behind the end of a buffer's last word is nobody's.
  const whole = end === buffer.byteLength && end % 4 !== 0 && last >= first;
  if (last > first || whole) {
    const middle = bytes.subarray(first - byteOffset, last - byteOffset);
    if (!whole) gpu.write(buffer, first, middle);
    else {
      const padded = new Uint8Array(last + 4 - first);
      padded.set(bytes.subarray(first - byteOffset));
      gpu.write(buffer, first, padded);
    }
  }
  if (byteOffset < first) {
    patch(gpu, buffer, byteOffset, bytes.subarray(0, Math.min(first, end) - byteOffset));
  }
  if (end > last && last >= first && !whole) patch(gpu, buffer, last, bytes.subarray(last - byteOffset));
}

/** Replaces some bytes of one word. */
function patch(gpu: Gpu, buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
  const place: View = { buffer, dtype: "i32", shape: [], strides: [], offset: Math.floor(byteOffset / 4) };
  const [view] = throughWindows(gpu, [place])!, bindings = bind([], [view]);
  let mask = 0, word = 0;
  bytes.forEach((byte, i) => {
    mask |= 255 << 8 * (byteOffset % 4 + i);
    word |= byte << 8 * (byteOffset % 4 + i);
  });
  const kernel = gpu.kernel("patch", () =>
    source(
      bindings,
      overElements(`b0[${param(2)}] = (b0[${param(2)}] & ~u32(${param(3)})) | u32(${param(4)});`),
      5,
    ));
  gpu.runOver(kernel, bindings.buffers, [1, view.offset, mask, word], 1);
}

/** A copy of `byteLength` bytes from `byteOffset` on. */
export async function download(
  gpu: Gpu,
  buffer: DeviceBuffer,
  byteOffset: number,
  byteLength: number,
): Promise<Uint8Array> {
  const first = byteOffset - byteOffset % 4, last = Math.ceil((byteOffset + byteLength) / 4) * 4;
  const bytes = await gpu.read(buffer, first, last - first);
  return bytes.slice(byteOffset - first, byteOffset - first + byteLength);
}
