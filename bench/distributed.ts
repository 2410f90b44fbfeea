/**
 * What ranks cost on this machine: `deno run -A bench/distributed.ts` (or bun, or node). It starts itself under mpirun.
 *
 * - all-reduce of 100 MB over two ranks, beside the same calls from C, where there is an mpicc;
 * - a training step of two ranks with a thread each, beside one process with two threads, and how much of the communication
 *   the ranks did not wait for;
 * - from those, by arithmetic alone, what 8, 64 and 512 hosts would reach at 10 and 100 Gbit/s.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { distributed, GPT2, manualSeed, optim, randomBatches, setThreads, Trainer, zeros } from "../mod.ts";
import { Timeline } from "../src/distributed/timeline.ts";

const own = fileURLToPath(import.meta.url), elements = 25_000_000, rounds = 5, steps = 12;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

/** What one call under mpirun (or alone) measured, in milliseconds. */
interface Measured {
  allReduce: number | null;
  step: number;
  bytes: number;
  hidden: number | null;
}

async function measure(threads: number): Promise<Measured> {
  await setThreads(threads);
  await distributed.init({ timeout: 600 });
  const { size } = distributed, times: number[] = [];
  if (size > 1) {
    const t = zeros([elements]);
    for (let i = 0; i < rounds; i++) {
      await distributed.barrier();
      const started = performance.now();
      await distributed.allReduce(t);
      times.push(performance.now() - started);
    }
    t.dispose();
  }
  manualSeed(1);
  const model = new GPT2({ vocabSize: 8192, nPositions: 128, nEmbd: 384, nLayer: 6, nHead: 6 });
  const ids = Int32Array.from({ length: 100_000 }, (_, i) => (i * 7919 + (i >> 4)) % 8192), at: number[] = [];
  const trainer = new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 8, blockSize: 128, seed: 1 }),
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-4 }),
    steps,
    reportEvery: 1,
    onStep: () => void at.push(performance.now()),
    distributed,
    trace: true,
  });
  await trainer.run();
  const timeline = new Timeline(0);
  timeline.events.push(...trainer.traceEvents().filter(({ pid }) => pid === 0));
  const result = {
    allReduce: times.length ? median(times) : null,
    step: median(at.slice(3).map((end, i) => end - at[i + 2])),
    bytes: 4 * model.numParameters(),
    hidden: size > 1 ? timeline.hidden() : null,
  };
  const isFirst = distributed.rank === 0;
  await distributed.destroy();
  if (isFirst) console.log(JSON.stringify(result));
  return result;
}

const runtime =
  (): string[] => [process.execPath, ..."Deno" in globalThis ? ["run", "-A", "--no-check"] : [], own];

function start(line: readonly string[]): Measured | null {
  const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const { status, stdout, stderr } = spawnSync(line[0], line.slice(1), { encoding: "utf8", env });
  if (status !== 0) {
    console.error(`${line[0]} failed: ${stderr?.trim().split("\n").at(-1) ?? "it is not there"}`);
    return null;
  }
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured;
}

/** The same all-reduce from C. */
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
  float *t = calloc(${elements}, 4);
  for (int i = 0; i < ${rounds}; i++) {
    MPI_Barrier(MPI_COMM_WORLD); double s = MPI_Wtime();
    MPI_Allreduce(MPI_IN_PLACE, t, ${elements}, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    if (!rank) printf("%f\\n", 1e3 * (MPI_Wtime() - s));
  }
  MPI_Finalize(); return 0; }
`,
    );
    if (spawnSync(mpicc, ["-O2", "-o", program, `${program}.c`]).status !== 0) return null;
    const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
    const { status, stdout } = spawnSync(mpirun[0], [...mpirun.slice(1), program], { encoding: "utf8", env });
    return status === 0 ? median(stdout.trim().split("\n").map(Number)) : null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === "measure") {
  await measure(Number(process.argv[3]));
  process.exit(0);
}
const alone = start([...runtime(), "measure", "2"])!;
console.log(`one process, two threads: ${alone.step.toFixed(1)} ms a step`);
for (
  const [name, mpirun, mpicc] of [
    ["Open MPI", ["mpirun.openmpi", "--oversubscribe", "--bind-to", "none", "-n", "2"], "mpicc.openmpi"],
    ["MPICH", ["mpirun.mpich", "-n", "2"], "mpicc.mpich"],
  ] as const
) {
  const two = start([...mpirun, ...runtime(), "measure", "1"]);
  if (!two) continue;
  const c = fromC(mpirun, mpicc), percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
  console.log(
    `${name}: two ranks of a thread: ${two.step.toFixed(1)} ms a step, ${
      percent(alone.step / two.step)
    } of one process; ` +
      `${percent(two.hidden!)} of communication hidden`,
  );
  console.log(
    `${name}: all-reduce of ${4 * elements / 1e6} MB: ${two.allReduce!.toFixed(1)} ms` +
      (c === null
        ? `; no ${mpicc} to compare with`
        : `, from C ${c.toFixed(1)} ms: ${percent(c / two.allReduce!)}`),
  );
}
console.log(
  `\nby arithmetic: a step of ${alone.step.toFixed(0)} ms a host, ${
    (alone.bytes / 1e6).toFixed(1)
  } MB of gradients`,
);
for (const gigabits of [10, 100]) {
  for (const hosts of [8, 64, 512]) {
    // A ring moves 2 (N - 1) / N of the bytes through each host; of that, what backward (two thirds of a step) covers is hidden.
    const wire = 2 * (hosts - 1) / hosts * alone.bytes / (gigabits * 1e9 / 8) * 1e3;
    const left = Math.max(0, wire - 2 / 3 * alone.step);
    console.log(
      `${hosts} hosts at ${gigabits} Gbit/s: ${wire.toFixed(1)} ms on the wire, efficiency ${
        (100 * alone.step / (alone.step + left)).toFixed(1)
      } %`,
    );
  }
}
