/**
 * Models of every family from their files and back: which family it is, what is kept, what is refused, what is quantised.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CausalLM,
  DeviceError,
  FormatError,
  GPT2,
  manualSeed,
  noGrad,
  optim,
  OptionError,
  randomBatches,
  randomState,
  saveSafetensors,
  type Tensor,
  tidy,
  Trainer,
  zeros,
} from "../mod.ts";
import { familyNames, familyOf } from "../src/models/registry.ts";
import { dataPath, missingData, readDataJson } from "./_data.ts";
import { families } from "./_families.ts";
import { inFolder } from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const device = "cpu" as const;
const folderOf = (family: string): string => dataPath("families", family);
const configOf = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));

/** Logits of all positions. */
async function logitsOf(model: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  using logits = noGrad(() => model.forward([ids]));
  return await logits.data() as Float32Array;
}

/** The largest difference, as a part of the largest value. */
function off(a: Float32Array, b: Float32Array): number {
  let most = 0, size = 0;
  a.forEach((x, i) => {
    most = Math.max(most, Math.abs(x - b[i]) || 0);
    size = Math.max(size, Math.abs(x));
  });
  return most / size;
}

const ids = [3, 14, 15, 9, 26, 5];
/** Sizes whose sums run over whole blocks of 32. */
const sizes = { vocabSize: 96, contextLength: 64, width: 64, layers: 2, heads: 2 };

