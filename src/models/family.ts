/**
 * What a family of models tells of itself: how its files say what it is, and its network. Loading, saving and choosing a device
 * know nothing else of it.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";
import type { LayerOptions } from "../nn/mod.ts";
import type { ExpectedTensors } from "./checkpoint.ts";
import type { CausalNetwork } from "./network.ts";

/** The tokens a text begins with and ends at. */
export interface TextEnds {
  /** The token that a text begins with. */
  readonly bos: number | null;
  /** The token, or the tokens, that end one. */
  readonly eos: number | readonly number[] | null;
}

/**
 * Sizes of a model with fresh weights, whatever its family.
 *
 * @category Models
 */
export interface ModelSizes {
  /** Tokens. */
  vocabSize: number;
  /** The longest sequence. */
  contextLength: number;
  /** Width. */
  width: number;
  /** Layers. */
  layers: number;
  /** Attention heads. */
  heads: number;
  /** Heads of keys and values, in families that may have fewer of them. Default: as many as heads. */
  kvHeads?: number;
  /** Inner width of the MLP. Default: as the family has it. */
  innerWidth?: number;
  /** The token that begins and ends a text. Default: none. */
  endTokenId?: number;
}

/** A family of models; `C` is its configuration, `N` its network. */
export interface Family<C = unknown, N extends CausalNetwork = CausalNetwork> {
  /** Its name, as `model_type` of `config.json` has it. */
  readonly type: string;
  /** Its name in messages. */
  readonly title: string;
  /** The `model_type` of a model of texts and images whose language model this is. */
  readonly outer?: string;
  /**
   * Reads the value of a config.json, with `changes` (in camelCase) in place of what it says. `warn` hears of fields that are
   * nearly others; default: `console.warn`.
   * @throws {FormatError} for a field that is malformed, or not honoured.
   */
  parse(
    json: unknown,
    where: string,
    changes?: Readonly<Record<string, unknown>>,
    warn?: (message: string) => void,
  ): C;
  /** What a config.json says for these sizes, all else being the family's own. */
  sized(sizes: ModelSizes): Record<string, unknown>;
  /** Changes for {@link parse} that set every dropout that the family has. */
  dropout(probability: number): Readonly<Record<string, unknown>>;
  /** The value to write as config.json, for weights held as `dtype`. */
  json(config: C, dtype: DType): Record<string, unknown>;
  /** Where the model's own defaults for generation stand when there is no generation_config.json. */
  generation(config: C): Readonly<Record<string, unknown>>;
  /** The tokens a text begins with and ends at. */
  ends(config: C): TextEnds;
  /** Tokens, to know what fits before the network is made. */
  vocabSize(config: C): number;
  /** The network's parameters, told without making it. */
  expected(config: C): ExpectedTensors;
  /** The parameter that a checkpoint calls `name`, or null for what is no parameter of a network so configured. */
  parameterName(name: string, config: C): string | null;
  /** What a checkpoint calls the parameter `name`. */
  checkpointName(name: string, config: C): string;
  /** The parameters of parts, by their names here, that files have of one parameter, row below row; null where it is one. */
  pieces?(parameter: string, config: C): readonly string[] | null;
  /** What transformers calls the module at `path` of a whole model, as the files of adapters do. */
  modulePath(path: string): string;
  /** The network, with fresh weights. */
  network(config: C, options?: LayerOptions): N;
  /** The layers from `from` to before `to` as a model of their own; null where what they compute depends on how many come before. */
  part(config: C, from: number, to: number): C | null;
  /** Whether the output layer is the embeddings. */
  isTied(config: C): boolean;
  /** The same kind of model with so many layers and tokens, to try a device with; and how many layers it has itself. */
  trial(
    config: C,
  ): { readonly layers: number; readonly width: number; small(layers: number, tokens: number): C };
}
