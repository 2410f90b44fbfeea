/**
 * Elementwise expressions on tensors: the one door through which every row of the table passes.
 *
 * A number operand becomes a scalar given at run time, so `x * 0.1` and `x * 0.2` share a kernel. The gradient of an
 * expression is again an expression over (gradient, operands, result), so it is applied, fused and differentiated by
 * the same code: gradients of gradients cost nothing extra. Where an operand was broadcast its gradient is summed,
 * with the expression evaluated inside the reduction.
 *
 * @module
 */
import type { Backend, View } from "../backends/contract.ts";
import { type DType, isFloat, isQuantized, promote } from "../core/dtype.ts";
import { DeviceError, DTypeError } from "../core/errors.ts";
import { fixed, isNumber } from "../core/number.ts";
import {
  broadcastShapes,
  broadcastStrides,
  contiguousStrides,
  sameShape,
  type Shape,
} from "../core/shape.ts";
import { type ComputeType, type Expr, input, type Program } from "../expr/nodes.ts";
import { chain, differentiate, program, simplify, substitute, usedInputs } from "../expr/program.ts";
import { alias, empty, TensorBase } from "./base.ts";
import { activeWatcher, record, wantsGradient } from "./tape.ts";

/** A tensor or a plain number. */
export type Operand = TensorBase | number;

/** An expression with the derivatives that go with it, instantiated for one pattern of operands. */
export interface Applied {
  /** For messages. */
  readonly name: string;
  /** Tensor operand k is input k; number operand k is scalar k. */
  readonly expr: Expr;
  /** How many tensors it takes. */
  readonly inputs: number;
  /** How many numbers it takes. */
  readonly scalars: number;
  /**
   * The derivative by input `index` as an expression over the inputs and, as input number `inputs`, the result;
   * null where it is zero everywhere.
   */
  derivative(index: number): Expr | null;
  /** Gradient expressions worked out so far, by input. */
  readonly gradients: Map<number, AppliedGradient | null>;
  /** Programs by compute type. */
  readonly programs: Map<ComputeType, Program>;
}

/** The gradient of one input: an expression over (gradient, then what is kept). */
export interface AppliedGradient {
  /** The expression, prepared. */
  readonly applied: Applied;
  /** Which of the inputs it reads; number `inputs` stands for the result. */
  readonly reads: readonly number[];
}

/** Prepares `expr` over `inputs` tensors and `scalars` numbers; derivatives by differentiation unless given. */
export function prepare(
  name: string,
  expr: Expr,
  inputs: number,
  scalars: number,
  derivative: (index: number) => Expr | null = (index) => differentiate(expr, index),
): Applied {
  return { name, expr, inputs, scalars, derivative, gradients: new Map(), programs: new Map() };
}

/** The type in which tensors of `dtype` are computed. */
export function computeType(dtype: DType): ComputeType {
  switch (dtype) {
    case "f64":
      return "f64";
    case "i64":
      return "i64";
    case "i32":
    case "u8":
    case "bool":
      return "i32";
    default:
      return "f32";
  }
}

/** `view` read as if it had `shape`. */
export function broadcastView(view: View, shape: Shape): View {
  if (sameShape(view.shape, shape)) return view;
  const { buffer, dtype, offset } = view;
  return { buffer, dtype, offset, shape, strides: broadcastStrides(view.shape, view.strides, shape) };
}

function category(dtype: DType): number {
  return isFloat(dtype) ? 2 : dtype === "bool" ? 0 : 1;
}

/**
 * The dtype that operands promote to, as in PyTorch: a tensor without dimensions only counts when it is of a higher
 * kind (bool < integer < float), and a number only lifts bool to i32, or integers to f32 when it is fractional.
 */
export function promoteOperands(name: string, operands: readonly Operand[]): DType {
  let dimensioned: DType | null = null, single: DType | null = null, number = false;
  for (const x of operands) {
    if (isNumber(x)) {
      number = true;
      continue;
    }
    if (!(x instanceof TensorBase)) throw notAnOperand(name, x, operands.indexOf(x));
    if (x.shape.length) dimensioned = dimensioned === null ? x.dtype : promote(dimensioned, x.dtype);
    else single = single === null ? x.dtype : promote(single, x.dtype);
  }
  let dtype = dimensioned ?? single;
  if (dtype === null) throw new DTypeError(`${name}: at least one operand must be a tensor`);
  if (dimensioned && single && category(single) > category(dimensioned)) dtype = promote(dimensioned, single);
  if (isQuantized(dtype)) {
    throw new DTypeError(
      `${name}: ${dtype} weights take part in matrix products only; convert with .to({ dtype: "f32" })`,
    );
  }
  const isFraction = (x: Operand): boolean => isNumber(x) && !Number.isInteger(fixed(x));
  if (number && !isFloat(dtype) && operands.some(isFraction)) return "f32";
  return number && dtype === "bool" ? "i32" : dtype;
}

function notAnOperand(name: string, x: unknown, position: number): DTypeError {
  const kind = x === null || x === undefined ? String(x) : Array.isArray(x) ? "a list" : `a ${typeof x}`;
  const given = ArrayBuffer.isView(x) ? "an array" : kind;
  return new DTypeError(
    `${name}: operand ${position} is ${given}; pass a number or a tensor (tensor(…) makes one)`,
  );
}

/** The backend of `tensors`, which must share one. */
export function commonBackend(name: string, tensors: readonly TensorBase[]): Backend {
  const backend = tensors[0].backend;
  for (const t of tensors) {
    if (t.backend !== backend) {
      throw new DeviceError(
        `${name}: one tensor is on "${backend.name}", another on "${t.device}"; move one with .to({ device })`,
      );
    }
  }
  return backend;
}

