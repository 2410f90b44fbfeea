/**
 * Recurrent layers: RNN, GRU and LSTM, with PyTorch's names, order of gates and parameters.
 *
 * The products with what a layer reads are one for all of time; what a step does with its state is a product and a few
 * functions of its elements.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { flag, number, oneOf, whole } from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import {
  add,
  concat,
  dropout,
  empty,
  linear,
  mul,
  narrow,
  relu,
  select,
  sigmoid,
  split,
  stack,
  sub,
  tanh,
  Tensor,
  transpose,
  zeros,
} from "../ops/mod.ts";
import { recur, type RecurrentStep } from "../ops/recurrence.ts";
import { demandTensor, tidy } from "../tensor/mod.ts";
import { uniform } from "./init.ts";
import type { LayerOptions } from "./layers.ts";
import { Module, parameter } from "./module.ts";
import { demandSizes, layerOptions, positive } from "./options.ts";
import { unquantized } from "./quantized.ts";

/**
 * Options of {@link GRU} and {@link LSTM}.
 *
 * @category Modules
 */
export interface RecurrentOptions extends LayerOptions {
  /** Layers, each of which reads what the one before gives. Default 1. */
  numLayers?: number;
  /** Whether there are biases. Default true. */
  bias?: boolean;
  /** Whether x is [batch, time, features], not [time, batch, features]. Default false. */
  batchFirst?: boolean;
  /** The share of what goes from one layer to the next that is dropped in training. Default 0. */
  dropout?: number;
  /** Whether each layer also runs backwards, its results behind the others'. Default false. */
  bidirectional?: boolean;
}

/**
 * Options of {@link RNN}.
 *
 * @category Modules
 */
export interface RNNOptions extends RecurrentOptions {
  /** What a step's sum goes through. Default "tanh". */
  nonlinearity?: "tanh" | "relu";
}

const recurrentOptions: OptionTable<RecurrentOptions> = {
  ...layerOptions,
  numLayers: whole(1),
  bias: flag,
  batchFirst: flag,
  dropout: number({ from: 0, to: 1 }),
  bidirectional: flag,
};

const rnnOptions: OptionTable<RNNOptions> = { ...recurrentOptions, nonlinearity: oneOf("tanh", "relu") };

const idle: readonly Idle<RecurrentOptions>[] = [{
  option: "dropout",
  when: ({ numLayers = 1 }) => numLayers === 1,
  because: "it is between layers, and there is one",
  unless: 0,
}];

/** A layer in one direction. */
interface Direction {
  readonly weightIh: Tensor;
  readonly weightHh: Tensor;
  readonly biasIh: Tensor | null;
  readonly biasHh: Tensor | null;
}

/** What RNN, GRU and LSTM have in common. Their parameters are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, with `_reverse` behind those of the way back. */
abstract class Recurrent extends Module {
  /** Features of what is read. */
  readonly inputSize: number;
  /** Features of the state. */
  readonly hiddenSize: number;
  /** How many layers there are. */
  readonly numLayers: number;
  /** Whether each layer also runs backwards. */
  readonly bidirectional: boolean;
  /** Whether x is [batch, time, features]. */
  readonly batchFirst: boolean;
  readonly #dropout: number;

