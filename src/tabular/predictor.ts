/**
 * Fitted networks as one function from cells to predictions, on tensors.
 *
 * Networks of the same shape and inputs are stacked, so that an ensemble costs as many operations as it has shapes.
 *
 * @module
 */
import { FormatError, type OptionError } from "../core/errors.ts";
import { add, matmul, mul, relu, softmax, sum, type Tensor, tensor, unsqueeze } from "../ops/mod.ts";
import { keep, noGrad, tidy } from "../tensor/mod.ts";
import { type Normalizer, tooFar } from "./normalizer.ts";
import { batchRows } from "./predict.ts";
import type { Network, Target } from "./types.ts";

/** Networks of one shape that see the same features. */
export interface NetworkGroup {
  /** Indices of the features. */
  readonly inputs: readonly number[] | null;
  /** The networks. */
  readonly networks: readonly Network[];
}

/** Networks that follow each other, see the same features and have layers of the same sizes, together. */
export function groupNetworks(networks: readonly Network[]): NetworkGroup[] {
  const groups: { inputs: readonly number[] | null; networks: Network[]; key: string }[] = [];
  for (const network of networks) {
    const sizes = network.layers.map(({ inputs, outputs }) => `${inputs}>${outputs}`);
    const key = `${network.inputs?.join(",") ?? "all"} ${sizes.join(" ")}`, last = groups[groups.length - 1];
    if (last?.key === key) last.networks.push(network);
    else groups.push({ inputs: network.inputs, networks: [network], key });
  }
  return groups;
}

/** Values of all networks of a group one after another, as [networks, ...shape]. */
function stacked(
  group: NetworkGroup,
  shape: readonly number[],
  values: (network: Network) => Float32Array,
): Tensor {
  const size = shape.reduce((a, b) => a * b, 1), all = new Float32Array(group.networks.length * size);
  group.networks.forEach((network, i) => all.set(values(network), i * size));
  return keep(tensor(all, { shape: [group.networks.length, ...shape] }));
}

/** Predicts rows of cells. */
export class Predictor {
  readonly #normalizer: Normalizer;
  readonly #target: Target;
  readonly #groups: readonly {
    inputs: readonly number[] | null;
    shares: Tensor;
    weights: Tensor[];
    biases: Tensor[];
  }[];

  /** The networks' weights are copied to the default device. */
  constructor(normalizer: Normalizer, networks: readonly Network[], target: Target) {
    this.#normalizer = normalizer;
    this.#target = target;
    this.#groups = groupNetworks(networks).map((group) => {
      const { layers } = group.networks[0];
      return {
        inputs: group.inputs,
        shares: stacked(group, [1, 1], ({ share }) => Float32Array.of(share)),
        weights: layers.map(({ inputs, outputs }, l) =>
          stacked(
            group,
            [inputs, outputs],
            (network) => transposed(network.layers[l].weight, outputs, inputs),
          )
        ),
        biases: layers.map(({ outputs }, l) =>
          stacked(group, [1, outputs], (network) => network.layers[l].bias)
        ),
      };
    });
  }

  /** Probabilities [rows, classes], or values [rows], of rows of cells [rows, columns]. */
  async predict(cells: Float64Array): Promise<Float64Array> {
    const width = this.#normalizer.columns.length, rows = cells.length / width;
    const outputs = Math.max(1, this.#target.classes.length), all = new Float64Array(rows * outputs);
    for (let from = 0; from < rows; from += batchRows) {
      const piece = cells.subarray(from * width, Math.min(rows, from + batchRows) * width);
      const result = tidy(() => noGrad(() => this.#forward(piece)));
      all.set(await result.data() as Float32Array, from * outputs);
      result.dispose();
    }
    const { task, std, mean } = this.#target;
    const said = task === "classification" ? all : all.map((y) => y * std + mean);
    const wrong = said.findIndex((y) => !Number.isFinite(y));
    if (wrong < 0) return said;
    const row = Math.floor(wrong / outputs);
    throw this.#noNumber(row, cells.subarray(row * width, (row + 1) * width), said[wrong]);
  }

  /** What to say of a row of which networks made what is no number: the cell farthest from what they have seen, or themselves. */
  #noNumber(row: number, cells: Float64Array, said: number): OptionError | FormatError {
    let farthest = 0, at = -1;
    this.#normalizer.columns.forEach(({ kind, ignored, min, max, std }, c) => {
      if (ignored !== null || (kind !== "numeric" && kind !== "date") || Number.isNaN(cells[c])) return;
      const distance = Math.max(min - cells[c], cells[c] - max) / (std || 1);
      if (distance > farthest) [farthest, at] = [distance, c];
    });
    if (at >= 0) return tooFar(this.#normalizer.columns[at], cells[at]);
    return new FormatError(`row ${row} is predicted as ${said}: the model's weights are too large for f32`);
  }

  #forward(cells: Float64Array): Tensor {
    const rows = cells.length / this.#normalizer.columns.length;
    let total: Tensor | null = null;
    for (const { inputs, shares, weights, biases } of this.#groups) {
      const features = this.#normalizer.transform(cells, inputs);
      let h: Tensor = unsqueeze(tensor(features, { shape: [rows, features.length / rows] }), 0);
      weights.forEach((weight, l) => {
        h = add(matmul(h, weight), biases[l]);
        if (l + 1 < weights.length) h = relu(h);
      });
      if (this.#target.task === "classification") h = softmax(h, -1);
      const average = sum(mul(h, shares), 0);
      total = total === null ? average : add(total, average);
    }
    return total!;
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const { shares, weights, biases } of this.#groups) {
      for (const t of [shares, ...weights, ...biases]) t.dispose();
    }
  }
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = matrix[r * columns + c];
  }
  return out;
}
