/**
 * The matrices of a model that pruning works on, and what goes into them.
 *
 * @module
 */
import {
  arange,
  type CausalLM,
  copyInto,
  eq,
  keep,
  matmul,
  mul,
  nn,
  noGrad,
  reshape,
  square,
  sum,
  type Tensor,
  tensor,
  tidy,
  unsqueeze,
} from "../../mod.ts";
import { StackedExperts } from "../../src/nn/experts.ts";
import { matrixPlaces } from "../../src/nn/matrices.ts";
import { UsageError } from "../command.ts";
import type { CompressionText } from "./material.ts";
import { batchesOf } from "./material.ts";

/** A matrix in a block, or those of all its experts, one below the other. */
export interface PrunedLayer {
  /** Its path, without "weight". */
  readonly name: string;
  readonly weight: Tensor;
  /** Whether the weight is [in, out]. */
  readonly isTurned: boolean;
  readonly inputs: number;
  /** Of all matrices together. */
  readonly outputs: number;
  /** How many matrices. */
  readonly parts: number;
  /** The module that multiplies with it. */
  readonly owner: nn.Module;
}

/**
 * Every matrix inside the blocks: embeddings and the output layer stay as they are, and so does what chooses experts, as quantising
 * leaves it.
 */
export function layersOf(model: CausalLM): PrunedLayer[] {
  const modules = new Map(model.network.namedModules());
  const found = matrixPlaces(model.network).flatMap((place): PrunedLayer[] => {
    const { name: full, key, weight, isTurned, isTable } = place, path = full.slice(0, -key.length - 1);
    const owner = modules.get(path), isExperts = owner instanceof StackedExperts;
    const isMatrix = isExperts || owner instanceof nn.Linear || owner instanceof nn.Conv1D;
    // Paths of blocks hold a number: h.0.attn.c_attn, model.layers.0.mlp.up_proj.
    if (!isMatrix || isTable || !/\.\d+\./.test(full)) return [];
    const [rows, columns] = weight.shape, [outputs, inputs] = isTurned ? [columns, rows] : [rows, columns];
    // One output for all is no choice among outputs, but how much another matrix counts.
    if (outputs === 1) return [];
    const parts = isExperts ? owner.count : 1;
    return [{ name: isExperts ? full : path, weight, isTurned, inputs, outputs, parts, owner }];
  });
  if (found.length === 0) throw new UsageError("prune: the model has no blocks with matrices to prune");
  return found;
}

/** The weights of a layer, a row for each output: [outputs, inputs]. */
export async function rowsOf({ weight, isTurned, inputs, outputs }: PrunedLayer): Promise<Float32Array> {
  const data = Float32Array.from(await weight.detach().data() as ArrayLike<number>);
  return isTurned ? turned(data, inputs, outputs) : data;
}

/** Rows made columns. */
function turned(data: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c];
  }
  return out;
}

/** Numbers in the form of a layer's weight, from a row for each output. */
export function likeWeight(
  { weight, isTurned, inputs, outputs }: PrunedLayer,
  rows: Float32Array,
): Tensor {
  const data = isTurned ? turned(rows, outputs, inputs) : rows;
  return reshape(tensor(data, { device: weight.device }), weight.shape);
}

/** Multiplies a layer's weights with what is 1 or 0 in the form of them. */
export function applyMask(weight: Tensor, mask: Tensor): void {
  noGrad(() => tidy(() => copyInto(mul(weight.detach(), mask), weight)));
}

/** Hears what goes into a layer: x [.., inputs], and which of its matrices each row goes through, where it has several. */
type See = (layer: PrunedLayer, x: Tensor, index: Tensor | null) => void;

/** Has `see` hear what goes into layers; what is given ends it. */
function listen(layers: readonly PrunedLayer[], see: See): () => void {
  const undo = new Set<() => void>();
  const wrap = (owner: nn.Module, method: "forward" | "product", heard: (args: unknown[]) => void): void => {
    const held = owner as unknown as Record<string, (...args: unknown[]) => Tensor>, own = held[method];
    held[method] = (...args) => (heard(args), own.apply(owner, args));
    undo.add(() => delete held[method]);
  };
  for (const owner of new Set(layers.map((layer) => layer.owner))) {
    const own = layers.filter((layer) => layer.owner === owner);
    if (owner instanceof StackedExperts) {
      const of = new Map(own.map((layer) => [layer.name.slice(layer.name.lastIndexOf(".") + 1), layer]));
      wrap(owner, "product", ([matrix, x, index]) => {
        const layer = of.get(matrix as string);
        if (layer) see(layer, x as Tensor, index as Tensor);
      });
    } else wrap(owner, "forward", ([x]) => see(own[0], x as Tensor, null));
  }
  return () => undo.forEach((end) => end());
}

/** The sum of the squares of each input, [parts · inputs]. */
function squaresOf({ inputs, parts }: PrunedLayer, x: Tensor, index: Tensor | null): Tensor {
  const squares = square(x.to({ dtype: "f32" })).reshape([-1, inputs]);
  if (!index) return sum(squares, 0);
  const own = eq(unsqueeze(arange(parts, { dtype: "i32", device: x.device }), 1), unsqueeze(index, 0));
  return matmul(own.to({ dtype: "f32" }), squares).reshape([-1]);
}

/** The root of the sum of squares of each input of every layer over `samples` windows of the text, by path: [parts · inputs]. */
export async function inputNorms(
  model: CausalLM,
  layers: readonly PrunedLayer[],
  text: CompressionText,
  samples: number,
): Promise<Map<string, Float32Array>> {
  const sums = new Map(layers.map(({ name, inputs, parts }) => [name, new Float64Array(parts * inputs)]));
  const seen: [name: string, squares: Tensor][] = [];
  const restore = listen(layers, (layer, x, index) => {
    seen.push([layer.name, keep(noGrad(() => tidy(() => squaresOf(layer, x, index))))]);
  });
  const data = batchesOf({ ...text, batchSize: 1 }), { training } = model.network;
  model.eval();
  try {
    for (let i = 0; i < samples; i++) {
      const batch = await data.next();
      noGrad(() => tidy(() => void model.loss(batch)));
      batch.dispose();
      for (const [name, squares] of seen.splice(0)) {
        const values = await squares.data() as Float32Array, total = sums.get(name)!;
        values.forEach((v, j) => total[j] += v);
        squares.dispose();
      }
    }
  } finally {
    restore();
    model.network.train(training);
  }
  return new Map([...sums].map(([name, total]) => [name, Float32Array.from(total, Math.sqrt)]));
}
