/**
 * Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014).
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { isFloat } from "../core/dtype.ts";
import { DTypeError, OptionError } from "../core/errors.ts";
import { binary, compare, constant, input, scalar, select } from "../expr/nodes.ts";
import { prepare, tidy } from "../tensor/mod.ts";
import { apply, computeType, demandTensor } from "./bridge.ts";
import { rand } from "./random.ts";
import type { Tensor } from "./tensor.ts";

/** x · scale where the random number is not below p, else 0. */
const dropped = prepare(
  "dropout",
  select(compare("ge", input(1), scalar(0)), binary("mul", input(0), scalar(1)), constant(0)),
  2,
  2,
);

/**
 * While training, each element is 0 with probability p and 1 / (1 − p) as large otherwise; else x itself. Draws from
 * the process's generator (`manualSeed`).
 *
 * @throws {DTypeError} for what is no tensor of floating-point numbers.
 * @throws {OptionError} for a probability outside of 0 to 1.
 * @category Products, attention, norms
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  demandNoMore(arguments, 3, "dropout");
  demandTensor("dropout", x);
  if (!(p >= 0 && p <= 1)) throw new OptionError(`dropout: p is a probability, not ${p}`);
  if (!isFloat(x.dtype)) throw new DTypeError(`dropout: takes floating-point tensors, not ${x.dtype}`);
  if (!training || p === 0) return x;
  return tidy(() => {
    const random = rand(x.shape, { device: x.device });
    return apply(dropped, [x, random], [p, p === 1 ? 0 : 1 / (1 - p)], computeType(x.dtype), x.dtype);
  });
}
