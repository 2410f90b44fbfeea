/**
 * A GPT-2 124M of seeded random weights, made on the spot in a temporary folder: as this library's model folder, and, when a
 * rival wants them, as ONNX and GGUF files.
 *
 * @module
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type DType, GPT2, manualSeed, noGrad, openSafetensors } from "../mod.ts";
import { type GgufType, writeGguf } from "./rivals/gguf.ts";
import { type Weight, writeGpt2Model } from "./rivals/onnx_model.ts";

/** Multiplications and additions of one token's forward pass, positions not counted: 2 for each weight of a matrix. */
export const forwardOperations: number = 2 * (12 * 12 * 768 * 768);
/** The same of the output layer, which a prefill needs once. */
export const headOperations: number = 2 * 50257 * 768;

let folder: string | null = null;

/** The model's folder. */
export async function gpt2Folder(): Promise<string> {
  if (folder !== null) return folder;
  folder = mkdtempSync(join(tmpdir(), "ferrotype-bench-"));
  const made = folder;
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  manualSeed(1);
  const model = noGrad(() => new GPT2({ eosTokenId: null }));
  await model.save(folder);
  model.dispose();
  return folder;
}

/** The model with matrices in this dtype, or why there is none. */
export async function loadGpt2(dtype: DType): Promise<GPT2 | string> {
  try {
    return await GPT2.load(await gpt2Folder(), { dtype });
  } catch (error) {
    return (error as Error).message;
  }
}

async function weights(): Promise<Weight[]> {
  const file = await openSafetensors(join(await gpt2Folder(), "model.safetensors"));
  try {
    const list: Weight[] = [];
    for (const name of file.names) {
      const { shape } = file.info(name), tensor = await file.tensor(name);
      const data = new Float32Array(await tensor.data() as Float32Array);
      tensor.dispose();
      list.push({ name: name.replace(/^transformer\./, ""), shape: [...shape], data });
    }
    return list.filter(({ name }) => /^(wte|wpe|ln_f|h\.\d+\.(ln_|attn\.c_|mlp))/.test(name));
  } finally {
    await file.close();
  }
}

/** The model as an ONNX file. */
export async function gpt2Onnx(): Promise<string> {
  const path = join(await gpt2Folder(), "model.onnx");
  if (!existsSync(path)) writeGpt2Model(path, await weights(), 12, 12);
  return path;
}

/** The model as a GGUF file. */
export async function gpt2Gguf(type: GgufType): Promise<string> {
  const path = join(await gpt2Folder(), `${type}.gguf`);
  if (!existsSync(path)) writeGguf(path, await weights(), 12, 12, type);
  return path;
}
