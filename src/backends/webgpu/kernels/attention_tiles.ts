/**
 * Attention of many rows (Dao 2023, "FlashAttention-2"): a workgroup has a tile of queries and takes the keys and values
 * tile by tile through its memory, so that each is read once for all of the tile's rows. See `Kernels.attention`.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { type Binding, store } from "../wgsl/elements.ts";
import { bind, source, withFunctions } from "../wgsl/module.ts";
import {
  fetchTile,
  rowShareOf,
  seesKey,
  shareOf,
  tileProducts,
  type Tiles,
  tileStride,
  tileTeam,
  upTo,
} from "../wgsl/tiles.ts";
import { headRow } from "./attention_heads.ts";

/** Statements that store the columns of `value`, a vec4, as numbers 4 · quad, … of the row at `at`. */
export function putQuad(b: Binding, width: number, quad: string, at: string, value: string): string {
  const rest = width % 4, last = Math.ceil(width / 4) - 1;
  const parts = upTo(4).map((j) => {
    const text = `{ let to = ${at} + 4 * ${quad} + ${j}; ${store(b, "f32", "to", `${value}[${j}]`, "f32")} }`;
    return rest === 0 || j < rest ? text : `if (${quad} != ${last}) ${text}`;
  });
  return parts.join(" ");
}

/** Runs the kernel with these tiles; the parameters are those of the kernel that has a row a workgroup. */
export function attentionTiles(
  gpu: Gpu,
  tiles: Tiles,
  [q, k, v, out]: readonly View[],
  lse: View | null,
  causal: boolean,
  params: readonly number[],
  viewsAt: number,
): void {
  const [batch, heads, rows, width] = q.shape;
  const bindings = bind([q, k, v], lse ? [out, lse] : [out]), { queries, keys } = tiles;
  const kernel = gpu.kernel(
    `attention tiles ${queries} ${keys} ${width} ${causal} ${lse !== null} ${bindings.key}`,
    () => {
      const [Q, K, V, O, L] = bindings.of, stride = tileStride(width);
      const share = shareOf(tiles), out = rowShareOf(queries, width);
      const at = (view: number, head: string) => (row: string): string =>
        headRow(viewsAt + 4 * view, "batch", head, row);
      const score = (i: number, j: number): string => {
        const r = `sr + ${i * share.rowStep}`, c = `sk + ${j * share.columnStep}`;
        return `scores[(${r}) * ${keys} + ${c}] = select(bits(0xff800000u), s${i}${j} * bitcast<f32>(${
          param(3)
        }), ${seesKey(causal, `row0 + ${r}`, `first + ${c}`)});`;
      };
      const code = `
var<workgroup> query: array<vec4<f32>, ${queries * stride}>;
var<workgroup> other: array<vec4<f32>, ${keys * stride}>;
var<workgroup> scores: array<f32, ${queries * keys}>;
@compute @workgroup_size(${tileTeam})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0); let row0 = i32(group.x) * ${queries}; let head = i32(group.y); let batch = i32(group.z);
  let shared_ = head / ${param(4)};
  ${share.begin} ${out.begin}
  ${fetchTile("query", queries, width, Q, "row0", param(1), at(0, "head"))}
  let end = ${causal ? `min(${param(2)}, row0 + ${queries} + ${param(2)} - ${param(1)})` : param(2)};
  var most = bits(0xff800000u); var sum = 0.0f;
  ${upTo(Math.ceil(Math.ceil(width / 4) / out.lanes)).map((i) => `var o${i} = vec4<f32>();`).join(" ")}
  for (var first = 0; first < end; first += ${keys}) {
    workgroupBarrier();
    ${fetchTile("other", keys, width, K, "first", param(2), at(1, "shared_"))}
    workgroupBarrier();
    ${tileProducts(share, width, [{ name: "s", left: "query", right: "other" }])}
    ${upTo(share.down).flatMap((i) => upTo(share.across).map((j) => score(i, j))).join("\n    ")}
    workgroupBarrier();
    // Values take the place of the keys, while all lanes of a row find its maximum.
    ${fetchTile("other", keys, width, V, "first", param(2), at(2, "shared_"))}
    var next = most;
    for (var j = 0; j < ${keys}; j++) { let s = scores[or * ${keys} + j]; if (s > next) { next = s; } }
    // Rows that see nothing but -∞ so far have no finite maximum to shift by.
    let shift = select(next, 0.0f, next == bits(0xff800000u));
    workgroupBarrier();
    for (var j = oc; j < ${keys}; j += ${out.lanes}) {
      let place = or * ${keys} + j; scores[place] = m_exp(scores[place] - shift);
    }
    workgroupBarrier();
    let fade = m_exp(most - shift); most = next; sum = sum * fade;
    ${out.each((i) => `o${i} *= fade;`)}
    for (var j = 0; j < ${keys}; j++) {
      let w = scores[or * ${keys} + j]; sum += w;
      ${out.each((i, quad) => `o${i} += w * other[j * ${stride} + ${quad}];`)}
    }
  }
  let row = row0 + or;
  if (row >= ${param(1)}) { return; }
  let to0 = ${at(3, "head")("row")};
  ${out.each((i, quad) => `{ let y = o${i} / sum; ${putQuad(O, width, quad, "to0", "y")} }`)}
  ${
        L
          ? `if (oc == 0) { let at = ${param(5)} + batch * ${param(6)} + head * ${param(7)} + row; ${
            store(L, "f32", "at", "most + m_log(sum)", "f32")
          } }`
          : ""
      }
}`;
      return source(bindings, withFunctions(code), viewsAt + 16);
    },
  );
  gpu.run(kernel, bindings.buffers, params, Math.ceil(rows / queries), heads, batch);
}
