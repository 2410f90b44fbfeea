/**
 * ONNX models: ONNX's own tests where they are installed, and what needs nothing: files that this package writes, read
 * back; weights that are trained; files that mean harm.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  copyInto,
  exportOnnx,
  FormatError,
  inspectOnnx,
  Onnx,
  OptionError,
  readNpy,
  readNpz,
  saveNpy,
  saveNpz,
  ShapeError,
  Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { OnnxGraph } from "../src/onnx/graph_writer.ts";
import { ProtobufWriter } from "../src/onnx/protobuf_writer.ts";
import { call } from "./_command.ts";
import { findSuite, runSuiteTest, suiteTests } from "./_onnx_suite.ts";
import { bytesOfModel } from "./_onnx_model.ts";
import type { OnnxType } from "../src/onnx/types.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const header = { producer: "test", version: "", description: "", metadata: { about: "a test" } };

/** y = relu(x · Wᵀ + b), written by the writer of tables' models. */
function layer(
  inputs: number,
  outputs: number,
  weight: readonly number[],
  bias: readonly number[],
): Uint8Array {
  const graph = new OnnxGraph(), x = graph.input("x", "float", [inputs]);
  const matrix = graph.constant("float", [outputs, inputs], weight),
    b = graph.constant("float", [outputs], bias);
  const y = graph.node("Relu", [graph.node("Gemm", [x, matrix, b], { transB: { integer: 1 } })]);
  graph.output("y", y, "float", [outputs]);
  return graph.finish("layer", header);
}

/** A model of one node. */
function single(
  operator: string,
  inputs: readonly string[],
  write: (node: ProtobufWriter) => void = () => {},
  opset = 17,
  more: (graph: ProtobufWriter) => void = () => {},
): Uint8Array {
  const type = (value: ProtobufWriter, name: string) =>
    value.string(1, name).message(2, (t) => t.message(1, (tensor) => tensor.integer(1, 1)));
  return new ProtobufWriter().integer(1, 8).message(7, (graph) => {
    graph.message(1, (node) => {
      for (const name of inputs) node.string(1, name);
      node.string(2, "y").string(3, "the node").string(4, operator);
      write(node);
    });
    graph.message(11, (value) => type(value, "x")).message(12, (value) => type(value, "y"));
    more(graph);
  }).message(8, (set) => set.integer(2, opset)).finish();
}

const skip = "skip" in findSuite(process.env.FERROTYPE_ONNX_TESTS)
  ? (findSuite(process.env.FERROTYPE_ONNX_TESTS) as { skip: string }).skip
  : false;

/** What of ONNX's tests cannot pass, and why. */
const known: Record<string, RegExp> = {
  // Its model leaves out epsilon, which is 1e-6 then; its outputs were computed with 1e-2.
  test_adam_multiple: /0\.755\d* instead of 0\.759/,
  // Random numbers of NumPy's generator.
  test_bernoulli: /instead of/,
  test_bernoulli_double: /instead of/,
  test_bernoulli_double_expanded: /instead of/,
  test_bernoulli_expanded: /instead of/,
  test_bernoulli_seed: /instead of/,
  test_bernoulli_seed_expanded: /instead of/,
  test_training_dropout: /instead of/,
  test_training_dropout_default: /instead of/,
  test_training_dropout_default_mask: /instead of/,
  test_training_dropout_mask: /instead of/,
  // The suite of 1.12 cuts to bf16, later ones and we round; its other inputs of bf16 have not the shape that they say.
  test_cast_FLOAT_to_BFLOAT16: /0\.480\d* instead of 0\.478/,
  test_castlike_BFLOAT16_to_FLOAT: /is \[1\], expected \[3, 4\]/,
  test_castlike_BFLOAT16_to_FLOAT_expanded: /is \[1\], expected \[3, 4\]/,
  test_castlike_FLOAT_to_BFLOAT16: /is \[1\], expected \[3, 4\]/,
  test_castlike_FLOAT_to_BFLOAT16_expanded: /is \[1\], expected \[3, 4\]/,
};

