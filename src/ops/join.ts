/**
 * Operations that put tensors together: side by side, on top of each other, repeated, padded.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { promote } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { kind, oneOf } from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { demandList, formatShape, normalizeAxis, sameShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { commonBackend, copyInto, demandTensor, demandTensors, empty, filled, record } from "./bridge.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { expand, narrow, type Range, reshape, slice, unsqueeze } from "./views.ts";

/**
 * Tensors one after the other along `dim`; the other sizes must agree.
 *
 * @throws {ShapeError} when sizes do not agree, or nothing is given.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * concat([tensor([1, 2]), tensor([3])]); // [1, 2, 3]
 * ```
 * @category Views and indexing
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  demandNoMore(arguments, 2, "concat");
  demandTensors("concat", tensors);
  if (!tensors.length) throw new ShapeError("concat: needs at least one tensor");
  const first = tensors[0], axis = normalizeAxis(dim, first.shape.length, "concat");
  for (const t of tensors) {
    if (t.shape.length !== first.shape.length || t.shape.some((n, i) => i !== axis && n !== first.shape[i])) {
      throw new ShapeError(
        `concat: ${formatShape(first.shape)} and ${formatShape(t.shape)} differ in another dim than ${dim}`,
      );
    }
  }
  const backend = commonBackend("concat", tensors);
  const dtype = tensors.map((t) => t.dtype).reduce(promote);
  const sizes = tensors.map((t) => t.shape[axis]), total = sizes.reduce((a, b) => a + b, 0);
  const out = empty(first.shape.map((n, i) => i === axis ? total : n), dtype, backend, "concat");
  let start = 0;
  tensors.forEach((t, i) => {
    const place = narrow(out, axis, start, sizes[i]);
    copyInto(t, place);
    place.dispose();
    start += sizes[i];
  });
  out.storage.version = 0;
  const types = tensors.map((t) => t.dtype);
  return record("concat", out, tensors, [], (g, _saved, needs) => {
    let from = 0;
    return sizes.map((n, i) => {
      const part = needs[i] ? toDType(narrow(g, axis, from, n), types[i]) : null;
      from += n;
      return part;
    });
  });
}

/**
 * Tensors of one shape along a new axis `dim`.
 *
 * @throws {ShapeError} when sizes do not agree, or nothing is given.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * stack([tensor([1, 2]), tensor([3, 4])]); // [[1, 2], [3, 4]]
 * ```
 * @category Views and indexing
 */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  demandNoMore(arguments, 2, "stack");
  demandTensors("stack", tensors);
  if (!tensors.length) throw new ShapeError("stack: needs at least one tensor");
  for (const t of tensors) {
    if (!sameShape(t.shape, tensors[0].shape)) {
      throw new ShapeError(`stack: ${formatShape(tensors[0].shape)} and ${formatShape(t.shape)} differ`);
    }
  }
  return toldAs(
    "stack",
    ["unsqueeze", "concat"],
    () => tidy(() => concat(tensors.map((t) => unsqueeze(t, dim)), dim)),
  );
}

/**
 * x repeated `times[i]` times along axis i; more entries than axes add axes in front.
 *
 * @throws {ShapeError} for fewer entries than axes, or more than there can be.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * repeat(tensor([1, 2]), [2]); // [1, 2, 1, 2]
 * ```
 * @category Views and indexing
 */
export function repeat(x: Tensor, times: readonly number[]): Tensor {
  demandNoMore(arguments, 2, "repeat");
  demandTensor("repeat", x);
  demandList("repeat", times, "a list of counts");
  if (times.length < x.shape.length || times.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new ShapeError(
      `repeat: ${formatShape(times)} does not say how often to repeat each dim of ${formatShape(x.shape)}`,
    );
  }
  return tidy(() => {
    const own = [...new Array<number>(times.length - x.shape.length).fill(1), ...x.shape];
    // Each axis gets a repeating one in front of it: [2, 3] twice and once becomes [2 of 2, 1 of 3].
    const open = reshape(x, own.flatMap((n) => [1, n]));
    const wide = expand(open, own.flatMap((n, i) => [times[i], n]));
    return reshape(wide, own.map((n, i) => n * times[i]));
  });
}

/**
 * How {@link pad} fills.
 *
 * @category Views and indexing
 */
