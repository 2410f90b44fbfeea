import type { Backend } from "../src/backends/contract.ts";
import { type CpuBackend, createCpuBackend } from "../src/backends/cpu/backend.ts";
import "../src/backends/kernels/mod.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { accuracy } from "./backend_accuracy.ts";
import { conformance } from "./backend_conformance.ts";

const one = (): Backend => createCpuBackend({ guard: true });
const two = (): Backend =>
  createCpuBackend({ platform: testPlatform(), threads: 2, deterministic: true, guard: true });
const ready = async (backend: Backend): Promise<void> => {
  await (backend as CpuBackend).engine.ready();
};
const close = (backend: Backend): void => (backend as CpuBackend).engine.dispose();

// Without fused multiply-add (on Bun, and when deterministic) a formula of several steps is off by 3 ulp.
conformance("cpu on one thread", one, { tolerance: 3, ready, close });
conformance("cpu on two threads, deterministic", two, { tolerance: 3, ready, close });
accuracy("cpu", one);
accuracy("cpu, deterministic", two, { ready, close });
