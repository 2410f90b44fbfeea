/**
 * The attention of a decoding step in one kernel a text: a head's workgroup writes the new key and value into the cache
 * and attends to all there are. See `Kernels.attentionStep`.
 *
 * Waiting for memory is all it costs, so neighbours read what lies side by side, four numbers each: some share the product
 * with a key, and then a column of values. Long texts are cut into parts, see `attention_parts.ts`.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, groupSize, param } from "../gpu.ts";
import { bind, seenAs, withFunctions } from "../wgsl/module.ts";
import { teamArgument, teamBegin, teamCode } from "../wgsl/team.ts";
import { inParts, part } from "../windows.ts";
import { joinParts, partials, partsOf } from "./attention_parts.ts";

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
  softcap = 0,
  window = 0,
): void {
  const [rows, heads, width] = out.shape, groups = keys[0].shape[1], share = heads / groups;
  for (let row = 0; row < rows; row++) {
    const from = part(qkv, 0, row, 1),
      one = (view: View, first: number, count: number): View =>
        seenAs({ ...view, offset: view.offset + first * width }, [1, groups, count, width], [
          0,
          count * width,
          width,
          1,
        ]);
    const text = [
      one(from, 0, share),
      one(from, heads, 1),
      one(from, heads + groups, 1),
      keys[row],
      values[row],
      one(part(out, 0, row, 1), 0, share),
      // Every head has the same place.
      ...(places ? [seenAs(part(places, 0, row, 1), [1, groups, 1, 1], [0, 0, 0, 0])] : []),
    ];
    inParts(gpu, text, () => 1, ([q, newKey, newValue, k, v, out, place]) => {
      step(gpu, { q, newKey, newValue, k, v, length: lengths[row], place, out }, scale, softcap, window);
    });
  }
}

/**
 * Some heads of keys of a text and the queries that share them: queries [1, groups, share, width], the new keys and values
 * [1, groups, 1, width], the cache, how much of that is filled (on the device too, where the work may be done again), the
 * result [1, groups, share, width].
 */
interface Text {
  readonly q: View;
  readonly newKey: View;
  readonly newValue: View;
  readonly k: View;
  readonly v: View;
  readonly length: number;
  readonly place: View | undefined;
  readonly out: View;
}

/** Whether the view begins, and every row of a head does, at a multiple of four elements. */
function inFours({ offset, strides, shape }: View): boolean {
  return offset % 4 === 0 && strides[1] % 4 === 0 && strides[2] % 4 === 0 && shape[3] % 4 === 0;
}

function step(gpu: Gpu, text: Text, scale: number, softcap: number, window: number): void {
  const { q, newKey, newValue, k, v, length, place } = text, [, groups, share, width] = q.shape;
  const read = [q, newKey, newValue, k, v], lanes = read.every(inFours) ? 4 : 1, heads = groups * share;
  const out = seenAs(text.out, [1, heads, 1, width], [0, width, 0, 1]);
  // Where the length is only known on the device, the parts are those of a full cache.
  const keys = length + 1, most = place ? k.shape[2] : keys;
  const parts = partsOf(gpu, window ? Math.min(window, most) : most);
  const partial = parts > 1 ? partials(gpu, out.shape, parts) : null, target = partial?.out ?? out;
  const bindings = bind([q, newKey, newValue, ...(place ? [place] : [])], [
    k,
    v,
    target,
    ...(partial ? [partial.lse] : []),
  ]);
  const names = bindings.of.map(({ name }) => name), filled = place ? names.splice(3, 1)[0] : null;
  const key = `attention step ${width} ${lanes} ${place !== undefined} ${partial !== null} ${
    softcap > 0
  } ${bindings.key}`;
  const kernel = gpu.kernel(key, () => {
    // Keys and values may lie in one buffer, and beside the query; what else there is has memory of its own.
    const wide = names.slice(0, 5), type = lanes === 4 ? "array<vec4<f32>>" : "array<f32>";
    const types = bindings.types.map((own, i) => wide.includes(`b${i}`) ? type : own);
    const count = filled ? `(i32(${filled}[${param(1)}]) + 1)` : param(1);
    const made = code(gpu, width, lanes, count, softcap > 0, names);
    return { code: made, types, writes: bindings.writes, words: 23 };
  });
  const steps = ({ offset, strides }: View): number[] =>
    [offset, strides[1], strides[2]].map((n) => n / lanes);
  const params = [
    place ? place.offset : keys,
    floatBits(scale),
    parts,
    ...[q, k, v].flatMap(steps),
    target.offset,
    partial?.lse.offset ?? 0,
    k.shape[2],
    ...[newKey, newValue].flatMap((view) => steps(view).slice(0, 2)),
    share,
    floatBits(softcap),
    window || 2 ** 31 - 1,
  ];
  gpu.run(kernel, bindings.buffers, params, parts, heads);
  if (partial) joinParts(gpu, partial, parts, out, null);
}

