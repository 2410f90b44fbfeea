/**
 * What ranks cost on this machine: `deno run -A bench/distributed.ts` (or bun, or node). It starts itself alone and under mpirun, of Open
 * MPI and MPICH where they are.
 *
 * - reduce: all-reduce of 500 MB over two ranks, beside the library's own from C, where there is an mpicc;
 * - baby, gpt2: a training step of two ranks with a thread each, beside one process with two threads and the same batch, and how
 *   much of the communication nobody waited for;
 * - bits: whether 1, 2 and 4 ranks give the same bits in fixed parts;
 * - and by arithmetic alone, from the last step measured: what 8, 64 and 512 hosts would reach.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { whole } from "../src/core/kinds.ts";
import { namesOf, readTask } from "../tools/task.ts";
import { predict } from "./distributed_paper.ts";
import { median, models, reducedElements, reduceRounds, type StepResult } from "./distributed_work.ts";

const parts = ["reduce", "baby", "gpt2", "bits"];
const { values } = readTask({
  name: "bench/distributed.ts",
  summary:
    "What ranks cost: all-reduce beside C, steps of two ranks beside one process, bits, and larger jobs by arithmetic.",
  options: {
    only: { value: "A,B", kind: namesOf(parts), help: "only these parts" },
    mpi: { value: "A,B", kind: namesOf(["openmpi", "mpich"]), help: "only these libraries" },
    steps: { value: "N", kind: whole(2, 1000), help: "steps of a run (default 12 of baby, 6 of gpt2)" },
  },
});
const asked = values.value("only") as string[] | undefined ?? parts,
  libraries = values.value("mpi") as string[] | undefined ?? ["openmpi", "mpich"];

const work = fileURLToPath(new URL("./distributed_work.ts", import.meta.url));
const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };

function run(line: readonly string[]): string | null {
  const { status, stdout, stderr } = spawnSync(line[0], line.slice(1), { encoding: "utf8", env });
  if (status === 0) return stdout.trim();
  console.error(`${line[0]} failed: ${stderr?.trim().split("\n").at(-1) ?? "it is not there"}`);
  return null;
}

/** What `distributed_work.ts` says, by so many ranks of `mpirun`, or alone. */
function measure<T>(mpirun: readonly string[], ...words: (string | number)[]): T | null {
  const self = [process.execPath, ..."Deno" in globalThis ? ["run", "-A", "--no-check"] : [], work];
  const said = run([...mpirun, ...self, ...words.map(String)]);
  return said === null ? null : JSON.parse(said.split("\n").at(-1)!) as T;
}

/** The all-reduce from C: blocking, as one writes it. */
function fromC(mpirun: readonly string[], mpicc: string): number | null {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-bench-")), program = join(folder, "reduce");
  try {
    writeFileSync(
      `${program}.c`,
      `#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int c, char **v) {
  MPI_Init(&c, &v); int rank; MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  float *t = calloc(${reducedElements}, 4);
  for (int i = 0; i <= ${reduceRounds}; i++) {
    MPI_Barrier(MPI_COMM_WORLD); double s = MPI_Wtime();
    MPI_Allreduce(MPI_IN_PLACE, t, ${reducedElements}, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    if (!rank && i) printf("%f\\n", 1e3 * (MPI_Wtime() - s));
  }
  MPI_Finalize(); return 0; }
`,
    );
    if (spawnSync(mpicc, ["-O2", "-o", program, `${program}.c`]).status !== 0) return null;
    const said = run([...mpirun, program]);
    return said === null ? null : median(said.split("\n").map(Number));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const launch: Record<string, { title: string; mpirun: (ranks: number) => string[]; mpicc: string }> = {
  openmpi: {
    title: "Open MPI",
    mpirun: (ranks) => ["mpirun.openmpi", "--oversubscribe", "--bind-to", "none", "-n", String(ranks)],
    mpicc: "mpicc.openmpi",
  },
  mpich: {
    title: "MPICH",
    mpirun: (ranks) => ["mpirun.mpich", "-n", String(ranks)],
    mpicc: "mpicc.mpich",
  },
};
const percent = (x: number): string => `${(100 * x).toFixed(1)} %`,
  ms = (x: number): string => `${x.toFixed(1)} ms`;
const say = (text: string): void => console.log(text);

/** The last step measured, with the pieces that ranks sent. */
let last: { name: keyof typeof models; result: StepResult } | null = null;
const alone: Partial<Record<string, StepResult | null>> = {};
for (const name of ["baby", "gpt2"] as const) {
  if (!asked.includes(name)) continue;
  alone[name] = measure<StepResult>(
    [],
    "step",
    name,
    2,
    values.number("steps") ?? (name === "baby" ? 12 : 6),
  );
  if (alone[name]) say(`${models[name].title}: one process, two threads: ${ms(alone[name].step)} a step`);
}
for (const library of libraries) {
  const { title, mpirun, mpicc } = launch[library];
  if (asked.includes("reduce")) {
    const own = measure<number>(mpirun(2), "reduce"), c = own === null ? null : fromC(mpirun(2), mpicc);
    const size = `${title}: all-reduce of ${4 * reducedElements / 1e6} MB over two ranks`;
    if (own !== null) {
      say(
        c === null
          ? `${size}: ${ms(own)}; no ${mpicc} to compare with`
          : `${size}: ${ms(own)}, from C ${ms(c)}: ${percent(c / own)} (wanted: 95)`,
      );
    }
  }
  for (const [name, wanted] of [["baby", 80], ["gpt2", 90]] as const) {
    const one = alone[name];
    if (!one) continue;
    const two = measure<StepResult>(
      mpirun(2),
      "step",
      name,
      1,
      values.number("steps") ?? (name === "baby" ? 12 : 6),
    );
    if (!two) continue;
    last = { name, result: { ...one, buckets: two.buckets } };
    say(
      `${title}: ${models[name].title}: two ranks of a thread: ${ms(two.step)} a step, ${
        percent(one.step / two.step)
      } of one process (wanted: ${wanted}); ${percent(two.hidden!)} of communication hidden (wanted: 70)`,
    );
  }
  if (asked.includes("bits")) {
    const [one, two, four] = [[], mpirun(2), mpirun(4)].map((line) => measure<string>(line, "bits"));
    say(
      `${title}: loss and weights of 1, 2 and 4 ranks: ${[one, two, four].join(", ")}: ${
        one !== null && one === two && two === four ? "the same bits" : "NOT the same"
      }`,
    );
  }
}
if (last) { for (const line of predict(models[last.name].title, last.result)) say(line); }
