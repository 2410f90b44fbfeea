/**
 * The assembler: every instruction validates; structure, modules and encodings do what they say. What instructions
 * compute is in `assembler_values_test.ts`, mistakes are in `assembler_errors_test.ts`.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import {
  ByteWriter,
  type FunctionBuilder,
  type Instruction,
  instruction,
  type InstructionName,
  instructionNames,
  type LaneMemoryName,
  type Local,
  ModuleBuilder,
  type Proposal,
  ValidationError,
  type ValueType,
} from "../src/backends/cpu/assembler/mod.ts";
import { cpuFeatures } from "../src/backends/cpu/features.ts";
import { describe, it } from "./_suite.ts";

type Numbers = (...args: number[]) => number;

/** The exports of a module, instantiated. */
function run(m: ModuleBuilder, imports: WebAssembly.Imports = {}): Record<string, Numbers> {
  return new WebAssembly.Instance(new WebAssembly.Module(m.build()), imports).exports as Record<
    string,
    Numbers
  >;
}

/** One function of i32 parameters and one i32 result. */
function i32Function(params: number, body: (f: FunctionBuilder, params: readonly Local[]) => void): Numbers {
  const m = new ModuleBuilder();
  const f = m.function("f", { params: new Array<ValueType>(params).fill("i32"), results: ["i32"] });
  body(f, f.params);
  return run(m).f;
}

function constant(f: FunctionBuilder, type: ValueType): void {
  if (type === "v128") f.i8x16(0);
  else f[type](0);
}

function emit(f: FunctionBuilder, row: Instruction): void {
  const name = row.name as never;
  if (row.form === "plain") f.op(name);
  else if (row.form === "lane") f.lane(name, row.lanes - 1);
  else if (row.form === "laneMemory") f.laneMemory(name as LaneMemoryName, row.lanes - 1, 16);
  else if (row.form === "atomic") f.atomic(name, 2 ** row.alignment);
  else f[row.form](name, 65536, 1);
}

/** A module whose one function uses the instruction once. */
function moduleWith(row: Instruction, memory64: boolean): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder();
  m.memory({ initial: 1, maximum: 1, shared: row.proposal === "threads", memory64 });
  const type = memory64 ? row.type64 : row.type;
  const f = m.function("f", { results: type.results });
  type.params.forEach((param) => constant(f, param));
  emit(f, row);
  return m.build();
}

const rows = (): Instruction[] => instructionNames().map(instruction);
const features = cpuFeatures();
const skips: Record<Proposal, string | undefined> = {
  mvp: undefined,
  simd: features.simd.reason,
  relaxedSimd: features.relaxedSimd.reason,
  threads: features.threads.reason,
};

describe("the instruction tables", () => {
  for (const proposal of Object.keys(skips) as Proposal[]) {
    it(`every ${proposal} instruction validates`, { skip: skips[proposal] ?? false }, () => {
      const of = rows().filter((row) => row.proposal === proposal);
      assert(of.length > 0);
      assertEquals(
        of.filter((row) => !WebAssembly.validate(moduleWith(row, false))).map((row) => row.name),
        [],
      );
    });
  }

  it("every instruction with an address validates with 64-bit addresses", {
    skip: features.memory64.reason ?? false,
  }, () => {
    const of = rows().filter((row) => row.addressed && skips[row.proposal] === undefined);
    assert(of.length > 90);
    assertEquals(of.filter((row) => !WebAssembly.validate(moduleWith(row, true))).map((row) => row.name), []);
  });

  it("have as many instructions as the specification, each with an opcode of its own", () => {
    const count = (proposal: Proposal): number => rows().filter((row) => row.proposal === proposal).length;
    // SIMD128 has 236 instructions; v128.const and i8x16.shuffle are methods. MVP: 123 numeric, 23 loads and
    // stores, memory.size and grow; then 5 sign extensions, 8 saturating truncations, memory.copy and fill.
    assertEquals(
      { mvp: count("mvp"), simd: count("simd"), relaxed: count("relaxedSimd"), threads: count("threads") },
      { mvp: 163, simd: 234, relaxed: 20, threads: 67 },
    );
    assertStrictEquals(new Set(rows().map((row) => row.opcode.join())).size, rows().length);
  });

  it("name what does not exist, and the method that emits what does", () => {
    const f = new ModuleBuilder().function("kernel");
    assertMatch(String(assertThrows(() => f.op("f32x4.fma" as never))), /no instruction "f32x4.fma"/);
    assertThrows(() => f.op("toString" as never), Error, 'no instruction "toString"');
    assertMatch(
      String(assertThrows(() => f.op("v128.load" as never))),
      /kernel: v128.load .*FunctionBuilder.load/,
    );
    assertMatch(String(assertThrows(() => f.load("i32.add" as never))), /FunctionBuilder.op/);
    assertThrows(() => f.op("local.get" as never), Error, "methods of FunctionBuilder");
    assertThrows(() => instruction("i32.nonsense" as InstructionName), ValidationError);
  });
});

