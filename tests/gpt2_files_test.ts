/**
 * GPT-2's files: what is reported of wrong ones, where they may lie, and that what is saved is what was there.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { holdCollection } from "./_collection.ts";
import {
  CancelledError,
  CharTokenizer,
  FormatError,
  GPT2,
  HubError,
  loadTokenizer,
  memory,
  noGrad,
  openSafetensors,
  OptionError,
  saveSafetensors,
  type Tensor,
  tensor,
  zeros,
} from "../mod.ts";
import { dataPath, readDataJson } from "./_data.ts";
import { numbersOf } from "./_devices.ts";
import { assertNear, inFolder, loadTiny, makeFolder, readGolden, smallModel, tinyFolder } from "./_gpt2.ts";

async function refuses(folder: string, ...patterns: RegExp[]): Promise<void> {
  {
    const e = await assertRejects(() => GPT2.load(folder), Error);

    assert(e instanceof FormatError, String(e));

    for (const pattern of patterns) assertMatch(e.message, pattern);
  }
}

/** Writes the recorded weights into `folder` with some of them changed; null takes one away. */
async function edited(folder: string, changes: Record<string, Tensor | null>): Promise<void> {
  await using file = await openSafetensors(dataPath("gpt2-tiny", "model.safetensors"));
  const tensors: Record<string, Tensor> = {};
  for (const name of file.names) tensors[name] = await file.tensor(name);
  Object.assign(tensors, changes);
  const kept = Object.entries(tensors).filter(([, t]) => t !== null);
  await saveSafetensors(join(folder, "model.safetensors"), Object.fromEntries(kept));
}

/** What follows the header of a safetensors file. */
function tensorBytes(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
}

async function logitsOf(model: GPT2): Promise<number[]> {
  return await numbersOf(noGrad(() => model.forward([[1, 2, 3, 4, 5]])));
}