function programFor(applied: Applied, type: ComputeType): Program {
  let found = applied.programs.get(type);
  if (!found) {
    found = program(type, [applied.expr], { inputs: applied.inputs, scalars: applied.scalars });
    applied.programs.set(type, found);
  }
  return found;
}

/**
 * Computes `applied` on tensors that broadcast together, in compute type `type`, into a new tensor of `dtype`, and
 * records it.
 */
export function apply(
  applied: Applied,
  tensors: readonly TensorBase[],
  scalars: readonly number[],
  type: ComputeType,
  dtype: DType,
): TensorBase {
  const backend = commonBackend(applied.name, tensors);
  const shape = commonShape(applied.name, tensors);
  const out = empty(shape, dtype, backend, applied.name);
  if (out.size > 0) {
    backend.elementwise(programFor(applied, type), tensors.map((t) => broadcastView(t, shape)), scalars, [
      out,
    ]);
  }
  if (isFloat(dtype) && wantsGradient(tensors)) recordApplied(applied, tensors, scalars, type, out);
  else activeWatcher()?.value(applied.name, out, tensors);
  return out;
}

function commonShape(name: string, tensors: readonly TensorBase[]): Shape {
  const first = tensors[0].shape;
  for (let i = 1; i < tensors.length; i++) {
    if (!sameShape(first, tensors[i].shape)) return broadcastShapes(name, ...tensors.map((t) => t.shape));
  }
  return first;
}

function gradientOf(applied: Applied, index: number): AppliedGradient | null {
  const known = applied.gradients.get(index);
  if (known !== undefined) return known;
  const derivative = applied.derivative(index);
  let result: AppliedGradient | null = null;
  if (derivative) {
    const reads = usedInputs(derivative);
    // The gradient comes first, then what the derivative reads, in order.
    const renamed: Expr[] = [];
    reads.forEach((original, position) => renamed[original] = input(position + 1));
    const expr = simplify(chain(input(0), substitute(derivative, renamed)));
    result = { applied: prepare(`${applied.name}Backward`, expr, reads.length + 1, applied.scalars), reads };
  }
  applied.gradients.set(index, result);
  return result;
}

function recordApplied(
  applied: Applied,
  tensors: readonly TensorBase[],
  scalars: readonly number[],
  type: ComputeType,
  out: TensorBase,
): void {
  const keepIndex: number[] = [];
  tensors.forEach((t, i) => {
    if (!t.node) return;
    for (const k of gradientOf(applied, i)?.reads ?? []) if (!keepIndex.includes(k)) keepIndex.push(k);
  });
  const saved = keepIndex.map((k) => k === applied.inputs ? out : tensors[k]);
  const shapes = tensors.map((t) => t.shape), types = tensors.map((t) => t.dtype);
  record(applied.name, out, tensors, saved, {
    backward(gradient, kept, needs) {
      return needs.map((need, i) => {
        const g = need ? gradientOf(applied, i) : null;
        if (!g) return null;
        const operands = [gradient, ...g.reads.map((k) => kept[keepIndex.indexOf(k)])];
        return applyAndSum(g.applied, operands, scalars, type, types[i], shapes[i]);
      });
    },
  });
}

/** Computes `applied` and sums what was broadcast, so that the result has `shape`. */
function applyAndSum(
  applied: Applied,
  tensors: readonly TensorBase[],
  scalars: readonly number[],
  type: ComputeType,
  dtype: DType,
  shape: Shape,
): TensorBase {
  const full = commonShape(applied.name, tensors);
  if (sameShape(full, shape)) {
    // A gradient passed on unchanged needs no copy.
    if (applied.expr.kind === "input" && tensors[0].dtype === dtype) {
      const same = alias(tensors[0]);
      same.node = tensors[0].node;
      return same;
    }
    return apply(applied, tensors, scalars, type, dtype);
  }
  if (wantsGradient(tensors)) return sumToHook(apply(applied, tensors, scalars, type, dtype), shape);
  const backend = commonBackend(applied.name, tensors);
  const { axes, kept } = sumAxes(full, shape);
  const out = empty(kept, dtype, backend, applied.name);
  if (out.size) {
    // Without a program the device sums its one input.
    const plain = applied.expr.kind === "input" && tensors.length === 1;
    const views = tensors.map((t) => broadcastView(t, full));
    backend.reduce("sum", plain ? null : programFor(applied, type), views, scalars, axes, out);
  }
  const view = alias(out, shape, contiguousStrides(shape));
  out.dispose();
  return view;
}

/** Which axes of `full` to sum, and the shape with them as 1, so that `shape` remains. */
export function sumAxes(full: Shape, shape: Shape): { axes: number[]; kept: number[] } {
  const shift = full.length - shape.length, axes: number[] = [], kept: number[] = [];
  full.forEach((size, i) => {
    const summed = i < shift || (shape[i - shift] === 1 && size !== 1);
    if (summed) axes.push(i);
    kept.push(summed ? 1 : size);
  });
  return { axes, kept };
}

let sumToHook: (tensor: TensorBase, shape: Shape) => TensorBase = () => {
  throw new Error("the operations were not loaded");
};

/** Called once by the operation `sumTo`, which records; needed here only for gradients of gradients. */
export function registerSumTo(f: (tensor: TensorBase, shape: Shape) => TensorBase): void {
  sumToHook = f;
}
