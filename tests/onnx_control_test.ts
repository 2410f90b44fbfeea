/** Branches, loops and functions inside of programs: what an ordinary run gives, for whatever decides on them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CaptureError, Onnx, type OnnxModel, type OnnxValue, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { G, nodeOf } from "./_onnx_cases.ts";
import { bytesOfModel, type Elements } from "./_onnx_model.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const longs = (...data: number[]): Elements => ({ type: "int64", shape: [data.length], data });
const long = (value: number): Elements => ({ type: "int64", shape: [], data: [value] });
const count = (value: number): Tensor => tensor(BigInt64Array.of(BigInt(value)), { shape: [] });

/** Runs twice as a program; both are what an ordinary run gives. */
async function twice(model: OnnxModel, inputs: Record<string, OnnxValue>): Promise<number[][]> {
  const want = await model.run(inputs), lists: number[][] = [];
  for (let i = 0; i < 2; i++) {
    const got = await model.run(inputs, { compiled: true });
    for (const [name, value] of Object.entries(want)) {
      const [a, b] = [got[name] as Tensor, value as Tensor];
      assertEquals([a.dtype, a.shape], [b.dtype, b.shape], name);
      const left = await a.data() as ArrayLike<number>, right = Array.from(await b.data(), Number);
      right.forEach((v, k) =>
        assert(Math.abs(Number(left[k]) - v) <= 1e-5 * (1 + Math.abs(v)), `${name} at ${k}`)
      );
      if (i === 0) lists.push(right);
    }
  }
  return lists;
}

/** Turns: a state to which w is added while the turn is less than `limit`, else from which it is taken; all states. */
const body = G("i on s", "go s2 o", [
  ["Less", "i limit", "isLow"],
  ["If", "isLow", "s2", {
    then_branch: G("", "more", [["Add", "s w", "more"]]),
    else_branch: G("", "less", [["Sub", "s w", "less"]]),
  }],
  ["Mul", "s2 s2", "o"],
  ["Identity", "on", "go"],
]);

