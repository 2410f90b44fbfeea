/**
 * ONNX files: the bytes of the protobuf writer, and what ONNX Runtime predicts from them, beside the formulas that
 * `src/tabular/types.ts` writes down, computed here in plain TypeScript.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows, fail } from "@std/assert";
import { FormatError, OptionError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { onnxInputs, toOnnx } from "../src/tabular/onnx.ts";
import { OnnxGraph } from "../src/onnx/graph_writer.ts";
import { ProtobufWriter } from "../src/onnx/protobuf_writer.ts";
import type { Column, ColumnKind, DenseLayer, Feature, FittedModel, Network } from "../src/tabular/types.ts";
import { type OnnxRuntime, type OnnxTensor, rival } from "./_rivals.ts";
import { describe, it } from "./_suite.ts";

/** A field of a message: its number, and the value as it is in the bytes. */
type Field = [number: number, value: number | bigint | Uint8Array];

/** Takes a message apart, by the rules of the format and not by the writer's. */
function parse(bytes: Uint8Array): Field[] {
  const fields: Field[] = [], view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = () => {
    let value = 0n, shift = 0n;
    for (;; shift += 7n) {
      const byte = BigInt(bytes[at++]);
      value |= (byte & 127n) << shift;
      if (byte < 128n) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint()), number = tag >> 3, wire = tag & 7;
    if (wire === 0) fields.push([number, BigInt.asIntN(64, varint())]);
    else if (wire === 5) fields.push([number, view.getFloat32((at += 4) - 4, true)]);
    else if (wire === 2) {
      const length = Number(varint());
      fields.push([number, bytes.subarray(at, at += length)]);
    } else fail(`wire type ${wire} at ${at}`);
  }
  assertStrictEquals(at, bytes.length);
  return fields;
}

function texts(fields: Field[], number: number): string[] {
  return fields.filter(([field]) => field === number).map(([, value]) =>
    new TextDecoder().decode(value as Uint8Array)
  );
}

function messages(fields: Field[], number: number): Field[][] {
  return fields.filter(([field]) => field === number).map(([, value]) => parse(value as Uint8Array));
}

function column(name: string, kind: ColumnKind, more: Partial<Column> = {}): Column {
  return {
    name,
    kind,
    ignored: null,
    mean: 0,
    std: 1,
    min: -1,
    max: 1,
    quantiles: [],
    categories: [],
    counts: [],
    missing: 0,
    fill: kind === "categorical" ? -1 : 0.25,
    ...more,
  };
}

const columns: Column[] = [
  column("age", "numeric", { fill: 3.5 }),
  column("colour", "categorical", { categories: ["red", "grün", "a,b"] }),
  column("id", "numeric", { ignored: "all values differ" }),
  column("smokes", "boolean", { categories: ["no", "yes"], fill: 0 }),
  column("born", "date", { fill: 9000 }),
  column("town", "categorical", { categories: ["Rome", "Oslo"], fill: 1 }),
  column("notes", "categorical", { ignored: "nearly all texts differ" }),
];

/** Every kind of feature, not in the order of kinds or columns. */
const features: Feature[] = [
  { kind: "category", column: 1, index: 2, center: 0, scale: 1 },
  { kind: "value", column: 0, center: 2.5, scale: 1.75 },
  { kind: "missing", column: 0, center: 0.1, scale: 0.3 },
  { kind: "category", column: 1, index: 0, center: 0.5, scale: 0.5 },
  { kind: "log", column: 0, unit: 0.7, center: 0.2, scale: 1.1 },
  { kind: "cycle", column: 4, period: 365.2425, phase: 0, center: 0, scale: 0.7 },
  { kind: "cycle", column: 4, period: 365.2425, phase: 0.25, center: 0, scale: 0.7 },
  { kind: "value", column: 3, center: 0.4, scale: 0.49 },
  { kind: "missing", column: 1, center: 0, scale: 1 },
  { kind: "ramp", column: 0, from: -1, to: 2, center: 0.5, scale: 0.25 },
  { kind: "category", column: 5, index: 1, center: 0, scale: 1 },
  { kind: "category", column: 1, index: 1, center: 0, scale: 1 },
  { kind: "value", column: 4, center: 9100, scale: 3000 },
  { kind: "missing", column: 5, center: 0, scale: 1 },
  { kind: "category", column: 3, index: 1, center: 0, scale: 1 },
];

function layer(
  inputs: number,
  outputs: number,
  activation: DenseLayer["activation"],
  seed: number,
): DenseLayer {
  const generator = new Generator(seed), size = 1.5 / Math.sqrt(inputs);
  return {
    weight: Float32Array.from({ length: inputs * outputs }, () => generator.normal() * size),
    bias: Float32Array.from({ length: outputs }, () => generator.normal() * 0.5),
    inputs,
    outputs,
    activation,
  };
}

