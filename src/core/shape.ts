/**
 * Shapes and strides: what a view of memory looks like, worked out without touching the memory.
 *
 * A shape lists sizes, outermost first; strides and offsets count elements, never bytes. A stride of 0 repeats an
 * element (that is how broadcasting costs nothing) and a negative one walks backwards. Everything here is pure.
 *
 * @module
 */
import { ShapeError } from "./errors.ts";
import { fixed, isNumber } from "./number.ts";
import { counted, listed, show } from "./show.ts";

/**
 * Sizes of the axes, outermost first; `[]` is a single number.
 *
 * @category Tensors
 */
export type Shape = readonly number[];

/** The number of elements in `shape`. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i];
  return size;
}

/**
 * Checks that a shape's elements can be counted.
 * @throws {ShapeError} for more than 2^53 - 1.
 */
export function demandCountable(shape: Shape, what: string): void {
  if (sizeOf(shape) <= Number.MAX_SAFE_INTEGER) return;
  throw new ShapeError(`${what}: ${formatShape(shape)} has more elements than can be counted (2^53 - 1)`);
}

/** How a shape is written in messages: `[2, 3]`. */
export function formatShape(shape: Shape): string {
  return `[${listed(shape)}]`;
}

/** @throws {ShapeError} when `given` is no list: sizes, dims or the like, as `expected` says. */
export function demandList(what: string, given: unknown, expected = "a list of sizes such as [2, 3]"): void {
  if (!Array.isArray(given)) throw new ShapeError(`${what}: ${show(given)} is not ${expected}`);
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Row-major strides for `shape`. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/** Whether the elements lie row-major without gaps. Axes of size 1 may have any stride. */
export function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i];
    if (size === 0) return true;
    if (size !== 1 && strides[i] !== step) return false;
    step *= size;
  }
  return true;
}

/** Whether the elements fill a stretch of memory exactly, in whatever order of axes: nothing is repeated or left out. */
export function isDense(shape: Shape, strides: readonly number[]): boolean {
  const axes = shape.map((_, i) => i).filter((i) => shape[i] !== 1).sort((a, b) => strides[a] - strides[b]);
  let step = 1;
  for (const i of axes) {
    if (strides[i] !== step) return false;
    step *= shape[i];
  }
  return true;
}

/**
 * `axis` counted from the front, negative ones from the end.
 * @throws {ShapeError} outside `[-rank, rank)`; `what` names the operation.
 */
export function normalizeAxis(dim: number, rank: number, what: string): number {
  const axis = isNumber(dim) ? fixed(dim) : dim, limit = Math.max(rank, 1);
  if (!Number.isInteger(axis) || axis < -limit || axis >= limit) {
    throw new ShapeError(
      `${what}: dim ${show(axis)} is outside [${-limit}, ${limit - 1}] for a tensor of ${
        counted(rank, "dimension")
      }`,
    );
  }
  return axis < 0 ? axis + limit : axis;
}

/**
 * One dim or several, as a list.
 * @throws {ShapeError} for anything else.
 */
export function listOfDims(dims: number | readonly number[], what: string): readonly number[] {
  if (isNumber(dims)) return [fixed(dims)];
  demandList(what, dims, "a dim or a list of dims");
  return dims;
}

