/**
 * Everything a run needs to continue as if it had never stopped, as a checkpoint.
 *
 * @module
 */
import { FormatError, OptionError } from "../core/errors.ts";
import { demand, demandList, demandObject } from "../core/json.ts";
import { kind, number, oneOf, orNull, whole } from "../core/kinds.ts";
import type { GeneratorState } from "../core/random.ts";
import type { Module } from "../nn/mod.ts";
import { randomState, setRandomState, type Tensor } from "../ops/mod.ts";
import type { Optimizer, OptimizerState } from "../optim/mod.ts";
import type { DataSource } from "./batches.ts";
import type { Checkpoint, Tensors } from "./checkpoint.ts";
import type { EarlyStopping, StoppingState } from "./early_stopping.ts";
import type { WeightAverage } from "./ema.ts";
import type { MixedPrecision, PrecisionState } from "./precision.ts";
import type { Qat } from "./qat.ts";

/** What may be said of arithmetic: it is shown to people, and followed. */
const aLine = kind(
  "a line of up to 1000 characters",
  // A library's name may have a path in it.
  (x) => typeof x === "string" && /^[^\p{Cc}]{0,1000}$/u.test(x),
);

/** What is saved beside tensors. */
interface RunState {
  bestLoss: number | null;
  random: GeneratorState;
  /** What the bits of the run depend on besides; not there in checkpoints of version 0.1's first days. */
  arithmetic?: string;
  data: unknown;
  /** Of the average of the weights, where there is one. */
  ema?: { decay: number; updates: number };
  stopping?: StoppingState;
  /** How many rows go at once, where that was said or found out. */
  microBatch?: number;
  /** What it computes in, where that is not f32. */
  precision?: PrecisionState;
  /** The blocks that it is for, where there are some. */
  qat?: Qat;
  optimizer: { steps: (number | null)[]; paramGroups: OptimizerState["paramGroups"] };
}

/** The parts of a run that change while it trains. */
export interface RunParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly data: DataSource<unknown>;
  /** An average of the weights. */
  readonly average?: WeightAverage | null;
  readonly stopping?: EarlyStopping | null;
  readonly precision?: MixedPrecision | null;
  readonly qat?: Qat | null;
  readonly microBatch?: { rows: number | null };
}

/** The device of a model, and how it rounds. */
function arithmeticOf(model: Module): string {
  const [p] = model.parameters();
  return p ? `${p.device}: ${p.backend.arithmetic}` : "no parameters";
}

/** Has the model's device go on with the arithmetic that a checkpoint holds, where it can. */
function followArithmetic(model: Module, said: string): void {
  const [p] = model.parameters();
  if (p && said.startsWith(`${p.device}: `)) p.backend.follow?.(said.slice(p.device.length + 2));
}

/** The parameters that learn: what is frozen is what the run was begun with, and is not written again. */
export function learning(model: Module): [string, Tensor][] {
  const own = model.namedParameters(), found = own.filter(([, p]) => p.requiresGrad);
  return found.length ? found : own;
}

/**
 * Sets the parameters that learn.
 * @throws {FormatError} when one is missing, or one is of no parameter.
 */
function setLearning(model: Module, tensors: Tensors): void {
  const known = new Set(model.namedParameters().map(([name]) => name)),
    wanted = learning(model).map(([name]) => name);
  if (wanted.length === known.size) return void model.loadStateDict(tensors);
  const missing = wanted.filter((name) => !Object.hasOwn(tensors, name));
  const unexpected = Object.keys(tensors).filter((name) => !known.has(name));
  const complaints = Object.entries({ missing, unexpected }).filter(([, names]) => names.length)
    .map(([what, names]) =>
      `${what}: ${names.slice(0, 20).join(", ")}${names.length > 20 ? " and more" : ""}`
    );
  if (complaints.length) {
    throw new FormatError(
      `this checkpoint is of other parameters than those that learn here; ${complaints.join("; ")}`,
    );
  }
  model.loadStateDict(tensors, { strict: false });
}

