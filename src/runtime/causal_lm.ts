/**
 * Any causal language model, by what its files say of it.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { ModelSizes } from "../models/family.ts";
import type { CausalNetwork } from "../models/mod.ts";
import type { LayerOptions } from "../nn/mod.ts";
import type { Openable } from "../platform/platform.ts";
import { readGgufAdapter } from "./gguf_adapter.ts";
import { fromConfig, fromSizes, loadAny } from "./load_any.ts";
import type { LoadOptions } from "./load_options.ts";
import type { GivenFiles } from "./model_folder.ts";
import { TextModel } from "./text_model.ts";

/**
 * A language model of any family: LLaMA, Mistral, Qwen, Gemma, Phi, GPT-NeoX, GPT-2 … What it can do is in {@link TextModel}.
 *
 * ```ts
 * const model = await CausalLM.load("web/models/shakespeare");
 * console.log(model.family, await model.complete("Once upon a time", { maxNewTokens: 50 }));
 * ```
 *
 * @category Models
 */
export class CausalLM<N extends CausalNetwork = CausalNetwork> extends TextModel<N> {
  /** Every model of this library is one, whatever class made it. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.isPrototypeOf.call(TextModel.prototype, value as object);
  }

  /**
   * Reads an adapter in a GGUF.
   * @internal
   */
  override get openGguf(): TextModel["openGguf"] {
    return readGgufAdapter;
  }

  /**
   * Reads a model: a folder (in a page its address, "/model/"), a URL of one, a hub repository, or files at hand, with
   * `config.json` and `model.safetensors` or its shards; or a GGUF: its path or URL (that end with ".gguf"), a Blob or its bytes,
   * or a folder that holds one and no config.json. `model_type` in config.json, or `general.architecture` in a GGUF, says which
   * family it is.
   *
   * @throws {FormatError} for a family that is not known, a setting of it that is not honoured, and files that are not what they
   * say, naming what is missing, unexpected and misshapen.
   * @throws {CancelledError} when `signal` was aborted.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  static async load(
    where: string | URL | GivenFiles | Openable,
    options: LoadOptions<Readonly<Record<string, unknown>>> = {},
  ): Promise<CausalLM> {
    demandNoMore(arguments, 2, "load");
    return await loadAny(CausalLM, where, options);
  }

  /**
   * A model with fresh weights, seeded by `manualSeed`, in training mode. `config` is what a `config.json` would say, with
   * `model_type`.
   *
   * @example
   * ```ts
   * const model = await CausalLM.fromConfig({
   *   model_type: "llama",
   *   vocab_size: 512,
   *   max_position_embeddings: 256,
   *   hidden_size: 64,
   *   intermediate_size: 172,
   *   num_hidden_layers: 2,
   *   num_attention_heads: 4,
   * });
   * console.log(model.numParameters());
   * ```
   *
   * @throws {FormatError} for a family that is not known, and for a field that is not honoured.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  static async fromConfig(
    config: Readonly<Record<string, unknown>>,
    options: LayerOptions = {},
  ): Promise<CausalLM> {
    demandNoMore(arguments, 2, "fromConfig");
    return await Promise.resolve().then(() => fromConfig(CausalLM, config, options));
  }

  /**
   * A model of a family with fresh weights by its sizes alone, all else being as the family has it.
   *
   * @example
   * ```ts
   * const sizes = { vocabSize: 512, contextLength: 128, width: 64, layers: 2, heads: 4 };
   * const model = await CausalLM.fromSizes("qwen3", sizes, { dropout: 0.1 });
   * console.log(model.family, model.numParameters());
   * ```
   *
   * @throws {FormatError} for a family that is not known, and sizes that do not go together.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  static async fromSizes(
    family: string,
    sizes: ModelSizes,
    options: LayerOptions & { dropout?: number } = {},
  ): Promise<CausalLM> {
    demandNoMore(arguments, 3, "fromSizes");
    return await Promise.resolve().then(() => fromSizes(CausalLM, family, sizes, options));
  }
}
