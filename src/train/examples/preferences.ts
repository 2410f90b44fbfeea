/**
 * Direct Preference Optimization: of two answers the preferred one becomes likelier than the other, measured against what the
 * model said of them when it began (Rafailov et al., NeurIPS 2023).
 *
 * With log π the sum of the log-probabilities of an answer's tokens, and ref the model as it began, the loss of a pair is
 * −log σ(β · ((log π(chosen) − log ref(chosen)) − (log π(rejected) − log ref(rejected)))).
 *
 * @module
 */
import type { DeviceName } from "../../backends/contract.ts";
import { demand, demandNoMore } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../../core/options.ts";
import { counted } from "../../core/show.ts";
import type { BatchPart } from "../../distributed/data_parallel.ts";
import type { Module } from "../../nn/mod.ts";
import {
  crossEntropy,
  logSigmoid,
  mean,
  mul,
  neg,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
} from "../../ops/mod.ts";
import { defaultDevice } from "../../tensor/device.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import { type DataSource, partSize } from "../batches.ts";
import { evaluating } from "../evaluate.ts";
import { type EncodedExample, type ExampleBatch, exampleBatch, lengthOf } from "./batch.ts";
import { Cutter } from "./cut.ts";
import { demandFit, demandSet, ExampleOrder, type NumberedSet } from "./order.ts";

/**
 * Two answers to one prompt, with what of them counts.
 *
 * @category Training
 */
export interface EncodedPreference {
  /** The better one, behind its prompt. */
  readonly chosen: EncodedExample;
  /** The other one, behind the same prompt. */
  readonly rejected: EncodedExample;
}

/**
 * Preferences that can be had by their number.
 *
 * @category Training
 */
export type PreferenceSet = NumberedSet<EncodedPreference>;

/**
 * A model that is trained or referred to.
 *
 * @category Training
 */
export interface PreferenceModel extends Module {
  /** Logits [batch, time, vocab] for ids [batch, time]. */
  forward(ids: Tensor): Tensor;
  /** The name of the adapter in use, where it can have one. */
  readonly adapter?: string | null;
  /** Puts an adapter into use, or none. */
  setAdapter?(name: string | null): void;
}

/**
 * Options of the loss of preferences.
 *
 * @category Training
 */
export interface DpoOptions {
  /** How much the model may move away from where it began: more, the smaller. Default 0.1. */
  beta?: number;
  /** The model as it began, which does not learn. Default: the model without the adapter that learns. */
  reference?: PreferenceModel;
}

const dpoOptions: OptionTable<DpoOptions> = {
  beta: kinds.number({ above: 0 }),
  reference: kinds.like("a model", "forward", "parameters"),
};

/**
 * Pairs of answers on a device.
 *
 * @category Training
 */
export interface PreferenceBatch {
  /** The answers: those chosen, then those rejected, in the same order. */
  readonly answers: ExampleBatch;
  /** How many pairs. */
  readonly pairs: number;
  /** The mean loss of the pairs, one number: the `loss` of a Trainer. */
  loss(model: PreferenceModel, options?: DpoOptions): Tensor;
  /** By how much `model` prefers the chosen one, [pairs]: what stands behind β in the loss. */
  margins(model: PreferenceModel, options?: DpoOptions): Tensor;
}

/** The sum of the log-probabilities of the targets that count, [rows]. */
function logProbabilities(model: PreferenceModel, { ids, targets }: ExampleBatch): Tensor {
  const logits = model.forward(ids), [rows, time, vocab] = logits.shape;
  const losses = crossEntropy(reshape(logits, [rows * time, vocab]), reshape(targets, [rows * time]), {
    reduction: "none",
    ignoreIndex: -100,
  });
  return neg(sum(reshape(losses, [rows, time]), 1));
}

/** As the model began: without dropout, and nothing is recorded. */
function referred(model: PreferenceModel, given: PreferenceModel | undefined, answers: ExampleBatch): Tensor {
  const name = model.adapter ?? null, reference = given ?? model;
  if (!given && name === null) {
    throw new OptionError(
      "preferences: the model has no adapter to be without, so what it began as is not known; give { reference }",
    );
  }
  const before = reference.namedModules().map(([, module]) => [module, module.training] as const);
  reference.eval();
  if (!given) model.setAdapter!(null);
  try {
    return noGrad(() => tidy(() => logProbabilities(reference, answers)));
  } finally {
    if (!given) model.setAdapter!(name);
    for (const [module, training] of before) module.training = training;
  }
}

function preferenceBatch(answers: ExampleBatch): PreferenceBatch {
  const pairs = answers.ids.shape[0] / 2;
  /** Chosen less rejected. */
  const difference = (rows: Tensor): Tensor => sub(slice(rows, [0, pairs]), slice(rows, [pairs, null]));
  const margins = (model: PreferenceModel, { reference }: DpoOptions): Tensor => {
    const anchor = difference(referred(model, reference, answers));
    return sub(difference(logProbabilities(model, answers)), anchor);
  };
  return {
    answers,
    pairs,
    loss(model, options = {}) {
      const given = checkOptions("preferences", options, dpoOptions), { beta = 0.1 } = given;
      return tidy(() => neg(mean(logSigmoid(mul(margins(model, given), beta)))));
    },
    margins: (model, options = {}) =>
      tidy(() => margins(model, checkOptions("preferences", options, dpoOptions))),
  };
}

/**
 * Sizes of batches of preferences.
 *
 * @category Training
 */
