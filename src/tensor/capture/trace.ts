/**
 * What a function does, written down: the operations, and what happens in JavaScript beside them.
 *
 * @module
 */
import type { Backend, View } from "../../backends/contract.ts";
import type { DType } from "../../core/dtype.ts";
import type { DynamicNumber } from "../../core/number.ts";
import type { Shape } from "../../core/shape.ts";
import type { TensorBase } from "../base.ts";
import type { TapeNode } from "../tape.ts";
import type { HostState } from "./gate.ts";
import type { Step, Value } from "./value.ts";

/** A tensor that a run gives back: a view of a value. */
export class ResultTensor {
  /** Its memory. */
  readonly value: Value;
  /** Its element type. */
  readonly dtype: DType;
  /** Its sizes. */
  readonly shape: Shape;
  /** Its strides. */
  readonly strides: readonly number[];
  /** Where it begins; counted from the argument's own beginning where it is an argument's memory. */
  readonly offset: number;
  /** The arguments (by place among the leaves) that a gradient would go to. */
  readonly gradientTo: readonly number[];
  /** What is on the tape outside that a gradient would go to. */
  readonly gradientToOutside: readonly TapeNode[];

  /** `t`, whose memory is `value`. */
  constructor(
    t: TensorBase,
    value: Value,
    gradientTo: readonly number[],
    gradientToOutside: readonly TapeNode[],
  ) {
    this.value = value;
    this.dtype = t.dtype;
    this.shape = t.shape;
    this.strides = t.strides;
    this.offset = t.offset;
    this.gradientTo = gradientTo;
    this.gradientToOutside = gradientToOutside;
  }
}

/** A leaf whose gradient the function reads or sets. */
export interface LeafGradient {
  /** The leaf, or the place of the argument that is it. */
  readonly leaf: TensorBase | number;
  /** What its gradient is like when the function begins; null for none. */
  readonly before: { dtype: DType; shape: Shape; strides: readonly number[]; isAlone: boolean } | null;
  /** What becomes of it: nothing, none, or a tensor. */
  readonly after: "same" | null | ResultTensor;
}

/** See `Capture.explain`. */
export interface Explanation {
  /** The device. */
  readonly backend: Backend;
  /** Where the ids are. */
  readonly ids: View;
  /** What is wrong with one. */
  readonly errorOf: (id: number | bigint) => Error | null;
}

/** What happens in JavaScript in every run. */
export interface Happening {
  /** Does it. */
  readonly happen: () => void;
  /** What that changes; null for nothing. */
  readonly state: HostState | null;
  /** How many operations the function asked for before. */
  readonly at: number;
}

/** What a function does, written down. */
export interface Trace {
  /** The operations, in order. */
  readonly steps: Step[];
  /** Places for numbers; those of arguments come first. */
  readonly numbers: readonly DynamicNumber[];
  /** Which argument each of the first numbers is. */
  readonly numberArguments: readonly number[];
  /** What happens in JavaScript in every run, in order, before the operations. */
  readonly host: readonly Happening[];
  /** Whether it can be done again for its gradient: nothing that lasts is changed but states of {@link host}. */
  readonly isRepeatable: boolean;
  /** What the function returns: a tree with {@link ResultTensor}s and places for numbers. */
  readonly result: unknown;
  /** Gradients that it reads or sets. */
  readonly gradients: readonly LeafGradient[];
  /** Tensors that it closes over. */
  readonly captured: readonly Value[];
  /** What must give the same as then for this trace to be right. */
  readonly guards: readonly { read: () => unknown; was: unknown }[];
  /** Places of arguments whose number JavaScript asked for. */
  readonly fixed: ReadonlySet<number>;
  /** Who says better what is wrong when an operation fails. */
  readonly explanations: readonly Explanation[];
  /** Places of tensor arguments that it gives back. */
  readonly disposed: readonly number[];
  /** How many storages there were before the function was run. */
  readonly storagesBefore: number;
  /** Most bytes alive at once if every operation is done as it is asked for, without those that were there before. */
  readonly eagerPeak: number;
}
