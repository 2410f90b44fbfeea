/**
 * Shapes: what moves, joins, cuts and repeats elements without changing them.
 *
 * @module
 */
import { normalizeAxis, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Range, Tensor } from "../../ops/mod.ts";
import { type Call, nodeName, type Operator, type OperatorTable, type Result } from "../call.ts";
import { heldAs, type OnnxType, typeOfCode } from "../types.ts";
import { deviceFor, tensorOf, textsOf, type Value, valueOf } from "../values.ts";
import { spelled } from "./spelled.ts";

const axisOf = (c: Call, axis: number, rank: number): number => normalizeAxis(axis, rank, nodeName(c.node));

/** The shape of a tensor or of texts. */
function shapeOf(value: Value): readonly number[] {
  if (value.kind === "tensor") return value.tensor.shape;
  return value.kind === "texts" ? value.shape : [];
}

const moving = (
  since: readonly number[],
  host: readonly number[],
  move: (c: Call) => (x: Tensor) => Tensor,
): Operator => spelled({ since, host, run: (c) => move(c)(c.t(0)) });

function reshaped(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const wanted = c.list(1, "shape");
    if (!wanted) throw c.fail("the shape is missing");
    const zero = c.int("allowzero", 0) !== 0;
    const shape = wanted.map((n, i) => n === 0 && !zero ? x.shape[i] ?? 0 : n);
    return f.reshape(x, shape);
  };
}

function flattened(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const rank = x.shape.length, given = c.int("axis", 1), axis = given < 0 ? given + rank : given;
    if (axis < 0 || axis > rank) throw c.fail(`axis ${given} is none of ${rank}`);
    return f.reshape(x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))]);
  };
}

function squeezed(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const rank = x.shape.length, axes = c.list(1, "axes")?.map((a) => axisOf(c, a, rank));
    const wrong = axes?.find((a) => x.shape[a] !== 1);
    if (wrong !== undefined) throw c.fail(`axis ${wrong} has the size ${x.shape[wrong]}, not 1`);
    return f.reshape(x, x.shape.filter((n, i) => axes ? !axes.includes(i) : n !== 1));
  };
}

function unsqueezed(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const given = c.list(1, "axes") ?? [], rank = x.shape.length + given.length;
    const axes = new Set(given.map((a) => axisOf(c, a, rank)));
    if (axes.size !== given.length) throw c.fail("an axis is named twice");
    let next = 0;
    return f.reshape(x, Array.from({ length: rank }, (_, i) => axes.has(i) ? 1 : x.shape[next++]));
  };
}

function sliced(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const starts = c.list(1, "starts") ?? [], ends = c.list(2, "ends") ?? [];
    const axes = c.list(3, "axes") ?? starts.map((_, i) => i), steps = c.maybeNumbers(4);
    const ranges: Range[] = x.shape.map(() => null);
    if (ends.length !== starts.length || axes.length !== starts.length) {
      throw c.fail("starts, ends and axes differ");
    }
    axes.forEach((axis, i) => {
      const at = axisOf(c, axis, x.shape.length), step = steps?.[i] ?? 1;
      ranges[at] = [starts[i], ends[i], step];
    });
    return f.slice(x, ...ranges);
  };
}

function expanded(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    const wanted = c.numbers(1), rank = Math.max(wanted.length, x.shape.length);
    const shape = Array.from({ length: rank }, (_, i) => {
      const own = x.shape[i - rank + x.shape.length] ?? 1, n = wanted[i - rank + wanted.length] ?? 1;
      return n === 1 ? own : n;
    });
    return f.expand(x, shape);
  };
}

function concatenated(c: Call): Result {
  const list = c.tensors();
  return valueOf(f.concat(list, c.axis("axis", 1, list[0].shape.length)), c.type(0));
}

