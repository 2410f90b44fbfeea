/**
 * Mixtures of experts: products with chosen matrices in every dtype, routing, files with a tensor for each expert, GGUFs with one for all.
 * What families with experts compute is held to float64 and to llama.cpp where those of all families are.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CausalLM,
  checkGradients,
  convertToGguf,
  FormatError,
  initQuantized,
  initReference,
  manualSeed,
  nn,
  noGrad,
  openGguf,
  openSafetensors,
  optim,
  randn,
  saveGguf,
  ShapeError,
  type Tensor,
  tensor,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import type { DType } from "../src/core/dtype.ts";
import { Generator } from "../src/core/random.ts";
import { decoderConfig } from "../src/models/registry.ts";
import { SparseExperts } from "../src/nn/experts.ts";
import { expertLinear } from "../src/ops/experts.ts";
import { copyInto } from "../src/ops/mod.ts";
import { inFolder } from "./_gpt2.ts";
import { width } from "./_width.ts";

initReference();
await initQuantized();

async function numbers(t: Tensor): Promise<Float32Array> {
  const plain = noGrad(() => t.to({ dtype: "f32" })), values = (await plain.data()).slice() as Float32Array;
  if (plain !== t) plain.dispose();
  return values;
}

const sizes = { vocabSize: 64, contextLength: 64, width: 64, layers: 2, heads: 2, innerWidth: 64 };

async function fresh(family: string): Promise<CausalLM> {
  manualSeed(5);
  const model = await CausalLM.fromSizes(family, sizes, { device: "cpu" });
  for (const [, p] of model.namedParameters()) {
    if (p.shape.length > 1) noGrad(() => tidy(() => nn.init.normal(p, 0, 0.3)));
  }
  return model.eval();
}

const logitsOf = async (model: CausalLM, ids: number[]): Promise<Float32Array> => {
  using logits = noGrad(() => model.forward([ids]));
  return await numbers(logits);
};

describe("products of rows with matrices that they choose", () => {
  const dtypes: readonly string[] = [
    "f32",
    "f16",
    "bf16",
    "q8",
    "q4",
    "q4_1",
    "q5_0",
    "mxfp4",
    "q4_k",
    "q6_k",
  ];
  /** Blocks of a GGUF come from such a file. */
  const held = async (floats: Tensor, dtype: string): Promise<Tensor> => {
    if (dtype === "f32") return floats.mul(1);
    if (!/_|^mx/.test(dtype)) return floats.to({ dtype: dtype as DType });
    return await inFolder(async (folder) => {
      const path = join(folder, "w.gguf");
      await saveGguf(path, { w: floats }, { dtype });
      await using file = await openGguf(path);
      return await file.tensor("w", { device: "cpu" });
    });
  };
  it("are refused where a row chooses none, before memory beside the matrices is read", () => {
    using weight = randn([12, 32], { device: "cpu" });
    using x = randn([3, 32], { device: "cpu" });
    for (const wrong of [-1, 3, 2 ** 31 - 1, -(2 ** 31)]) {
      using index = tensor([0, wrong, 2], { dtype: "i32", device: "cpu" });
      assertThrows(
        () => noGrad(() => expertLinear(x, weight, index, 3)),
        ShapeError,
        `expertLinear: index[1] is ${wrong}, expected 0 to 2`,
      );
    }
  });

  for (const dtype of width(dtypes, ["f32", "bf16", "q8", "q4", "q4_k"])) {
    it(`${dtype}: are those of each alone, of few rows and many; others are not read, and all stay as they were`, async () => {
      for (let seed = 1; seed <= width(4, 2); seed++) {
        const random = new Generator(seed),
          experts = 2 + random.integer(0, 5),
          rows = 1 + random.integer(0, 20);
        const columns = [8, 16, 5, 24][random.integer(0, 4)],
          depth = dtype.endsWith("_k") ? 256 : 32 * (1 + random.integer(0, 3));
        using floats = randn([experts * columns, depth], { seed, device: "cpu" });
        using weight = await held(floats, dtype);
        using x = randn([rows, depth], { seed: seed + 9, device: "cpu" });
        const chosen = Array.from({ length: rows }, () => random.integer(0, experts));
        using index = tensor(chosen, { dtype: "i32", device: "cpu" });
        const w = await numbers(weight), given = await numbers(x);
        using out = noGrad(() => expertLinear(x, weight, index, experts));
        const found = await numbers(out);
        // Activations become bytes where weights are in panels.
        const most = ["q8", "q4", "q5_0"].includes(dtype) ? 0.02 : 1e-4;
        for (let i = 0; i < rows; i++) {
          for (let c = 0; c < columns; c++) {
            let sum = 0, size = 0;
            for (let k = 0; k < depth; k++) {
              const term = given[i * depth + k] * w[(chosen[i] * columns + c) * depth + k];
              sum += term;
              size += Math.abs(term);
            }
            const off = Math.abs(sum - found[i * columns + c]);
            assert(off <= most * Math.max(1, size), `seed ${seed}, row ${i}: off by ${off} of ${size}`);
          }
        }
        assertEquals(await numbers(weight), w);
        if (dtype !== "f32") continue;
        // What nobody chose may be anything.
        const own = new Set(chosen),
          spoilt = w.map((v, i) => own.has(Math.floor(i / depth / columns)) ? v : NaN);
        using other = tensor(spoilt, { shape: [experts * columns, depth], device: "cpu" });
        using again = noGrad(() => expertLinear(x, other, index, experts));
        assertEquals(await numbers(again), found);
      }
    });
  }
});

