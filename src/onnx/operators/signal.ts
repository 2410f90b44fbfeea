/**
 * Windows, spectra, and random numbers.
 *
 * @module
 */
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { normalizeAxis } from "../../core/shape.ts";
import { type Call, nodeName, type Operator, type OperatorTable, type Result } from "../call.ts";
import { castTo } from "./logic.ts";
import { heldAs, type OnnxType, typeOfCode } from "../types.ts";
import { deviceFor, tensorOf, valueOf } from "../values.ts";

function window(coefficients: readonly number[]): Operator {
  return {
    since: [17],
    host: [0],
    noGradient: "fixed",
    run: (c) => {
      const size = c.number(0), n = c.int("periodic", 1) ? size : size - 1;
      if (!(size >= 0 && size <= 2 ** 28)) throw c.fail(`a window of ${size}`);
      const type = typeOfCode(c.int("output_datatype", 1)) ?? "float";
      const values = Array.from(
        { length: size },
        (_, i) =>
          coefficients.reduce((sum, a, k) => sum + a * Math.cos(2 * Math.PI * k * i / Math.max(n, 1)), 0),
      );
      return tensorOf(values, [size], type, c.around.device);
    },
  };
}

/** The discrete Fourier transform of [.., n, 1 or 2] along an axis, as two products with tables of angles. */
function transform(
  c: Call,
  x: Tensor,
  axis: number,
  length: number,
  inverse: boolean,
  onesided: boolean,
): Tensor {
  const moved = f.transpose(x, axis, -2), n = moved.shape[moved.shape.length - 2], kept = Math.min(n, length);
  const bins = onesided ? Math.floor(length / 2) + 1 : length,
    sign = inverse ? 1 : -1,
    scale = inverse ? 1 / length : 1;
  c.room(bins * kept);
  const table = (of: (angle: number) => number): Tensor => {
    const values = Array.from({ length: bins * kept }, (_, i) => {
      const k = Math.floor(i / kept), t = i % kept;
      return scale * of(sign * 2 * Math.PI * (k * t % length) / length);
    });
    return f.tensor(values, { shape: [bins, kept], dtype: x.dtype, device: x.device });
  };
  const cos = table(Math.cos), sin = table(Math.sin), used = f.narrow(moved, moved.shape.length - 2, 0, kept);
  const real = f.narrow(used, -1, 0, 1);
  const times = (m: Tensor, v: Tensor): Tensor => f.matmul(m, v);
  let re = times(cos, real), im = times(sin, real);
  if (moved.shape[moved.shape.length - 1] === 2) {
    const imaginary = f.narrow(used, -1, 1, 1);
    re = f.sub(re, times(sin, imaginary));
    im = f.add(im, times(cos, imaginary));
  }
  return f.transpose(f.concat([re, im], -1), axis, -2);
}

function dft(c: Call): Result {
  const x = c.t(0), rank = x.shape.length;
  const given = c.opset >= 20 ? c.has(2) ? c.number(2) : -2 : c.int("axis", 1),
    axis = normalizeAxis(given, rank, nodeName(c.node));
  const length = c.has(1) ? c.number(1) : x.shape[axis];
  return valueOf(
    transform(c, x, axis, length, c.int("inverse", 0) !== 0, c.int("onesided", 0) !== 0),
    c.type(0),
  );
}

function shortTime(c: Call): Result {
  const x = c.t(0), step = c.number(1), shape = c.has(2) ? c.t(2) : null;
  const length = c.has(3) ? c.number(3) : shape ? shape.shape[0] : x.shape[1];
  const frames = 1 + Math.floor((x.shape[1] - length) / step);
  if (!(step > 0 && length > 0 && frames > 0)) {
    throw c.fail(`frames of ${length} by ${step} in ${x.shape[1]}`);
  }
  c.room(frames);
  const parts = Array.from({ length: frames }, (_, i) => f.narrow(x, 1, i * step, length));
  const all = f.stack(parts, 1), weighted = shape ? f.mul(all, f.reshape(shape, [length, 1])) : all;
  return valueOf(transform(c, weighted, 2, length, false, c.int("onesided", 1) !== 0), c.type(0));
}

