/**
 * Gradients of ONNX's operators: along drawn directions by differences in f64, on the reference device, and those of the cpu
 * device beside them. Every operator of the table has a case, or says why no gradient flows through it.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FormatError, ones, Onnx, Tensor, tensor } from "../mod.ts";
import { isFloat } from "../src/core/dtype.ts";
import { Generator } from "../src/core/random.ts";
import { operators } from "../src/onnx/operators/table.ts";
import { bytesOfCase, type Case, cases, isDrawn } from "./_onnx_cases.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

/** Numbers of the inputs that are drawn, by name. */
type Numbers = Map<string, number[]>;

interface Judged {
  readonly loss: number;
  /** By name; null without `slopes`. */
  readonly slopes: Numbers | null;
}

/** What a model gives, weighed by drawn numbers and summed; with the derivatives by its inputs. */
async function judge(
  model: Onnx,
  { inputs }: Case,
  numbers: Numbers,
  dtype: "f32" | "f64",
  slopes: boolean,
): Promise<Judged> {
  const device = dtype === "f64" ? "reference" : "cpu", given: Record<string, Tensor> = {};
  inputs.forEach((input, i) => {
    if (!isDrawn(input)) return;
    given[`x${i}`] = tensor(
      numbers.get(`x${i}`)!,
      { shape: input.shape, dtype, device, requiresGrad: slopes } as never,
    );
  });
  const random = new Generator(3);
  let total: Tensor | null = null;
  for (const y of Object.values(await model.run(given))) {
    if (!(y instanceof Tensor) || !isFloat(y.dtype)) continue;
    const weights = Array.from({ length: y.size }, () => random.uniform() + 0.2);
    const part = y.mul(tensor(weights, { shape: y.shape, dtype: y.dtype, device: y.device } as never)).sum();
    total = total ? total.add(part) : part;
  }
  assert(total, "no floats come out");
  const loss = Number(await total.item());
  if (!slopes) return { loss, slopes: null };
  if (total.node) total.backward();
  const found: Numbers = new Map();
  for (const [name, t] of Object.entries(given)) {
    found.set(name, t.grad ? Array.from(await t.grad.data() as Float32Array) : new Array(t.size).fill(0));
  }
  return { loss, slopes: found };
}

async function check(one: Case, seed: number): Promise<void> {
  const random = new Generator(seed), { step, tolerance } = one, numbers: Numbers = new Map();
  one.inputs.forEach((input, i) => {
    if (!isDrawn(input)) return;
    const count = input.shape.reduce((a, b) => a * b, 1);
    numbers.set(
      `x${i}`,
      Array.from({ length: count }, () => input.low + random.uniform() * (input.high - input.low)),
    );
  });
  using wide = await Onnx.load(bytesOfCase(one, "double"), { device: "reference" });
  const { slopes } = await judge(wide, one, numbers, "f64", true);
  for (const [name, list] of numbers) {
    // Along a direction that has a part in each element, so that one wrong element shows.
    const way = list.map(() => random.uniform() + 0.5);
    const at = async (by: number): Promise<number> => {
      const moved = new Map(numbers).set(name, list.map((v, i) => v + by * way[i]));
      return (await judge(wide, one, moved, "f64", false)).loss;
    };
    const measured = (await at(step) - await at(-step)) / (2 * step);
    const said = slopes!.get(name)!.reduce((sum, v, i) => sum + v * way[i], 0);
    assert(
      Math.abs(measured - said) <= tolerance * (1 + Math.abs(measured)),
      `the derivative by ${name} is ${said}, differences give ${measured}`,
    );
  }
  using narrow = await Onnx.load(bytesOfCase(one, "float"), { device: "cpu" });
  const own = await judge(narrow, one, numbers, "f32", true);
  for (const [name, list] of own.slopes!) {
    list.forEach((v, i) => {
      const want = slopes!.get(name)![i];
      assert(
        Math.abs(v - want) <= 2e-3 * (1 + Math.abs(want)),
        `on the cpu ${name}[${i}]: ${v}, not ${want}`,
      );
    });
  }
}

describe("gradients of ONNX's operators", () => {
  const all = Object.entries(operators).flatMap(([domain, table]) =>
    Object.entries(table).map(([name, { noGradient }]) =>
      [domain ? `${domain}.${name}` : name, noGradient] as const
    )
  );

  it("are judged, or none flows for a reason", () => {
    const without = all.filter(([name, reason]) => (reason === undefined) !== Object.hasOwn(cases, name));
    assertEquals(without.map(([name]) => name), []);
    const known = new Set(all.map(([name]) => name));
    assertEquals(Object.keys(cases).filter((name) => !known.has(name)), []);
  });

  const list = Object.entries(cases);
  for (const [name, own] of width(list, list.filter((_, i) => i % 8 === 0))) {
    it(name, async () => {
      for (const [i, one] of own.entries()) await check(one, 40 + i);
    });
  }

  it("that a graph asks for of what it does not compute are refused", async () => {
    const [given] = cases["ai.onnx.preview.training.Gradient"],
      [first, second, [operator, , , attributes]] = given.nodes;
    const other = (inputs: string, more: Record<string, string | string[]>): Case => ({
      ...given,
      nodes: [first, second, [operator, inputs, "y0 y1", { ...attributes, ...more }]],
    });
    for (
      const [one, message] of [
        [other("x0 x1", { y: "c" }), 'nothing before it in its graph gives "c"'],
        [other("x0", {}), "1 input for 2 names in xs and zs"],
        [other("x0 x1", { y: "" }), 'y is ""'],
      ] as const
    ) {
      using model = await Onnx.load(bytesOfCase(one, "float"), { device: "cpu" });
      const inputs = { x0: ones([3, 4]), x1: ones([4]) };
      await assertRejects(() => model.run(inputs), FormatError, message);
    }
    // What y does not depend on has a derivative of zeros.
    using model = await Onnx.load(bytesOfCase(other("x0 x1", { xs: ["x0", "b"], y: "a" }), "float"), {
      device: "cpu",
    });
    const { y0, y1 } = await model.run({ x0: ones([3, 4]), x1: tensor([1, 2, 3, 4]) });
    assertEquals(await (y0 as Tensor).toArray(), [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]);
    assertEquals(await (y1 as Tensor).toArray(), [0, 0, 0, 0]);
  });
});
