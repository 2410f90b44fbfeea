/**
 * A run of an ONNX model is bounded in steps and in bytes, and the bytes before they are taken: a small file can ask for any
 * time and any memory.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import {
  CancelledError,
  DeviceError,
  FormatError,
  memory,
  Onnx,
  OptionError,
  type Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { ProtobufWriter } from "../src/onnx/protobuf_writer.ts";
import { backendOf, watchPeak } from "../src/tensor/mod.ts";

type Write = (graph: ProtobufWriter) => void;

/** A value's name and type in a graph. */
const edge = (name: string, type: number, dims: readonly number[] | null = null): Write => (value) => {
  value.string(1, name).message(2, (t) =>
    t.message(1, (of) => {
      of.integer(1, type);
      if (dims) {
        of.message(2, (shape) => {
          for (const n of dims) shape.message(1, (dim) => dim.integer(1, n));
        });
      }
    }));
};

/** A node; `attributes` writes its own. */
const node = (
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Write = () => {},
): Write =>
(graph) => {
  graph.message(1, (own) => {
    for (const name of inputs) own.string(1, name);
    for (const name of outputs) own.string(2, name);
    own.string(3, `the ${operator}`).string(4, operator);
    attributes(own);
  });
};

const whole = (name: string, value: number): Write => (own) => {
  own.message(5, (a) => a.string(1, name).integer(3, value).integer(20, 2));
};

/** Whole numbers of the file. */
const numbers =
  (name: string, values: readonly bigint[], dims: readonly number[] = [values.length]): Write => (graph) => {
    const bytes = new Uint8Array(BigInt64Array.from(values).buffer);
    graph.message(5, (t) => {
      for (const n of dims) t.integer(1, n);
      t.integer(2, 7).string(8, name).bytes(9, bytes);
    });
  };

/** A model from x of two floats to y. */
function model(...parts: readonly Write[]): Uint8Array {
  return new ProtobufWriter().integer(1, 8).message(7, (graph) => {
    graph.string(2, "g");
    for (const part of parts) part(graph);
    graph.message(11, edge("x", 1, [2])).message(12, edge("y", 1));
  }).message(8, (set) => set.integer(2, 17)).finish();
}

/** A loop that goes on as long as its input says, over a state that `body` makes of "state" as "next". */
function loop(turns: bigint, ...body: readonly Write[]): Uint8Array {
  return model(
    numbers("turns", [turns], []),
    node("Loop", ["turns", "", "x"], ["y"], (own) => {
      own.message(5, (a) =>
        a.string(1, "body").message(6, (graph) => {
          graph.string(2, "body");
          graph.message(11, edge("turn", 7)).message(11, edge("go", 9)).message(11, edge("state", 1));
          for (const part of body) part(graph);
          graph.message(12, edge("go", 9)).message(12, edge(body.length ? "next" : "state", 1));
        }).integer(20, 5));
    }),
  );
}

const doubled = (from: string, to: string): Write => node("Concat", [from, from], [to], whole("axis", 0));
const x = (): { x: Tensor } => ({ x: tensor([1, 2]) });

describe("the steps of a run", () => {
  it("are bounded, whether or not a loop's body has nodes, and the node is named", async () => {
    for (const body of [[], [node("Neg", ["state"], ["next"])]]) {
      using endless = await Onnx.load(loop(2n ** 62n, ...body));
      const error = await assertRejects(() => endless.run(x(), { maxSteps: 5000 }), FormatError);
      assertMatch(error.message, /node "the Loop" \(Loop\).*has taken 5000 steps .*allow more with maxSteps/);
    }
  });

  it("suffice where there are as many as are taken, for seeded lengths", async () => {
    const random = new Generator(5);
    for (let round = 0; round < 6; round++) {
      const turns = random.integer(0, 60);
      using one = await Onnx.load(loop(BigInt(turns), node("Neg", ["state"], ["next"])));
      // The loop is a step, each turn is one, and the node in it.
      const { y } = await one.run(x(), { maxSteps: 1 + 2 * turns });
      assertEquals(await (y as Tensor).toArray(), turns % 2 ? [-1, -2] : [1, 2]);
      if (turns) await assertRejects(() => one.run(x(), { maxSteps: 2 * turns }), FormatError, "maxSteps");
    }
  });

  it("end by a signal, which is heard while they are taken", async () => {
    using endless = await Onnx.load(loop(2n ** 62n, node("Neg", ["state"], ["next"])));
    const controller = new AbortController();
    const run = endless.run(x(), { signal: controller.signal });
    setTimeout(() => controller.abort(), 0);
    await assertRejects(() => run, CancelledError, "the run was cancelled");
    await assertRejects(() => endless.run(x(), { signal: AbortSignal.abort() }), CancelledError);
  });

  it("are those of functions that call each other, too", async () => {
    // Each calls the one before it twice: 2^40 nodes in a file of a few kilobytes.
    const writer = new ProtobufWriter().integer(1, 8).message(7, (graph) => {
      graph.string(2, "g").message(
        1,
        (own) => own.string(1, "x").string(2, "y").string(4, "f40").string(7, "own"),
      );
      graph.message(11, edge("x", 1, [2])).message(12, edge("y", 1));
    });
    for (const domain of ["", "own"]) writer.message(8, (set) => set.string(1, domain).integer(2, 17));
    for (let i = 1; i <= 40; i++) {
      writer.message(25, (f) => {
        f.string(1, `f${i}`).string(4, "in").string(5, "out");
        for (const [from, to] of [["in", "half"], ["half", "out"]]) {
          f.message(7, (own) => {
            own.string(1, from).string(2, to).string(4, i === 1 ? "Neg" : `f${i - 1}`);
            if (i > 1) own.string(7, "own");
          });
        }
        f.message(9, (set) => set.integer(2, 17)).message(9, (set) => set.string(1, "own").integer(2, 17));
        f.string(10, "own");
      });
    }
    using nested = await Onnx.load(writer.finish());
    await assertRejects(() => nested.run(x(), { maxSteps: 3000 }), FormatError, "maxSteps");
  });

  it("and bytes are numbers from 1", async () => {
    using one = await Onnx.load(model(node("Neg", ["x"], ["y"])));
    for (
      const options of [{ maxSteps: 0 }, { maxSteps: 1.5 }, { maxMemory: 0 }, { maxMemory: "1" }, {
        steps: 1,
      }]
    ) {
      await assertRejects(() => one.run(x(), options as never), OptionError);
    }
  });
});

