/**
 * Keeping gradients in bounds, in place, without reading anything back.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { show } from "../core/show.ts";
import { add, div, gt, le, max, min, mul, neg, select, sqrt } from "../expr/build.ts";
import { type ComputeType, type Expr, input, type Program, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { empty, type Tensor, zeros } from "../ops/mod.ts";
import { broadcastView, commonBackend, computeType, demandTensor, readNow, tidy } from "../tensor/mod.ts";
import {
  adviceToClip,
  answersAtOnce,
  asList,
  callParameter,
  firstNotFinite,
  greatest,
  NotFiniteError,
  part,
  rememberFinite,
} from "./finite.ts";

const x = input(0), limit = scalar(0);
const square = mul(x, x), root = sqrt(x), times = mul(x, input(1));
const most = scalar(1), fits = min(1, div(limit, add(x, 1e-6)));
// A norm that is NaN leaves the gradients as they are, so that the step can tell whose fault it is; an infinite one gives NaN.
const scaleOf = select(le(x, most), fits, select(gt(x, most), mul(fits, x), 1));
const bounded = min(max(x, neg(limit)), limit);

const of = (type: ComputeType, expr: Expr, inputs: number, scalars: number): Program =>
  program(type, [expr], { inputs, scalars });

/** Those of `parameters` that have a gradient, with their places. */
function withGradients(what: string, parameters: Iterable<Tensor>): { p: Tensor; place: number }[] {
  const isList = typeof parameters === "object" && parameters !== null && Symbol.iterator in parameters;
  demand(what, "what is given", parameters, isList, "tensors, such as model.parameters()");
  const found: { p: Tensor; place: number }[] = [];
  let place = 0;
  for (const p of parameters) {
    demandTensor(what, p, "a parameter");
    if (p.grad && p.grad.size) found.push({ p, place });
    place++;
  }
  return found;
}

const gradientsOf = (what: string, parameters: Iterable<Tensor>): Tensor[] =>
  withGradients(what, parameters).map(({ p }) => p.grad!);

function normOf(grads: readonly Tensor[]): Tensor {
  const backend = commonBackend("gradNorm", grads), device = backend.name;
  const dtype = grads.some((g) => g.dtype === "f64") ? "f64" : "f32", type = computeType(dtype);
  return tidy(() => {
    const sums = empty([grads.length], { dtype, device }), total = empty([], { dtype, device });
    grads.forEach((g, i) => {
      const view = asList(g), axes = view.shape.map((_, axis) => axis);
      backend.reduce("sum", of(type, square, 1, 0), [view], [], axes, part(sums, i, axes.map(() => 1)));
    });
    backend.reduce("sum", null, [sums], [], [0], part(total, 0, [1]));
    backend.elementwise(of(type, root, 1, 0), [total], [], [total]);
    return total;
  });
}

/**
 * √Σg² over the gradients of all parameters, as a tensor of no axes: 0 when none has one.
 *
 * @throws {OptionError} for what is no list of parameters.
 * @throws {DTypeError} for an entry that is no tensor.
 * @category Optimizers
 */
export function gradNorm(parameters: Iterable<Tensor>): Tensor {
  demandNoMore(arguments, 1, "gradNorm");
  const grads = gradientsOf("gradNorm", parameters);
  return grads.length ? normOf(grads) : zeros([]);
}

/**
 * Scales the gradients, in place, so that their norm over all parameters (√Σg²) is at most `maxNorm`: by
 * min(1, maxNorm / (norm + 1e-6)). Gives the norm before, as a tensor of no axes; nothing waits for it.
 *
 * Gradients that are not finite are an error here (as with PyTorch's `error_if_nonfinite`), and are left as they are. Where
 * values come late (WebGPU, a compiled function) it is the step that follows which notes them down: see
 * {@link Optimizer.step}.
 *
 * Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks", ICML 2013.
 *
 * @throws {OptionError} when maxNorm is not above 0.
 * @throws {FerrotypeError} naming the first parameter whose gradient has NaN or an infinity, or for a norm beyond f32.
 * @throws {DTypeError} for what is no tensor.
 * @category Optimizers
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  demandNoMore(arguments, 2, "clipGradNorm");
  if (!(maxNorm > 0)) throw new OptionError(`clipGradNorm: maxNorm is a number above 0, not ${maxNorm}`);
  return clipAt(parameters, maxNorm, null);
}

/** {@link clipGradNorm} within a run: its errors name the `step`, counted from 1; null: there is none. */
export function clipAt(parameters: Iterable<Tensor>, maxNorm: number, step: number | null): Tensor {
  const when = step === null ? "" : ` at step ${step}`;
  const learning = withGradients("clipGradNorm", parameters), grads = learning.map(({ p }) => p.grad!);
  if (!grads.length) return zeros([]);
  return tidy(() => {
    const norm = normOf(grads), isSeen = answersAtOnce(norm.backend);
    if (isSeen && !Number.isFinite(readNow(norm)![0])) {
      const found = firstNotFinite(grads);
      if (!found) {
        throw new NotFiniteError(
          `clipGradNorm: the norm of the gradients is beyond ${norm.dtype}${when}`,
          adviceToClip,
        );
      }
      const { p, place } = learning[found.place];
      throw new NotFiniteError(
        `clipGradNorm: the gradient of ${callParameter(p, place)} has ${found.has}${when}`,
        `nothing was changed; ${adviceToClip}`,
      );
    }
    const scale = empty([], { dtype: norm.dtype, device: norm.device });
    norm.backend.elementwise(of(computeType(norm.dtype), scaleOf, 1, 2), [norm], [
      maxNorm,
      greatest(norm.dtype),
    ], [scale]);
    for (const g of grads) {
      const type = computeType(g.dtype);
      g.backend.elementwise(of(type, times, 2, 0), [g, broadcastView(scale, g.shape)], [], [g]);
      g.storage.version++;
    }
    if (isSeen) rememberFinite(grads);
    return norm;
  });
}

/**
 * Cuts every element of the gradients to at most `value` in size, in place.
 * @throws {OptionError} unless value > 0.
 * @throws {DTypeError} for what is no tensor.
 * @category Optimizers
 */
export function clipGradValue(parameters: Iterable<Tensor>, value: number): void {
  demandNoMore(arguments, 2, "clipGradValue");
  if (!(value > 0)) {
    throw new OptionError(`clipGradValue: value is ${show(value)}, expected a number above 0`);
  }
  for (const g of gradientsOf("clipGradValue", parameters)) {
    g.backend.elementwise(of(computeType(g.dtype), bounded, 1, 1), [g], [value], [g]);
    g.storage.version++;
  }
}
