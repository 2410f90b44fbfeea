/**
 * The bound of what a device may take, for devices whose memory is many buffers.
 *
 * @module
 */
import { DeviceError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import type { Backend, MemoryUse } from "./contract.ts";

/** @throws {DeviceError} where `byteLength` bytes more would be more than the device may take. */
export function checkMaxMemory(
  { name, maxMemory }: Pick<Backend, "name" | "maxMemory">,
  { bytes, buffers }: MemoryUse,
  byteLength: number,
): void {
  if (bytes + byteLength <= maxMemory) return;
  throw new DeviceError(
    `${name}: cannot allocate ${counted(byteLength, "byte")}: ${counted(bytes, "byte")} in ${
      counted(buffers, "buffer")
    } are live and the device may take ` +
      `${maxMemory}; dispose tensors that are no longer needed (tidy, using), or allow more with setMaxMemory`,
  );
}