function fitted(task: "classification" | "regression", classes: string[], networks?: Network[]): FittedModel {
  const outputs = task === "regression" ? 1 : classes.length, all = features.length;
  return {
    schema: {
      columns,
      features,
      target: {
        name: "target",
        task,
        classes,
        counts: classes.map(() => 10),
        mean: task === "regression" ? 250 : 0,
        std: task === "regression" ? 30 : 0,
        min: 0,
        max: 0,
        quantiles: [],
      },
    },
    networks: networks ?? [
      { share: 0.5, inputs: null, layers: [layer(all, 16, "relu", 11), layer(16, outputs, "identity", 2)] },
      { share: 0.3, inputs: [4, 1, 10, 0], layers: [layer(4, outputs, "identity", 3)] },
      {
        share: 0.2,
        inputs: null,
        layers: [layer(all, 8, "relu", 4), layer(8, 8, "relu", 5), layer(8, outputs, "identity", 6)],
      },
    ],
    residuals: new Float32Array(),
  };
}

/** One row as it stands in a table: numbers (NaN is missing), texts ("" is missing). */
type Row = (number | string)[];

/** One feature of one row, as the comments of {@link Feature} say. */
function featureOf(feature: Feature, cells: number[]): number {
  const missing = Number.isNaN(cells[feature.column]);
  const v = missing ? columns[feature.column].fill : cells[feature.column];
  const raw = feature.kind === "value"
    ? v
    : feature.kind === "log"
    ? Math.sign(v) * Math.log(1 + Math.abs(v) / feature.unit)
    : feature.kind === "ramp"
    ? Math.min(1, Math.max(0, (v - feature.from) / (feature.to - feature.from)))
    : feature.kind === "category"
    ? Number(v === feature.index)
    : feature.kind === "cycle"
    ? Math.sin(2 * Math.PI * (v / feature.period + feature.phase))
    : Number(missing);
  return (raw - feature.center) / feature.scale;
}

/** What the model says of one row, in f64: probabilities, or one value. */
function expected({ schema: { target }, networks }: FittedModel, row: Row): number[] {
  const cells = row.map((cell, c) =>
    typeof cell === "number" ? cell : cell === "" ? NaN : columns[c].categories.indexOf(cell)
  );
  const x = features.map((feature) => featureOf(feature, cells));
  const sum: number[] = [];
  for (const { share, inputs, layers } of networks) {
    let y = inputs === null ? x : inputs.map((index) => x[index]);
    for (const { weight, bias, activation } of layers) {
      y = Array.from(
        bias,
        (b, o) => y.reduce((total, value, i) => total + value * weight[o * y.length + i], b),
      );
      if (activation === "relu") y = y.map((value) => Math.max(0, value));
    }
    if (target.task === "classification") {
      const largest = Math.max(...y), powers = y.map((logit) => Math.exp(logit - largest));
      const total = powers.reduce((all, power) => all + power, 0);
      y = powers.map((power) => power / total);
    }
    y.forEach((value, o) => sum[o] = (sum[o] ?? 0) + share * value);
  }
  return target.task === "classification" ? sum : [target.mean + target.std * sum[0]];
}

/** Rows with everything that can be in one; numbers are such that f32 holds them. */
function rows(count: number): Row[] {
  const generator = new Generator(77);
  const pick = <T>(...choices: T[]) => choices[generator.integer(0, choices.length)];
  return Array.from({ length: count }, () => [
    pick<number>(NaN, 0, -3.25, 1e6, Math.fround(generator.normal() * 4), Math.fround(generator.normal())),
    pick("red", "grün", "a,b", "", "Red", "unseen"),
    generator.uniform(),
    pick<number>(0, 1, NaN),
    pick<number>(NaN, generator.integer(-5000, 20_000)),
    pick("Rome", "Oslo", "", "Bergen"),
    "free text",
  ]);
}

const onnx = rival<OnnxRuntime>("onnxruntime-node");
const skip = "skip" in onnx ? onnx.skip : false;

async function predict(model: FittedModel, table: Row[], numeric: "float" | "double" = "float") {
  assert("program" in onnx);
  const { InferenceSession, Tensor } = onnx.program;
  const session = await InferenceSession.create(toOnnx(model, { numeric }));
  const places = onnxInputs(model.schema);
  const inputs: Record<string, OnnxTensor> = {};
  if (places.numeric.length > 0) {
    const values = table.flatMap((row) => places.numeric.map((c) => row[c] as number));
    inputs.numeric = numeric === "float"
      ? new Tensor("float32", Float32Array.from(values), [table.length, places.numeric.length])
      : new Tensor("float64", Float64Array.from(values), [table.length, places.numeric.length]);
  }
  if (places.categorical.length > 0) {
    const values = table.flatMap((row) => places.categorical.map((c) => row[c] as string));
    inputs.categorical = new Tensor("string", values, [table.length, places.categorical.length]);
  }
  assertEquals(session.inputNames, Object.keys(inputs));
  const outputs = await session.run(inputs);
  await session.release();
  return outputs;
}

