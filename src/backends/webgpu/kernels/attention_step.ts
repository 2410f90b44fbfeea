/**
 * The attention of a decoding step in one kernel a text: a head's workgroup writes the new key and value into the cache
 * and attends to all there are. See `Kernels.attentionStep`.
 *
 * Waiting for memory is all it costs, so neighbours read what lies side by side, four numbers each: some share the product
 * with a key, and then a column of values. Long texts are cut into parts, see `attention_parts.ts`.
 *
 * @module
 */
import { input } from "../../../expr/nodes.ts";
import { program } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, groupSize, param } from "../gpu.ts";
import { bind, seenAs, withFunctions } from "../wgsl/module.ts";
import { teamArgument, teamBegin, teamCode } from "../wgsl/team.ts";
import { part, throughWindows } from "../windows.ts";
import { attention } from "./attention.ts";
import { joinParts, partials, partsOf } from "./attention_parts.ts";
import { elementwise } from "./elementwise.ts";

const identity = program("f32", [input(0)]);

/** Widest heads that the kernel takes, in fours. */
const widest = 64;

/** Writes keys and values of new positions and attends, text by text. */
export function attentionStep(
  gpu: Gpu,
  qkv: View,
  keys: readonly View[],
  values: readonly View[],
  lengths: readonly number[],
  out: View,
  scale: number,
  places?: View,
): void {
  const [rows, , heads, width] = qkv.shape;
  for (let row = 0; row < rows; row++) {
    const from = part(qkv, 0, row, 1),
      to = seenAs(part(out, 0, row, 1), [1, heads, 1, width], [0, width, 0, 1]);
    const place = places && part(places, 0, row, 1);
    const text: Text = { from, k: keys[row], v: values[row], length: lengths[row], place, to };
    if (step(gpu, text, scale)) continue;
    gpu.refuseRecording();
    inSteps(gpu, text, scale);
  }
}

/**
 * A text: its query, key and value [1, 3, heads, width], its cache, how much of that is filled (on the device too, [1], where
 * the work may be done again), the result [1, heads, 1, width].
 */
interface Text {
  readonly from: View;
  readonly k: View;
  readonly v: View;
  readonly length: number;
  readonly place: View | undefined;
  readonly to: View;
}

/** Copies, then attends: for what the kernel does not take. */
function inSteps(gpu: Gpu, { from, k, v, length, to }: Text, scale: number): void {
  const [, , heads, width] = from.shape;
  const rows = [0, 1, 2].map((i) => {
    return seenAs(part(from, 1, i, 1), [1, heads, 1, width], [0, from.strides[2], 0, 1]);
  });
  [k, v].forEach((held, i) => elementwise(gpu, identity, [rows[i + 1]], [], [part(held, 2, length, 1)]));
  const [all, mixed] = [k, v].map((held) => part(held, 2, 0, length + 1));
  attention(gpu, rows[0], all, mixed, to, null, scale, false);
}

/** Whether the view begins, and every row of a head does, at a multiple of four elements. */
function inFours({ offset, strides }: View): boolean {
  return offset % 4 === 0 && strides[1] % 4 === 0 && strides[2] % 4 === 0;
}

function step(gpu: Gpu, text: Text, scale: number): boolean {
  const reads = text.place ? [text.from, text.place] : [text.from];
  const seen = throughWindows(gpu, [...reads, text.k, text.v, text.to]);
  if (seen === null) return false;
  const [k, v, to] = seen.slice(reads.length),
    [from, place] = seen,
    [, , heads, width] = from.shape,
    fours = width / 4;
  if (width % 4 !== 0 || fours > widest || ![from, k, v].every(inFours)) return false;
  // Where the length is only known on the device, the parts are those of a full cache.
  const keys = text.length + 1, parts = partsOf(gpu, text.place ? k.shape[2] : keys);
  const partial = parts > 1 ? partials(gpu, [1, heads, 1, width], parts) : null, target = partial?.out ?? to;
  const writes = [k, v, target, ...(partial ? [partial.lse] : [])];
  const bindings = bind(seen.slice(0, reads.length), writes);
  if (bindings.buffers.length !== reads.length + writes.length) {
    for (const view of partial ? [partial.out, partial.lse] : []) gpu.buffers.release(view.buffer);
    return false;
  }
  const names = writes.map((_, i) => `b${reads.length + i}`);
  const kernel = gpu.kernel(`attention step ${width} ${reads.length} ${partial !== null}`, () => {
    const isFour = (i: number): boolean => i === 0 || i === reads.length || i === reads.length + 1;
    const types = bindings.types.map((type, i) => isFour(i) ? "array<vec4<f32>>" : type);
    const count = text.place ? `(i32(b1[${param(1)}]) + 1)` : param(1);
    return { code: code(gpu, fours, count, names), types, writes: bindings.writes, words: 15 };
  });
  const [first, second] = [k, v].map(({ offset, strides }) => [offset / 4, strides[1] / 4, strides[2] / 4]);
  const sizes = [text.place ? place.offset : keys, floatBits(scale), parts, heads];
  const params = [
    ...sizes,
    from.offset / 4,
    ...first,
    ...second,
    target.offset,
    partial?.lse.offset ?? 0,
    k.shape[2],
  ];
  gpu.run(kernel, bindings.buffers, params, parts, heads);
  if (partial) joinParts(gpu, partial, parts, text.to, null);
  return true;
}