describe("control", () => {
  it("if, else and block give values", () => {
    const f = i32Function(1, (f, [x]) => {
      f.block("i32", (label) => {
        f.get(x);
        f.if("i32", () => f.i32(10), () => {
          f.i32(20);
          f.br(label);
        });
        f.i32(1);
        f.op("i32.add");
      });
    });
    assertEquals([f(1), f(0)], [11, 20]);
  });

  it("br_table, br_if and loop choose", () => {
    const f = i32Function(1, (f, [x]) => {
      f.block((other) => {
        f.block((one) => {
          f.block((zero) => {
            f.get(x);
            f.brTable([zero, one], other);
          });
          f.i32(100);
          f.return();
        });
        f.i32(101);
        f.return();
      });
      f.i32(102);
    });
    assertEquals([f(0), f(1), f(2), f(-1)], [100, 101, 102, 102]);
    const log2 = i32Function(1, (f, [x]) => {
      const n = f.local("i32");
      f.block((done) =>
        f.loop((again) => {
          f.get(x);
          f.i32(1);
          f.op("i32.shr_u");
          f.tee(x);
          f.op("i32.eqz");
          f.brIf(done);
          f.increment(n, 1);
          f.br(again);
        })
      );
      f.get(n);
    });
    assertEquals([log2(1), log2(1000), log2(-1)], [0, 9, 31]);
  });

  it("blocks may take and give several values", () => {
    const m = new ModuleBuilder();
    const swap = m.function("swap", { params: ["i32", "i32"], results: ["i32", "i32"] });
    const [a, b] = swap.params;
    swap.get(a);
    swap.get(b);
    const kept = swap.local("i32");
    swap.block({ params: ["i32", "i32"], results: ["i32", "i32"] }, () => {
      swap.set(kept);
      swap.set(a);
      swap.get(kept);
      swap.get(a);
    });
    const f = m.function("f", { results: ["i32"] });
    f.i32(5);
    f.i32(7);
    f.call(swap);
    f.op("i32.sub");
    assertStrictEquals(run(m).f(), 2);
  });

  it("nop, select, drop and unreachable", () => {
    const f = i32Function(1, (f, [x]) => {
      f.op("nop");
      f.i32(1);
      f.i32(2);
      f.get(x);
      f.op("select");
      f.i32(0);
      f.op("drop");
      f.get(x);
      f.i32(9);
      f.op("i32.eq");
      f.if(() => f.op("unreachable"));
    });
    assertEquals([f(1), f(0)], [1, 2]);
    assertThrows(() => f(9), WebAssembly.RuntimeError);
  });
});

