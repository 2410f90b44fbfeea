/**
 * Weights in 4 bits that fit what flows through them: each is rounded so that the error of those before it is made up for, as
 * far as the inputs of a calibration text let it (Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ: accurate post-training
 * quantization for generative pre-trained transformers", ICLR 2023).
 *
 * Layers are taken block by block: each sees what the blocks before it give when they are quantised already. The blocks of 32 are
 * q4's, each with the scale that loses least by then. An output layer that is the table of embeddings is fitted to what comes out of the last norm.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { breather } from "../core/breathe.ts";
import { quantBlock } from "../core/dtype.ts";
import { FerrotypeError, OptionError, throwIfAborted } from "../core/errors.ts";
import { fromF16, toF16 } from "../core/half.ts";
import * as kinds from "../core/kinds.ts";
import { counted } from "../core/show.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import type { CausalNetwork } from "../models/mod.ts";
import { StackedExperts } from "../nn/experts.ts";
import { isLookedUp } from "../nn/matrices.ts";
import { Conv1D, Embedding, Linear, type Module, parameter } from "../nn/mod.ts";
import { readyToHold } from "../ops/blocks.ts";
import {
  add,
  empty,
  eq,
  matmul,
  reshape,
  slice,
  type Tensor,
  toDType,
  transpose,
  unsqueeze,
  where,
} from "../ops/mod.ts";
import { keep, noGrad, tidy } from "../tensor/mod.ts";
import { sequentialBatches, type TokenIds } from "./batches.ts";

/**
 * Options of {@link gptq}.
 *
 * @category Training
 */
export interface GptqOptions {
  /** Tokens that a window of the calibration text holds, at most what the model takes. Default: as many, up to 2048. */
  blockSize?: number;
  /** How many tokens of the text are looked at, from its beginning. Default 32,768. */
  tokens?: number;
  /** What is added to the diagonal of the Hessian, as a part of its mean (transformers' `damp_percent`). Default 0.01. */
  dampPercent?: number;
  /** Stops between two layers, with a CancelledError; layers that are done stay so. */
  signal?: AbortSignal;
  /** Called after each layer with those done and all there are. */
  onProgress?: (progress: { done: number; total: number; name: string }) => void;
}

const gptqOptions: OptionTable<GptqOptions> = {
  blockSize: kinds.whole(1),
  tokens: kinds.whole(1),
  dampPercent: kinds.number({ above: 0, to: 1 }),
  signal: kinds.abortSignal,
  onProgress: kinds.callback,
};

/** Matrices of experts, in the order in which they compute. */
const expertMatrices = ["gate_proj", "up_proj", "down_proj"] as const;
type ExpertMatrix = typeof expertMatrices[number];

/** A matrix that is to be in 4 bits, or those of all experts of a layer, one below the other. */
interface Work {
  readonly name: string;
  /** What multiplies with it, and what it is called there. */
  readonly layer: Linear | Conv1D | Embedding | StackedExperts;
  readonly key: "weight" | ExpertMatrix;
  /** [out, in]. */
  readonly rows: () => Tensor;
  /** How many matrices, of as many rows each: each is fitted to what flows into it. */
  readonly parts: number;
  /** Layers of one group are fitted at once. */
  readonly group: string;
}

const isTurned = (layer: Work["layer"]): layer is Conv1D => layer instanceof Conv1D;

const weightOf = ({ layer, key }: Work): Tensor => (layer as unknown as Record<string, Tensor>)[key];

/** The layers of `network` whose sums run over whole blocks, in the order in which they compute; what convert leaves as it is, stays so. */
function worksOf(network: CausalNetwork): Work[] {
  const found: Work[] = [], head = network.embeddings;
  let tied: Work | null = null;
  for (const [name, layer] of network.namedModules()) {
    const group = /^(.*?\.\d+)\./.exec(name)?.[1] ?? "~";
    if (layer instanceof StackedExperts) {
      for (const key of expertMatrices) {
        if (layer[key].shape[1] % quantBlock !== 0) continue;
        found.push({ name: `${name}.${key}`, layer, key, rows: () => layer[key], parts: layer.count, group });
      }
    }
    if (!(layer instanceof Linear || layer instanceof Conv1D || layer instanceof Embedding)) continue;
    const { weight } = layer;
    const rows = (): Tensor => isTurned(layer) ? transpose(layer.weight, 0, 1) : layer.weight;
    const depth = isTurned(layer) ? weight.shape[0] : weight.shape[1];
    if (depth % quantBlock !== 0) continue;
    // A table that is only read has nothing to be fitted to, and a router in blocks would choose others.
    if (layer instanceof Embedding ? weight !== head : isLookedUp(layer)) continue;
    const work: Work = { name: `${name}.weight`, layer, key: "weight", rows, parts: 1, group };
    if (layer instanceof Embedding) tied = work;
    else found.push(work);
  }
  return tied ? [...found, tied] : found;
}

