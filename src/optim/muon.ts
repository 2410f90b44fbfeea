/**
 * Muon: the momentum of a matrix, made orthogonal; what is no matrix takes AdamW's steps.
 *
 * Jordan and others: "Muon: an optimizer for hidden layers in neural networks", 2024; the scale of a step as there
 * ("original") or as in Liu and others: "Muon is scalable for LLM training", 2025 ("match_rms_adamw"), under which AdamW's
 * learning rate and decay serve. Five Newton–Schulz steps take every singular value of the momentum near 1.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { flag, listOf, number, oneOf, whole } from "../core/kinds.ts";
import { byDefault } from "../core/options.ts";
import { add, div, maximum, mul, sub } from "../ops/elementwise.ts";
import { sqrt, square } from "../ops/functions.ts";
import { matmul } from "../ops/matmul.ts";
import { sum } from "../ops/reduce.ts";
import type { Tensor } from "../ops/tensor.ts";
import { transpose } from "../ops/views.ts";
import { tidy } from "../tensor/mod.ts";
import { type AdamOptions, adamW } from "./adam.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { type Rule, stateBits } from "./rule.ts";

/**
 * Options of {@link Muon}: those of a matrix's step, and AdamW's for the rest.
 *
 * @category Optimizers
 */
export interface MuonOptions extends Omit<AdamOptions, "amsgrad"> {
  /** How much of the momentum stays. Default 0.95. */
  momentum: number;
  /** Look ahead along the momentum. Default true. */
  nesterov: boolean;
  /** Newton–Schulz steps. Default 5. */
  nsSteps: number;
  /** Their three coefficients. Default [3.4445, −4.775, 2.0315]. */
  nsCoefficients: readonly number[];
  /**
   * How large a matrix's step is: lr · √max(1, rows / columns) ("original"), or lr · 0.2 · √max(rows, columns)
   * ("match_rms_adamw"). Default "original".
   */
  adjustLr: "original" | "match_rms_adamw";
  /** Whether matrices of the group take Muon's step; false for embeddings and output layers. Default true. */
  matrices: boolean;
}

/** x [rows, columns] over its norm, with singular values that become about 1; an odd polynomial of x, step after step. */
function orthogonal(
  x: Tensor,
  steps: number,
  [a, b, c]: readonly number[],
): Tensor {
  const [rows, columns] = x.shape;
  if (rows > columns) {
    return tidy(() => transpose(orthogonal(transpose(x, 0, 1), steps, [a, b, c]), 0, 1));
  }
  return tidy(() => {
    let y = div(x, maximum(sqrt(sum(square(x))), 1e-7));
    for (let i = 0; i < steps; i++) {
      const before = y;
      y = tidy(() => {
        const gram = matmul(before, transpose(before, 0, 1));
        const mix = add(mul(gram, b), mul(matmul(gram, gram), c));
        return add(mul(before, a), matmul(mix, before));
      });
    }
    return y;
  });
}

function scaleOf({ adjustLr }: MuonOptions, [rows, columns]: readonly number[]): number {
  return adjustLr === "original"
    ? Math.sqrt(Math.max(1, rows / columns))
    : 0.2 * Math.sqrt(Math.max(rows, columns));
}

const { betas, eps } = adamW.options;
const withAmsgrad = (o: MuonOptions): AdamOptions => ({ ...o, amsgrad: false });

const rule: Rule<MuonOptions> = {
  name: "Muon",
  options: {
    lr: byDefault(1e-3, number({ from: 0 })),
    weightDecay: byDefault(0.1, number({ from: 0 })),
    stateBits: byDefault(32, stateBits),
    betas,
    eps,
    momentum: byDefault(0.95, number({ from: 0, below: 1 })),
    nesterov: byDefault(true, flag),
    nsSteps: byDefault(5, whole(1, 100)),
    nsCoefficients: byDefault([3.4445, -4.775, 2.0315], {
      ...listOf(number(), "a list of three numbers"),
      accepts: (x) => Array.isArray(x) && x.length === 3 && x.every((v) => Number.isFinite(v)),
    }),
    adjustLr: byDefault("original" as const, oneOf("original", "match_rms_adamw")),
    matrices: byDefault(true, flag),
  },
  state: (o) => adamW.state(withAmsgrad(o)),
  squares: adamW.squares!,
  initial: () => 0,
  form: (o) => adamW.form(withAmsgrad(o)),
  update: (o) => adamW.update(withAmsgrad(o)),
  scalars: (o, step) => adamW.scalars(withAmsgrad(o), step),
  byOperations: {
    takes: (p, { matrices }) => matrices && p.shape.length === 2,
    state: ({ shape }) => ({ momentumBuffer: shape }),
    scalars: ({ lr, weightDecay }) => [1 - lr * weightDecay, lr],
    update(p, g, { momentumBuffer: buffer }, [keep, lr], options) {
      const { momentum, nesterov, nsSteps, nsCoefficients } = options;
      const next = add(mul(buffer, momentum), mul(g, 1 - momentum));
      const direction = nesterov ? add(mul(g, 1 - momentum), mul(next, momentum)) : next;
      const step = mul(orthogonal(direction, nsSteps, nsCoefficients), scaleOf(options, p.shape));
      return [sub(mul(p, keep), mul(step, lr)), { momentumBuffer: next }];
    },
  },
};

/**
 * Matrices: p · (1 − lr · weightDecay) − lr · scale · orthogonal(momentum). All else: AdamW.
 *
 * @category Optimizers
 */
export class Muon extends Optimizer<MuonOptions> {
  /**
   * lr 1e-3 and weightDecay 0.1 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<MuonOptions>, options: Partial<MuonOptions> = {}) {
    demandNoMore(arguments, 2, "Muon");
    super(rule, params, options);
  }
}
