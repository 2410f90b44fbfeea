/**
 * The network that learns: a multilayer perceptron on the library's tensors. Runs in the page's worker, and anywhere else
 * with the same numbers.
 *
 * @module
 */
import { Generator } from "../../src/core/random.ts";
import { clone, copyInto, manualSeed, type Tensor, tensor, zeros } from "../../src/ops/mod.ts";
import * as nn from "../../src/nn/mod.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../../src/optim/mod.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";
import type { Points } from "./data.ts";
import { featureRows } from "./features.ts";
import {
  gridPlaces,
  type Motion,
  type NetworkOptions,
  type NetworkView,
  side,
  type Tuning,
  type Walk,
} from "./view.ts";

const activations = {
  tanh: (x: Tensor) => x.tanh(),
  relu: (x: Tensor) => x.relu(),
  gelu: (x: Tensor) => x.gelu(),
  sigmoid: (x: Tensor) => x.sigmoid(),
} as const;

/** Some of the points, as the network takes them. */
interface Batch {
  readonly rows: Tensor; // [points, features]
  readonly kinds: Tensor; // [points, 1]
}

/** Before and after a step, for all parameters in turn. */
interface Leg {
  readonly before: Float32Array[];
  readonly gradients: Float32Array[];
}

const dispose = (batch: Batch | null): void => {
  batch?.rows.dispose();
  batch?.kinds.dispose();
};

async function read(values: readonly Tensor[]): Promise<Float32Array[]> {
  const arrays: Float32Array[] = [];
  for (const value of values) arrays.push(Float32Array.from(await value.data() as Float32Array));
  return arrays;
}

const dot = (a: readonly Float32Array[], b: readonly Float32Array[]): number => {
  let sum = 0;
  for (const [k, one] of a.entries()) for (let i = 0; i < one.length; i++) sum += one[i] * b[k][i];
  return sum;
};
const minus = (a: readonly Float32Array[], b: readonly Float32Array[]): Float32Array[] =>
  a.map((one, k) => one.map((value, i) => value - b[k][i]));

/** A network in training. */
export class NetworkTrainer {
  readonly #options: NetworkOptions;
  readonly #layers: readonly nn.Linear[];
  readonly #parameters: readonly Tensor[];
  readonly #activate: (x: Tensor) => Tensor;
  readonly #optimizer: Optimizer;
  readonly #grid: Tensor;
  readonly #random: Generator;
  #tuning: Tuning;
  #learnt: Points | null = null;
  #all: Batch | null = null;
  #held: Batch | null = null;
  /** The order in which the points come, and how far it has come. */
  #order: number[] = [];
  #next = 0;
  #step = 0;
  /** The last two steps that were written down, the newest last: copies on the device until they are looked at. */
  #legs: { before: Tensor[]; gradients: Tensor[] }[] = [];
  #last: Leg | null = null;

  /** A network with fresh weights. */
  constructor(options: NetworkOptions) {
    const { features, hidden, activation, optimizer, lr, seed } = options;
    manualSeed(seed);
    const sizes = [features.length, ...hidden, 1];
    this.#options = options;
    this.#tuning = options;
    this.#random = new Generator(seed);
    this.#layers = sizes.slice(1).map((size, i) => new nn.Linear(sizes[i], size));
    this.#activate = activations[activation];
    this.#parameters = this.#layers.flatMap(({ weight, bias }) => [weight, bias!]);
    const parameters = this.#layers.flatMap((layer) => layer.parameters());
    this.#optimizer = optimizer === "sgd"
      ? new SGD(parameters, { lr, momentum: 0.9 })
      : optimizer === "adamw"
      ? new AdamW(parameters, { lr })
      : new Adam(parameters, { lr });
    this.#grid = tensor(featureRows(gridPlaces(), features)).reshape(side * side, features.length);
  }

  #batch({ places, kinds }: Points, chosen: readonly number[]): Batch | null {
    const count = chosen.length, width = this.#options.features.length;
    if (count === 0) return null;
    const rows = featureRows(places, this.#options.features);
    const mine = new Float32Array(count * width);
    chosen.forEach((i, k) => mine.set(rows.subarray(i * width, (i + 1) * width), k * width));
    return {
      rows: tidy(() => tensor(mine).reshape(count, width)),
      kinds: tidy(() => tensor(Float32Array.from(chosen, (i) => kinds[i])).reshape(count, 1)),
    };
  }