function code(
  gpu: Gpu,
  width: number,
  lanes: number,
  count: string,
  capped: boolean,
  [Q, NK, NV, K, V, O, L]: readonly (string | undefined)[],
): string {
  const team = gpu.software ? groupSize : 4 * groupSize, block = Math.min(team, 128);
  const type = lanes === 4 ? "vec4<f32>" : "f32", across = width / lanes;
  const product = (a: string, b: string): string => lanes === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`;
  // Invocations that share a key's product, and those that share the values of a key; of wide heads each has several columns.
  let sharing = 16;
  while (across % sharing !== 0) sharing /= 2;
  const rows = team / sharing, each = across / sharing, own = Math.ceil(across / team);
  const groups = Math.max(1, Math.floor(team / across));
  const columns = Array.from({ length: own }, (_, i) => i),
    column = (i: number): string => `column + ${i * team}`;
  const within = (i: number): string => own > 1 ? `if (${column(i)} < ${across})` : "";
  return withFunctions(`
${teamCode(gpu, team)}
var<workgroup> query: array<${type}, ${across}>;
var<workgroup> dots: array<f32, ${block * (sharing + 1)}>;
var<workgroup> weights: array<f32, ${block}>;
var<workgroup> mixed: array<${type}, ${team}>;
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32${
    teamArgument(gpu)
  }) {
  ${teamBegin(gpu)}
  let lane = i32(lane0); let place = i32(group.x); let head = i32(group.y);
  let keys = ${count};
  // What the device reads may be anything: beyond the last position lies what is not this text's.
  if (keys < 1 || keys > ${param(15)}) { return; }
  let seen = min(keys, ${param(22)}); let each = (seen + ${param(3)} - 1) / ${param(3)};
  let begin = keys - seen + place * each; let end = min(begin + each, keys);
  // Queries that share keys each write them: the same numbers, before they read them.
  let shared_ = head / ${param(20)};
  let query0 = ${param(4)} + shared_ * ${param(5)} + head % ${param(20)} * ${param(6)};
  let keys0 = ${param(7)} + shared_ * ${param(8)}; let values0 = ${param(10)} + shared_ * ${param(11)};
  let key0 = ${param(16)} + shared_ * ${param(17)}; let value0 = ${param(18)} + shared_ * ${param(19)};
  for (var c = lane; c < ${across}; c += ${team}) {
    query[c] = ${Q}[query0 + c] * bitcast<f32>(${param(2)});
    if (begin < keys && end == keys) {
      ${K}[keys0 + (keys - 1) * ${param(9)} + c] = ${NK}[key0 + c];
      ${V}[values0 + (keys - 1) * ${param(12)} + c] = ${NV}[value0 + c];
    }
  }
  storageBarrier();
  let part = lane % ${sharing}; let column = ${own > 1 ? "lane" : `lane % ${across}`};
  let share = ${own > 1 ? "0" : `lane / ${across}`};
  var most = bits(0xff800000u); var sum = 0.0f;
  ${columns.map((i) => `var o${i} = ${type}();`).join(" ")}
  for (var first = begin; first < end; first += ${block}) {
    workgroupBarrier();
    for (var j = lane / ${sharing}; j < ${block}; j += ${rows}) {
      if (first + j < end) {
        let at = keys0 + (first + j) * ${param(9)} + part; var s = 0.0f;
        for (var c = 0; c < ${each}; c++) {
          s += ${product(`query[part + c * ${sharing}]`, `${K}[at + c * ${sharing}]`)};
        }
        dots[j * ${sharing + 1} + part] = s;
      }
    }
    workgroupBarrier();
    var score = bits(0xff800000u);
    if (lane < ${block} && first + lane < end) {
      score = 0.0f;
      for (var i = 0; i < ${sharing}; i++) { score += dots[lane * ${sharing + 1} + i]; }
      ${capped ? `let cap = bitcast<f32>(${param(21)}); score = cap * m_tanh(score / cap);` : ""}
    }
    let top = maxNan(most, teamMax(lane0, score));
    // What sees nothing but -∞ so far has no finite maximum to shift by.
    let shift = select(top, 0.0f, top == bits(0xff800000u));
    let weight = m_exp(score - shift);
    if (lane < ${block}) { weights[lane] = weight; }
    let block_ = teamSum(lane0, weight);
    let fade = m_exp(most - shift);
    sum = sum * fade + block_; most = top;
    ${columns.map((i) => `o${i} = o${i} * fade;`).join(" ")}
    let count = min(${block}, end - first);
    if (share < ${groups}) {
      for (var j = share; j < count; j += ${groups}) {
        let at = values0 + (first + j) * ${param(12)};
        ${columns.map((i) => `${within(i)} { o${i} += weights[j] * ${V}[at + ${column(i)}]; }`).join(" ")}
      }
    }
  }
  ${
    groups > 1
      ? `mixed[lane] = o0;
  workgroupBarrier();
  if (lane < ${across}) { for (var g = 1; g < ${groups}; g++) { o0 += mixed[lane + g * ${across}]; } }`
      : ""
  }
  let to0 = ${param(13)} + (head * ${param(3)} + place) * ${width};
  if (share == 0) {
    ${
    columns.map((i) => {
      const to = `to0 + ${lanes} * (${column(i)})`;
      const store = lanes === 4
        ? `let y = o${i} / sum; for (var i = 0; i < 4; i++) { ${O}[${to} + i] = bitcast<u32>(y[i]); }`
        : `${O}[${to}] = bitcast<u32>(o${i} / sum);`;
      return `${within(i)} { ${store} }`;
    }).join("\n    ")
  }
  }
  ${
    L
      ? `if (lane == 0) { ${L}[${param(14)} + head * ${
        param(3)
      } + place] = bitcast<u32>(most + m_log(sum)); }`
      : ""
  }
}`);
}