describe("ONNX's own tests", { skip }, () => {
  it("pass but for those that are named", async () => {
    const suite = findSuite(process.env.FERROTYPE_ONNX_TESTS) as { folder: string };
    const names = suiteTests(suite.folder, "node"), wrong: string[] = [];
    let passed = 0;
    for (const name of names) {
      const problem = await runSuiteTest(join(suite.folder, "node", name));
      if (problem === null) passed++;
      else if (!known[name]?.test(problem)) wrong.push(`${name}: ${problem}`);
    }
    assertEquals(wrong, []);
    assert(passed + Object.keys(known).length >= names.length, `${passed} of ${names.length}`);
  });

  it("pass as programs that were made with other numbers, or say why they are none", async () => {
    const suite = findSuite(process.env.FERROTYPE_ONNX_TESTS) as { folder: string }, wrong: string[] = [];
    const names = suiteTests(suite.folder, "node").filter((name, i) =>
      i % width(4, 16) === 0 && !known[name]
    );
    let passed = 0;
    for (const name of names) {
      const problem = await runSuiteTest(join(suite.folder, "node", name), { compiled: true });
      if (problem === null) passed++;
      else if (!/cannot be part of a program|a program takes tensors/.test(problem)) {
        wrong.push(`${name}: ${problem}`);
      }
    }
    assertEquals(wrong, []);
    assert(passed > 0.85 * names.length, `${passed} of ${names.length}`);
  });

  it("of lists pass with inputs that come from another device", async () => {
    const suite = findSuite(process.env.FERROTYPE_ONNX_TESTS) as { folder: string };
    const names = suiteTests(suite.folder, "node").filter((name) =>
      /sequence|optional|_opt$|_seq/.test(name)
    );
    assert(names.length > 10);
    for (const name of names) {
      assertEquals(await runSuiteTest(join(suite.folder, "node", name), { device: "reference" }), null, name);
    }
  });

  it("of gradients of a graph pass", async () => {
    const suite = findSuite(process.env.FERROTYPE_ONNX_TESTS) as { folder: string };
    const names = suiteTests(suite.folder, "simple").filter((name) => name.includes("gradient"));
    assert(names.length >= 2);
    for (const name of names) {
      assertEquals(await runSuiteTest(join(suite.folder, "simple", name)), null, name);
    }
  });
});

