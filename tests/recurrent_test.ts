/**
 * Recurrent layers: against PyTorch's formulas in plain numbers, on each device; their gradients, and what compile and ONNX
 * make of them.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { describe, it } from "node:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ft from "../mod.ts";
import { nn, OptionError, ShapeError, type Tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

type Net = nn.RNN | nn.GRU | nn.LSTM;
type Kind = "RNN" | "GRU" | "LSTM";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** What PyTorch's documentation says that a layer computes, element by element: x [time][batch][features]. */
function truth(
  kind: Kind,
  relu: boolean,
  weights: Map<string, number[]>,
  x: number[][][],
  start: number[][][][],
  hidden: number,
  layers: number,
  ways: number,
): { output: number[][][]; states: number[][][][] } {
  const time = x.length, batch = x[0].length, ends: number[][][][] = start.map(() => []);
  let input = x;
  for (let layer = 0; layer < layers; layer++) {
    const outputs = Array.from({ length: ways }, (_, way) => {
      const end = `l${layer}${way ? "_reverse" : ""}`, gates = kind === "RNN" ? 1 : kind === "GRU" ? 3 : 4;
      const take = (name: string): number[] =>
        weights.get(`${name}_${end}`) ?? new Array(gates * hidden).fill(0);
      const wi = take("weight_ih"), wh = take("weight_hh"), bi = take("bias_ih"), bh = take("bias_hh");
      const through = (w: number[], b: number[], v: number[], row: number): number =>
        v.reduce((sum, a, k) => sum + a * w[row * v.length + k], b[row]);
      const out: number[][][] = [];
      let states = start.map((s) => s[layer * ways + way].map((row) => [...row]));
      for (let i = 0; i < time; i++) {
        const t = way ? time - 1 - i : i;
        states = states.map((s) => s.map((row) => [...row]));
        const next = states.map((s) => s.map(() => [] as number[]));
        for (let b = 0; b < batch; b++) {
          const h = states[0][b],
            own = (row: number) => through(wi, bi, input[t][b], row),
            back = (row: number) => through(wh, bh, h, row);
          for (let j = 0; j < hidden; j++) {
            const gate = (k: number): number => own(k * hidden + j) + back(k * hidden + j);
            if (kind === "RNN") next[0][b].push(relu ? Math.max(0, gate(0)) : Math.tanh(gate(0)));
            else if (kind === "GRU") {
              const r = sigmoid(gate(0)), z = sigmoid(gate(1));
              const n = Math.tanh(own(2 * hidden + j) + r * back(2 * hidden + j));
              next[0][b].push((1 - z) * n + z * h[j]);
            } else {
              const c = sigmoid(gate(1)) * states[1][b][j] + sigmoid(gate(0)) * Math.tanh(gate(2));
              next[1][b].push(c);
              next[0][b].push(sigmoid(gate(3)) * Math.tanh(c));
            }
          }
        }
        states = next;
        out[t] = states[0];
      }
      states.forEach((s, k) => ends[k].push(s));
      return out;
    });
    input = input.map((_, t) => input[t].map((_, b) => outputs.flatMap((out) => out[t][b])));
  }
  return { output: input, states: ends };
}

function run(net: Net, x: Tensor, states: readonly Tensor[] | null): Tensor[] {
  const [output, rest] = net instanceof nn.LSTM
    ? net.forward(x, states && [states[0], states[1]])
    : net.forward(x, states && states[0]);
  return [output, ...Array.isArray(rest) ? rest : [rest]];
}

const kinds: readonly Kind[] = ["RNN", "GRU", "LSTM"];

eachDevice((device) => {
  describe("recurrent layers", () => {
    for (const kind of kinds) {
      it(`${kind} computes what PyTorch says, for seeded sizes`, async () => {
        for (let seed = 0; seed < (device === "webgpu" ? 2 : width(6, 2)); seed++) {
          const random = new Generator(40 + seed),
            pick = (most: number): number => random.integer(1, most + 1);
          const [inputs, hidden, layers, time, batch] = [pick(4), pick(5), pick(3), pick(5), pick(3)];
          const bidirectional = seed % 2 === 1,
            batchFirst = seed % 3 === 1,
            bias = seed % 4 !== 3,
            ways = bidirectional ? 2 : 1;
          ft.manualSeed(seed);
          const relu = kind === "RNN" && seed % 2 === 0;
          const options = { numLayers: layers, bidirectional, batchFirst, bias, device };
          const net = kind === "RNN"
            ? new nn.RNN(inputs, hidden, { ...options, nonlinearity: relu ? "relu" : "tanh" })
            : new nn[kind](inputs, hidden, options);
          const weights = new Map<string, number[]>();
          for (const [name, p] of net.namedParameters()) weights.set(name, await numbersOf(p));
          assertEquals(weights.size, layers * ways * (bias ? 4 : 2));
          const x = ft.randn([time, batch, inputs], { seed: seed + 9, device });
          const begun = seed % 2
            ? null
            : Array.from({ length: kind === "LSTM" ? 2 : 1 }, (_, k) =>
              ft.randn([layers * ways, batch, hidden], { seed: seed + 20 + k, device }));
          const start = begun
            ? await Promise.all(begun.map(async (t) => await t.toArray() as number[][][]))
            : Array.from(
              { length: kind === "LSTM" ? 2 : 1 },
              () =>
                Array.from(
                  { length: layers * ways },
                  () => Array.from({ length: batch }, () => new Array<number>(hidden).fill(0)),
                ),
            );
          const want = truth(
            kind,
            relu,
            weights,
            await x.toArray() as number[][][],
            start,
            hidden,
            layers,
            ways,
          );
          const [output, ...states] = run(net, batchFirst ? ft.transpose(x, 0, 1) : x, begun);
          const seen = batchFirst ? ft.transpose(output, 0, 1) : output;
          assertEquals([...seen.shape], [time, batch, hidden * ways]);
          assertClose(await numbersOf(seen), want.output.flat(2), "output", { atol: 1e-5 });
          for (const [k, t] of states.entries()) {
            assertEquals([...t.shape], [layers * ways, batch, hidden]);
            assertClose(await numbersOf(t), want.states[k].flat(2), `state ${k}`, { atol: 1e-5 });
          }
        }
      });
    }
  });
}, onWebGpu);

