/**
 * Gradients as functions of functions, in the manner of JAX: no leaves to make, no `grad` to clear.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../core/demand.ts";
import { FerrotypeError } from "../core/errors.ts";
import { either, listOf, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { gradients, history, variable } from "./backward.ts";
import { alias, type TensorBase } from "./base.ts";
import { filled } from "./fill.ts";
import { tidy } from "./lifetime.ts";
import { demandDifferentiable, demandTensor } from "./kinds.ts";
import { isRecording, type TapeNode, withRecording } from "./tape.ts";

/**
 * Options of {@link grad} and {@link valueAndGrad}.
 *
 * @category Gradients and programs
 */
export interface GradOptions {
  /** Which argument to differentiate by; a list gives a list of gradients. Default 0. */
  argnums?: number | readonly number[];
}

const gradOptions: OptionTable<GradOptions> = {
  argnums: either(whole(0), listOf(whole(0), "a list of them")),
};

/** Whether `root` depends on anything besides `own` that wants a gradient. */
function dependsOnOthers(root: TapeNode, own: readonly (TapeNode | null)[]): boolean {
  return history(root).some((node) => node.leaf !== null && !own.includes(node));
}

/**
 * A function that gives the value of `f` and its gradient: `valueAndGrad(f)(x)` → `[value, gradient]`.
 *
 * `f` returns one number (a tensor of one element) and is synchronous; the other tensors it makes are disposed. The
 * results are on the tape when they depend on anything else there, so gradients of gradients work: nest the calls.
 *
 * @throws {OptionError} for what is no function and places of no arguments.
 * @throws {DTypeError} for an argument or a result that is no tensor, and by an argument of whole numbers.
 * @example
 * ```ts
 * const [value, slope] = valueAndGrad((x: Tensor) => x.square().sum())(tensor([1, 2]));
 * await value.item(); // 5
 * await slope.toArray(); // [2, 4]
 * ```
 * @category Gradients and programs
 */
export function valueAndGrad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions = {},
): (...args: T[]) => [value: T, gradient: T | T[]] {
  demandNoMore(arguments, 2, "valueAndGrad");
  return differentiated("valueAndGrad", f, options);
}

function differentiated<T extends TensorBase>(
  what: string,
  f: (...args: T[]) => T,
  options: GradOptions,
): (...args: T[]) => [value: T, gradient: T | T[]] {
  demandFunction(what, f);
  const { argnums = 0 } = checkOptions(what, options, gradOptions);
  const list = typeof argnums === "number" ? [argnums] : argnums;
  return (...args) => {
    for (const k of list) {
      if (k >= args.length) {
        throw new FerrotypeError(`${what}: argument ${k} was asked for, ${args.length} were given`);
      }
      demandTensor(what, args[k], `argument ${k}`);
      demandDifferentiable(what, args[k], k);
    }
    const outside = isRecording();
    const run = (): [T, T | T[]] => {
      const variables = args.slice();
      for (const k of list) variables[k] = variable(args[k], outside) as T;
      const value = f(...variables);
      demandTensor(what, value, "what f gives");
      const wanted = list.map((k) => variables[k]);
      const nested = outside && value.node !== null && dependsOnOthers(value.node, wanted.map((t) => t.node));
      const found = value.node
        ? gradients(value, wanted, undefined, { createGraph: nested })
        : wanted.map(() => null);
      const result = found.map((g, i) => {
        const { shape, dtype, backend } = wanted[i];
        return (g ?? filled(shape, 0, dtype, backend, "zeros")) as T;
      });
      return [nested ? value : alias(value) as T, typeof argnums === "number" ? result[0] : result];
    };
    return tidy(() => withRecording(true, run));
  };
}

/**
 * A function that gives the gradient of `f` by its first argument (or by `argnums`); see {@link valueAndGrad}.
 *
 * @throws {OptionError} for what is no function and places of no arguments.
 * @throws {DTypeError} for an argument or a result that is no tensor, and by an argument of whole numbers.
 * @example
 * ```ts
 * const slope = grad((x: Tensor) => x.pow(3).sum()); // 3x²
 * const curvature = grad((x: Tensor) => slope(x).sum()); // 6x
 * ```
 * @category Gradients and programs
 */
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions & { argnums: readonly number[] },
): (...args: T[]) => T[];
/**
 * A function that gives the gradient of `f` by one argument, the first unless told.
 *
 * @throws {OptionError} for what is no function and places of no arguments.
 * @throws {DTypeError} for an argument or a result that is no tensor, and by an argument of whole numbers.
 * @category Gradients and programs
 */
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options?: GradOptions & { argnums?: number },
): (...args: T[]) => T;
export function grad<T extends TensorBase>(
  f: (...args: T[]) => T,
  options: GradOptions = {},
): (...args: T[]) => T | T[] {
  demandNoMore(arguments, 2, "grad");
  const both = differentiated("grad", f, options);
  return (...args) => both(...args)[1];
}
