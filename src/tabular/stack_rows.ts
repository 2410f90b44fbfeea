/**
 * Rows for a stack of networks: each member's own, side by side in one tensor.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";
import { type Tensor, tensor } from "../ops/mod.ts";
import { keep } from "../tensor/mod.ts";
import { shuffle } from "./predict.ts";

/** Rows of a table, by index. */
export type RowList = Int32Array | Uint32Array;

/** Features of rows of a table. */
export interface RowSource {
  /** Features a row. */
  readonly width: number;
  /** Writes the features of `rows` to `out`, row i at `offset + i · stride`. */
  gather(rows: RowList, out: Float32Array, offset: number, stride: number): void;
  /** When the features are a linear map of others: those. */
  readonly original?: RowSource;
  /** Turns, in place, weights [width, outputs] for these features into the same for the original ones. */
  fold?(weight: Float32Array, outputs: number): void;
}

/** One network to be trained. */
export interface Member {
  /** Where its rows come from. */
  readonly source: RowSource;
  /** Rows to learn from. */
  readonly train: Int32Array;
  /** Rows that say when to stop. */
  readonly validation: Int32Array;
  /** For each row of the table the class, or the value. */
  readonly targets: Float64Array;
  /** Values are learned as (value − center) / scale; 0 and 1 for classes. */
  readonly center: number;
  /** See center. */
  readonly scale: number;
  /** How much a row of each class counts; null for equal rows. */
  readonly classWeights: readonly number[] | null;
  /** Strength of the penalty λ/2 · Σ weight². */
  readonly l2: number;
}

/** Rows of all members: x [members, rows, in], targets and weights [members · rows]. */
export interface Rows {
  /** Features. */
  readonly x: Tensor;
  /** Classes (i32), or standardised values. */
  readonly y: Tensor;
  /** What each row counts; a member's sum to 1. */
  readonly w: Tensor;
}

/** Rows for one step after the other. */
export interface Batches {
  /** The rows of the next step, and how many they are over all members. */
  next(): Rows & { readonly count: number };
  /** Gives back what is held from step to step. */
  dispose(): void;
}

/** Brings the rows of a stack's members together. */
export class StackRows {
  readonly #members: readonly Member[];
  readonly #width: number;
  readonly #classes: boolean;

  /** `width` is that of the widest member; narrower ones end in zeros. */
  constructor(members: readonly Member[], width: number, classes: boolean) {
    this.#members = members;
    this.#width = width;
    this.#classes = classes;
  }

  /** All training rows in every step when no member has more than `batch`, else so many, drawn anew in each epoch. */
  batches(batch: number, random: Generator): Batches {
    const members = this.#members, longest = Math.max(...members.map(({ train }) => train.length));
    if (longest <= batch) {
      const rows = this.whole(members.map(({ train }) => train), true), count = members.length * longest;
      return {
        next: () => ({ ...rows, count }),
        dispose: () => Object.values(rows).forEach((t) => t.dispose()),
      };
    }
    const orders = members.map(({ train }) => Uint32Array.from(train)),
      at = orders.map((order) => order.length);
    const next = (): Rows & { count: number } => {
      const drawn = orders.map((order, i) => {
        if (at[i] + batch > order.length) {
          shuffle(order, random);
          at[i] = 0;
        }
        return order.subarray(at[i], at[i] += Math.min(batch, order.length));
      });
      return { ...this.#take(drawn, batch, true), count: members.length * batch };
    };
    return { next, dispose() {} };
  }

  /** The given rows of each member, kept from `tidy`. `weighted`: by class weights. */
  whole(rows: readonly RowList[], weighted: boolean): Rows {
    const made = this.#take(rows, Math.max(...rows.map((r) => r.length)), weighted);
    for (const t of Object.values(made)) keep(t);
    return made;
  }

  /** Features, targets and weights of `length` rows of each member; where one has fewer, the rest weigh nothing. */
  #take(rows: readonly RowList[], length: number, weighted: boolean): Rows {
    const m = this.#members.length, y = new Float32Array(m * length), w = new Float32Array(m * length);
    const x = this.gather(rows, 0, length);
    this.#members.forEach(({ targets, center, scale, classWeights }, a) => {
      const own = rows[a], start = a * length;
      let total = 0;
      for (let i = 0; i < own.length; i++) {
        y[start + i] = (targets[own[i]] - center) / scale;
        total += w[start + i] = weighted && classWeights ? classWeights[targets[own[i]]] : 1;
      }
      for (let i = 0; i < own.length; i++) w[start + i] /= total;
    });
    const labels = this.#classes ? tensor(Int32Array.from(y), { dtype: "i32" }) : tensor(y);
    return { x, y: labels, w: tensor(w) };
  }

  /** Features of each member's rows `from` to `from + length`: [members, length, width]. */
  gather(rows: readonly RowList[], from: number, length: number): Tensor {
    const m = this.#members.length, width = this.#width, x = new Float32Array(m * length * width);
    this.#members.forEach(({ source }, a) => {
      source.gather(rows[a].subarray(from, from + length), x, a * length * width, width);
    });
    return tensor(x, { shape: [m, length, width] });
  }
}
