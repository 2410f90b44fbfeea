/**
 * What an optimizer does to one parameter, as expressions over its elements.
 *
 * A rule names the tensors it remembers and says, as elementwise expressions, what the parameter and those tensors
 * become. All of it is one program with several outputs, so a step reads and writes each number once. Everything that
 * changes from step to step (learning rate, bias corrections) is a scalar, so nothing is compiled twice.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { isDynamic } from "../core/number.ts";
import { type Expr, input, scalar } from "../expr/nodes.ts";

/** Options that every optimizer has. */
export interface OptimizerOptions {
  /** The learning rate. */
  lr: number;
  /** How strongly weights are pulled towards 0. */
  weightDecay: number;
}

/** One optimizer's arithmetic. `O` are its options, all given. */
export interface Rule<O extends OptimizerOptions> {
  /** For messages and memory reports. */
  readonly name: string;
  /** PyTorch's defaults. */
  readonly defaults: O;
  /** @throws {OptionError} for a value that is not allowed. */
  check(options: O): void;
  /** The names of the tensors remembered for each parameter. */
  state(options: O): readonly string[];
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

/** Refuses a number outside `low <= value < high` (or not finite). */
export function checkRange(
  optimizer: string,
  name: string,
  value: number,
  low: number,
  high = Infinity,
): void {
  // A number of the run is looked at when there is one.
  if (isDynamic(value) || Number.isFinite(value) && value >= low && value < high) return;
  const range = high === Infinity ? `at least ${low}` : `at least ${low} and less than ${high}`;
  throw new OptionError(`${optimizer}: ${name} is a number ${range}, not ${value}`);
}