describe("the protobuf writer", () => {
  it("writes what the format's documentation shows", () => {
    const bytes = (writer: ProtobufWriter) => Array.from(writer.finish());
    assertEquals(bytes(new ProtobufWriter().integer(1, 150)), [0x08, 0x96, 0x01]);
    assertEquals(bytes(new ProtobufWriter().string(2, "testing")), [
      0x12,
      7,
      ...new TextEncoder().encode("testing"),
    ]);
    assertEquals(bytes(new ProtobufWriter().message(3, (inner) => inner.integer(1, 150))), [
      0x1a,
      3,
      8,
      0x96,
      1,
    ]);
    assertEquals(bytes(new ProtobufWriter().integer(1, -2)), [8, 0xfe, ...Array(8).fill(0xff), 1]);
    assertEquals(bytes(new ProtobufWriter().float(1, 1)), [0x0d, 0, 0, 0x80, 0x3f]);
    assertEquals(bytes(new ProtobufWriter().integer(16, 0)), [0x80, 1, 0]);
    assertEquals(bytes(new ProtobufWriter()), []);
  });

  it("gives back every number, and grows as it must", () => {
    const writer = new ProtobufWriter();
    const numbers = [
      0,
      1,
      127,
      128,
      2 ** 31,
      2 ** 32 + 5,
      Number.MAX_SAFE_INTEGER,
      -1,
      Number.MIN_SAFE_INTEGER,
    ];
    for (const number of numbers) writer.integer(5, number);
    const long = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    writer.bytes(1000, long).string(6, "é");
    const fields = parse(writer.finish());
    assertEquals(fields.slice(0, numbers.length).map(([, value]) => Number(value)), numbers);
    assertEquals([fields[9][0], fields[9][1]], [1000, long]);
    assertEquals(texts(fields, 6), ["é"]);
    for (const value of [0.5, NaN, 2 ** 53]) {
      assertThrows(() => new ProtobufWriter().integer(1, value), OptionError);
    }
  });
});

describe("an ONNX file", () => {
  it("says what it is, and names its columns", () => {
    const model = parse(toOnnx(fitted("classification", ["no", "yes"]), { version: "1.2.3" }));
    assertEquals([texts(model, 2), texts(model, 3)], [["ferrotype"], ["1.2.3"]]);
    const sets = messages(model, 8).map((set) => [texts(set, 1)[0], Number(set.find(([n]) => n === 2)![1])]);
    assertEquals(sets, [["", 17], ["ai.onnx.ml", 2]]);
    const metadata = Object.fromEntries(
      messages(model, 14).map((entry) => [texts(entry, 1)[0], texts(entry, 2)[0]]),
    );
    assertEquals(JSON.parse(metadata.classes), ["no", "yes"]);
    assertEquals(JSON.parse(metadata.numeric), [
      { name: "age", kind: "numeric" },
      { name: "smokes", kind: "boolean", false: "no", true: "yes" },
      { name: "born", kind: "date" },
    ]);
    assertEquals(JSON.parse(metadata.categorical).map(({ name }: Column) => name), ["colour", "town"]);
    const [graph] = messages(model, 7);
    assertEquals(messages(graph, 11).map((input) => texts(input, 1)[0]), ["numeric", "categorical"]);
    assertEquals(messages(graph, 12).map((output) => texts(output, 1)[0]), ["label", "probabilities"]);
    // Every value is made before it is used, and once.
    const made = new Set([
      ...messages(graph, 11).flatMap((input) => texts(input, 1)),
      ...messages(graph, 5).flatMap((constant) => texts(constant, 8)),
    ]);
    for (const node of messages(graph, 1)) {
      for (const name of texts(node, 1)) assert(made.has(name), name);
      for (const name of texts(node, 2)) assert(!made.has(name) && made.add(name));
    }
  });

  it("is the same each time", () => {
    const model = fitted("regression", []);
    assertEquals(toOnnx(model), toOnnx(model));
  });

  it("refuses a model without inputs, a feature of an ignored column, and a constant of another size", () => {
    const model = fitted("regression", []);
    const bare = columns.map((one) => ({ ...one, ignored: "constant" }));
    assertThrows(() => toOnnx({ ...model, schema: { ...model.schema, columns: bare } }), FormatError);
    const wrong: Feature[] = [...features, { kind: "value", column: 2, center: 0, scale: 1 }];
    const schema = { ...model.schema, features: wrong };
    assertThrows(() => toOnnx({ ...model, schema }), Error, "the column id, which the model ignores");
    assertThrows(() => new OnnxGraph().constant("float", [2, 2], [1, 2, 3]), ShapeError);
  });
});