describe("the memory of a run", () => {
  const chain = Array.from({ length: 40 }, (_, k) => doubled(k ? `t${k}` : "x", k < 39 ? `t${k + 1}` : "y"));
  const floats = (name: string, values: readonly number[]): Write => (graph) => {
    graph.message(5, (t) =>
      t.integer(1, values.length).integer(2, 1).string(8, name)
        .bytes(9, new Uint8Array(Float32Array.from(values).buffer)));
  };
  /** Files that make much of little, in ways of their own. */
  const greedy: Readonly<Record<string, Uint8Array>> = {
    "a chain that doubles": model(...chain),
    "a loop that doubles": loop(40n, doubled("state", "next")),
    "Tile": model(numbers("r", [10n ** 11n]), node("Tile", ["x", "r"], ["y"])),
    "ConstantOfShape": model(
      numbers("s", [10n ** 6n, 10n ** 5n]),
      node("ConstantOfShape", ["s"], ["v"]),
      node("Neg", ["v"], ["y"]),
    ),
    "Pad": model(numbers("p", [10n ** 11n, 0n]), node("Pad", ["x", "p"], ["y"])),
    "Pad by mirrors": model(
      numbers("p", [10n ** 9n, 0n]),
      node("Pad", ["x", "p"], ["y"], (own) => {
        own.message(5, (a) => a.string(1, "mode").string(4, "reflect").integer(20, 3));
      }),
    ),
    "Range": model(
      ...["a", "b", "c"].map((name, i) => numbers(name, [[0n, 10n ** 11n, 1n][i]], [])),
      node("Range", ["a", "b", "c"], ["r"]),
      node("Cast", ["r"], ["y"], whole("to", 1)),
    ),
    "sums of an outer product": model(
      numbers("s", [2n ** 15n, 1n]),
      numbers("t", [1n, 2n ** 15n]),
      node("ConstantOfShape", ["s"], ["a"]),
      node("ConstantOfShape", ["t"], ["b"]),
      node("MatMul", ["a", "b"], ["c"]),
      node("ReduceSum", ["c"], ["y"]),
    ),
    "Resize": model(
      floats("s", [1, 1, 1e8]),
      numbers("wide", [1n, 1n, 2n]),
      node("Reshape", ["x", "wide"], ["row"]),
      node("Resize", ["row", "", "s"], ["y"]),
    ),
  };

  it("is bounded before it is taken, in whatever way a file asks for it, and the node is named", async () => {
    const backend = backendOf("cpu"), limit = 2 ** 24;
    for (const [name, bytes] of Object.entries(greedy)) {
      using one = await Onnx.load(bytes, { device: "cpu" });
      const before = backend.memory().bytes, peak = watchPeak(backend);
      const error = await one.run(x(), { maxMemory: limit }).then(() => null, (cause: unknown) => cause);
      const most = peak() - before;
      assertInstanceOf(error, DeviceError, `${name}: ${error}`);
      assertMatch(error.message, /^node "the \w+" \(\w+\).*allow more with maxMemory/, name);
      assert(most <= limit, `${name}: ${most} bytes were taken of ${limit}`);
    }
  });

  it("has a bound where nobody gives one", async () => {
    for (const name of ["Tile", "ConstantOfShape", "sums of an outer product", "Range"]) {
      using one = await Onnx.load(greedy[name], { device: "cpu" });
      await assertRejects(() => one.run(x()), DeviceError, "allow more with maxMemory");
    }
  });

  it("is that of what is alive: a long chain of large tensors fits", async () => {
    const links = Array.from({ length: 64 }, (_, k) => node("Neg", [`t${k}`], [k < 63 ? `t${k + 1}` : "y"]));
    using one = await Onnx.load(
      model(numbers("s", [2n ** 16n]), node("ConstantOfShape", ["s"], ["t0"]), ...links),
      { device: "cpu" },
    );
    const { y } = await one.run(x(), { maxMemory: 3 * 2 ** 18 });
    assertEquals((y as Tensor).shape, [2 ** 16]);
    (y as Tensor).dispose();
  });

  it("is given back by a run that ended so", async () => {
    using one = await Onnx.load(greedy["a loop that doubles"], { device: "cpu" });
    const inputs = x(), before = memory().cpu;
    for (let i = 0; i < 3; i++) {
      await assertRejects(() => one.run(inputs, { maxMemory: 2 ** 20 }), DeviceError);
    }
    assertEquals(memory().cpu, before);
  });
});