function splitted(c: Call): Result[] {
  const x = c.t(0), axis = c.axis("axis", 0, x.shape.length), n = x.shape[axis];
  let sizes = c.list(1, "split");
  if (!sizes) {
    const count = c.int("num_outputs", c.node.outputs.length), each = Math.ceil(n / count);
    sizes = Array.from({ length: count }, (_, i) => Math.max(0, Math.min(each, n - i * each)));
  }
  if (sizes.reduce((a, b) => a + b, 0) !== n) throw c.fail(`parts of ${sizes} do not make ${n}`);
  let at = 0;
  return sizes.map((size) => valueOf(f.narrow(x, axis, (at += size) - size, size), c.type(0)));
}

/** Borders by ONNX's list: befores of all axes, then afters. */
function padded(c: Call): Result {
  const x = c.t(0), rank = x.shape.length, pads = c.opset < 2 ? c.ints("paddings") : c.list(1, "pads");
  if (!pads) throw c.fail("pads is missing");
  const axes = c.maybeNumbers(3)?.map((a) => axisOf(c, a, rank)) ?? x.shape.map((_, i) => i);
  if (pads.length !== 2 * axes.length) {
    throw c.fail(`pads has ${counted(pads.length, "number")} for ${counted(axes.length, "axis", "axes")}`);
  }
  const mode = c.text("mode", "constant", ["constant", "reflect", "edge", "wrap"]);
  const value = c.opset < 11 ? c.float("value", 0) : c.has(2) ? c.number(2) : 0;
  let out = x;
  axes.forEach((axis, i) => {
    const before = pads[i], after = pads[i + axes.length];
    out = mode === "constant"
      ? padConstant(out, axis, before, after, value)
      : padBy(c, out, axis, before, after, mode);
  });
  return valueOf(out, c.type(0));
}

function padConstant(x: Tensor, axis: number, before: number, after: number, value: number): Tensor {
  const n = x.shape[axis];
  const cut = before < 0 || after < 0
    ? f.narrow(x, axis, Math.max(0, -before), n + Math.min(0, before) + Math.min(0, after))
    : x;
  const edge = (count: number) =>
    f.full(x.shape.map((s, i) => i === axis ? count : s), value, { dtype: x.dtype, device: x.device });
  const parts = [...before > 0 ? [edge(before)] : [], cut, ...after > 0 ? [edge(after)] : []];
  return parts.length === 1 ? cut : f.concat(parts, axis);
}

function padBy(c: Call, given: Tensor, axis: number, first: number, last: number, mode: string): Tensor {
  // What is cut off is gone before anything is repeated.
  const left = given.shape[axis] + Math.min(0, first) + Math.min(0, last);
  const x = first < 0 || last < 0 ? f.narrow(given, axis, Math.max(0, -first), left) : given;
  const before = Math.max(0, first), after = Math.max(0, last), n = left, count = before + n + after;
  if (before === 0 && after === 0) return x;
  if (n === 0) throw c.fail(`axis ${axis} has no element to pad with`);
  const mirror = (i: number): number => {
    if (n === 1) return 0;
    const period = 2 * (n - 1), at = ((i % period) + period) % period;
    return at < n ? at : period - at;
  };
  const place = (i: number): number =>
    mode === "edge" ? Math.min(Math.max(i, 0), n - 1) : mode === "wrap" ? ((i % n) + n) % n : mirror(i);
  c.room(Math.max(0, count));
  const at = Int32Array.from({ length: Math.max(0, count) }, (_, i) => place(i - before));
  return f.indexSelect(x, axis, f.tensor(at, { device: x.device }));
}

function measured(c: Call): Result {
  const shape = shapeOf(c.value(0)), rank = shape.length;
  const clip = (n: number): number => Math.min(Math.max(n < 0 ? n + rank : n, 0), rank);
  const part = shape.slice(clip(c.int("start", 0)), clip(c.int("end", rank)));
  return tensorOf(part, [part.length], "int64", c.around.device);
}

