/**
 * Programs of ONNX models whose graphs branch: what sizes, constants and small inputs decide is decided once for them, and what
 * only a run tells is refused by name. Weights of one number are part of a program as long as they stay.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CaptureError, mul, noGrad, Onnx, type Tensor, tensor } from "../mod.ts";
import { ProtobufWriter } from "../src/onnx/protobuf_writer.ts";
import { copyInto } from "../src/tensor/mod.ts";

type Write = (graph: ProtobufWriter) => void;

/** A node; its attributes are integers and graphs by name. */
const node = (
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, number | readonly Write[]>> = {},
): Write =>
(graph) => {
  graph.message(1, (own) => {
    for (const name of inputs) own.string(1, name);
    for (const name of outputs) own.string(2, name);
    own.string(3, `the ${operator} of ${outputs}`).string(4, operator);
    for (const [name, value] of Object.entries(attributes)) {
      own.message(5, (a) => {
        a.string(1, name);
        if (typeof value === "number") return void a.integer(3, value).integer(20, 2);
        a.message(6, (g) => value.forEach((part) => part(g)));
        a.integer(20, 5);
      });
    }
  });
};

const floats = (name: string, values: readonly number[], dims = [values.length]): Write => (graph) => {
  graph.message(5, (t) => {
    for (const n of dims) t.integer(1, n);
    t.integer(2, 1).string(8, name).bytes(9, new Uint8Array(Float32Array.from(values).buffer));
  });
};

const wholes = (name: string, values: readonly bigint[], dims = [values.length]): Write => (graph) => {
  graph.message(5, (t) => {
    for (const n of dims) t.integer(1, n);
    t.integer(2, 7).string(8, name).bytes(9, new Uint8Array(BigInt64Array.from(values).buffer));
  });
};

const edge = (field: number, name: string, type: number): Write => (graph) => {
  graph.message(
    field,
    (value) => value.string(1, name).message(2, (t) => t.message(1, (of) => of.integer(1, type))),
  );
};
const output = (name: string): Write => edge(12, name, 1);

/** A model from x (floats) and rate (whole numbers) to y. */
function model(...parts: readonly Write[]): Uint8Array {
  return new ProtobufWriter().integer(1, 8).message(7, (graph) => {
    graph.string(2, "g");
    for (const part of [...parts, edge(11, "x", 1), edge(11, "rate", 7), output("y")]) part(graph);
  }).message(8, (set) => set.integer(2, 17)).finish();
}

/** By `rate`, then by how much there is of x: names are the same in all branches, and beside names around them. */
const branching = model(
  wholes("eight", [8n], []),
  floats("w", [100]),
  node("Mul", ["x", "w"], ["outer"]),
  node("Equal", ["rate", "eight"], ["is"]),
  node("If", ["is"], ["chosen"], {
    then_branch: [
      floats("a", [3]),
      node("Mul", ["x", "a"], ["b"]),
      node("Add", ["b", "outer"], ["c"]),
      output("c"),
    ],
    else_branch: [
      floats("a", [5]),
      wholes("three", [3n], []),
      node("Size", ["outer"], ["n"]),
      node("Greater", ["n", "three"], ["many"]),
      node("If", ["many"], ["c"], {
        then_branch: [node("Sub", ["outer", "a"], ["b"]), output("b")],
        else_branch: [node("Add", ["outer", "a"], ["b"]), output("b")],
      }),
      output("c"),
    ],
  }),
  node("Neg", ["chosen"], ["y"]),
);

async function both(
  bytes: Uint8Array,
  runs: readonly (readonly [x: number[], rate: bigint])[],
): Promise<void> {
  using own = await Onnx.load(bytes);
  for (const [numbers, rate] of runs) {
    const given = { x: tensor(numbers), rate: tensor(BigInt64Array.of(rate), { shape: [] }) };
    const [wanted, found] = await noGrad(
      async () => [await own.run(given), await own.run(given, { compiled: true })],
    );
    assertEquals(
      await (found.y as Tensor).toArray(),
      await (wanted.y as Tensor).toArray(),
      `${numbers}, ${rate}`,
    );
  }
}

const refused = async (bytes: Uint8Array, message: string, count = 2): Promise<void> => {
  using own = await Onnx.load(bytes);
  const given = { x: tensor(new Float32Array(count)), rate: tensor(BigInt64Array.of(1n), { shape: [] }) };
  await own.run(given);
  await assertRejects(() => noGrad(() => own.run(given, { compiled: true })), CaptureError, message);
};

describe("an ONNX program", () => {
  it("takes the branch that inputs and sizes decide", async () => {
    const few = [1, 2], many = [1, 2, 3, 4, -5];
    await both(branching, [[few, 8n], [few, 8n], [few, 9n], [many, 9n], [few, 9n], [many, 8n], [[0, 7], 8n], [
      many,
      -1n,
    ]]);
  });

  it("is made anew for what a few floats decide", async () => {
    const bytes = model(
      floats("zero", [0], []),
      node("ReduceSum", ["x"], ["sum"], { keepdims: 0 }),
      node("Greater", ["sum", "zero"], ["is"]),
      node("If", ["is"], ["y"], {
        then_branch: [node("Exp", ["x"], ["a"]), output("a")],
        else_branch: [node("Abs", ["x"], ["a"]), output("a")],
      }),
    );
    await both(bytes, [[[1, 2], 0n], [[-1, -2], 0n], [[1, 2], 0n], [[-3, 2], 0n]]);
    await refused(bytes, "(If)", 100);
  });

  it("refuses what is drawn, and loops", async () => {
    const branch = {
      then_branch: [node("Exp", ["x"], ["a"]), output("a")],
      else_branch: [node("Abs", ["x"], ["a"]), output("a")],
    };
    await refused(
      model(
        floats("zero", [0], []),
        node("RandomUniformLike", ["zero"], ["drawn"]),
        node("Greater", ["drawn", "zero"], ["is"]),
        node("If", ["is"], ["y"], branch),
      ),
      "(If)",
    );
    // A loop within a branch sees the branch's names.
    await refused(
      model(
        wholes("one", [1n], []),
        wholes("turns", [2n], []),
        node("Equal", ["rate", "one"], ["is"]),
        node("If", ["is"], ["y"], {
          then_branch: [
            floats("a", [3]),
            node("Loop", ["turns", "", "x"], ["b"], {
              body: [
                edge(11, "i", 7),
                edge(11, "goes", 9),
                edge(11, "state", 1),
                node("Identity", ["goes"], ["on"]),
                node("Mul", ["state", "a"], ["next"]),
                edge(12, "on", 9),
                output("next"),
              ],
            }),
            output("b"),
          ],
          else_branch: [node("Abs", ["x"], ["b"]), output("b")],
        }),
      ),
      "(Loop)",
    );
  });

  it("sees a weight of one number change", async () => {
    using own = await Onnx.load(
      model(floats("w", [0.3]), node("Mul", ["x", "w"], ["a"]), node("Add", ["a", "w"], ["y"])),
    );
    const given = { x: tensor([1, 2, 3]), rate: tensor(BigInt64Array.of(1n), { shape: [] }) };
    const results = async (): Promise<unknown> =>
      await noGrad(async () => await ((await own.run(given, { compiled: true })).y as Tensor).toArray());
    await results();
    const w = own.parameters().get("w")!;
    for (const factor of [2, -3, 0.1]) {
      noGrad(() => copyInto(w, mul(w, factor)));
      const wanted = await noGrad(async () => await ((await own.run(given)).y as Tensor).toArray());
      assertEquals([await results(), await results()], [wanted, wanted]);
    }
  });
});
