/**
 * What an optimizer does to one parameter, as expressions over its elements.
 *
 * A rule names the tensors it remembers and says, as elementwise expressions, what the parameter and those tensors
 * become. All of it is one program with several outputs, so a step reads and writes each number once. Everything that
 * changes from step to step (learning rate, bias corrections) is a scalar, so nothing is compiled twice.
 *
 * @module
 */
import { type Kind, number, oneOf } from "../core/kinds.ts";
import { byDefault, type Option } from "../core/options.ts";
import { type Expr, input, scalar } from "../expr/nodes.ts";
import type { Tensor } from "../ops/tensor.ts";

/**
 * Options that every optimizer has.
 *
 * @category Optimizers
 */
export interface OptimizerOptions {
  /** The learning rate. */
  lr: number;
  /** How strongly weights are pulled towards 0. */
  weightDecay: number;
  /**
   * Bits of each number that is remembered: 32, or 8 in blocks of up to 256 with a scale each (parameters of fewer than 4096 numbers, and
   * such as no block of 32 divides, are remembered in 32). Default 32.
   */
  stateBits: 8 | 32;
}

/** The options of an optimizer by name, each with PyTorch's default. */
export type RuleOptions<O> = { readonly [K in keyof O]: Option & { readonly default: O[K] } };

/** Bits of what is remembered. */
export const stateBits: Kind = oneOf(8, 32);

/** Options that every optimizer has, with one's own defaults. */
export function commonOptions(lr: number, weightDecay: number): RuleOptions<OptimizerOptions> {
  return {
    lr: byDefault(lr, number({ from: 0 })),
    weightDecay: byDefault(weightDecay, number({ from: 0 })),
    stateBits: byDefault(32, stateBits),
  };
}

/**
 * One optimizer's arithmetic. `O` are its options, all given.
 *
 * @category Optimizers
 */
export interface Rule<O extends OptimizerOptions> {
  /** For messages and memory reports. */
  readonly name: string;
  /** What each option may be, and what it is unless told. */
  readonly options: RuleOptions<O>;
  /** @throws {OptionError} for options that contradict each other, or have no effect beside others. */
  check?(options: O): void;
  /** The names of the tensors remembered for each parameter. */
  state(options: O): readonly string[];
  /** Those of them that hold sums or means of squares, which are never below 0. */
  readonly squares?: readonly string[];
  /** What those tensors begin with. */
  initial(options: O): number;
  /** Tells apart the forms that {@link Rule.update} takes under different options. */
  form(options: O): string;
  /**
   * The parameter and the remembered tensors after the step. Input 0 is the parameter, 1 the gradient, 2… what is
   * remembered, as {@link operands} gives them; scalars are those of {@link Rule.scalars}.
   */
  update(options: O): readonly Expr[];
  /** The numbers of step `step` (the first is 1). */
  scalars(options: O, step: number): readonly number[];
  /** Parameters that take a step of several operations, where there are such. */
  readonly byOperations?: ByOperations<O>;
}

/**
 * A step that is no expression of each element alone.
 *
 * @category Optimizers
 */
export interface ByOperations<O extends OptimizerOptions> {
  /** Whether `p` takes it. */
  takes(p: Tensor, options: O): boolean;
  /** What is remembered for `p`, by name, with its shapes; all begin as 0, in f32. */
  state(p: Tensor): Readonly<Record<string, readonly number[]>>;
  /** The numbers of step `step` (the first is 1). */
  scalars(options: O, step: number): readonly number[];
  /** The parameter and what is remembered after the step; parameter and gradient come in at least f32. */
  update(
    p: Tensor,
    gradient: Tensor,
    state: Readonly<Record<string, Tensor>>,
    scalars: readonly number[],
    options: O,
  ): readonly [Tensor, Readonly<Record<string, Tensor>>];
}

/** The inputs of {@link Rule.update} and `count` scalars. */
export function operands(
  state: number,
  count: number,
): { p: Expr; g: Expr; state: readonly Expr[]; scalars: readonly Expr[] } {
  return {
    p: input(0),
    g: input(1),
    state: Array.from({ length: state }, (_, i) => input(i + 2)),
    scalars: Array.from({ length: count }, (_, i) => scalar(i)),
  };
}
