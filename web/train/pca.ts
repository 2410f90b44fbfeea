/**
 * The plane in which points of many numbers spread most (principal components, Pearson 1901), by the library's own operations.
 *
 * @module
 */
import { add, concat, div, matmul, mean, mul, sqrt, square, sub, sum, tensor } from "../../src/ops/mod.ts";
import { type Tensor, transpose } from "../../src/ops/mod.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";

/** Points in their plane. */
export interface Plane {
  /** x and y of each point, one after the other. */
  readonly points: Float32Array<ArrayBuffer>;
  /** How much of the spread lies in the plane, from 0 to 1. */
  readonly share: number;
  /** The two directions, [width, 2]: given again, the next plane turns as little as it can. */
  readonly axes: Float32Array<ArrayBuffer>;
}

/** Rounds of the power iteration: each lessens what is not of the plane by the ratio of the spreads. */
const rounds = 30;

/** Columns at right angles and of length 1. */
function upright(columns: readonly Tensor[]): Tensor[] {
  const done: Tensor[] = [];
  for (let column of columns) {
    for (const one of done) column = sub(column, mul(one, sum(mul(one, column))));
    done.push(div(column, sqrt(add(sum(square(column)), 1e-30))));
  }
  return done;
}

const numbers = async (of: Tensor): Promise<Float32Array<ArrayBuffer>> =>
  Float32Array.from(await of.data() as Float32Array);

/** Points [count, width] in their plane; `before` are the directions of the plane before. */
export async function plane(points: Tensor, before: Float32Array | null = null): Promise<Plane> {
  const width = points.shape[1];
  const [xy, axes, share] = noGrad(() =>
    tidy(() => {
      const centred = sub(points, mean(points, 0, true)), all = sum(square(centred));
      const spread = matmul(transpose(centred, 0, 1), centred); // [width, width]
      // Any start does that is not at right angles to the plane: what is looked for leaves no such pattern.
      let columns = upright([0, 1].map((c) =>
        tensor(
          Array.from({ length: width }, (_, i) => [before?.[2 * i + c] ?? Math.sin((i + 1) * (c + 1.3))]),
        )
      ));
      for (let round = 0; round < rounds; round++) {
        columns = upright(columns.map((c) => matmul(spread, c)));
      }
      const axes = concat(columns, 1), xy = matmul(centred, axes);
      return [xy, axes, div(sum(square(xy)), add(all, 1e-30))];
    })
  );
  try {
    return { points: await numbers(xy), axes: await numbers(axes), share: await share.item() };
  } finally {
    for (const made of [xy, axes, share]) made.dispose();
  }
}
