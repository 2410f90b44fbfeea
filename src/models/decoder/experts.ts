/**
 * Mixtures of experts in decoders: what a configuration says of them, their network, their parameters, and what files call these.
 *
 * The network has the matrices of all experts in one parameter, so that those that are chosen can be picked; files of Hugging Face have a
 * tensor for each.
 *
 * @module
 */
import { type LayerOptions, Linear } from "../../nn/mod.ts";
import { SparseExperts } from "../../nn/experts.ts";
import { add, mul, sigmoid, type Tensor } from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import { activations } from "../activations.ts";
import type { Shapes } from "../checkpoint.ts";
import type { DecoderConfig, ExpertsConfig } from "./config.ts";
import type { ModelSizes } from "../family.ts";
import type { ConfigFields } from "./fields.ts";
import type { GatedMLP } from "./model.ts";

/** Experts that a layer may have. Beyond, a slip of the hand. */
const mostExperts = 4096;

/** What fields are called, and what they are where they are not said. */
export interface ExpertFields {
  /** How many there are. */
  readonly count: readonly [name: string, fallback?: number];
  /** How many of them each position goes through. */
  readonly active?: number;
  /** Width inside of an expert. */
  readonly inner: readonly [name: string, fallback?: number];
  /** Whether probabilities are made to sum to 1; null: always. */
  readonly normalised: boolean | null;
  /** Width inside of an expert that all go through; none where it is left out. */
  readonly shared?: readonly [name: string, fallback?: number];
}

/** Reads the fields of experts. */
export function expertsOf(c: ConfigFields, fields: ExpertFields): ExpertsConfig {
  const { count: [name, fallback], inner, normalised, shared } = fields;
  // transformers takes either name for the other, and 5 writes either.
  const other = name === "num_experts" ? "num_local_experts" : "num_experts";
  const count = c.size(name, c.raw(other) === undefined ? fallback : c.size(other));
  if (count > mostExperts) c.fail(name, `at most ${mostExperts}`);
  const active = c.size("num_experts_per_tok", fields.active);
  if (active > count) c.fail("num_experts_per_tok", `at most the ${count} ${name}`, active);
  // The losses of the router are for training alone, and are not computed.
  c.only({ output_router_logits: false });
  c.raw("router_aux_loss_coef");
  return {
    count,
    active,
    inner: c.size(...inner),
    normalised: normalised === null || c.flag("norm_topk_prob", normalised),
    shared: shared ? c.size(...shared) : null,
  };
}

/** Which layers have experts, where not all do: every so many, but for some. */
export function sparseLayers(c: ConfigFields): (layer: number) => boolean {
  const dense = c.raw("mlp_only_layers") ?? [], every = c.size("decoder_sparse_step", 1);
  if (!Array.isArray(dense) || !dense.every((x) => Number.isInteger(x) && x >= 0)) {
    c.fail("mlp_only_layers", "a list of numbers of layers, the first being 0");
  }
  const without = new Set(dense as number[]);
  return (layer) => !without.has(layer) && (layer + 1) % every === 0;
}

/** Experts, and one more that all positions go through. */
export class DecoderExperts extends SparseExperts {
  /** The expert of all, where there is one. */
  shared_expert: GatedMLP | null = null;
  /** How much of it each position gets, [1, width]. */
  shared_expert_gate: Linear | null = null;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, makeShared: (inner: number) => GatedMLP, options: LayerOptions) {
    const { hiddenSize: width, activation, experts } = config;
    const { count, active, inner, normalised, shared } = experts!;
    super(
      { width, inner, experts: count, active, normalised, activation: activations[activation] },
      options,
    );
    if (shared === null) return;
    this.shared_expert = makeShared(shared);
    this.shared_expert_gate = new Linear(width, 1, { ...options, bias: false });
  }

  /** x [.., width] → the same shape. */
  override forward(x: Tensor): Tensor {
    const { shared_expert: shared, shared_expert_gate: gate } = this;
    if (!shared || !gate) return super.forward(x);
    return tidy(() => add(super.forward(x), mul(shared.forward(x), sigmoid(gate.forward(x)))));
  }
}

/** The parameters of experts, by their names in a layer. */
export function expertShapes({ hiddenSize: width, experts }: DecoderConfig): Shapes {
  const { count, inner, shared } = experts!;
  return {
    "mlp.gate.weight": [count, width],
    "mlp.experts.gate_proj": [count * inner, width],
    "mlp.experts.up_proj": [count * inner, width],
    "mlp.experts.down_proj": [count * width, inner],
    ...shared === null ? {} : {
      "mlp.shared_expert.gate_proj.weight": [shared, width],
      "mlp.shared_expert.up_proj.weight": [shared, width],
      "mlp.shared_expert.down_proj.weight": [width, shared],
      "mlp.shared_expert_gate.weight": [1, width],
    },
  };
}

/** What a config.json for fresh weights says of experts, in fields of these names: four small ones, two of them for each position. */
export const sizedExperts =
  (...inner: string[]) => ({ width, innerWidth }: ModelSizes): Record<string, unknown> => ({
    num_experts: 4,
    num_experts_per_tok: 2,
    ...Object.fromEntries(inner.map((name) => [name, innerWidth ?? 32 * Math.ceil(width / 24)])),
  });

const stacked = /^(.*\.mlp\.experts)\.((?:gate|up|down)_proj)$/;

/** What the parts of a parameter are called that has the matrices of all experts; null for another. */
export function expertPieces(parameter: string, experts: ExpertsConfig | null | undefined): string[] | null {
  const [, path, kind] = experts ? stacked.exec(parameter) ?? [] : [];
  return kind === undefined
    ? null
    : Array.from({ length: experts!.count }, (_, expert) => `${path}.${expert}.${kind}.weight`);
}

/** What Mixtral's files call parts of a layer, and what they are called here. */
const mixtral: readonly (readonly [theirs: RegExp, ours: string, back: RegExp, named: string])[] = [
  [/\.block_sparse_moe\.gate\./, ".mlp.gate.", /\.mlp\.gate\./, ".block_sparse_moe.gate."],
  ...([["w1", "gate_proj"], ["w3", "up_proj"], ["w2", "down_proj"]] as const).map(([theirs, ours]) =>
    [
      new RegExp(`\\.block_sparse_moe\\.experts\\.(\\d+)\\.${theirs}\\.`),
      `.mlp.experts.$1.${ours}.`,
      new RegExp(`\\.mlp\\.experts\\.(\\d+)\\.${ours}\\.`),
      `.block_sparse_moe.experts.$1.${theirs}.`,
    ] as const
  ),
];

/** A name of Mixtral's as it is here. */
export const fromMixtral = (name: string): string =>
  mixtral.reduce((name, [theirs, ours]) => name.replace(theirs, ours), name);

/** And back. */
export const toMixtral = (name: string): string =>
  mixtral.reduce((name, [, , back, named]) => name.replace(back, named), name);
