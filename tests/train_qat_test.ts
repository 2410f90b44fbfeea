/**
 * Quantisation-aware training: gradients straight through, the bits that training saw in what is written, exact continuation, what it
 * goes with, what is refused.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CausalLM,
  CheckpointManager,
  convertToGguf,
  distributed,
  DTypeError,
  evaluate,
  FormatError,
  manualSeed,
  nn,
  optim,
  OptionError,
  type Qat,
  randn,
  randomBatches,
  type Tensor,
  tensor,
  Trainer,
  type TrainerOptions,
} from "../mod.ts";
import { fromF16, toF16 } from "../src/core/half.ts";
import { dequantizeQ4, dequantizeQ8, quantizeQ4, quantizeQ8, quantizeTernary } from "../src/core/quantize.ts";
import { fails, output } from "./_command.ts";
import { after, before, describe, it } from "./_suite.ts";
import { sentences } from "./_text.ts";
import { judgedOnce, width } from "./_width.ts";

let folder = "", folders = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-qat-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));
const place = (): string => join(folder, String(++folders));

const kinds = ["q8", "q4", "ternary"] as const;
const ids = Array.from({ length: 3000 }, (_, i) => (i * (1 + Math.floor(i / 37) % 5) + (i >> 4)) % 40);

async function aModel(family: string, more: Record<string, number> = {}): Promise<CausalLM> {
  manualSeed(4);
  const sizes = { vocabSize: 40, contextLength: 16, width: 32, layers: 1, heads: 2, ...more };
  return await CausalLM.fromSizes(family, sizes);
}

function trainerOf(model: CausalLM, qat: Qat | undefined, more: Partial<TrainerOptions> = {}): Trainer {
  return new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 4, blockSize: 16, seed: 2 }),
    optimizer: new optim.AdamW(model.parameters().filter((p) => p.requiresGrad), { lr: 4e-3 }),
    steps: 6,
    clip: 1,
    ...(qat === undefined ? {} : { qat }),
    ...more,
  });
}

/** What a row of weights is worth in blocks, ternary ones by their definition. */
function worth(kind: Qat, row: Float32Array): Float32Array {
  const out = new Float32Array(row.length);
  if (kind === "ternary") {
    const scale = fromF16(toF16(row.reduce((sum, x) => sum + Math.abs(x), 0) / row.length));
    return out.map((_, i) =>
      scale * Math.max(-1, Math.min(1, Math.sign(row[i]) * Math.round(Math.abs(row[i]) / scale)))
    );
  }
  const blocks = new Uint8Array(row.length / 32 * (kind === "q8" ? 34 : 18));
  (kind === "q8" ? quantizeQ8 : quantizeQ4)(row, blocks);
  (kind === "q8" ? dequantizeQ8 : dequantizeQ4)(blocks, out);
  return out;
}

