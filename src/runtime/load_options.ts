/**
 * What loading and saving a model may be asked for.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import * as kinds from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";
import { hubOptions } from "../hub/options.ts";
import type { Distributed } from "../distributed/distributed.ts";
import type { GPT2Config } from "../models/mod.ts";
import type { FolderOptions } from "./model_folder.ts";

const { onDownload: _, ...folderOptions } = hubOptions;
const matrixDType = kinds.oneOf("f64", "f32", "f16", "bf16", "q8", "q4");

/**
 * How far loading has come.
 *
 * @category Models
 */
export interface LoadProgress {
  /** "download" while a file of a repository is fetched, "read" while weights are read. */
  phase: "download" | "read";
  /** The file that is downloaded. */
  file?: string;
  /** Bytes of the file that are here, or bytes of weights read. */
  loaded: number;
  /** Bytes of the file (0 while the server does not say), or bytes of weights in all. */
  total: number;
}

/**
 * Options of `GPT2.load` and `CausalLM.load`.
 *
 * @category Models
 */
export interface LoadOptions<C extends object = Partial<GPT2Config>>
  extends Omit<FolderOptions, "onDownload"> {
  /**
   * What matrices are held as; vectors stay f32. Default: the dtype in the file. With "q8" or "q4" the blocks' matrices
   * and the token embeddings are quantised while they are read (position embeddings stay f32, as does a matrix whose sums
   * do not run over a multiple of 32), and the model is for inference: its parameters gather no gradients.
   */
  dtype?: DType;
  /**
   * Default: the default device. "webgpu" is made ready; "auto" is the faster of "cpu" and "webgpu" by a short trial with
   * the model's shapes (`chooseDevice`), and `deviceChoice` of the model says why.
   */
  device?: DeviceName | "auto";
  /** Values in place of those of `config.json`, such as other dropouts to train with. */
  config?: C;
  /** In place of every dropout that the family has, to train with. Default: those of `config.json`. */
  dropout?: number;
  /**
   * Splits the layers over the ranks of `distributed`, which all load the model and generate with it alike: each reads and holds its own
   * alone, on the cpu. For a folder of safetensors. Default: every rank has the whole model.
   */
  distributed?: Distributed;
  /** Hears of progress. */
  onProgress?: (progress: LoadProgress) => void;
  /** Hears of what can hardly be meant, such as a tokenizer of another model. Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

/** {@link LoadOptions} as data. */
export const loadOptions: OptionTable<LoadOptions> = {
  ...folderOptions,
  dtype: matrixDType,
  device: kinds.oneOf("cpu", "webgpu", "reference", "auto"),
  config: kinds.called("an object with values of config.json, in camelCase", kinds.object),
  dropout: kinds.number({ from: 0, below: 1 }),
  distributed: kinds.like("the ranks: distributed, after await distributed.init()", "allReduce", "part"),
  onProgress: kinds.callback,
  onWarning: kinds.callback,
};

/**
 * Options of `save` and `files` of a model.
 *
 * @category Models
 */
export interface SaveOptions {
  /** What matrices are stored as. Default: what they are held as. */
  dtype?: DType;
  /** Largest file of weights in bytes; more become shards. Default: one file. */
  shardSize?: number;
  /** Hears which matrices have no whole blocks and so stay f32 under "q8" and "q4". Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

/** {@link SaveOptions} as data. */
export const saveOptions: OptionTable<SaveOptions> = {
  dtype: matrixDType,
  shardSize: kinds.number({ above: 0 }),
  onWarning: kinds.callback,
};
