/**
 * Writes a GPT-2 as GGUF (the format of llama.cpp, version 3), with tokens that are only there to be counted.
 *
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { toF16 } from "../../src/core/half.ts";
import type { Weight } from "./onnx_model.ts";

/** What matrices are stored as. */
export type GgufType = "f32" | "f16" | "q8_0" | "q4_0";

const encoder = new TextEncoder();
const types: Record<GgufType, number> = { f32: 0, f16: 1, q8_0: 8, q4_0: 2 };
const fileTypes: Record<GgufType, number> = { f32: 0, f16: 1, q8_0: 7, q4_0: 2 };

/** Bytes that grow. */
class Writer {
  #view: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(1 << 22));
  #length = 0;

  #room(count: number): number {
    if (this.#length + count > this.#view.byteLength) {
      const larger = new Uint8Array(2 * this.#view.byteLength + count);
      larger.set(new Uint8Array(this.#view.buffer, 0, this.#length));
      this.#view = new DataView(larger.buffer);
    }
    const at = this.#length;
    this.#length += count;
    return at;
  }
  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }
  u64(value: number): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }
  f32(value: number): void {
    const at = this.#room(4);
    this.#view.setFloat32(at, value, true);
  }
  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }
  text(value: string): void {
    const bytes = encoder.encode(value);
    this.u64(bytes.length);
    const at = this.#room(bytes.length);
    new Uint8Array(this.#view.buffer, at).set(bytes);
  }
  get bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, this.#length);
  }
}

type Value = string | number | boolean | { float: number } | string[] | Int32Array;

function writeValue(to: Writer, value: Value): void {
  if (typeof value === "string") {
    to.u32(8);
    to.text(value);
  } else if (typeof value === "boolean") {
    to.u32(7);
    to.u8(value ? 1 : 0);
  } else if (typeof value === "number") {
    to.u32(4);
    to.u32(value);
  } else if (value instanceof Int32Array) {
    to.u32(9);
    to.u32(5);
    to.u64(value.length);
    for (const x of value) to.u32(x);
  } else if (Array.isArray(value)) {
    to.u32(9);
    to.u32(8);
    to.u64(value.length);
    for (const x of value) to.text(x);
  } else {
    to.u32(6);
    to.f32(value.float);
  }
}

/** Blocks of 32: a scale (f16) and the numbers in units of it, a byte each (q8_0) or two in a byte (q4_0). */
function quantise(x: Float32Array, bits: 8 | 4): Uint8Array {
  const size = bits === 8 ? 34 : 18, blocks = x.length / 32;
  const out = new Uint8Array(blocks * size), view = new DataView(out.buffer);
  for (let block = 0; block < blocks; block++) {
    const from = 32 * block, at = size * block;
    let most = 0;
    for (let i = from; i < from + 32; i++) if (Math.abs(x[i]) > Math.abs(most)) most = x[i];
    const scale = bits === 8 ? Math.abs(most) / 127 : most / -8, factor = scale === 0 ? 0 : 1 / scale;
    view.setUint16(at, toF16(scale), true);
    if (bits === 8) { for (let i = 0; i < 32; i++) out[at + 2 + i] = Math.round(x[from + i] * factor); }
    else {
      for (let i = 0; i < 16; i++) {
        const low = Math.min(15, Math.floor(x[from + i] * factor + 8.5));
        const high = Math.min(15, Math.floor(x[from + 16 + i] * factor + 8.5));
        out[at + 2 + i] = low | (high << 4);
      }
    }
  }
  return out;
}

function encode(x: Float32Array<ArrayBuffer>, type: GgufType): Uint8Array {
  if (type === "f32") return new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  if (type === "f16") return new Uint8Array(Uint16Array.from(x, toF16).buffer);
  return quantise(x, type === "q8_0" ? 8 : 4);
}

/** [in, out] → [out, in], as llama.cpp keeps them. */
function transposed(x: Float32Array<ArrayBuffer>, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j];
  return out;
}

const names: [from: string, to: string][] = [
  ["ln_1", "attn_norm"],
  ["ln_2", "ffn_norm"],
  ["attn.c_attn", "attn_qkv"],
  ["attn.c_proj", "attn_output"],
  ["mlp.c_fc", "ffn_up"],
  ["mlp.c_proj", "ffn_down"],
];