describe("a mixture of experts", () => {
  const make = (normalised: boolean, device: "cpu" | "reference", active = 2) => {
    manualSeed(3);
    const given = {
      width: 6,
      inner: 3,
      experts: 5,
      active,
      normalised,
      activation: (x: Tensor) => x.tanh(),
    };
    const block = new SparseExperts(given, { device });
    for (const p of block.parameters()) noGrad(() => tidy(() => nn.init.normal(p, 0, 0.5)));
    return block;
  };

  it("adds up the same bits for one position and many, with gradients and without", async () => {
    useDeterministicAlgorithms(true);
    try {
      for (const device of ["cpu", "reference"] as const) {
        for (const active of [1, 2, 5]) {
          const block = make(active === 2, device, active);
          using x = randn([2, 7, 6], { seed: 4, device });
          using plain = noGrad(() => block.forward(x)), recorded = block.forward(x);
          const all = await numbers(plain);
          assertEquals(await numbers(recorded), all);
          for (let t = 0; t < 7; t++) {
            using one = noGrad(() => block.forward(x.slice([1, 2], [t, t + 1])));
            assertEquals(await numbers(one), all.slice((7 + t) * 6, (8 + t) * 6));
          }
        }
      }
    } finally {
      useDeterministicAlgorithms(false);
    }
  });

  it("has the gradients of differences, of inputs, router and experts", async () => {
    for (const normalised of width([true, false], [true])) {
      const block = make(normalised, "reference"), { gate, experts } = block;
      const put = (x: Tensor, router: Tensor, a: Tensor, b: Tensor, c: Tensor): Tensor => {
        gate.weight = router;
        Object.assign(experts, { gate_proj: a, up_proj: b, down_proj: c });
        return block.forward(x);
      };
      const f64 = (t: Tensor): Tensor => t.detach().to({ dtype: "f64" });
      const given = [gate.weight, experts.gate_proj, experts.up_proj, experts.down_proj].map(f64);
      // The router's odds are f32, whatever the rest.
      assert(
        await checkGradients(
          (...[x, ...others]: Tensor[]) => put(x, others[0], others[1], others[2], others[3]),
          [f64(randn([3, 6], { seed: 8, device: "reference" })), ...given],
          { rtol: 2e-2, atol: 2e-3, eps: 1e-2 },
        ),
      );
    }
  });
});