/**
 * The state of a run after `step` steps. The tensors are views: save them before the next step. `whole` is the optimizer's state
 * where the optimizer has but a part of it.
 */
export function captureRun(
  parts: RunParts,
  step: number,
  loss: number | null,
  bestLoss: number | null,
  whole?: OptimizerState,
): Checkpoint {
  const { average } = parts, { state, paramGroups } = whole ?? parts.optimizer.stateDict();
  const remembered: Tensors = {}, precision = parts.precision?.getState();
  state.forEach((entry, i) => {
    for (const [name, t] of Object.entries(entry?.tensors ?? {})) remembered[`${i}.${name}`] = t;
  });
  const run: RunState = {
    bestLoss,
    random: randomState(),
    arithmetic: arithmeticOf(parts.model),
    data: parts.data.getState(),
    ...(average ? { ema: { decay: average.decay, updates: average.updates } } : {}),
    ...(parts.stopping ? { stopping: parts.stopping.getState() } : {}),
    ...(parts.microBatch?.rows ? { microBatch: parts.microBatch.rows } : {}),
    ...(precision && precision.precision !== "f32" ? { precision } : {}),
    ...(parts.qat ? { qat: parts.qat } : {}),
    optimizer: { steps: state.map((entry) => entry?.step ?? null), paramGroups },
  };
  const model = Object.fromEntries(learning(parts.model).map(([name, p]) => [name, p.detach()]));
  const tensors: Record<string, Tensors> = { model, optimizer: remembered };
  if (average) tensors.ema = average.tensors();
  return { step, loss, tensors, state: run };
}

/**
 * The state in a checkpoint, checked.
 * @throws {FormatError} when no Trainer saved it.
 */
function runState(state: unknown): RunState {
  const where = "the state of this checkpoint, if a Trainer saved it,", run = demandObject(state, where);
  const optimizer = demandObject(run.optimizer, `${where} has an optimizer that`);
  for (const step of demandList(optimizer.steps, `${where} has optimizer.steps, which`)) {
    demand(step, orNull(whole(0)), `${where} has a step that`);
  }
  for (const group of demandList(optimizer.paramGroups, `${where} has optimizer.paramGroups, which`)) {
    const { params, options } = demandObject(group, `${where} has a group that`);
    demand(params, whole(0), `${where} has a group of parameters whose number`);
    demandObject(options, `${where} has a group whose options`);
  }
  demandObject(run.random, `${where} has a random state that`);
  demand(run.bestLoss, orNull(number()), `${where} has a bestLoss that`);
  if (run.ema !== undefined) {
    const { decay, updates } = demandObject(run.ema, `${where} has an ema that`);
    demand(decay, number({ from: 0, below: 1 }), `${where} has an ema whose decay`);
    demand(updates, whole(0), `${where} has an ema whose updates`);
  }
  if (run.microBatch !== undefined) demand(run.microBatch, whole(1), `${where} has a microBatch that`);
  if (run.precision !== undefined) {
    const { precision, scaler } = demandObject(run.precision, `${where} has a precision that`);
    demand(precision, oneOf("bf16", "f16"), `${where} has a precision whose precision`);
    if (precision === "f16") {
      const { scale, growthTracker } = demandObject(scaler, `${where} has a precision whose scaler`);
      demand(scale, number({ above: 0, to: 2 ** 100 }), `${where} has a scaler whose scale`);
      demand(growthTracker, whole(0), `${where} has a scaler whose growthTracker`);
    }
  }
  if (run.qat !== undefined) demand(run.qat, oneOf("q8", "q4", "ternary"), `${where} has a qat that`);
  if (run.arithmetic !== undefined) demand(run.arithmetic, aLine, `${where} has an arithmetic that`);
  return run as unknown as RunState;
}

/**
 * A run goes on with the average that it was begun with.
 * @throws {FormatError} where it has another, or one has none.
 */