describe("an ONNX model", () => {
  it("computes what its file says, for seeded layers", async () => {
    const random = new Generator(11);
    for (let round = 0; round < 8; round++) {
      const [n, m, rows] = [random.integer(1, 6), random.integer(1, 6), random.integer(1, 4)];
      const draw = (count: number) =>
        Array.from({ length: count }, () => Math.fround(random.uniform() - 0.5));
      const weight = draw(n * m), bias = draw(m), x = draw(rows * n);
      using model = await Onnx.load(layer(n, m, weight, bias));
      assertEquals(model.inputs, [{ name: "x", type: "float", shape: ["rows", n] }]);
      const { y } = await model.run({ x: tensor(x, { shape: [rows, n] } as never) });
      assert(y instanceof Tensor);
      const data = await y.data();
      for (let i = 0; i < rows; i++) {
        for (let k = 0; k < m; k++) {
          let sum = bias[k];
          for (let j = 0; j < n; j++) sum += x[i * n + j] * weight[k * n + j];
          assert(Math.abs(Number(data[i * m + k]) - Math.max(0, sum)) < 1e-5);
        }
      }
      y.dispose();
    }
  });

  it("has a slope a channel in PRelu before opset 7, and broadcasts it since", async () => {
    const slope = (shape: readonly number[]) => (graph: ProtobufWriter) =>
      graph.message(5, (t) => {
        for (const n of shape) t.integer(1, n);
        t.integer(2, 1).string(8, "s").bytes(9, new Uint8Array(Float32Array.of(0.5, 2).buffer));
      });
    const x = tensor([-1, -2, 3, -4], { shape: [1, 2, 2] } as never);
    for (
      const [opset, shape, wanted] of [
        [6, [2], [-0.5, -1, 3, -8]],
        [7, [2], [-0.5, -4, 3, -8]],
        [7, [2, 1], [-0.5, -1, 3, -8]],
      ] as const
    ) {
      using model = await Onnx.load(single("PRelu", ["x", "s"], undefined, opset, slope(shape)));
      assertEquals((await ((await model.run({ x })).y as Tensor).data()).join(), wanted.join());
    }
  });

  it("caps the scores of Attention before the mask, so that what is masked stays unseen", async () => {
    const tensors = (graph: ProtobufWriter) => {
      for (
        const [name, shape, data] of [["k", [1, 1, 2, 1], [1, 1]], ["m", [1, 2], [0, -Infinity]]] as const
      ) {
        graph.message(5, (t) => {
          for (const n of shape) t.integer(1, n);
          t.integer(2, 1).string(8, name).bytes(9, new Uint8Array(Float32Array.from(data).buffer));
        });
      }
    };
    const cap = (node: ProtobufWriter) =>
      node.message(5, (a) => a.string(1, "softcap").float(2, 0.5).integer(20, 1));
    const bytes = single("Attention", ["x", "k", "x", "m"], cap, 23, tensors);
    using model = await Onnx.load(bytes);
    const x = tensor([3, 5], { shape: [1, 1, 2, 1] } as never);
    assertEquals((await ((await model.run({ x })).y as Tensor).data()).join(), "3,3");
  });

  it("is trained through its parameters", async () => {
    using model = await Onnx.load(layer(2, 1, [0.5, 0.25], [0.1]));
    const parameters = model.parameters();
    assertStrictEquals(parameters.size, 2);
    for (const p of parameters.values()) p.requiresGrad = true;
    const { y } = await model.run({ x: tensor([[1, 2], [3, 4]]) });
    (y as Tensor).sum().backward();
    const gradients = await Promise.all([...parameters.values()].map((p) => p.grad!.toArray()));
    assertEquals(gradients, [[[4, 6]], [2]]);
  });

  it("is a program for shapes, with its weights as they are now, and without gradients", async () => {
    using model = await Onnx.load(layer(2, 1, [1, 2], [3]));
    const [weight] = model.parameters().values(), compiled = true;
    const run = async (rows: number[][]): Promise<unknown> =>
      await ((await model.run({ x: tensor(rows) }, { compiled })).y as Tensor).toArray();
    for (let i = 0; i < 3; i++) assertEquals(await run([[i, 1]]), [[i + 5]]);
    assertEquals(await run([[1, 1], [2, 2]]), [[6], [9]]);
    copyInto(tensor([[10, 20]]), weight);
    assertEquals(await run([[1, 1]]), [[33]]);
    await assertRejects(
      () => model.run({ x: tensor([[1, 1]], { requiresGrad: true }) }, { compiled }),
      OptionError,
      'run: "x" (float [1, 2]) wants a gradient',
    );
    await assertRejects(
      () => model.run({ x: tensor([[1, 1]]) }, { compiled, maxSteps: 1 }),
      FormatError,
      "maxSteps",
    );
    weight.requiresGrad = true;
    await assertRejects(
      () => model.run({ x: tensor([[1, 1]]) }, { compiled }),
      OptionError,
      "leave compiled out",
    );
  });

  it("is saved with its weights as they are now", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-")), path = join(folder, "saved.onnx");
    try {
      using model = await Onnx.load(layer(2, 1, [1, 2], [3]));
      const [weight] = model.parameters().values();
      copyInto(tensor([[10, 20]]), weight);
      await model.save(path);
      using again = await Onnx.load(path);
      assertEquals(again.inputs, model.inputs);
      assertEquals([...again.metadata], [["about", "a test"]]);
      assertEquals(await ((await again.run({ x: tensor([[1, 1]]) })).y as Tensor).toArray(), [[33]]);
      await exportOnnx(again, path);
      assertEquals((await inspectOnnx(path)).operators, { Gemm: 1, Relu: 1, Identity: 1 });
      await assertRejects(() => exportOnnx(5 as never, path), OptionError);
      await assertRejects(() => exportOnnx(again, path, { numeric: "float" }), OptionError, "has no effect");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("refuses inputs that do not fit", async () => {
    using model = await Onnx.load(layer(2, 1, [1, 1], [0]));
    assertMatch(
      (await assertRejects(() => model.run({}), OptionError)).message,
      /input "x", float, is missing/,
    );
    assertMatch(
      (await assertRejects(() => model.run({ x: tensor([[1, 2]]), z: tensor([1]) }), OptionError)).message,
      /no input "z"/,
    );
    assertMatch(
      (await assertRejects(() => model.run({ x: tensor([[1, 2, 3]]) }), ShapeError)).message,
      /is \[1, 3\], expected \[rows, 2\]/,
    );
  });

  it("names every node that cannot be run at once", async () => {
    const graph = new OnnxGraph(), x = graph.input("x", "float", [1]);
    graph.output("y", graph.node("Nowhere", [graph.node("Sofmax", [x])]), "float", [1]);
    const { message } = await assertRejects(() => Onnx.load(graph.finish("g", header)), FormatError);
    assertMatch(
      message,
      /\(Sofmax\), opset 17: there is no such operator here.*"Softmax".*\(Nowhere\), opset 17/,
    );
    for (
      const [bytes, reason] of [
        [single("Relu", ["nobody"]), /nothing before it gives its input "nobody"/],
        [single("Relu", ["x"], undefined, 99), /opset 99: operators are known up to opset 24/],
        [single("LayerNormalization", ["x", "x"], undefined, 9), /the operator came with opset 17/],
        [single("Relu", ["x"], (node) => node.string(7, "com.example")), /its domain is not known here/],
      ] as const
    ) assertMatch((await assertRejects(() => Onnx.load(bytes), FormatError)).message, reason);
  });

  it("keeps weights in a file beside it, and in no other", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-"));
    const external = (location: string, offset: number) => (graph: ProtobufWriter) =>
      graph.message(5, (t) => {
        t.integer(1, 2).integer(2, 1).string(8, "w").integer(14, 1);
        for (const [key, value] of [["location", location], ["offset", String(offset)], ["length", "8"]]) {
          t.message(13, (entry) => entry.string(1, key).string(2, value));
        }
      });
    try {
      writeFileSync(join(folder, "weights.bin"), new Uint8Array(new Float32Array([9, 1, 2]).buffer));
      const model = join(folder, "model.onnx");
      writeFileSync(model, single("Add", ["x", "w"], undefined, 17, external("weights.bin", 4)));
      using loaded = await Onnx.load(model);
      assertEquals(await ((await loaded.run({ x: tensor([10, 20]) })).y as Tensor).toArray(), [11, 22]);
      for (const away of ["../weights.bin", "/etc/passwd", "a/../../b", "file:///etc/passwd", "", "..\\b"]) {
        writeFileSync(model, single("Add", ["x", "w"], undefined, 17, external(away, 4)));
        const { message } = await assertRejects(() => Onnx.load(model), FormatError);
        assertMatch(message, /is not a name inside the model's folder/, away);
      }
      writeFileSync(model, single("Add", ["x", "w"], undefined, 17, external("weights.bin", 8)));
      assertMatch((await assertRejects(() => Onnx.load(model), FormatError)).message, /which has 12/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("that nests without end, or claims more than it has, is refused", async () => {
    let type = new ProtobufWriter().message(1, (t) => t.integer(1, 1)).finish();
    for (let i = 0; i < 100; i++) {
      const inner = type;
      type = new ProtobufWriter().message(4, (t) => t.bytes(1, inner)).finish();
    }
    const deep = new ProtobufWriter().message(
      7,
      (graph) => graph.message(11, (value) => value.string(1, "x").bytes(2, type)),
    ).message(8, (set) => set.integer(2, 17)).finish();
    assertMatch((await assertRejects(() => Onnx.load(deep), FormatError)).message, /nest more than 32 deep/);
    const huge = single(
      "Add",
      ["x", "w"],
      undefined,
      17,
      (graph) =>
        graph.message(
          5,
          (t) => t.integer(1, 2 ** 40).integer(2, 1).string(8, "w").bytes(9, new Uint8Array(8)),
        ),
    );
    assertMatch(
      (await assertRejects(() => Onnx.load(huge), FormatError)).message,
      /which 8 bytes do not fill/,
    );
    for (const bytes of [new Uint8Array(0), new Uint8Array([7, 255, 255]), new Uint8Array([58, 200, 1])]) {
      await assertRejects(() => Onnx.load(bytes), FormatError);
    }
  });
});

describe("arrays of NumPy", () => {
  /** A file with this head. */
  const file = (head: string, bytes: readonly number[], version = 1): Uint8Array =>
    Uint8Array.from([
      0x93,
      78,
      85,
      77,
      80,
      89,
      version,
      0,
      head.length,
      0,
      ...new TextEncoder().encode(head),
      ...bytes,
    ]);

  it("hold no other bools than 0 and 1", async () => {
    const random = new Generator(8);
    for (let round = 0; round < 20; round++) {
      const bytes = Array.from({ length: random.integer(1, 40) }, () => random.integer(0, 2));
      const made = file(`{'descr': '|b1', 'fortran_order': False, 'shape': (${bytes.length},), }`, bytes);
      assertEquals(await (await readNpy(made)).toArray(), bytes);
      const at = random.integer(0, bytes.length), wrong = random.integer(2, 256);
      made[made.length - bytes.length + at] = wrong;
      await assertRejects(() => readNpy(made), FormatError, `element ${at} of its bools is ${wrong}`);
    }
  });

  it("have their bytes in either order, and u64 as far as i64 goes", async () => {
    const random = new Generator(9);
    const kinds = { f4: 4, f8: 8, f2: 2, i8: 8, i4: 4, i2: 2, u2: 2, u4: 4, u8: 8 };
    for (const [kind, size] of Object.entries(kinds)) {
      const numbers = Array.from({ length: 5 * size }, () => random.integer(0, 64));
      const head = (order: string) => `{'descr': '${order}${kind}', 'fortran_order': False, 'shape': (5,), }`;
      const turned = numbers.map((_, i) => numbers[i - i % size + size - 1 - i % size]);
      const little = await readNpy(file(head("<"), numbers)), big = await readNpy(file(head(">"), turned));
      assertEquals([big.dtype, await big.data()], [little.dtype, await little.data()], kind);
    }
    const large = file("{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", [
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      128,
    ]);
    await assertRejects(() => readNpy(large), FormatError, "element 0 is 9223372036854775808");
  });

  it("come back as they were saved, of every dtype that NumPy has", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-npy-")), path = join(folder, "a.npy");
    try {
      const random = new Generator(3);
      for (const dtype of ["f32", "f16", "i64", "i32", "u8", "bool"] as const) {
        const shape = Array.from({ length: random.integer(0, 4) }, () => random.integer(0, 4));
        const count = shape.reduce((a, b) => a * b, 1);
        const x = tensor(Array.from({ length: count }, () => random.integer(0, 2)), { dtype, shape });
        await saveNpy(path, x);
        const again = await readNpy(path);
        assertEquals([again.dtype, [...again.shape], await again.data()], [dtype, shape, await x.data()]);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("are read as NumPy writes them: narrow integers, Fortran's order, other versions", async () => {
    const i1 = await readNpy(
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }\n", [255, 0, 127]),
    );
    assertEquals([i1.dtype, await i1.toArray()], ["i32", [-1, 0, 127]]);
    const turned = await readNpy(
      file("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", [1, 2, 3, 4, 5, 6]),
    );
    assertEquals(await turned.toArray(), [[1, 3, 5], [2, 4, 6]]);
    const f8 = file("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", [
      ...new Uint8Array(new Float64Array([0.5]).buffer),
    ]);
    assertEquals((await readNpy(f8)).dtype, "f32");
    assertEquals(await (await readNpy(f8, { dtype: "f64", device: "reference" })).item(), 0.5);
  });

  it("that are none are refused", async () => {
    const good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
    for (
      const [bytes, reason] of [
        [new Uint8Array(3), /does not begin with/],
        [file(good, [1, 2, 3]), /is \[1\], 4 bytes, and has 3/],
        [file(good.replace("<f4", "<c8"), [0, 0, 0, 0]), /elements are <c8/],
        [file(good.replace("<f4", "|O"), [0, 0, 0, 0]), /says no array|elements are/],
        [file(good.replace("(1,)", "(99999999999999, 99999999)"), [0, 0, 0, 0]), /shape is/],
        [file(good, [0, 0, 0, 0], 9), /version 9/],
        [file("{}", []), /says no array/],
      ] as const
    ) assertMatch((await assertRejects(() => readNpy(bytes), FormatError)).message, reason);
  });
});

describe("archives of NumPy's arrays", () => {
  /** Two arrays as `numpy.savez_compressed` writes them: deflated, with sizes of 64 bits in their heads. */
  const packed = Uint8Array.from(
    atob(
      "UEsDBC0AAAAIAAAAIQCOhbts//////////8FABQAeC5ucHkBABAAiAAAAAAAAABOAAAAAAAAAJvsF+obEMnIUMZQrZ" +
        "6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GoY6CkaaOgq1CmQDLgYGBUcGhgWOAFBL" +
        "AwQtAAAACAAAACEAI7jwbP//////////CQAUAGNvdW50Lm5weQEAEACIAAAAAAAAAEYAAAAAAAAAm+wX6hsQychQxl" +
        "CtnpJanFykbqWgbpNpoa6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkamjoKtQoUAS52BggAAFBLAQItAy0A" +
        "AAAIAAAAIQCOhbtsTgAAAIgAAAAFAAAAAAAAAAAAAACAAQAAAAB4Lm5weVBLAQItAy0AAAAIAAAAIQAjuPBsRgAAAI" +
        "gAAAAJAAAAAAAAAAAAAACAAYUAAABjb3VudC5ucHlQSwUGAAAAAAIAAgBqAAAABgEAAAAA",
    ),
    (c) => c.charCodeAt(0),
  );

  it("come back as they were saved, and as NumPy packs them", async () => {
    const found = await readNpz(packed);
    assertEquals([...found.keys()], ["x", "count"]);
    assertEquals(await found.get("x")!.toArray(), [[10, 20]]);
    assertEquals([found.get("count")!.dtype, await found.get("count")!.item()], ["i64", 7]);
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-npz-")), path = join(folder, "a.npz");
    try {
      const random = new Generator(5), tensors = new Map<string, Tensor>();
      for (const [i, dtype] of (["f32", "f16", "i64", "i32", "u8", "bool"] as const).entries()) {
        const shape = Array.from({ length: random.integer(0, 3) }, () => random.integer(0, 40));
        const count = shape.reduce((a, b) => a * b, 1);
        const values = Array.from({ length: count }, () => random.integer(0, 2));
        tensors.set(`${i}/ü`, tensor(values, { dtype, shape }));
      }
      await saveNpz(path, tensors);
      const again = await readNpz(path);
      assertEquals([...again.keys()], [...tensors.keys()]);
      for (const [name, t] of tensors) {
        const own = again.get(name)!;
        assertEquals([own.dtype, [...own.shape], await own.data()], [t.dtype, [...t.shape], await t.data()]);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("that are damaged are refused, whatever byte it is", async () => {
    await assertRejects(() => readNpz(new Uint8Array(9)), FormatError, "no ZIP archive");
    const random = new Generator(9);
    for (let i = 0; i < 300; i++) {
      const own = packed.slice(0, random.integer(0, 4) ? packed.length : random.integer(0, packed.length));
      for (let k = random.integer(1, 4); k > 0; k--) {
        own[random.integer(0, own.length)] = random.integer(0, 256);
      }
      try {
        const found = await readNpz(own);
        // What no reader looks at: dates, the machine that wrote it, the name of an array.
        if (found.has("x")) assertEquals(await found.get("x")!.toArray(), [[10, 20]]);
      } catch (error) {
        assert(error instanceof FormatError, `${(error as Error).stack}`);
      }
    }
  });
});

describe("the command", () => {
  it("runs a model on an archive of arrays, and writes its outputs as one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-")), at = (name: string) => join(folder, name);
    try {
      writeFileSync(at("m.onnx"), layer(2, 1, [1, 2], [3]));
      await saveNpz(at("in.npz"), { x: tensor([[10, 20]]) });
      const args = ["run", at("m.onnx"), "--input", `@${at("in.npz")}`];
      for (let i = 0; i < 2; i++) {
        assertStrictEquals((await call([...args, "--output", at("out.npz")])).code, 0);
      }
      assertEquals(await (await readNpz(at("out.npz"))).get("y")!.toArray(), [[53]]);
      assertMatch((await call([...args, "--input", "x=1"])).stderr, /--input x is given twice/);
      assertMatch(
        (await call([...args, "--output", `y=${at("o.npz")}`])).stderr,
        /takes all outputs by name/,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("takes a number or a text for an input of any type, and says what it does not take", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-")), model = join(folder, "m.onnx");
    const ask = async (type: OnnxType, given: string) => {
      writeFileSync(
        model,
        bytesOfModel({ nodes: [["Identity", "x", "y"]], inputs: { x: [type, []] }, outputs: { y: type } }),
      );
      const { stdout, stderr, code } = await call(["run", model, "--input", `x=${given}`, "--json"]);
      return code === 0 ? JSON.parse(stdout).outputs.y.data : stderr;
    };
    try {
      const taken: [OnnxType, string, unknown][] = [
        ["uint8", "200", 200],
        ["bool", "true", 1],
        ["int64", "-9007199254740993", "-9007199254740993"],
        ["uint64", "18446744073709551615", "18446744073709551615"],
        ["string", "a=b", ["a=b"]],
        ["float16", "1.5", 1.5],
        ["double", "0.1", 0.1],
      ];
      for (const [type, given, want] of taken) assertEquals(await ask(type, given), want, type);
      assertMatch(await ask("int32", "1.5"), /"1.5", and int32 is a whole number/);
      assertMatch(await ask("bool", "2"), /"2", and bool is true or false/);
      assertMatch(await ask("int64", "9223372036854775808"), /more than int64 holds/);
      assertMatch(await ask("float", "abc"), /"abc", expected @file.npy or a number/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("tells what an ONNX file holds, and runs it on arrays", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-")), model = join(folder, "m.onnx");
    try {
      writeFileSync(model, layer(2, 1, [1, 2], [3]));
      assertEquals((await inspectOnnx(model)).operators, { Gemm: 1, Relu: 1, Identity: 1 });
      const told = JSON.parse((await call(["inspect", model, "--json"])).stdout);
      assertEquals([told.format, told.parameters, told.opsets[""]], ["onnx", 3, 17]);
      await saveNpy(join(folder, "x.npy"), tensor([[10, 20]]));
      const args = ["run", model, "--input", `x=@${join(folder, "x.npy")}`];
      const ran = await call([...args, "--json", "--output", `y=${join(folder, "y.npy")}`]);
      assertEquals(JSON.parse(ran.stdout).outputs, { y: { dtype: "f32", shape: [1, 1], data: [[53]] } });
      assertEquals(await (await readNpy(join(folder, "y.npy"))).toArray(), [[53]]);
      assertMatch((await call(args)).stdout, /^y {2}f32 \[1, 1\]/);
      assertStrictEquals((await call(["run", model])).code, 2);
      assertStrictEquals((await call(["run", model, "--input", "x"])).code, 2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