async function constant(c: Call): Promise<Result> {
  const tensor = c.tensor("value"), { device } = c.around;
  if (tensor) return await c.around.tensor(tensor);
  const floats = c.floats("value_floats"), ints = c.ints("value_ints"), texts = c.strings("value_strings");
  if (floats) return tensorOf(floats, [floats.length], "float", device);
  if (ints) return tensorOf(ints, [ints.length], "int64", device);
  if (texts) return textsOf([texts.length], texts);
  if (c.said("value_float")) return tensorOf([c.float("value_float", 0)], [], "float", device);
  if (c.said("value_int")) return tensorOf([c.int("value_int", 0)], [], "int64", device);
  if (c.said("value_string")) return textsOf([], [c.text("value_string", "")]);
  throw c.fail("it has no value that is held here");
}

async function filledOf(c: Call): Promise<Result> {
  const shape = c.numbers(0), given = c.tensor("value");
  const value = given ? await c.around.tensor(given) : tensorOf([0], [1], "float", c.around.device);
  if (value.kind !== "tensor" || value.tensor.size !== 1) throw c.fail("value is not one number");
  return valueOf(f.expand(f.reshape(value.tensor, shape.map(() => 1)), shape), value.type);
}

function ranged(c: Call): Result {
  const type = c.type(0), [start, limit, delta] = [c.number(0), c.number(1), c.number(2)];
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  if (!Number.isSafeInteger(count)) throw c.fail(`from ${start} to ${limit} by ${delta} is no range`);
  const device = deviceFor(type, c.around.device), dtype = heldAs(type)!;
  if (type === "float" || type === "double") {
    return valueOf(f.add(f.mul(f.arange(count, { dtype, device }), delta), start), type);
  }
  return valueOf(
    f.add(f.mul(f.toDType(f.arange(count, { dtype: "i64", device }), dtype), delta), start),
    type,
  );
}

function eyeLike(c: Call): Result {
  const x = c.t(0), code = c.int("dtype", 0), type: OnnxType = code ? typeOfCode(code) ?? "float" : c.type(0);
  const [rows, columns] = x.shape, k = c.int("k", 0);
  const device = deviceFor(type, c.around.device);
  const i = f.reshape(f.arange(rows, { dtype: "i32", device }), [rows, 1]);
  const j = f.arange(columns, { dtype: "i32", device });
  return valueOf(f.toDType(f.eq(f.sub(j, i), k), heldAs(type)!), type);
}

function depthToSpace(c: Call): Result {
  const x = c.t(0), [n, channels, h, w] = x.shape, b = c.int("blocksize", 1), rest = channels / (b * b);
  const isColumnFirst = c.text("mode", "DCR", ["DCR", "CRD"]) === "CRD";
  const open = isColumnFirst
    ? f.permute(f.reshape(x, [n, rest, b, b, h, w]), [0, 1, 4, 2, 5, 3])
    : f.permute(f.reshape(x, [n, b, b, rest, h, w]), [0, 3, 4, 1, 5, 2]);
  return valueOf(f.reshape(open, [n, rest, h * b, w * b]), c.type(0));
}