for (const family of width(["mixtral", "qwen2_moe"], ["qwen2_moe"])) {
  describe(`${family}: experts in files`, () => {
    const ids = [3, 14, 15, 9, 26, 5, 35, 8];

    it("each has a tensor in safetensors, all have one in a GGUF; the router stays as it is, whatever the blocks", async () => {
      await inFolder(async (folder) => {
        using model = await fresh(family);
        const known = await logitsOf(model, ids);
        await model.save(join(folder, "model"));
        {
          await using file = await openSafetensors(join(folder, "model", "model.safetensors"));
          const [first, router] = family === "mixtral"
            ? ["block_sparse_moe.experts.3.w2", "block_sparse_moe.gate"]
            : ["mlp.experts.3.down_proj", "mlp.gate"];
          assertEquals(file.info(`model.layers.1.${first}.weight`).shape, [64, 64]);
          assert(file.has(`model.layers.0.${router}.weight`));
        }
        {
          using again = await CausalLM.load(join(folder, "model"), { device: "cpu" });
          assertEquals(await logitsOf(again, ids), known);
        }
        for (const dtype of ["q8", "q4"] as const) {
          using held = await CausalLM.load(join(folder, "model"), { dtype, device: "cpu" });
          const state = held.stateDict(), at = "model.layers.0.mlp.";
          assertEquals(
            [state[`${at}experts.down_proj`].dtype, state[`${at}gate.weight`].dtype],
            [dtype, "f32"],
          );
          await held.save(join(folder, dtype));
          using again = await CausalLM.load(join(folder, dtype), { device: "cpu" });
          const own = again.stateDict();
          for (const name of Object.keys(state)) {
            assertStrictEquals(own[name].dtype, state[name].dtype, name);
            assertEquals(await numbers(own[name]), await numbers(state[name]), name);
          }
        }
        for (
          const [dtype, type, share] of [["f16", "F16", 1e-3], ["q8_0", "Q8_0", 0.01], [
            "q4_0",
            "Q4_0",
            0.13,
          ]] as const
        ) {
          const path = join(folder, `${dtype}.gguf`);
          await convertToGguf(join(folder, "model"), path, { dtype });
          await using file = await openGguf(path);
          assertEquals(
            [file.info("blk.0.ffn_up_exps.weight").type, file.info("blk.0.ffn_up_exps.weight").shape],
            [type, [4, 64, 64]],
          );
          assertEquals(file.info("blk.0.ffn_gate_inp.weight").type, "F32");
          using read = await CausalLM.load(path, { device: "cpu" });
          const own = read.stateDict();
          assertStrictEquals(
            own["model.layers.0.mlp.experts.up_proj"].dtype,
            file.info("blk.0.ffn_up_exps.weight").dtype,
          );
          for (const [name, p] of model.namedParameters()) {
            const a = await numbers(p), b = await numbers(own[name]), most = Math.max(...a.map(Math.abs));
            a.forEach((x, i) =>
              assert(Math.abs(x - b[i]) <= share * most, `${dtype} ${name}[${i}]: ${b[i]}, not ${x}`)
            );
          }
          assert((await logitsOf(read, ids)).every(Number.isFinite));
        }
      });
    });

    it("missing, misshapen and superfluous ones are named", async () => {
      await inFolder(async (folder) => {
        using model = await fresh(family);
        await model.save(folder);
        const { message } = await assertRejects(
          () =>
            CausalLM.load(folder, {
              device: "cpu",
              config: { [family === "mixtral" ? "numLocalExperts" : "numExperts"]: 5 },
            }),
          FormatError,
        );
        assertMatch(message, /experts\.4\.\w+\.weight \[64, 64\]/);
        assertMatch(message, /gate\.weight is \[4, 64\], expected \[5, 64\]/);
      });
    });

    it("attention is trained by LoRA beside experts in blocks", async () => {
      await inFolder(async (folder) => {
        using made = await fresh(family);
        await made.save(folder);
        using model = await CausalLM.load(folder, { dtype: "q8", device: "cpu" });
        nn.lora(model.network, { rank: 4, alpha: 8, targets: ["q_proj", "v_proj"] });
        const own = model.parameters().filter((p) => p.requiresGrad);
        assert(own.length > 0 && own.every(({ dtype }) => dtype === "f32"));
        using optimizer = new optim.AdamW(own, { lr: 2e-2 });
        const losses: number[] = [];
        model.train();
        for (let step = 0; step < 5; step++) {
          const loss = tidy(() => {
            const loss = model.loss([ids]);
            loss.backward();
            return loss.detach();
          });
          losses.push(await loss.item());
          loss.dispose();
          optimizer.step();
          optimizer.zeroGrad();
        }
        assert(losses.at(-1)! < losses[0], String(losses));
      });
    });
  });
}

