/**
 * Heads and neurons that leave a model: its matrices become smaller, and its configuration says so.
 *
 * Every block loses as many, for a configuration has one number for all; which ones, each block says itself. What leaves is what
 * counts least in the matrix behind it: the norm of its columns there, times that of what goes through them where a text is given.
 *
 * @module
 */
import { CausalLM, FerrotypeError, reshape, type Tensor, tensor } from "../../mod.ts";
import { UsageError } from "../command.ts";
import { type PrunedLayer, rowsOf } from "./layers.ts";

/** What is to leave every block. */
export interface Leaving {
  /** The part of its neurons. */
  readonly neurons: number;
  /** Heads of keys and values, each with the queries that look there; where there is one, heads of queries. */
  readonly heads: number;
}

/** Matrices that neurons and heads go into. */
const behindNeurons = /\.(?:c_proj|down_proj|dense_4h_to_h)$/, behindHeads = /\.self_attn\.o_proj$/;
const isMlp = (name: string): boolean => /\.mlp\.[^.]+$/.test(name);
const blockOf = (name: string): string => /^(.*?\.\d+)\./.exec(name)![1];

/** Sums of squares of the columns of a layer that belong together, `width` of them each. */
async function weightOf(
  layer: PrunedLayer,
  width: number,
  norms: Float32Array | undefined,
): Promise<Float64Array> {
  const rows = await rowsOf(layer), { inputs } = layer, sums = new Float64Array(inputs / width);
  rows.forEach((w, i) => {
    const column = i % inputs;
    sums[Math.floor(column / width)] += (w * (norms?.[column] ?? 1)) ** 2;
  });
  return sums;
}

/** The places of those that stay, in order. */
function staying(weights: Float64Array, leave: number): number[] {
  const order = Array.from(weights.keys()).sort((a, b) => weights[a] - weights[b] || a - b);
  return order.slice(leave).sort((a, b) => a - b);
}

/** Each place made `width` neighbours. */
const spread = (places: readonly number[], width: number): number[] =>
  places.flatMap((place) => Array.from({ length: width }, (_, i) => place * width + i));

/** What stays along an axis of so many, by block; the axis of a fused matrix has several parts. */
interface Cut {
  readonly block: string;
  readonly isMlp: boolean;
  /** Lengths of an axis, and what of it stays. */
  readonly axes: ReadonlyMap<number, readonly number[]>;
}