/** Hears what flows into a layer: x [.., in], and which of its matrices each row chose, where there are several. */
type Seen = (work: Work, x: Tensor, index: Tensor | null) => void;

/** Runs `f` while `seen` hears of what goes into each of `works`. */
function listening(works: readonly Work[], seen: Seen, f: () => void): void {
  const undo: (() => void)[] = [];
  for (const layer of new Set(works.map((work) => work.layer))) {
    const own = works.filter((work) => work.layer === layer);
    if (layer instanceof StackedExperts) {
      const product = layer.product;
      layer.product = (matrix, x, index) => {
        for (const work of own) if (work.key === matrix) seen(work, x, index);
        return product.call(layer, matrix, x, index);
      };
      undo.push(() => delete (layer as { product?: unknown }).product);
    } else {
      const forward = layer.forward as (x: Tensor, ...rest: unknown[]) => Tensor;
      const held = layer as unknown as { forward?: typeof forward };
      held.forward = (x, ...rest) => {
        for (const work of own) seen(work, x, null);
        return forward.call(layer, x, ...rest);
      };
      undo.push(() => delete held.forward);
    }
  }
  try {
    f();
  } finally {
    for (const end of undo) end();
  }
}

/** U of H⁻¹ = Uᵀ·U, upper triangular, [n, n], of H with `damp` times its mean diagonal added to its diagonal. */
async function inverseFactor(h: Float64Array, n: number, damp: number, name: string): Promise<Float64Array> {
  const breathe = breather();
  let mean = 0;
  for (let i = 0; i < n; i++) mean += h[i * n + i] / n;
  if (!Number.isFinite(mean)) {
    throw new FerrotypeError(`gptq: what flows into ${name} is not finite; the model or the text is damaged`);
  }
  // What nothing flows into may become anything.
  const more = mean > 0 ? damp * mean : 1;
  const v = new Float64Array(n * n), u = new Float64Array(n * n);
  // H = V·Vᵀ with V upper triangular, from the last column; then U is the inverse of V.
  for (let j = n - 1; j >= 0; j--) {
    for (let i = j; i >= 0; i--) {
      let sum = h[i * n + j] + (i === j ? more : 0);
      for (let k = j + 1; k < n; k++) sum -= v[i * n + k] * v[j * n + k];
      v[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12 * more)) : sum / v[j * n + j];
    }
    await breathe();
  }
  for (let i = n - 1; i >= 0; i--) {
    const inverse = 1 / v[i * n + i];
    for (let k = i + 1; k < n; k++) {
      const factor = v[i * n + k];
      for (let j = k; j < n; j++) u[i * n + j] -= factor * u[k * n + j];
    }
    for (let j = i + 1; j < n; j++) u[i * n + j] *= inverse;
    u[i * n + i] = inverse;
    await breathe();
  }
  return u;
}

/** A table is read as well as multiplied with, and its rows have to stay what they are besides. */
const dampOf = ({ layer }: Work, damp: number): number =>
  layer instanceof Embedding ? Math.max(1, damp) : damp;

/** Scales that are tried, over the one under which the largest value of a block is hit. */
const tried = Array.from({ length: 25 }, (_, i) => 1.06 - 0.02 * i);

