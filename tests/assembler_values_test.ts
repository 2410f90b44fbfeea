/**
 * What emitted instructions on scalars and memory compute, against plain TypeScript: an opcode in the wrong row of the
 * tables, with the right types, would validate, and is found here. Vectors are in `assembler_vectors_test.ts`.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  type AtomicName,
  instruction,
  type LaneMemoryName,
  type LoadName,
  ModuleBuilder,
  type PlainName,
  type ValueType,
} from "../src/backends/cpu/assembler/mod.ts";
import { cpuFeatures } from "../src/backends/cpu/features.ts";
import { describe, it } from "./_suite.ts";
import { bytesOf, vector } from "./_vectors.ts";

type Value = number | bigint;
type Export = (...args: Value[]) => Value;

const features = cpuFeatures();

/** Instantiates a module of one function "f". */
function load(m: ModuleBuilder): Export {
  return new WebAssembly.Instance(new WebAssembly.Module(m.build())).exports.f as Export;
}

/** Calls one scalar instruction. */
function scalar(name: PlainName, ...args: Value[]): Value {
  const { params, results } = instruction(name).type;
  const m = new ModuleBuilder();
  const f = m.function("f", { params, results });
  f.params.forEach((param) => f.get(param));
  f.op(name);
  return load(m)(...args);
}

describe("scalar instructions", () => {
  const cases: [PlainName, Value[], Value][] = [
    ["i32.sub", [3, 5], -2],
    ["i32.mul", [0x10001, 0x10001], 0x20001],
    ["i32.div_s", [-7, 2], -3],
    ["i32.div_u", [-7, 2], 0x7ffffffc],
    ["i32.rem_s", [-7, 3], -1],
    ["i32.rem_u", [-7, 3], 0],
    ["i32.and", [12, 10], 8],
    ["i32.or", [12, 10], 14],
    ["i32.xor", [12, 10], 6],
    ["i32.shl", [3, 33], 6],
    ["i32.shr_s", [-8, 1], -4],
    ["i32.shr_u", [-8, 1], 0x7ffffffc],
    ["i32.rotl", [0x40000001, 2], 5],
    ["i32.rotr", [5, 2], 0x40000001],
    ["i32.clz", [1], 31],
    ["i32.ctz", [8], 3],
    ["i32.popcnt", [255], 8],
    ["i32.eqz", [0], 1],
    ["i32.lt_s", [-1, 1], 1],
    ["i32.lt_u", [-1, 1], 0],
    ["i32.gt_s", [-1, 1], 0],
    ["i32.gt_u", [-1, 1], 1],
    ["i32.le_s", [1, 1], 1],
    ["i32.le_u", [2, -1], 1],
    ["i32.ge_s", [2, -1], 1],
    ["i32.ge_u", [2, -1], 0],
    ["i64.sub", [3n, 5n], -2n],
    ["i64.mul", [1n << 40n, 3n], 3n << 40n],
    ["i64.div_s", [-7n, 2n], -3n],
    ["i64.rem_u", [-7n, 3n], 0n],
    ["i64.shr_s", [-8n, 1n], -4n],
    ["i64.shr_u", [-8n, 1n], (1n << 63n) - 4n],
    ["i64.rotl", [-(1n << 63n), 1n], 1n],
    ["i64.clz", [1n], 63n],
    ["i64.popcnt", [-1n], 64n],
    ["i64.lt_u", [-1n, 1n], 0],
    ["i64.ge_s", [2n, -1n], 1],
    ["f32.add", [0.1, 0.2], Math.fround(Math.fround(0.1) + Math.fround(0.2))],
    ["f32.div", [1, 3], Math.fround(1 / 3)],
    ["f32.min", [-0, 0], -0],
    ["f32.max", [NaN, 1], NaN],
    ["f32.copysign", [3, -1], -3],
    ["f32.nearest", [2.5], 2],
    ["f32.sqrt", [2], Math.fround(Math.SQRT2)],
    ["f32.lt", [1, NaN], 0],
    ["f32.ne", [1, NaN], 1],
    ["f64.add", [0.1, 0.2], 0.1 + 0.2],
    ["f64.sub", [1, 0.9], 1 - 0.9],
    ["f64.mul", [0.1, 3], 0.1 * 3],
    ["f64.floor", [-1.5], -2],
    ["f64.ceil", [-1.5], -1],
    ["f64.trunc", [-1.5], -1],
    ["f64.abs", [-1.5], 1.5],
    ["f64.neg", [1.5], -1.5],
    ["f64.ge", [2, 1], 1],
    ["i32.wrap_i64", [(5n << 32n) + 7n], 7],
    ["i32.trunc_f32_s", [-1.9], -1],
    ["i32.trunc_f64_u", [4e9], 4e9 | 0],
    ["i64.extend_i32_s", [-1], -1n],
    ["i64.extend_i32_u", [-1], 0xffffffffn],
    ["i64.trunc_f64_s", [-1e15], -(10n ** 15n)],
    ["f32.convert_i32_u", [-1], 4294967296],
    ["f64.convert_i32_s", [-1], -1],
    ["f64.convert_i64_u", [-1n], 2 ** 64],
    ["f32.demote_f64", [0.1], Math.fround(0.1)],
    ["f64.promote_f32", [0.1], Math.fround(0.1)],
    ["i32.reinterpret_f32", [1], 0x3f800000],
    ["i64.reinterpret_f64", [1], 0x3ff0000000000000n],
    ["f32.reinterpret_i32", [0x40490fdb], Math.fround(Math.PI)],
    ["f64.reinterpret_i64", [0x400921fb54442d18n], Math.PI],
    ["i32.extend8_s", [0x80], -128],
    ["i32.extend16_s", [0x8000], -32768],
    ["i64.extend8_s", [0x80n], -128n],
    ["i64.extend16_s", [0x8000n], -32768n],
    ["i64.extend32_s", [0x80000000n], -0x80000000n],
    ["i32.trunc_sat_f32_s", [NaN], 0],
    ["i32.trunc_sat_f32_u", [-5], 0],
    ["i32.trunc_sat_f64_s", [1e10], 0x7fffffff],
    ["i32.trunc_sat_f64_u", [1e10], -1],
    ["i64.trunc_sat_f32_s", [-1e30], -(1n << 63n)],
    ["i64.trunc_sat_f32_u", [1e30], -1n],
    ["i64.trunc_sat_f64_s", [1e30], (1n << 63n) - 1n],
    ["i64.trunc_sat_f64_u", [-1], 0n],
  ];
  it("compute what the specification says", () => {
    for (const [name, args, expected] of cases) assert(Object.is(scalar(name, ...args), expected), name);
  });
});

