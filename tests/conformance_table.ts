/**
 * Prints what every device does, operation by operation: `deno run -A tests/conformance_table.ts`.
 *
 * A cell is measured now: the largest error of an elementwise operation in f32 ulp against double precision, of other
 * operations against the reference device, relative to the largest result. "definition" says that the device has no
 * kernel of its own for a structured operation. Below stand the gaps, and why they are.
 */
import type { Backend, Epilogue, Kernels, View } from "../src/backends/contract.ts";
import { createCpuBackend } from "../src/backends/cpu/backend.ts";
import "../src/backends/kernels/mod.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { type DType, dtypes } from "../src/core/dtype.ts";
import { mul } from "../src/expr/build.ts";
import { input, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { type Row, table } from "../src/expr/table.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { ensurePackages } from "./_install.ts";
import { parameters, positiveOnly, truth } from "./_truth.ts";
import type { Workbench as Bench } from "./_views.ts";

ensurePackages();
const { ulp } = await import("./_compare.ts"), { Workbench } = await import("./_views.ts");

const { adapter, reason } = await requestGpuAdapter();
const reference = createReferenceBackend();
const devices: Backend[] = [reference, createCpuBackend(), ...(adapter ? [await openWebGpu(adapter)] : [])];

const line = (name: string, cells: readonly string[]): void =>
  console.log(name.padEnd(26) + cells.map((cell) => cell.padEnd(16)).join(""));

async function rowError(backend: Backend, row: Row): Promise<string> {
  const bench = new Workbench(backend, 9),
    shape = [2000],
    given = (parameters[row.name] ?? []).map(Math.fround);
  const operands = Array.from({ length: row.arity }, (_, i) => input(i));
  const expr = row.formula(...operands, ...Array.from({ length: row.scalars ?? 0 }, (_, i) => scalar(i)));
  const x = operands.map((_, i) =>
    bench.input("f32", shape, "contiguous", () => {
      const value = bench.random.normal() * 3;
      if (row.name === "where" && i === 0) return bench.random.integer(0, 2);
      return positiveOnly.has(row.name) && i === 0 ? Math.abs(value) : value;
    })
  );
  const out = bench.output(row.result === "bool" ? "bool" : "f32", shape);
  backend.elementwise(program("f32", [expr], { inputs: row.arity, scalars: row.scalars ?? 0 }), x, given, [
    out,
  ]);
  const values = await Promise.all(x.map((view) => bench.read(view))), y = await bench.read(out);
  let worst = 0;
  y.forEach((v, i) => {
    const e = truth[row.name](...values.map((list) => list[i]), ...given),
      size = Math.max(Math.abs(e), 2 ** -10);
    if (!Object.is(v, e)) worst = Math.max(worst, Math.abs(v - e) / ulp("f32", size));
  });
  bench.free();
  return `${worst.toFixed(1)} ulp`;
}

type Run = (bench: Bench) => View;

function products(b: DType): Run {
  return (bench) => {
    const a = bench.input("f32", [5, 64]), w = bench.input(b, [64, 24]), out = bench.output("f32", [5, 24]);
    const line = bench.input("f32", [24]), bias: View = { ...line, shape: [5, 24], strides: [0, 1] };
    const epilogue: Epilogue = {
      program: program("f32", [mul(input(0), input(1))]),
      inputs: [bias],
      scalars: [],
    };
    bench.backend.matmul(a, w, out, epilogue);
    return out;
  };
}

/** Weights of zeros and bytes that count, as blocks. */
function blocks(dtype: "q8" | "q4"): Run {
  return (bench) => {
    const size = dtype === "q8" ? 34 : 18, bytes = new Uint8Array(24 * 2 * size);
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = i % size === 0 ? 0 : i % size === 1 ? 0x2c : (i * 37) % 127;
    }
    const w: View = { buffer: bench.upload(bytes), dtype, shape: [64, 24], strides: [1, 64], offset: 0 };
    const out = bench.output("f32", [5, 24]);
    bench.backend.matmul(bench.input("f32", [5, 64]), w, out);
    return out;
  };
}

const reduced = (kind: Parameters<Backend["reduce"]>[0]): Run => (bench) => {
  const out = bench.output(kind.startsWith("arg") ? "i32" : "f32", [9, 1]);
  const near = (): number => kind === "prod" ? 1 + 0.1 * bench.random.normal() : bench.random.normal();
  bench.backend.reduce(kind, null, [bench.input("f32", [9, 200], "contiguous", near)], [], [1], out);
  return out;
};