/** The f16 scale under which `w` from `at` on loses least, each counted as `weights` say. */
function scaleFor(w: Float64Array, at: number, weights: Float64Array): number {
  let extreme = 0;
  for (let j = at; j < at + quantBlock; j++) if (Math.abs(w[j]) > Math.abs(extreme)) extreme = w[j];
  let best = Infinity, found = 0;
  for (const sign of [-1, 1]) {
    for (const factor of tried) {
      const scale = fromF16(toF16(sign * factor * extreme / 8));
      if (scale === 0 || !Number.isFinite(scale)) continue;
      let lost = 0;
      for (let j = at; j < at + quantBlock && lost < best; j++) {
        const q = Math.min(7, Math.max(-8, Math.round(w[j] / scale))), off = w[j] - q * scale;
        lost += weights[j] * off * off;
      }
      if (lost < best) {
        best = lost;
        found = scale;
      }
    }
  }
  return found;
}

/** q4 blocks of `weights`, [rows, n], fitted to inputs with the factor `u`. */
async function fitted(weights: Float32Array, n: number, u: Float64Array): Promise<Uint8Array> {
  const breathe = breather(), rows = weights.length / n, out = new Uint8Array(rows * n / quantBlock * 18);
  const counts = Float64Array.from({ length: n }, (_, j) => 1 / u[j * n + j] ** 2);
  const w = new Float64Array(n), codes = new Uint8Array(quantBlock);
  let o = 0;
  for (let row = 0; row < rows; row++) {
    w.set(weights.subarray(row * n, (row + 1) * n));
    for (let at = 0; at < n; at += quantBlock, o += 18) {
      const scale = scaleFor(w, at, counts), half = toF16(scale);
      out[o] = half;
      out[o + 1] = half >>> 8;
      for (let j = at; j < at + quantBlock; j++) {
        const q = scale === 0 ? 0 : Math.min(7, Math.max(-8, Math.round(w[j] / scale)));
        codes[j - at] = q + 8;
        const error = (w[j] - q * scale) / u[j * n + j];
        if (error !== 0) { for (let k = j + 1; k < n; k++) w[k] -= error * u[j * n + k]; }
      }
      for (let j = 0; j < 16; j++) out[o + 2 + j] = codes[j] | codes[j + 16] << 4;
    }
    await breathe();
  }
  return out;
}

/** Puts `blocks` in the place of a layer's weight. */
function place(work: Work, blocks: Uint8Array, shape: readonly number[]): void {
  const { layer, key } = work,
    before = weightOf(work),
    t = empty(shape, { dtype: "q4", device: before.device });
  t.backend.upload(t.buffer, 0, blocks);
  let seen = t;
  if (isTurned(layer)) {
    seen = noGrad(() => transpose(t, 0, 1));
    t.dispose();
  }
  (layer as unknown as Record<string, Tensor>)[key] = parameter(seen);
  before.dispose();
}

/**
 * Puts the matrices of `model` into q4, in place, fitted to `ids`, a text that is like those it will read: `model.save(dir)` then
 * writes them as they are. Experts are fitted each to what chose it. What has no whole blocks of 32 along its sums stays as it is, and so
 * do vectors, tables of positions and what chooses experts.
 * Layers are worked out on this thread, in time that grows with the third power of their width; it breathes in between.
 *
 * @throws {OptionError} for options that do not fit, a text that is shorter than a window, and a model that has blocks already.
 * @example
 * ```ts
 * const sizes = { vocabSize: 8, contextLength: 16, width: 32, layers: 1, heads: 2 };
 * const model = await CausalLM.fromSizes("llama", sizes);
 * await gptq(model, Array.from({ length: 100 }, (_, i) => i % 8)); // model.save(dir) writes what it is now
 * model.dispose();
 * ```
 * @category Training
 */