describe("memory", () => {
  const memory = Uint8Array.from({ length: 64 }, (_, i) => 120 + 3 * i);
  const at = 2;
  const from = (name: LoadName) =>
    vector((f) => {
      f.i32(at);
      f.load(name, 64, 1);
    });
  it("vector loads extend, splat and zero", () => {
    const bytes = memory.subarray(at);
    const view = new DataView(memory.buffer, at);
    assertEquals(from("v128.load"), bytes.slice(0, 16));
    const widths = [8, 16, 32] as const;
    for (const width of widths) {
      for (const sign of ["s", "u"] as const) {
        const make = { 16: Int16Array, 32: Int32Array, 64: BigInt64Array }[2 * width] as typeof BigInt64Array;
        const get = (i: number) =>
          width === 8
            ? (sign === "s" ? view.getInt8(i) : view.getUint8(i))
            : width === 16
            ? (sign === "s" ? view.getInt16(2 * i, true) : view.getUint16(2 * i, true))
            : BigInt(sign === "s" ? view.getInt32(4 * i, true) : view.getUint32(4 * i, true));
        const name = `v128.load${width}x${64 / width}_${sign}` as LoadName;
        assertEquals(
          from(name),
          bytesOf(make.from({ length: 64 / width }, (_, i) => get(i) as bigint)),
          name,
        );
      }
    }
    for (const width of [8, 16, 32, 64] as const) {
      const size = width / 8;
      assertEquals(
        from(`v128.load${width}_splat`),
        Uint8Array.from({ length: 16 }, (_, i) => bytes[i % size]),
      );
      const lane = 16 / size - 1;
      const loaded = vector((f) => {
        f.i32(at);
        f.i8x16(9);
        f.laneMemory(`v128.load${width}_lane` as LaneMemoryName, lane, 64, 1);
      });
      assertEquals(
        loaded,
        Uint8Array.from({ length: 16 }, (_, i) => i < lane * size ? 9 : bytes[i - lane * size]),
      );
      const stored = vector((f) => {
        f.i32(128);
        f.load("v128.load");
      }, (f) => {
        f.i32(128);
        f.v128(Uint8Array.from({ length: 16 }, (_, i) => i + 1));
        f.laneMemory(`v128.store${width}_lane` as LaneMemoryName, lane);
      });
      assertEquals(stored, Uint8Array.from({ length: 16 }, (_, i) => i < size ? lane * size + i + 1 : 0));
    }
    assertEquals(from("v128.load32_zero"), Uint8Array.from({ length: 16 }, (_, i) => i < 4 ? bytes[i] : 0));
    assertEquals(from("v128.load64_zero"), Uint8Array.from({ length: 16 }, (_, i) => i < 8 ? bytes[i] : 0));
  });

  it("scalar loads and stores, size, grow, copy and fill", () => {
    const m = new ModuleBuilder();
    m.memory({ initial: 1, maximum: 3, export: "memory" });
    const f = m.function("f", { results: ["i32", "i32", "i32", "i64", "i32"] });
    f.i32(8);
    f.i64(-2n);
    f.store("i64.store");
    f.i32(100);
    f.i32(8);
    f.i32(3);
    f.op("memory.copy");
    f.i32(103);
    f.i32(7);
    f.i32(2);
    f.op("memory.fill");
    f.i32(105);
    f.f32(1);
    f.store("f32.store", 3);
    f.i32(110);
    f.i32(0x1234);
    f.store("i32.store8", 10);
    f.i32(1);
    f.op("memory.grow");
    f.op("memory.size");
    f.i32(100);
    f.load("i32.load8_s");
    f.i32(100);
    f.load("i64.load16_u");
    f.i32(100);
    f.load("i32.load16_s", 20);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
    assertEquals((exports.f as () => unknown)(), [1, 2, -2, 0xfffen, 0x34]);
    const bytes = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
    assertEquals([...bytes.subarray(99, 113)], [0, 254, 255, 255, 7, 7, 0, 0, 0, 0, 0, 128, 63, 0]);
  });

  it("64-bit addresses", { skip: features.memory64.reason ?? false }, () => {
    const m = new ModuleBuilder();
    m.memory({ initial: 1, memory64: true });
    m.data(8, Uint8Array.of(5, 6, 7, 8));
    const f = m.function("f", { results: ["i32"] });
    const i = f.local("i64");
    const sum = f.local("i32");
    f.forRange(i, 8, 12, 1, () => {
      f.get(sum);
      f.get(i);
      f.load("i32.load8_u");
      f.op("i32.add");
      f.set(sum);
    });
    f.get(sum);
    assertStrictEquals(load(m)(), 26);
  });

  it("atomics", { skip: features.threads.reason ?? false }, () => {
    const call = (name: AtomicName, type: ValueType, ...operands: number[]): Value[] => {
      const m = new ModuleBuilder();
      m.memory({ initial: 1, maximum: 1, shared: true });
      m.data(16, Uint8Array.of(12, 0, 0, 0));
      const { results } = instruction(name).type;
      const f = m.function("f", { results: [...results, "i32"] });
      f.i32(8);
      for (const operand of operands) f[type as "i32"](operand);
      f.atomic(name, 8);
      f.op("atomic.fence");
      f.i32(16);
      f.atomic("i32.atomic.load");
      return load(m)() as unknown as Value[];
    };
    const effects: [string, number][] = [["add", 22], ["sub", 2], ["and", 8], ["or", 14], ["xor", 6], [
      "xchg",
      10,
    ]];
    for (const [op, after] of effects) {
      assertEquals(call(`i32.atomic.rmw.${op}` as AtomicName, "i32", 10), [12, after], op);
      assertEquals(call(`i64.atomic.rmw8.${op}_u` as AtomicName, "i64", 10), [12n, after], op);
    }
    assertEquals(call("i32.atomic.rmw.cmpxchg", "i32", 12, 99), [12, 99]);
    assertEquals(call("i32.atomic.rmw16.cmpxchg_u", "i32", 13, 99), [12, 12]);
    assertEquals(call("memory.atomic.notify", "i32", 1), [0, 12]);
    const m = new ModuleBuilder();
    m.memory({ initial: 1, maximum: 1, shared: true });
    const f = m.function("f", { results: ["i32"] });
    f.i32(0);
    f.i32(1); // memory holds 0, so the wait ends at once with "not equal", which is 1
    f.i64(-1);
    f.atomic("memory.atomic.wait32");
    assertStrictEquals(load(m)(), 1);
  });
});
