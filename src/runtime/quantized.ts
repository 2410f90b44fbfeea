/**
 * Tensors in blocks, where they are wanted: a bundle leaves out what nothing in it asks for by name, and a dtype is asked for by
 * a string.
 *
 * @module
 */
import { provideQuantized } from "../backends/kernels/quantized.ts";

initQuantized();

/**
 * Makes `dtype: "q8"` and `"q4"` part of a bundle: call it once, anywhere, where tensors become blocks by `to`, `empty` or a
 * module's options. What is loaded from files fetches it by itself; where the library is not bundled it is there from the
 * beginning, and this does nothing.
 *
 * @category Devices
 */
export function initQuantized(): void {
  provideQuantized();
}