const primitives: Readonly<Record<string, Run>> = {
  ...Object.fromEntries(
    (["f32", "f16", "bf16"] as const).map((dtype) => [`matmul, weights ${dtype}`, products(dtype)]),
  ),
  "matmul, weights q8": blocks("q8"),
  "matmul, weights q4": blocks("q4"),
  ...Object.fromEntries(
    (["sum", "prod", "max", "min", "argmax", "argmin"] as const).map((
      kind,
    ) => [`reduce ${kind}`, reduced(kind)]),
  ),
  gather(bench) {
    const index = bench.input("i32", [7, 6], "contiguous", () => bench.random.integer(-9, 9)),
      out = bench.output("f32", [7, 6]);
    bench.backend.gather(bench.input("f32", [9, 6]), 0, index, out);
    return out;
  },
  scatter(bench) {
    const index = bench.input("i32", [40, 6], "contiguous", () => bench.random.integer(-9, 9)),
      out = bench.input("f32", [9, 6]);
    bench.backend.scatter("add", out, 0, index, bench.input("f32", [40, 6]));
    return out;
  },
  cumsum(bench) {
    const out = bench.output("f32", [3, 500]);
    bench.backend.cumsum(bench.input("f32", [3, 500]), 1, out);
    return out;
  },
  sort(bench) {
    const out = bench.output("f32", [3, 100]);
    bench.backend.sort(bench.input("f32", [3, 100]), true, out, bench.output("i32", [3, 100]));
    return out;
  },
  "random normal"(bench) {
    const out = bench.output("f32", [1000]);
    bench.backend.random("normal", 5, 8, out);
    return out;
  },
};

async function primitiveError(backend: Backend, run: Run): Promise<string> {
  const [ours, oracle] = [backend, reference].map((device) => new Workbench(device, 4));
  const [y, expected] = await Promise.all([ours, oracle].map((bench) => bench.read(run(bench))));
  const largest = Math.max(...expected.map(Math.abs)) || 1;
  const off = Math.max(...y.map((v, i) => Math.abs(v - expected[i])));
  return off === 0 ? "exact" : `${(off / largest).toExponential(1)}`;
}

const structured: readonly (keyof Kernels)[] = [
  "softmax",
  "softmaxBackward",
  "layerNorm",
  "layerNormBackward",
  "rmsNorm",
  "rmsNormBackward",
  "attention",
  "attentionBackward",
  "crossEntropy",
  "crossEntropyBackward",
  "sample",
];

/** Whether a number below 2^-126 survives an addition. */
async function keepsSubnormals(backend: Backend): Promise<boolean> {
  const bench = new Workbench(backend), x = bench.of("f32", [1], [1e-40]), out = bench.output("f32", [1]);
  backend.elementwise(program("f32", [mul(input(0), scalar(0))]), [x], [3], [out]);
  return (await bench.read(out))[0] !== 0;
}

line("", devices.map((device) => device.name));
for (const dtype of dtypes) line(`holds ${dtype}`, devices.map((d) => d.supports(dtype) ? "yes" : "no"));
for (const row of Object.values(table)) {
  line(
    row.name,
    await Promise.all(devices.map((d) => rowError(d, row))),
  );
}
for (const [name, run] of Object.entries(primitives)) {
  line(name, await Promise.all(devices.map((d) => primitiveError(d, run))));
}
for (const name of structured) line(name, devices.map((d) => d.kernels[name] ? "kernel" : "definition"));

console.log("\nGaps");
console.log("reference: kernels are left out, so that definitions are what the others are held against.");
console.log(
  "cpu, webgpu: no f64; neither WebAssembly SIMD kernels nor WGSL (which has no such type) compute in it.",
);
console.log("cpu: no kernel for RMS norm, and none to draw tokens, whose logits JavaScript reads in place.");
if (adapter === null) console.log(`webgpu: ${reason}.`);
else {
  console.log("webgpu: an index out of range is reported by the next read, since no call waits for the GPU.");
  console.log(
    "webgpu: .to({ device }) to another device, and making q8 or q4 there, need a read: await t.data() first.",
  );
  if (!await keepsSubnormals(devices[2])) {
    console.log("webgpu: this adapter takes numbers below 2^-126 for 0, as WGSL lets it.");
  }
}
