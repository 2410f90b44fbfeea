/**
 * Gradients of attention, the probabilities computed again from log Σ exp. See `Kernels.attentionBackward`.
 *
 * Many rows are taken in tiles, see `attention_backward_tiles.ts`. Otherwise one kernel has a workgroup for each row of queries and gives dq; another has one for each key and gives dk and dv,
 * going through the queries of all heads that share it. Nothing is added up by two workgroups, so results repeat.
 *
 * @module
 */
import { mul } from "../../../expr/build.ts";
import { input } from "../../../expr/nodes.ts";
import { program } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, groupSize, param } from "../gpu.ts";
import { type Binding, store } from "../wgsl/elements.ts";
import { bind, type Bindings, source, withFunctions } from "../wgsl/module.ts";
import { byBatch, element, fewRows, headParams, headRow, lseSteps } from "./attention_heads.ts";
import { attentionBackwardTiles, backwardTiles } from "./attention_backward_tiles.ts";
import { inParts, throughWindows } from "../windows.ts";
import { reduce } from "./reduce.ts";

const team = groupSize, viewsAt = 10;
const product = program("f32", [mul(input(0), input(1))], { inputs: 2, scalars: 0 });

/** dq, dk and dv from dout and what the forward kernel kept. */
export function attentionBackward(
  gpu: Gpu,
  dout: View,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View,
  dq: View,
  dk: View,
  dv: View,
  scale: number,
  causal: boolean,
): void {
  const all = [dout, q, k, v, out, lse, dq, dk, dv], seen = throughWindows(gpu, all);
  if (seen === null) {
    return inParts(gpu, all, byBatch, (views) => {
      const [dout, q, k, v, out, lse, dq, dk, dv] = views;
      attentionBackward(gpu, dout, q, k, v, out, lse, dq, dk, dv, scale, causal);
    });
  }
  [dout, q, k, v, out, lse, dq, dk, dv] = seen;
  const [batch, heads, rows, width] = q.shape, keys = k.shape[2], groups = k.shape[1];
  const count = batch * heads * rows, buffer = gpu.buffers.allocate(count * 4);
  const delta: View = {
    buffer,
    dtype: "f32",
    shape: [batch, heads, rows, 1],
    strides: [heads * rows, rows, 1, 1],
    offset: 0,
  };
  reduce(gpu, "sum", product, [dout, out], [], [3], delta);
  const head = [rows, keys, floatBits(scale), heads / groups, lse.offset, ...lseSteps(lse), heads, 0];
  const reads = [q, k, v, dout, lse, delta];
  const tiles = rows > fewRows ? backwardTiles(gpu, rows, width) : null;
  if (tiles) {
    attentionBackwardTiles(gpu, tiles, reads, [dq, dk, dv], head, causal);
    gpu.buffers.release(buffer);
    return;
  }
  const forQueries = bind(reads, [dq]), forKeys = bind(reads, [dk, dv]);
  const key = `${width} ${causal}`;
  const queries = gpu.kernel(
    `attention dq ${key} ${forQueries.key}`,
    () => source(forQueries, withFunctions(queryCode(forQueries, width, causal)), viewsAt + 24),
  );
  const params = (outputs: View[]): number[] => [...head, ...headParams([q, k, v, dout, ...outputs])];
  gpu.run(queries, forQueries.buffers, params([dq]), rows, heads, batch);
  const kernel = gpu.kernel(
    `attention dk ${key} ${forKeys.key}`,
    () => source(forKeys, withFunctions(keyCode(forKeys, width, causal)), viewsAt + 24),
  );
  gpu.run(kernel, forKeys.buffers, params([dk, dv]), keys, groups, batch);
  gpu.buffers.release(buffer);
}

/** Statements for columns of the width that this invocation has: one for every `team` of them. */
function perColumn(width: number, text: (i: number, column: string) => string): string {
  const parts: string[] = [];
  for (let i = 0; i * team < width; i++) {
    const column = `(lane + ${i * team})`;
    parts.push(width % team === 0 ? text(i, column) : `if (${column} < ${width}) { ${text(i, column)} }`);
  }
  return parts.join("\n    ");
}

function accumulators(width: number, name: string): string {
  return Array.from({ length: Math.ceil(width / team) }, (_, i) => `var ${name}${i} = 0.0f;`).join(" ");
}

function begin(width: number, stored: readonly string[]): string {
  const room = Math.ceil(width / team) * team;
  return `${stored.map((name) => `var<workgroup> ${name}: array<f32, ${room}>;`).join("\n")}
var<workgroup> first_: array<f32, ${team}>;
var<workgroup> second_: array<f32, ${team}>;
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0);`;
}

function put(b: Binding, at: string, value: string): string {
  return `{ let to = ${at}; ${store(b, "f32", "to", value, "f32")} }`;
}

