/** Element types that a dtype of ours holds with room to spare, empty sets, and texts that are moved: against plain JavaScript. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FormatError, Onnx, type OnnxStrings, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { heldAs, type OnnxType } from "../src/onnx/types.ts";
import { nodeOf } from "./_onnx_cases.ts";
import { bytesOfModel, type Elements, type SmallModel } from "./_onnx_model.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const bits = {
  int8: 8,
  int16: 16,
  int32: 32,
  int64: 64,
  uint8: 8,
  uint16: 16,
  uint32: 32,
  uint64: 64,
} as const;
type Whole = keyof typeof bits;
const wholes = Object.keys(bits) as Whole[];

/** `value` as a type of so many bits has it. */
const cut = (value: bigint, type: Whole): bigint =>
  type.startsWith("u") ? BigInt.asUintN(bits[type], value) : BigInt.asIntN(bits[type], value);
/** What holds it here: u64 is the same 64 bits. */
const held = (value: bigint, type: Whole): bigint => BigInt.asIntN(64, cut(value, type));

function drawn(random: Generator, type: Whole, count: number): bigint[] {
  return Array.from({ length: count }, () => {
    const high = BigInt(random.integer(0, 2 ** 31)), low = BigInt(random.integer(0, 2 ** 31));
    return cut(high << 33n ^ low << BigInt(random.integer(0, 3)) ^ low, type);
  });
}

function given(type: OnnxType, shape: readonly number[], data: readonly bigint[]): Tensor {
  const dtype = heldAs(type)!, list = data.map((v) => BigInt.asIntN(64, v));
  return tensor(dtype === "i64" ? BigInt64Array.from(list) : list.map(Number), { dtype, shape } as never);
}

/** Its one output, eagerly and as a program where it can be one. */
async function outputOf(model: SmallModel, inputs: Record<string, Tensor | OnnxStrings>, compiled = true) {
  using loaded = await Onnx.load(bytesOfModel(model));
  const first = await loaded.run(inputs), name = Object.keys(first)[0];
  if (compiled) {
    for (let i = 0; i < 2; i++) {
      const again = (await loaded.run(inputs, { compiled: true }))[name] as Tensor;
      assertEquals(await again.data(), await (first[name] as Tensor).data());
    }
  }
  return first[name];
}

const whole = async (t: unknown): Promise<bigint[]> =>
  Array.from(await (t as Tensor).data() as ArrayLike<number | bigint>, BigInt);

