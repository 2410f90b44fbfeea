/**
 * Layers without parameters: activations, dropout, and sequences of layers.
 *
 * @module
 */
import { demand, demandNoMore, demandNumbers } from "../core/demand.ts";
import { dropout, gelu, relu, sigmoid, silu, softmax, tanh, type Tensor } from "../ops/mod.ts";
import { tidy } from "../tensor/mod.ts";
import { OptionError } from "../core/errors.ts";
import { callback, number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { geluOptions } from "../ops/options.ts";
import { type LayerOptions, Linear } from "./layers.ts";
import { type Layer, Module } from "./module.ts";
import { layerOptions } from "./options.ts";

/**
 * max(x, 0).
 *
 * @category Modules
 */
export class ReLU extends Module implements Layer {
  /**
   * Element by element.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return relu(x);
  }
}

/**
 * x · Φ(x), or GPT-2's approximation with `{ approximate: "tanh" }`.
 *
 * @category Modules
 */
export class GELU extends Module implements Layer {
  readonly #approximate: "none" | "tanh";

  /**
   * The exact form unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(options: { approximate?: "none" | "tanh" } = {}) {
    demandNoMore(arguments, 1, "GELU");
    super();
    this.#approximate = checkOptions("GELU", options, geluOptions).approximate ?? "none";
  }

  /**
   * Element by element.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return gelu(x, this.#approximate);
  }
}

/**
 * The hyperbolic tangent.
 *
 * @category Modules
 */
export class Tanh extends Module implements Layer {
  /**
   * Element by element.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return tanh(x);
  }
}

/**
 * 1 / (1 + e⁻ˣ).
 *
 * @category Modules
 */
export class Sigmoid extends Module implements Layer {
  /**
   * Element by element.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return sigmoid(x);
  }
}

/**
 * x · sigmoid(x).
 *
 * @category Modules
 */
export class SiLU extends Module implements Layer {
  /**
   * Element by element.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return silu(x);
  }
}

/**
 * Softmax along one axis.
 *
 * @category Modules
 */
export class Softmax extends Module implements Layer {
  readonly #dim: number;

  /**
   * The last axis unless told.
   * @throws {OptionError} for a `dim` that is no whole number.
   */
  constructor(dim = -1) {
    demandNoMore(arguments, 1, "Softmax");
    super();
    demand("Softmax", "dim", dim, Number.isInteger(dim), "a whole number");
    this.#dim = dim;
  }

  /**
   * The same shape as x.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return softmax(x, this.#dim);
  }
}

/**
 * While training, zeros elements with probability p and enlarges the others.
 *
 * @category Modules
 */
export class Dropout extends Module implements Layer {
  /** The probability of zero. */
  readonly p: number;

  /**
   * p 0.5 unless told.
   * @throws {OptionError} for a `p` that is no probability from 0 to 1.
   */
  constructor(p = 0.5) {
    demandNoMore(arguments, 1, "Dropout");
    super();
    demand("Dropout", "p", p, typeof p === "number" && p >= 0 && p <= 1, "a probability from 0 to 1");
    this.p = p;
  }

  /**
   * The same shape as x.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return dropout(x, this.p, this.training);
  }
}

/**
 * Layers one after the other; their parameters are named `0.weight`, `1.weight` … as in PyTorch.
 *
 * @category Modules
 */
export class Sequential extends Module implements Layer {
  readonly #layers: readonly Layer[];

  /**
   * The layers in order.
   * @throws {OptionError} for what is no module with `forward`.
   */
  constructor(...layers: Layer[]) {
    super();
    layers.forEach((layer, i) => {
      const isLayer = layer instanceof Module && typeof layer.forward === "function";
      demand("Sequential", `layer ${i}`, layer, isLayer, "a module with forward");
    });
    this.#layers = layers;
  }

  /** The layers, by their number. */
  override namedChildren(): [string, Module][] {
    demandNoMore(arguments, 0, "namedChildren");
    return this.#layers.map((layer, i) => [String(i), layer]);
  }

  /**
   * The last layer's output, in the shape that the layer gives.
   * @throws {DTypeError} for what is no tensor.
   * @throws {ShapeError} for an x that a layer does not take.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return tidy(() => this.#layers.reduce((value, layer) => layer.forward(value), x));
  }
}

/**
 * Options of {@link MLP}.
 * @category Modules
 */
export interface MLPOptions extends LayerOptions {
  /** Between layers. Default ReLU. */
  activation?: () => Layer;
  /** Dropout after each activation. Default 0. */
  dropout?: number;
}

const mlpOptions: OptionTable<MLPOptions> = {
  ...layerOptions,
  activation: callback,
  dropout: number({ from: 0, to: 1 }),
};

/**
 * Linear layers of the given widths with activations between them: `new MLP([4, 32, 3])`.
 *
 * @category Modules
 */
export class MLP extends Sequential {
  /**
   * Widths from input to output, at least two.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   * @throws {ShapeError} for widths that are no whole numbers from 0.
   * @throws {DTypeError} for a dtype that the device does not hold, or that is not floating-point.
   */
  constructor(widths: readonly number[], options: MLPOptions = {}) {
    demandNoMore(arguments, 2, "MLP");
    demandNumbers("MLP", widths, "widths");
    if (widths.length < 2) {
      throw new OptionError(`MLP: needs the widths of input and output, not [${widths}]`);
    }
    const { activation = (): Layer => new ReLU(), dropout: p = 0, ...rest } = checkOptions(
      "MLP",
      options,
      mlpOptions,
    );
    super(
      ...widths.slice(1).flatMap((width, i): Layer[] => {
        const layers: Layer[] = [new Linear(widths[i], width, rest)];
        if (i < widths.length - 2) layers.push(activation(), ...(p > 0 ? [new Dropout(p)] : []));
        return layers;
      }),
    );
  }
}
