/**
 * Layers with parameters of their own, named and initialised as PyTorch does.
 *
 * @module
 */
import { demandNoMore, demandNumbers } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { type DType, isQuantized } from "../core/dtype.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import { flag, number, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { counted, show } from "../core/show.ts";
import {
  add,
  affine,
  type AffineOptions,
  conv1d,
  conv2d,
  type ConvOptions,
  embedding,
  empty,
  layerNorm,
  linear,
  ones,
  rmsNorm,
  type Tensor,
  toDType,
  transpose,
  zeros,
} from "../ops/mod.ts";
import { afterProduct } from "../ops/after_product.ts";
import { convOptions } from "../ops/options.ts";
import { activeCapture, autocastDType, tidy } from "../tensor/mod.ts";
import { fans, kaimingUniform, normal, uniform } from "./init.ts";
import type { AdapterSet } from "./lora.ts";
import { type Layer, Module, parameter } from "./module.ts";
import { demandSizes, layerOptions, positive } from "./options.ts";
import { matrixDType, unquantized } from "./quantized.ts";

/**
 * Where and as what a layer's parameters are made.
 *
 * @category Modules
 */
export interface LayerOptions {
  /**
   * Default f32. With q8 and q4 the matrices of {@link Linear}, {@link Conv1D} and {@link Embedding} whose sums run over
   * whole blocks of 32 are made so, without values (see `init.withoutInit`), to be read from a file; all else is f32.
   */
  dtype?: DType;
  /** Default: the default device. */
  device?: DeviceName;
}

const linearOptions: OptionTable<LayerOptions & { bias?: boolean }> = { ...layerOptions, bias: flag };

function emptyMatrix(rows: number, columns: number, options: LayerOptions): Tensor {
  return empty([rows, columns], { ...options, dtype: matrixDType(options.dtype ?? "f32", columns) });
}

/** A bias uniform in ±1/√fanIn; 0 where there are no inputs, as in PyTorch. */
function beginBias(t: Tensor, fanIn: number): Tensor {
  const bound = fanIn === 0 ? 0 : 1 / Math.sqrt(fanIn);
  return parameter(uniform(t, -bound, bound));
}

/** The only handle on `rows`, transposed. */
function transposed(rows: Tensor): Tensor {
  const seen = transpose(rows, 0, 1);
  rows.dispose();
  return seen;
}

/**
 * What stands beside a layer's product while there are adapters for it: see `lora.ts`.
 *
 * @category Modules
 */
export interface Beside extends Module {
  /** The adapters of the whole model. */
  readonly set: AdapterSet;
  /** x · weight + bias, with what the adapter in use adds to it. */
  product(x: Tensor, plain: (x: Tensor) => Tensor): Tensor;
}

/** What stands beside `layer`; a program that was made without it, or with another, is made again. */
function besideOf(layer: Linear | Conv1D): Beside | null {
  activeCapture()?.guard(layer, "adapters", () => layer.adapters);
  return layer.adapters;
}

/** `f` of x, which layers that multiply take in fewer bits where activations are of fewer. */
function lowered(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  const dtype = autocastDType();
  return dtype === "f32" || x?.dtype !== "f32" ? f(x) : tidy(() => f(toDType(x, dtype)));
}

/**
 * x · weightᵀ + bias; weight [out, in]. Both begin uniform in ±1/√in.
 *
 * @category Modules
 */
export class Linear extends Module implements Layer {
  /** [out, in]. */
  weight: Tensor;
  /** [out], or null. */
  bias: Tensor | null;
  /** Low-rank changes of the product, see {@link lora}; null where there are none. */
  adapters: Beside | null = null;

  /**
   * `bias: false` leaves the bias out.
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(inFeatures: number, outFeatures: number, options: LayerOptions & { bias?: boolean } = {}) {
    demandNoMore(arguments, 3, "Linear");
    super();
    const { bias = true, ...place } = checkOptions("Linear", options, linearOptions);
    demandSizes("Linear", { inFeatures, outFeatures });
    this.weight = parameter(kaimingUniform(emptyMatrix(outFeatures, inFeatures, place), Math.sqrt(5)));
    this.bias = bias ? beginBias(empty([outFeatures], unquantized(place)), inFeatures) : null;
  }

  /**
   * x […, in] → […, out].
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    const beside = besideOf(this), plain = (x: Tensor): Tensor => linear(x, this.weight, this.bias);
    return lowered(x, beside ? (x) => beside.product(x, plain) : plain);
  }
}

/**
 * x · weight + bias; weight [in, out]. GPT-2's checkpoints store their weights this way round; `transformers` calls
 * the layer Conv1D. The weight begins normal with deviation 0.02, the bias 0. A q8 or q4 weight lies in memory as
 * [out, in], in blocks along `in`, and is seen transposed.
 *
 * @category Modules
 */
export class Conv1D extends Module implements Layer {
  /** [in, out]. */
  weight: Tensor;
  /** [out]. */
  bias: Tensor;
  /** Low-rank changes of the product, see {@link lora}; null where there are none. */
  adapters: Beside | null = null;