export async function gptq(
  model: Module & { readonly network: CausalNetwork },
  ids: TokenIds,
  options: GptqOptions = {},
): Promise<void> {
  demandNoMore(arguments, 3, "gptq");
  const given = checkOptions("gptq", options, gptqOptions), network = model?.network;
  if (!network?.contextLength || typeof ids !== "object" || typeof ids?.length !== "number") {
    throw new OptionError(
      "gptq: takes a model of a family (CausalLM.load, GPT2.load) and the ids of a text, as its tokenizer gives them",
    );
  }
  const { dampPercent = 0.01, tokens = 32_768, signal, onProgress } = given;
  const { blockSize = Math.min(network.contextLength, 2048, Math.max(1, ids.length - 1)) } = given;
  if (blockSize > network.contextLength) {
    throw new OptionError(
      `gptq: blockSize is ${blockSize}, expected at most the model's ${
        counted(network.contextLength, "position")
      }`,
    );
  }
  if (ids.length <= blockSize) {
    throw new OptionError(
      `gptq: the text has ${
        counted(ids.length, "token")
      }, expected more than the ${blockSize} of a window; take a longer text`,
    );
  }
  const works = worksOf(network), blocks = works.find((work) => /^q|^iq|^mx/.test(weightOf(work).dtype));
  if (blocks) {
    throw new OptionError(
      `gptq: ${blocks.name} is ${
        weightOf(blocks).dtype
      } already; load the model with { dtype: "f32" } from what it was made of`,
    );
  }
  if (works.length === 0) {
    throw new OptionError("gptq: no matrix of this model has whole blocks of 32 along its sums");
  }
  const part = Array.prototype.slice.call(ids, 0, Math.max(tokens, blockSize + 1)) as number[];
  network.checkIds(part);
  await readyToHold(["q4"]);
  const { device } = network.embeddings, batchSize = Math.max(1, Math.floor(4096 / blockSize));
  const windows = sequentialBatches(part, { batchSize, blockSize, device });
  const training = network.training;
  network.eval();
  try {
    let done = 0;
    for (const group of new Set(works.map(({ group }) => group))) {
      const own = works.filter((work) => work.group === group);
      const hessians = await hessiansOf(network, own, windows, signal);
      try {
        for (const [i, work] of own.entries()) {
          const [rows, n] = work.rows().shape, each = rows / work.parts;
          const weights = noGrad(() => tidy(() => toDType(reshape(work.rows().detach(), [rows, n]), "f32")));
          const values = Float32Array.from(await weights.data() as Float32Array);
          weights.dispose();
          const blocks = new Uint8Array(rows * n / quantBlock * 18);
          for (const [part, hessian] of hessians[i].entries()) {
            throwIfAborted(signal, "gptq");
            const h = Float64Array.from(await hessian.data() as Float32Array);
            const u = await inverseFactor(h, n, dampOf(work, dampPercent), work.name);
            const own = values.subarray(part * each * n, (part + 1) * each * n);
            blocks.set(await fitted(own, n, u), part * blocks.length / work.parts);
          }
          place(work, blocks, [rows, n]);
          onProgress?.({ done: ++done, total: works.length, name: work.name });
        }
      } finally {
        for (const h of hessians.flat()) h.dispose();
      }
    }
  } finally {
    network.train(training);
  }
}

/** For each matrix of each of `works` the sum of what flows into it, times itself, over all windows: [in, in]. */
async function hessiansOf(
  network: CausalNetwork,
  works: readonly Work[],
  windows: Iterable<Tensor>,
  signal: AbortSignal | undefined,
): Promise<Tensor[][]> {
  const breathe = breather(), sums = new Map(works.map((work): [Work, Tensor[]] => [work, []]));
  const gather: Seen = (work, x, index) => {
    const flat = toDType(reshape(x, [-1, x.shape[x.shape.length - 1]]), "f32"), own = sums.get(work)!;
    for (let part = 0; part < work.parts; part++) {
      const rows = index ? where(unsqueeze(eq(index, part), 1), flat, 0) : flat;
      const before = own[part], more = matmul(transpose(rows, 0, 1), rows);
      own[part] = keep(before ? add(before, more) : more);
      before?.dispose();
    }
  };
  const tied = works.find(({ layer }) => layer instanceof Embedding);
  const heard = works.filter((work) => work !== tied);
  try {
    for (const batch of windows) {
      throwIfAborted(signal, "gptq");
      noGrad(() =>
        tidy(() => {
          const pass = (): void => {
            const x = network.hidden(slice(batch, null, [0, -1]));
            if (tied) gather(tied, x, null);
            else if (works.some(({ group }) => group === "~")) network.logits(x);
          };
          listening(heard, gather, pass);
        })
      );
      batch.dispose();
      await breathe();
    }
    const still = works.find((work) => sums.get(work)!.length === 0);
    if (still) throw new FerrotypeError(`gptq: nothing flows into ${still.name} in this model`);
  } catch (error) {
    for (const t of [...sums.values()].flat()) t.dispose();
    throw error;
  }
  return works.map((work) => sums.get(work)!);
}