describe("recurrent layers", () => {
  for (const kind of kinds) {
    it(`${kind}: derivatives by differences in f64, of its weights too`, async () => {
      const net = new nn[kind](2, 3, { device: "reference", dtype: "f64", bidirectional: true });
      const x = ft.randn([3, 2, 2], { seed: 5, device: "reference", dtype: "f64", requiresGrad: true });
      const own = net.namedParameters();
      await ft.checkGradients((x, ..._weights) => {
        const [output, ...states] = run(net, x, null);
        return ft.add(output.sin().sum(), states.map((s) => s.square().sum()).reduce(ft.add)) as Tensor;
      }, [x, ...own.map(([, p]) => p)]);
    });
  }

  it("have PyTorch's names of parameters", () => {
    const names = (net: Net): string[] => net.namedParameters().map(([name, p]) => `${name} ${p.shape}`);
    assertEquals(names(new nn.LSTM(3, 5, { numLayers: 2 })), [
      "weight_ih_l0 20,3",
      "weight_hh_l0 20,5",
      "bias_ih_l0 20",
      "bias_hh_l0 20",
      "weight_ih_l1 20,5",
      "weight_hh_l1 20,5",
      "bias_ih_l1 20",
      "bias_hh_l1 20",
    ]);
    assertEquals(names(new nn.GRU(3, 5, { bidirectional: true, bias: false })), [
      "weight_ih_l0 15,3",
      "weight_hh_l0 15,5",
      "weight_ih_l0_reverse 15,3",
      "weight_hh_l0_reverse 15,5",
    ]);
  });

  it("are compiled and written as ONNX", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-recurrent-")), path = join(folder, "net.onnx");
    try {
      const net = new nn.LSTM(3, 4, { numLayers: 2, batchFirst: true }), x = ft.randn([2, 5, 3], { seed: 3 });
      const want = run(net, x, null), got = ft.compile((x: Tensor) => run(net, x, null))(x);
      for (const [i, t] of want.entries()) {
        assertClose(await numbersOf(got[i]), await numbersOf(t), `compiled ${i}`);
      }
      await ft.exportOnnx((x: Tensor) => run(net, x, null), path, {
        args: [ft.zeros([1, 5, 3])],
        dynamicAxes: { input: { 0: "batch" } },
      });
      using model = await ft.Onnx.load(path);
      const results = Object.values(await model.run({ input: x })) as Tensor[];
      for (const [i, t] of want.entries()) {
        assertClose(await numbersOf(results[i]), await numbersOf(t), `ONNX ${i}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("drop between layers in training alone", async () => {
    const net = new nn.GRU(3, 4, { numLayers: 2, dropout: 0.5 }), x = ft.randn([3, 2, 3], { seed: 1 });
    const values = async (): Promise<number[]> => await numbersOf(net.forward(x)[0]);
    ft.manualSeed(1);
    const [one, other] = [await values(), await values()];
    assertEquals(one.some((v, i) => v !== other[i]), true);
    net.eval();
    assertEquals(await values(), await values());
  });

  it("refuse what does not fit, in words", () => {
    const net = new nn.LSTM(3, 4, { batchFirst: true });
    assertThrows(
      () => net.forward(ft.zeros([2, 3])),
      ShapeError,
      "LSTM: x is [2, 3], expected [batch, time, 3]",
    );
    assertThrows(() => net.forward(ft.zeros([2, 0, 3])), ShapeError, "of 1 or more");
    assertThrows(
      () => net.forward(ft.zeros([2, 5, 3]), [ft.zeros([1, 2, 4]), ft.zeros([1, 2, 5])]),
      ShapeError,
      "a state is [1, 2, 5], expected [1, 2, 4]",
    );
    assertThrows(
      () => net.forward(ft.zeros([2, 5, 3]), ft.zeros([1, 2, 4]) as never),
      OptionError,
      "[h, c], or null",
    );
    assertThrows(() => new nn.RNN(3, 0), ShapeError, "RNN: hiddenSize is 0");
    assertThrows(() => new nn.GRU(3, 4, { dropout: 0.5 }), OptionError, "dropout has no effect");
    assertThrows(() => new nn.GRU(3, 4, { nonlinearity: "relu" } as never), OptionError, "nonlinearity");
  });
});
