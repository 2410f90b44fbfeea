/**
 * Ranks on this machine and others: MPI, over the memory of the cpu device.
 *
 * @module
 */
import { DeviceError } from "../core/errors.ts";
import { Distributed } from "../distributed/distributed.ts";
import { findLauncher, launcherProblem } from "../platform/mpi_launcher.ts";
import { Mpi } from "../platform/mpi.ts";
import { cpuBackend } from "./cpu.ts";

async function join({ timeout }: { timeout: number }): Promise<Mpi | null> {
  const problem = launcherProblem();
  if (problem !== null) throw new DeviceError(`distributed.init: ${problem}`);
  const launcher = findLauncher();
  // Of one rank there is nobody to speak to, and MPI need not be there.
  if (launcher === null || launcher.size === 1) return null;
  const { heap } = cpuBackend().engine;
  if (!heap.shared) {
    throw new DeviceError(
      "distributed.init: the memory of the cpu device is not shared between threads here, which ranks need",
    );
  }
  return await Mpi.join({ memory: heap.memory, timeout });
}

/**
 * The processes that `mpirun`, `mpiexec` or `srun` started together: who this one is, and collectives over all of them, named as
 * in torch.distributed. A program that was started alone is rank 0 of 1.
 *
 * ```ts
 * await distributed.init();
 * const t = tensor([distributed.rank + 1]);
 * await distributed.allReduce(t); // 3 with two ranks, on both
 * await distributed.destroy();
 * ```
 *
 * @category Distributed
 */
export const distributed: Distributed = /* @__PURE__ */ new Distributed(join);
