/**
 * The devices that exist in this process, and which one new tensors go to.
 *
 * A device is registered by name with a function that makes its backend; the backend is made when a tensor first
 * asks for it, so that importing the library starts nothing. The assembly (`src/runtime.ts`) does the registering.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { show } from "../core/show.ts";
import type { Backend, DeviceName } from "../backends/contract.ts";
import { DeviceError } from "../core/errors.ts";
import { activeCapture } from "./capture/gate.ts";

const factories = new Map<DeviceName, () => Backend>();
const backends = new Map<DeviceName, Backend>();
let maxMemory = Infinity;
const own = new WeakMap<Backend, number>();
let defaultName: DeviceName = "cpu";

/** Makes `name` available; `create` runs when the device is first used and throws a DeviceError when it cannot. */
export function registerBackend(name: DeviceName, create: () => Backend): void {
  factories.set(name, create);
  backends.delete(name);
}

/** Makes `backend` the device of its name at once: for a device that took waiting to get. */
export function installBackend(backend: Backend): void {
  own.set(backend, backend.maxMemory);
  backend.maxMemory = Math.min(backend.maxMemory, maxMemory);
  backends.set(backend.name, backend);
}

/** Bytes that each device takes at most. */
export function backendMemory(): number {
  return maxMemory;
}

/** Sets {@link backendMemory}, for devices that are there and those to come; a device's own bound stays one. */
export function setBackendMemory(bytes: number): void {
  maxMemory = bytes;
  for (const backend of backends.values()) backend.maxMemory = Math.min(own.get(backend)!, bytes);
}

/**
 * The backend of device `name` (the default device when undefined).
 * @throws {DeviceError} when this process has no such device.
 */
export function backendOf(name: DeviceName = defaultName): Backend {
  const backend = deviceOf(name);
  return activeCapture()?.gate(backend) ?? backend;
}

function deviceOf(name: DeviceName): Backend {
  const known = backends.get(name);
  if (known) return known;
  const create = factories.get(name);
  if (!create) {
    const have = [...factories.keys()].map((n) => `"${n}"`).join(", ");
    const advice = name === "reference" ? "; in a bundle, call initReference() first" : "";
    throw new DeviceError(
      `device ${show(name)} is not available here; this process has ${have || "none"}${advice}`,
    );
  }
  const backend = create();
  installBackend(backend);
  return backend;
}

/** The backends in use so far. */
export function activeBackends(): Backend[] {
  return [...backends.values()];
}

/** The names of the registered devices. */
export function deviceNames(): DeviceName[] {
  return [...factories.keys()];
}

/**
 * Sets the device of tensors created without one.
 *
 * @throws {DeviceError} when it is not available.
 * @category Tensors
 */
export function setDefaultDevice(name: DeviceName): void {
  demandNoMore(arguments, 1, "setDefaultDevice");
  try {
    deviceOf(name);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    throw new DeviceError(`setDefaultDevice: ${error.message}`, { cause: error });
  }
  defaultName = name;
}

/**
 * The device of tensors created without one.
 *
 * @category Tensors
 */
export function defaultDevice(): DeviceName {
  demandNoMore(arguments, 0, "defaultDevice");
  return defaultName;
}
