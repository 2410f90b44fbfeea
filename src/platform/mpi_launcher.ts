/**
 * Who started this process as one of several: what `mpirun`, `mpiexec` and `srun` say in the environment.
 *
 * @module
 */
import { environment } from "./system.ts";

/** A family of MPI libraries. */
export type MpiFamily = "Open MPI" | "MPICH";

/** What started this process as one of several. */
export interface Launcher {
  /** Who: "Open MPI's mpirun". */
  readonly name: string;
  /** This process among them, from 0. */
  readonly rank: number;
  /** How many there are; undefined where only the library tells. */
  readonly size: number | undefined;
  /** The variables that say so, as `NAME=value`. */
  readonly variables: readonly string[];
  /** Families that can join it, the likeliest first. */
  readonly families: readonly MpiFamily[];
}

/** What is looked for, in this order: Open MPI's mpirun sets PMIX_RANK too. */
const kinds: readonly {
  name: string;
  rank: string;
  size?: string;
  families: readonly MpiFamily[];
}[] = [
  {
    name: "Open MPI's mpirun",
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    families: ["Open MPI"],
  },
  {
    name: "a PMI launcher (MPICH's mpiexec, srun --mpi=pmi2)",
    rank: "PMI_RANK",
    size: "PMI_SIZE",
    families: ["MPICH"],
  },
  { name: "a PMIx launcher (srun --mpi=pmix, prterun)", rank: "PMIX_RANK", families: ["Open MPI", "MPICH"] },
];

function wholeOf(name: string | undefined): number | undefined {
  const text = name === undefined ? undefined : environment(name);
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** What started this process as one of several; null when nobody did. */
export function findLauncher(): Launcher | null {
  for (const { name, rank, size, families } of kinds) {
    const mine = wholeOf(rank), all = wholeOf(size);
    if (mine === undefined) continue;
    const variables = [rank, size, "SLURM_JOB_ID", "SLURM_NTASKS"].filter((v) => v !== undefined)
      .filter((v) => environment(v) !== undefined).map((v) => `${v}=${environment(v)}`);
    return { name, rank: mine, size: all, variables, families };
  }
  return null;
}

/**
 * Why what is in the environment cannot be joined; null when there is nothing wrong. `srun` without `--mpi` starts tasks that
 * do not know of each other: each would take itself for the only one.
 */
export function launcherProblem(): string | null {
  const tasks = wholeOf("SLURM_STEP_NUM_TASKS") ?? 1;
  if (findLauncher() !== null || tasks < 2 || environment("SLURM_PROCID") === undefined) return null;
  return `srun started this as task ${
    environment("SLURM_PROCID")
  } of ${tasks} without a way to meet the others; ` +
    "give srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)";
}
