import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { elementwise } from "../src/backends/cpu/kernels/elementwise.ts";
import "../src/backends/kernels/quantized.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import type { DType } from "../src/core/dtype.ts";
import { toF16 } from "../src/core/half.ts";
import { Generator } from "../src/core/random.ts";
import { add, div, eq, exp, lt, max, min, mul, ne, neg, not, rem, select, sub } from "../src/expr/build.ts";
import { type ComputeType, type Expr, input, type Program, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { table } from "../src/expr/table.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { cpuTwins } from "./_cpu_twins.ts";
import type { Layout, Twin } from "./_twins.ts";
import { width } from "./_width.ts";

const storable: readonly DType[] = ["f32", "f16", "bf16", "i32", "i64", "u8", "bool"];
const reference = createReferenceBackend();
const [x, y, z] = [input(0), input(1), input(2)];

const engine = new Engine();
const twins = cpuTwins(engine, reference);

/** Runs a program on both devices over random views and compares the buffers of its results. */
function check(
  what: string,
  random: Generator,
  run: Program,
  dtypes: { inputs: readonly DType[]; outputs: readonly DType[] },
  shape: readonly number[],
  fill: (random: Generator) => number,
  scalars: readonly number[] = [],
  layout: { inputs?: Layout; outputs?: Layout } = {},
): void {
  const inputs = dtypes.inputs.map((dtype) =>
    twins.view(random, dtype, shape, fill, layout.inputs ?? { broadcast: true })
  );
  const outputs = dtypes.outputs.map((dtype) => twins.view(random, dtype, shape, fill, layout.outputs));
  on(inputs, outputs, run, scalars);
  const text = `${what} ${JSON.stringify({ shape, views: [...inputs, ...outputs].map(textOf) })}`;
  for (const output of outputs) twins.compare(output, 2e-6, text);
  twins.release();
}

function textOf({ tested }: Twin): string {
  return `${tested.dtype} ${tested.strides} +${tested.offset}`;
}

function on(
  inputs: readonly Twin[],
  outputs: readonly Twin[],
  run: Program,
  scalars: readonly number[],
): void {
  elementwise(engine, run, inputs.map((t) => t.tested), scalars, outputs.map((t) => t.tested));
  reference.elementwise(run, inputs.map((t) => t.oracle), scalars, outputs.map((t) => t.oracle));
}

/** Few bits, so that products and sums are exact. */
const small = (random: Generator): number => random.integer(-32, 32) / 8;
const whole = (random: Generator): number => random.integer(-100, 100);

const floats = program("f32", [add(mul(x, y), z)]);
const integers = (type: ComputeType): Program =>
  program(type, [select(lt(x, y), sub(mul(x, z), y), div(x, z))]);

describe("cpu elementwise", () => {
  it("handles every length of row and tail", () => {
    const random = new Generator(1);
    const flat = { contiguous: true };
    for (
      const shape of [[0], [1], [2], [3], [4], [5], [6], [7], [8], [9], [15], [16], [17], [33], [8193], [
        16390,
      ]]
    ) {
      for (const dtype of ["f32", "bf16", "u8"] as const) {
        const dtypes = { inputs: [dtype, dtype, dtype], outputs: [dtype] };
        check("flat", random, floats, dtypes, shape, small, [], { inputs: flat, outputs: flat });
      }
      const dtypes = { inputs: ["i64", "i64", "i64"], outputs: ["i64"] } as const;
      check("flat", random, integers("i64"), dtypes, shape, whole, [], { inputs: flat, outputs: flat });
    }
  });

  it("handles random strided, broadcast and reversed views", () => {
    const random = new Generator(2);
    const sizes = [1, 2, 3, 4, 5, 7, 8, 9, 16, 19, 40];
    const size = () => sizes[random.integer(0, sizes.length)];
    for (let i = 0; i < width(140, 50); i++) {
      const shape = Array.from({ length: random.integer(0, 5) }, size);
      const pick = () => storable[random.integer(0, storable.length)];
      const dtypes = random.uniform() < 0.5
        ? { inputs: ["f32", "f32", "f32"] as const, outputs: ["f32"] as const }
        : { inputs: [pick(), pick(), pick()], outputs: [pick()] };
      check("strided f32", random, floats, dtypes, shape, small);
      const type = random.uniform() < 0.5 ? "i32" : "i64";
      check(`strided ${type}`, random, integers(type), dtypes, shape, whole);
    }
  });

  it("turns transposed operands over in tiles", () => {
    const random = new Generator(3);
    for (const [rows, columns] of [[4, 4], [5, 7], [64, 64], [33, 130], [100, 31], [257, 129]]) {
      for (const dtype of ["f32", "bf16", "i32", "u8"] as const) {
        for (const batch of [1, 3]) {
          const shape = [batch, rows, columns], count = batch * rows * columns;
          const data = Uint8Array.from(
            { length: 4 * count },
            () => random.integer(0, 64),
          );
          const bytes = data.subarray(0, count * (dtype === "bf16" ? 2 : dtype === "u8" ? 1 : 4));
          const across = twins.make(dtype, shape, [rows * columns, 1, rows], 0, bytes);
          const along = twins.make(dtype, shape, [0, columns, 1], 0, bytes);
          const out = twins.make(dtype, shape, [rows * columns, columns, 1], 0, bytes);
          on([across], [out], program(dtype === "f32" || dtype === "bf16" ? "f32" : "i32", [x]), []);
          twins.compare(out, 0, `copy ${shape} ${dtype}`);
          const type = dtype === "f32" || dtype === "bf16" ? "f32" : "i32";
          on([across, along], [out], program(type, [sub(x, mul(y, scalar(0)))]), [2]);
          twins.compare(out, 1e-6, `sub ${shape} ${dtype}`);
          twins.release();
        }
      }
    }
  });

  it("converts between all dtypes as the reference does", () => {
    const random = new Generator(4);
    const special = [
      0,
      -0,
      1,
      -1,
      0.5,
      -0.5,
      1.5,
      2.5,
      255,
      256,
      -1.9,
      65504,
      65520,
      65536,
      7e4,
      -7e4,
      6e-8,
      3e-8,
      1e-7,
    ];
    special.push(
      2 ** -14,
      2 ** -24,
      2 ** -25,
      1e-40,
      3e38,
      -3e38,
      Infinity,
      -Infinity,
      NaN,
      2147483647,
      -2147483648,
    );
    const any = (r: Generator) =>
      r.uniform() < 0.5 ? special[r.integer(0, special.length)] : (r.uniform() - 0.5) * 1e3;
    // Programs in f32 hold integers of 24 bits.
    const integral = (type: ComputeType) => (r: Generator) => {
      const limit = type === "f32" ? 2 ** 24 : 2 ** 40;
      return r.integer(-limit, limit);
    };
    for (const from of storable) {
      for (const to of storable) {
        for (const type of ["f32", "i32", "i64"] as const) {
          const fill = from === "i64" || from === "i32" ? integral(type) : any;
          const dtypes = { inputs: [from], outputs: [to] };
          const layout = { inputs: { contiguous: true }, outputs: { contiguous: true } };
          check(`${from} to ${to} in ${type}`, random, program(type, [x]), dtypes, [203], fill, [], layout);
          check(`${from} to ${to} in ${type}`, random, program(type, [x]), dtypes, [5, 9], fill, []);
        }
      }
    }
  });

  it("reads quantised weights", () => {
    const random = new Generator(9);
    for (const dtype of ["q8", "q4"] as const) {
      const blockBytes = dtype === "q8" ? 34 : 18, blocks = 700;
      const bytes = Uint8Array.from({ length: blocks * blockBytes }, () => random.integer(0, 256));
      const data = new DataView(bytes.buffer);
      for (let i = 0; i < blocks; i++) data.setUint16(i * blockBytes, toF16(random.uniform()), true);
      const layouts: [number[], number[], number][] = [[[blocks * 32], [1], 0], [[100, 64], [64, 1], 96], [
        [64, 100],
        [1, 64],
        0,
      ]];
      for (const [shape, strides, offset] of layouts) {
        const from = twins.make(dtype, shape, strides, offset, bytes);
        const out = twins.view(random, "f32", shape, small, { contiguous: true });
        on([from], [out], program("f32", [mul(x, scalar(0))]), [2]);
        twins.compare(out, 0, `${dtype} ${shape}`);
        twins.release();
      }
    }
  });

  it("rounds every f16 and bf16 as core/half.ts", () => {
    const bytes = new Uint8Array(2 * 65536);
    const words = new Uint16Array(bytes.buffer);
    for (let i = 0; i < 65536; i++) words[i] = i;
    for (const dtype of ["f16", "bf16"] as const) {
      const from = twins.make(dtype, [65536], [1], 0, bytes);
      for (const scale of [1, 0.49, 1.0009765625, 0.50048828125, 3e-5, 2 ** -10]) {
        const back = twins.make(dtype, [65536], [1], 0, bytes),
          wide = twins.make("f32", [65536], [1], 0, new Uint8Array(4 * 65536));
        on([from], [back, wide], program("f32", [mul(x, scalar(0)), mul(x, scalar(0))]), [scale]);
        assert(
          nanless(twins.tested.bytes(back.tested.buffer), dtype) ===
            nanless(twins.oracle.bytes(back.oracle.buffer), dtype),
          `${dtype} times ${scale}`,
        );
        twins.compare(wide, 0, `${dtype} to f32`);
      }
      twins.release();
    }
  });

  it("computes every row of the table", () => {
    const random = new Generator(5);
    for (const [name, row] of Object.entries(table)) {
      const tensors = Array.from({ length: row.arity }, (_, i) => input(i));
      const numbers = Array.from({ length: row.scalars ?? 0 }, (_, i) => scalar(i));
      const run = program("f32", [row.formula(...tensors, ...numbers)], {
        inputs: row.arity,
        scalars: row.scalars ?? 0,
      });
      const dtypes = { inputs: tensors.map(() => "f32" as const), outputs: ["f32" as const] };
      const edge = [0, 1, -1, Infinity, -Infinity, NaN, 0.5];
      const fill = (r: Generator) =>
        r.uniform() < 0.1 ? edge[r.integer(0, edge.length)] : r.uniform() * 6 - 3;
      const flat = { contiguous: true };
      // Where the result cancels, the last bit of an operand is more than the last bit of the result.
      const inputs = tensors.map(() => twins.view(random, "f32", [1003], fill, flat));
      const outputs = [twins.view(random, "f32", [1003], fill, flat)];
      on(inputs, outputs, run, [0.7, 1.3].slice(0, run.scalars));
      compareLoosely(name, outputs[0], dtypes.inputs.length);
      twins.release();
    }
  });

  it("computes integers, with wrapping, division by zero and powers", () => {
    const random = new Generator(6);
    const edge = [0, 1, -1, 2, 3, -7, 2147483647, -2147483648];
    const fill = (r: Generator) => r.uniform() < 0.6 ? edge[r.integer(0, edge.length)] : r.integer(-50, 50);
    const formulas: Expr[] = [
      add(x, y),
      mul(x, y),
      div(x, y),
      rem(x, y),
      min(x, y),
      max(x, y),
      { kind: "binary", op: "pow", x, y },
      neg(x),
      { kind: "unary", op: "sign", x },
      { kind: "unary", op: "abs", x },
      not(x),
      mul(ne(x, 0), not(eq(y, 1))),
      select(x, y, 7),
    ];
    for (const type of ["i32", "i64"] as const) {
      for (const formula of formulas) {
        const run = program(type, [formula], { inputs: 2 });
        check(JSON.stringify(formula), random, run, { inputs: [type, type], outputs: [type] }, [515], fill);
      }
    }
  });

  it("writes several results, also in place", () => {
    const random = new Generator(7);
    const run = program("f32", [add(x, mul(y, scalar(0))), max(x, y), sub(y, x)]);
    for (const shape of [[5], [64], [7, 33], [1000]]) {
      const flat = { contiguous: true };
      const [a, b] = [1, 2].map(() => twins.view(random, "f32", shape, small, flat));
      const other = twins.view(random, "bf16", shape, small, {});
      on([a, b], [a, b, other], run, [2.5]);
      for (const view of [a, b, other]) twins.compare(view, 1e-6, `in place ${shape}`);
      twins.release();
    }
    const line = twins.view(random, "f32", [9, 13], small, {});
    on([line], [line], program("f32", [exp(x)]), []);
    twins.compare(line, 1e-6, "in place, strided");
    twins.release();
  });

  it("gives the same bits whatever the number of threads", async () => {
    const many = new Engine({ threads: 2, platform: testPlatform() });
    try {
      if (many.threadProblem !== null) return;
      assertStrictEquals(await many.ready(), 2);
      const random = new Generator(8);
      const run = program("f32", [mul(exp(x), add(y, 1))]);
      for (
        const [shape, strides] of [[[300000], [1]], [[700, 333], [333, 1]], [[333, 700], [1, 333]]] as const
      ) {
        const count = shape.reduce((a: number, b: number) => a * b, 1);
        const values = Float32Array.from({ length: count }, () => small(random));
        const [one, two] = [engine, many].map((own) => {
          const buffers = [0, 1].map(() => {
            const pointer = own.heap.allocate(4 * count);
            own.f32.set(values, pointer >>> 2);
            return { pointer, byteLength: 4 * count };
          });
          const views = buffers.map((buffer): View => ({ buffer, dtype: "f32", shape, strides, offset: 0 }));
          elementwise(own, run, [views[0], views[0]], [], [views[1]]);
          const result = own.u8.slice(buffers[1].pointer, buffers[1].pointer + 4 * count);
          for (const { pointer } of buffers) own.heap.release(pointer);
          return result;
        });
        assertEquals(one, two, `${shape}`);
      }
    } finally {
      many.dispose();
    }
  });
});

/** Words of f16 or bf16, with all NaN made one, as text. */
function nanless(bytes: Uint8Array, dtype: DType): string {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const infinity = dtype === "f16" ? 0x7c00 : 0x7f80;
  return words.map((word) => (word & 0x7fff) > infinity ? 0xffff : word).join();
}

function compareLoosely(name: string, { tested, oracle: expected }: Twin, arity: number): void {
  const values = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer);
  const a = values(twins.tested.bytes(tested.buffer)), e = values(twins.oracle.bytes(expected.buffer));
  let wrong = 0;
  for (let i = 0; i < a.length; i++) {
    if (Object.is(a[i], e[i]) || a[i] === e[i]) continue;
    if (Math.abs(a[i] - e[i]) <= 3e-6 * Math.abs(e[i]) + 1e-6) continue;
    wrong++;
  }
  // A discontinuous row may fall on the other side of its step for a few operands.
  assert(wrong <= (arity > 1 ? 2 : 0), `${name}: ${wrong} of ${a.length} differ`);
}
