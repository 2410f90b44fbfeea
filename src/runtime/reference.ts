/**
 * The reference device, where it is wanted: a bundle leaves out what nothing in it asks for by name, and a device is asked for
 * by a string.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { createReferenceBackend } from "../backends/reference/backend.ts";
import { totalMemory } from "../platform/platform.ts";
import { deviceNames, registerBackend } from "../tensor/mod.ts";

initReference();

/**
 * Makes `device: "reference"` part of a bundle: call it once, anywhere. Where the library is not bundled the device is there
 * from the beginning, and this does nothing.
 *
 * @category Devices
 */
export function initReference(): void {
  demandNoMore(arguments, 0, "initReference");
  if (deviceNames().includes("reference")) return;
  // A tenth of the machine is left to others.
  registerBackend("reference", () => createReferenceBackend(0.9 * (totalMemory() ?? Infinity)));
}