describe("whole numbers of every width", () => {
  it("a cast cuts to the bits of its type, from each to each", async () => {
    const random = new Generator(21);
    for (const from of wholes) {
      for (const to of wholes) {
        const data = drawn(random, from, 7), shape = [7];
        const y = await outputOf(
          {
            nodes: [["CastLike", "x like", "y"]],
            inputs: { x: [from, shape], like: [to, [0]] },
            outputs: { y: to },
          },
          { x: given(from, shape, data), like: given(to, [0], []) },
          false,
        );
        assertEquals(await whole(y), data.map((v) => held(v, to)), `${from} to ${to}`);
      }
    }
  });

  it("what is scattered stays in the range of its type", async () => {
    const random = new Generator(22);
    const joined = { add: (a: bigint, b: bigint) => a + b, mul: (a: bigint, b: bigint) => a * b };
    for (const type of ["int8", "uint8", "int16", "uint16", "uint32"] as const) {
      for (const [reduction, join] of Object.entries(joined)) {
        const x = drawn(random, type, 6), u = drawn(random, type, 6);
        const at = Array.from({ length: 6 }, () => random.integer(0, 6));
        const want = [...x];
        at.forEach((place, i) => want[place] = cut(join(want[place], u[i]), type));
        for (const operator of ["ScatterElements", "ScatterND"]) {
          const isList = operator === "ScatterND", shape = isList ? [6, 1] : [6];
          const y = await outputOf({
            nodes: [[operator, "x at u", "y", { reduction }]],
            inputs: { x: [type, [6]], u: [type, [6]] },
            outputs: { y: type },
            tensors: { at: { type: "int64", shape, data: at } },
          }, { x: given(type, [6], x), u: given(type, [6], u) });
          assertEquals(await whole(y), want.map((v) => held(v, type)), `${operator} ${type} ${reduction}`);
        }
      }
    }
  });

  it("a mean is cut towards zero", async () => {
    const random = new Generator(23);
    for (let i = 0; i < width(12, 3); i++) {
      const data = Array.from({ length: 12 }, () => BigInt(random.integer(-100, 100)));
      const y = await outputOf({
        nodes: [["ReduceMean", "x axes", "y", { keepdims: 0n }]],
        inputs: { x: ["int32", [3, 4]] },
        outputs: { y: "int32" },
        tensors: { axes: { type: "int64", shape: [1], data: [1] } },
      }, { x: given("int32", [3, 4], data) });
      const want = [0, 1, 2].map((row) => data.slice(4 * row, 4 * row + 4).reduce((a, b) => a + b) / 4n);
      assertEquals(await whole(y), want);
    }
  });

  it("the largest and least of nothing are the ends of the type", async () => {
    for (const type of wholes) {
      const top = type.startsWith("u")
        ? (1n << BigInt(bits[type])) - 1n
        : (1n << BigInt(bits[type] - 1)) - 1n;
      const bottom = type.startsWith("u") ? 0n : -top - 1n;
      for (const [operator, want] of [["ReduceMax", bottom], ["ReduceMin", top]] as const) {
        const y = await outputOf({
          nodes: [[operator, "x axes", "y"]],
          inputs: { x: [type, [2, 0]] },
          outputs: { y: type },
          tensors: { axes: { type: "int64", shape: [1], data: [1] } },
        }, { x: given(type, [2, 0], []) });
        assertEquals(await whole(y), [held(want, type), held(want, type)], `${operator} ${type}`);
      }
    }
  });

  it("bits of what is no whole number are refused", async () => {
    for (
      const [operator, inputs] of [["BitwiseAnd", "x x"], ["BitwiseNot", "x"], ["BitShift", "x x"]] as const
    ) {
      using model = await Onnx.load(bytesOfModel({
        nodes: [[operator, inputs, "y", operator === "BitShift" ? { direction: "LEFT" } : {}]],
        inputs: { x: ["float", [2]] },
        outputs: { y: "float" },
      }));
      await assertRejects(() => model.run({ x: tensor([1.5, 2]) }), FormatError, "whole numbers");
    }
  });

  it("IsInf looks for what it is told to, and Shrink keeps a type", async () => {
    const x = tensor([Infinity, -Infinity, 1, NaN]);
    for (const [up, down] of [[0n, 0n], [0n, 1n], [1n, 0n], [1n, 1n]]) {
      const y = await outputOf({
        nodes: [["IsInf", "x", "y", { detect_positive: up, detect_negative: down }]],
        inputs: { x: ["float", [4]] },
        outputs: { y: "bool" },
      }, { x });
      assertEquals(await whole(y), [up, down, 0n, 0n]);
    }
    const y = await outputOf({
      nodes: [["Shrink", "x", "y", { lambd: 1.5, bias: 0.75 }]],
      inputs: { x: ["int32", [4]] },
      outputs: { y: "int32" },
    }, { x: given("int32", [4], [-5n, -1n, 1n, 5n]) });
    assertEquals([(y as Tensor).dtype, await whole(y)], ["i32", [-4n, 0n, 0n, 4n]]);
  });
});