export interface PreferenceBatchOptions {
  /** Pairs in a batch. */
  batchSize: number;
  /** Predictions in a row, at most. What a prompt with its answer has beyond is left out, and told of. */
  blockSize: number;
  /** Of the order. Default 0. */
  seed?: number;
  /** Where batches live. Default: the default device. */
  device?: DeviceName;
  /** Hears of the first answer that is too long. Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

const preferenceBatchOptions: OptionTable<PreferenceBatchOptions> = {
  batchSize: required(kinds.whole(1, 2 ** 20)),
  blockSize: required(kinds.whole(1, 2 ** 24)),
  seed: kinds.seed,
  device: kinds.device,
  onWarning: kinds.callback,
};

/** Pairs cut to rows; null where nothing of one answer is left. */
function reader(set: PreferenceSet, cutter: Cutter): (i: number) => EncodedPreference | null {
  return (i) => {
    const { chosen, rejected } = set.at(i);
    const [a, b] = [chosen, rejected].map((answer) => cutter.cut(answer, () => set.where(i)));
    return a && b ? { chosen: a, rejected: b } : null;
  };
}

function batchOf(pairs: readonly EncodedPreference[], device: DeviceName | undefined): PreferenceBatch {
  const answers = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)];
  const place = { packed: false, weight: 1, device: device ?? defaultDevice() };
  return preferenceBatch(
    exampleBatch(answers.map((answer) => [answer]), Math.max(...answers.map(lengthOf)), place),
  );
}

/**
 * Batches of preferences for a `Trainer`, whose loss is `(batch) => batch.loss(model, { beta, reference })`: every pair once before any
 * comes again, in another order each epoch.
 * @throws {OptionError} when there are no pairs, or nothing of any of them is left in a row.
 * @category Training
 */
export function preferenceBatches(
  set: PreferenceSet,
  options: PreferenceBatchOptions,
): DataSource<PreferenceBatch> {
  demandNoMore(arguments, 2, "preferenceBatches");
  demandSet("preferenceBatches", set);
  const { batchSize, blockSize, seed = 0, device, onWarning = console.warn } = checkOptions(
    "preferenceBatches",
    options,
    preferenceBatchOptions,
  );
  demandFit("preferenceBatches", set, blockSize);
  const read = reader(set, new Cutter(blockSize, onWarning));
  const order = new ExampleOrder<EncodedPreference, EncodedPreference[]>(
    "preferenceBatches",
    set,
    seed,
    read,
  );
  let tokens = 2 * batchSize * blockSize;
  return {
    get tokensPerBatch(): number {
      return tokens;
    },
    takesPart: true,
    describe: () =>
      `${set.length} pairs (SHA-256 ${set.sha256}) in batches of ${batchSize} × 2 × ${blockSize}`,
    next(part?: BatchPart, of = 1): PreferenceBatch {
      const { own: pairs } = order.batch(of, (next) => Array.from({ length: batchSize }, next));
      tokens = pairs.reduce((n, { chosen, rejected }) => n + lengthOf(chosen) + lengthOf(rejected), 0);
      if (!part) return batchOf(pairs, device);
      const each = partSize(pairs.length, part);
      return batchOf(pairs.slice(part.index * each, (part.index + 1) * each), device);
    },
    getState: () => order.getState(),
    setState: (state) => order.setState(state),
  };
}

/**
 * The mean loss of all pairs of `set`, and in how many of them `model` has come to prefer the chosen one, in evaluation mode.
 * @throws {OptionError} when there are no pairs, or nothing of any of them is left in a row.
 * @throws {DeviceError} for a device that is not there, or that the model is not on.
 * @category Training
 */
export async function evaluatePreferences(
  model: PreferenceModel,
  set: PreferenceSet,
  options: Omit<PreferenceBatchOptions, "seed"> & DpoOptions,
): Promise<{ loss: number; accuracy: number; pairs: number }> {
  demandNoMore(arguments, 3, "evaluatePreferences");
  demandSet("evaluatePreferences", set);
  demand("evaluatePreferences", "the model", model, typeof model?.forward === "function", "a model");
  const { batchSize, blockSize, device, onWarning = console.warn, beta = 0.1, reference } = checkOptions(
    "evaluatePreferences",
    options,
    evaluateOptions,
  );
  demandFit("evaluatePreferences", set, blockSize);
  const read = reader(set, new Cutter(blockSize, onWarning)), dpo = reference ? { reference } : {};
  let at = 0, loss = 0, right = 0, pairs = 0;
  await evaluating(model, async () => {
    while (at < set.length) {
      const own: EncodedPreference[] = [];
      while (own.length < batchSize && at < set.length) {
        const found = read(at++);
        if (found) own.push(found);
      }
      if (!own.length) break;
      using margins = noGrad(() => tidy(() => batchOf(own, device).margins(model, dpo)));
      for (const margin of await margins.data() as Float32Array) {
        // −log σ(x), for any x.
        const x = beta * margin;
        loss += Math.log1p(Math.exp(-Math.abs(x))) + Math.max(0, -x);
        right += margin > 0 ? 1 : 0;
        pairs++;
      }
    }
  });
  if (!pairs) {
    throw new OptionError(
      `evaluatePreferences: of ${counted(set.length, "pair")}, cut to ${
        counted(blockSize + 1, "token")
      }, nothing is left`,
    );
  }
  return { loss: loss / pairs, accuracy: right / pairs, pairs };
}

const { seed: _, ...sizes } = preferenceBatchOptions;
const evaluateOptions: OptionTable<Omit<PreferenceBatchOptions, "seed"> & DpoOptions> = {
  ...sizes,
  ...dpoOptions,
};
