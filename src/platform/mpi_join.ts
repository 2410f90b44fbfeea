/**
 * Whether those that the launcher started beside this process are still there while all of them are waited for.
 *
 * MPI_Init waits for ever for a rank that ended before it, and launchers do not always end the job: MPICH's takes a process that
 * has not begun MPI for one that needs none. So the launcher's children on this host are counted (on Linux, where they can be read);
 * those of other hosts are waited for with patience.
 *
 * @module
 */
import { builtinModule, globals, isPermitted } from "./runtime.ts";
import { environment, hostName } from "./system.ts";

/** What launchers call the number of ranks of all, the rank among all, and how many of them are on this host. */
const variables = [
  ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"],
  ["PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"],
] as const;

/** Names of what starts processes on a host, as the kernel cuts them. */
const launchers = /^(hydra_pmi_proxy|orted|prted|prte|mpirun|mpiexec|orterun|prterun)/;

/** Milliseconds for which somebody has to be missed: a launcher may not have started all of them yet. */
const missedFor = 3000;

/** Those of this host that run, by their ranks, and how many there should be; null where that cannot be known. */
function present(): { ranks: Set<number>; of: number; all: number; own: number } | null {
  const found = variables.find((names) => names.every((name) => /^\d+$/.test(environment(name) ?? "")));
  const fs = builtinModule("node:fs");
  if (!found || !fs || globals.process?.platform !== "linux" || !isPermitted({ name: "read" })) return null;
  const read = (path: string): string => fs.readFileSync(path, "utf8") as string;
  const [all, own, of] = found.map((name) => Number(environment(name)));
  try {
    // The launcher is a parent, or that of a shell or another program in between.
    let pid = (globals.process as unknown as { ppid: number }).ppid;
    for (let up = 0; !launchers.test(read(`/proc/${pid}/comm`)); up++) {
      const stat = read(`/proc/${pid}/stat`),
        parent = Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0]);
      if (up === 8 || parent <= 1) return null;
      pid = parent;
    }
    const ranks = new Set<number>();
    for (const task of fs.readdirSync(`/proc/${pid}/task`) as string[]) {
      for (const child of read(`/proc/${pid}/task/${task}/children`).trim().split(" ")) {
        try {
          // One that has ended has no environment any more.
          const entry = read(`/proc/${child}/environ`).split("\0").find((line) =>
            line.startsWith(`${found[1]}=`)
          );
          if (entry) ranks.add(Number(entry.slice(found[1].length + 1)));
        } catch {
          // It has gone, or is somebody else's.
        }
      }
    }
    return ranks.has(own) ? { ranks, of, all, own } : null;
  } catch {
    return null;
  }
}

/**
 * Gives a function to be asked now and then while all are waited for: what to say when somebody will not come, an empty text where
 * another says it, null as long as there is hope. `patience` is in seconds.
 */
export function watchJoin(patience: number): () => string | null {
  const begun = performance.now(), host = hostName() ?? "this host";
  let looked = begun, missed: number | null = null;
  return () => {
    const now = performance.now();
    if (now - looked < 500) return null;
    looked = now;
    const there = present();
    if (!there || there.ranks.size >= there.of) missed = null;
    else missed ??= now;
    const first = there ? Math.min(...there.ranks) : 0;
    if (there && missed !== null && now - missed > missedFor + (first === there.own ? 0 : 1000)) {
      if (first !== there.own) return "";
      const gone = Array.from({ length: there.all }, (_, rank) => rank).filter((rank) =>
        !there.ranks.has(rank)
      );
      const who = there.of === there.all
        ? `rank ${gone.join(", ")} on ${host}`
        : `${there.of - there.ranks.size} of the ${there.of} ranks on ${host}`;
      return `${who} ended before distributed.init(); the job ends on all ranks`;
    }
    if (now - begun < patience * 1000) return null;
    return `not all ranks have come to distributed.init(), and this one on ${host} waited ${patience} s; the job ends on all ranks`;
  };
}