describe("branches and loops in programs", () => {
  it("are those of the inputs that decide on them, whatever these were before", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [["Loop", "n _ x", "y all", { body }]],
      inputs: { x: ["float", ["k"]], n: ["int64", []], limit: ["int64", []] },
      outputs: { y: "float", all: "float" },
      tensors: { w: { type: "float", shape: [1], data: [2] } },
    }));
    const random = new Generator(31);
    for (let i = 0; i < width(12, 4); i++) {
      const turns = random.integer(0, 5), limit = random.integer(0, 4), x = random.uniform();
      const [y, all] = await twice(model, { x: tensor([x]), n: count(turns), limit: count(limit) });
      const states: number[] = [];
      for (let k = 0, s = x; k < turns; k++) states.push(s += k < limit ? 2 : -2);
      assert(Math.abs(y[0] - (states.at(-1) ?? x)) < 1e-5);
      states.forEach((s, k) => assert(Math.abs(all[k] - s * s) < 1e-4));
      assertEquals(all.length, turns);
    }
  });

  it("are those of a shape: a branch for one row, another for more", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [
        ["Shape", "x", "shape"],
        ["Gather", "shape zero", "rows"],
        ["Equal", "rows one", "isOne"],
        ["If", "isOne", "y", {
          then_branch: G("", "a", [["Neg", "x", "a"]]),
          else_branch: G("", "b", [["If", "isOne", "b", {
            then_branch: G("", "c", [["Abs", "x", "c"]]),
            else_branch: G("", "d", [["Exp", "x", "d"]]),
          }]]),
        }],
      ],
      inputs: { x: ["float", ["rows", 2]] },
      outputs: { y: "float" },
      tensors: { zero: long(0), one: long(1) },
    }));
    for (const rows of [1, 2, 1, 3]) {
      const data = Array.from({ length: 2 * rows }, (_, i) => i / 4);
      const [y] = await twice(model, { x: tensor(data, { shape: [rows, 2] }) });
      y.forEach((v, i) => assert(Math.abs(v - (rows === 1 ? -data[i] : Math.exp(data[i]))) < 1e-5));
    }
  });

  it("a scan goes along an axis, forwards and back, with sums in its state", async () => {
    for (const back of [0n, 1n]) {
      for (const axis of [0n, 1n]) {
        using model = await Onnx.load(bytesOfModel({
          nodes: [["Scan", "zero x", "sum all", {
            body: G("s e", "s2 o", [["Add", "s e", "s2"], ["Mul", "s2 two", "o"]]),
            num_scan_inputs: 1n,
            scan_input_directions: [back],
            scan_output_directions: [back],
            scan_input_axes: [axis],
            scan_output_axes: [axis],
          }]],
          inputs: { x: ["float", ["a", "b"]] },
          outputs: { sum: "float", all: "float" },
          tensors: {
            zero: { type: "float", shape: [1], data: [0] },
            two: { type: "float", shape: [], data: [2] },
          },
        }));
        const shape = axis ? [1, 4] : [4, 1];
        const [sum, all] = await twice(model, { x: tensor([1, 2, 3, 4], { shape }) });
        assertEquals([sum, all], [[10], back ? [20, 18, 14, 8] : [2, 6, 12, 20]]);
      }
    }
  });

  it("a scan of opset 8, which goes over batches, is as it was: no program", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [["Scan", "_ zero x", "sum all", {
        body: G("s e", "s2 o", [["Add", "s e", "s2"], ["Identity", "s2", "o"]]),
        num_scan_inputs: 1n,
      }]],
      inputs: { x: ["float", [1, 3, 1]] },
      outputs: { sum: "float", all: "float" },
      tensors: { zero: { type: "float", shape: [1, 1], data: [0] } },
      opset: 8,
    }));
    const x = tensor([1, 2, 3], { shape: [1, 3, 1] });
    assertEquals([...await ((await model.run({ x })).all as Tensor).data() as Float32Array], [1, 3, 6]);
    await assertRejects(() => model.run({ x }, { compiled: true }), CaptureError, "(Scan) cannot be part");
  });

  it("functions call functions, with attributes, versions and loops of their own", async () => {
    const f = (name: string, nodes: Parameters<typeof nodeOf>[0][]) => ({
      name,
      domain: "own",
      inputs: ["a", "n"],
      outputs: ["out"],
      attributes: ["by"],
      defaults: new Map([["by", { kind: "float" as const, value: 3 }]]),
      nodes: nodes.map((node) => ({
        ...nodeOf(node),
        domain: node[0] === "Inner" ? "own" : "",
        attributes: node[0] === "Constant"
          ? new Map([["value_float", { kind: "reference" as const, value: "by", code: 1 }]])
          : nodeOf(node).attributes,
      })),
      opsets: new Map([["", 18], ["own", 1]]),
    });
    const turn = G("i on s", "go s2", [["Mul", "s by", "s2"], ["Identity", "on", "go"]]);
    using model = await Onnx.load(bytesOfModel({
      nodes: [["Outer", "x n", "y"]],
      inputs: { x: ["float", [2]], n: ["int64", []] },
      outputs: { y: "float" },
      domain: ["own", 1],
      functions: [
        f("Inner", [["Constant", "", "by"], ["Loop", "n _ a", "out", { body: turn }]]),
        f("Outer", [["Inner", "a n", "t"], ["Inner", "t n", "out", { by: 0.5 }]]),
      ],
    }));
    for (const n of [0, 2, 1, 2]) {
      const [y] = await twice(model, { x: tensor([1, 4]), n: count(n) });
      y.forEach((v, i) => assert(Math.abs(v - [1, 4][i] * 1.5 ** n) < 1e-5));
    }
  });

  it("lists of tensors are made and cut in a program", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [
        ["SplitToSequence", "x parts", "list"],
        ["SequenceAt", "list last", "end"],
        ["SequenceInsert", "list end zero", "longer"],
        ["SequenceErase", "longer one", "shorter"],
        ["ConcatFromSequence", "shorter", "y", { axis: 0n }],
      ],
      inputs: { x: ["float", [4]] },
      outputs: { y: "float" },
      tensors: { parts: longs(1, 2, 1), last: long(-1), zero: long(0), one: long(1) },
    }));
    assertEquals(await twice(model, { x: tensor([1, 2, 3, 4]) }), [[4, 2, 3, 4]]);
  });

  it("what follows from many elements, or from none that are known, is refused in words", async () => {
    const branches = {
      then_branch: G("", "a", [["Neg", "x", "a"]]),
      else_branch: G("", "b", [["Abs", "x", "b"]]),
    };
    const inputs = { x: ["float", [100]] as const }, outputs = { y: "float" as const };
    using large = await Onnx.load(bytesOfModel({
      nodes: [["ReduceSum", "x _", "sum", { keepdims: 0n }], ["Less", "sum zero", "c"], [
        "If",
        "c",
        "y",
        branches,
      ]],
      inputs,
      outputs,
      tensors: { zero: { type: "float", shape: [], data: [0] } },
    }));
    using random = await Onnx.load(bytesOfModel({
      nodes: [["RandomUniform", "", "r", { shape: [1n] }], ["Less", "r half", "c"], [
        "If",
        "c",
        "y",
        branches,
      ]],
      inputs,
      outputs,
      tensors: { half: { type: "float", shape: [1], data: [0.5] } },
    }));
    const x = tensor(new Float32Array(100).fill(1));
    await assertRejects(
      () => large.run({ x }, { compiled: true }),
      CaptureError,
      '100 elements of the input "x"',
    );
    await assertRejects(() => random.run({ x }, { compiled: true }), CaptureError, "random");
  });
});
