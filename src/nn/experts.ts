/**
 * A sparse mixture of experts (Shazeer et al. 2017; Jiang et al. 2024, "Mixtral of Experts"): each position goes through the few of
 * many gated MLPs that a router chooses for it.
 *
 *     p = softmax(gate · x);    y = Σ p[e] · expert[e](x) over the k largest p, whose sum is made 1 where the family does so
 *
 * What a position gets is added in the order of experts, whatever it is computed with: one position by the matrices that it chose,
 * many by one product for each expert. Where gradients are wanted all experts see all positions, and count where they were chosen.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import {
  add,
  div,
  empty,
  eq,
  expand,
  gather,
  linear,
  mul,
  reshape,
  slice,
  softmax,
  sort,
  sum,
  type Tensor,
  toDType,
  topk,
  unsqueeze,
  where,
} from "../ops/mod.ts";
import { expertLinear } from "../ops/experts.ts";
import { autocastDType, isRecording, noGrad, tidy } from "../tensor/mod.ts";
import { type LayerOptions, Linear } from "./layers.ts";
import { lookedUp } from "./matrices.ts";
import { Module, parameter } from "./module.ts";
import { matrixDType } from "./quantized.ts";

/** How large a mixture is, and how it is routed. */
export interface ExpertSizes {
  /** Width of what goes in and comes out. */
  readonly width: number;
  /** Width inside of an expert. */
  readonly inner: number;
  /** Experts. */
  readonly experts: number;
  /** How many of them each position goes through. */
  readonly active: number;
  /** Whether the probabilities of those are made to sum to 1. */
  readonly normalised: boolean;
  /** What bends values. */
  readonly activation: (x: Tensor) => Tensor;
}

/** The matrices of all experts, one below the other. */
export class StackedExperts extends Module {
  /** [experts · inner, width]: what is bent. */
  gate_proj: Tensor;
  /** [experts · inner, width]: what it is multiplied with. */
  up_proj: Tensor;
  /** [experts · width, inner]: back to the width. */
  down_proj: Tensor;
  /** How many experts. */
  readonly count: number;

  /** Undefined contents. */
  constructor({ experts, inner, width }: ExpertSizes, options: LayerOptions) {
    super();
    this.count = experts;
    const stacked = (rows: number, columns: number): Tensor =>
      parameter(
        empty([experts * rows, columns], { ...options, dtype: matrixDType(options.dtype ?? "f32", columns) }),
      );
    this.gate_proj = stacked(inner, width);
    this.up_proj = stacked(inner, width);
    this.down_proj = stacked(width, inner);
  }

  /** What each row of x [rows, in] is by `matrix` of the expert that it chose, `index` i32 [rows]. */
  product(matrix: "gate_proj" | "up_proj" | "down_proj", x: Tensor, index: Tensor): Tensor {
    return expertLinear(x, this[matrix], index, this.count);
  }
}

/** Router and experts. */
export class SparseExperts extends Module {
  /** The router, [experts, width]. */
  gate: Linear;
  /** The experts. */
  experts: StackedExperts;
  readonly #sizes: ExpertSizes;

  /** Sizes as given. */
  constructor(sizes: ExpertSizes, options: LayerOptions) {
    super();
    const { dtype = "f32" } = options;
    // In blocks, it would choose others.
    const place = isQuantized(dtype) ? { ...options, dtype: "f32" as const } : options;
    this.gate = lookedUp(new Linear(sizes.width, sizes.experts, { ...place, bias: false }));
    this.experts = new StackedExperts(sizes, options);
    this.#sizes = sizes;
  }

  /** x [.., width] → the same shape. */
  forward(x: Tensor): Tensor {
    const { width, active, normalised } = this.#sizes;
    return tidy(() => {
      const flat = reshape(x, [-1, width]);
      const odds = softmax(toDType(this.gate.forward(flat), "f32"), -1); // [positions, experts]
      const best = noGrad(() => sort(topk(odds, active).indices, -1).values); // [positions, active], ascending
      const own = gather(odds, 1, best), share = normalised ? div(own, sum(own, -1, true)) : own;
      const mixed = isRecording() ? this.#all(flat, best, share) : this.#chosen(flat, best, share);
      return reshape(mixed, x.shape);
    });
  }

  /** Those that were chosen, one after the other. */
  #chosen(flat: Tensor, best: Tensor, share: Tensor): Tensor {
    const { width, active, activation } = this.#sizes, { experts } = this;
    const count = flat.shape[0], rows = count * active;
    const given = lowered(reshape(expand(unsqueeze(flat, 1), [count, active, width]), [rows, width]));
    const index = reshape(best, [rows]);
    const bent = mul(
      activation(experts.product("gate_proj", given, index)),
      experts.product("up_proj", given, index),
    );
    const made = reshape(experts.product("down_proj", bent, index), [count, active, width]);
    let out: Tensor | null = null;
    for (let i = 0; i < active; i++) {
      const part = mul(slice(made, null, i), toDType(slice(share, null, [i, i + 1]), made.dtype));
      out = out ? add(out, part) : part;
    }
    return out!;
  }

  /** All of them, each times 0 where it was not chosen. */
  #all(flat: Tensor, best: Tensor, share: Tensor): Tensor {
    const { width, inner, experts, activation } = this.#sizes,
      { gate_proj, up_proj, down_proj } = this.experts;
    const given = lowered(flat);
    let out: Tensor | null = null;
    for (let expert = 0; expert < experts; expert++) {
      const by = (x: Tensor, weight: Tensor, rows: number): Tensor =>
        linear(x, slice(weight, [expert * rows, (expert + 1) * rows]));
      const bent = mul(activation(by(given, gate_proj, inner)), by(given, up_proj, inner));
      const weight = sum(where(eq(best, expert), share, 0), -1, true);
      const made = by(bent, down_proj, width), part = mul(made, toDType(weight, made.dtype));
      out = out ? add(out, part) : part;
    }
    return out!;
  }
}

/** What is multiplied in fewer bits where activations are of fewer. */
function lowered(x: Tensor): Tensor {
  const dtype = autocastDType();
  return dtype === "f32" || x.dtype !== "f32" ? x : toDType(x, dtype);
}