  constructor(
    what: string,
    gates: number,
    inputSize: number,
    hiddenSize: number,
    { numLayers = 1, bias = true, batchFirst = false, dropout = 0, bidirectional = false, ...place }:
      RecurrentOptions,
  ) {
    super();
    demandSizes(what, { inputSize, hiddenSize }, positive);
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.#dropout = dropout;
    const bound = 1 / Math.sqrt(hiddenSize), own = this as unknown as Record<string, Tensor>;
    const put = (name: string, shape: number[]): void => {
      own[name] = parameter(uniform(empty(shape, unquantized(place)), -bound, bound));
    };
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : hiddenSize * (bidirectional ? 2 : 1);
      for (const end of bidirectional ? ["", "_reverse"] : [""]) {
        put(`weight_ih_l${layer}${end}`, [gates * hiddenSize, width]);
        put(`weight_hh_l${layer}${end}`, [gates * hiddenSize, hiddenSize]);
        if (!bias) continue;
        put(`bias_ih_l${layer}${end}`, [gates * hiddenSize]);
        put(`bias_hh_l${layer}${end}`, [gates * hiddenSize]);
      }
    }
  }

  #direction(layer: number, way: number): Direction {
    const own = this as unknown as Record<string, Tensor | undefined>,
      end = `l${layer}${way ? "_reverse" : ""}`;
    return {
      weightIh: own[`weight_ih_${end}`]!,
      weightHh: own[`weight_hh_${end}`]!,
      biasIh: own[`bias_ih_${end}`] ?? null,
      biasHh: own[`bias_hh_${end}`] ?? null,
    };
  }

  /** The steps of all layers from `states` [layers · ways, batch, hidden] each, null for zeros. */
  protected run(
    what: string,
    x: Tensor,
    states: readonly (Tensor | null)[],
    stepOf: (direction: Direction) => RecurrentStep,
    besideProduct: (direction: Direction) => Tensor | null,
  ): { output: Tensor; states: Tensor[] } {
    demandTensor(what, x, "x");
    const { inputSize, hiddenSize, numLayers } = this, ways = this.bidirectional ? 2 : 1;
    if (x.shape.length !== 3 || x.shape[2] !== inputSize || x.shape[0] === 0 || x.shape[1] === 0) {
      const order = this.batchFirst ? "batch, time" : "time, batch";
      throw new ShapeError(
        `${what}: x is ${formatShape(x.shape)}, expected [${order}, ${inputSize}] of 1 or more`,
      );
    }
    const seen = this.batchFirst ? transpose(x, 0, 1) : x, [, batch] = seen.shape;
    const shape = [numLayers * ways, batch, hiddenSize];
    for (const state of states) {
      if (state === null) continue;
      demandTensor(what, state, "a state");
      if (sameShape(state.shape, shape)) continue;
      throw new ShapeError(
        `${what}: a state is ${formatShape(state.shape)}, expected ${
          formatShape(shape)
        }: [layers, batch, hidden]`,
      );
    }
    let own = seen;
    const last: Tensor[][] = states.map(() => []);
    for (let layer = 0; layer < numLayers; layer++) {
      if (layer > 0 && this.#dropout > 0) own = dropout(own, this.#dropout, this.training);
      const outputs = Array.from({ length: ways }, (_, way) => {
        const direction = this.#direction(layer, way), place = layer * ways + way;
        const start = states.map((state) =>
          state
            ? select(state, 0, place)
            : zeros([batch, hiddenSize], { dtype: x.dtype as "f32", device: x.device })
        );
        const products = linear(own, direction.weightIh, besideProduct(direction));
        const { outputs, state } = recur(products, start, stepOf(direction), way === 1);
        state.forEach((t, k) => last[k].push(t));
        return outputs;
      });
      own = ways === 1 ? outputs[0] : concat(outputs, 2);
    }
    return {
      output: this.batchFirst ? transpose(own, 0, 1) : own,
      states: last.map((list) => stack(list, 0)),
    };
  }
}

/** Both biases, which are added to the same sum. */
function bothBiases({ biasIh, biasHh }: Direction): Tensor | null {
  return biasIh && biasHh ? add(biasIh, biasHh) : null;
}

/**
 * A recurrent network: h' = tanh(W x + b + V h + c), layer by layer.
 *
 * @example
 * ```ts
 * const net = new nn.RNN(3, 5, { batchFirst: true });
 * const [output, hidden] = net.forward(zeros([2, 7, 3])); // [2, 7, 5], [1, 2, 5]
 * ```
 * @category Modules
 */
export class RNN extends Recurrent {
  readonly #activation: (x: Tensor) => Tensor;