function queryCode({ of }: Bindings, width: number, causal: boolean): string {
  const [Q, K, V, G, L, D, DQ] = of;
  return `${begin(width, ["query", "gradient"])}
  let row = i32(group.x); let head = i32(group.y); let batch = i32(group.z); let shared_ = head / ${param(4)};
  let q0 = ${headRow(viewsAt, "batch", "head", "row")}; let g0 = ${
    headRow(viewsAt + 12, "batch", "head", "row")
  };
  ${
    perColumn(width, (_, c) =>
      `query[${c}] = ${element(Q, `q0 + ${c}`)}; gradient[${c}] = ${element(G, `g0 + ${c}`)};`)
  }
  let place = (batch * ${param(8)} + head) * ${param(1)} + row;
  let lseAt = ${param(5)} + batch * ${param(6)} + head * ${param(7)} + row;
  let level = ${element(L, "lseAt")}; let delta = ${element(D, "place")};
  let keys = ${causal ? `min(${param(2)}, row + ${param(2)} - ${param(1)} + 1)` : param(2)};
  ${accumulators(width, "a")}
  for (var first = 0; first < keys; first += ${team}) {
    workgroupBarrier();
    if (first + lane < keys) {
      let k0 = ${headRow(viewsAt + 4, "batch", "shared_", "(first + lane)")};
      let v0 = ${headRow(viewsAt + 8, "batch", "shared_", "(first + lane)")};
      var score = 0.0f; var dp = 0.0f;
      for (var c = 0; c < ${width}; c++) { score += query[c] * ${element(K, "k0 + c")}; dp += gradient[c] * ${
    element(V, "v0 + c")
  }; }
      first_[lane] = m_exp(score * bitcast<f32>(${param(3)}) - level) * (dp - delta) * bitcast<f32>(${
    param(3)
  });
    }
    workgroupBarrier();
    let block = min(${team}, keys - first); let k1 = ${headRow(viewsAt + 4, "batch", "shared_", "first")};
    for (var j = 0; j < block; j++) {
      let w = first_[j]; let at = k1 + j * ${param(viewsAt + 7)};
      ${perColumn(width, (i, c) => `a${i} += w * ${element(K, `at + ${c}`)};`)}
    }
  }
  let dq0 = ${headRow(viewsAt + 16, "batch", "head", "row")};
  ${perColumn(width, (i, c) => put(DQ, `dq0 + ${c}`, `a${i}`))}
}`;
}

function keyCode({ of }: Bindings, width: number, causal: boolean): string {
  const [Q, K, V, G, L, D, DK, DV] = of;
  return `${begin(width, ["key", "value"])}
  let row = i32(group.x); let shared_ = i32(group.y); let batch = i32(group.z);
  let k0 = ${headRow(viewsAt + 4, "batch", "shared_", "row")}; let v0 = ${
    headRow(viewsAt + 8, "batch", "shared_", "row")
  };
  ${
    perColumn(width, (_, c) =>
      `key[${c}] = ${element(K, `k0 + ${c}`)}; value[${c}] = ${element(V, `v0 + ${c}`)};`)
  }
  ${accumulators(width, "sumK")} ${accumulators(width, "sumV")}
  let start = ${causal ? `max(0, row - (${param(2)} - ${param(1)}))` : "0"};
  for (var h = 0; h < ${param(4)}; h++) {
    let head = shared_ * ${param(4)} + h;
    for (var first = start; first < ${param(1)}; first += ${team}) {
      workgroupBarrier();
      if (first + lane < ${param(1)}) {
        let q0 = ${headRow(viewsAt, "batch", "head", "(first + lane)")};
        let g0 = ${headRow(viewsAt + 12, "batch", "head", "(first + lane)")};
        let place = (batch * ${param(8)} + head) * ${param(1)} + first + lane;
        let lseAt = ${param(5)} + batch * ${param(6)} + head * ${param(7)} + first + lane;
        var score = 0.0f; var dp = 0.0f;
        for (var c = 0; c < ${width}; c++) { score += key[c] * ${element(Q, "q0 + c")}; dp += value[c] * ${
    element(G, "g0 + c")
  }; }
        let weight = m_exp(score * bitcast<f32>(${param(3)}) - ${element(L, "lseAt")});
        first_[lane] = weight;
        second_[lane] = weight * (dp - ${element(D, "place")}) * bitcast<f32>(${param(3)});
      }
      workgroupBarrier();
      let block = min(${team}, ${param(1)} - first);
      let q1 = ${headRow(viewsAt, "batch", "head", "first")}; let g1 = ${
    headRow(viewsAt + 12, "batch", "head", "first")
  };
      for (var j = 0; j < block; j++) {
        let weight = first_[j]; let w = second_[j]; let qAt = q1 + j * ${
    param(viewsAt + 3)
  }; let gAt = g1 + j * ${param(viewsAt + 15)};
        ${
    perColumn(width, (i, c) =>
      `sumK${i} += w * ${element(Q, `qAt + ${c}`)}; sumV${i} += weight * ${element(G, `gAt + ${c}`)};`)
  }
      }
    }
  }
  let dk0 = ${headRow(viewsAt + 16, "batch", "shared_", "row")}; let dv0 = ${
    headRow(viewsAt + 20, "batch", "shared_", "row")
  };
  ${perColumn(width, (i, c) => put(DK, `dk0 + ${c}`, `sumK${i}`) + put(DV, `dv0 + ${c}`, `sumV${i}`))}
}`;
}