describe("GPT-2 files that are wrong", () => {
  it("lists missing, unexpected and wrong tensors apart, with their shapes", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      await edited(folder, {
        "h.1.mlp.c_fc.weight": null,
        "h.1.mlp.c_fc.bais": zeros([128]),
        "wpe.weight": zeros([32, 64]),
        "ln_f.bias": tensor(new Int32Array(32)),
      });
      await refuses(
        folder,
        /missing: h\.1\.mlp\.c_fc\.weight \[32, 128\];/,
        /unexpected: h\.1\.mlp\.c_fc\.bais \[128\];/,
        /wrong: /,
        /wpe\.weight is \[32, 64\], expected \[64, 32\]/,
        /ln_f\.bias holds i32, expected f32, f16, bf16/,
      );
    });
  });

  it("names a tensor that is there under two names", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      await edited(folder, { "transformer.ln_f.bias": zeros([32]) });
      await refuses(
        folder,
        /unexpected: (transformer\.)?ln_f\.bias .*the file also has (transformer\.)?ln_f\.bias/,
      );
    });
  });

  it("takes no parameter for a buffer", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      await edited(folder, { "h.0.attn.c_attn.bias": null, "h.0.attn.bias": zeros([1, 1, 64, 64]) });
      await refuses(folder, /missing: h\.0\.attn\.c_attn\.bias \[96\]$/);
    });
  });

  it("says what in config.json is not a GPT-2 it computes", async () => {
    await inFolder(async (folder) => {
      const wrong = async (changes: Record<string, unknown>, pattern: RegExp): Promise<void> => {
        makeFolder(folder, changes);
        await refuses(folder, pattern, /config\.json/);
      };
      await wrong({ model_type: "llama" }, /model_type is "llama"; this class reads "gpt2"/);
      await wrong(
        { activation_function: "swiglu" },
        /activationFunction is "swiglu", expected "silu", "swish", "gelu"/,
      );
      await wrong({ scale_attn_by_inverse_layer_idx: 1 }, /scaleAttnByInverseLayerIdx is 1, expected/);
      await wrong({ n_head: 5 }, /nHead is 5/);
      await wrong({ scale_attn_weights: null }, /scaleAttnWeights is null, expected/);
      await wrong({ add_cross_attention: true }, /add_cross_attention true is not computed here/);
      await wrong({ is_encoder_decoder: true }, /is_encoder_decoder true is not computed here/);
      await wrong(
        { pruned_heads: { 0: [1] } },
        /pruned_heads \{ 0: \[1\] \} is not computed here, only all heads/,
      );
      await wrong(
        { quantization_config: { quant_method: "gptq", bits: 4 } },
        /quantization_config \{ quant_method: "gptq", bits: 4 \} is not computed here, weights as they are/,
      );
      await wrong({ hidden_size: 64 }, /hidden_size is 64 and n_embd, which is the same, 32/);
      await wrong({ n_embd: "32" }, /nEmbd is "32"/);
      writeFileSync(join(folder, "config.json"), "{");
      await refuses(folder, /config\.json is not JSON/);
    });
  });

  it("passes over what changes no number, whatever it says", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder, {
        use_cache: false,
        reorder_and_upcast_attn: true,
        is_decoder: true,
        pruned_heads: {},
        quantization_config: null,
        output_attentions: true,
        return_dict: false,
        torchscript: true,
        summary_type: "cls_index",
        chunk_size_feed_forward: 3,
        task_specific_params: { "text-generation": { do_sample: true, max_length: 50 } },
        hidden_size: 32,
        num_attention_heads: null,
        something_of_mine: { a: 1 },
      });
      using model = await GPT2.load(folder);
      assertStrictEquals((model.config.other.something_of_mine as { a: number }).a, 1);
      assertEquals(model.generationConfig.doSample, undefined);
    });
  });

  it("takes what generation_config.json would say from config.json where there is none", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder, {
        do_sample: true,
        temperature: 0.25,
        max_length: 33,
        use_cache: false,
        num_beams: 1,
      });
      using model = await GPT2.load(folder);
      const { doSample, temperature, maxLength } = model.generationConfig;
      assertEquals({ doSample, temperature, maxLength }, {
        doSample: true,
        temperature: 0.25,
        maxLength: 33,
      });
      makeFolder(folder, { temperature: -1 });
      assertMatch(
        (await assertRejects(() => GPT2.load(folder), FormatError)).message,
        /[\\/]config.json: temperature is -1/,
      );
    });
  });

  it("warns of names in generation_config.json that are known to nobody, each where one is near, and others in one line", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder, { temprature: 0.5 });
      const warned: string[] = [], onWarning = (message: string): void => void warned.push(message);
      (await GPT2.load(folder, { onWarning })).dispose();
      assertEquals(warned, []);
      const config = {
        temprature: 0.5,
        topk: 3,
        chat_format: "chatml",
        max_window_size: 5,
        use_cache: true,
        _note: 1,
      };
      writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
      (await GPT2.load(folder, { onWarning })).dispose();
      assertEquals(
        warned.splice(0, 2).map((text) =>
          /there is no field "(\w+)", .* did you mean "(\w+)"\?$/.exec(text)?.slice(1)
        ),
        [["temprature", "temperature"], ["topk", "top_k"]],
      );
      const told = async (config: object): Promise<string> => {
        writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
        (await GPT2.load(folder, { onWarning })).dispose();
        return warned.splice(0).join("|").replace(/[^|]*generation_config\.json: /g, "");
      };
      assertStrictEquals(
        warned.splice(0).join("|").replace(/[^|]*generation_config\.json: /g, ""),
        'there are no fields "chat_format", "max_window_size", so they are passed over',
      );
      assertStrictEquals(
        await told({ top_n_sigma: 1, do_sample: true }),
        'there is no field "top_n_sigma", so it is passed over',
      );
      assertStrictEquals(await told({ cache_config: {} }), "");
      assertMatch(await told({ cache_config: { backend: "quanto" } }), /^cache_config has no effect; /);
      const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`zz${i}`.padEnd(300, "q"), i]));
      assert((await told(many)).length < 2500);
    });
  });

  it("loads whatever generation_config.json says that changes no token, and names what does", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      const loads = async (config: object): Promise<GPT2> => {
        writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
        return await GPT2.load(folder);
      };
      for (
        const config of [
          { use_cache: false },
          { cache_implementation: "dynamic" },
          { cache_implementation: "hybrid", cache_config: { a: 1 } },
          { disable_compile: true, compile_config: { mode: "reduce-overhead" } },
          { output_attentions: true, output_hidden_states: true, return_dict_in_generate: true },
          { decoder_start_token_id: 0, pad_token_id: -1, is_assistant: true, low_memory: true },
          { eos_token_id: 50256, suppress_tokens: [99999], bad_words_ids: [[99999]] },
          { chat_format: "chatml", trust_remote_code: true },
        ]
      ) {
        using model = await loads(config);
        assertStrictEquals((await model.completion([1], { maxNewTokens: 2 })).ids.length, 2);
      }
      const refused: [object, RegExp][] = [
        [{ dola_layers: "high" }, /generation_config.json: dola_layers "high" cannot be honoured/],
        [{ cache_implementation: "quantized" }, /cache_implementation "quantized" cannot be honoured/],
        [{ num_beams: 1e6 }, /num_beams is 1000000, expected a whole number from 1 to 1024/],
        [{ forced_eos_token_id: 99999 }, /generation_config.json: forced_eos_token_id names token 99999/],
        [{ top_h: 5 }, /top_h is 5, expected/],
      ];
      for (const [config, message] of refused) {
        assertMatch((await assertRejects(() => loads(config), FormatError)).message, message);
      }
    });
  });

  it("warns of a tokenizer that is larger than the model", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      const letters = Array.from({ length: 600 }, (_, i) => String.fromCodePoint(0x4e00 + i)).join("");
      const warned: string[] = [], onWarning = (message: string): void => void warned.push(message);
      const write = (text: string): void =>
        writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(CharTokenizer.from(text).toJSON()));
      write(letters);
      (await GPT2.load(folder, { onWarning })).dispose();
      assertStrictEquals(warned.length, 1);
      assertMatch(
        warned[0],
        /the tokenizer has 600 tokens and the model 512, so it was made for another model/,
      );
      write(letters.slice(0, 500));
      (await GPT2.load(folder, { onWarning })).dispose();
      assertStrictEquals(warned.length, 1);
    });
  });

  it("says what is missing from a folder", async () => {
    await inFolder(async (folder) => {
      await refuses(folder, /holds no config\.json/);
      makeFolder(folder, {}, null);
      await refuses(folder, /neither model\.safetensors nor model\.safetensors\.index\.json/);
      const index = { metadata: {}, weight_map: { "wte.weight": "model-00001-of-00001.safetensors" } };
      writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
      await refuses(folder, /the index names model-00001-of-00001\.safetensors, which is not there/);
    });
    assertMatch(
      (await assertRejects(() => GPT2.load("/no/such/folder/here"), FormatError)).message,
      /neither a folder/,
    );
  });

  it("refuses a dtype that weights are not held as", async () => {
    await assertRejects(() => loadTiny({ dtype: "i32" }), OptionError);
  });

  it("gives back what was read of a model that is refused or cancelled", async () => {
    using _still = holdCollection();
    const before = memory().cpu?.bytes ?? 0, controller = new AbortController();
    let calls = 0;
    const loading = loadTiny({
      signal: controller.signal,
      onProgress: () => ++calls === 3 && controller.abort(),
    });
    await assertRejects(() => loading, CancelledError);
    assertStrictEquals(calls, 3);
    assertStrictEquals(memory().cpu.bytes, before);
  });
});

