/**
 * The same small GPT, once for each optimizer: same weights at first, same batches; and a slice of the loss that they walk on.
 * Runs in the page's worker, and anywhere else with the same numbers.
 *
 * @module
 */
import { concat, manualSeed, matmul, reshape, type Tensor, tensor, transpose } from "../../src/ops/mod.ts";
import * as optim from "../../src/optim/mod.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";
import { CharTokenizer } from "../../src/text/mod.ts";
import { randomBatches } from "../../src/train/batches.ts";
import { TrainingStep } from "../../src/train/step.ts";
import type { RealName, RealRates } from "./real_settings.ts";

type Parameters = ConstructorParameters<typeof optim.SGD>[0];

/** Matrices of the blocks and the rest: Muon makes steps of matrices orthogonal, and embeddings are none. */
function muonGroups(model: GPT2): Parameters {
  const named = model.namedParameters(), isInside = (name: string): boolean => name.startsWith("h.");
  const params = (inside: boolean): Tensor[] =>
    named.filter(([name]) => isInside(name) === inside).map(([, p]) => p);
  return [{ params: params(true) }, { params: params(false), matrices: false }] as Parameters;
}

const make: Readonly<Record<RealName, (model: GPT2, lr: number) => optim.Optimizer>> = {
  sgd: (model, lr) => new optim.SGD(model.parameters(), { lr }),
  momentum: (model, lr) => new optim.SGD(model.parameters(), { lr, momentum: 0.9 }),
  rmsprop: (model, lr) => new optim.RMSprop(model.parameters(), { lr }),
  adam: (model, lr) => new optim.Adam(model.parameters(), { lr }),
  adamw: (model, lr) => new optim.AdamW(model.parameters(), { lr, weightDecay: 0.1 }),
  lion: (model, lr) => new optim.Lion(model.parameters(), { lr, weightDecay: 0.1 }),
  muon: (model, lr) => new optim.Muon(muonGroups(model), { lr, adjustLr: "match_rms_adamw" }),
};

/** One of them on its way. */
interface Runner {
  readonly name: RealName;
  readonly model: GPT2;
  readonly optimizer: optim.Optimizer;
  readonly stepping: TrainingStep<Tensor>;
  /** All its weights in a row, now and then. */
  readonly path: Float32Array[];
  /** The last loss; null since it is no number any more. */
  loss: number | null;
}

/** A part of the loss: a grid around a centre, and where each path goes through it. */
export interface Slice {
  /** Points a side. */
  readonly side: number;
  /** Least and most of both directions. */
  readonly domain: readonly [x0: number, x1: number, y0: number, y1: number];
  /** By optimizer: x and y of each snapshot. */
  readonly paths: Readonly<Partial<Record<RealName, readonly number[]>>>;
}

/** How the two directions of a slice are chosen. */
export type Directions = "paths" | "random";

const context = 32, batchSize = 8;

/** The race. */
export class RealRace {
  readonly #runners: Runner[];
  readonly #text: string;
  readonly #probe: number[][];
  #step = 0;

