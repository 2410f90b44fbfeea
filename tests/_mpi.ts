/**
 * Programs as several ranks: `mpirun` of Open MPI and of MPICH, where they are installed (Debian: openmpi-bin, mpich).
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { nativeLibraryReason } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";

/** How one family starts ranks. */
export interface MpiRun {
  readonly family: string;
  readonly command: string;
  readonly options: readonly string[];
  /** Why it cannot be tried here; `false` where it can. */
  readonly skip: string | false;
}

function look(
  family: string,
  names: readonly string[],
  says: RegExp,
  options: readonly string[],
  debian: string,
): MpiRun {
  const ffi = nativeLibraryReason();
  const command = names.find((name) => {
    const { stdout = "", status } = spawnSync(name, ["--version"], { encoding: "utf8", timeout: 60_000 });
    return status === 0 && says.test(stdout);
  });
  const skip = ffi ?? (command === undefined ? `${family} is not installed (Debian: ${debian})` : null);
  return { family, command: command ?? names[0], options, skip: skip ?? false };
}

/** Both families. */
export const mpiRuns: readonly MpiRun[] = [
  look("Open MPI", ["mpirun.openmpi", "mpirun"], /Open MPI/, ["--oversubscribe"], "openmpi-bin"),
  look("MPICH", ["mpirun.mpich", "mpirun"], /HYDRA|MPICH/i, [], "mpich"),
];

/** How a job ended. */
export interface EndedRanks {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program, by its path, on `ranks` ranks, on the runtime that runs the test. */
export function onRanks(
  run: MpiRun,
  ranks: number,
  program: string,
  args: readonly string[],
  started?: (pid: number) => void,
): Promise<EndedRanks> {
  // A short path, as sockets in it have names of 108 bytes at most.
  const folder = mkdtempSync(join(tmpdir(), "mpi-"));
  const before = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const child = spawn(run.command, [
    ...run.options,
    "-n",
    String(ranks),
    process.execPath,
    ...before,
    program,
    ...args,
  ], {
    cwd: repository,
    // Open MPI makes its folder in the temporary one; two jobs that begin at once do not always agree on who does.
    // Containers are often root's, which Open MPI asks about.
    env: {
      ...process.env,
      NO_COLOR: "1",
      OMPI_MCA_orte_tmpdir_base: folder,
      OMPI_ALLOW_RUN_AS_ROOT: "1",
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
      NODE_NO_WARNINGS: "1",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended: EndedRanks = { code: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => ended.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => ended.stderr += text);
  started?.(child.pid!);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      rmSync(folder, { recursive: true, force: true });
      resolve({ ...ended, code });
    });
  });
}
