/**
 * Resizing: along each axis an output is a weighted sum of inputs, a small matrix that is worked out here.
 *
 * @module
 */
import { normalizeAxis } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import { along, cubicKernel, elementsAt, linearKernel, sampleMatrix } from "../../ops/resample.ts";
import { type Call, nodeName, type OperatorTable, type Result } from "../call.ts";
import { valueOf } from "../values.ts";

/** Where an output's place is in the input. */
function placeOf(
  c: Call,
  mode: string,
  scale: number,
  n: number,
  out: number,
  roi: readonly [number, number],
  length: number,
): (i: number) => number {
  return (i: number): number => {
    switch (mode) {
      case "half_pixel":
        return (i + 0.5) / scale - 0.5;
      case "half_pixel_symmetric": {
        const adjust = out / (n * scale);
        return n / 2 * (1 - adjust) + (i + 0.5) / scale - 0.5;
      }
      case "pytorch_half_pixel":
        return out > 1 ? (i + 0.5) / scale - 0.5 : 0;
      case "align_corners":
        return out > 1 ? i * (n - 1) / (length - 1) : 0;
      case "asymmetric":
        return i / scale;
      case "tf_half_pixel_for_nn":
        return (i + 0.5) / scale;
      case "tf_crop_and_resize":
        return out > 1
          ? roi[0] * (n - 1) + i * (roi[1] - roi[0]) * (n - 1) / (out - 1)
          : 0.5 * (roi[0] + roi[1]) * (n - 1);
      default:
        throw c.fail(`coordinate_transformation_mode "${mode}" is not known`);
    }
  };
}

function nearestOf(c: Call, mode: string): (x: number) => number {
  switch (mode) {
    case "round_prefer_floor":
      return (x) => Math.ceil(x - 0.5);
    case "round_prefer_ceil":
      return (x) => Math.floor(x + 0.5);
    case "floor":
      return Math.floor;
    case "ceil":
      return Math.ceil;
    default:
      throw c.fail(`nearest_mode "${mode}" is not known`);
  }
}

/** [out, n] weights of one axis; rows of places outside have `outside` as true. */
function matrixOf(
  c: Call,
  mode: string,
  n: number,
  out: number,
  scale: number,
  place: (i: number) => number,
): { readonly rows: number[]; readonly outside: boolean[] } {
  const kernel = mode === "linear" ? linearKernel : cubicKernel(c.float("cubic_coeff_a", -0.75));
  const stretch = c.int("antialias", 0) && scale < 1 ? scale : 1;
  const exclude = c.int("exclude_outside", 0) !== 0 || stretch < 1;
  const outside = Array.from({ length: out }, (_, i) => place(i) < 0 || place(i) > n - 1);
  return { rows: sampleMatrix(n, out, { kernel, place, stretch, exclude }), outside };
}

function resize(c: Call): Result {
  const x = c.t(0), rank = x.shape.length, old = c.opset < 11;
  const axes = c.ints("axes")?.map((a) => normalizeAxis(a, rank, nodeName(c.node))) ??
    x.shape.map((_, i) => i);
  const scalesGiven = old ? c.maybeNumbers(1) ?? c.floats("scales") : c.maybeNumbers(2),
    sizesGiven = old ? null : c.maybeNumbers(3);
  const scales = scalesGiven?.length ? scalesGiven : null, sizes = sizesGiven?.length ? sizesGiven : null;
  if ((scales ?? sizes)?.length !== axes.length) {
    throw c.fail(`scales or sizes are not one for each of ${counted(axes.length, "axis", "axes")}`);
  }
  const mode = c.text("mode", "nearest", ["nearest", "linear", "cubic", "bilinear"]).replace(
    "bilinear",
    "linear",
  );
  const how = c.text("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  const roi = old ? null : c.maybeNumbers(1), policy = c.text("keep_aspect_ratio_policy", "stretch");
  const common = sizes && policy !== "stretch"
    ? (policy === "not_larger" ? Math.min : Math.max)(...sizes.map((n, i) => n / x.shape[axes[i]]))
    : null;
  let y = x, outside: { axis: number; list: boolean[] }[] = [];
  // What lies next to each other is spread first, while there is less of it.
  [...axes.keys()].sort((i, j) => axes[j] - axes[i]).forEach((i) => {
    const axis = axes[i], n = x.shape[axis];
    const scale = common ?? (scales ? scales[i] : (sizes as number[])[i] / n);
    const out = common !== null ? Math.round(n * common) : sizes ? sizes[i] : Math.floor(n * scale);
    if (!(scale > 0) || !Number.isSafeInteger(out)) throw c.fail(`axis ${axis} of ${n} by ${scale}`);
    c.room(out);
    const isCrop = how === "tf_crop_and_resize";
    if (out === n && scale === 1 && !isCrop) return;
    const bounds: [number, number] = roi?.length === 2 * axes.length
      ? [roi[i], roi[i + axes.length]]
      : [0, 1];
    const place = placeOf(c, how, scale, n, out, bounds, scales && n * scale > 1 ? n * scale : out);
    if (mode === "nearest") {
      const nearest = nearestOf(c, c.text("nearest_mode", old ? "floor" : "round_prefer_floor"));
      const at = Array.from({ length: out }, (_, k) => Math.min(Math.max(nearest(place(k)), 0), n - 1));
      const own = y.dtype;
      y = own === "u8" || own === "bool"
        ? f.toDType(elementsAt(f.toDType(y, "i32"), axis, at), own)
        : elementsAt(y, axis, at);
    } else {
      const { rows, outside: list } = matrixOf(c, mode, n, out, scale, place);
      const isWhole = !["f32", "f64"].includes(y.dtype);
      y = isWhole
        ? f.toDType(f.round(along(f.toDType(y, "f32"), axis, rows, out)), y.dtype)
        : along(y, axis, rows, out);
      if (isCrop) outside.push({ axis, list });
    }
    if (mode === "nearest" && isCrop) {
      outside.push({ axis, list: Array.from({ length: out }, (_, k) => place(k) < 0 || place(k) > n - 1) });
    }
  });
  outside = outside.filter(({ list }) => list.includes(true));
  for (const { axis, list } of outside) {
    const shape = y.shape.map((n, i) => i === axis ? n : 1);
    const mask = f.tensor(list, { dtype: "bool", shape, device: y.device });
    y = f.where(mask, c.float("extrapolation_value", 0), y);
  }
  return valueOf(y, c.type(0));
}

/** The operators. */
export const resizing: OperatorTable = {
  Resize: { since: [10, 11, 13, 18, 19], host: [1, 2, 3], run: resize },
  Upsample: { since: [7, 9], host: [1], run: resize },
};
