/**
 * Products for adapters that are processors, where `matmul_strips.ts` does not fit: no workgroup memory, and little code,
 * since such adapters take long to compile barriers.
 *
 * Of matrices that lie with the rows of `a` and the columns of `b` side by side (the gradient of a weight: inputs, turned,
 * times gradients) an invocation adds up outer products of 4, 8 or 16 rows and four columns. Of any others it has four rows
 * of one column, element by element.
 *
 * @module
 */
import { type Gpu, groupSize, param } from "../gpu.ts";
import { carrier } from "../wgsl/elements.ts";
import { source, withFunctions } from "../wgsl/module.ts";
import type { Product } from "./matmul.ts";
import { four, fullType, halfType, inFours, unpackingOf } from "./matmul_strips.ts";

const rows = 4;

/** Computes any product. */
export function plain(gpu: Gpu, p: Product): void {
  if (fitsOuter(p)) return outer(gpu, p);
  const { bindings, type, m, n } = p;
  const kernel = gpu.kernel(`matmul plain ${p.key}`, () => {
    const long = type === "i64", each = Array.from({ length: rows }, (_, r) => r);
    const code = `${p.code()}
@compute @workgroup_size(${groupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  begin(i32(group.z));
  let column = i32(group.x * ${groupSize}u + lane); let row0 = i32(group.y) * ${rows};
  if (column >= ${param(2)}) { return; }
  ${
      each.map((r) => `var c${r} = ${carrier(type)}(); let r${r} = min(row0 + ${r}, ${param(1)} - 1);`).join(
        " ",
      )
    }
  for (var k = 0; k < ${param(3)}; k++) {
    let y = elementB(k, column);
    ${
      each.map((r) =>
        long ? `c${r} = l_add(c${r}, l_mul(elementA(r${r}, k), y));` : `c${r} += elementA(r${r}, k) * y;`
      ).join(" ")
    }
  }
  var sums = array<${carrier(type)}, ${rows}>(${each.map((r) => `c${r}`).join(", ")});
  for (var r = 0; r < ${rows}; r++) { if (row0 + r < ${param(1)}) { finish(row0 + r, column, sums[r]); } }
}`;
    return source(bindings, withFunctions(code), p.words);
  });
  gpu.run(kernel, bindings.buffers, p.params, Math.ceil(n / groupSize), Math.ceil(m / rows), p.batch);
}

function fitsOuter({ a, b, out, epilogue, bindings, type, m }: Product): boolean {
  const others = [out, ...(epilogue?.inputs ?? [])];
  return type === "f32" && a.dtype === "f32" && ["f32", "f16", "bf16"].includes(b.dtype) && m >= 4 &&
    inFours(a, true) && inFours(b, false) && bindings.buffers.length === others.length + 2;
}

function outer(gpu: Gpu, p: Product): void {
  const { b, m, n, bindings } = p, quads = m >= 64 ? 4 : m >= 8 ? 2 : 1;
  const kernel = gpu.kernel(`matmul outer ${quads} ${p.key}`, () => {
    const types = bindings.types.map((type, i) =>
      i === 0 || (i === 1 && b.dtype === "f32") ? fullType : i === 1 ? halfType : type
    );
    const each = Array.from({ length: 4 * quads }, (_, r) => r), names = ["x", "y", "z", "w"];
    const code = `${p.code(false)}${unpackingOf(b.dtype)}
@compute @workgroup_size(${groupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  begin(i32(group.z));
  let column = i32(group.x * ${groupSize}u + lane) * 4; let row0 = i32(group.y) * ${4 * quads};
  if (column >= ${param(2)}) { return; }
  ${each.map((r) => `var c${r} = vec4<f32>();`).join(" ")}
  let aStep = ${param(5)} >> 2u; let bStep = ${param(6)} >> 2u; let from1 = (start1 + column) >> 2u;
  ${
      each.slice(0, quads).map((q) => `let a${q} = (start0 + min(row0 + ${4 * q}, ${param(1)} - 4)) >> 2u;`)
        .join(" ")
    }
  for (var k = 0; k < ${param(3)}; k++) {
    let y = ${four(b.dtype, "from1 + k * bStep")};
    ${
      each.slice(0, quads).map((q) =>
        `{ let x = b0[a${q} + k * aStep]; ${
          names.map((name, j) => `c${4 * q + j} += x.${name} * y;`).join(" ")
        } }`
      ).join("\n    ")
    }
  }
  var sums = array<vec4<f32>, ${4 * quads}>(${each.map((r) => `c${r}`).join(", ")});
  for (var r = 0; r < ${4 * quads}; r++) {
    if (row0 + r < ${param(1)}) { for (var j = 0; j < 4; j++) { finish(row0 + r, column + j, sums[r][j]); } }
  }
}`;
    return { code: withFunctions(code), types, writes: bindings.writes, words: p.words };
  });
  gpu.run(
    kernel,
    bindings.buffers,
    p.params,
    Math.ceil(n / 4 / groupSize),
    Math.ceil(m / 4 / quads),
    p.batch,
  );
}
