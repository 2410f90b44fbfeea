/**
 * Gradients of attention of many rows, tile by tile (Dao 2023, "FlashAttention-2"). See `Kernels.attentionBackward`.
 *
 * One kernel has a workgroup for a tile of queries and gives dq, another one for a tile of keys and gives dk and dv. Both
 * compute the probabilities of a tile again and hold them in workgroup memory; nothing is added up by two workgroups.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { load } from "../wgsl/elements.ts";
import { bind, type Bindings, source, withFunctions } from "../wgsl/module.ts";
import {
  fetchTile,
  rowShareOf,
  seesKey,
  type Share,
  shareOf,
  tileProducts,
  type Tiles,
  tilesFor,
  tileStride,
  tileTeam,
  upTo,
} from "../wgsl/tiles.ts";
import { headParams, headRow } from "./attention_heads.ts";
import { putQuad } from "./attention_tiles.ts";

const viewsAt = 10;

/** The tiles for so many rows of `width`, or null where they do not fit. */
export function backwardTiles(gpu: Gpu, rows: number, width: number): Tiles | null {
  return tilesFor(gpu, rows, width, 2, 2);
}

/** dq, dk and dv; `reads` are q, k, v, dout, log Σ exp and the rows' sums of dout · out. */
export function attentionBackwardTiles(
  gpu: Gpu,
  tiles: Tiles,
  reads: readonly View[],
  [dq, dk, dv]: readonly View[],
  head: readonly number[],
  causal: boolean,
): void {
  const [q, k, v, dout] = reads, [batch, heads, rows, width] = q.shape, [, groups, keys] = k.shape;
  const run = (name: string, writes: View[], code: (b: Bindings) => string, x: number, y: number): void => {
    const bindings = bind(reads, writes);
    const kernel = gpu.kernel(
      `attention ${name} tiles ${tiles.queries} ${tiles.keys} ${width} ${causal} ${bindings.key}`,
      () => source(bindings, withFunctions(code(bindings)), viewsAt + 24),
    );
    gpu.run(kernel, bindings.buffers, [...head, ...headParams([q, k, v, dout, ...writes])], x, y, batch);
  };
  const queryGroups = Math.ceil(rows / tiles.queries), keyGroups = Math.ceil(keys / tiles.keys);
  run("dq", [dq], (b) => queryCode(b, tiles, width, causal), queryGroups, heads);
  run("dk", [dk, dv], (b) => keyCode(b, tiles, width, causal), keyGroups, groups);
}

function at(view: number, head: string): (row: string) => string {
  return (row) => headRow(viewsAt + 4 * view, "batch", head, row);
}

function begin({ queries, keys }: Tiles, stride: number): string {
  const tile = (name: string, rows: number): string =>
    `var<workgroup> ${name}: array<vec4<f32>, ${rows * stride}>;`;
  return `${tile("query", queries)} ${tile("slope", queries)} ${tile("key", keys)} ${tile("value", keys)}
${["weights", "changes"].map((name) => `var<workgroup> ${name}: array<f32, ${queries * keys}>;`).join("\n")}
@compute @workgroup_size(${tileTeam})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0);`;
}

/** Statements that leave the scores' gradients in `changes`, and the probabilities in `weights`, of a tile. */
function slopes(
  { of }: Bindings,
  share: Share,
  { queries, keys }: Tiles,
  width: number,
  causal: boolean,
): string {
  const [, , , , L, D] = of, scale = `bitcast<f32>(${param(3)})`;
  const stores = upTo(share.down).flatMap((i) =>
    upTo(share.across).map((j) => {
      const place = `(sr + ${i * share.rowStep}) * ${keys} + sk + ${j * share.columnStep}`;
      return `{ let place = ${place}; weights[place] = s${i}${j}; changes[place] = d${i}${j}; }`;
    })
  );
  const products = tileProducts(share, width, [{ name: "s", left: "query", right: "key" }, {
    name: "d",
    left: "slope",
    right: "value",
  }]);
  // In a loop: the exponential is long, and drivers compile it as often as it is written.
  return `${products}
    ${stores.join(" ")}
    workgroupBarrier();
    for (var e = lane; e < ${queries * keys}; e += ${tileTeam}) {
      let row = min(row0 + e / ${keys}, ${param(1)} - 1);
      let place = (batch * ${param(8)} + head) * ${param(1)} + row;
      let lseAt = ${param(5)} + batch * ${param(6)} + head * ${param(7)} + row;
      let level = ${load(L, "f32", "lseAt", "f32")}; let delta = ${load(D, "f32", "place", "f32")};
      let score = weights[e] * ${scale} - level; let change = (changes[e] - delta) * ${scale};
      let sees = ${seesKey(causal, `row0 + e / ${keys}`, `key0 + e % ${keys}`)};
      let weight = select(0.0f, m_exp(score), sees);
      weights[e] = weight; changes[e] = select(0.0f, weight * change, weight != 0.0f);
    }`;
}

