/**
 * Products of one to four rows, where reading the weights is all the work.
 *
 * Weights stored along the sums: invocations side by side read neighbouring terms of one column, and add up in a tree.
 * Otherwise they read neighbouring columns, and the sums are cut into parts that do the same.
 *
 * @module
 */
import { type Gpu, param } from "../gpu.ts";
import { source, withFunctions } from "../wgsl/module.ts";
import type { Product } from "./matmul.ts";

const team = 64, columns = 16;

/** Computes a product of at most four rows. */
export function matvec(gpu: Gpu, p: Product): void {
  const { bindings, m } = p;
  // Lanes side by side along the terms, and columns beside them.
  const alongTerms = Math.abs(p.b.strides[p.b.strides.length - 2]) === 1;
  const wide = alongTerms ? 4 : columns, parts = team / wide;
  const kernel = gpu.kernel(`matvec ${alongTerms} ${m} ${p.key}`, () => {
    const text = p.code(), rows = Array.from({ length: m }, (_, r) => r);
    const main = `
var<workgroup> sums: array<f32, ${team * m}>;
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  begin(i32(group.z));
  let part = i32(lane) ${alongTerms ? "%" : "/"} ${alongTerms ? parts : wide};
  let column = i32(group.y * 32768u + group.x) * ${wide} + i32(lane) ${alongTerms ? "/" : "%"} ${
      alongTerms ? parts : wide
    };
  ${rows.map((r) => `var s${r} = 0.0f;`).join(" ")}
  if (column < ${param(2)}) {
    for (var k = part; k < ${param(3)}; k += ${parts}) {
      let w = elementB(k, column);
      ${rows.map((r) => `s${r} += elementA(${r}, k) * w;`).join(" ")}
    }
  }
  ${rows.map((r) => `sums[${r * team}u + lane] = s${r};`).join(" ")}
  for (var s = ${parts / 2}; s > 0; s = s / 2) {
    workgroupBarrier();
    if (part < s) { ${
      rows.map((r) => {
        const other = alongTerms ? "u32(s)" : `u32(s * ${wide})`;
        return `sums[${r * team}u + lane] += sums[${r * team}u + lane + ${other}];`;
      }).join(" ")
    } }
  }
  if (part == 0 && column < ${param(2)}) { ${
      rows.map((r) => `finish(${r}, column, sums[${r * team}u + lane]);`).join(" ")
    } }
}`;
    return source(bindings, withFunctions(text + main), p.words);
  });
  const groups = Math.ceil(p.n / wide), rows = Math.ceil(groups / 32768);
  gpu.run(kernel, bindings.buffers, p.params, rows > 1 ? 32768 : groups, rows, p.batch);
}