describe("a config.json with experts", () => {
  const json = {
    vocab_size: 40,
    hidden_size: 8,
    intermediate_size: 12,
    num_attention_heads: 2,
    max_position_embeddings: 32,
    num_hidden_layers: 4,
  };
  const read = (model_type: string, more: object) => decoderConfig({ model_type, ...json, ...more });
  const sparse = (model_type: string, more: object) =>
    read(model_type, more).layers.map(({ sparse }) => sparse);

  it("says which layers have some, and what each family has where nothing is said", () => {
    assertEquals(sparse("qwen3_moe", { mlp_only_layers: [1] }), [true, false, true, true]);
    assertEquals(sparse("qwen2_moe", { decoder_sparse_step: 2 }), [false, true, false, true]);
    const { experts } = read("mixtral", {});
    assertEquals(experts, { count: 8, active: 2, inner: 12, normalised: true, shared: null });
    assertEquals(read("qwen2_moe", {}).experts, {
      count: 60,
      active: 4,
      inner: 1408,
      normalised: false,
      shared: 5632,
    });
    assertEquals(read("qwen3_moe", {}).experts?.active, 8);
    assertEquals(read("olmoe", {}).experts, {
      count: 64,
      active: 8,
      inner: 12,
      normalised: false,
      shared: null,
    });
    assertEquals(read("qwen3_next", {}).experts?.count, 512);
  });

  it("is refused by name where it cannot be", () => {
    for (
      const [type, more, message] of [
        ["mixtral", { num_local_experts: 0 }, /num_local_experts is 0/],
        ["mixtral", { num_experts_per_tok: 9 }, /num_experts_per_tok is 9, expected at most the 8/],
        ["mixtral", { router_jitter_noise: 0.1 }, /router_jitter_noise is 0.1/],
        ["mixtral", { output_router_logits: true }, /output_router_logits is true/],
        ["qwen3_moe", { num_experts: 1e6 }, /num_experts is 1000000, expected at most 4096/],
        ["qwen3_moe", { mlp_only_layers: 3 }, /mlp_only_layers is 3, expected a list/],
        ["qwen3_moe", { shared_expert_intermediate_size: 8 }, /shared_expert_intermediate_size/],
        ["olmoe", { clip_qkv: 8 }, /clip_qkv is 8/],
      ] as const
    ) assertMatch(assertThrows(() => read(type, more), FormatError).message, message);
  });

  it("llama.cpp's own choices are refused where a model has others", async () => {
    await inFolder(async (folder) => {
      const all = { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 8, head_dim: 4 };
      for (
        const [type, more, message] of [
          ["qwen3_moe", all, /probabilities of experts that do not sum to 1/],
          ["qwen2_moe", { ...all, norm_topk_prob: true }, /probabilities of experts that sum to 1/],
          ["qwen3_moe", { ...all, norm_topk_prob: true, mlp_only_layers: [0] }, /layers without experts/],
          ["olmoe", { ...all, moe_intermediate_size: 0, num_key_value_heads: 1 }, /fewer heads of keys/],
        ] as const
      ) {
        using model = await CausalLM.fromConfig({ model_type: type, ...json, ...more }, { device: "cpu" });
        for (const p of model.parameters()) noGrad(() => tidy(() => copyInto(p.mul(0), p)));
        await model.save(join(folder, "model"));
        const error = await assertRejects(
          () => convertToGguf(join(folder, "model"), join(folder, "x.gguf")),
          FormatError,
        );
        assertMatch(error.message, message);
        assertMatch(error.message, /keep it as safetensors/);
      }
    });
  });
});