  /** Everyone at the start. @throws for a text that is too short. */
  constructor(text: string, rates: RealRates, seed: number) {
    if (text.length < 4 * context) {
      throw new Error(`The text has ${text.length} letters; ${4 * context} are the least.`);
    }
    const tokenizer = CharTokenizer.from(text), ids = [...tokenizer.encode(text)];
    this.#text = text;
    this.#probe = Array.from({ length: 8 }, (_, i) => {
      const from = Math.floor(i * (ids.length - context - 1) / 7);
      return ids.slice(from, from + context + 1);
    });
    this.#runners = (Object.keys(rates) as RealName[]).map((name) => {
      manualSeed(seed);
      const model = new GPT2({
        ...{ vocabSize: tokenizer.vocabSize, nPositions: context, nEmbd: 32, nLayer: 1, nHead: 4 },
        ...{ residPdrop: 0, embdPdrop: 0, attnPdrop: 0, bosTokenId: null, eosTokenId: null },
      });
      model.tokenizer = tokenizer;
      const data = randomBatches(ids, { batchSize, blockSize: context, seed });
      const optimizer = make[name](model, rates[name]);
      const stepping = new TrainingStep<Tensor>({
        ...{ optimizer, data, gradAccum: 1, clip: undefined, precision: null },
        pieces: () => 1,
        step: () => this.#step,
        loss: (batch) => model.loss(batch),
      });
      return { name, model, optimizer, stepping, path: [], loss: 0 };
    });
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** One step of everyone; the losses before it, null of those whose loss is no number any more. */
  async advance(): Promise<Readonly<Partial<Record<RealName, number | null>>>> {
    const losses: Partial<Record<RealName, number | null>> = {};
    this.#step++;
    for (const runner of this.#runners) {
      if (runner.loss === null) {
        losses[runner.name] = null;
        continue;
      }
      let value = NaN;
      try {
        const { loss } = runner.stepping.run(false);
        value = await loss.item();
        loss.dispose();
      } catch {
        // Gradients that are no numbers: it has left the plane of numbers for good.
      }
      runner.model.zeroGrad();
      losses[runner.name] = runner.loss = Number.isFinite(value) ? value : null;
    }
    return losses;
  }

  /** Remembers where everyone is. */
  async remember(): Promise<void> {
    for (const { model, path, loss } of this.#runners) {
      if (loss !== null) path.push(await weightsOf(model));
    }
  }

  /** What each writes now, after the same beginning. */
  async texts(count = 40): Promise<Readonly<Partial<Record<RealName, string>>>> {
    const texts: Partial<Record<RealName, string>> = {}, prompt = this.#text.slice(0, 8);
    for (const { name, model, loss } of this.#runners) {
      if (loss === null) continue;
      model.eval();
      const options = { maxNewTokens: count, temperature: 0.8, seed: 1, contextOverflow: "slide" } as const;
      texts[name] = prompt + await model.complete(prompt, options);
      model.train();
    }
    return texts;
  }

  /** How long each way was, as the sum of its pieces from snapshot to snapshot, and how far its end is from the start. */
  ways(): Readonly<Partial<Record<RealName, { readonly length: number; readonly far: number }>>> {
    return Object.fromEntries(
      this.#runners.filter(({ path }) => path.length > 1).map(({ name, path }) => [name, {
        length: path.slice(1).reduce((sum, to, i) => sum + distance(path[i], to), 0),
        far: distance(path[0], path.at(-1)!),
      }]),
    );
  }

  /**
   * A slice of the loss around the end of the best path. Its directions are the two in which the paths spread most (principal
   * components), or random ones, each filter as long as that of the weights (Li et al. 2018). `row` hears of each row of losses; false of
   * it ends the work.
   */
  async slice(
    directions: Directions,
    side: number,
    row: (index: number, losses: number[], slice: Slice) => boolean | Promise<boolean>,
  ): Promise<void> {
    const runners = this.#runners.filter(({ path }) => path.length > 0);
    const living = runners.filter(({ loss }) => loss !== null);
    if (living.length === 0) throw new Error("Nobody is left in the race; take lower learning rates.");
    const best = living.reduce((a, b) => b.loss! < a.loss! ? b : a), centre = best.path.at(-1)!;
    const points = runners.flatMap(({ path }) => path);
    const [u, v] = directions === "paths"
      ? await spreadOf(points, centre)
      : filterNormalised(best.model, centre);
    const at = runners.map(({ name, path }) =>
      [name, path.flatMap((w) => coordinates(w, centre, u, v))] as const
    );
    const all = at.flatMap(([, numbers]) => numbers);
    const domain = directions === "paths"
      ? [...around(all.filter((_, i) => i % 2 === 0)), ...around(all.filter((_, i) => i % 2 === 1))]
      : [-1, 1, -1, 1];
    const slice: Slice = {
      side,
      domain: domain as unknown as Slice["domain"],
      paths: Object.fromEntries(at),
    };
    const [x0, x1, y0, y1] = slice.domain, probe = best.model;
    try {
      for (let j = 0; j < side; j++) {
        const losses: number[] = [], y = y0 + (y1 - y0) * j / (side - 1);
        for (let i = 0; i < side; i++) {
          const x = x0 + (x1 - x0) * i / (side - 1);
          setWeights(probe, centre.map((w, k) => w + x * u[k] + y * v[k]));
          using loss = noGrad(() => probe.loss(this.#probe));
          losses.push(await loss.item());
        }
        if (!await row(j, losses, slice)) break;
      }
    } finally {
      setWeights(probe, centre);
    }
  }

  /** Gives all memory back. */
  dispose(): void {
    for (const { model, optimizer } of this.#runners) {
      optimizer.dispose();
      model.dispose();
    }
  }
}

function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** All weights in a row. */
async function weightsOf(model: GPT2): Promise<Float32Array> {
  using all = noGrad(() => tidy(() => concat(model.parameters().map((p) => reshape(p.detach(), [-1])))));
  return Float32Array.from(await all.data() as Float32Array);
}

function setWeights(model: GPT2, weights: Float32Array): void {
  let from = 0;
  tidy(() =>
    model.loadStateDict(Object.fromEntries(
      model.namedParameters().map(([name, { shape, size }]) => {
        const own = weights.subarray(from, from += size);
        return [name, tensor(own, { shape: [...shape] })];
      }),
    ))
  );
}

/** Where a point is in the plane of two directions: what is nearest to it there, whatever angle they have. */
function coordinates(
  w: Float32Array,
  centre: Float32Array,
  u: Float32Array,
  v: Float32Array,
): [number, number] {
  const d = w.map((x, i) => x - centre[i]), uu = dot(u, u), uv = dot(u, v), vv = dot(v, v);
  const a = dot(d, u), b = dot(d, v), det = uu * vv - uv * uv || 1;
  return [(a * vv - b * uv) / det, (b * uu - a * uv) / det];
}

/** From the least to the most, and a fifth more on both sides. */
function around(numbers: readonly number[]): [number, number] {
  const least = Math.min(...numbers), most = Math.max(...numbers), more = 0.2 * (most - least) || 1;
  return [least - more, most + more];
}

/** The two directions of length 1 in which points spread most around a centre, by the products of the points with each other. */
async function spreadOf(
  points: readonly Float32Array[],
  centre: Float32Array,
): Promise<[Float32Array, Float32Array]> {
  const count = points.length, rows = new Float32Array(count * centre.length);
  points.forEach((w, r) => w.forEach((x, i) => rows[r * centre.length + i] = x - centre[i]));
  using all = tensor(rows, { shape: [count, centre.length] });
  using products = noGrad(() => tidy(() => matmul(all, transpose(all, 0, 1))));
  const gram = Array.from(await products.data() as Float32Array), found: Float64Array[] = [];
  for (let k = 0; k < 2; k++) {
    let x = Float64Array.from({ length: count }, (_, i) => Math.sin((i + 1) * (k + 1.3)));
    for (let round = 0; round < 200; round++) {
      const next = x.map((_, i) => x.reduce((sum, value, j) => sum + gram[i * count + j] * value, 0));
      for (const one of found) {
        const share = one.reduce((sum, value, i) => sum + value * next[i], 0);
        next.forEach((value, i) => next[i] = value - share * one[i]);
      }
      const length = Math.hypot(...next) || 1;
      x = next.map((value) => value / length);
    }
    found.push(x);
  }
  using mix = tensor(Float32Array.from([...found[0], ...found[1]]), { shape: [2, count] });
  using both = noGrad(() => matmul(mix, all));
  const flat = await both.data() as Float32Array;
  const [u, v] = [flat.slice(0, centre.length), flat.slice(centre.length)];
  for (const one of [u, v]) {
    const length = Math.sqrt(dot(one, one)) || 1;
    one.forEach((x, i) => one[i] = x / length);
  }
  return [u, v];
}

/** Two random directions, each filter (an output's weights) as long as that of the weights; 0 for biases and norms. */
function filterNormalised(model: GPT2, centre: Float32Array): [Float32Array, Float32Array] {
  return [1, 2].map((seed) => {
    let state = seed * 7919;
    const next = (): number => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) / 2 ** 32 || 1e-9;
    const normal = (): number => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
    const direction = new Float32Array(centre.length);
    let from = 0;
    for (const [name, { shape, size }] of model.namedParameters()) {
      if (shape.length === 2) {
        const [rows, columns] = shape, isTable = /^w[tp]e/.test(name); // a row a token; else a column an output
        for (let f = 0; f < (isTable ? rows : columns); f++) {
          const at = (i: number): number => from + (isTable ? f * columns + i : i * columns + f);
          const count = isTable ? columns : rows;
          let own = 0, drawn = 0;
          for (let i = 0; i < count; i++) {
            direction[at(i)] = normal();
            drawn += direction[at(i)] ** 2;
            own += centre[at(i)] ** 2;
          }
          for (let i = 0; i < count; i++) direction[at(i)] *= Math.sqrt(own / drawn);
        }
      }
      from += size;
    }
    return direction;
  }) as [Float32Array, Float32Array];
}