describe("forRange", () => {
  /** The values a loop runs over, as bits appended to a checksum, and the variable after it. */
  const check = (
    from: number,
    to: number,
    step: number,
    unsigned: boolean,
    form: "number" | "local" | "code",
  ): void => {
    const f = i32Function(4, (f, [from_, to_, step_, wanted]) => {
      const i = f.local("i32");
      const sum = f.local("i32");
      const bound = (value: number, local: Local) =>
        form === "number" ? value : form === "local" ? local : () => f.get(local);
      f.forRange(i, bound(from, from_), bound(to, to_), form === "number" || step < 0 ? step : step_, () => {
        f.get(sum);
        f.i32(31);
        f.op("i32.mul");
        f.get(i);
        f.op("i32.add");
        f.set(sum);
      }, { unsigned });
      f.get(sum);
      f.get(i);
      f.get(wanted);
      f.select();
    });
    let sum = 0;
    let i = from;
    for (; step > 0 ? i < to : i > to; i += step) sum = (Math.imul(sum, 31) + i) | 0;
    assertStrictEquals(f(from, to, step, 1), sum);
    assertStrictEquals(f(from, to, step, 0), i | 0);
  };
  for (const form of ["number", "local", "code"] as const) {
    it(`runs as the for statement does, bounds as ${form}`, () => {
      check(0, 10, 1, false, form);
      check(0, 10, 3, false, form);
      check(-5, 6, 4, false, form);
      check(10, 0, -2, false, form);
      check(5, 5, 1, false, form);
      check(0, -7, 16, false, form);
      check(0x7fffffe0, 0x80000040, 16, true, form);
    });
  }

  it("takes i64, and its label leaves", () => {
    const f = i32Function(1, (f, [x]) => {
      const i = f.local("i64");
      const n = f.local("i32");
      f.forRange(i, 5_000_000_000, 5_000_000_100, 1, (exit) => {
        f.get(n);
        f.get(x);
        f.op("i32.eq");
        f.brIf(exit);
        f.increment(n, 1);
      });
      f.get(n);
    });
    assertEquals([f(7), f(1000)], [7, 100]);
  });
});

describe("modules", () => {
  it("import memory, functions, globals and tables, and export all kinds", () => {
    const m = new ModuleBuilder();
    m.importMemory("env", "memory", { initial: 1 });
    const log = m.importFunction("env", "log", ["i32"], []);
    const base = m.importGlobal("env", "base", "i32");
    const given = m.importTable("env", "table", { initial: 2 });
    const own = m.table({ initial: 2, maximum: 2, export: "table" });
    const counter = m.global("i64", 1n << 40n, { mutable: true, export: "counter" });
    m.global("f64", 0.5, { export: "half" });
    m.global("f32", 0.25, { export: "quarter" });
    const twice = m.function("twice", { params: ["i32"], results: ["i32"], export: false });
    twice.get(twice.params[0]);
    twice.i32(2);
    twice.op("i32.mul");
    const f = m.function("f", { params: ["i32"], results: ["i32"], export: "g" });
    f.i32(16);
    f.load("i32.load");
    f.call(log);
    f.globalGet(counter);
    f.i64(1);
    f.op("i64.add");
    f.globalSet(counter);
    for (const table of [own, given]) {
      f.globalGet(base);
      f.get(f.params[0]);
      f.callIndirect({ params: ["i32"], results: ["i32"] }, table);
    }
    f.op("i32.add");
    m.elements(own, 1, [twice]);
    m.elements(given, 0, [twice, f]);
    m.data(16, Uint8Array.of(1, 2, 3, 4));
    const start = m.function("start", { export: false });
    start.i32(-1);
    start.call(log);
    m.start(start);

    const logged: number[] = [];
    const table = new WebAssembly.Table({ element: "anyfunc", initial: 2 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()), {
      env: {
        memory: new WebAssembly.Memory({ initial: 1 }),
        log: (value: number) => logged.push(value),
        base: 21,
        table,
      },
    });
    assertEquals(Object.keys(exports).sort(), ["counter", "g", "half", "quarter", "table"]);
    const other = new ModuleBuilder();
    const negate = other.function("negate", { params: ["i32"], results: ["i32"] });
    negate.i32(0);
    negate.get(negate.params[0]);
    negate.op("i32.sub");
    table.set(1, run(other).negate);
    assertStrictEquals((exports.g as Numbers)(1), 42 - 21);
    assertEquals(logged, [-1, 0x04030201]);
    assertStrictEquals((exports.counter as WebAssembly.Global).value, (1n << 40n) + 1n);
    assertStrictEquals((exports.half as WebAssembly.Global).value, 0.5);
    assertStrictEquals((exports.quarter as WebAssembly.Global).value, 0.25);
  });

  it("refuse what cannot be put together", () => {
    const m = new ModuleBuilder();
    m.function("f");
    assertThrows(() => m.function("f"), Error, 'already exports "f"');
    assertMatch(
      String(assertThrows(() => m.importFunction("env", "late", [], []))),
      /env.late before the first function/,
    );
    assertThrows(() => m.memory({ initial: 1, shared: true }), Error, "shared memory must have a maximum");
    assertThrows(() => m.data(0, new Uint8Array(1)), Error, "needs a memory");
    m.memory({ initial: 1 });
    assertThrows(() => m.importMemory("env", "memory", { initial: 1 }), Error, "already has its memory");
    const constant = m.global("i32", 1);
    assertThrows(() => m.importGlobal("env", "late", "i32"), Error, "before the first global");
    const g = m.function("g");
    g.i32(1);
    assertThrows(() => g.globalSet(constant), Error, "not mutable");
  });

  it("name functions for profiles unless told not to", () => {
    const sections = [true, false].map((names) => {
      const m = new ModuleBuilder({ names });
      m.function("kernel");
      return WebAssembly.Module.customSections(new WebAssembly.Module(m.build()), "name");
    });
    assertEquals(sections.map((found) => found.length), [1, 0]);
    assertMatch(new TextDecoder().decode(sections[0][0]), /kernel/);
  });

  it("build the same bytes twice, with locals of one type declared together", () => {
    const m = new ModuleBuilder({ names: false });
    const f = m.function("f");
    f.localArray("v128", 300);
    f.local("i32");
    const bytes = m.build();
    assertEquals(m.build(), bytes);
    // 7 bytes: two groups, 300 of v128 and 1 of i32, then the end
    assertEquals([...bytes.subarray(-8)], [7, 2, 0xac, 0x02, 0x7b, 1, 0x7f, 0x0b]);
  });

  it("take function bodies of more than 70,000 bytes", () => {
    const f = i32Function(1, (f, [x]) => {
      const locals = f.localArray("i32", 200);
      for (let i = 0; f.length < 70_000; i++) {
        f.get(x);
        f.i32(i);
        f.op("i32.add");
        f.set(locals[i % 200]);
      }
      f.get(locals[199]);
    });
    assertStrictEquals(f(0) % 200, 199);
    assert(f(0) > 5000);
  });
});

