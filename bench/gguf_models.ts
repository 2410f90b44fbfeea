/**
 * Decoders of the sizes that people run, from GGUF, beside llama.cpp on the same files: a 1.1B-shaped LLaMA (TinyLlama's
 * config) and a 0.5B-shaped Qwen 2, of seeded random weights.
 *
 * ```
 * deno run -A bench/gguf_models.ts --write                     # the files, into bench/.models (about 7 GB); once
 * deno run -A bench/gguf_models.ts --model qwen2 --type q8_0   # load, prefill and decode of one of them
 * deno run -A bench/gguf_models.ts --install                   # the rivals first
 * ```
 *
 * Weights at random say nothing, and take as long as any. Each file is measured in a process of its own, which tells its
 * peak of memory too; what is not installed is named.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CausalLM } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { toF16 } from "../src/core/half.ts";
import { sizeOf } from "../src/core/shape.ts";
import { type GgufNotes, type GgufTensorToSave, type GgufType, planGguf } from "../src/files/gguf/mod.ts";
import { ggufArchitecture, ggufWeight } from "../src/models/gguf.ts";
import { architectureNotes } from "../src/models/gguf_notes.ts";
import { familyOfConfig } from "../src/models/registry.ts";
import { writeFileAtomic } from "../src/platform/platform.ts";
import { convertToGguf } from "../src/runtime/gguf_convert.ts";
import { installRivals, Rivals } from "./rivals.ts";
import { promptIds } from "./rivals/random.ts";

const here = dirname(fileURLToPath(import.meta.url)), folder = join(here, ".models");

/** The models, as their config.json has them. */
const configs = {
  llama: {
    model_type: "llama",
    vocab_size: 32_000,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  },
  qwen2: {
    model_type: "qwen2",
    vocab_size: 151_936,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
  },
} as const;
type Model = keyof typeof configs;

/** `q4_k_m` is llama.cpp's mixture: Q6_K where it has more bits, else Q4_K. */
const fileTypes = ["f16", "q8_0", "q4_0", "q4_k_m"] as const;
type FileType = typeof fileTypes[number];

const pathOf = (model: Model, type: FileType): string => join(folder, `${model}-${type}.gguf`);

/** A tokenizer that is only there to be counted. */
function tokens(count: number): GgufNotes {
  const pieces = ["<unk>", "<s>", "</s>"], types = [2, 3, 3];
  for (let byte = 0; byte < 256; byte++) {
    pieces.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    types.push(6);
  }
  while (pieces.length < count) {
    pieces.push(`▁${pieces.length.toString(36)}`);
    types.push(1);
  }
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": pieces,
    "tokenizer.ggml.scores": Float32Array.from(pieces, (_, id) => -id),
    "tokenizer.ggml.token_type": Int32Array.from(types),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
  };
}

/** The model as f16, tensor after tensor; norms are ones. */
async function writeHalf(model: Model): Promise<void> {
  const family = familyOfConfig(configs[model], model), config = family.parse(configs[model], model);
  const architecture = ggufArchitecture(family.type), expected = family.expected(config);
  let seed = 1;
  const tensors = [...expected.names()].map((parameter): GgufTensorToSave => {
    const shape = expected.shape(parameter)!,
      { name } = ggufWeight(parameter, config, architecture),
      own = seed++;
    if (shape.length < 2) {
      const value = name.endsWith(".bias") ? 0 : 1;
      return {
        name,
        type: "F32",
        shape,
        bytes: () => new Uint8Array(new Float32Array(shape[0]).fill(value).buffer),
      };
    }
    return {
      name,
      type: "F16",
      shape,
      bytes() {
        const random = new Generator(own),
          out = new Uint16Array(sizeOf(shape)),
          scale = 1.7 / Math.sqrt(shape[1]);
        for (let i = 0; i < out.length; i++) out[i] = toF16((2 * random.uniform() - 1) * scale);
        return new Uint8Array(out.buffer);
      },
    };
  });
  const notes: GgufNotes = {
    "general.architecture": architecture,
    "general.name": model,
    "general.file_type": 1,
    ...architectureNotes(family.type, config).notes,
    ...tokens(family.vocabSize(config)),
  };
  await writeFileAtomic(pathOf(model, "f16"), planGguf(tensors, notes).chunks());
}

/** The type of a tensor in llama.cpp's mixture Q4_K_M. */
function mixed(name: string, layers: number): GgufType {
  const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1), eighth = Math.floor(layers / 8);
  const isMore = layer < eighth || layer >= 7 * eighth || (layer - eighth) % 3 === 2;
  if (/^(output|token_embd)\.weight$/.test(name)) return "Q6_K";
  return /attn_v|ffn_down/.test(name) && isMore ? "Q6_K" : "Q4_K";
}

