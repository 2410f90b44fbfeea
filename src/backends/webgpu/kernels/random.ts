/**
 * Random numbers from the core's stream. See `Backend.random`.
 *
 * Normal numbers are exact to the last bit of f32: the inverse distribution (AS 241) is worked in pairs of f32, which
 * hold nearly the digits of the doubles that the core uses.
 *
 * @module
 */
import { normalCoefficients } from "../../../core/random.ts";
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { inParts } from "../windows.ts";
import { bind, overElements, seenAs, source, withFunctions } from "../wgsl/module.ts";
import { literal } from "../wgsl/math.ts";

function pair(value: number): string {
  const high = Math.fround(value);
  return `vec2<f32>(${literal(high)}, ${literal(value - high)})`;
}

function horner(x: string, coefficients: readonly number[]): string {
  return coefficients.slice(0, -1).reduceRight(
    (sum, c) => `pairAdd(pairMul(${sum}, ${x}), ${pair(c)})`,
    pair(coefficients[coefficients.length - 1]),
  );
}

function ratio(name: string, [top, bottom]: readonly [readonly number[], readonly number[]]): string {
  return `fn ${name}(r: vec2<f32>) -> vec2<f32> { return pairDiv(${horner("r", top)}, ${
    horner("r", bottom)
  }); }\n`;
}

const philox = `
fn mulWide(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let mid = ah * bl + ((al * bl) >> 16u); let mid2 = al * bh + (mid & 0xffffu);
  return ah * bh + (mid >> 16u) + (mid2 >> 16u);
}
fn philox(block: vec2<u32>, seed: vec2<u32>) -> vec4<u32> {
  var c = vec4<u32>(block, 0u, 0u); var k = seed;
  for (var round = 0; round < 10; round++) {
    c = vec4<u32>(mulWide(0xcd9e8d57u, c.z) , c.z * 0xcd9e8d57u, mulWide(0xd2511f53u, c.x), c.x * 0xd2511f53u) ^ vec4<u32>(c.y ^ k.x, 0u, c.w ^ k.y, 0u);
    k = k + vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}`;

const series = Array.from({ length: 12 }, (_, i) => 1 / (2 * i + 1));

const normal = `
${ratio("central", normalCoefficients.central)}${ratio("middle", normalCoefficients.middle)}${
  ratio("tail", normalCoefficients.tail)
}
fn pairLog(x: vec2<f32>) -> vec2<f32> {
  // x is below 1 and a normal number.
  var e = i32(bitcast<u32>(x.x) >> 23u) - 127;
  var m = x * pow2(-e);
  if (m.x > 1.41421354f) { m = m * 0.5f; e = e + 1; }
  let one = vec2<f32>(1.0f, 0.0f);
  let s = pairDiv(pairAdd(m, -one), pairAdd(m, one)); let z = pairMul(s, s);
  let y = pairMul(s, ${horner("z", series)});
  return pairAdd(y * 2.0f, pairMul(vec2<f32>(f32(e), 0.0f), ${pair(Math.LN2)}));
}
fn pairSqrt(x: vec2<f32>) -> vec2<f32> {
  let y = sqrt(x.x);
  let rest = pairAdd(x, -twoProduct(y, y));
  return quickSum(y, rest.x / (2.0f * y));
}
fn normalOf(word: u32) -> f32 {
  let p = twoSum(f32(word >> 16u) * 1.52587890625e-5f, (f32(word & 0xffffu) + 0.5f) * 2.3283064365386963e-10f);
  let q = pairAdd(p, vec2<f32>(-0.5f, 0.0f));
  if (abs(q.x) <= 0.425f) {
    return pairMul(q, central(pairAdd(${pair(0.180625)}, -pairMul(q, q)))).x;
  }
  var side = p;
  if (q.x >= 0.0f) { side = pairAdd(vec2<f32>(1.0f, 0.0f), -p); }
  let r = pairSqrt(-pairLog(side));
  var value = vec2<f32>(0.0f);
  if (r.x <= 5.0f) { value = middle(pairAdd(r, ${
  pair(-1.6)
})); } else { value = tail(pairAdd(r, vec2<f32>(-5.0f, 0.0f))); }
  return select(value.x, -value.x, q.x < 0.0f);
}`;

function low(x: number): number {
  return x >>> 0 | 0;
}

function high(x: number): number {
  return Math.floor(x / 2 ** 32) | 0;
}

/** Fills `out` from word `offset` of the stream `seed` on. */
export function random(gpu: Gpu, kind: "uniform" | "normal", seed: number, offset: number, out: View): void {
  const line = seenAs(out, [sizeOf(out.shape)], [1]);
  let done = 0;
  if (line.shape[0] > 0) {
    inParts(gpu, [line], () => 0, ([some]) => {
      fill(gpu, kind, seed, offset + done, some);
      done += some.shape[0];
    });
  }
}

function fill(gpu: Gpu, kind: "uniform" | "normal", seed: number, offset: number, out: View): void {
  const count = out.shape[0];
  const bindings = bind([], [out]), block = Math.floor(offset / 4);
  const kernel = gpu.kernel(`random ${kind}`, () => {
    const value = kind === "uniform" ? "f32(word >> 8u) * 5.9604644775390625e-8f" : "normalOf(word)";
    const body = `let n = u32(i + ${param(7)}); let block = n >> 2u;
  let lo = u32(${param(2)}) + block;
  let words = philox(vec2<u32>(lo, u32(${param(3)}) + select(0u, 1u, lo < block)), vec2<u32>(u32(${
      param(4)
    }), u32(${param(5)})));
  let word = words[n & 3u];
  b0[${param(6)} + i] = bitcast<u32>(${value});`;
    return source(
      bindings,
      withFunctions(philox + (kind === "normal" ? normal : "") + overElements(body)),
      8,
    );
  });
  const params = [count, low(block), high(block), low(seed), high(seed), out.offset, offset % 4];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
