/**
 * A function with a gradient of one's own.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../../core/demand.ts";
import { OptionError, ShapeError } from "../../core/errors.ts";
import { formatShape, sameShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import { alias, demandTensor, demandTensors, record } from "../bridge.ts";
import type { Tensor } from "../tensor.ts";

/**
 * A gradient: for each input its own, or null where there is none; one input's may stand alone.
 *
 * @category Tensors
 */
export type CustomBackward<A extends Tensor[]> = (
  gradient: Tensor,
  inputs: A,
  output: Tensor,
) => Tensor | null | readonly (Tensor | null)[];

/**
 * `f`, which gives one tensor of any shape, whose gradient is what `backward` gives of the gradient of its result, its inputs and its result. As
 * `jax.custom_vjp`, `torch.autograd.Function`. Gradients of gradients are those of what `backward` computes.
 *
 * @example
 * ```ts
 * // Rounds, and lets the gradient through as if it did not (Bengio, Léonard, Courville 2013).
 * const rounded = customGradient((x: Tensor) => x.round(), (g) => g);
 * ```
 * @throws {OptionError} for an `f` or a `backward` that is no function; when the gradient is taken, for another number of
 *   gradients than of inputs.
 * @throws {ShapeError} when a gradient is not of its input's shape.
 * @throws {DTypeError} for arguments, results and gradients that are no tensors.
 * @category Tensors
 */
export function customGradient<A extends Tensor[]>(
  f: (...args: A) => Tensor,
  backward: CustomBackward<A>,
): (...args: A) => Tensor {
  demandNoMore(arguments, 2, "customGradient");
  demandFunction("customGradient", f);
  demandFunction("customGradient", backward, "backward");
  return (...args) => {
    demandTensors("customGradient", args, "an argument");
    const y = noGrad(() =>
      tidy(() => {
        const y = f(...args);
        demandTensor("customGradient", y, "what f gives");
        // Also where f gives back what it was given.
        return y.node ? alias(y) : y;
      })
    );
    const output = args.includes(y) ? alias(y) : y;
    return record("customGradient", output, args, [...args, output], (g, saved) => {
      const found = backward(g, saved.slice(0, args.length) as A, saved[args.length]);
      const list = Array.isArray(found) ? found as (Tensor | null)[] : [found as Tensor | null];
      if (list.length !== args.length) {
        throw new OptionError(
          `customGradient: backward gave ${counted(list.length, "gradient")} for ${
            counted(args.length, "input")
          }; give one for each, or null`,
        );
      }
      list.forEach((g, i) => {
        if (g === null) return;
        demandTensor("customGradient", g, `gradient ${i} of backward`);
        if (sameShape(g.shape, args[i].shape)) return;
        throw new ShapeError(
          `customGradient: gradient ${i} of backward has shape ${formatShape(g.shape)}, its input ${
            formatShape(args[i].shape)
          }`,
        );
      });
      return list;
    });
  };
}