  /**
   * Named as in `transformers`, except that the input comes first, as in {@link Linear}.
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(inFeatures: number, outFeatures: number, options: LayerOptions = {}) {
    demandNoMore(arguments, 3, "Conv1D");
    super();
    checkOptions("Conv1D", options, layerOptions);
    demandSizes("Conv1D", { inFeatures, outFeatures });
    const blocks = isQuantized(matrixDType(options.dtype ?? "f32", inFeatures));
    const weight = blocks
      ? transposed(emptyMatrix(outFeatures, inFeatures, options))
      : empty([inFeatures, outFeatures], unquantized(options));
    this.weight = parameter(normal(weight, 0, 0.02));
    this.bias = parameter(zeros([outFeatures], unquantized(options)));
  }

  /**
   * x […, in] → […, out]; `options` say what follows, see {@link affine}.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor, options: AffineOptions = {}): Tensor {
    demandNoMore(arguments, 2, "forward");
    const beside = besideOf(this);
    return lowered(x, (x) => {
      if (!beside) return affine(x, this.weight, this.bias, options);
      return tidy(() => afterProduct(beside.product(x, (x) => affine(x, this.weight, this.bias)), options));
    });
  }
}

const embeddingOptions: OptionTable<LayerOptions & { paddingIdx?: number }> = {
  ...layerOptions,
  paddingIdx: whole(),
};

/**
 * A table of vectors looked up by id; begins standard normal.
 *
 * @category Modules
 */
export class Embedding extends Module implements Layer {
  /** [count, width]. */
  weight: Tensor;
  #paddingIdx: number | null;

  /**
   * `paddingIdx` names a row that begins as zeros and gets no gradient.
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(count: number, width: number, options: LayerOptions & { paddingIdx?: number } = {}) {
    demandNoMore(arguments, 3, "Embedding");
    super();
    const { paddingIdx = null, ...place } = checkOptions("Embedding", options, embeddingOptions);
    demandSizes("Embedding", { count, width });
    if (paddingIdx !== null && (paddingIdx < -count || paddingIdx >= count)) {
      throw new OptionError(
        `Embedding: paddingIdx is ${paddingIdx}, expected one of the ${counted(count, "row")}, from 0`,
      );
    }
    this.#paddingIdx = paddingIdx;
    this.weight = parameter(normal(emptyMatrix(count, width, place)));
    if (this.#paddingIdx !== null) zeroRow(this.weight, this.#paddingIdx);
  }

  /**
   * ids of any shape (i32 or i64) → [...ids.shape, width].
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(ids: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return embedding(ids, this.weight, this.#paddingIdx);
  }
}

function zeroRow(weight: Tensor, row: number): void {
  uniform(weight.detach().select(0, row), 0, 0);
}

/**
 * Options of {@link RMSNorm}.
 * @category Modules
 */
export interface RMSNormOptions extends LayerOptions {
  /** Added to the mean square. Default: f32's smallest step above 1. */
  eps?: number;
  /** Whether the weight is what is added to 1, and begins 0 (Gemma). Default false. */
  unitOffset?: boolean;
}

const rmsNormOptions: OptionTable<RMSNormOptions> = {
  ...layerOptions,
  eps: number({ from: 0 }),
  unitOffset: flag,
};

const layerNormOptions: OptionTable<LayerOptions & { eps?: number; bias?: boolean }> = {
  ...layerOptions,
  eps: number({ from: 0 }),
  bias: flag,
};

/**
 * Layer norm over the last `width` elements; weight begins 1, bias 0.
 *
 * @category Modules
 */
export class LayerNorm extends Module implements Layer {
  /** [width]. */
  weight: Tensor;
  /** [width], or null. */
  bias: Tensor | null;
  /** Added to the variance. */
  readonly eps: number;