function spaceToDepth(c: Call): Result {
  const x = c.t(0), [n, channels, h, w] = x.shape, b = c.int("blocksize", 1);
  const open = f.permute(f.reshape(x, [n, channels, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4]);
  return valueOf(f.reshape(open, [n, channels * b * b, h / b, w / b]), c.type(0));
}

function triangle(c: Call): Result {
  const x = c.t(0), k = c.has(1) ? c.number(1) : 0;
  return valueOf(c.int("upper", 1) ? f.triu(x, k) : f.tril(x, k), c.type(0));
}

/** An axis's positions, reversed within each sequence's length. */
function reverseSequence(c: Call): Result {
  const x = c.t(0), batch = c.int("batch_axis", 1), time = c.int("time_axis", 0), lengths = c.numbers(1);
  const count = x.shape[time];
  const at = Int32Array.from({ length: lengths.length * count }, (_, i) => {
    const n = lengths[Math.floor(i / count)], t = i % count;
    return t < n ? n - 1 - t : t;
  });
  const index = f.tensor(at, { shape: [lengths.length, count], device: x.device });
  const placed = batch < time ? index : f.transpose(index, 0, 1);
  const shape = x.shape.map((n, i) => i === batch || i === time ? n : 1);
  return valueOf(f.gather(x, time, f.contiguous(f.expand(f.reshape(placed, shape), x.shape))), c.type(0));
}

function tiled(c: Call): (x: Tensor) => Tensor {
  return (x) => {
    if (c.opset >= 6) return f.repeat(x, c.numbers(1));
    const axis = c.number(2);
    return f.repeat(x, x.shape.map((_, i) => i === axis ? c.number(1) : 1));
  };
}

function cropOrPad(c: Call): Result {
  const x = c.t(0), wanted = c.numbers(1), axes = c.ints("axes") ?? wanted.map((_, i) => i);
  let out = x;
  axes.forEach((given, i) => {
    const axis = axisOf(c, given, x.shape.length), n = x.shape[axis], more = wanted[i] - n;
    if (more < 0) out = f.narrow(out, axis, Math.floor(-more / 2), wanted[i]);
    else out = padConstant(out, axis, Math.floor(more / 2), more - Math.floor(more / 2), 0);
  });
  return valueOf(out, c.type(0));
}

/** The operators. */
export const shapes: OperatorTable = {
  Identity: { since: [1, 13, 14, 16, 19, 21, 23, 24], run: (c) => c.value(0) },
  Reshape: moving([1, 5, 13, 14, 19, 21, 23, 24], [1], reshaped),
  Flatten: moving([1, 9, 11, 13, 21, 23, 24], [], flattened),
  Squeeze: moving([1, 11, 13, 21, 23, 24], [1], squeezed),
  Unsqueeze: moving([1, 11, 13, 21, 23, 24], [1], unsqueezed),
  Transpose: moving(
    [1, 13, 21, 23, 24],
    [],
    (c) => (x) => f.permute(x, c.ints("perm") ?? x.shape.map((_, i) => x.shape.length - 1 - i)),
  ),
  Slice: moving([1, 10, 11, 13], [1, 2, 3, 4], sliced),
  Expand: moving([8, 13], [1], expanded),
  Tile: moving([1, 6, 13], [1, 2], tiled),
  Concat: spelled({ since: [1, 4, 11, 13], run: concatenated }),
  Split: spelled({ since: [1, 2, 11, 13, 18], host: [1], run: splitted }),
  Pad: { since: [1, 2, 11, 13, 18, 19, 21, 23, 24], host: [1, 2, 3], run: padded },
  Shape: { since: [1, 13, 15, 19, 21, 23, 24], noGradient: "sizes", run: measured },
  Size: {
    since: [1, 13, 19, 21, 23, 24],
    noGradient: "sizes",
    run: (c) => tensorOf([sizeOf(shapeOf(c.value(0)))], [], "int64", c.around.device),
  },
  Constant: { waits: true, since: [1, 9, 11, 12, 13, 19, 21, 23, 24], noGradient: "fixed", run: constant },
  ConstantOfShape: { waits: true, since: [9, 20, 21, 23, 24], host: [0], noGradient: "fixed", run: filledOf },
  Range: { since: [11], host: [0, 1, 2], noGradient: "sizes", run: ranged },
  EyeLike: { since: [9, 22], noGradient: "sizes", run: eyeLike },
  DepthToSpace: spelled({ since: [1, 11, 13], run: depthToSpace }),
  SpaceToDepth: spelled({ since: [1, 13], run: spaceToDepth }),
  Trilu: { since: [14], host: [1], run: triangle },
  ReverseSequence: spelled({ since: [10], host: [1], run: reverseSequence }),
  CenterCropPad: { since: [18], host: [1], run: cropOrPad },
};
