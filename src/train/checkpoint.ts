/**
 * What a checkpoint holds, and its way to files and back: tensors as safetensors, the rest as JSON.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { type DType, isDType } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import type { FileSystem } from "../core/file_system.ts";
import { demandObject, parseJson } from "../core/json.ts";
import { planSafetensors, readSafetensors, type TensorToSave } from "../files/mod.ts";
import { empty, type Tensor } from "../ops/mod.ts";

/**
 * Named tensors.
 *
 * @category Training
 */
export type Tensors = Record<string, Tensor>;

/**
 * A state to be saved.
 *
 * @category Training
 */
export interface Checkpoint {
  /** Steps done. */
  step: number;
  /** How good it is, lower being better: the held-out loss, where there is one. Null: not known. */
  loss: number | null;
  /** Tensors, by the name of their file: `{ model: … }` is written as `model.safetensors`. */
  tensors: Record<string, Tensors>;
  /** Everything else, fit for JSON. */
  state: unknown;
}

/**
 * A checkpoint that was read.
 *
 * @category Training
 */
export interface LoadedCheckpoint extends Checkpoint {
  /** Its folder. */
  path: string;
}

/** The file with everything that is no tensor; it also names the files of tensors. */
export const stateFile = "state.json";

/** Nothing is in it but numbers and names. */
const longestState = 1 << 25;

interface StateFile {
  version: 1;
  step: number;
  loss: number | null;
  tensors: string[];
  state: unknown;
}

/** Writes the files of a checkpoint into the folder `path`, the state last. */
export async function writeCheckpoint(
  files: FileSystem,
  path: string,
  checkpoint: Checkpoint,
): Promise<void> {
  for (const [name, tensors] of Object.entries(checkpoint.tensors)) {
    const list = Object.entries(tensors).map(([name, t]) => ({
      name,
      // Blocks of a GGUF are never trained.
      dtype: t.dtype as TensorToSave["dtype"],
      shape: t.shape,
      bytes: async (): Promise<Uint8Array> => {
        const data = await t.data();
        return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      },
    }));
    // transformers asks for this note in the files it reads.
    const planned = planSafetensors(list, { fileName: `${name}.safetensors`, metadata: { format: "pt" } });
    for (const file of planned.files) await files.writeFileAtomic(`${path}/${file.name}`, file.chunks());
  }
  const { step, loss, tensors, state } = checkpoint;
  const content: StateFile = { version: 1, step, loss, tensors: Object.keys(tensors), state };
  await files.writeFileAtomic(`${path}/${stateFile}`, `${JSON.stringify(content, null, 2)}\n`);
}

/**
 * The state file of the checkpoint in `path`.
 * @throws {FormatError} when it is not one.
 */
export async function readState(files: FileSystem, path: string): Promise<StateFile> {
  const where = `${path}/${stateFile}`, source = await files.openFile(where);
  let text: string;
  try {
    if (source.size > longestState) throw new FormatError(`${where} is longer than ${longestState} bytes`);
    text = new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
  let content: Partial<StateFile>;
  try {
    content = demandObject(parseJson(text, where, { values: 1_000_000 }), where);
  } catch (cause) {
    throw new FormatError(`${(cause as Error).message}; remove this checkpoint to continue from another`, {
      cause,
    });
  }
  const known = content.version === 1 && Number.isSafeInteger(content.step) && content.step! >= 0 &&
    Array.isArray(content.tensors) &&
    content.tensors.every((name) => typeof name === "string" && /^[\w-]{1,100}$/.test(name)) &&
    (content.loss === null || typeof content.loss === "number");
  if (!known) throw new FormatError(`${where} is not the state of a checkpoint of version 1`);
  return content as StateFile;
}

/** Reads the checkpoint in the folder `path`; its tensors go to `device`. */
export async function readCheckpoint(
  files: FileSystem,
  path: string,
  device?: DeviceName,
): Promise<LoadedCheckpoint> {
  const { step, loss, tensors: names, state } = await readState(files, path);
  const tensors: Record<string, Tensors> = {};
  for (const name of names) tensors[name] = await readTensors(files, `${path}/${name}.safetensors`, device);
  return { path, step, loss, tensors, state };
}

async function readTensors(files: FileSystem, path: string, device?: DeviceName): Promise<Tensors> {
  const file = await readSafetensors(await files.openFile(path));
  try {
    const result: Tensors = {};
    for (const name of file.names) {
      const view = file.view(name), dtype = view.dtype;
      if (!isDType(dtype)) {
        throw new FormatError(`${path}: tensor ${name} holds ${dtype}, which no checkpoint has`);
      }
      result[name] = load(await view.read(dtype), view.shape, dtype, device);
    }
    return result;
  } finally {
    await file.close();
  }
}

function load(bytes: Uint8Array, shape: readonly number[], dtype: DType, device?: DeviceName): Tensor {
  const t = empty(shape, { dtype, ...(device ? { device } : {}) });
  if (bytes.byteLength) t.backend.upload(t.buffer, 0, bytes);
  return t;
}

/** Gives the memory of a checkpoint's tensors back. */
export function disposeCheckpoint(checkpoint: Checkpoint): void {
  for (const tensors of Object.values(checkpoint.tensors)) {
    for (const t of Object.values(tensors)) t.dispose();
  }
}
