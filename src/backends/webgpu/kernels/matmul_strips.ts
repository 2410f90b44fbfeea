/**
 * Products without workgroup memory: an invocation has a strip of up to sixteen rows, four columns wide (one where weights
 * lie along the sums; twice that of few rows on a processor), and reads four numbers at a time.
 *
 * Neighbouring invocations share their rows, so what they read of `a` is the same number for all. That makes it the
 * kernel for few rows, where reading the weights (f32, halves or blocks) is all the work, and for adapters that are
 * processors. On a GPU the sums of few rows are also cut into parts, for there to be enough invocations.
 *
 * @module
 */
import { isQuantized } from "../../../core/dtype.ts";
import type { View } from "../../contract.ts";
import { type Gpu, groupSize, param } from "../gpu.ts";
import { teamArgument, teamBegin } from "../wgsl/team.ts";
import { withFunctions } from "../wgsl/module.ts";
import type { Product } from "./matmul.ts";

/** Whether every row of `view` begins at a multiple of four elements, its last axis (or the other) having stride 1. */
export function inFours(view: View, turned: boolean): boolean {
  const { strides, shape, offset } = view, rank = shape.length;
  const along = turned ? rank - 2 : rank - 1, across = turned ? rank - 1 : rank - 2;
  return strides[along] === 1 && shape[along] % 4 === 0 && offset % 4 === 0 &&
    strides.every((s, d) => d === along || (s >= 0 && s % 4 === 0) || shape[d] === 1) && strides[across] >= 0;
}

/** Whether this kernel takes the product: numbers in fours, and no buffer of an operand bound for something else. */
export function fitsStrips(p: Product): boolean {
  const others = [p.out, ...(p.epilogue?.inputs ?? [])];
  return p.bindings.buffers.length === others.length + 2 && liesInFours(p);
}

/** Whether the operands' numbers are read in fours. */
export function liesInFours(p: Product): boolean {
  const { a, b } = p, quantized = isQuantized(b.dtype);
  if (p.type !== "f32" || a.dtype !== "f32" || p.k === 0) return false;
  if (!["f32", "f16", "bf16", "q8", "q4"].includes(b.dtype)) return false;
  if (quantized) return inFours(a, false) && b.offset % 32 === 0 && p.k % 32 === 0;
  return inFours(a, false) && (inFours(b, true) || inFours(b, false));
}

/** How halves, and f32, are bound to be read in fours. */
export const halfType = "array<vec2<u32>>", fullType = "array<vec4<f32>>";

/** Four elements of `b` that lie side by side, as numbers; `at` counts fours. */
export function four(dtype: View["dtype"], at: string): string {
  if (dtype === "f32") return `b1[${at}]`;
  return dtype === "f16" ? `ofF16(b1[${at}])` : `ofBf16(b1[${at}])`;
}

const unpacking = `
fn ofF16(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
fn ofBf16(w: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}
fn halfWords(at: i32) -> u32 {
  let w = b1[at >> 1u];
  if ((at & 1) == 0) { return w; }
  return (w >> 16u) | (b1[(at >> 1u) + 1] << 16u);
}
fn ofBytes(w: u32) -> vec4<f32> {
  let v = bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w));
  return vec4<f32>(v >> vec4<u32>(24u));
}
fn ofNibbles(w: u32) -> vec4<f32> { return vec4<f32>(vec4<u32>(w, w >> 8u, w >> 16u, w >> 24u) & vec4<u32>(15u)) - 8.0f; }
`;

/** What computes the rows of the left operand where they are wanted, instead of reading them. */
export interface Prologue {
  /** Equal keys are equal code. */
  readonly key: string;
  /** The function `prologue(lane0, isFirst)`, which `size` invocations call together: it fills `left` with all rows, in fours. */
  code(size: number): string;
}

/** How a product is cut: `rows` and columns of an invocation, parts of a sum, invocations of a workgroup. */
interface Cut {
  readonly turned: boolean;
  readonly rows: number;
  readonly times: number;
  readonly parts: number;
  readonly team: number;
}

function cutOf(gpu: Gpu, p: Product, hasPrologue: boolean): Cut {
  const { b, m, n } = p, quantized = isQuantized(b.dtype), turned = quantized || inFours(b, true);
  const { software } = gpu, unit = turned ? 1 : 4;
  const rows = m >= (software ? 16 : 128) ? 16 : Math.min(m, 8);
  // A processor's lanes walk down the weights in steps of a whole row: the more of each row they take, the fewer pages.
  const times = software && !quantized && n % (2 * unit) === 0 ? 2 : 1;
  // Parts of the sums, side by side in a workgroup; a processor has no use for them.
  const alone = software || m > 4;
  let parts = alone ? 1 : partsOf(b, turned, p.k, n * p.batch);
  // What every workgroup computes anew pays in many columns.
  if (hasPrologue) parts = Math.min(parts, 16);
  // Of many small workgroups each of a processor's threads gets its share.
  const few = hasPrologue && n > 4096 ? groupSize : 16;
  return { turned, rows, times, parts, team: software ? few : alone ? groupSize : 4 * groupSize };
}

