/**
 * Drawing one index of a row of logits.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { contiguousView, demandTensor, empty } from "./bridge.ts";
import { div, isfinite, le, lt, mul, where } from "./elementwise.ts";
import { gather } from "./index.ts";
import { argmax, cumsum, sum } from "./reduce.ts";
import { toDType } from "./row.ts";
import { softmax } from "./softmax.ts";
import { topk } from "./sort.ts";
import type { Tensor } from "./tensor.ts";
import { slice } from "./views.ts";

/**
 * Options of {@link sampleLogits}.
 *
 * @category Reductions and order
 */
export interface SampleLogitsOptions {
  /** Logits are divided by it; above 0. Default 1. */
  temperature?: number;
  /** Only the k largest may be drawn, and what ties with the last of them. Default 0: all. */
  topK?: number;
}

const sampleOptions: OptionTable<SampleLogitsOptions> = { temperature: number({ above: 0 }), topK: whole(0) };

/** Below this a quotient may be beyond f32, and no two logits are so near that a draw would take the less likely one. */
const coldest = 1e-20;

/** Whether the device of `t` draws by itself, so that reading the logits would be a detour. */
export function drawsItself(t: Tensor): boolean {
  return t.backend.kernels.sample !== undefined && t.dtype === "f32";
}

/** What the kernel gives of logits that the device draws from by itself. */
function draw(logits: Tensor, temperature: number, topK: number, uniform: number): Tensor {
  const out = empty([1], "i32", logits.backend, "sampleLogits");
  logits.backend.kernels.sample!(contiguousView(logits), temperature, topK, uniform, out);
  return out;
}

/** The index of the largest of `logits` [n], the first where they tie: i32 [1]; -1 where it is NaN or infinite. */
export function likeliest(logits: Tensor): Tensor {
  return noGrad(() =>
    tidy(() => {
      if (drawsItself(logits)) return draw(logits, 0, 0, 0);
      const best = argmax(logits, 0, true);
      return toDType(where(isfinite(gather(logits, 0, best)), best, -1), "i32");
    })
  );
}

/**
 * An index of `logits` [n], drawn with its probability softmax(logits / temperature) by the number `uniform` of [0, 1),
 * which walks down the indices in their order: i32 [1]. -1 where there is none to draw: all are −∞, or one is NaN or ∞.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for shapes that do not fit.
 * @throws {OptionError} for numbers it does not take.
 * @category Reductions and order
 */
export function sampleLogits(logits: Tensor, uniform: number, options: SampleLogitsOptions = {}): Tensor {
  demandNoMore(arguments, 3, "sampleLogits");
  const { temperature = 1, topK = 0 } = checkOptions("sampleLogits", options, sampleOptions);
  demandTensor("sampleLogits", logits, "logits");
  const [n] = logits.shape;
  if (logits.shape.length !== 1 || n === 0) {
    throw new ShapeError(`sampleLogits: logits are [n], not ${formatShape(logits.shape)}`);
  }
  return noGrad(() =>
    tidy(() => {
      if (temperature < coldest) return likeliest(logits);
      if (drawsItself(logits)) return draw(logits, temperature, topK, uniform);
      let x = div(logits, temperature);
      if (topK > 0 && topK < n) {
        // A NaN is below nothing, so it stays and is told of.
        x = where(lt(x, slice(topk(x, topK).values, [topK - 1, topK])), -Infinity, x);
      }
      const below = cumsum(softmax(x), 0), all = slice(below, [-1, null]);
      // Of the total, for sums of rounded numbers rarely end at 1; it is NaN where there is nothing to draw.
      const id = sum(toDType(le(below, mul(all, uniform)), "i32"), 0, true);
      return toDType(where(isfinite(all), id, -1), "i32");
    })
  );
}