/** The memory of all parameters as it lies, by name. */
async function bitsOf(model: nn.Module): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const [name, p] of model.namedParameters()) {
    const own = p.detach(), isTurned = p.shape.length === 2 && !p.isContiguous;
    const data = await (isTurned ? own.t() : own).data();
    found.set(`${name} ${p.dtype}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice());
  }
  return found;
}

/** The numbers of all parameters, blocks as what they are worth. */
async function valuesOf(model: CausalLM): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const [name, p] of model.namedParameters()) {
    const turned = p.shape.length === 2 && !p.isContiguous, own = turned ? p.detach().t() : p.detach();
    const plain = (own.dtype === "f32" ? own : own.to({ dtype: "f32" })) as Tensor;
    found.set(name, Float32Array.from(await (turned ? plain.t() : plain).data() as Float32Array));
  }
  return found;
}

describe("ternary blocks", () => {
  it("are the mean magnitude of a row times -1, 0 or 1, whatever the row", () => {
    let seed = 7;
    const random = (): number => (seed = seed * 48271 % 2147483647) / 2147483647 - 0.5;
    for (let trial = 0; trial < 60; trial++) {
      const size = 10 ** (random() * 8), n = 32 * (1 + trial % 4);
      const row = Float32Array.from({ length: n }, () => trial % 7 === 0 ? 0 : size * random() * random());
      const blocks = new Uint8Array(n / 32 * 18), out = new Float32Array(n);
      quantizeTernary(row, blocks);
      dequantizeQ4(blocks, out);
      // Zeros have a sign that no block keeps.
      const mean = fromF16(toF16(row.reduce((sum, x) => sum + Math.abs(x), 0) / n));
      const expected = mean === 0 ? out.map(() => 0) : worth("ternary", row);
      assertEquals(out.map((x) => x + 0), expected.map((x) => x + 0), `row of ${n} up to ${size}`);
      assert(new Set(out.map(Math.abs)).size <= 2, "one scale");
    }
  });

  it("hold neither NaN nor what f16 does not reach", () => {
    for (const wrong of [NaN, Infinity, -70_000]) {
      const row = new Float32Array(64).fill(1);
      row[40] = wrong;
      assertThrows(() => quantizeTernary(row, new Uint8Array(36)), DTypeError, "values 32 to 63");
    }
  });
});

describe("a step of quantisation-aware training", () => {
  for (const kind of kinds) {
    it(`computes with blocks, and steps the weights as if nothing was rounded: ${kind}`, async () => {
      manualSeed(9);
      const [rows, n, batch, lr] = [5, 64, 3, 0.5], layer = new nn.Linear(n, rows, { bias: false });
      const w = Float32Array.from(await layer.weight.data() as Float32Array);
      const x = Float32Array.from(await randn([2, batch, n]).data() as Float32Array), losses: number[] = [];
      let at = 0;
      const data = {
        tokensPerBatch: batch,
        next: () => tensor(x.slice(at * batch * n, ++at * batch * n)).reshape(batch, n),
        getState: () => at,
        setState: (state: unknown) => void (at = state as number),
      };
      await new Trainer<Tensor>({
        model: layer,
        data,
        loss: (input) => layer.forward(input).square().mean(),
        optimizer: new optim.SGD(layer.parameters(), { lr }),
        steps: 1,
        gradAccum: 2,
        qat: kind,
        onStep: ({ loss }) => void losses.push(loss),
      }).run();
      // By hand: y = q(w)·x, and the gradient of mean(y²) over both batches goes to w as it is.
      const q = Array.from({ length: rows }, (_, r) => worth(kind, w.slice(r * n, (r + 1) * n)));
      const expected = Float64Array.from(w), count = batch * rows * 2;
      let loss = 0;
      for (let b = 0; b < 2 * batch; b++) {
        for (let r = 0; r < rows; r++) {
          let y = 0;
          for (let i = 0; i < n; i++) y += q[r][i] * x[b * n + i];
          loss += y * y / count;
          for (let i = 0; i < n; i++) expected[r * n + i] -= lr * 2 * y * x[b * n + i] / count;
        }
      }
      const now = await layer.weight.data() as Float32Array;
      now.forEach((value, i) => assertAlmostEquals(value, expected[i], 1e-5));
      assertAlmostEquals(losses[0], loss, 1e-5 * Math.max(1, loss));
      layer.dispose();
    });
  }

  it("computes with what is written, in every family's layout, and rounds nothing else", async () => {
    for (const family of width(["gpt2", "llama"], ["gpt2"])) {
      // 48 is no multiple of 32: sums over it stay as they are.
      const more: Record<string, number> = family === "llama" ? { innerWidth: 48 } : {};
      for (const kind of kinds) {
        const model = await aModel(family, more), seen: Promise<[string, Float32Array]>[] = [];
        const warnings: string[] = [];
        const trainer = trainerOf(model, kind, {
          steps: 1,
          onWarning: (message) => void warnings.push(message),
          // Tensors of a step are gone after it, so they are read as they are made.
          loss: (batch) => {
            for (const [name, p] of model.namedParameters()) {
              seen.push(p.detach().add(0).data().then((x) => [name, Float32Array.from(x as Float32Array)]));
            }
            return model.loss(batch);
          },
        });
        assertStrictEquals(warnings.length, family === "llama" ? 1 : 0, warnings.join());
        const own = await valuesOf(model), blocks = new Map<string, Float32Array>();
        await trainer.quantized(async () => {
          for (const [name, values] of await valuesOf(model)) blocks.set(name, values);
          for (const [name, p] of model.namedParameters()) {
            const depth = p.shape[p.isContiguous ? p.shape.length - 1 : 0];
            const isPlain = p.shape.length < 2 || name.endsWith("wpe.weight") || depth % 32 !== 0;
            assertStrictEquals(p.dtype === "f32", isPlain, `${name} ${p.dtype}`);
          }
        });
        for (const [name, p] of model.namedParameters()) {
          assertStrictEquals(p.dtype, "f32", "weights are back");
          assertEquals(Float32Array.from(await p.data() as Float32Array), own.get(name));
        }
        await trainer.run();
        assert(seen.length > 5);
        for (const [name, values] of await Promise.all(seen)) {
          assertEquals(values.map((x) => x + 0), blocks.get(name)!.map((x) => x + 0), `${kind} ${name}`);
        }
        model.dispose();
      }
    }
  });
});

describe("what was trained in blocks", () => {
  it("is written with the bits and the held-out loss that training saw", async () => {
    const cases: [string, Qat, Partial<TrainerOptions>][] = [
      ["gpt2", "q8", {}],
      ["gpt2", "ternary", {}],
      ["llama", "q4", { ema: 0.5 }],
      ["llama", "ternary", { precision: "bf16" }],
    ];
    for (const [family, kind, more] of width(cases, cases.slice(1, 3))) {
      const model = await aModel(family), held = ids.slice(0, 200);
      const judged: { loss: number; bits: Map<string, Uint8Array> }[] = [];
      const trainer = trainerOf(model, kind, {
        ...more,
        evalEvery: 3,
        evalData: async () => {
          const { loss } = await evaluate(model, held, { blockSize: 16 });
          judged.push({ loss, bits: await bitsOf(model) });
          return loss;
        },
      });
      await trainer.run();
      assertStrictEquals(judged.length, 2);
      assert(judged[1].loss < judged[0].loss, "it learns");
      const at = place(), gguf = `${place()}.gguf`, again = place(), dtype = kind === "q8" ? "q8" : "q4";
      await trainer.averaged(() =>
        kind === "ternary" ? trainer.quantized(() => model.save(at)) : model.save(at, { dtype })
      );
      const plain = await CausalLM.load(at);
      await plain.save(again, { dtype });
      await convertToGguf(at, gguf, { dtype: `${dtype}_0` });
      for (const from of [at, again, gguf]) {
        const loaded = await CausalLM.load(from, { onWarning: () => {} });
        const bits = await bitsOf(loaded);
        for (const [name, expected] of judged[1].bits) {
          assertEquals(bits.get(name), expected, `${from} ${name}`);
        }
        const { loss } = await evaluate(loaded, held, { blockSize: 16 });
        assertAlmostEquals(loss, judged[1].loss, 1e-6, from);
        loaded.dispose();
      }
      for (const one of [model, plain]) one.dispose();
    }
  });

  it("is what learned, where rounding afterwards loses more", { skip: judgedOnce }, async () => {
    const loss = async (kind: Qat | undefined, dtype: "q4" | "f32"): Promise<number> => {
      const model = await aModel("gpt2", { width: 64 }), at = place();
      const trainer = trainerOf(model, kind, { steps: 40 });
      await trainer.run();
      await (kind === "ternary" ? trainer.quantized(() => model.save(at)) : model.save(at, { dtype }));
      using loaded = await CausalLM.load(at);
      model.dispose();
      return (await evaluate(loaded, ids.slice(0, 600), { blockSize: 16 })).loss;
    };
    const [whole, rounded, learned, ternary] = [
      await loss(undefined, "f32"),
      await loss(undefined, "q4"),
      await loss("q4", "q4"),
      await loss("ternary", "q4"),
    ];
    assert(learned < rounded, `f32 ${whole}, rounded ${rounded}, learned ${learned}`);
    assert(ternary < Math.log(40) - 0.3, `ternary learns: ${ternary}`);
  });
});

describe("a run in blocks", () => {
  it("goes on bit for bit, and in no other blocks", async () => {
    for (const kind of width<readonly Qat[]>(kinds, ["ternary"])) {
      const options = { gradAccum: 2, ema: 0.9 }, store = new CheckpointManager(place());
      const whole = await aModel("gpt2");
      await trainerOf(whole, kind, options).run();
      const first = await aModel("gpt2");
      await trainerOf(first, kind, { ...options, checkpoints: store, stopAfter: 3 }).run();
      for (const other of [...kinds.filter((one) => one !== kind), undefined]) {
        const wrong = await aModel("gpt2");
        await assertRejects(
          () => trainerOf(wrong, other, { ...options, checkpoints: store }).resume(),
          FormatError,
          `a run with qat "${kind}", and is to go on with ${
            other === undefined ? "no qat" : `qat "${other}"`
          }`,
        );
        wrong.dispose();
      }
      const second = await aModel("gpt2"),
        trainer = trainerOf(second, kind, { ...options, checkpoints: store });
      assert(await trainer.resume());
      await trainer.run();
      assertEquals(await bitsOf(second), await bitsOf(whole));
      for (const model of [whole, first, second]) model.dispose();
    }
    const store = new CheckpointManager(place()), plain = await aModel("gpt2");
    await trainerOf(plain, undefined, { checkpoints: store, stopAfter: 1 }).run();
    await assertRejects(
      () => trainerOf(plain, "q8", { checkpoints: store }).resume(),
      FormatError,
      'a run with no qat, and is to go on with qat "q8"',
    );
    plain.dispose();
  });

  it("gives the gradients of whole batches in parts of them, over ranks, and computed again", async () => {
    const last = async (more: Partial<TrainerOptions>, again = false): Promise<Map<string, Float32Array>> => {
      using model = await aModel("llama");
      model.gradientCheckpointing = again;
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.5 });
      await trainerOf(model, "q4", { steps: 2, optimizer, ...more }).run();
      return await valuesOf(model);
    };
    await distributed.init();
    const whole = await last({});
    for (
      const [other, off] of [
        [await last({}, true), 0],
        [await last({ microBatch: 2 }), 1e-4],
        [await last({ distributed, parts: 2 }), 1e-4],
      ] as const
    ) {
      for (const [name, values] of whole) {
        values.forEach((x, i) => assertAlmostEquals(other.get(name)![i], x, off, name));
      }
    }
  });

  it("is refused where nothing could be in blocks, or not these weights", async () => {
    const refused = (model: CausalLM | nn.Module, pattern: string, more: object = {}): void =>
      void assertThrows(() => trainerOf(model as CausalLM, "q8", more as never), OptionError, pattern);
    using narrow = await aModel("gpt2", { width: 20 });
    refused(narrow, "a multiple of 32 values, and this model has none");
    using model = await aModel("llama");
    refused(model, '"q8", "q4"', { qat: "q5" });
    nn.lora(model, { rank: 2 });
    refused(model, 'qat "q8" is for weights that learn, and beside those of this model adapters stand');
    const half = (await aModel("gpt2")).to({ dtype: "bf16" });
    refused(half, "rounds weights of f32, and wte.weight is bf16");
    half.dispose();
  });

  it("says which weight became a number that blocks cannot hold", async () => {
    using model = await aModel("gpt2");
    const data = await model.network.embeddings.data() as Float32Array;
    const wrong = Float32Array.from(data).fill(NaN, 100, 101);
    model.loadStateDict({ "wte.weight": tensor(wrong).reshape(40, 32) }, { strict: false });
    await assertRejects(
      () => trainerOf(model, "q4").run(),
      DTypeError,
      "wte.weight: values 96 to 127 hold NaN",
    );
  });
});

describe("train --qat", () => {
  it("writes what convert makes of it with the held-out loss that it told", async () => {
    const text = sentences(4000);
    const from = `${place()}.txt`,
      sizes = "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --batch-size 4";
    writeFileSync(from, text);
    for (const kind of width<readonly Qat[]>(kinds, ["ternary"])) {
      const out = place(), to = place(), dtype = kind === "q8" ? "q8" : "q4";
      const args = [
        "train",
        from,
        "-o",
        out,
        "--qat",
        kind,
        ...sizes.split(" "),
        "--steps",
        "4",
        "--eval-every",
        "4",
        "--json",
      ];
      const { best_loss } = JSON.parse(await output([...args, "--stop-after", "2", "--quiet"]));
      assertStrictEquals(best_loss, null);
      for (const other of kinds.filter((one) => one !== kind)) {
        await fails(
          2,
          ["train", from, "-o", out, "--resume", "--qat", other],
          new RegExp(`begun with --qat ${kind}`),
        );
      }
      const { best_loss: told } = JSON.parse(
        await output(["train", from, "-o", out, "--resume", "--quiet", "--json"]),
      );
      const log = readFileSync(join(out, "log.jsonl"), "utf8").trim().split("\n").map((line) =>
        JSON.parse(line)
      );
      assert(log.some((entry) => entry.eval_loss === told && entry.eval_weights === kind), "the log says so");
      await output(["convert", out, to, "--dtype", dtype]);
      using model = await CausalLM.load(to);
      const held = model.tokenizer!.encode(text.slice(3600));
      const { loss } = await evaluate(model, held, { blockSize: 16, batchSize: 4 });
      assertAlmostEquals(loss, told, 1e-6, kind);
    }
    await fails(
      2,
      ["train", from, "-o", join(folder, "none"), "--qat", "q8", "--n-embd", "20"],
      /a multiple of 32 values, and this model has none/,
    );
    assert(!existsSync(join(folder, "none", "training.json")), "nothing was begun");
  });
});
