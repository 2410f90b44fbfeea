/**
 * Is a gradient right? Compare it with the slope that small steps measure.
 *
 * Inputs are copied to f64 on the reference device, where central differences have an error of about 1e-9, and every
 * element of every input is stepped. The output is weighed with fixed, uneven weights, so that a gradient that only
 * holds for a plain sum does not pass.
 *
 * @module
 */
import { demandTensor } from "./kinds.ts";
import { demandList } from "../core/shape.ts";
import { demandFunction, demandNoMore } from "../core/demand.ts";
import { FerrotypeError } from "../core/errors.ts";
import { number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { Generator } from "../core/random.ts";
import { gradients } from "./backward.ts";
import type { TensorBase } from "./base.ts";
import { backendOf } from "./device.ts";
import { tidy } from "./lifetime.ts";
import { asLeaf, noGrad } from "./tape.ts";
import { fromData, fromNumbers, readData, toNumbers } from "./transfer.ts";

/**
 * Options of {@link checkGradients}.
 *
 * @category Gradients and programs
 */
export interface CheckGradientsOptions {
  /** Half the step. Default 1e-6. */
  eps?: number;
  /** Absolute tolerance. Default 1e-5. */
  atol?: number;
  /** Relative tolerance. Default 1e-3. */
  rtol?: number;
}

const checkGradientsOptions: OptionTable<CheckGradientsOptions> = {
  eps: number({ above: 0 }),
  atol: number({ from: 0 }),
  rtol: number({ from: 0 }),
};

/**
 * Compares the gradient of `f` with central differences, as PyTorch's `gradcheck`.
 *
 * @example
 * ```ts
 * await checkGradients((x: Tensor) => x.tanh().mul(x), [randn([3])]);
 * ```
 *
 * @param f any differentiable function of the inputs, made of this library's operations.
 * @param inputs floating-point tensors; they are copied to f64 on the reference device and not changed.
 * @returns true.
 * @throws {FerrotypeError} naming the input, the element, both values.
 * @throws {OptionError} for an `f` that is no function, and options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for inputs that are no list of tensors.
 * @category Gradients and programs
 */
export function checkGradients<T extends TensorBase>(
  f: (...inputs: T[]) => T,
  inputs: readonly T[],
  options: CheckGradientsOptions = {},
): Promise<true> {
  demandNoMore(arguments, 3, "checkGradients");
  return tidy(() => compare(f, inputs, options));
}

async function compare<T extends TensorBase>(
  f: (...inputs: T[]) => T,
  inputs: readonly T[],
  options: CheckGradientsOptions,
): Promise<true> {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3 } = checkOptions(
    "checkGradients",
    options,
    checkGradientsOptions,
  );
  demandFunction("checkGradients", f);
  demandList("checkGradients", inputs, "a list of tensors");
  for (const x of inputs) demandTensor("checkGradients", x, "an input");
  const reference = backendOf("reference");
  const values = await Promise.all(
    inputs.map(async (t) => Float64Array.from(toNumbers(await readData(t), t.dtype))),
  );
  const place = (i: number, data: Float64Array): T => fromData(data, inputs[i].shape, "f64", reference) as T;
  const leaves = values.map((v, i) => place(i, v));
  for (const leaf of leaves) asLeaf(leaf, true);
  const output = f(...leaves);
  demandTensor("checkGradients", output, "what f gives");
  const random = new Generator(20);
  const weights = Float64Array.from({ length: output.size }, () => 0.5 + random.uniform());
  const start = fromData(fromNumbers(weights, output.dtype), output.shape, output.dtype, output.backend);
  const grads = gradients(output, leaves, start);
  const weighted = async (changed: T[]): Promise<number> => {
    const result = noGrad(() => f(...changed));
    const data = toNumbers(await readData(result), result.dtype);
    let total = 0;
    for (let k = 0; k < data.length; k++) total += data[k] * weights[k];
    return total;
  };
  for (let i = 0; i < inputs.length; i++) {
    const grad = grads[i];
    const analytic = grad ? toNumbers(await readData(grad), grad.dtype) : new Float64Array(values[i].length);
    for (let k = 0; k < values[i].length; k++) {
      const at = (step: number): Promise<number> => {
        const moved = values[i].slice();
        moved[k] += step;
        return tidy(() => weighted(leaves.map((leaf, j) => j === i ? place(i, moved) : leaf)));
      };
      const numeric = (await at(eps) - await at(-eps)) / (2 * eps);
      const off = Math.abs(numeric - analytic[k]);
      if (!(off <= atol + rtol * Math.abs(numeric))) {
        throw new FerrotypeError(
          `checkGradients: input ${i}, element ${k}: the gradient says ${
            analytic[k]
          }, a step of ${eps} measures ` +
            `${numeric}; they differ by ${off}`,
        );
      }
    }
  }
  return true;
}