describe("LEB128", () => {
  const edges = [6, 7, 13, 14, 20, 21, 27, 28, 31].flatMap((
    bits,
  ) => [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]);

  it("i32 constants come back", () => {
    for (const value of [0, ...edges, ...edges.map((edge) => -edge), 0xffffffff, -0x80000000]) {
      if (value < -0x80000000) continue;
      assertStrictEquals(i32Function(0, (f) => f.i32(value))(), value | 0);
    }
  });

  it("i64 constants come back, from numbers and bigints", () => {
    const big = [
      ...edges.map(BigInt),
      ...[34, 35, 42, 49, 53, 56, 62, 63].flatMap((bits) => [2n ** BigInt(bits) - 1n, 2n ** BigInt(bits)]),
    ];
    for (const value of [0n, ...big, ...big.map((edge) => -edge), 2n ** 64n - 1n]) {
      const forms: (bigint | number)[] = [value];
      if (Number.isSafeInteger(Number(value))) forms.push(Number(value));
      for (const form of forms) {
        const m = new ModuleBuilder();
        m.function("f", { results: ["i64"] }).i64(form);
        assertStrictEquals((run(m).f as unknown as () => bigint)(), BigInt.asIntN(64, value));
      }
    }
  });

  it("unsigned integers are as the format wants them, up to 2^53 - 1", () => {
    for (const value of [0, ...edges, 2 ** 32 - 1, 2 ** 32, 2 ** 35, Number.MAX_SAFE_INTEGER]) {
      const out = new ByteWriter(1);
      out.unsigned(value);
      const bytes = out.toBytes();
      assertStrictEquals(bytes.reduceRight((sum, byte) => sum * 128 + (byte & 127), 0), value);
      assert(bytes.every((byte, i) => byte >= 128 === i < bytes.length - 1));
      assert(bytes.length === 1 || bytes[bytes.length - 1] > 0, "the shortest form");
    }
    assertThrows(() => new ByteWriter().unsigned(-1), Error, "unsigned integer");
    assertThrows(() => new ByteWriter().unsigned(0.5), Error, "unsigned integer");
  });
});

describe("cpuFeatures", () => {
  it("gives a reason for what is not available, and only for that", () => {
    for (const [name, { available, reason }] of Object.entries(features)) {
      assertStrictEquals(typeof available, "boolean", name);
      assertStrictEquals(reason === undefined, available, name);
    }
    assertStrictEquals(cpuFeatures(), features);
    assert(features.simd.available);
  });
});