describe("windows and borders", () => {
  it("what ceil_mode adds beyond the border is no part of a mean", async () => {
    const x = tensor([1, 2, 3, 4, 5], { shape: [1, 1, 5] });
    const window = { kernel_shape: [2n], strides: [2n], ceil_mode: 1n, count_include_pad: 1n };
    for (const more of [{}, { auto_pad: "VALID" }, { pads: [0n, 0n] }]) {
      const y = await outputOf({
        nodes: [["AveragePool", "x", "y", { ...window, ...more }]],
        inputs: { x: ["float", [1, 1, 5]] },
        outputs: { y: "float" },
        opset: 19,
      }, { x }) as Tensor;
      assertEquals([...await y.data() as Float32Array], [1.5, 3.5, 5]);
    }
  });

  it("before opset 11 a smaller image takes the next element, a larger one the last", async () => {
    const x = tensor([1, 2, 3, 4, 5, 6, 7, 8], { shape: [1, 1, 2, 4] });
    for (
      const [scales, want] of [[[1, 1, 0.6, 0.6], [1, 3]], [[1, 1, 1, 1.5], [
        1,
        1,
        2,
        3,
        3,
        4,
        5,
        5,
        6,
        7,
        7,
        8,
      ]]]
    ) {
      const y = await outputOf({
        nodes: [["Resize", "x scales", "y", { mode: "nearest" }]],
        inputs: { x: ["float", [1, 1, 2, 4]] },
        outputs: { y: "float" },
        tensors: { scales: { type: "float", shape: [4], data: scales } },
        opset: 10,
      }, { x }) as Tensor;
      assertEquals([...await y.data() as Float32Array], want);
    }
  });

  it("what a negative border cuts off is gone before the rest is repeated", async () => {
    const x = tensor([1, 2, 3, 4]);
    const wanted = { edge: [2, 3, 4, 4, 4], wrap: [2, 3, 4, 2, 3], reflect: [2, 3, 4, 3, 2] };
    for (const [mode, want] of Object.entries(wanted)) {
      const y = await outputOf({
        nodes: [["Pad", "x pads", "y", { mode }]],
        inputs: { x: ["float", [4]] },
        outputs: { y: "float" },
        tensors: { pads: { type: "int64", shape: [2], data: [-1, 2] } },
        opset: 19,
      }, { x }) as Tensor;
      assertEquals([...await y.data() as Float32Array], want, mode);
    }
  });
});

describe("texts that are moved", () => {
  const words: Elements = { type: "string", shape: [2, 3], data: ["pear", "", "fig", "äpfel", "fig", "Ω"] };
  const list = (data: number[], shape = [data.length]): Elements => ({ type: "int64", shape, data });
  const moves: [SmallModel["nodes"][number], Record<string, Elements>, number[], string[]][] = [
    [["Gather", "x i", "y", { axis: 1n }], { i: list([-1, 0]) }, [2, 2], ["fig", "pear", "Ω", "äpfel"]],
    [["GatherElements", "x i", "y", { axis: 1n }], { i: list([2, 0, -1, 1], [2, 2]) }, [2, 2], [
      "fig",
      "pear",
      "Ω",
      "fig",
    ]],
    [["GatherND", "x i", "y"], { i: list([0, 2, -1, 0], [2, 2]) }, [2], ["fig", "äpfel"]],
    [
      ["ScatterElements", "x i u", "y", { axis: 1n }],
      {
        i: list([1, 0], [2, 1]),
        u: { type: "string", shape: [2, 1], data: ["new", ""] },
      },
      [2, 3],
      ["pear", "new", "fig", "", "fig", "Ω"],
    ],
    [
      ["ScatterND", "x i u", "y"],
      { i: list([1, 2], [1, 2]), u: { type: "string", shape: [1], data: ["z"] } },
      [
        2,
        3,
      ],
      ["pear", "", "fig", "äpfel", "fig", "z"],
    ],
    [["Split", "x i", "y _", { axis: 1n }], { i: list([1, 2]) }, [2, 1], ["pear", "äpfel"]],
    [["Compress", "x c", "y", { axis: 1n }], { c: { type: "bool", shape: [3], data: [0, 1, 1] } }, [2, 2], [
      "",
      "fig",
      "fig",
      "Ω",
    ]],
    [["Unique", "x", "y"], {}, [5], ["", "fig", "pear", "äpfel", "Ω"]],
    [["Unique", "x", "y", { sorted: 0n }], {}, [5], ["pear", "", "fig", "äpfel", "Ω"]],
    [
      ["OneHot", "h d v", "y"],
      {
        h: list([1, 0]),
        d: list([2], []),
        v: { type: "string", shape: [2], data: ["off", "on"] },
      },
      [2, 2],
      ["off", "on", "on", "off"],
    ],
    [["ReverseSequence", "x i", "y", { batch_axis: 0n, time_axis: 1n }], { i: list([2, 3]) }, [2, 3], [
      "",
      "pear",
      "fig",
      "Ω",
      "fig",
      "äpfel",
    ]],
    [["Transpose", "x", "y"], {}, [3, 2], ["pear", "äpfel", "", "fig", "fig", "Ω"]],
    [["Concat", "x x", "y", { axis: 0n }], {}, [4, 3], [...words.data, ...words.data] as string[]],
    [
      ["Where", "c x s", "y"],
      {
        c: { type: "bool", shape: [2, 1], data: [1, 0] },
        s: { type: "string", shape: [1], data: ["no"] },
      },
      [2, 3],
      ["pear", "", "fig", "no", "no", "no"],
    ],
  ];
  for (const [node, tensors, shape, data] of moves) {
    it(`${node[0]} ${JSON.stringify(node[3] ?? {}, (_, v) => typeof v === "bigint" ? Number(v) : v)}`, async () => {
      const y = await outputOf(
        { nodes: [node], inputs: { x: ["string", [2, 3]] }, outputs: { y: "string" }, tensors },
        { x: { shape: [2, 3], data: words.data as string[] } },
        false,
      ) as OnnxStrings;
      assertEquals({ shape: [...y.shape], data: [...y.data] }, { shape, data });
    });
  }

  it("texts are not added up", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [["ScatterND", "x i x", "y", { reduction: "add" }]],
      inputs: { x: ["string", [1]] },
      outputs: { y: "string" },
      tensors: { i: list([0], [1, 1]) },
    }));
    await assertRejects(() => model.run({ x: { shape: [1], data: ["a"] } }), FormatError, "reduction");
  });
});

