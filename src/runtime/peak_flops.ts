/**
 * What this machine could compute at most.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { Limits } from "../backends/cpu/limits.ts";
import { cpuBackend } from "./cpu.ts";

/**
 * Operations on f32 a second that this machine gives at most to the cpu device, at its number of threads: measured, in some tens of
 * milliseconds, by kernels that only multiply and add in registers. What a program reaches of it is its utilisation.
 *
 * @category Devices
 */
export async function peakFlops(): Promise<number> {
  demandNoMore(arguments, 0, "peakFlops");
  const { engine } = cpuBackend(), limits = new Limits(engine);
  await engine.ready();
  // Until the engine has compiled it for speed.
  for (let i = 0; i < 20; i++) limits.multiplyAdd();
  const found = Array.from({ length: 9 }, () => limits.multiplyAdd());
  return found.sort((a, b) => a - b)[found.length >> 1];
}
