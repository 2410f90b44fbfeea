/**
 * Everything a run needs to continue as if it had never stopped, as a checkpoint.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import type { GeneratorState } from "../core/random.ts";
import type { Module } from "../nn/mod.ts";
import { randomState, setRandomState } from "../ops/mod.ts";
import type { Optimizer, OptimizerState } from "../optim/mod.ts";
import type { DataSource } from "./batches.ts";
import type { Checkpoint, Tensors } from "./checkpoint.ts";

/** What is saved beside tensors. */
interface RunState {
  bestLoss: number | null;
  random: GeneratorState;
  data: unknown;
  optimizer: { steps: (number | null)[]; paramGroups: OptimizerState["paramGroups"] };
}

/** The parts of a run that change while it trains. */
export interface RunParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly data: DataSource<unknown>;
}

/** The state of a run after `step` steps. The tensors are views: save them before the next step. */
export function captureRun(
  parts: RunParts,
  step: number,
  loss: number | null,
  bestLoss: number | null,
): Checkpoint {
  const { state, paramGroups } = parts.optimizer.stateDict();
  const remembered: Tensors = {};
  state.forEach((entry, i) => {
    for (const [name, t] of Object.entries(entry?.tensors ?? {})) remembered[`${i}.${name}`] = t;
  });
  const run: RunState = {
    bestLoss,
    random: randomState(),
    data: parts.data.getState(),
    optimizer: { steps: state.map((entry) => entry?.step ?? null), paramGroups },
  };
  return { step, loss, tensors: { model: parts.model.stateDict(), optimizer: remembered }, state: run };
}

/** Sets all parts of a run as they were; gives the best loss so far. Values are copied. */
export function restoreRun(parts: RunParts, checkpoint: Checkpoint): number | null {
  const run = checkpoint.state as RunState, { model, optimizer } = checkpoint.tensors;
  if (!run?.optimizer || !run.random || !model || !optimizer) {
    throw new FormatError(
      "this checkpoint was not saved by a Trainer: it lacks the optimizer or the random state",
    );
  }
  const state = run.optimizer.steps.map((step, i) => {
    if (step === null) return null;
    const own = Object.entries(optimizer).filter(([name]) => name.startsWith(`${i}.`));
    return { step, tensors: Object.fromEntries(own.map(([name, t]) => [name.slice(`${i}.`.length), t])) };
  });
  parts.model.loadStateDict(model);
  parts.optimizer.loadStateDict({ state, paramGroups: run.optimizer.paramGroups });
  parts.data.setState(run.data);
  setRandomState(run.random);
  return run.bestLoss;
}