/** Sorted, distinct axes; `null` or undefined means all of them. */
export function normalizeAxes(
  axes: number | readonly number[] | null | undefined,
  rank: number,
  what: string,
): number[] {
  if (axes === null || axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = listOfDims(axes, what).map((axis) => normalizeAxis(axis, rank, what));
  if (new Set(list).size !== list.length) {
    throw new ShapeError(`${what}: a dim is given twice in ${formatShape(list)}`);
  }
  // A tensor of no dimensions has no axis to name, though dim 0 and -1 are allowed as in PyTorch.
  return rank === 0 ? [] : list.sort((a, b) => a - b);
}

/** The error for a position that dim `axis`, of `size` positions, does not have; `of` names the tensor's shape. */
export function indexError(
  what: string,
  index: number | bigint,
  size: number,
  axis: number,
  of: string = "",
): ShapeError {
  const range = size > 0 ? `is outside [${-size}, ${size - 1}] at` : "was given for the empty";
  return new ShapeError(`${what}: index ${index} ${range} dim ${axis}${of && ` of ${of}`}`);
}

/** The error for a target that is none of `classes` classes. */
export function targetError(
  what: string,
  target: number | bigint,
  classes: number,
  ignoreIndex?: number,
): ShapeError {
  const ignored = ignoreIndex === undefined ? "" : ` (nor ignoreIndex, ${ignoreIndex})`;
  return new ShapeError(
    `${what}: target ${target} is none of the ${counted(classes, "class", "classes")} from 0 to ${
      classes - 1
    }${ignored}`,
  );
}

/**
 * The shape that all of `shapes` stretch to, as NumPy broadcasts.
 * @throws {ShapeError} naming the two shapes that do not fit.
 */
export function broadcastShapes(what: string, ...shapes: Shape[]): number[] {
  let result: number[] = [];
  for (const shape of shapes) {
    const rank = Math.max(result.length, shape.length);
    const next = new Array<number>(rank);
    for (let i = 1; i <= rank; i++) {
      const a = result[result.length - i] ?? 1, b = shape[shape.length - i] ?? 1;
      if (a !== b && a !== 1 && b !== 1) {
        throw new ShapeError(
          `${what}: shapes ${
            shapes.map(formatShape).join(" and ")
          } do not broadcast: ${a} against ${b} at dim ${-i}`,
        );
      }
      next[rank - i] = a === 1 ? b : a;
    }
    result = next;
  }
  return result;
}

/** Strides that read `shape` (with `strides`) as if it had the broadcast shape `target`. */
export function broadcastStrides(shape: Shape, strides: readonly number[], target: Shape): number[] {
  const shift = target.length - shape.length;
  return target.map((size, i) => {
    const own = i - shift;
    return own < 0 || (shape[own] === 1 && size !== 1) ? 0 : strides[own];
  });
}

/**
 * `shape` with its single -1 worked out.
 * @throws {ShapeError} when the sizes do not multiply to `size`.
 */
export function inferShape(shape: Shape, size: number, what: string): number[] {
  demandList(what, shape);
  let known = 1, unknown = -1;
  shape.forEach((n, i) => {
    if (n === -1 && unknown < 0) unknown = i;
    else if (!Number.isInteger(n) || n < 0) {
      throw new ShapeError(`${what}: ${formatShape(shape)} is not a shape: dim ${i} is ${n}`);
    } else known *= n;
  });
  const result = [...shape];
  if (unknown >= 0) {
    if (known === 0 || size % known !== 0) {
      throw new ShapeError(`${what}: ${counted(size, "element")} cannot fill ${formatShape(shape)}`);
    }
    result[unknown] = size / known;
  } else if (known !== size) {
    throw new ShapeError(
      `${what}: ${formatShape(shape)} has ${counted(known, "element")}, the tensor has ${size}`,
    );
  }
  return result;
}

/** Strides under which the same memory reads as `target`, or null where that takes a copy. Sizes must agree. */
export function viewStrides(shape: Shape, strides: readonly number[], target: Shape): number[] | null {
  if (sizeOf(shape) === 0) return contiguousStrides(target);
  const result = new Array<number>(target.length);
  let own = shape.length - 1, other = target.length - 1;
  while (own >= 0) {
    // Take the longest run of own axes that lies evenly, then hand it out to the target's axes.
    let run = shape[own];
    const step = strides[own];
    while (own > 0 && (shape[own - 1] === 1 || run === 1 || strides[own - 1] === step * run)) {
      if (run === 1 && shape[own - 1] !== 1) break;
      own--;
      run *= shape[own];
    }
    let inner = 1;
    while (other >= 0 && (inner < run || target[other] === 1)) {
      result[other] = step * inner;
      inner *= target[other];
      other--;
    }
    if (inner !== run) return null;
    own--;
  }
  while (other >= 0) result[other--] = 1;
  return result;
}
