/**
 * Attention of few rows over many keys: parts of the keys have a workgroup each, for one would take them one block after
 * the other; their results are then joined (Dao et al. 2023, "Flash-Decoding").
 *
 * @module
 */
import { contiguousStrides } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { type Gpu, groupSize, param } from "../gpu.ts";
import { store } from "../wgsl/elements.ts";
import { bind, source, withFunctions } from "../wgsl/module.ts";
import { element, headParams, headRow } from "./attention_heads.ts";

/** How many parts the keys are cut into; a processor has no use for more than one. */
export function partsOf(gpu: Gpu, keys: number): number {
  return gpu.software ? 1 : Math.min(64, Math.ceil(keys / 256));
}

/** Memory for what the parts give: [batch, heads, rows · parts, width] and log Σ exp of each. */
export function partials(
  gpu: Gpu,
  [batch, heads, rows, width]: readonly number[],
  parts: number,
): { out: View; lse: View } {
  const view = (shape: number[]): View => ({
    buffer: gpu.buffers.allocate(4 * shape.reduce((a, b) => a * b)),
    dtype: "f32",
    shape,
    strides: contiguousStrides(shape),
    offset: 0,
  });
  return { out: view([batch, heads, rows * parts, width]), lse: view([batch, heads, rows * parts]) };
}

/** Joins them: each part counts by its share of Σ exp. */
export function joinParts(
  gpu: Gpu,
  from: { out: View; lse: View },
  parts: number,
  out: View,
  lse: View | null,
): void {
  const [batch, heads, rows, width] = out.shape,
    bindings = bind([from.out, from.lse], lse ? [out, lse] : [out]);
  const kernel = gpu.kernel(`attention join ${width} ${lse !== null} ${bindings.key}`, () => {
    const [P, S, O, L] = bindings.of;
    const code = `
@compute @workgroup_size(${groupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0); let row = i32(group.x); let head = i32(group.y); let batch = i32(group.z);
  let first = ((batch * ${param(3)} + head) * ${param(1)} + row) * ${param(2)};
  var most = bits(0xff800000u);
  for (var i = 0; i < ${param(2)}; i++) { most = maxNan(most, ${element(S, "first + i")}); }
  let shift = select(most, 0.0f, most == bits(0xff800000u));
  var sum = 0.0f;
  for (var i = 0; i < ${param(2)}; i++) { sum += m_exp(${element(S, "first + i")} - shift); }
  let to0 = ${headRow(7, "batch", "head", "row")};
  for (var c = lane; c < ${width}; c += ${groupSize}) {
    var y = 0.0f;
    for (var i = 0; i < ${param(2)}; i++) {
      let weight = m_exp(${element(S, "first + i")} - shift); let at = (first + i) * ${width} + c;
      // What is empty weighs nothing, and holds no number.
      y += select(weight * ${element(P, "at")}, 0.0f, weight == 0.0f);
    }
    let to = to0 + c; ${store(O, "f32", "to", "y / sum", "f32")}
  }
  ${
      L
        ? `if (lane == 0) { let at = ${param(4)} + batch * ${param(5)} + head * ${param(6)} + row; ${
          store(L, "f32", "at", "shift + m_log(sum)", "f32")
        } }`
        : ""
    }
}`;
    return source(bindings, withFunctions(code), 11);
  });
  const steps = lse ? [lse.offset, lse.strides[0], lse.strides[1]] : [0, 0, 0];
  gpu.run(kernel, bindings.buffers, [rows, parts, heads, ...steps, ...headParams([out])], rows, heads, batch);
  gpu.buffers.release(from.out.buffer);
  gpu.buffers.release(from.lse.buffer);
}
