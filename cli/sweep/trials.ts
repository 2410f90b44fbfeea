/**
 * One trial as a process of its own: `ferrotype train`, begun or taken up again, as far as a rung.
 *
 * @module
 */
import { CheckpointManager } from "../../mod.ts";
import {
  environmentNames,
  exists,
  joinPath,
  type Program,
  startProgram,
} from "../../src/platform/platform.ts";
import { childVariable, entry } from "../entry.ts";
import { TrainingLog } from "../training_log.ts";
import { checkpointsIn } from "../training_run.ts";
import type { Flags, Ground } from "./fit.ts";

/** What is to be done. */
export interface Task {
  readonly trial: number;
  readonly rung: number;
  readonly folder: string;
  readonly flags: Flags;
  /** Steps of the whole training, and of it as far as this rung. */
  readonly steps: number;
  readonly until: number;
}

/** How it went: stopped means that whoever began it is. */
export type Outcome =
  | { readonly status: "done"; readonly loss: number; readonly step: number; readonly seconds: number }
  | { readonly status: "failed"; readonly error: string; readonly step: number; readonly seconds: number }
  | { readonly status: "stopped" };

/** The step that the run in `folder` can go on from; 0 where there is none. */
async function stepIn(folder: string): Promise<number> {
  const path = checkpointsIn(folder);
  if (!await exists(path)) return 0;
  return (await new CheckpointManager(path).list()).reduce((most, { step }) => Math.max(most, step), 0);
}

/** What would have a child look for other ranks: each trial trains alone. */
function alone(): Record<string, string | undefined> {
  const names = environmentNames().filter((name) =>
    /^(?:OMPI_|PMI_|PMIX_)|^SLURM_(?:PROCID|STEP_)/.test(name)
  );
  return {
    ...Object.fromEntries(names.map((name) => [name, undefined])),
    [childVariable]: "1",
    NO_COLOR: "1",
  };
}

function argumentsOf(task: Task, ground: Ground, step: number, begun: boolean): string[] {
  const { flags, folder, until, steps } = task;
  const options = Object.entries(flags).map(([name, value]) =>
    value === true ? `--${name}` : `--${name}=${value}`
  );
  return [
    "train",
    ...(ground.isData ? [`--data=${ground.path}`] : []),
    ...["-o", folder, "--json", "--quiet", ...options],
    ...(begun ? ["--resume"] : []),
    ...(until < steps ? [`--stop-after=${until - step}`] : []),
    ...(ground.isData ? [] : ["--", ground.path]),
  ];
}

/** Runs a trial. `onStart` gets the process while there is one; `isStopped` tells whether this program was told to end. */
export async function runTrial(
  task: Task,
  ground: Ground,
  onStart: (program: Program) => Promise<void>,
  isStopped: () => boolean,
): Promise<Outcome> {
  const { folder, until, steps } = task, started = performance.now();
  for (let attempt = 0;; attempt++) {
    const step = await stepIn(folder);
    const begun = step > 0 || await exists(joinPath(folder, "training.json"));
    // What was trained before this program was killed needs no more than to be recorded.
    if (step < until || until === steps) {
      const program = startProgram(entry.url, argumentsOf(task, ground, step, begun), alone());
      await onStart(program);
      const { code, signal, errors } = await program.ended;
      if (code !== 0) {
        if (isStopped()) return { status: "stopped" };
        const isKilled = code === null || code > 128;
        // By whom is not known; a second time it was no accident.
        if (isKilled && attempt === 0) continue;
        const lines = errors.split("\n").filter((line) => line.trim() !== "");
        const said = lines.findLast((line) => line.startsWith("ferrotype: "))?.slice(11) ?? lines[0] ?? "";
        const error = isKilled
          ? `the process was ended by ${signal ?? `signal ${code! - 128}`}, twice`
          : said;
        return { status: "failed", error: error || `status ${code}`, step, seconds: seconds(started) };
      }
    }
    const log = await new TrainingLog(String(joinPath(folder, "log.jsonl"))).read();
    const held = log.flatMap(({ step, eval_loss: loss }) => loss === undefined || step > until ? [] : [loss]);
    const loss = Math.min(...held), done = until === steps ? Math.max(...log.map(({ step }) => step)) : until;
    if (Number.isFinite(loss)) return { status: "done", loss, step: done, seconds: seconds(started) };
    const error =
      "it was never judged by what is held out; give a larger --val-fraction, or a smaller --eval-every";
    return { status: "failed", error, step: done, seconds: seconds(started) };
  }
}

const seconds = (started: number): number => (performance.now() - started) / 1000;