/** Fields of a configuration that say sizes. */
interface Sizes {
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The sizes of a model, by its layers and its configuration. */
function sizesOf(model: CausalLM, layers: readonly PrunedLayer[]): Sizes {
  const inner = layers.find(({ name }) => isMlp(name) && behindNeurons.test(name))?.inputs ?? 0;
  const { heads = 0, kvHeads = heads, headDim = 0 } = model.config as Partial<Sizes>;
  return { inner, heads, kvHeads, headDim };
}

/** A smaller model of the same kind, and what it is. */
export async function smaller(
  model: CausalLM,
  layers: readonly PrunedLayer[],
  norms: ReadonlyMap<string, Float32Array> | null,
  leaving: Leaving,
): Promise<CausalLM> {
  const { inner, heads, kvHeads, headDim } = sizesOf(model, layers), config = { ...model.toConfig() };
  const lessNeurons = Math.round(leaving.neurons * inner), cuts: Cut[] = [];
  if (leaving.neurons > 0) {
    if (inner === 0) {
      throw new UsageError(`prune: --neurons: ${model.family} has no layer of neurons that is known`);
    }
    if (lessNeurons === 0 || lessNeurons >= inner) {
      throw new UsageError(
        `prune: --neurons ${leaving.neurons} of ${inner} is ${lessNeurons}, expected at least 1, and 1 that stays`,
      );
    }
    config["n_embd" in config ? "n_inner" : "intermediate_size"] = inner - lessNeurons;
    for (const layer of layers.filter(({ name }) => isMlp(name) && behindNeurons.test(name))) {
      const kept = staying(await weightOf(layer, 1, norms?.get(layer.name)), lessNeurons);
      // Gate and up may lie in one matrix.
      const axes = new Map([[inner, kept], [2 * inner, [...kept, ...kept.map((i) => i + inner)]]]);
      cuts.push({ block: blockOf(layer.name), isMlp: true, axes });
    }
  }
  if (leaving.heads > 0) {
    const behind = layers.filter(({ name }) => behindHeads.test(name));
    if (behind.length === 0 || headDim === 0) {
      throw new UsageError(
        `prune: --heads: in files of ${model.family} all heads together are as wide as the model, so none can leave; ` +
          "--neurons and --sparsity can be taken",
      );
    }
    // With one head of keys and values all queries look there, and they leave alone.
    const isOne = kvHeads === 1, units = isOne ? heads : kvHeads, each = heads / units;
    if (leaving.heads >= units) {
      throw new UsageError(
        `prune: --heads is ${leaving.heads}, expected less than the ${units} heads ${
          isOne ? "of queries" : "of keys and values"
        } of a block`,
      );
    }
    const left = units - leaving.heads;
    Object.assign(config, {
      num_attention_heads: left * each,
      num_key_value_heads: isOne ? 1 : left,
      head_dim: headDim,
    });
    for (const layer of behind) {
      const groups = staying(await weightOf(layer, each * headDim, norms?.get(layer.name)), leaving.heads);
      const q = spread(groups, each * headDim), k = spread(isOne ? [0] : groups, headDim);
      const queries = heads * headDim, keys = kvHeads * headDim;
      const fused = [...q, ...k.map((i) => i + queries), ...k.map((i) => i + queries + keys)];
      const axes = new Map([[keys, k], [queries, q], [queries + 2 * keys, fused]]);
      cuts.push({ block: blockOf(layer.name), isMlp: false, axes });
    }
  }
  return await filled(model, config, cuts);
}

/** A model of `config` with what stays of the parameters of another. */
async function filled(
  from: CausalLM,
  config: Record<string, unknown>,
  cuts: readonly Cut[],
): Promise<CausalLM> {
  const to = await CausalLM.fromConfig(config);
  try {
    const old = new Map(from.namedParameters()), values: Record<string, Tensor> = {};
    for (const [name, p] of to.namedParameters()) {
      const before = old.get(name);
      if (!before) {
        throw new FerrotypeError(
          `prune: a smaller ${from.family} has a parameter ${name} that the model has not`,
        );
      }
      let data = Float32Array.from(await before.detach().data() as ArrayLike<number>),
        shape = [...before.shape];
      for (let axis = 0; axis < shape.length; axis++) {
        if (shape[axis] === p.shape[axis]) continue;
        const cut = cuts.find((one) =>
          name.startsWith(`${one.block}.`) && one.isMlp === /\.mlp\./.test(name)
        );
        const kept = cut?.axes.get(shape[axis]);
        if (kept?.length !== p.shape[axis]) {
          throw new UsageError(
            `prune: ${from.family} lays ${name} out in a way of its own, of which heads or neurons cannot be taken`,
          );
        }
        [data, shape] = gathered(data, shape, axis, kept);
      }
      values[name] = reshape(tensor(data), shape);
    }
    to.loadStateDict(values);
    for (const value of Object.values(values)) value.dispose();
  } catch (error) {
    to.dispose();
    throw error;
  }
  to.tokenizer = from.tokenizer;
  to.generationConfig = from.generationConfig;
  to.companions = from.companions;
  return to;
}

/** What stays along an axis. */
function gathered(
  data: Float32Array,
  shape: readonly number[],
  axis: number,
  kept: readonly number[],
): [Float32Array<ArrayBuffer>, number[]] {
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1),
    outer = shape.slice(0, axis).reduce((n, d) => n * d, 1);
  const out = new Float32Array(outer * kept.length * inner);
  for (let o = 0; o < outer; o++) {
    kept.forEach((place, i) => {
      const at = (o * shape[axis] + place) * inner;
      out.set(data.subarray(at, at + inner), (o * kept.length + i) * inner);
    });
  }
  return [out, shape.map((d, i) => i === axis ? kept.length : d)];
}