function code(gpu: Gpu, fours: number, count: string, [K, V, O, L]: readonly (string | undefined)[]): string {
  const team = gpu.software ? groupSize : 4 * groupSize, block = Math.min(team, 128);
  // Invocations that share a key's product, and those that share the values of a key.
  let lanes = 16;
  while (fours % lanes !== 0) lanes /= 2;
  const rows = team / lanes, each = fours / lanes, groups = Math.floor(team / fours);
  return withFunctions(`
${teamCode(gpu, team)}
var<workgroup> query: array<vec4<f32>, ${fours}>;
var<workgroup> dots: array<f32, ${block * (lanes + 1)}>;
var<workgroup> weights: array<f32, ${block}>;
var<workgroup> mixed: array<vec4<f32>, ${team}>;
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32${
    teamArgument(gpu)
  }) {
  ${teamBegin(gpu)}
  let lane = i32(lane0); let place = i32(group.x); let head = i32(group.y);
  let keys = ${count};
  // What the device reads may be anything: beyond the last position lies what is not this text's.
  if (keys < 1 || keys > ${param(14)}) { return; }
  let each = (keys + ${param(3)} - 1) / ${param(3)};
  let begin = place * each; let end = min(begin + each, keys);
  let query0 = ${param(5)} + head * ${fours}; let next = ${param(4)} * ${fours};
  let keys0 = ${param(6)} + head * ${param(7)}; let values0 = ${param(9)} + head * ${param(10)};
  if (lane < ${fours}) {
    query[lane] = b0[query0 + lane] * bitcast<f32>(${param(2)});
    if (begin < keys && end == keys) {
      ${K}[keys0 + (keys - 1) * ${param(8)} + lane] = b0[query0 + next + lane];
      ${V}[values0 + (keys - 1) * ${param(11)} + lane] = b0[query0 + 2 * next + lane];
    }
  }
  storageBarrier();
  let part = lane % ${lanes}; let column = lane % ${fours}; let share = lane / ${fours};
  var most = bits(0xff800000u); var sum = 0.0f; var o = vec4<f32>();
  for (var first = begin; first < end; first += ${block}) {
    workgroupBarrier();
    for (var j = lane / ${lanes}; j < ${block}; j += ${rows}) {
      if (first + j < end) {
        let at = keys0 + (first + j) * ${param(8)} + part; var s = 0.0f;
        for (var c = 0; c < ${each}; c++) { s += dot(query[part + c * ${lanes}], ${K}[at + c * ${lanes}]); }
        dots[j * ${lanes + 1} + part] = s;
      }
    }
    workgroupBarrier();
    var score = bits(0xff800000u);
    if (lane < ${block} && first + lane < end) {
      score = 0.0f;
      for (var i = 0; i < ${lanes}; i++) { score += dots[lane * ${lanes + 1} + i]; }
    }
    let top = maxNan(most, teamMax(lane0, score));
    // What sees nothing but -∞ so far has no finite maximum to shift by.
    let shift = select(top, 0.0f, top == bits(0xff800000u));
    let weight = m_exp(score - shift);
    if (lane < ${block}) { weights[lane] = weight; }
    let block_ = teamSum(lane0, weight);
    let fade = m_exp(most - shift);
    sum = sum * fade + block_; most = top; o = o * fade;
    let count = min(${block}, end - first);
    if (share < ${groups}) {
      for (var j = share; j < count; j += ${groups}) {
        o += weights[j] * ${V}[values0 + (first + j) * ${param(11)} + column];
      }
    }
  }
  mixed[lane] = o;
  workgroupBarrier();
  if (lane < ${fours}) {
    for (var g = 1; g < ${groups}; g++) { o += mixed[lane + g * ${fours}]; }
    o = o / sum;
    let to = ${param(12)} + (head * ${param(3)} + place) * ${4 * fours} + 4 * lane;
    for (var i = 0; i < 4; i++) { ${O}[to + i] = bitcast<u32>(o[i]); }
  }
  ${
    L
      ? `if (lane == 0) { ${L}[${param(13)} + head * ${
        param(3)
      } + place] = bitcast<u32>(most + m_log(sum)); }`
      : ""
  }
}`);
}
