/**
 * Which weight is no number: asked for when what came of the weights is none; loaded only then.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import { formatShape } from "../core/shape.ts";
import { argmax, isfinite, logicalNot, reshape, type Tensor, toDType } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";

/** What is not finite in a weight: where, and what; null when all is. */
async function flawOf(weight: Tensor): Promise<string | null> {
  const [at, value] = noGrad(() =>
    tidy(() => {
      const x = reshape(isQuantized(weight.dtype) ? toDType(weight, "f32") : weight, [-1]);
      const at = argmax(toDType(logicalNot(isfinite(x)), "i32"), 0, true);
      return [at, x.gather(0, at)];
    })
  );
  const [first, found] = [await at.item(), await value.item()];
  at.dispose();
  value.dispose();
  if (Number.isFinite(found)) return null;
  const where: number[] = [];
  for (
    let d = weight.shape.length - 1, left = first;
    d >= 0;
    left = Math.floor(left / weight.shape[d]), d--
  ) {
    where.unshift(left % weight.shape[d]);
  }
  return `${found} at ${formatShape(where)} of ${formatShape(weight.shape)}`;
}

/** The first of `weights` that holds NaN or an infinity, with the place: "weight NAME has NaN at …"; null when all are finite. */
export async function flawIn(weights: Iterable<readonly [string, Tensor]>): Promise<string | null> {
  for (const [name, weight] of weights) {
    const flaw = weight.size > 0 ? await flawOf(weight) : null;
    if (flaw !== null) return `weight ${name} has ${flaw}`;
  }
  return null;
}

/** What is said where all weights are finite, and what comes of them is not. */
export const grewTooLarge =
  "its weights are finite, so numbers on the way grew too large; load it in f32 or bf16";

/** Why what a model makes of its weights is no number. */
export async function whyIn(weights: Iterable<readonly [string, Tensor]>): Promise<string> {
  return await flawIn(weights) ?? grewTooLarge;
}