/** The 256 characters that stand for bytes in GPT-2's vocabulary. */
function byteCharacters(): string[] {
  const codes = [];
  for (let code = 33; code < 256; code++) if (code < 127 || (code > 160 && code !== 173)) codes.push(code);
  const others = 256 - codes.length;
  for (let i = 0; i < others; i++) codes.push(256 + i);
  return codes.map((code) => String.fromCharCode(code));
}

/** Writes the model with matrices of one type. The embedding of q4_0 is q8_0, as llama.cpp makes it. */
export function writeGguf(
  path: string,
  weights: Weight[],
  layers: number,
  heads: number,
  type: GgufType,
): void {
  const of = new Map(weights.map((weight) => [weight.name, weight]));
  const [vocab, width] = of.get("wte.weight")!.shape, positions = of.get("wpe.weight")!.shape[0];
  const tensors: { name: string; shape: number[]; type: GgufType; data: Float32Array<ArrayBuffer> }[] = [];
  const add = (name: string, from: string, type: GgufType): void => {
    const { shape, data } = of.get(from)!;
    if (shape.length === 2 && !from.startsWith("w")) {
      tensors.push({ name, shape: [shape[0], shape[1]], type, data: transposed(data, shape[0], shape[1]) });
    } else tensors.push({ name, shape: shape.toReversed(), type: shape.length === 2 ? type : "f32", data });
  };
  add("token_embd.weight", "wte.weight", type === "q4_0" ? "q8_0" : type);
  add("position_embd.weight", "wpe.weight", "f32");
  for (const part of ["weight", "bias"]) add(`output_norm.${part}`, `ln_f.${part}`, "f32");
  for (let i = 0; i < layers; i++) {
    for (const [from, to] of names) {
      for (const part of ["weight", "bias"]) add(`blk.${i}.${to}.${part}`, `h.${i}.${from}.${part}`, type);
    }
  }
  const characters = byteCharacters();
  const tokens = Array.from(
    { length: vocab },
    (_, i) => i === vocab - 1 ? "<|endoftext|>" : characters[i] ?? `tok${i}`,
  );
  const values: [string, Value][] = [
    ["general.architecture", "gpt2"],
    ["general.name", "gpt2-random"],
    ["general.file_type", fileTypes[type]],
    ["gpt2.context_length", positions],
    ["gpt2.embedding_length", width],
    ["gpt2.feed_forward_length", 4 * width],
    ["gpt2.block_count", layers],
    ["gpt2.attention.head_count", heads],
    ["gpt2.attention.layer_norm_epsilon", { float: 1e-5 }],
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "gpt-2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(tokens, (_, i) => i === vocab - 1 ? 3 : 1)],
    ["tokenizer.ggml.merges", ["t o", "to k"]],
    ["tokenizer.ggml.bos_token_id", vocab - 1],
    ["tokenizer.ggml.eos_token_id", vocab - 1],
    ["tokenizer.ggml.add_bos_token", false],
  ];
  const sizeOf = ({ data, type }: { data: Float32Array; type: GgufType }): number =>
    data.length / 32 * { f32: 128, f16: 64, q8_0: 34, q4_0: 18 }[type];
  const padded = (bytes: number): number => 32 * Math.ceil(bytes / 32);

  const head = new Writer();
  for (const letter of "GGUF") head.u8(letter.charCodeAt(0));
  head.u32(3);
  head.u64(tensors.length);
  head.u64(values.length);
  for (const [key, value] of values) {
    head.text(key);
    writeValue(head, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    head.text(tensor.name);
    head.u32(tensor.shape.length);
    for (const size of tensor.shape) head.u64(size);
    head.u32(types[tensor.type]);
    head.u64(offset);
    offset += padded(sizeOf(tensor));
  }
  const file = openSync(path, "w");
  const put = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length;) {
      at += writeSync(file, bytes, at, Math.min(1 << 26, bytes.length - at));
    }
    const zeros = padded(bytes.length) - bytes.length;
    if (zeros > 0) writeSync(file, new Uint8Array(zeros));
  };
  try {
    put(head.bytes);
    for (const { data, type } of tensors) put(encode(data, type));
  } finally {
    closeSync(file);
  }
}
