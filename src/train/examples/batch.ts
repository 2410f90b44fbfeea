/**
 * A batch of examples: rows of ids with what each position is to predict.
 *
 * Without packing a row is one example and padding behind it, at which nobody looks. A packed row holds several, each of which
 * sees itself alone and is counted from its own beginning, so that it learns what it would learn alone.
 *
 * @module
 */
import type { DeviceName } from "../../backends/contract.ts";
import type { ModelLossOptions, ObjectiveOptions } from "../../models/mod.ts";
import { eq, mul, type Tensor, tensor, unsqueeze } from "../../ops/mod.ts";

/**
 * The ids of an example, and which of them are to be learned.
 *
 * @category Training
 */
export interface EncodedExample {
  /** Its tokens. */
  readonly ids: readonly number[];
  /** 1 where an id counts; one each. */
  readonly counts: readonly (0 | 1)[];
}

/** The examples of a row, one after the other. */
export type Row = readonly EncodedExample[];

/**
 * A model whose loss is taken.
 *
 * @category Training
 */
export interface LossModel {
  /** The mean cross-entropy of the targets that count. */
  loss(ids: Tensor, targets?: Tensor, options?: ModelLossOptions): Tensor;
}

/** How many predictions an example has. */
export const lengthOf = ({ ids }: EncodedExample): number => ids.length - 1;

/** How many of its predictions count. */
export function countsOf({ counts }: EncodedExample): number {
  let sum = 0;
  for (let i = 1; i < counts.length; i++) sum += counts[i];
  return sum;
}

/** How many predictions a row must hold for something of an example to be learned; Infinity where nothing is. */
export function leastRow({ counts }: EncodedExample): number {
  const first = counts.indexOf(1, 1);
  return first < 0 ? Infinity : first;
}

/**
 * Examples as tensors on a device.
 *
 * @category Training
 */
export interface ExampleBatch {
  /** i32 [rows, time]: what is read. 0 at padding. */
  readonly ids: Tensor;
  /** i32 [rows, time]: what is to be predicted at each position; −100 where that does not count. */
  readonly targets: Tensor;
  /** i32 [rows, time]: which example of its row a position is of, from 1; 0 at padding. Null where a row is one example. */
  readonly segments: Tensor | null;
  /** i32 [rows, time]: the number of a position in its example. Null where a row is one example. */
  readonly positionIds: Tensor | null;
  /** What its mean loss counts in that of its step: more where more of its targets count. 1 when batches are equal. */
  readonly weight: number;
  /** Its mean loss by `model`, times its weight, one number: the `loss` of a Trainer. */
  loss(model: LossModel, objective?: ObjectiveOptions): Tensor;
}

/** Rows `time` wide as a batch. */
export function exampleBatch(
  rows: readonly Row[],
  time: number,
  { packed, weight, device }: {
    readonly packed: boolean;
    readonly weight: number;
    readonly device: DeviceName;
  },
): ExampleBatch {
  const shape = [rows.length, time], size = rows.length * time, ids = new Int32Array(size);
  const targets = new Int32Array(size).fill(-100), segments = new Int32Array(size);
  const positions = new Int32Array(size);
  rows.forEach((row, r) => {
    let at = r * time;
    row.forEach((example, segment) => {
      for (let i = 0; i < lengthOf(example); i++, at++) {
        ids[at] = example.ids[i];
        if (example.counts[i + 1]) targets[at] = example.ids[i + 1];
        segments[at] = segment + 1;
        positions[at] = i;
      }
    });
    // Padding is one more text, so that its positions see something, and their numbers are those of a row.
    for (let i = 0; at < (r + 1) * time; i++, at++) positions[at] = i;
  });
  const made = (values: Int32Array): Tensor => tensor(values, { shape, device });
  const batch: ExampleBatch = {
    ids: made(ids),
    targets: made(targets),
    segments: packed ? made(segments) : null,
    positionIds: packed ? made(positions) : null,
    weight,
    loss(model, objective = {}) {
      const { segments, positionIds } = batch;
      const seen = segments && positionIds ? { attentionMask: maskOf(segments), positionIds } : {};
      const mean = model.loss(batch.ids, batch.targets, { ...objective, ...seen });
      return weight === 1 ? mean : mul(mean, weight);
    },
  };
  return batch;
}

/** Which positions are of one text: bool [rows, 1, time, time]. */
function maskOf(segments: Tensor): Tensor {
  return unsqueeze(eq(unsqueeze(segments, 2), unsqueeze(segments, 1)), 1);
}