  /**
   * `eps` 1e-5 unless told; `bias: false` leaves the bias out.
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(width: number, options: LayerOptions & { eps?: number; bias?: boolean } = {}) {
    demandNoMore(arguments, 2, "LayerNorm");
    super();
    const { eps = 1e-5, bias = true, ...place } = checkOptions("LayerNorm", options, layerNormOptions);
    demandSizes("LayerNorm", { width });
    this.eps = eps;
    this.weight = parameter(ones([width], place));
    this.bias = bias ? parameter(zeros([width], place)) : null;
  }

  /**
   * The same shape as x.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return layerNorm(x, this.weight.shape, this.weight, this.bias, this.eps);
  }
}

/**
 * RMS norm over the last `width` elements; weight begins 1, or 0 where it is added to 1.
 *
 * @category Modules
 */
export class RMSNorm extends Module implements Layer {
  /** [width]. */
  weight: Tensor;
  /** Added to the mean square. */
  readonly eps: number | null;
  /** Whether x is multiplied by 1 + weight. */
  readonly unitOffset: boolean;

  /**
   * See {@link RMSNormOptions}.
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype that the device does not hold.
   */
  constructor(width: number, options: RMSNormOptions = {}) {
    demandNoMore(arguments, 2, "RMSNorm");
    super();
    const { eps = null, unitOffset = false, ...place } = checkOptions("RMSNorm", options, rmsNormOptions);
    demandSizes("RMSNorm", { width });
    this.eps = eps;
    this.unitOffset = unitOffset;
    this.weight = parameter((unitOffset ? zeros : ones)([width], place));
  }

  /**
   * The same shape as x.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    const { weight, eps } = this;
    return this.unitOffset
      ? tidy(() => rmsNorm(x, weight.shape, add(weight, 1), eps))
      : rmsNorm(x, weight.shape, weight, eps);
  }
}

type ConvolutionOptions = LayerOptions & ConvOptions & { bias?: boolean };

const convolutionOptions: OptionTable<ConvolutionOptions> = { ...linearOptions, ...convOptions };

abstract class Convolution extends Module {
  /** [filters, channels / groups, size …]. */
  weight: Tensor;
  /** [filters], or null. */
  bias: Tensor | null;
  protected readonly options: ConvOptions;

  constructor(
    what: string,
    sizes: { readonly inChannels: number; readonly outChannels: number },
    kernelSize: readonly number[],
    options: ConvolutionOptions,
  ) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...place } = checkOptions(
      what,
      options,
      convolutionOptions,
    );
    demandSizes(what, sizes);
    for (const value of kernelSize) demandSizes(what, { kernelSize: value }, positive);
    for (const [name, channels] of Object.entries(sizes)) {
      if (channels % groups === 0) continue;
      throw new ShapeError(`${what}: ${name} is ${channels}, expected a multiple of the ${groups} of groups`);
    }
    const shape = [sizes.outChannels, sizes.inChannels / groups, ...kernelSize];
    this.options = { stride, padding, dilation, groups };
    this.weight = parameter(kaimingUniform(empty(shape, place), Math.sqrt(5)));
    this.bias = bias ? beginBias(empty([sizes.outChannels], place), fans(this.weight).fanIn) : null;
  }
}

/**
 * Convolution over one axis.
 *
 * @category Modules
 */
export class Conv1d extends Convolution implements Layer {
  /**
   * Channels in, filters out, the kernel's size.
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype that the device does not hold, or that is not floating-point.
   */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: LayerOptions & ConvOptions & { bias?: boolean } = {},
  ) {
    demandNoMore(arguments, 4, "Conv1d");
    super("Conv1d", { inChannels, outChannels }, [kernelSize], options);
  }

  /**
   * x [batch, channels, time].
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return lowered(x, (x) => conv1d(x, this.weight, this.bias, this.options));
  }
}

/**
 * Convolution over two axes.
 *
 * @category Modules
 */
export class Conv2d extends Convolution implements Layer {
  /**
   * Channels in, filters out, the kernel's size (one number for a square).
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options: LayerOptions & ConvOptions & { bias?: boolean } = {},
  ) {
    demandNoMore(arguments, 4, "Conv2d");
    const sides = typeof kernelSize === "number" ? [kernelSize, kernelSize] : kernelSize;
    demandNumbers("Conv2d", sides, "kernelSize");
    if (sides.length !== 2) {
      throw new ShapeError(`Conv2d: kernelSize is ${show(sides)}, expected one number or [height, width]`);
    }
    super("Conv2d", { inChannels, outChannels }, sides, options);
  }

  /**
   * x [batch, channels, height, width].
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "forward");
    return lowered(x, (x) => conv2d(x, this.weight, this.bias, this.options));
  }
}
