/**
 * The matrices of a model that pruning works on, and what goes into them.
 *
 * @module
 */
import {
  type CausalLM,
  copyInto,
  keep,
  mul,
  nn,
  noGrad,
  reshape,
  sum,
  type Tensor,
  tensor,
  tidy,
} from "../../mod.ts";
import { UsageError } from "../command.ts";
import type { CompressionText } from "./material.ts";
import { batchesOf } from "./material.ts";

/** A matrix in a block. */
export interface PrunedLayer {
  /** Its path. */
  readonly name: string;
  readonly layer: nn.Linear | nn.Conv1D;
  readonly inputs: number;
  readonly outputs: number;
}

/** Every matrix inside the blocks: embeddings and the output layer stay as they are. */
export function layersOf(model: CausalLM): PrunedLayer[] {
  const found = model.network.namedModules().flatMap(([name, layer]) => {
    // Paths of blocks hold a number: h.0.attn.c_attn, model.layers.0.mlp.up_proj.
    if (!(layer instanceof nn.Linear || layer instanceof nn.Conv1D) || !/\.\d+\./.test(name)) return [];
    const [rows, columns] = layer.weight.shape;
    const [outputs, inputs] = layer instanceof nn.Linear ? [rows, columns] : [columns, rows];
    return [{ name, layer, inputs, outputs }];
  });
  if (found.length === 0) throw new UsageError("prune: the model has no blocks with matrices to prune");
  return found;
}

/** The weights of a layer, a row for each output: [outputs, inputs]. */
export async function rowsOf({ layer, inputs, outputs }: PrunedLayer): Promise<Float32Array> {
  const data = Float32Array.from(await layer.weight.detach().data() as ArrayLike<number>);
  return layer instanceof nn.Linear ? data : turned(data, inputs, outputs);
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
export function likeWeight({ layer, inputs, outputs }: PrunedLayer, rows: Float32Array): Tensor {
  const data = layer instanceof nn.Linear ? rows : turned(rows, outputs, inputs);
  return reshape(tensor(data, { device: layer.weight.device }), layer.weight.shape);
}

/** Multiplies a layer's weights with what is 1 or 0 in the form of them. */
export function applyMask(weight: Tensor, mask: Tensor): void {
  noGrad(() => tidy(() => copyInto(mul(weight.detach(), mask), weight)));
}

/** The root of the sum of squares of each input of every layer over `samples` windows of the text, by path. */
export async function inputNorms(
  model: CausalLM,
  layers: readonly PrunedLayer[],
  text: CompressionText,
  samples: number,
): Promise<Map<string, Float32Array>> {
  const sums = new Map(layers.map(({ name, inputs }) => [name, new Float64Array(inputs)]));
  const seen: [name: string, squares: Tensor][] = [];
  const restore = layers.map(({ name, layer, inputs }) => {
    const { forward } = layer as { forward: (x: Tensor, ...rest: unknown[]) => Tensor };
    Object.assign(layer, {
      forward(x: Tensor, ...rest: unknown[]): Tensor {
        seen.push([name, keep(noGrad(() => tidy(() => sum(mul(x, x).reshape([-1, inputs]), 0))))]);
        return forward.call(layer, x, ...rest);
      },
    });
    return () => delete (layer as { forward?: unknown }).forward;
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
    for (const undo of restore) undo();
    model.network.train(training);
  }
  return new Map([...sums].map(([name, total]) => [name, Float32Array.from(total, Math.sqrt)]));
}
