/** The assembler's type checker: mistakes throw at the instruction that makes them, and say what was found. */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type FunctionBuilder, ModuleBuilder, ValidationError } from "../src/backends/cpu/assembler/mod.ts";

describe("the type checker", () => {
  const cases: [string, (f: FunctionBuilder) => void, RegExp][] = [
    ["a wrong operand", (f) => {
      f.f32x4(1);
      f.i32(2);
      f.op("f32x4.add");
    }, /^k: f32x4.add \(instruction 3\): expects \[v128, v128\] on the stack, found \[v128, i32\]$/],
    ["an operand too few", (f) => {
      f.i32(1);
      f.op("i32.add");
    }, /i32.add .*expects \[i32, i32\] on the stack, found \[i32\] in this function/],
    ["an operand below the block", (f) => {
      f.i32(1);
      f.block(() => f.drop());
    }, /drop .*empty stack in this block/],
    ["local.set of another type", (f) => {
      f.f32(1);
      f.set(f.local("i32"));
    }, /local.set .*expects \[i32\].*found \[f32\]/],
    [
      "a local of another function",
      (f) => f.get(new ModuleBuilder().function("g", { params: ["i32"] }).params[0]),
      /local.get .*belongs to another function/,
    ],
    [
      "a value left in a block",
      (f) => f.block(() => f.i32(1)),
      /end of block .*must leave \[\], found \[i32\]/,
    ],
    [
      "a block without its result",
      (f) => f.block("i32", () => {}),
      /end of block .*expects \[i32\].*found \[\]/,
    ],
    ["a value left in a function", (f) => {
      f.i32(1);
      f.end();
    }, /end .*this function must leave \[\], found \[i32\]/],
    ["an if that gives a value with one arm", (f) => {
      f.i32(1);
      f.if("i32", () => f.i32(1));
    }, /if .*second arm/],
    ["arms of different types", (f) => {
      f.i32(1);
      f.if("i32", () => f.i32(1), () => f.f32(1));
    }, /end of if .*expects \[i32\].*found \[f32\]/],
    ["select of two types", (f) => {
      f.i32(1);
      f.f32(1);
      f.i32(1);
      f.select();
    }, /select .*one type, found \[i32, f32\]/],
    ["a branch without its value", (f) => f.block("f32", (label) => f.br(label)), /br .*expects \[f32\]/],
    ["a closed label", (f) => {
      let label;
      f.block((inner) => {
        label = inner;
      });
      f.br(label as never);
    }, /br .*not open/],
    ["a call with wrong arguments", (f) => {
      f.f32(1);
      f.call(new ModuleBuilder().importFunction("env", "log", ["i32"], []));
    }, /call env.log .*expects \[i32\].*found \[f32\]/],
    ["a load without memory", (f) => {
      f.i32(0);
      f.load("i32.load");
    }, /i32.load .*needs a memory/],
    ["a wrong type in code that cannot run", (f) => {
      f.unreachable();
      f.i32(1);
      f.op("f32.neg");
    }, /f32.neg .*found \[i32\]/],
    ["too much in code that cannot run", (f) =>
      f.block(() => {
        f.unreachable();
        f.i32(1);
      }), /must leave \[\], found \[i32\]/],
    ["lanes", (f) => f.f32x4(1, 2), /f32x4 expects 4 lanes, or 1 for all, found 2/],
    ["a lane out of range", (f) => {
      f.f32x4(1);
      f.lane("f32x4.extract_lane", 4);
    }, /f32x4.extract_lane .*lane of 0 to 3, found 4/],
    [
      "a shuffle out of range",
      (f) => f.shuffle(new Array(16).fill(32)),
      /i8x16.shuffle .*16 lanes from 0 to 31/,
    ],
    ["i32 out of range", (f) => f.i32(2 ** 32), /32 bits, got 4294967296/],
    ["i32 with a fraction", (f) => f.i32(1.5), /got 1.5/],
    ["i64 out of range", (f) => f.i64(1n << 64n), /64 bits/],
    ["i64 not exact", (f) => f.i64(2 ** 60), /exact as a number/],
    ["a step of zero", (f) => f.forRange(f.local("i32"), 0, 9, 0, () => {}), /step other than 0/],
    ["a loop over floats", (f) => f.forRange(f.local("f32"), 0, 9, 1, () => {}), /i32 or i64, found f32/],
    ["emission after the end", (f) => {
      f.end();
      f.i32(1);
    }, /already ended/],
  ];
  for (const [what, body, message] of cases) {
    it(`reports ${what}`, () => {
      {
        const error = assertThrows(() => body(new ModuleBuilder().function("k")), Error);

        assert(error instanceof ValidationError);

        assertMatch(error.message, message);
      }
    });
  }

  it("reports an alignment and an offset that do not fit", () => {
    const m = new ModuleBuilder();
    m.memory({ initial: 1 });
    const f = m.function("k");
    f.i32(0);
    assertThrows(() => f.load("v128.load", 0, 32), Error, "alignment of 1 to 16 bytes, found 32");
    f.i32(0);
    assertThrows(() => f.load("v128.load", 0, 3), Error, "found 3");
    f.i32(0);
    assertThrows(
      () => f.load("v128.load", 2 ** 32),
      Error,
      "offset of 0 to 4294967295 bytes, found 4294967296",
    );
    f.i32(0);
    assertThrows(() => f.load("v128.load", -4), Error, "found -4");
  });

  it("reports a result that is missing at the latest when the module is built", () => {
    const m = new ModuleBuilder();
    m.function("k", { results: ["f32"] });
    assertMatch(String(assertThrows(() => m.build())), /k: end .*expects \[f32\]/);
  });

  it("lets code that cannot run take any type, as the specification does", () => {
    const m = new ModuleBuilder();
    const f = m.function("f", { params: ["i32"], results: ["i32"] });
    f.block("i32", (label) => {
      f.i32(7);
      f.br(label);
      f.op("i32.add");
      f.select();
      f.op("f32.demote_f64");
      f.op("i32.trunc_f32_s");
    });
    f.return();
    f.drop();
    assertEquals(f.stack, []);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
    assertStrictEquals((exports.f as (x: number) => number)(1), 7);
  });
});