/** Bytes of workgroup memory that a product takes whose prologue makes all of its rows. */
export function prologueBytes(gpu: Gpu, p: Product): number {
  const { turned, rows, times, parts, team } = cutOf(gpu, p, true);
  return 4 * (p.m * p.k + team + (parts > 1 ? rows * times * team * (turned ? 1 : 4) : 0));
}

/** Computes a product that {@link fitsStrips}; one with a `prologue` has at most eight rows, and reads no left operand. */
export function strips(gpu: Gpu, p: Product, prologue?: Prologue): void {
  const { b, m, n } = p, quantized = isQuantized(b.dtype), cut = cutOf(gpu, p, prologue !== undefined);
  const { turned, rows, times, parts, team } = cut, wide = (turned ? 1 : 4) * times;
  const own = prologue ? `${p.k} ${prologue.key}` : "";
  const kernel = gpu.kernel(`strips ${turned} ${rows} ${times} ${parts} ${team} ${p.key} ${own}`, () => {
    const types = p.bindings.types.map((type, i) => {
      if (i === 0) return prologue ? type : fullType;
      return i > 1 || quantized ? type : b.dtype === "f32" ? fullType : halfType;
    });
    const text = `${p.code(false)}${unpackingOf(b.dtype)}${prologue?.code(team) ?? ""}${
      main(gpu, p, cut, prologue)
    }`;
    return { code: withFunctions(text), types, writes: p.bindings.writes, words: p.words };
  });
  const across = Math.ceil(n / (wide * team / parts)), down = Math.ceil(m / rows);
  gpu.run(kernel, p.bindings.buffers, p.params, across, down, p.batch);
}

/** So many invocations keep any GPU busy. */
const enough = 1 << 17;

/**
 * How many invocations share a sum: all that a sum of few rows costs is waiting for memory, so each has a few terms only,
 * and those of a sum (or, where weights lie across, of neighbouring columns) read what lies side by side.
 */
function partsOf({ dtype }: View, turned: boolean, k: number, columns: number): number {
  const terms = isQuantized(dtype) ? k / 32 : k / 16, most = turned ? 128 : 32;
  let parts = 8;
  while (parts < most && parts < terms && parts * (turned ? columns : columns / 4) < enough) parts *= 2;
  return parts;
}

/** The unpacking functions that weights of `dtype` need; others would read a buffer of another type. */
export function unpackingOf(dtype: View["dtype"]): string {
  const wanted =
    { f16: "ofF16", bf16: "ofBf16", q8: "halfWords|ofBytes", q4: "halfWords|ofNibbles" }[dtype as "f16"] ??
      "-";
  return unpacking.split(/\n(?=fn )/).filter((text) => new RegExp(`fn (${wanted})\\(`).test(text)).join("\n");
}