describe("GPT-2 from elsewhere", () => {
  let server: Server, base = "", requests: { method: string; path: string; range: string | undefined }[] = [];
  let onRequest = (): void => {};

  before(async () => {
    server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://host").pathname,
        range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      requests.push({ method: request.method ?? "", path, range: request.headers.range });
      onRequest();
      if (path.startsWith("/secret/")) return void response.writeHead(401).end();
      let bytes: Uint8Array;
      try {
        bytes = readFileSync(dataPath("gpt2-tiny", path.split("/").at(-1) as string));
      } catch {
        return void response.writeHead(404).end();
      }
      if (!range) {
        return void response.writeHead(200, { "content-length": bytes.length }).end(
          request.method === "HEAD" ? undefined : bytes,
        );
      }
      const start = Number(range[1]), end = Math.min(Number(range[2]) + 1, bytes.length);
      response.writeHead(206, {
        "content-range": `bytes ${start}-${end - 1}/${bytes.length}`,
        "content-length": end - start,
        etag: '"1"',
      });
      response.end(bytes.subarray(start, end));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const check = async (model: GPT2): Promise<void> => {
    const { ids, last_logits: expected } = readGolden().prompts.single;
    assertNear(
      await numbersOf(noGrad(() => model.forward(ids, { lastOnly: true }))),
      expected[0],
      1e-4,
      "logits",
    );
  };

  it("loads from a path, a file: URL and its text", async () => {
    for (
      const where of [tinyFolder, `${tinyFolder}/`, pathToFileURL(tinyFolder), pathToFileURL(tinyFolder).href]
    ) {
      using model = await GPT2.load(where);
      await check(model);
    }
  });

  it("loads over HTTP by ranges, and tells how far it is", async () => {
    for (const where of [`${base}/tiny`, new URL(`${base}/tiny/`)]) {
      requests = [];
      const progress: number[] = [];
      using model = await GPT2.load(where, {
        onProgress: ({ loaded, total }) => {
          assert(loaded <= total);
          progress.push(loaded / total);
        },
      });
      await check(model);
      assertStrictEquals(progress.length, 28);
      assertEquals(progress, progress.toSorted((a, b) => a - b));
      assertStrictEquals(progress.at(-1), 1);
      const reads = requests.filter(({ method, path }) =>
        method === "GET" && path === "/tiny/model.safetensors"
      );
      assert(reads.length > 0 && reads.every(({ range }) => range !== undefined));
      assertEquals(model.tokenizer?.encode("hello"), (await loadTokenizer(tinyFolder)).encode("hello"));
    }
  });

  it("says what a server answers", async () => {
    assertMatch((await assertRejects(() => GPT2.load(`${base}/secret/model`), HubError)).message, /401/);
  });

  it("stops when told", async () => {
    await assertRejects(() => GPT2.load(`${base}/tiny`, { signal: AbortSignal.abort() }), CancelledError);
    const controller = new AbortController();
    onRequest = () => controller.abort();
    await assertRejects(() => GPT2.load(`${base}/tiny`, { signal: controller.signal }), CancelledError);
    onRequest = () => {};
  });
});

describe("GPT-2 saved", () => {
  it("is what it was, tokenizer and generation defaults included", async () => {
    await inFolder(async (folder) => {
      using model = await loadTiny();
      model.generationConfig = {
        ...model.generationConfig,
        doSample: true,
        temperature: 0.5,
        maxNewTokens: 7,
        stop: ["x"],
      };
      await model.save(join(folder, "new", "place"));
      const where = join(folder, "new", "place");
      assertEquals(readdirSync(where).sort(), [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
      // The file that was read, and in its metadata and in the configuration the SHA-256 of the tensors.
      const data = tensorBytes(join(where, "model.safetensors")),
        sha256 = createHash("sha256").update(data).digest("hex");
      assertEquals(data, tensorBytes(dataPath("gpt2-tiny", "model.safetensors")));
      await using file = await openSafetensors(join(where, "model.safetensors"));
      assertEquals([file.digest, { ...file.metadata }], [sha256, { format: "pt" }]);
      assertEquals(JSON.parse(readFileSync(join(where, "config.json"), "utf8")), {
        ...readDataJson<object>("gpt2-tiny", "config.json"),
        tie_word_embeddings: true,
        ferrotype_sha256: sha256,
      });
      assertEquals(JSON.parse(readFileSync(join(where, "generation_config.json"), "utf8")), {
        bos_token_id: 511,
        eos_token_id: 511,
        do_sample: true,
        temperature: 0.5,
        max_new_tokens: 7,
        stop_strings: ["x"],
      });
      using again = await GPT2.load(where);
      // What begins an empty text is said in the file, too.
      assertEquals(again.generationConfig, { ...model.generationConfig, bosTokenId: 511 });
      assertEquals(again.config, model.config);
      assertEquals(await logitsOf(again), await logitsOf(model));
      assertEquals(again.encode("The end.<|endoftext|>"), model.encode("The end.<|endoftext|>"));
    });
  });

  it("in shards is what it was, and leaves no older file behind", async () => {
    await inFolder(async (folder) => {
      using model = smallModel();
      const files = (): string[] => readdirSync(folder).filter((name) => name.startsWith("model")).sort();
      await model.save(folder);
      assertEquals(files(), ["model.safetensors"]);
      await model.save(folder, { shardSize: 2000 });
      const many = files();
      assert(
        many.length > 3 && many.includes("model.safetensors.index.json") &&
          !many.includes("model.safetensors"),
        many.join(),
      );
      using shards = await GPT2.load(folder);
      // Weights lie otherwise in a model that was loaded, so sums are added up in another order.
      assertNear(await logitsOf(shards), await logitsOf(model), 1e-5, "shards");
      await model.save(folder, { shardSize: 4000 });
      assert(files().length < many.length && files().length > 2);
      using fewer = await GPT2.load(folder);
      assertNear(await logitsOf(fewer), await logitsOf(model), 1e-5, "fewer shards");
      await model.save(folder);
      assertEquals(files(), ["model.safetensors"]);
    });
  });

  it("in half precision is rounded once", async () => {
    await inFolder(async (folder) => {
      using model = smallModel();
      for (
        const [dtype, torch, tolerance] of [["f16", "float16", 0.02], ["bf16", "bfloat16", 0.2]] as const
      ) {
        await model.save(folder, { dtype });
        assertStrictEquals(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")).torch_dtype, torch);
        using half = await GPT2.load(folder), wide = await GPT2.load(folder, { dtype: "f32" });
        assertStrictEquals(half.wpe.weight.dtype, dtype);
        assertStrictEquals(half.ln_f.weight.dtype, "f32");
        assertStrictEquals(wide.wpe.weight.dtype, "f32");
        assertNear(await logitsOf(half), await logitsOf(model), tolerance, dtype);
        assertNear(await logitsOf(wide), await logitsOf(half), 1e-4, `${dtype} as f32`);
        await half.save(join(folder, "again"));
        const read = (...path: string[]): Uint8Array =>
          readFileSync(join(folder, ...path, "model.safetensors"));
        assertEquals(read("again"), read());
      }
    });
  });

  it("with an output layer of its own has the names that transformers expects", async () => {
    await inFolder(async (folder) => {
      using model = smallModel({ tieWordEmbeddings: false });
      await model.save(folder);
      await using file = await openSafetensors(join(folder, "model.safetensors"));
      assert(
        file.names.includes("lm_head.weight") && file.names.includes("transformer.h.0.attn.c_attn.bias"),
      );
      assert(file.names.every((name) => name === "lm_head.weight" || name.startsWith("transformer.")));
      assertEquals(file.metadata, { format: "pt" });
      using again = await GPT2.load(folder);
      assertNear(await logitsOf(again), await logitsOf(model), 1e-5, "logits");
    });
  });

  it("keeps a tokenizer of characters", async () => {
    await inFolder(async (folder) => {
      using model = smallModel({ vocabSize: 5 });
      model.tokenizer = CharTokenizer.from("abcde");
      await model.save(folder);
      using again = await GPT2.load(folder);
      assertEquals(again.encode("deca"), model.encode("deca"));
      assertStrictEquals(again.tokenizer?.decode([0, 1]), model.tokenizer.decode([0, 1]));
    });
  });
});
