/** Texts cut, matched and looked up; bent windows and boxes; drawn classes: against plain JavaScript. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  FerrotypeError,
  FormatError,
  Onnx,
  type OnnxStrings,
  type OnnxValue,
  randn,
  type Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { operators } from "../src/onnx/operators/table.ts";
import { bytesOfModel, type SmallModel } from "./_onnx_model.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

async function run(model: SmallModel, inputs: Record<string, OnnxValue>): Promise<OnnxValue[]> {
  using loaded = await Onnx.load(bytesOfModel(model));
  return Object.values(await loaded.run(inputs));
}

const numbers = async (t: OnnxValue): Promise<number[]> => Array.from(await (t as Tensor).data(), Number);
const texts = (data: string[], shape = [data.length]): OnnxStrings => ({ shape, data });

describe("texts", () => {
  it("are cut at a delimiter or at white space, so often at most", async () => {
    const cases: [Record<string, string | bigint>, string[], string[][]][] = [
      [{ delimiter: "," }, ["a,b,c", "", ",x,"], [["a", "b", "c"], [], ["", "x", ""]]],
      [{ delimiter: "--", maxsplit: 1n }, ["a--b--c", "--"], [["a", "b--c"], ["", ""]]],
      [{}, ["  a b\tc ", "   ", "one"], [["a", "b", "c"], [], ["one"]]],
      [{ maxsplit: 1n }, [" a b c", "x"], [["a", "b c"], ["x"]]],
      [{ maxsplit: 0n, delimiter: "" }, ["a b"], [["a b"]]],
    ];
    for (const [attributes, data, want] of cases) {
      const [parts, counts] = await run({
        nodes: [["StringSplit", "x", "y z", attributes]],
        inputs: { x: ["string", [data.length]] },
        outputs: { y: "string", z: "int64" },
        opset: 20,
      }, { x: texts(data) });
      const wide = Math.max(...want.map((row) => row.length));
      assertEquals(
        (parts as OnnxStrings).data,
        want.flatMap((row) => [...row, ...Array(wide - row.length).fill("")]),
      );
      assertEquals([...(parts as OnnxStrings).shape], [data.length, wide]);
      assertEquals(await numbers(counts), want.map((row) => row.length));
    }
  });

  it("are matched whole, as an engine does it, in time that does not run away", async () => {
    const random = new Generator(41);
    const part = (depth: number): string => {
      const pick = random.integer(0, depth > 0 ? 7 : 3);
      if (pick === 0) return "a";
      if (pick === 1) return "b";
      if (pick === 2) return "[^a]";
      if (pick === 3) return `(${part(depth - 1)}|${part(depth - 1)})`;
      if (pick === 4) return `${part(depth - 1)}${part(depth - 1)}`;
      if (pick === 5) return `(?:${part(depth - 1)})${["*", "+", "?"][random.integer(0, 3)]}`;
      return `(?:${part(depth - 1)}){${random.integer(0, 2)},${random.integer(2, 4)}}`;
    };
    const ask = async (pattern: string, data: string[]) =>
      await numbers(
        (await run({
          nodes: [["RegexFullMatch", "x", "y", { pattern }]],
          inputs: { x: ["string", [data.length]] },
          outputs: { y: "bool" },
          opset: 20,
        }, { x: texts(data) }))[0],
      );
    for (let i = 0; i < width(60, 10); i++) {
      const pattern = part(3), expression = new RegExp(`^(?:${pattern})$`, "u");
      const data = Array.from(
        { length: 12 },
        () => Array.from({ length: random.integer(0, 7) }, () => "abc"[random.integer(0, 3)]).join(""),
      );
      assertEquals(await ask(pattern, data), data.map((text) => Number(expression.test(text))), pattern);
    }
    assertEquals(await ask("(a+)+b", ["a".repeat(5000), `${"a".repeat(5000)}b`]), [0, 1]);
    assertEquals(await ask("(?i)\\-É\\@(?P<tail>x)+$", ["-é@xX", "-é@"]), [1, 0]);
    await assertRejects(() => ask("(a", ["a"]), FormatError, '"(a" is not read');
    await assertRejects(() => ask("((((a{9}){9}){9}){9}){9}", ["a"]), FormatError, "states");
  });

  it("are looked up in tables of every version", async () => {
    const ask = async (
      version: number,
      attributes: Record<string, unknown>,
      x: OnnxValue,
      to: "string" | "int64",
    ) => {
      const [y] = await run({
        nodes: [["LabelEncoder", "x", "y", attributes as never]],
        inputs: { x: ["data" in (x as object) && !("dtype" in (x as object)) ? "string" : "int64", [3]] },
        outputs: { y: to },
        domain: ["ai.onnx.ml", version],
      }, { x });
      return to === "string" ? (y as OnnxStrings).data : await (y as Tensor).data();
    };
    const places = tensor(BigInt64Array.of(1n, 0n, 5n)), words = texts(["b", "a", "z"]);
    const classes = { classes_strings: ["a", "b"] };
    assertEquals([...await ask(1, { ...classes, default_int64: 9n }, words, "int64")], [1n, 0n, 9n]);
    assertEquals(await ask(1, { ...classes, default_string: "?" }, places, "string"), ["b", "a", "?"]);
    const large = 2n ** 53n + 1n, table = { keys_strings: ["a", "b"], values_int64s: [large, 2n] };
    assertEquals([...await ask(2, table, words, "int64")], [2n, large, -1n]);
    assertEquals([...await ask(4, { keys_int64s: [5n, large], values_int64s: [7n, 8n] }, places, "int64")], [
      -1n,
      -1n,
      7n,
    ]);
  });
});

describe("nodes that fit nothing", () => {
  it("are told by name, whatever an operator makes of them", async () => {
    const random = new Generator(43),
      attributes = ["axis", "size", "kernel_shape", "mode", "perm", "group", "pads"];
    const wrong: [string, string, Record<string, bigint | bigint[]>][] = [
      ["Sum", "", {}],
      ["Mean", "", {}],
      ["Concat", "", { axis: 0n }],
      ["LRN", "x", { size: 0n }],
      ["AveragePool", "x", {}],
      ["GridSample", "x x", {}],
    ];
    const table = Object.keys(operators[""]).filter((name) => !/^(If|Loop|Scan|SequenceMap)$/.test(name));
    for (let i = 0; i < width(120, 30); i++) {
      const many = Array.from({ length: random.integer(0, 5) }, () => "xns"[random.integer(0, 3)]).join(" ");
      const some = Array.from(
        { length: random.integer(0, 4) },
        () => attributes[random.integer(0, attributes.length)],
      );
      wrong.push([
        table[random.integer(0, table.length)],
        many,
        Object.fromEntries(
          some.map((name, k) => k % 2 ? [name, [1n, -1n, 2n]] : [name, BigInt(random.integer(-2, 4))]),
        ),
      ]);
    }
    for (const [operator, names, given] of wrong) {
      const bytes = bytesOfModel({
        nodes: [[operator, names, "y z", given]],
        inputs: { x: ["float", null], n: ["int64", null], s: ["float", null] },
        outputs: { y: "float" },
        opset: 24,
      });
      const sizes = Array.from({ length: random.integer(0, 4) }, () => random.integer(0, 3));
      const count = sizes.reduce((a, b) => a * b, 1);
      try {
        using model = await Onnx.load(bytes);
        await model.run({
          x: tensor(new Float32Array(count), { shape: sizes }),
          n: tensor(BigInt64Array.of(1n, -1n)),
          s: tensor(2),
        }, { maxSteps: 1000 });
      } catch (error) {
        assert(error instanceof FerrotypeError, `${operator} ${names}: ${(error as Error).stack}`);
      }
    }
  });
});

describe("bent windows and boxes", () => {
  it("DeformConv is a sum over places that offsets say", async () => {
    const random = new Generator(42);
    for (let i = 0; i < width(6, 2); i++) {
      const groups = random.integer(1, 3), perGroup = 2, channels = groups * perGroup, filters = groups * 2;
      const [h, w, kh, kw] = [5, 4, random.integer(1, 4), random.integer(1, 3)];
      const [stride, pad] = [random.integer(1, 3), random.integer(0, 2)];
      const rows = Math.floor((h + 2 * pad - kh) / stride) + 1,
        columns = Math.floor((w + 2 * pad - kw) / stride) + 1;
      const draw = async (shape: number[], seed: number) => {
        const t = randn(shape, { seed });
        return { t, data: await t.data() as Float32Array };
      };
      const x = await draw([1, channels, h, w], i), weight = await draw([filters, perGroup, kh, kw], 10 + i);
      const offset = await draw([1, 2 * kh * kw, rows, columns], 20 + i);
      const mask = await draw([1, kh * kw, rows, columns], 30 + i), bias = await draw([filters], 40 + i);
      const all: number[][] = [
        [1, channels, h, w],
        [filters, perGroup, kh, kw],
        [1, 2 * kh * kw, rows, columns],
        [filters],
        [
          1,
          kh * kw,
          rows,
          columns,
        ],
      ];
      const [y] = await run({
        nodes: [["DeformConv", "x w o b m", "y", {
          group: BigInt(groups),
          strides: [BigInt(stride), BigInt(stride)],
          pads: [pad, pad, pad, pad].map(BigInt),
        }]],
        inputs: Object.fromEntries(
          ["x", "w", "o", "b", "m"].map((name, k) => [name, ["float", all[k]] as const]),
        ),
        outputs: { y: "float" },
        opset: 19,
      }, { x: x.t, w: weight.t, o: offset.t, b: bias.t, m: mask.t });
      const at = (c: number, row: number, column: number): number =>
        row >= 0 && row < h && column >= 0 && column < w ? x.data[(c * h + row) * w + column] : 0;
      const want: number[] = [];
      for (let o = 0; o < filters; o++) {
        for (let r = 0; r < rows; r++) {
          for (let s = 0; s < columns; s++) {
            let sum = bias.data[o];
            for (let k = 0; k < kh * kw; k++) {
              const place = (c: number): number => (c * rows + r) * columns + s;
              const py = r * stride - pad + Math.floor(k / kw) + offset.data[place(2 * k)];
              const px = s * stride - pad + k % kw + offset.data[place(2 * k + 1)];
              const [top, left] = [Math.floor(py), Math.floor(px)], [dy, dx] = [py - top, px - left];
              for (let c = 0; c < perGroup; c++) {
                const own = Math.floor(o / 2) * perGroup + c;
                const value = (1 - dy) * ((1 - dx) * at(own, top, left) + dx * at(own, top, left + 1)) +
                  dy * ((1 - dx) * at(own, top + 1, left) + dx * at(own, top + 1, left + 1));
                sum += value * mask.data[place(k)] * weight.data[((o * perGroup + c) * kh * kw) + k];
              }
            }
            want.push(sum);
          }
        }
      }
      assertEquals([...(y as Tensor).shape], [1, filters, rows, columns]);
      (await numbers(y)).forEach((v, k) =>
        assert(Math.abs(v - want[k]) < 1e-4, `${v}, not ${want[k]} at ${k}`)
      );
    }
  });

  it("MaxRoiPool takes the largest of each cell; a cell of nothing is 0", async () => {
    const x = tensor(Float32Array.from({ length: 32 }, (_, i) => i), { shape: [2, 1, 4, 4] });
    const [y] = await run({
      nodes: [["MaxRoiPool", "x boxes", "y", { pooled_shape: [2n, 2n] }]],
      inputs: { x: ["float", [2, 1, 4, 4]] },
      outputs: { y: "float" },
      tensors: {
        boxes: { type: "float", shape: [3, 5], data: [0, 0, 0, 3, 3, 1, 1, 1, 2.4, 2, 0, 6, 6, 9, 9] },
      },
    }, { x });
    assertEquals(await numbers(y), [5, 7, 13, 15, 21, 22, 25, 26, 0, 0, 0, 0]);
  });

  it("Multinomial draws classes as often as they are likely, the same ones by a seed", async () => {
    const model: SmallModel = {
      nodes: [["Multinomial", "x", "y", { sample_size: 4000n, seed: 3, dtype: 7n }]],
      inputs: { x: ["float", [2, 3]] },
      outputs: { y: "int64" },
    };
    const x = tensor([0, Math.log(3), -Infinity, 5, 5, 5], { shape: [2, 3] });
    const [[first], [second]] = [await run(model, { x }), await run(model, { x })];
    const drawn = await numbers(first), shares = [1 / 4, 3 / 4, 0, 1 / 3, 1 / 3, 1 / 3];
    assertEquals(drawn, await numbers(second));
    shares.forEach((share, i) => {
      const row = drawn.slice(4000 * Math.floor(i / 3), 4000 * (Math.floor(i / 3) + 1));
      const seen = row.filter((v) => v === i % 3).length / 4000;
      assert(Math.abs(seen - share) < 0.03, `${seen}, not ${share}`);
    });
  });
});
