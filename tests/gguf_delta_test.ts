/**
 * Gated delta networks in a GGUF: heads of values stand there in another order, and what is read is in Hugging Face's, whatever the blocks.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CausalLM,
  convertToGguf,
  FormatError,
  manualSeed,
  nn,
  noGrad,
  openGguf,
  openSafetensors,
  saveGguf,
  type Tensor,
  tidy,
  zeros,
} from "../mod.ts";
import { inFolder } from "./_gpt2.ts";
import { width } from "./_width.ts";

const config = {
  model_type: "qwen3_5_text",
  vocab_size: 48,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 32,
  max_position_embeddings: 64,
  layer_types: ["linear_attention", "full_attention"],
  linear_num_key_heads: 2,
  linear_num_value_heads: 8,
  linear_key_head_dim: 32,
  linear_value_head_dim: 32,
};

async function floats(t: Tensor): Promise<Float32Array> {
  const plain = noGrad(() => t.to({ dtype: "f32" })), values = (await plain.data()).slice() as Float32Array;
  if (plain !== t) plain.dispose();
  return values;
}

async function fresh(): Promise<CausalLM> {
  manualSeed(6);
  const model = await CausalLM.fromConfig(config, { device: "cpu" });
  for (const [, p] of model.namedParameters()) noGrad(() => tidy(() => nn.init.normal(p, 0, 0.3)));
  return model.eval();
}

describe("a delta network in a GGUF", () => {
  for (const dtype of width(["f32", "f16", "q8_0", "q4_0", "q4_k", "q6_k"], ["f32", "q8_0", "q4_k"])) {
    it(`${dtype}: every parameter is the one that was written, as near as its blocks are, and so is a folder of it`, async () => {
      await inFolder(async (folder) => {
        const path = join(folder, "model.gguf"), onWarning = (): void => {};
        using model = await fresh();
        await model.save(join(folder, "model"));
        await convertToGguf(join(folder, "model"), path, { dtype, onWarning });
        const share = { f32: 1e-6, f16: 1e-3, q8_0: 0.005, q4_0: 0.08, q4_k: 0.05, q6_k: 0.02 }[dtype]!;
        const check = async (other: CausalLM, told: string) => {
          const own = other.stateDict();
          for (const [name, p] of model.namedParameters()) {
            const a = await floats(p), b = await floats(own[name]), most = Math.max(...a.map(Math.abs));
            a.forEach((x, i) =>
              assert(Math.abs(x - b[i]) <= 1.5 * share * most, `${told}: ${name}[${i}] is ${b[i]}, not ${x}`)
            );
          }
        };
        using read = await CausalLM.load(path, { device: "cpu", onWarning });
        await check(read, "GGUF");
        // Blocks of 256 do not hold heads of 32 in another order: they become q8.
        const held = read.stateDict()["model.layers.0.linear_attn.out_proj.weight"].dtype;
        assertStrictEquals(
          held,
          { f32: "f32", f16: "f16", q8_0: "q8", q4_0: "q4", q4_k: "q8", q6_k: "q8" }[dtype],
        );
        await read.save(join(folder, "again"), { onWarning });
        using again = await CausalLM.load(join(folder, "again"), { device: "cpu", onWarning });
        await check(again, "folder");
      });
    });
  }

  it("keeps heads as llama.cpp has them, and reads a file with layers that guess further tokens", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "model.gguf"), more = join(folder, "more.gguf"), told: string[] = [];
      using model = await fresh();
      await model.save(join(folder, "model"));
      await convertToGguf(join(folder, "model"), path);
      await using file = await openGguf(path);
      const at = "model.layers.0.linear_attn.", heads = [0, 4, 1, 5, 2, 6, 3, 7];
      const own = await floats(model.stateDict()[`${at}dt_bias`]);
      using theirs = await file.tensor("blk.0.ssm_dt.bias");
      // Head h of the model is the h / 4th key head's, and its h % 4th.
      assertEquals([...await floats(theirs)], Array.from(heads, (head) => own[head]));
      using decays = await file.tensor("blk.0.ssm_a");
      assert((await floats(decays)).every((x) => x < 0));
      const tensors: Record<string, Tensor> = { "blk.2.nextn.eh_proj.weight": zeros([64, 128]) };
      for (const name of file.names) tensors[name] = await file.tensor(name);
      const metadata = {
        ...file.notes,
        "qwen35.block_count": 3,
        "qwen35.nextn_predict_layers": 1,
        "qwen35.attention.recurrent_layers": [true, false, false],
      };
      await saveGguf(more, tensors, { metadata });
      using read = await CausalLM.load(more, { device: "cpu", onWarning: (m) => void told.push(m) });
      assertStrictEquals(read.layers, 2);
      assertStrictEquals(told.length, 1);
      assertMatch(told[0], /blk\.2\.nextn\.eh_proj\.weight .*not used/);
      for (const t of Object.values(tensors)) t.dispose();
    });
  });

  it("refuses what llama.cpp would compute otherwise", async () => {
    await inFolder(async (folder) => {
      for (
        const [more, message] of [
          [{ linear_value_head_dim: 16 }, /values of another width \(16\) than keys \(32\)/],
          [{ linear_conv_kernel_dim: 1 }, /convolutions that see one position/],
          [{ attention_bias: true }, /biases in attention/],
          [{ model_type: "qwen3_next", num_experts: 0 }, /no experts/],
        ] as const
      ) {
        using model = await CausalLM.fromConfig({ ...config, ...more }, { device: "cpu" });
        await model.save(join(folder, "model"));
        const error = await assertRejects(
          () => convertToGguf(join(folder, "model"), join(folder, "x.gguf")),
          FormatError,
          "keep it as safetensors",
        );
        assertMatch(error.message, message);
      }
      const told: string[] = [];
      using model = await CausalLM.fromConfig({ ...config, rms_norm_eps: 1e-5 }, { device: "cpu" });
      await model.save(join(folder, "model"));
      await convertToGguf(join(folder, "model"), join(folder, "x.gguf"), {
        onWarning: (m) => void told.push(m),
      });
      assert(told.some((line) => line.includes("rms_norm_eps 0.00001")), told.join("\n"));
      await using file = await openSafetensors(join(folder, "model", "model.safetensors"));
      assert(file.names.length > 0);
    });
  });
});