function melWeights(c: Call): Result {
  const bins = c.number(0), length = c.number(1), rate = c.number(2), low = c.number(3), high = c.number(4);
  const type = typeOfCode(c.int("output_datatype", 1)) ?? "float", spectrum = Math.floor(length / 2) + 1;
  c.room(bins + spectrum * bins);
  const mel = (hz: number): number => 2595 * Math.log10(1 + hz / 700),
    from = mel(low),
    step = (mel(high) - from) / (bins + 2);
  const places = Array.from({ length: bins + 2 }, (_, i) => {
    const hz = 700 * (10 ** ((i * step + from) / 2595) - 1);
    return Math.floor((length + 1) * hz / rate);
  });
  const out = new Array<number>(spectrum * bins).fill(0);
  for (let i = 0; i < bins; i++) {
    const [a, b, d] = [places[i], places[i + 1], places[i + 2]];
    if (b === a) out[b * bins + i] = 1;
    else for (let j = a; j <= b; j++) out[j * bins + i] = (j - a) / (b - a);
    if (d > b) { for (let j = b; j < d; j++) out[j * bins + i] = (d - j) / (d - b); }
  }
  return tensorOf(out, [spectrum, bins], type, c.around.device);
}

function randomType(c: Call, missing: OnnxType): OnnxType {
  return typeOfCode(c.int("dtype", 0)) ?? missing;
}

/** Random numbers of a shape; an operator's seed gives the same ones each time. */
function drawn(c: Call, shape: readonly number[], type: OnnxType, isNormal: boolean): Result {
  const seed = c.said("seed") ? { seed: Math.abs(Math.trunc(c.float("seed", 0))) } : {};
  const device = deviceFor(type, c.around.device), dtype = heldAs(type) as "f32";
  if (isNormal) {
    const x = f.randn(shape, { device, dtype, ...seed });
    return valueOf(f.add(f.mul(x, c.float("scale", 1)), c.float("mean", 0)), type);
  }
  const [low, high] = [c.float("low", 0), c.float("high", 1)];
  return valueOf(f.add(f.mul(f.rand(shape, { device, dtype, ...seed }), high - low), low), type);
}

function bernoulli(c: Call): Result | Promise<Result> {
  const x = c.t(0), type = randomType(c, c.type(0));
  const seed = c.said("seed") ? { seed: Math.abs(Math.trunc(c.float("seed", 0))) } : {};
  const hit = f.lt(f.rand(x.shape, { device: x.device, ...seed }), f.toDType(x, "f32"));
  return castTo(c, valueOf(hit), type);
}

/** Classes drawn by unnormalised log-probabilities [batch, classes]: the first whose running share is beyond a random number. */
function multinomial(c: Call): Result | Promise<Result> {
  const x = f.toDType(c.t(0), "f32"), [batch, classes] = x.shape, count = c.int("sample_size", 1);
  if (x.shape.length !== 2 || classes < 1 || count < 1) {
    throw c.fail(`${count} of [${x.shape}], which is no [batch, classes]`);
  }
  c.room(batch * classes * count);
  const seed = c.said("seed") ? { seed: Math.abs(Math.trunc(c.float("seed", 0))) } : {};
  const ends = f.unsqueeze(f.cumsum(f.softmax(x, 1), 1), 1);
  const uniform = f.rand([batch, count, 1], { device: x.device, ...seed });
  const passed = f.sum(f.toDType(f.le(ends, uniform), "i32"), 2);
  return castTo(
    c,
    valueOf(f.clamp(f.toDType(passed, "i32"), 0, classes - 1), "int32"),
    randomType(c, "int32"),
  );
}

const random = (isNormal: boolean, like: boolean): Operator => ({
  since: [1, 22],
  noGradient: "random",
  run: (c) =>
    like
      ? drawn(c, c.t(0).shape, randomType(c, c.type(0)), isNormal)
      : drawn(c, c.ints("shape") ?? [], randomType(c, "float"), isNormal),
});

/** The operators. */
export const signals: OperatorTable = {
  HannWindow: window([0.5, -0.5]),
  HammingWindow: window([25 / 46, -21 / 46]),
  BlackmanWindow: window([0.42, -0.5, 0.08]),
  DFT: { since: [17, 20], host: [1, 2], run: dft },
  STFT: { since: [17], host: [1, 3], run: shortTime },
  MelWeightMatrix: { since: [17], host: [0, 1, 2, 3, 4], noGradient: "fixed", run: melWeights },
  RandomNormal: random(true, false),
  RandomUniform: random(false, false),
  RandomNormalLike: random(true, true),
  RandomUniformLike: random(false, true),
  Multinomial: { since: [7, 22], waits: true, noGradient: "random", run: multinomial },
  Bernoulli: { since: [15, 22], waits: true, noGradient: "random", run: bernoulli },
};
