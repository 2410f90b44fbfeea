/**
 * Quantisation-aware training: a model computes with what its weights will be in blocks, and learns in f32.
 *
 * Gradients go straight through the rounding, as if it were not there (Bengio, Léonard, Courville 2013): the copies that stand in the place of
 * the f32 weights (`twins.ts`) have the values of blocks, and what is gathered for a copy counts for its weight. Which matrices
 * have blocks, along which axis, and what they round to is what saving the model in that dtype does.
 *
 * @module
 */
import { byteSize, isQuantized } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import {
  dequantizeQ4,
  dequantizeQ8,
  inWhole,
  quantizeQ4,
  quantizeQ8,
  quantizeTernary,
} from "../core/quantize.ts";
import { adaptersOf } from "../nn/lora.ts";
import { depthOf, heldUnder, type MatrixPlace, matrixPlaces } from "../nn/matrices.ts";
import { type Module, parameter } from "../nn/mod.ts";
import { tellUnquantized } from "../nn/quantized.ts";
import { readyToHold } from "../ops/blocks.ts";
import { quantized } from "../ops/bridge.ts";
import { type Tensor, transpose } from "../ops/mod.ts";
import { asLeaf, type BlockRule, copy as copyOf, copyInto, keep, noGrad, tidy } from "../tensor/mod.ts";

/**
 * Blocks that a model is trained for: "q8" and "q4" as they are in files, or "ternary", -1, 0 and 1 times one scale a row.
 *
 * @category Training
 */
export type Qat = "q8" | "q4" | "ternary";

/** How rows become blocks, what those are to the library, and what they are worth. */
interface Rule {
  readonly dtype: "q8" | "q4";
  readonly quantize: BlockRule;
  readonly dequantize: (blocks: Uint8Array, out: Float32Array) => void;
}

const rules: Readonly<Record<Qat, Rule>> = {
  q8: { dtype: "q8", quantize: quantizeQ8, dequantize: dequantizeQ8 },
  q4: { dtype: "q4", quantize: quantizeQ4, dequantize: dequantizeQ4 },
  ternary: { dtype: "q4", quantize: quantizeTernary, dequantize: dequantizeQ4 },
};

/** The blocks that a model is trained for. */
export class WeightBlocks {
  /** Which. */
  readonly kind: Qat;
  readonly #rule: Rule;
  readonly #model: Module;

  /**
   * Looks at the model; nothing is computed yet.
   * @throws {OptionError} where the model has no matrix that blocks hold, has adapters or blocks, or is where none are made.
   */
  constructor(model: Module, kind: Qat, warn: (message: string) => void) {
    this.kind = kind;
    this.#rule = rules[kind];
    this.#model = model;
    const set = adaptersOf(model);
    if (set) {
      throw new OptionError(
        `Trainer: qat "${kind}" is for weights that learn, and beside those of this model adapters stand; merge the adapter, or leave out qat`,
      );
    }
    const places = matrixPlaces(model), held = places.filter((place) => this.holds(place));
    const wrong = held.find(({ weight }) => weight.dtype !== "f32");
    if (wrong) {
      throw new OptionError(
        `Trainer: qat "${kind}" rounds weights of f32, and ${wrong.name} is ${wrong.weight.dtype}; load the model with { dtype: "f32" }`,
      );
    }
    const late = held.find(({ weight }) => !weight.backend.mapped);
    if (late) {
      throw new OptionError(
        `Trainer: qat "${kind}" needs a device that makes blocks, and "${late.weight.device}" makes none; train on "cpu"`,
      );
    }
    if (held.length === 0) {
      throw new OptionError(
        `Trainer: qat "${kind}" is for matrices whose sums run over a multiple of 32 values, and this model has none`,
      );
    }
    const { dtype } = this.#rule;
    const plain = places.filter((place) => !place.isTable && !this.holds(place))
      .map((place) => ({ name: place.name, depth: depthOf(place), held: place.weight.dtype }));
    tellUnquantized("Trainer", dtype, plain, warn);
  }

  /** Whether a matrix lies in blocks. */
  holds(place: MatrixPlace): boolean {
    return place.weight.shape.length === 2 && isQuantized(heldUnder(this.#rule.dtype, place));
  }

  /** Writes what the blocks of a weight are worth into `copy`, which is of its shape. */
  fill(place: MatrixPlace, copy: Tensor): void {
    const { quantize, dequantize, dtype } = this.#rule;
    noGrad(() =>
      tidy(() => {
        const whole = copyOf(rowsOf(place)) as Tensor;
        const [rows, n] = whole.shape, memory = whole.backend.mapped!(whole.buffer);
        const x = new Float32Array(memory.buffer, memory.byteOffset + 4 * whole.offset, whole.size);
        const blocks = new Uint8Array(byteSize(dtype, n));
        for (let row = 0; row < rows; row++) {
          const values = x.subarray(row * n, (row + 1) * n);
          rounding(place, row * n, () => quantize(values, blocks));
          dequantize(blocks, values);
        }
        copyInto(place.isTurned ? transpose(whole, 0, 1) : whole, copy);
      })
    );
  }

  /** Runs `f` with the blocks themselves in the model. Afterwards the weights are back. */
  async inPlace<T>(f: () => T | Promise<T>): Promise<T> {
    const { dtype, quantize } = this.#rule, made = new Map<Tensor, Tensor>();
    await readyToHold([dtype]);
    const places = matrixPlaces(this.#model).filter((place) => this.holds(place));
    try {
      for (const place of places) {
        if (made.has(place.weight)) continue;
        const blocks = noGrad(() =>
          tidy(() => {
            const own = rounding(place, 0, () => quantized(rowsOf(place), dtype, quantize));
            return keep(place.isTurned ? transpose(own, 0, 1) : own);
          })
        );
        made.set(place.weight, parameter(blocks));
        asLeaf(made.get(place.weight)!, false);
      }
      for (const { holder, key, weight } of places) holder[key] = made.get(weight);
      return await f();
    } finally {
      for (const { holder, key, weight } of places) holder[key] = weight;
      for (const blocks of made.values()) blocks.dispose();
    }
  }
}

/** A weight as blocks run: [out, in]. */
function rowsOf({ weight, isTurned }: MatrixPlace): Tensor {
  const own = weight.detach();
  return isTurned ? transpose(own, 0, 1) : own;
}

/** Says of which weight it is that something cannot be rounded. */
function rounding<T>({ name }: MatrixPlace, first: number, f: () => T): T {
  try {
    return f();
  } catch (error) {
    throw inWhole(error, name, first);
  }
}
