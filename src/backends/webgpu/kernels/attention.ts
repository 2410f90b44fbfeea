/**
 * Attention with an online softmax: no matrix of scores is stored. See `Kernels.attention`.
 *
 * Many rows are taken in tiles, see `attention_tiles.ts`. Of few (a step of generation), or where tiles do not fit into the
 * memory of a workgroup, a workgroup has one row of queries. It takes the keys in blocks of its own size: every invocation scores one key, the
 * block's softmax joins what there was before, and then every invocation adds up some columns of the values.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, groupSize, param } from "../gpu.ts";
import { store } from "../wgsl/elements.ts";
import { inParts, throughWindows } from "../windows.ts";
import { bind, source, withFunctions } from "../wgsl/module.ts";
import { teamArgument, teamBegin, teamCode } from "../wgsl/team.ts";
import { tilesFor } from "../wgsl/tiles.ts";
import { byBatch, element, fewRows, headParams, headRow, lseSteps } from "./attention_heads.ts";
import { joinParts, partials, partsOf } from "./attention_parts.ts";
import { attentionTiles } from "./attention_tiles.ts";

const team = groupSize;

/** Scaled dot-product attention. */
export function attention(
  gpu: Gpu,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View | null,
  scale: number,
  causal: boolean,
): void {
  const all = lse ? [q, k, v, out, lse] : [q, k, v, out], seen = throughWindows(gpu, all);
  if (seen === null) {
    return inParts(gpu, all, byBatch, ([q, k, v, out, lse]) => {
      attention(gpu, q, k, v, out, lse ?? null, scale, causal);
    });
  }
  [q, k, v, out] = seen;
  lse = lse && seen[4];
  const [batch, heads, rows, width] = q.shape, keys = k.shape[2], groups = k.shape[1];
  const tiles = rows > fewRows ? tilesFor(gpu, rows, width, 1, 1) : null;
  const head = [rows, keys, floatBits(scale), heads / groups], viewsAt = 10;
  const place = (lse: View | null): number[] => [lse?.offset ?? 0, ...lseSteps(lse)];
  if (tiles) {
    const params = [...head, ...place(lse), 0, 0, ...headParams([q, k, v, out])];
    return attentionTiles(gpu, tiles, [q, k, v, out], lse, causal, params, viewsAt);
  }
  const parts = partsOf(gpu, keys), partial = parts > 1 ? partials(gpu, q.shape, parts) : null;
  const [to, sums] = partial ? [partial.out, partial.lse] : [out, lse];
  const bindings = bind([q, k, v], sums ? [to, sums] : [to]), own = Math.ceil(width / team);
  const params = [...head, ...place(sums), parts, Math.ceil(keys / parts), ...headParams([q, k, v, to])];
  const kernel = gpu.kernel(
    `attention ${width} ${causal} ${sums !== null} ${parts > 1} ${bindings.key}`,
    () => {
      const [Q, K, V, O, L] = bindings.of, each = Array.from({ length: own }, (_, i) => i);
      const column = (i: number): string => `lane + ${i * team}`;
      const guarded = (i: number, text: string): string =>
        width % team === 0 ? text : `if (${column(i)} < ${width}) { ${text} }`;
      const code = `
var<workgroup> query: array<f32, ${own * team}>;
var<workgroup> weights: array<f32, ${team}>;
${teamCode(gpu)}
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32${
        teamArgument(gpu)
      }) {
  ${teamBegin(gpu)}
  let lane = i32(lane0); let place = i32(group.x); let row = place / ${
        param(8)
      }; let head = i32(group.y); let batch = i32(group.z);
  let shared_ = head / ${param(4)};
  let from0 = ${headRow(viewsAt, "batch", "head", "row")};
  ${each.map((i) => guarded(i, `query[${column(i)}] = ${element(Q, `from0 + ${column(i)}`)};`)).join("\n  ")}
  let begin = place % ${param(8)} * ${param(9)};
  let keys = min(begin + ${param(9)}, ${causal ? `row + ${param(2)} - ${param(1)} + 1` : param(2)});
  var most = bits(0xff800000u); var sum = 0.0f;
  ${each.map((i) => `var o${i} = 0.0f;`).join(" ")}
  for (var first = begin; first < keys; first += ${team}) {
    workgroupBarrier();
    var score = bits(0xff800000u);
    if (first + lane < keys) {
      let at = ${headRow(viewsAt + 4, "batch", "shared_", "(first + lane)")};
      var dot_ = 0.0f;
      for (var c = 0; c < ${width}; c++) { dot_ += query[c] * ${element(K, "at + c")}; }
      score = dot_ * bitcast<f32>(${param(3)});
    }
    let next = maxNan(most, teamMax(lane0, score));
    // Rows that see nothing but -∞ so far have no finite maximum to shift by.
    let shift = select(next, 0.0f, next == bits(0xff800000u));
    let weight = m_exp(score - shift);
    weights[lane] = weight;
    let block_ = teamSum(lane0, weight);
    let fade = m_exp(most - shift);
    sum = sum * fade + block_; most = next;
    let block = min(${team}, keys - first);
    let at = ${headRow(viewsAt + 8, "batch", "shared_", "first")};
    ${each.map((i) => `o${i} = o${i} * fade;`).join(" ")}
    for (var j = 0; j < block; j++) {
      let w = weights[j]; let from1 = at + j * ${param(viewsAt + 11)};
      ${each.map((i) => guarded(i, `o${i} += w * ${element(V, `from1 + ${column(i)}`)};`)).join(" ")}
    }
  }
  let to = ${headRow(viewsAt + 12, "batch", "head", "place")};
  ${
        each.map((i) =>
          guarded(i, `{ let to${i} = to + ${column(i)}; ${store(O, "f32", `to${i}`, `o${i} / sum`, "f32")} }`)
        ).join("\n  ")
      }
  ${
        L
          ? `if (lane == 0) { let at = ${param(5)} + batch * ${param(6)} + head * ${param(7)} + place; ${
            store(L, "f32", "at", "most + m_log(sum)", "f32")
          } }`
          : ""
      }
}`;
      return source(bindings, withFunctions(code), viewsAt + 16);
    },
  );
  gpu.run(kernel, bindings.buffers, params, rows * parts, heads, batch);
  if (partial) joinParts(gpu, partial, parts, out, lse);
}