describe("ONNX Runtime", () => {
  const table = rows(400);

  for (const classes of [["no", "yes"], ["a", "b", "ç", "d"]]) {
    it(`predicts the same ${classes.length} classes`, { skip }, async () => {
      const model = fitted("classification", classes);
      const { label, probabilities } = await predict(model, table);
      assertEquals([label.dims, probabilities.dims], [[400], [400, classes.length]]);
      const seen = new Set<string>();
      table.forEach((row, r) => {
        const want = expected(model, row);
        want.forEach((p, c) => {
          const got = probabilities.data[r * classes.length + c];
          assert(Math.abs(got - p) < 1e-5, `row ${r} (${row}): ${got} for ${p}`);
        });
        const best = want.indexOf(Math.max(...want));
        assertStrictEquals(label.data[r], classes[best], `row ${r} (${row})`);
        seen.add(label.data[r]);
      });
      assert(seen.size > 1, "the rows must not all be of one class");
    });
  }

  it("predicts the same values", { skip }, async () => {
    const model = fitted("regression", []);
    // Without 1e6, whose f32 rounding alone is more than 1e-5 of a standard deviation.
    const usual = table.filter(([age]) => age !== 1e6);
    for (const numeric of ["float", "double"] as const) {
      const { value } = await predict(model, usual, numeric);
      assertEquals([value.type, value.dims], ["float32", [usual.length]]);
      usual.forEach((row, r) => {
        const [want] = expected(model, row);
        assert(
          Math.abs(value.data[r] - want) < 1e-5 * Math.max(30, Math.abs(want)),
          `row ${r}: ${value.data[r]} for ${want}`,
        );
      });
    }
  });

  it("sees the time of day when cells are double", { skip }, async () => {
    const base = fitted("regression", []);
    const day: Feature[] = [{ kind: "cycle", column: 4, period: 1, phase: 0, center: 0, scale: 1 }];
    const identity: DenseLayer = {
      ...layer(1, 1, "identity", 1),
      weight: Float32Array.of(1),
      bias: Float32Array.of(0),
    };
    const model = {
      ...base,
      schema: { ...base.schema, features: day },
      networks: [{ share: 1, inputs: null, layers: [identity] }],
    };
    const table: Row[] = [0.1, 0.25, 0.777].map((time) => [0, "", 0, 0, 20_000 + time, "", ""]);
    const { value } = await predict(model, table, "double");
    [0.1, 0.25, 0.777].forEach((time, r) => {
      assert(Math.abs(value.data[r] - (250 + 30 * Math.sin(2 * Math.PI * time))) < 1e-4);
    });
  });

  it("takes a table of numbers alone, of texts alone, and one row", { skip }, async () => {
    const base = fitted("classification", ["no", "yes"]);
    for (const kind of ["numeric", "categorical"]) {
      const some = columns.map((one) =>
        (one.kind === "categorical") === (kind === "categorical") ? one : { ...one, ignored: "left out" }
      );
      const kept = features.filter((feature) => some[feature.column].ignored === null);
      const networks: Network[] = [{
        share: 1,
        inputs: null,
        layers: [layer(kept.length, 2, "identity", 8)],
      }];
      const model = { ...base, schema: { ...base.schema, columns: some, features: kept }, networks };
      const { probabilities } = await predict(model, table.slice(0, 1));
      assertStrictEquals(probabilities.data.length, 2);
      assert(Math.abs(probabilities.data[0] + probabilities.data[1] - 1) < 1e-6);
    }
  });

  it("takes a category that is called nothing", { skip }, async () => {
    const base = fitted("regression", []);
    const some = columns.map((one, c) => c === 1 ? { ...one, categories: ["red", ""] } : one);
    const kept: Feature[] = [
      { kind: "category", column: 1, index: 1, center: 0, scale: 1 },
      { kind: "missing", column: 1, center: 0, scale: 1 },
    ];
    const pick: DenseLayer = {
      ...layer(2, 1, "identity", 1),
      weight: Float32Array.of(1, 10),
      bias: Float32Array.of(0),
    };
    const model = {
      ...base,
      schema: { ...base.schema, columns: some, features: kept },
      networks: [{ share: 1, inputs: null, layers: [pick] }],
    };
    const { value } = await predict(model, [[0, "", 0, 0, 0, "", ""], [0, "red", 0, 0, 0, "", ""]]);
    assertEquals(Array.from(value.data), [280, 250]);
  });
});