describe("a model of any family", () => {
  for (const family of families) {
    it(`${family}: saved and loaded again it is the same, with its configuration as it was`, async () => {
      using model = await CausalLM.load(folderOf(family), { device });
      const known = await logitsOf(model, ids);
      await inFolder(async (folder) => {
        await model.save(folder);
        using again = await CausalLM.load(folder, { device });
        assertEquals(await logitsOf(again, ids), known);
        const { ferrotype_sha256: digest, ...written } = configOf(folder), given = configOf(folderOf(family));
        assert(digest, "no digest is noted");
        // But for what the weights are held as, which is said by the name that the file has it under.
        for (const json of [written, given]) for (const name of ["torch_dtype", "dtype"]) delete json[name];
        assertEquals(written, given);
        assertEquals(Object.keys(again.stateDict()), Object.keys(model.stateDict()));
      });
    });
  }

  for (const family of width(familyNames, ["gpt2", "llama", "gemma3_text", "gpt_neox"])) {
    it(`${family}: fresh by its sizes, it has the parameters that are expected, learns, and is quantised`, async () => {
      manualSeed(7);
      using model = await CausalLM.fromSizes(family, { ...sizes, endTokenId: 0 }, { device });
      assertStrictEquals(model.family, family);
      const expected = familyOf(family, "").expected(model.config), own = model.namedParameters();
      assertEquals(own.map(([name]) => name).sort(), [...expected.names()].sort());
      for (const [name, { shape }] of own) assertEquals([...shape], [...expected.shape(name)!]);
      assertStrictEquals(own.length, expected.size);
      // A few words said again and again.
      const text = Int32Array.from({ length: 400 }, (_, i) => 5 + (i * i) % 7);
      const trainer = new Trainer({
        model,
        data: randomBatches(text, { batchSize: 4, blockSize: 16, seed: 7 }),
        optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
        steps: 8,
      });
      const first = await noGrad(() => tidy(() => model.loss([[...text.slice(0, 40)]]))).item();
      await trainer.run();
      model.eval();
      const last = await noGrad(() => tidy(() => model.loss([[...text.slice(0, 40)]]))).item();
      assert(last < 0.8 * first, `${family}: the loss went from ${first} to ${last}`);
      const known = await logitsOf(model, ids);
      await inFolder(async (folder) => {
        await model.save(folder);
        // Half as many bits as f32 have, then 8, then 4.
        for (
          const [dtype, least] of [["f32", 1e-6], ["f16", 2e-3], ["bf16", 2e-2], ["q8", 0.1], [
            "q4",
            1,
          ]] as const
        ) {
          using held = await CausalLM.load(folder, { dtype, device });
          assertStrictEquals(held.dtype, dtype);
          const found = await logitsOf(held, ids), distance = off(known, found);
          assert(distance <= least, `${family} as ${dtype}: off by ${distance}`);
          const copy = join(folder, dtype);
          await held.save(copy);
          using again = await CausalLM.load(copy, { device });
          assertStrictEquals(again.dtype, dtype);
          assertEquals(await logitsOf(again, ids), found, `${family} as ${dtype}, saved and loaded`);
          const options = { doSample: false, maxNewTokens: 4, eosTokenId: null };
          const [one, two] = await held.completeBatch([ids, ids.slice(2)], options);
          assertEquals(one.ids, (await held.completion(ids, options)).ids);
          assertEquals(two.ids, (await held.completion(ids.slice(2), options)).ids);
        }
      });
    });
  }

  it("is GPT-2 too, by whichever name it is loaded", async () => {
    const folder = dataPath("gpt2-tiny");
    using one = await CausalLM.load(folder, { device }), two = await GPT2.load(folder, { device });
    assertStrictEquals(one.family, "gpt2");
    assert(
      two instanceof CausalLM && one instanceof CausalLM && !((two.config as unknown) instanceof CausalLM),
    );
    assertEquals(await logitsOf(one, ids), await logitsOf(two, ids));
    two.dispose();
  });

  it("is found in a GGUF by its path, its URL, its bytes, its folder and files at hand", async () => {
    const path = dataPath("families", "llama3.gguf"), bytes = new Uint8Array(readFileSync(path));
    using known = await CausalLM.load(path, { device });
    const logits = await logitsOf(known, ids);
    await inFolder(async (folder) => {
      copyFileSync(path, join(folder, "any name.gguf"));
      const ways = [new URL(`file://${path}`), bytes, new Blob([bytes]), folder, { "model.gguf": bytes }];
      for (const way of ways) {
        using model = await CausalLM.load(way, { device });
        assertEquals(await logitsOf(model, ids), logits);
      }
      // Saved as a folder, it is Hugging Face's model.
      const made = join(folder, "made");
      await known.save(made);
      using again = await CausalLM.load(made, { device });
      assertEquals(await logitsOf(again, ids), logits);
      using original = await CausalLM.load(folderOf("llama3"), { device });
      assert(off(await logitsOf(original, ids), await logitsOf(again, ids)) < 1e-5);
    });
  });

  it("ends at each of the tokens that its files name, and begins where they say", async () => {
    await inFolder(async (folder) => {
      const { single } =
        readDataJson<{ prompts: { single: { ids: number[][] } } }>("families", "qwen3", "golden.json")
          .prompts;
      using model = await CausalLM.load(folderOf("qwen3"), { device });
      const options = { doSample: false, maxNewTokens: 8 }, [prompt] = single.ids;
      const { ids: all } = await model.completion(prompt, { ...options, eosTokenId: null });
      await model.save(folder);
      const write = (name: string, changes: object): void => {
        const path = join(folder, name), json = JSON.parse(readFileSync(path, "utf8"));
        writeFileSync(path, JSON.stringify({ ...json, ...changes }));
      };
      write("config.json", { eos_token_id: [511, all[3]] });
      write("generation_config.json", { eos_token_id: undefined });
      using listed = await CausalLM.load(folder, { device });
      const found = await listed.completion(prompt, options);
      assertStrictEquals(found.finishReason, "eos");
      assertStrictEquals(found.ids.length, 1 + all.indexOf(all[3]));
      write("generation_config.json", { eos_token_id: [all[1]] });
      using other = await CausalLM.load(folder, { device });
      assertStrictEquals((await other.completion(prompt, options)).ids.length, 1 + all.indexOf(all[1]));
    });
  });

  it("takes files as PyTorch's wrappers write them, with buffers, and without what stands before all names", async () => {
    for (const family of ["qwen3", "gpt_neox"]) {
      using model = await CausalLM.load(folderOf(family), { device });
      const known = await logitsOf(model, ids), body = family === "qwen3" ? "model." : "gpt_neox.";
      const renamed: [string, (name: string) => string][] = [
        ["wrapped", (name) => `_orig_mod.module.${name}`],
        ["bare", (name) => name.startsWith(body) ? name.slice(body.length) : name],
      ];
      for (const [how, rename] of renamed) {
        await inFolder(async (folder) => {
          const tensors = Object.entries(model.stateDict()).map((
            [name, t],
          ): [string, Tensor] => [rename(name), t]);
          const buffer = zeros([4]), name = rename(`${body}layers.0.attention.rotary_emb.inv_freq`);
          await saveSafetensors(
            join(folder, "model.safetensors"),
            Object.fromEntries([...tensors, [name, buffer]]),
          );
          copyFileSync(join(folderOf(family), "config.json"), join(folder, "config.json"));
          using again = await CausalLM.load(folder, { device });
          assertEquals(await logitsOf(again, ids), known, `${family}, ${how}`);
        });
      }
    }
  });

  it("is refused by name: an unknown family, a setting that is not honoured, weights of another", async () => {
    const config = configOf(folderOf("llama3"));
    const refused = async (changes: object, message: RegExp): Promise<void> =>
      await inFolder(async (folder) => {
        for (const name of readdirSync(folderOf("llama3"))) {
          if (name.endsWith(".safetensors")) copyFileSync(join(folderOf("llama3"), name), join(folder, name));
        }
        writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...changes }));
        const error = await assertRejects(() => CausalLM.load(folder, { device }), FormatError);
        assertMatch(error.message, message);
      });
    await refused({ model_type: "lama" }, /model_type is "lama".* nearest .*"llama"/);
    await refused({ hidden_act: "sin" }, /hidden_act is "sin"/);
    await refused({ num_hidden_layers: 7 }, /LLaMA .*missing: model\.layers\.\d+\..* and \d+ more/);
    await refused({ num_hidden_layers: 60_000 }, /missing: .* more/);
    await refused({ vocab_size: 100_000_000 }, /wrong: .*model\.embed_tokens\.weight/);
    await refused({ eos_token_id: "</s>" }, /eos_token_id/);
    const load = (options: object) => CausalLM.load(folderOf("llama3"), options);
    assertMatch(
      (await assertRejects(() => load({ config: { qkvBias: true } }), OptionError)).message,
      /"qkvBias"/,
    );
    using changed = await load({ config: { attentionDropout: 0.25 }, device });
    assertStrictEquals((changed.config as { attentionDropout: number }).attentionDropout, 0.25);
    using dropped = await load({ dropout: 0.5, device });
    assertStrictEquals((dropped.config as { attentionDropout: number }).attentionDropout, 0.5);
    await assertRejects(
      () => CausalLM.fromConfig({ model_type: "llama" }),
      FormatError,
      "hidden_size is missing",
    );
    await assertRejects(() => CausalLM.fromSizes("llama", { ...sizes, heads: 7 }), FormatError, "7");
    const seen = randomState();
    for (const family of familyNames) {
      for (const large of [{ width: 2 ** 20 }, { vocabSize: 2 ** 30 }, { layers: 4096, width: 4096 }]) {
        const { message } = await assertRejects(
          () => CausalLM.fromSizes(family, { ...sizes, ...large }, { device }),
          DeviceError,
        );
        assertMatch(message, /^CausalLM\.fromSizes: a .* has more than \d+ parameters, expected at most \d+/);
      }
    }
    assertEquals(randomState(), seen, "nothing was drawn");
  });

  it("keeps what came with its tokenizer", async () => {
    await inFolder(async (folder) => {
      const from = join(folder, "from"), to = join(folder, "to");
      using bundled = await GPT2.load("web/models/shakespeare", { device });
      await bundled.save(from);
      const path = join(from, "tokenizer_config.json"), json = JSON.parse(readFileSync(path, "utf8"));
      const config = { ...json, chat_template: "{{ messages }}", pad_token: "<pad>", padding_side: "left" };
      writeFileSync(path, JSON.stringify(config));
      writeFileSync(join(from, "chat_template.jinja"), "{{ bos_token }}");
      using model = await CausalLM.load(from, { device, onWarning: () => {} });
      await model.save(to, { dtype: "f16" });
      assertEquals(JSON.parse(readFileSync(join(to, "tokenizer_config.json"), "utf8")), config);
      assertStrictEquals(readFileSync(join(to, "chat_template.jinja"), "utf8"), "{{ bos_token }}");
    });
  });
});

describe("a trained LLaMA", () => {
  const skip = missingData("llama", "stories260K", "golden.json");
  for (const name of ["", "stories260K-f32.gguf"]) {
    it(`tells the story that llama2.c tells${name && ", from a GGUF"}`, { skip }, async () => {
      const { greedy } = readDataJson<{ greedy: { ids: number[]; text: string } }>(
        "llama",
        "stories260K",
        "golden.json",
      );
      using model = await CausalLM.load(join(dataPath("llama", "stories260K"), name), { device });
      const { ids, text } = await model.completion("Once upon a time", {
        doSample: false,
        maxNewTokens: greedy.ids.length,
      });
      assertEquals(ids, greedy.ids);
      assertStrictEquals(text, greedy.text);
    });
  }
});