function main(gpu: Gpu, { b, k }: Product, cut: Cut, prologue: Prologue | undefined): string {
  const { turned, rows, times, parts, team } = cut, left = prologue ? "left" : "b0";
  const each = Array.from({ length: rows }, (_, r) => r), lanes = team / parts;
  const sum = turned ? "f32" : "vec4<f32>", wide = times * (turned ? 1 : 4);
  // Sum number s is of row s / times.
  const all = Array.from({ length: rows * times }, (_, s) => s);
  const gathered = all.map((s) => parts === 1 ? `c${s}` : `shares[${s * team}u + lane]`);
  // Parts of a sum are neighbours where they read neighbours of the weights, else columns are.
  const step = turned ? 1 : lanes;
  const place = turned
    ? { part: `i32(lane) % ${parts}`, column: `i32(lane) / ${parts}` }
    : { part: `i32(lane) / ${lanes}`, column: `i32(lane) % ${lanes}` };
  const share = parts === 1 ? "" : `
  ${all.map((s) => `shares[${s * team}u + lane] = c${s};`).join(" ")}
  for (var half = ${parts / 2}; half > 0; half = half >> 1u) {
    workgroupBarrier();
    if (part < half) { ${
    all.map((s) => `shares[${s * team}u + lane] += shares[${s * team}u + lane + u32(half) * ${step}u];`).join(
      " ",
    )
  } }
  }
  if (part != 0 || column >= ${param(2)}) { return; }`;
  const row = times === 1 ? "s" : `s / ${times}`, first = times === 1 ? "0" : `s % ${times}`;
  const store = turned
    ? `finish(row0 + ${row}, column + ${first}, sums[s]);`
    : `for (var j = 0; j < 4; j++) { finish(row0 + ${row}, column + 4 * (${first}) + j, sums[s][j]); }`;
  return `
${parts > 1 ? `var<workgroup> shares: array<${sum}, ${rows * times * team}>;` : ""}
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32${
    prologue ? teamArgument(gpu) : ""
  }) {
  ${prologue ? `${teamBegin(gpu)} prologue(lane, group.x == 0u);` : ""}
  begin(i32(group.z));
  let part = ${place.part}; let row0 = i32(group.y) * ${rows};
  let column = (i32(group.x) * ${lanes} + ${place.column}) * ${wide};
  ${parts === 1 ? `if (column >= ${param(2)}) { return; }` : ""}
  ${
    each.map((r) =>
      prologue
        ? `let a${r} = ${r * k / 4};`
        : `let a${r} = (start0 + min(row0 + ${r}, ${param(1)} - 1) * ${param(4)}) >> 2u;`
    ).join("\n  ")
  }
  ${all.map((s) => `var c${s} = ${sum}();`).join(" ")}
  ${parts === 1 ? "" : `if (column < ${param(2)}) {`}
  ${terms(b, left, turned, each, times, parts)}
  ${parts === 1 ? "" : "}"}
  ${share}
  // In a loop: drivers compile the epilogue as often as it is written.
  var sums = array<${sum}, ${rows * times}>(${gathered.join(", ")});
  for (var s = 0; s < ${rows * times}; s++) { if (row0 + ${row} < ${param(1)}) { ${store} } }
}`;
}

/** The loop over the terms of the sums. */
function terms(
  b: View,
  left: string,
  turned: boolean,
  each: readonly number[],
  times: number,
  parts: number,
): string {
  const inBlocks = isQuantized(b.dtype);
  const loop = (length: string, body: string): string =>
    `for (var k = ${parts === 1 ? "0" : "part"}; k < ${length}; k += ${parts}) { ${body} }`;
  if (inBlocks) {
    // A block: an f16 scale, then bytes; in units of 16 bits, which is how they are aligned.
    const half = b.dtype === "q8" ? 17 : 9, words = b.dtype === "q8" ? 8 : 4;
    const body = Array.from(
      { length: words },
      (_, j) =>
        b.dtype === "q8"
          ? `{ let w = ofBytes(halfWords(at + ${1 + 2 * j})); ${
            each.map((r) => `s${r} += dot(${left}[a${r} + k * 8 + ${j}], w);`).join(" ")
          } }`
          : `{ let w = halfWords(at + ${1 + 2 * j}); let low = ofNibbles(w); let high = ofNibbles(w >> 4u); ${
            each.map((r) =>
              `s${r} += dot(${left}[a${r} + k * 8 + ${j}], low) + dot(${left}[a${r} + k * 8 + ${
                j + 4
              }], high);`
            ).join(" ")
          } }`,
    ).join("\n    ");
    return `let first = (start1 + column * ${param(7)}) >> 5u;
  ${
      loop(
        `(${param(3)} >> 5u)`,
        `let at = (first + k) * ${half}; let scale = unpack2x16float(halfWords(at)).x;
    ${each.map((r) => `var s${r} = 0.0f;`).join(" ")}
    ${body}
    ${each.map((r) => `c${r} += scale * s${r};`).join(" ")}`,
      )
    }`;
  }
  const quads = `(${param(3)} >> 2u)`;
  const side = Array.from({ length: times }, (_, t) => t);
  if (turned) {
    return `${side.map((t) => `let from1${t} = (start1 + (column + ${t}) * ${param(7)}) >> 2u;`).join(" ")}
  ${
      loop(
        quads,
        `${side.map((t) => `let w${t} = ${four(b.dtype, `from1${t} + k`)};`).join(" ")}
    ${
          each.map((r) =>
            `{ let x = ${left}[a${r} + k]; ${
              side.map((t) => `c${r * times + t} += dot(x, w${t});`).join(" ")
            } }`
          ).join("\n    ")
        }`,
      )
    }`;
  }
  const names = ["x", "y", "z", "w"];
  return `let from1 = (start1 + column) >> 2u; let step = ${param(6)} >> 2u;
  ${
    loop(
      quads,
      `let at = from1 + 4 * k * step;
    ${
        names.map((_, j) => side.map((t) => `let w${j}${t} = ${four(b.dtype, `at + ${j} * step + ${t}`)};`))
          .flat()
          .join(" ")
      }
    ${
        each.map((r) =>
          `{ let x = ${left}[a${r} + k]; ${
            names.map((name, j) => side.map((t) => `c${r * times + t} += x.${name} * w${j}${t};`)).flat()
              .join(
                " ",
              )
          } }`
        ).join("\n    ")
      }`,
    )
  }`;
}