export interface PadOptions {
  /** What fills the border: a value, the mirrored inside, the edge, or the other end. Default "constant". */
  mode?: "constant" | "reflect" | "replicate" | "circular";
  /** The value of "constant". Default 0. */
  value?: number;
}

const padOptions: OptionTable<PadOptions> = {
  mode: oneOf("constant", "reflect", "replicate", "circular"),
  value: kind("a number", (x) => typeof x === "number"),
};

const constantOnly: readonly Idle<PadOptions>[] = [{
  option: "value",
  when: ({ mode = "constant" }) => mode !== "constant",
  because: ({ mode }) => `mode is "${mode}"`,
  unless: 0,
}];

/**
 * x with a border, given as PyTorch does: `[before, after]` of the last axis, then of the one before it, and so on.
 *
 * @throws {ShapeError} for fewer entries than axes, or more than there can be.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} where memory is not enough.
 * @example
 * ```ts
 * pad(tensor([1, 2]), [1, 2]); // [0, 1, 2, 0, 0]
 * ```
 * @category Views and indexing
 */
export function pad(x: Tensor, border: readonly number[], options: PadOptions = {}): Tensor {
  demandNoMore(arguments, 3, "pad");
  const { mode = "constant", value = 0 } = checkOptions("pad", options, padOptions, constantOnly);
  demandTensor("pad", x);
  demandList("pad", border, "a list [before, after, …]");
  const rank = x.shape.length;
  if (border.length % 2 || border.length > 2 * rank || border.some((n) => !Number.isInteger(n))) {
    throw new ShapeError(
      `pad: ${formatShape(border)} is not [before, after] for up to ${counted(rank, "dim")}, the last first`,
    );
  }
  const sides = x.shape.map((_, i) => {
    const k = 2 * (rank - 1 - i);
    return k < border.length ? [border[k], border[k + 1]] : [0, 0];
  });
  if (mode === "constant") return padConstant(x, sides, value);
  return tidy(() => {
    let out = x;
    sides.forEach(([before, after], axis) => {
      const n = x.shape[axis];
      const limit = mode === "reflect" ? n - 1 : mode === "circular" ? n : n === 0 ? 0 : Infinity;
      if (before < 0 || after < 0 || before > limit || after > limit) {
        throw new ShapeError(
          `pad: ${mode} cannot add ${before} and ${after} to dim ${axis} of ${formatShape(x.shape)}`,
        );
      }
      if (!before && !after) return;
      const take = (range: Range): Tensor => slice(out, ...new Array<null>(axis).fill(null), range);
      const edge = (range: Range, count: number): Tensor =>
        expand(take(range), out.shape.map((size, i) => i === axis ? count : size));
      const parts = mode === "circular"
        ? [before ? take([n - before, n]) : null, out, after ? take([0, after]) : null]
        : mode === "reflect"
        ? [
          before ? take([before, 0, -1]) : null,
          out,
          after ? take([n - 2, n - 2 - after < 0 ? null : n - 2 - after, -1]) : null,
        ]
        : [before ? edge([0, 1], before) : null, out, after ? edge([n - 1, n], after) : null];
      out = concat(parts.filter((p) => p !== null), axis);
    });
    return out;
  });
}

function padConstant(x: Tensor, sides: readonly number[][], value: number): Tensor {
  const shape = x.shape.map((n, i) => n + sides[i][0] + sides[i][1]);
  // What is cut must lie inside, even where the other side adds more.
  if (x.shape.some((n, i) => shape[i] < 0 || -sides[i][0] > n || -sides[i][1] > n)) {
    throw new ShapeError(`pad: the border takes away more than ${formatShape(x.shape)} has`);
  }
  const out = filled(shape, value, x.dtype, x.backend, "pad");
  // A negative border cuts: the part of x that stays goes to the part of the result that it fills.
  const from = x.shape.map((n, i): Range => [Math.max(0, -sides[i][0]), n - Math.max(0, -sides[i][1])]);
  const to = shape.map((n, i): Range => [Math.max(0, sides[i][0]), n - Math.max(0, sides[i][1])]);
  tidy(() => copyInto(slice(x, ...from), slice(out, ...to)));
  out.storage.version = 0;
  const back = sides.map(([before, after]) => [-before, -after]);
  return record("pad", out, [x], [], (g) => [padConstant(g, back, 0)]);
}
