/**
 * Optimizers that remember in 8 bits: what is lost, that nothing sticks, memory, exact continuation.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  CaptureError,
  CausalLM,
  compile,
  FormatError,
  manualSeed,
  memory,
  nn,
  optim,
  OptionError,
  rand,
  randn,
  randomBatches,
  type Tensor,
  Trainer,
} from "../mod.ts";
import { decode, encode, zeroCodes } from "../src/optim/narrow.ts";

const numbers = async (t: Tensor): Promise<number[]> => [...await t.data() as Float32Array];
const parameter = (t: Tensor): Tensor => nn.parameter(t);
const optimizers = {
  SGD: (p: Tensor[], stateBits: 8 | 32) => new optim.SGD(p, { lr: 0.02, momentum: 0.9, stateBits }),
  RMSprop: (p: Tensor[], stateBits: 8 | 32) =>
    new optim.RMSprop(p, { lr: 0.003, momentum: 0.5, centered: true, stateBits }),
  Adagrad: (p: Tensor[], stateBits: 8 | 32) =>
    new optim.Adagrad(p, { lr: 0.05, initialAccumulatorValue: 0.01, stateBits }),
  Adam: (p: Tensor[], stateBits: 8 | 32) => new optim.Adam(p, { lr: 0.01, amsgrad: true, stateBits }),
  AdamW: (p: Tensor[], stateBits: 8 | 32) => new optim.AdamW(p, { lr: 0.01, stateBits }),
  Lion: (p: Tensor[], stateBits: 8 | 32) => new optim.Lion(p, { lr: 0.003, stateBits }),
  Muon: (p: Tensor[], stateBits: 8 | 32) => new optim.Muon(p, { lr: 0.02, stateBits }),
};

describe("8 bits", () => {
  it("hold numbers to some hundredths, the largest and 0 exactly, and are right in the mean", async () => {
    manualSeed(1);
    for (const isSquare of [false, true]) {
      const p = parameter(randn([64, 128])), values = isSquare ? p.detach().square() : p.detach();
      const expected = await numbers(values), sums = expected.map(() => 0), rounds = 40;
      const narrow = zeroCodes(p, isSquare);
      assert((await numbers(decode(narrow, p, isSquare))).every((x) => x === 0));
      for (let seed = 0; seed < rounds; seed++) {
        encode(values, narrow, isSquare, seed);
        const own = await numbers(decode(narrow, p, isSquare));
        own.forEach((x, i) => sums[i] += x / rounds);
        if (seed) continue;
        for (let block = 0; block < own.length; block += 256) {
          const list = expected.slice(block, block + 256), at = list.map(Math.abs);
          const largest = Math.max(...at), k = at.indexOf(largest);
          assert(Math.abs(own[block + k] - list[k]) <= 1e-6 * largest, "the largest is hit");
          list.forEach((x, i) => {
            const near = isSquare
              ? 4 / 255 * largest * ((Math.abs(x) / largest) ** 0.25 + 1 / 255) ** 3
              : 2 / 127 * largest * ((Math.abs(x) / largest) ** 0.5 + 1 / 127);
            assert(Math.abs(own[block + i] - x) <= near, `${own[block + i]} for ${x} of ${largest}`);
          });
        }
      }
      const mean = (list: number[]): number => list.reduce((a, b) => a + Math.abs(b)) / list.length;
      assert(Math.abs(mean(sums) / mean(expected) - 1) < 0.01, `${mean(sums)} for ${mean(expected)}`);
    }
  });

  it("do not stick: squares fall with the gradients", async () => {
    manualSeed(2);
    const ratios: number[] = [];
    for (const stateBits of [32, 8] as const) {
      const p = parameter(randn([64, 64])), optimizer = new optim.AdamW([p], { lr: 1e-4, stateBits });
      for (let i = 0; i < 300; i++) {
        p.grad = rand([64, 64], { seed: i }).add(i < 20 ? 1 : 0).mul(i < 20 ? 1 : 1e-3);
        optimizer.step();
      }
      const { expAvgSq: codes, expAvgSqScales: scales } = optimizer.stateDict().state[0]!.tensors;
      const squares = stateBits === 8 ? decode({ codes, scales }, p, true) : codes;
      ratios.push((await numbers(squares)).reduce((a, b) => a + b));
      optimizer.dispose();
    }
    assert(Math.abs(ratios[1] / ratios[0] - 1) < 0.1, String(ratios));
  });

  for (const [name, make] of Object.entries(optimizers)) {
    it(`come near what 32 bits reach: ${name}`, async () => {
      const losses: number[] = [], bytes: number[] = [];
      for (const stateBits of [32, 8] as const) {
        manualSeed(3);
        const target = randn([64, 96]), x = randn([128, 64]);
        // One lies in memory as it is seen, one transposed, and one is small.
        const a = parameter(randn([64, 96]).mul(0.1)),
          b = parameter(randn([96, 64]).mul(0.1).t()),
          c = parameter(randn([1, 96]));
        const before = memory().cpu.bytes, optimizer = make([a, b, c], stateBits);
        let first = 0, loss = 0;
        for (let step = 0; step < 60; step++) {
          optimizer.zeroGrad();
          using l = x.matmul(a.add(b)).add(c).sub(x.matmul(target)).square().mean();
          l.backward();
          loss = await l.item();
          if (step === 0) first = loss;
          optimizer.step();
        }
        optimizer.zeroGrad();
        losses.push(loss / first);
        bytes.push(memory().cpu.bytes - before);
        const entry = optimizer.stateDict().state[0]!;
        const [kind] = Object.keys(entry.tensors);
        assertStrictEquals(entry.tensors[kind].dtype, stateBits === 8 ? "u8" : "f32");
        optimizer.dispose();
      }
      assert(losses[0] < 0.9, `it learns: ${losses}`);
      assert(Math.abs(losses[1] - losses[0]) < 0.08, `${losses}`);
    });
  }

  it("go on bit for bit, in checkpoints of the size that they have", async () => {
    const make = async (): Promise<[CausalLM, Trainer]> => {
      manualSeed(4);
      const model = await CausalLM.fromSizes("gpt2", {
        vocabSize: 64,
        contextLength: 16,
        width: 64,
        layers: 1,
        heads: 2,
      });
      const ids = Int32Array.from({ length: 400 }, (_, i) => (i * i + (i >> 3)) % 64);
      return [
        model,
        new Trainer({
          model,
          data: randomBatches(ids, { batchSize: 2, blockSize: 16, seed: 2 }),
          optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2, stateBits: 8 }),
          steps: 8,
          stopAfter: 4,
        }),
      ];
    };
    const [whole, through] = await make(), [other, again] = await make();
    await through.run();
    const checkpoint = through.capture();
    again.restore(checkpoint);
    const bytes = Object.values(checkpoint.tensors.optimizer).reduce(
      (n, t) => n + t.size * (t.dtype === "u8" ? 1 : 4),
      0,
    );
    assert(bytes < 0.3 * 8 * whole.numParameters(), `${bytes} bytes`);
    await through.run();
    await again.run();
    assertStrictEquals(again.step, 8);
    for (const [i, p] of whole.parameters().entries()) {
      assertEquals(await numbers(other.parameters()[i]), await numbers(p));
    }
    whole.dispose();
    other.dispose();
  });

  it("are refused where they have no effect or cannot be", () => {
    const p = parameter(randn([64, 64]));
    assertThrows(() => new optim.SGD([p], { stateBits: 8 }), OptionError, "stateBits 8 has no effect");
    assertThrows(() => new optim.Adafactor([p], { stateBits: 8 }), OptionError, "stateBits 8 has no effect");
    assertThrows(() => new optim.AdamW([p], { stateBits: 4 as never }), OptionError, "stateBits");
    // Where every parameter is remembered in f32 all the same: small ones, and those that no block divides.
    const tiny = parameter(randn([2])), odd = parameter(randn([4097]));
    for (const make of Object.values(optimizers)) {
      for (const params of [[tiny], [odd], [tiny, odd]]) {
        assertThrows(
          () => make(params, 8),
          OptionError,
          "stateBits 8 has no effect because it takes a parameter",
        );
        make(params, 32);
      }
      make([tiny, p, odd], 8);
    }
    new optim.AdamW([{ params: [tiny] }, { params: [p] }], { stateBits: 8 });
    assertThrows(
      () => new optim.AdamW([{ params: [tiny], stateBits: 8 }, { params: [p] }]),
      OptionError,
      "and the largest has 2; leave it out",
    );
    const optimizer = new optim.AdamW([p], { stateBits: 8 }), wide = new optim.AdamW([p]);
    p.grad = randn([64, 64]);
    optimizer.step();
    const state = optimizer.stateDict();
    wide.loadStateDict(state);
    assertStrictEquals(wide.stateDict().state[0]!.tensors.expAvg.dtype, "u8");
    state.state[0]!.tensors.expAvg = randn([64, 64]);
    assertThrows(() => wide.loadStateDict(state), FormatError, "expAvg of parameter 0 is");
    optimizer.paramGroups[0].stateBits = 32;
    assertThrows(() => optimizer.step(), OptionError, "stateBits was changed to 32");
    optimizer.paramGroups[0].stateBits = 8;
    const step = compile((x: Tensor) => {
      optimizer.zeroGrad();
      const loss = x.mul(p).sum();
      loss.backward();
      optimizer.step();
      return loss;
    });
    assertThrows(() => step(randn([64, 64])), CaptureError, "cannot be compiled");
  });
});
