/**
 * Gradients as functions of functions, in the manner of JAX: no leaves to make, no `grad` to clear.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { gradients, variable } from "./backward.ts";
import { empty, type TensorBase } from "./base.ts";
import { computeType } from "./expression.ts";
import { constant } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { withRecording } from "./tape.ts";

/** Options of {@link grad} and {@link valueAndGrad}. */
export interface GradOptions {
  /** Which argument to differentiate by; a list gives a list of gradients. Default 0. */
  argnums?: number | readonly number[];
}

type Result<T> = T | T[];

function zerosLike(t: TensorBase): TensorBase {
  const out = empty(t.shape, t.dtype, t.backend, "zeros");
  const zero = program(computeType(t.dtype), [constant(0)], { inputs: 0, scalars: 0 });
  if (out.size) t.backend.elementwise(zero, [], [], [out]);
  return out;
}

/**
 * A function that gives the value of `f` and its gradient: `valueAndGrad(f)(x)` → `[value, gradient]`.
 *
 * `f` returns one number (a tensor of one element). Gradients of gradients work: nest the calls.
 */
export function valueAndGrad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions = {},
): (...args: T[]) => [value: T, gradient: Result<T>] {
  const { argnums = 0 } = options;
  const list = typeof argnums === "number" ? [argnums] : argnums;
  return (...args) => {
    for (const k of list) {
      if (!args[k]) throw new FerrotypeError(`grad: argument ${k} was asked for, ${args.length} were given`);
    }
    const nested = list.some((k) => args[k].node !== null);
    return withRecording(true, () => {
      const variables = args.slice();
      for (const k of list) variables[k] = variable(args[k]) as T;
      const value = f(...variables);
      const wanted = list.map((k) => variables[k]);
      const found = value.node
        ? gradients(value, wanted, undefined, { createGraph: nested, retainGraph: nested })
        : wanted.map(() => null);
      const result = found.map((g, i) => (g ?? zerosLike(wanted[i])) as T);
      return [value, typeof argnums === "number" ? result[0] : result];
    });
  };
}

/** A function that gives the gradient of `f` by its first argument (or by `argnums`): `grad(f)(x)`. */
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions & { argnums: readonly number[] },
): (...args: T[]) => T[];
/** A function that gives the gradient of `f` by one argument, the first unless told. */
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options?: GradOptions & { argnums?: number },
): (...args: T[]) => T;
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions = {},
): (...args: T[]) => Result<T> {
  const both = valueAndGrad(f, options);
  return (...args) => both(...args)[1];
}
