/**
 * The network that learns: a multilayer perceptron on the library's tensors, trained on all points at once. Runs in the
 * page's worker, and anywhere else with the same numbers.
 *
 * @module
 */
import { manualSeed, type Tensor, tensor } from "../../src/ops/mod.ts";
import * as nn from "../../src/nn/mod.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../../src/optim/mod.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";
import type { Points } from "./data.ts";
import { type NetworkOptions, type NetworkView, side } from "./view.ts";

const activations = {
  tanh: (x: Tensor) => x.tanh(),
  relu: (x: Tensor) => x.relu(),
  gelu: (x: Tensor) => x.gelu(),
  sigmoid: (x: Tensor) => x.sigmoid(),
} as const;

/** The places of the maps: rows from the top, from -1.1 to 1.1. */
function gridPlaces(): Float32Array {
  const places = new Float32Array(2 * side * side);
  for (let j = 0, k = 0; j < side; j++) {
    for (let i = 0; i < side; i++) {
      places[k++] = -1.1 + 2.2 * i / (side - 1);
      places[k++] = 1.1 - 2.2 * j / (side - 1);
    }
  }
  return places;
}

/** A network in training. */
export class NetworkTrainer {
  readonly #layers: readonly nn.Linear[];
  readonly #activate: (x: Tensor) => Tensor;
  readonly #optimizer: Optimizer;
  readonly #grid: Tensor;
  #places: Tensor | null = null;
  #kinds: Tensor | null = null;
  #step = 0;

  /** A network with fresh weights. */
  constructor({ hidden, activation, optimizer, lr, seed }: NetworkOptions) {
    manualSeed(seed);
    const sizes = [2, ...hidden, 1];
    this.#layers = sizes.slice(1).map((size, i) => new nn.Linear(sizes[i], size));
    this.#activate = activations[activation];
    const parameters = this.#layers.flatMap((layer) => layer.parameters());
    this.#optimizer = optimizer === "sgd"
      ? new SGD(parameters, { lr, momentum: 0.9 })
      : optimizer === "adamw"
      ? new AdamW(parameters, { lr })
      : new Adam(parameters, { lr });
    this.#grid = tensor(gridPlaces()).reshape(side * side, 2);
  }

  /** The points that it learns from now on. */
  setPoints({ places, kinds }: Points): void {
    this.#places?.dispose();
    this.#kinds?.dispose();
    const count = kinds.length;
    this.#places = count === 0 ? null : tidy(() => tensor(places).reshape(count, 2));
    this.#kinds = count === 0 ? null : tidy(() => tensor(kinds).reshape(count, 1));
  }

  /** The learning rate from now on. */
  setRate(lr: number): void {
    for (const group of this.#optimizer.paramGroups) group.lr = lr;
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

  /** Takes `count` steps; none without points. */
  train(count: number): void {
    const places = this.#places, kinds = this.#kinds;
    if (places === null || kinds === null) return;
    for (let i = 0; i < count; i++) {
      tidy(() => {
        this.#optimizer.zeroGrad();
        nn.bceWithLogits(this.#forward(places).at(-1)!, kinds).backward();
        this.#optimizer.step();
      });
    }
    this.#step += count;
  }

  /** What one sees now. */
  async view(): Promise<NetworkView> {
    const read = async (values: readonly Tensor[]): Promise<Float32Array[]> => {
      const arrays: Float32Array[] = [];
      for (const value of values) arrays.push(Float32Array.from(await value.data() as Float32Array));
      return arrays;
    };
    const { maps, result } = noGrad(() =>
      tidy(() => {
        const maps = this.#forward(this.#grid);
        maps.push(maps.pop()!.sigmoid());
        if (this.#places === null || this.#kinds === null) return { maps, result: null };
        const logits = this.#forward(this.#places).at(-1)!;
        const loss = nn.bceWithLogits(logits, this.#kinds);
        const right = logits.gt(0).to({ dtype: "f32" }).eq(this.#kinds).to({ dtype: "f32" }).mean();
        return { maps, result: [loss, right] };
      })
    );
    const [loss, accuracy] = result === null ? [NaN, NaN] : [await result[0].item(), await result[1].item()];
    const view: NetworkView = {
      step: this.#step,
      loss: Number(loss),
      accuracy: Number(accuracy),
      weights: await read(this.#layers.map(({ weight }) => weight)),
      biases: await read(this.#layers.map(({ bias }) => bias!)),
      maps: await read(maps),
    };
    for (const made of [...maps, ...result ?? []]) made.dispose();
    return view;
  }

  /** Frees all that it holds. */
  dispose(): void {
    for (const layer of this.#layers) layer.dispose();
    this.#optimizer.dispose();
    this.#places?.dispose();
    this.#kinds?.dispose();
    this.#grid.dispose();
  }
}
