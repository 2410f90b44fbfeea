/**
 * What a GPT-2 remembers of a text.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { checkOptions } from "../../core/options.ts";
import type { LayerOptions } from "../../nn/mod.ts";
import { demandSizes, layerOptions } from "../../nn/options.ts";
import { CausalCache } from "../cache.ts";
import { type GPT2Config, gpt2Config } from "./config.ts";

/**
 * Keys and values of all blocks, and the text they belong to.
 *
 * @category Models
 */
export class GPT2Cache extends CausalCache {
  /**
   * Memory for `capacity` positions of `batch` sequences.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype of which keys and values are not kept.
   * @throws {ShapeError} for sizes that are no whole numbers from 0.
   */
  constructor(config: GPT2Config, batch: number, capacity: number, options: LayerOptions = {}) {
    demandNoMore(arguments, 4, "GPT2Cache");
    const { nEmbd, nHead, nLayer } = gpt2Config(config);
    checkOptions("GPT2Cache", options, layerOptions);
    demandSizes("GPT2Cache", { batch, capacity });
    super({ layers: nLayer, heads: nHead, width: nEmbd / nHead }, batch, capacity, options);
  }
}
