/**
 * Norms over channels: batch, instance and group. x is [batch, channels, …].
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { demandTensor } from "./bridge.ts";
import { ShapeError } from "../core/errors.ts";
import { flag, number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { add, div, mul, sub } from "./elementwise.ts";
import { sqrt, square } from "./functions.ts";
import { mean } from "./reduce.ts";
import type { Tensor } from "./tensor.ts";
import { reshape } from "./views.ts";

/**
 * Options of {@link batchNorm}.
 *
 * @category Products, attention, norms
 */
export interface BatchNormOptions {
  /** Whether mean and variance are the batch's own. Default false. */
  training?: boolean;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

const batchOptions: OptionTable<BatchNormOptions> = { training: flag, eps: number({ from: 0 }) };

function demandChannels(what: string, x: Tensor, least: number, ...lists: (Tensor | null)[]): void {
  demandTensor(what, x);
  if (x.shape.length < least) {
    throw new ShapeError(`${what}: x is [batch, channels, …], not ${formatShape(x.shape)}`);
  }
  for (const list of lists) {
    if (list === null) continue;
    demandTensor(what, list, "a parameter");
    if (list.shape.length !== 1 || list.shape[0] !== x.shape[1]) {
      throw new ShapeError(
        `${what}: ${formatShape(list.shape)} is not one number a channel of ${formatShape(x.shape)}`,
      );
    }
  }
}

/** One number a channel, so that it meets x. */
function perChannel(list: Tensor, x: Tensor): Tensor {
  return reshape(list, [list.size, ...new Array<number>(x.shape.length - 2).fill(1)]);
}

function scaled(y: Tensor, x: Tensor, weight: Tensor | null, bias: Tensor | null): Tensor {
  const wide = weight ? mul(y, perChannel(weight, x)) : y;
  return bias ? add(wide, perChannel(bias, x)) : wide;
}

/** (x − mean) / √(variance + eps) over `axes`. */
function centred(x: Tensor, axes: number[], eps: number): Tensor {
  const rest = sub(x, mean(x, axes, true));
  return div(rest, sqrt(add(mean(square(rest), axes, true), eps)));
}

/**
 * Each channel of x [batch, channels, …] by a mean and variance [channels]: those given, or in training the batch's own. The
 * given ones are not changed.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @category Products, attention, norms
 */
export function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: BatchNormOptions = {},
): Tensor {
  demandNoMore(arguments, 6, "batchNorm");
  const { training = false, eps = 1e-5 } = checkOptions("batchNorm", options, batchOptions);
  demandChannels("batchNorm", x, 2, runningMean, runningVar, weight, bias);
  return tidy(() => {
    if (training) {
      return scaled(centred(x, x.shape.map((_, i) => i).filter((i) => i !== 1), eps), x, weight, bias);
    }
    if (runningMean === null || runningVar === null) {
      throw new ShapeError("batchNorm: a mean and a variance are needed where it is not { training: true }");
    }
    const spread = sqrt(add(perChannel(runningVar, x), eps));
    return scaled(div(sub(x, perChannel(runningMean, x)), spread), x, weight, bias);
  });
}

/**
 * Each channel of each entry of x [batch, channels, …] by its own mean and variance.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function instanceNorm(
  x: Tensor,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  demandNoMore(arguments, 4, "instanceNorm");
  demandChannels("instanceNorm", x, 3, weight, bias);
  return tidy(() => scaled(centred(x, x.shape.map((_, i) => i).slice(2), eps), x, weight, bias));
}

/**
 * Channels of x [batch, channels, …] in `groups` groups, each by its own mean and variance.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @category Products, attention, norms
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  demandNoMore(arguments, 5, "groupNorm");
  demandChannels("groupNorm", x, 2, weight, bias);
  const [batch, channels] = x.shape;
  if (!(Number.isInteger(groups) && groups > 0 && channels % groups === 0)) {
    throw new ShapeError(
      `groupNorm: ${counted(channels, "channel")} cannot make ${counted(groups, "group")}`,
    );
  }
  return tidy(() => {
    const open = reshape(x, [batch, groups, channels / groups * x.shape.slice(2).reduce((a, b) => a * b, 1)]);
    return scaled(reshape(centred(open, [2], eps), x.shape), x, weight, bias);
  });
}