function queryCode(bindings: Bindings, tiles: Tiles, width: number, causal: boolean): string {
  const [Q, K, V, G, , , DQ] = bindings.of, { queries, keys } = tiles, stride = tileStride(width);
  const share = shareOf(tiles), out = rowShareOf(queries, width);
  return `${begin(tiles, stride)}
  let row0 = i32(group.x) * ${queries}; let head = i32(group.y); let batch = i32(group.z); let shared_ = head / ${
    param(4)
  };
  ${share.begin} ${out.begin}
  ${fetchTile("query", queries, width, Q, "row0", param(1), at(0, "head"))}
  ${fetchTile("slope", queries, width, G, "row0", param(1), at(3, "head"))}
  let end = ${causal ? `min(${param(2)}, row0 + ${queries} + ${param(2)} - ${param(1)})` : param(2)};
  ${upTo(Math.ceil(Math.ceil(width / 4) / out.lanes)).map((i) => `var o${i} = vec4<f32>();`).join(" ")}
  for (var key0 = 0; key0 < end; key0 += ${keys}) {
    workgroupBarrier();
    ${fetchTile("key", keys, width, K, "key0", param(2), at(1, "shared_"))}
    ${fetchTile("value", keys, width, V, "key0", param(2), at(2, "shared_"))}
    workgroupBarrier();
    ${slopes(bindings, share, tiles, width, causal)}
    workgroupBarrier();
    for (var j = 0; j < ${keys}; j++) {
      let w = changes[or * ${keys} + j];
      ${out.each((i, quad) => `o${i} += w * key[j * ${stride} + ${quad}];`)}
    }
  }
  if (row0 + or >= ${param(1)}) { return; }
  let to0 = ${at(4, "head")("(row0 + or)")};
  ${out.each((i, quad) => putQuad(DQ, width, quad, "to0", `o${i}`))}
}`;
}

function keyCode(bindings: Bindings, tiles: Tiles, width: number, causal: boolean): string {
  const [Q, K, V, G, , , DK, DV] = bindings.of, { queries, keys } = tiles, stride = tileStride(width);
  const share = shareOf(tiles), out = rowShareOf(keys, width);
  // With a cache the first query stands behind keys; rows before the first key of the tile do not see it.
  const start = causal ? `max(0, key0 - (${param(2)} - ${param(1)}))` : "0";
  return `${begin(tiles, stride)}
  let key0 = i32(group.x) * ${keys}; let shared_ = i32(group.y); let batch = i32(group.z);
  ${share.begin} ${out.begin}
  ${fetchTile("key", keys, width, K, "key0", param(2), at(1, "shared_"))}
  ${fetchTile("value", keys, width, V, "key0", param(2), at(2, "shared_"))}
  ${
    upTo(Math.ceil(Math.ceil(width / 4) / out.lanes)).map((i) =>
      `var k${i} = vec4<f32>(); var v${i} = vec4<f32>();`
    ).join(" ")
  }
  for (var h = 0; h < ${param(4)}; h++) {
    let head = shared_ * ${param(4)} + h;
    for (var row0 = ${start}; row0 < ${param(1)}; row0 += ${queries}) {
      workgroupBarrier();
      ${fetchTile("query", queries, width, Q, "row0", param(1), at(0, "head"))}
      ${fetchTile("slope", queries, width, G, "row0", param(1), at(3, "head"))}
      workgroupBarrier();
      ${slopes(bindings, share, tiles, width, causal)}
      workgroupBarrier();
      for (var r = 0; r < ${queries}; r++) {
        let w = changes[r * ${keys} + or]; let weight = weights[r * ${keys} + or];
        ${
    out.each((i, quad) =>
      `k${i} += w * query[r * ${stride} + ${quad}]; v${i} += weight * slope[r * ${stride} + ${quad}];`
    )
  }
      }
    }
  }
  if (key0 + or >= ${param(2)}) { return; }
  let dk0 = ${at(4, "shared_")("(key0 + or)")}; let dv0 = ${at(5, "shared_")("(key0 + or)")};
  ${
    out.each((i, quad) =>
      `${putQuad(DK, width, quad, "dk0", `k${i}`)} ${putQuad(DV, width, quad, "dv0", `v${i}`)}`
    )
  }
}`;
}