describe("functions of a model's own", () => {
  const f = (name: string, inputs: string[], nodes: FunctionNodes, overload = "") => ({
    name,
    domain: "own",
    overload,
    inputs,
    outputs: ["out"],
    attributes: [],
    defaults: new Map(),
    nodes: nodes.map((node) => nodeOf(node)),
    opsets: new Map([["", 18]]),
  });
  type FunctionNodes = readonly Parameters<typeof nodeOf>[0][];

  it("the overload that a node names, and no other, wherever it stands in the file", async () => {
    const two = [f("F", ["a"], [["Neg", "a", "out"]], "minus"), f("F", ["a"], [["Exp", "a", "out"]])];
    for (const functions of [two, [...two].reverse()]) {
      for (const [overload, want] of [["", Math.E], ["minus", -1]] as const) {
        const bytes = bytesOfModel({
          nodes: [["F", "x", "y"]],
          inputs: { x: ["float", [1]] },
          outputs: { y: "float" },
          domain: ["own", 1],
          functions,
          overload,
        });
        using model = await Onnx.load(bytes);
        using again = await Onnx.load(await model.toBytes());
        for (const one of [model, again]) {
          const [value] = await ((await one.run({ x: tensor([1]) })).y as Tensor).data();
          assert(Math.abs(Number(value) - want) < 1e-6, `${value}, not ${want}`);
        }
      }
    }
  });

  it("an input that the caller leaves out is left out inside", async () => {
    using model = await Onnx.load(bytesOfModel({
      nodes: [["F", "x _ top", "y"]],
      inputs: { x: ["float", [3]], top: ["float", []] },
      outputs: { y: "float" },
      domain: ["own", 1],
      functions: [f("F", ["a", "low", "high"], [["Clip", "a low high", "out"]])],
    }));
    const y = (await model.run({ x: tensor([-1, 0.5, 2]), top: tensor(1) })).y as Tensor;
    assertEquals([...await y.data() as Float32Array], [-1, 0.5, 1]);
  });
});
