/**
 * What decoders are made of, said once for all families: each family reads its `config.json` into this.
 *
 * @module
 */
import type { Shape } from "../../core/shape.ts";
import type { RotaryOptions } from "../../nn/rotary.ts";
import type { DecoderActivation } from "../activations.ts";

/**
 * One layer of a decoder.
 *
 * @category Models
 */
export interface DecoderLayerConfig {
  /** How many positions back it looks, itself included; null: all of them. */
  readonly window: number | null;
  /** Its angles, or null where positions are not told (NoPE). Layers with the same object share their tables. */
  readonly rotary: RotaryOptions | null;
  /** Whether experts stand in place of its MLP. */
  readonly sparse?: boolean;
  /** Sizes of the states, beside the batch, that it has in place of keys and values; none where it attends. */
  readonly states?: readonly Shape[];
}

/**
 * Experts of a decoder.
 *
 * @category Models
 */
export interface ExpertsConfig {
  /** How many there are. */
  readonly count: number;
  /** How many of them each position goes through. */
  readonly active: number;
  /** Width inside of each. */
  readonly inner: number;
  /** Whether the probabilities of those that are chosen are made to sum to 1. */
  readonly normalised: boolean;
  /** Width inside of one that all positions go through; null: there is none. */
  readonly shared: number | null;
}

/**
 * A decoder, whatever its family: what `config` of a {@link CausalLM} says, but of a GPT-2's.
 *
 * @category Models
 */
export interface DecoderConfig {
  /** The family's name, as `model_type` has it. */
  readonly family: string;
  /** The config.json that says all this, as it was read. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The token a text begins with. */
  readonly bosTokenId: number | null;
  /** The token(s) that end a text. */
  readonly eosTokenId: number | readonly number[] | null;
  /** Tokens. */
  readonly vocabSize: number;
  /** The longest sequence. */
  readonly maxPositions: number;
  /** Width. */
  readonly hiddenSize: number;
  /** Width inside the MLP. */
  readonly intermediateSize: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads, which divide the query heads (Ainslie et al. 2023). */
  readonly kvHeads: number;
  /** Width of a head. */
  readonly headDim: number;
  /** The layers, first to last. */
  readonly layers: readonly DecoderLayerConfig[];
  /** Added to the mean square (or the variance) in norms. */
  readonly normEps: number;
  /** Whether norms store w and use 1 + w (Gemma). */
  readonly normUnitOffset: boolean;
  /** Where norms stand: before attention and MLP, behind them, or both. */
  readonly normPlacement: "pre" | "post" | "both";
  /** Norms of queries and keys: each head by itself, all heads together, or none. */
  readonly qkNorm: "head" | "width" | null;
  /** Whether query, key and value have biases. */
  readonly qkvBias: boolean;
  /** Whether attention's output has a bias. */
  readonly outputBias: boolean;
  /** Whether the MLP's layers have biases. */
  readonly mlpBias: boolean;
  /** Whether query, key and value are one matrix, and gate and up another (Phi-3). */
  readonly fused: boolean;
  /** What scores are multiplied by. */
  readonly attentionScale: number;
  /** Scores are kept within ± this by a tanh (Gemma 2); null: not. */
  readonly attentionSoftcap: number | null;
  /** Logits likewise. */
  readonly logitSoftcap: number | null;
  /** The MLP's activation. */
  readonly activation: DecoderActivation;
  /** The experts of layers that have some; none in most families. */
  readonly experts?: ExpertsConfig | null;
  /** What embeddings are multiplied by. */
  readonly embeddingScale: number;
  /** What each branch is multiplied by before it is added (Granite). */
  readonly residualScale: number;
  /** What logits are multiplied by. */
  readonly logitScale: number;
  /** Whether the output layer is the embedding transposed. */
  readonly tied: boolean;
  /** Dropout of attention's probabilities while training. */
  readonly attentionDropout: number;
  /** Deviation of fresh weights. */
  readonly initializerRange: number;
}
