/**
 * Derivatives as functions of functions beside `grad`: along a direction, of every output by every input, of second order.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../../core/demand.ts";
import { ShapeError } from "../../core/errors.ts";
import { whole } from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { formatShape, sameShape } from "../../core/shape.ts";
import {
  demandDifferentiable,
  grad,
  gradients,
  history,
  isRecording,
  type TapeNode,
  tidy,
  variable,
  withRecording,
} from "../../tensor/mod.ts";
import { alias, demandTensor, demandTensors } from "../bridge.ts";
import { eye, zeros } from "../create.ts";
import { add, mul } from "../elementwise.ts";
import { stack } from "../join.ts";
import { sum } from "../reduce.ts";
import type { Tensor } from "../tensor.ts";
import { reshape, slice } from "../views.ts";

/** Whether `root` depends on anything besides `own` that wants a gradient. */
function dependsOnOthers(root: TapeNode | null, own: readonly Tensor[]): boolean {
  return root !== null &&
    history(root).some((node) => node.leaf !== null && !own.some((t) => t.node === node));
}

function zerosFor(t: Tensor): Tensor {
  return zeros(t.shape, { dtype: t.dtype, device: t.device });
}

/**
 * The value of `f` at `primals` and its derivative along `tangents`: `[f(x), J(x) · v]`. As `jax.jvp`, `torch.func.jvp`.
 * Computed by going back twice, so `f` needs gradients of gradients, which all operations have.
 *
 * @example
 * ```ts
 * const [value, slope] = jvp((x: Tensor) => x.sin(), [tensor([0, 1])], [tensor([1, 1])]); // sin x, cos x
 * ```
 * @throws {ShapeError} when a tangent is not of its primal's shape.
 * @throws {OptionError} for an `f` that is no function.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @category Tensors
 */
export function jvp(
  f: (...args: Tensor[]) => Tensor,
  primals: readonly Tensor[],
  tangents: readonly Tensor[],
): [value: Tensor, tangent: Tensor] {
  demandNoMore(arguments, 3, "jvp");
  demandFunction("jvp", f);
  demandTensors("jvp", primals, "a primal");
  demandTensors("jvp", tangents, "a tangent");
  if (primals.length !== tangents.length || !primals.every((t, i) => sameShape(t.shape, tangents[i].shape))) {
    throw new ShapeError(
      `jvp: tangents ${
        tangents.map((t) => formatShape(t.shape)).join(", ")
      } are not of the shapes of the primals ${primals.map((t) => formatShape(t.shape)).join(", ")}`,
    );
  }
  const outside = isRecording();
  return tidy(() =>
    withRecording(true, () => {
      const xs = primals.map((t) => variable(t, outside) as Tensor), y = f(...xs);
      demandTensor("jvp", y, "what f gives");
      const nested = outside && dependsOnOthers(y.node, xs) ||
        outside && tangents.some((t) => t.requiresGrad);
      const value = nested ? y : alias(y), u = zerosFor(y).requiresGrad_();
      if (!y.node) return [value, zerosFor(y)];
      const back = gradients(y, xs, u, { createGraph: true }) as (Tensor | null)[];
      let along: Tensor | null = null;
      back.forEach((g, i) => {
        if (!g?.node) return;
        const part = sum(mul(g, tangents[i]));
        along = along ? add(along, part) : part;
      });
      const root = along as Tensor | null;
      const [found] = root?.node ? gradients(root, [u], undefined, { createGraph: nested }) : [null];
      return [value, (found ?? zerosFor(y)) as Tensor];
    })
  );
}

/**
 * Options of {@link jacobian} and {@link hessian}.
 *
 * @category Tensors
 */
export interface JacobianOptions {
  /** Which argument to differentiate by. Default 0. */
  argnums?: number;
}

const jacobianOptions: OptionTable<JacobianOptions> = { argnums: whole(0) };

/**
 * A function that gives all derivatives of `f`'s result by one of its arguments: [...result's shape, ...argument's shape].
 * As `jax.jacobian`, `torch.func.jacrev`: one pass back for each element of the result.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @throws {DTypeError} for an argument or a result that is no tensor, and by an argument of whole numbers.
 * @example
 * ```ts
 * jacobian((x: Tensor) => x.square())(tensor([1, 2])); // [[2, 0], [0, 4]]
 * ```
 * @category Tensors
 */
export function jacobian(
  f: (...args: Tensor[]) => Tensor,
  options: JacobianOptions = {},
): (...args: Tensor[]) => Tensor {
  demandNoMore(arguments, 2, "jacobian");
  demandFunction("jacobian", f);
  const { argnums = 0 } = checkOptions("jacobian", options, jacobianOptions);
  return (...args) => {
    if (argnums >= args.length) {
      throw new ShapeError(`jacobian: argument ${argnums} was asked for, ${args.length} were given`);
    }
    demandTensor("jacobian", args[argnums], `argument ${argnums}`);
    demandDifferentiable("jacobian", args[argnums], argnums);
    const outside = isRecording();
    return tidy(() =>
      withRecording(true, () => {
        const own = [...args], x = own[argnums] = variable(args[argnums], outside) as Tensor, y = f(...own);
        demandTensor("jacobian", y, "what f gives");
        const shape = [...y.shape, ...x.shape],
          empty = (): Tensor => zeros(shape, { dtype: x.dtype, device: x.device });
        if (!y.node || y.size === 0) return empty();
        const nested = outside && dependsOnOthers(y.node, [x]),
          all = eye(y.size, { dtype: y.dtype, device: y.device });
        const rows = Array.from({ length: y.size }, (_, k) => {
          const seed = reshape(slice(all, k), y.shape), last = k === y.size - 1;
          const [g] = gradients(y, [x], seed, { createGraph: nested, retainGraph: nested || !last });
          return (g ?? zerosFor(x)) as Tensor;
        });
        return withRecording(nested, () => reshape(stack(rows, 0), shape));
      })
    );
  };
}

/**
 * A function that gives the second derivatives of `f`, which gives one number, by one of its arguments: [...shape, ...shape].
 * As `jax.hessian`, `torch.func.hessian`.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @throws {DTypeError} for an argument or a result that is no tensor, and by an argument of whole numbers.
 * @category Tensors
 */
export function hessian(
  f: (...args: Tensor[]) => Tensor,
  options: JacobianOptions = {},
): (...args: Tensor[]) => Tensor {
  demandNoMore(arguments, 2, "hessian");
  demandFunction("hessian", f);
  const { argnums = 0 } = checkOptions("hessian", options, jacobianOptions);
  return jacobian(grad(f, { argnums }), { argnums });
}