function demandAverage(here: WeightAverage | null, { ema }: RunState, tensors: Tensors | undefined): void {
  if (here?.decay === ema?.decay && (tensors === undefined) === (ema === undefined)) return;
  const said = (decay: number | undefined): string => decay === undefined ? "no ema" : `ema ${decay}`;
  throw new FormatError(
    ema && !tensors
      ? "this checkpoint says that weights are averaged, and their average is not there"
      : `this checkpoint is of a run with ${said(ema?.decay)}, and is to go on with ${said(here?.decay)}; ` +
        `give the Trainer what it was begun with`,
  );
}

/**
 * A run goes on in the precision that it was begun with.
 * @throws {FormatError} where that is another.
 */
function demandPrecision(here: MixedPrecision | null, { precision }: RunState): void {
  const own = here?.getState().precision ?? "f32", before = precision?.precision ?? "f32";
  if (own === before) return;
  throw new FormatError(
    `this checkpoint is of a run in ${before}, and is to go on in ${own}; give the Trainer the precision that it was begun with`,
  );
}

/**
 * A run goes on for the blocks that it was begun for.
 * @throws {FormatError} where those are others.
 */
function demandQat(own: Qat | null, before: Qat | null): void {
  if (own === before) return;
  const said = (qat: Qat | null): string => qat === null ? "no qat" : `qat "${qat}"`;
  throw new FormatError(
    `this checkpoint is of a run with ${said(before)}, and is to go on with ${
      said(own)
    }; give the Trainer the one that it was begun with`,
  );
}

/**
 * Sets all parts of a run as they were; gives the best loss so far. Values are copied. Warns where the run cannot go on with
 * the bits that it would have had.
 */
export function restoreRun(
  parts: RunParts,
  checkpoint: Checkpoint,
  warn: (message: string) => void,
  load: (optimizer: Optimizer, state: OptimizerState) => void = (o, state) => o.loadStateDict(state),
): number | null {
  const run = runState(checkpoint.state), { model, optimizer } = checkpoint.tensors;
  if (!model || !optimizer) {
    throw new FormatError(
      "this checkpoint was not saved by a Trainer: it lacks the model's tensors or the optimizer's",
    );
  }
  const state = run.optimizer.steps.map((step, i) => {
    if (step === null) return null;
    const own = Object.entries(optimizer).filter(([name]) => name.startsWith(`${i}.`));
    return { step, tensors: Object.fromEntries(own.map(([name, t]) => [name.slice(`${i}.`.length), t])) };
  });
  demandAverage(parts.average ?? null, run, checkpoint.tensors.ema);
  demandPrecision(parts.precision ?? null, run);
  demandQat(parts.qat ?? null, run.qat ?? null);
  setLearning(parts.model, model);
  if (run.precision) parts.precision?.setState(run.precision);
  if (run.microBatch && parts.microBatch) parts.microBatch.rows = run.microBatch;
  if (run.ema) parts.average!.load(checkpoint.tensors.ema, run.ema.updates);
  if (run.stopping) parts.stopping?.setState(run.stopping);
  load(parts.optimizer, { state, paramGroups: run.optimizer.paramGroups });
  try {
    parts.data.setState(run.data);
    setRandomState(run.random);
  } catch (error) {
    // What would be a caller's mistake elsewhere is the file's here.
    if (!(error instanceof OptionError)) throw error;
    throw new FormatError(`the state of this checkpoint: ${error.message}`, { cause: error });
  }
  if (run.arithmetic !== undefined) followArithmetic(parts.model, run.arithmetic);
  const here = arithmeticOf(parts.model), before = run.arithmetic ?? here;
  if (before !== here) {
    warn(
      `this run was begun with other arithmetic (${before}) than it goes on with (${here}): its numbers will differ in their ` +
        `last bits from those of a run that never stopped; runs in deterministic mode go on anywhere`,
    );
  }
  return run.bestLoss;
}