  /**
   * Weights and biases begin uniform in ±1/√hiddenSize.
   *
   * @throws {OptionError} for options that do not exist, {ShapeError} for sizes that are none.
   */
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    demandNoMore(arguments, 3, "RNN");
    const { nonlinearity = "tanh", ...rest } = checkOptions("RNN", options, rnnOptions, idle);
    super("RNN", 1, inputSize, hiddenSize, rest);
    this.#activation = nonlinearity === "tanh" ? tanh : relu;
  }

  /**
   * x [time, batch, inputSize] and the state [layers · ways, batch, hiddenSize] it begins with (zeros) → what the last layer
   * gives, [time, batch, hiddenSize · ways], and the state behind it.
   *
   * @throws {DTypeError} for what is no tensor, {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor, state: Tensor | null = null): [output: Tensor, state: Tensor] {
    demandNoMore(arguments, 2, "forward");
    return tidy(() => {
      const { output, states } = this.run("RNN", x, [state], ({ weightHh }) => (seen, [h]) => [
        this.#activation(add(seen, linear(h, weightHh))),
      ], bothBiases);
      return [output, states[0]];
    });
  }
}

/**
 * Gated recurrent units: gates r and z, and n = tanh(W x + b + r · (V h + c)); h' = (1 − z) · n + z · h.
 *
 * @category Modules
 */
export class GRU extends Recurrent {
  /**
   * Weights and biases begin uniform in ±1/√hiddenSize; their rows are those of r, z and n.
   *
   * @throws {OptionError} for options that do not exist, {ShapeError} for sizes that are none.
   */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    demandNoMore(arguments, 3, "GRU");
    super("GRU", 3, inputSize, hiddenSize, checkOptions("GRU", options, recurrentOptions, idle));
  }

  /**
   * x [time, batch, inputSize] and the state [layers · ways, batch, hiddenSize] it begins with (zeros) → what the last layer
   * gives, [time, batch, hiddenSize · ways], and the state behind it.
   *
   * @throws {DTypeError} for what is no tensor, {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor, state: Tensor | null = null): [output: Tensor, state: Tensor] {
    demandNoMore(arguments, 2, "forward");
    const size = this.hiddenSize;
    return tidy(() => {
      const step = ({ weightHh, biasHh }: Direction): RecurrentStep => (seen, [h]) => {
        const back = linear(h, weightHh, biasHh), gates = (t: Tensor): Tensor => narrow(t, 1, 0, 2 * size);
        const [r, z] = split(sigmoid(add(gates(seen), gates(back))), size, 1);
        const own = narrow(seen, 1, 2 * size, size), rest = narrow(back, 1, 2 * size, size);
        const n = tanh(add(own, mul(r, rest)));
        return [add(n, mul(z, sub(h, n)))];
      };
      const { output, states } = this.run("GRU", x, [state], step, ({ biasIh }) => biasIh);
      return [output, states[0]];
    });
  }
}

/**
 * Long short-term memory: gates i, f, o and g = tanh(…); c' = f · c + i · g, h' = o · tanh(c').
 *
 * @category Modules
 */
export class LSTM extends Recurrent {
  /**
   * Weights and biases begin uniform in ±1/√hiddenSize; their rows are those of i, f, g and o.
   *
   * @throws {OptionError} for options that do not exist, {ShapeError} for sizes that are none.
   */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    demandNoMore(arguments, 3, "LSTM");
    super("LSTM", 4, inputSize, hiddenSize, checkOptions("LSTM", options, recurrentOptions, idle));
  }

  /**
   * x [time, batch, inputSize] and the states h and c [layers · ways, batch, hiddenSize] it begins with (zeros) → what the last
   * layer gives, [time, batch, hiddenSize · ways], and the states behind it.
   *
   * @throws {DTypeError} for what is no tensor, {ShapeError} for a shape that does not fit, {OptionError} for states that are
   *   no two.
   */
  forward(
    x: Tensor,
    state: readonly [h: Tensor, c: Tensor] | null = null,
  ): [output: Tensor, state: [h: Tensor, c: Tensor]] {
    demandNoMore(arguments, 2, "forward");
    const isPair = state === null || Array.isArray(state) && state.length === 2;
    demand("LSTM", "state", state, isPair && !(state instanceof Tensor), "[h, c], or null");
    return tidy(() => {
      const step = ({ weightHh }: Direction): RecurrentStep => (seen, [h, c]) => {
        const [i, f, g, o] = split(add(seen, linear(h, weightHh)), this.hiddenSize, 1);
        const next = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)));
        return [mul(sigmoid(o), tanh(next)), next];
      };
      const { output, states } = this.run("LSTM", x, state ?? [null, null], step, bothBiases);
      return [output, [states[0], states[1]]];
    });
  }
}