  /** The points that it learns from now on, and those that it is tried on. */
  setPoints(points: Points): void {
    dispose(this.#all);
    dispose(this.#held);
    const every = Array.from(points.kinds, (_, i) => i);
    this.#order = every.filter((i) => points.held[i] === 0);
    this.#next = 0;
    this.#learnt = points;
    this.#all = this.#batch(points, this.#order);
    this.#held = this.#batch(points, every.filter((i) => points.held[i] === 1));
  }

  /** Rate, batch and penalty from now on. */
  tune(tuning: Tuning): void {
    this.#tuning = tuning;
    for (const group of this.#optimizer.paramGroups) group.lr = tuning.lr;
  }

  /** Sets a weight, or with `from` -1 the bias. */
  setWeight(layer: number, to: number, from: number, value: number): void {
    const { weight, bias } = this.#layers[layer], width = weight.shape[1];
    // One number of a tensor: add what is missing, in place.
    const target = from < 0 ? bias! : weight, place = from < 0 ? to : to * width + from;
    tidy(() =>
      noGrad(() => {
        const mask = new Float32Array(target.size);
        mask[place] = 1;
        const at = tensor(mask).reshape(...target.shape);
        copyInto(target.mul(at.neg().add(1)).add(at.mul(value)), target);
      })
    );
  }

  /** Sets all weights: for each layer its matrix row by row, then its biases. */
  setAllWeights(values: Float32Array): void {
    let at = 0;
    for (const parameter of this.#parameters) {
      const mine = values.slice(at, at += parameter.size);
      tidy(() => noGrad(() => copyInto(tensor(mine).reshape(...parameter.shape), parameter)));
    }
  }

  /** The output of every layer; of the last one before the sigmoid. */
  #forward(x: Tensor): Tensor[] {
    const outputs: Tensor[] = [];
    for (const [i, layer] of this.#layers.entries()) {
      const y = layer.forward(outputs.at(-1) ?? x);
      outputs.push(i < this.#layers.length - 1 ? this.#activate(y) : y);
    }
    return outputs;
  }

  /** The loss that is stepped down: the points' mean, and the penalty. */
  #loss({ rows, kinds }: Batch): Tensor {
    const loss = nn.bceWithLogits(this.#forward(rows).at(-1)!, kinds), { penalty, strength } = this.#tuning;
    if (penalty === "none" || strength === 0) return loss;
    return this.#layers.reduce(
      (sum, { weight }) =>
        sum.add(
          penalty === "l1" ? weight.abs().sum().mul(strength) : weight.square().sum().mul(strength / 2),
        ),
      loss,
    );
  }

  /** The points of the next step, and whether they are to be freed after it. */
  #draw(): [batch: Batch, own: boolean] {
    const { batch } = this.#tuning, order = this.#order;
    if (batch === 0 || batch >= order.length) return [this.#all!, false];
    if (this.#next + batch > order.length) this.#next = 0;
    if (this.#next === 0) {
      for (let i = order.length - 1; i > 0; i--) {
        const k = Math.floor(this.#random.uniform() * (i + 1));
        [order[i], order[k]] = [order[k], order[i]];
      }
    }
    const chosen = order.slice(this.#next, this.#next += batch);
    return [this.#batch(this.#learnt!, chosen)!, true];
  }

  #copies(values: readonly Tensor[]): Tensor[] {
    return noGrad(() => values.map((value) => clone(value)));
  }

  #writeDown(): void {
    const before = this.#copies(this.#parameters),
      gradients = this.#copies(this.#parameters.map((p) => p.grad!));
    if (this.#legs.length === 2) this.#forget(this.#legs.shift()!);
    this.#legs.push({ before, gradients });
  }

  #forget({ before, gradients }: { before: Tensor[]; gradients: Tensor[] }): void {
    for (const value of [...before, ...gradients]) value.dispose();
  }

  #takeStep(batch: Batch, watched: boolean): void {
    tidy(() => {
      this.#optimizer.zeroGrad();
      this.#loss(batch).backward();
    });
    if (watched) this.#writeDown();
    this.#optimizer.step();
    this.#step++;
  }

  /** Takes `count` steps; none without points. */
  train(count: number): void {
    if (this.#all === null) return;
    for (let i = 0; i < count; i++) {
      const [batch, own] = this.#draw();
      this.#takeStep(batch, i >= count - 2);
      if (own) dispose(batch);
    }
  }

  /** Takes one step and writes down what happens in it; null without points. */
  async walk(): Promise<Walk | null> {
    if (this.#all === null) return null;
    const [batch, own] = this.#draw(), width = this.#options.features.length, points = batch.kinds.shape[0];
    const [rows, kinds] = await read([batch.rows, batch.kinds]);
    const inputs = rows.slice(0, width), kind = kinds[0];
    const learnt = this.#learnt!, index = this.#order.at(own ? this.#next - points : 0)!;
    // Nothing added to every output, whose gradients are the errors there.
    const probes = this.#layers.map(({ weight }) => zeros([1, weight.shape[0]], { requiresGrad: true }));
    const { outputs, loss } = tidy(() => {
      const row = tensor(inputs).reshape(1, width), outputs: Tensor[] = [];
      for (const [i, layer] of this.#layers.entries()) {
        const y = layer.forward(outputs.at(-1) ?? row);
        outputs.push((i < this.#layers.length - 1 ? this.#activate(y) : y).add(probes[i]));
      }
      const loss = nn.bceWithLogits(outputs.at(-1)!, tensor([[kind]]));
      loss.backward();
      return {
        outputs: outputs.map((value, i) =>
          (i < outputs.length - 1 ? value : value.sigmoid()).detach().clone()
        ),
        loss: loss.detach().clone(),
      };
    });
    const errors = await read(probes.map(({ grad }) => grad!));
    for (const probe of probes) {
      probe.grad?.dispose();
      probe.dispose();
    }
    const mean = (): Tensor =>
      noGrad(() => tidy(() => nn.bceWithLogits(this.#forward(batch.rows).at(-1)!, batch.kinds)));
    const first = mean();
    this.#takeStep(batch, true);
    const second = mean(), leg = this.#legs.at(-1)!;
    const before = await read(leg.before), gradients = await read(leg.gradients);
    const after = await read(this.#parameters);
    const walk: Walk = {
      place: [learnt.places[2 * index], learnt.places[2 * index + 1]],
      kind,
      points,
      inputs,
      outputs: await read(outputs),
      loss: Number(await loss.item()),
      errors,
      gradients: this.#layers.map((_, l) => ({ weight: gradients[2 * l], bias: gradients[2 * l + 1] })),
      before: before.filter((_, k) => k % 2 === 0),
      changes: minus(after, before).filter((_, k) => k % 2 === 0),
      mean: [Number(await first.item()), Number(await second.item())],
    };
    for (const value of [...outputs, loss, first, second]) value.dispose();
    if (own) dispose(batch);
    return walk;
  }

  /** What the last steps were like. */
  async #motion(after: readonly Float32Array[]): Promise<Motion> {
    const legs: Leg[] = this.#last === null ? [] : [this.#last];
    for (const leg of this.#legs) {
      legs.push({ before: await read(leg.before), gradients: await read(leg.gradients) });
      this.#forget(leg);
    }
    this.#legs = [];
    const leg = this.#last = legs.at(-1) ?? null, earlier = legs.at(-2) ?? null;
    const layers = this.#layers.length, none = new Array<number>(layers).fill(NaN);
    if (leg === null) return { gradients: none, moves: none, turn: NaN, curvature: NaN };
    const move = minus(after, leg.before);
    const lengths = (values: readonly Float32Array[]): number[] =>
      this.#layers.map((_, l) => {
        const mine = values.slice(2 * l, 2 * l + 2);
        return Math.sqrt(dot(mine, mine));
      });
    const seen = { gradients: lengths(leg.gradients), moves: lengths(move) };
    if (earlier === null) return { ...seen, turn: NaN, curvature: NaN };
    const way = minus(leg.before, earlier.before), length = dot(way, way);
    return {
      ...seen,
      turn: dot(move, way) / Math.sqrt(length * dot(move, move)),
      curvature: dot(minus(leg.gradients, earlier.gradients), way) / length,
    };
  }

  /** What one sees now. */
  async view(): Promise<NetworkView> {
    const { maps, results } = noGrad(() =>
      tidy(() => {
        const maps = this.#forward(this.#grid);
        maps.push(maps.pop()!.sigmoid());
        const results = [this.#all, this.#held].map((batch) => {
          if (batch === null) return null;
          const logits = this.#forward(batch.rows).at(-1)!;
          const right = logits.gt(0).to({ dtype: "f32" }).eq(batch.kinds).to({ dtype: "f32" }).mean();
          return [nn.bceWithLogits(logits, batch.kinds), right];
        });
        return { maps, results };
      })
    );
    const figures: number[] = [];
    for (const result of results) {
      for (const k of [0, 1]) figures.push(result === null ? NaN : Number(await result[k].item()));
    }
    const after = await read(this.#parameters);
    const view: NetworkView = {
      step: this.#step,
      loss: figures[0],
      accuracy: figures[1],
      heldLoss: figures[2],
      heldAccuracy: figures[3],
      weights: after.filter((_, k) => k % 2 === 0),
      biases: after.filter((_, k) => k % 2 === 1),
      maps: await read(maps),
      motion: await this.#motion(after),
    };
    for (const made of [...maps, ...results.flatMap((result) => result ?? [])]) made.dispose();
    return view;
  }

  /** Frees all that it holds. */
  dispose(): void {
    for (const layer of this.#layers) layer.dispose();
    for (const leg of this.#legs) this.#forget(leg);
    this.#optimizer.dispose();
    dispose(this.#all);
    dispose(this.#held);
    this.#grid.dispose();
  }
}