/** Writes the files that are not there; the others are made of f16. */
async function write(models: readonly Model[], types: readonly FileType[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const model of models) {
    for (const type of types.includes("f16") ? types : ["f16" as const, ...types]) {
      const path = pathOf(model, type);
      if (existsSync(path)) continue;
      const half = pathOf(model, "f16"), layers = configs[model].num_hidden_layers;
      if (type === "f16") await writeHalf(model);
      else if (type === "q4_k_m") await convertToGguf(half, path, { typeOf: (name) => mixed(name, layers) });
      else await convertToGguf(half, path, { dtype: type });
      console.log(`wrote ${path} (${(statSync(path).size / 1e6).toFixed(0)} MB)`);
    }
  }
}

/** What one file takes. */
interface Measured {
  readonly load: number;
  readonly prefill: number;
  readonly decode: number;
  readonly peak: number | null;
}

const prompt = 128, made = 32;

/** This library, in this process: seconds to load, tokens a second of a prompt and one after the other. */
async function ours(path: string): Promise<Measured> {
  const started = performance.now(), model = await CausalLM.load(path);
  const load = (performance.now() - started) / 1e3, ids = promptIds(prompt, model.vocabSize);
  let best = { prefill: 0, decode: 0 };
  for (let run = 0; run < 3; run++) {
    const done = await model.completion(ids, { maxNewTokens: made, doSample: false, eosTokenId: [] });
    best = {
      prefill: Math.max(best.prefill, prompt / (done.prefillMilliseconds / 1e3)),
      decode: Math.max(best.decode, (done.ids.length - 1) / (done.decodeMilliseconds / 1e3)),
    };
  }
  return { load, ...best, peak: peakOf() };
}

/** The most memory that this process had, in bytes, where the system tells. */
function peakOf(): number | null {
  try {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    return found && 1024 * Number(found[1]);
  } catch {
    return null;
  }
}

async function theirs(path: string, threads: number): Promise<{ prefill: number; decode: number } | string> {
  const rivals = new Rivals(true), seconds: Record<string, number> = {};
  try {
    for (const task of ["prefill", "decode"]) {
      const job = rivals.job("llama.cpp", task, { model: path, prompt, tokens: made, threads });
      const reason = await job.prepare();
      if (reason !== null) return reason;
      seconds[task] = await job.seconds(3000);
    }
  } finally {
    rivals.endAll();
  }
  return { prefill: prompt / seconds.prefill, decode: 1 / seconds.decode };
}

const { values } = parseArgs({
  options: {
    write: { type: "boolean", default: false },
    install: { type: "boolean", default: false },
    model: { type: "string" },
    type: { type: "string" },
    measure: { type: "string" },
    threads: { type: "string" },
  },
});
if (values.install) installRivals();
if (values.measure) {
  console.log(JSON.stringify(await ours(values.measure)));
} else {
  const models = (Object.keys(configs) as Model[]).filter((model) => !values.model || model === values.model);
  const types = fileTypes.filter((type) => !values.type || type === values.type);
  if (models.length === 0 || types.length === 0) {
    console.error(
      `gguf_models: --model is ${Object.keys(configs).join(" or ")}, --type one of ${fileTypes.join(", ")}`,
    );
    process.exit(2);
  }
  if (values.write) {
    await write(models, types);
    process.exit(0);
  }
  const threads = Number(values.threads ?? navigator.hardwareConcurrency);
  console.log(
    `${threads} threads; tokens a second of a prompt of ${prompt}, and of ${made} one after the other`,
  );
  for (const model of models) {
    for (const type of types) {
      const path = pathOf(model, type);
      if (!existsSync(path)) {
        console.log(`${model} ${type}: not written yet (--write)`);
        continue;
      }
      const before = "Deno" in globalThis ? ["run", "-A"] : [];
      const run = spawnSync(
        process.execPath,
        [...before, fileURLToPath(import.meta.url), "--measure", path],
        {
          encoding: "utf8",
        },
      );
      const size = statSync(path).size, name = `${model} ${type}`.padEnd(14);
      if (run.status !== 0) console.log(`${name} failed: ${run.stderr.trim().split("\n").at(-1)}`);
      else {
        const { load, prefill, decode, peak }: Measured = JSON.parse(run.stdout.trim().split("\n").at(-1)!);
        const memory = peak === null ? "" : `, ${(peak / size).toFixed(2)} × the file in memory at most`;
        console.log(
          `${name} ferrotype  load ${load.toFixed(2)} s  prefill ${prefill.toFixed(1)}  decode ${
            decode.toFixed(1)
          }${memory}`,
        );
      }
      const rival = await theirs(path, threads);
      console.log(
        typeof rival === "string"
          ? `${name} llama.cpp  ${rival}`
          : `${name} llama.cpp  prefill ${rival.prefill.toFixed(1)}  decode ${rival.decode.toFixed(1)}`,
      );
    }
  }
}
