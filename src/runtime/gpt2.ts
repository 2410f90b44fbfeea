/**
 * GPT-2 by its familiar name.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { gpt2Family } from "../models/gpt2/family.ts";
import { type GPT2Config, GPT2Model } from "../models/mod.ts";
import type { Embedding, LayerNorm, LayerOptions, Linear } from "../nn/mod.ts";
import type { GPT2Block, Ids } from "../models/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import { checkLoad, loadFromFolder, openModel } from "./load_model.ts";
import type { LoadOptions } from "./load_options.ts";
import type { GivenFiles } from "./model_folder.ts";
import { TextModel } from "./text_model.ts";

/**
 * A GPT-2 language model. All that it has but its own parts is of {@link TextModel}; `CausalLM.load` reads models of this family too.
 *
 * ```ts
 * const model = await GPT2.load("web/models/shakespeare");
 * for await (const piece of model.generate("ROMEO:", { maxNewTokens: 100, temperature: 0.8 })) console.log(piece);
 * ```
 *
 * `new GPT2(config)` gives fresh weights, in training mode; `GPT2.load` a trained model, in evaluation mode.
 *
 * @category Models
 */
export class GPT2 extends TextModel<GPT2Model> {
  /**
   * A model with fresh weights: normal with deviation `initializerRange`, those that end a residual branch divided by
   * √(2 · layers), biases 0 (the paper's section 2.3). Seeded by `manualSeed`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(config: Partial<GPT2Config> = {}, options: LayerOptions = {}) {
    demandNoMore(arguments, 2, "GPT2");
    super(new GPT2Model(config, options), gpt2Family);
  }

  /** Token embeddings, [vocab, width]. */
  get wte(): Embedding {
    return this.network.wte;
  }

  /** Position embeddings, [positions, width]. */
  get wpe(): Embedding {
    return this.network.wpe;
  }

  /** The blocks. */
  get h(): GPT2Block[] {
    return this.network.h;
  }

  /** The last layer norm. */
  get ln_f(): LayerNorm {
    return this.network.ln_f;
  }

  /** The output layer, when it is not tied to wte. */
  get lm_head(): Linear | null {
    return this.network.lm_head;
  }

  /**
   * Ids as a tensor [batch, time] on the model's device, checked against the vocabulary where they are plain numbers.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  ids(ids: Ids): Tensor {
    demandNoMore(arguments, 1, "ids");
    return this.network.ids(ids);
  }

  /**
   * Reads a Hugging Face GPT-2: a folder (in a page its address, "/model/"), a URL of one, a hub repository, or files at hand
   * (in a page, those of a folder that the visitor chose), with `model.safetensors` or its shards.
   *
   * @throws {FormatError} for files that are not a GPT-2, naming what is missing, unexpected and misshapen.
   * @throws {CancelledError} when `signal` was aborted.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  static async load(where: string | URL | GivenFiles, options: LoadOptions = {}): Promise<GPT2> {
    demandNoMore(arguments, 2, "load");
    const given = checkLoad("GPT2.load", options);
    if ((given.distributed?.size ?? 1) > 1) {
      throw new OptionError("GPT2.load: distributed splits what CausalLM.load makes; load it with that");
    }
    return await loadFromFolder(
      await openModel(where, given),
      gpt2Family,
      given,
      (config, place) => new GPT2(config, place),
    );
  }
}
