/**
 * `ferrotype doctor`: what this machine gives, and why not what it does not.
 *
 * @module
 */
import { diagnose, distributed } from "../../mod.ts";
import { findLauncher, launcherProblem } from "../../src/platform/mpi_launcher.ts";
import { findMpi } from "../../src/platform/mpi_library.ts";
import type { Command } from "../command.ts";
import { formatBytes, print, printJson } from "../output.ts";

/** What there is of ranks: the library, who started this process, and, where somebody did, the others. */
interface Ranks {
  mpi: { available: boolean; detail: string };
  launcher: { available: boolean; detail: string };
  rank: number;
  size: number;
  hosts: readonly string[];
}

async function ranks(): Promise<Ranks> {
  const launcher = findLauncher(),
    problem = launcherProblem(),
    { library, reason } = findMpi(launcher?.families);
  const mpi = library
    ? { available: true, detail: `${library.version} (${library.path}, ABI of ${library.family})` }
    : { available: false, detail: reason! };
  const started = launcher
    ? { available: true, detail: `${launcher.name} (${launcher.variables.join(" ")})` }
    : { available: false, detail: problem ?? "started alone; mpirun -n 2 ferrotype … starts ranks" };
  // Who was not started with others does not touch MPI.
  if (!launcher || !library) return { mpi, launcher: started, rank: 0, size: 1, hosts: [] };
  const { rank, size, hosts } = await distributed.init();
  return { mpi, launcher: started, rank, size, hosts };
}

/** The command. */
export const doctor: Command = {
  name: "doctor",
  ranks: true,
  usage: "",
  summary: "Tells which devices, instructions and threads this machine gives, and why not where it does not.",
  positionals: [0, 0],
  options: {},
  async run(values) {
    const found = await diagnose(), { rank, ...others } = await ranks();
    // One rank tells of all.
    if (rank > 0) return;
    if (values.flag("json")) return await printJson({ ...found, distributed: { rank, ...others } });
    const line = (name: string, text: string): Promise<void> => print(`${name.padEnd(18)}${text}`);
    await line("runtime", found.runtime);
    await line(
      "system",
      `${found.system}${found.cpu ? `, ${found.cpu}` : ""}${
        found.memory ? `, ${formatBytes(found.memory)}` : ""
      }`,
    );
    await line(
      "threads",
      `${found.threads.used} of ${found.threads.hardware}${
        found.threads.detail ? `: ${found.threads.detail}` : ""
      }`,
    );
    await line(
      "blas",
      `${found.blas.available ? "yes" : "no"}${found.blas.detail ? `: ${found.blas.detail}` : ""}`,
    );
    const { why, engines } = found.products;
    if (why !== null && found.blas.available) await line("", why);
    if (engines.length > 1) {
      const names = Object.keys(engines[0].speeds);
      const row = (cells: string[]): string =>
        cells.map((cell, i) => cell.padStart(names[i].length + 2)).join("");
      await line("GFLOP/s a thread", " ".repeat(12) + row(names));
      for (const { name, speeds, refused } of engines) {
        const figures = names.map((key) => speeds[key] === 0 ? "-" : String(speeds[key]));
        await line("", `${name.padEnd(12)}${refused ?? row(figures)}`);
      }
    }
    await line("huge pages", `${found.hugePages.available ? "yes" : "no"}: ${found.hugePages.detail}`);
    for (const [name, a] of Object.entries(found.wasm)) {
      await line(name, a.available ? "yes" : `no: ${a.detail ?? "the engine does not have it"}`);
    }
    for (const [name, a] of Object.entries(found.devices)) {
      await line(`device ${name}`, `${a.available ? "yes" : "no"}${a.detail ? `: ${a.detail}` : ""}`);
    }
    for (const [name, a] of [["mpi", others.mpi], ["launcher", others.launcher]] as const) {
      await line(name, `${a.available ? "yes" : "no"}: ${a.detail}`);
    }
    if (others.size > 1) await line("ranks", `${others.size}: ${others.hosts.join(", ")}`);
  },
};
