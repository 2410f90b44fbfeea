/**
 * The optimizers of `ferrotype train`: one row each, from which options, defaults and help follow.
 *
 * @module
 */
import { type CausalLM, optim, type Tensor } from "../mod.ts";

/** What a row is given. */
export interface Chosen {
  lr: number;
  momentum: number;
  beta2: number;
  /** Bits of what is remembered. */
  stateBits: 8 | 32;
}

/** Parameters by what a step does with them. */
interface Group {
  params: Tensor[];
  weightDecay: number;
  /** Whether they are rows of a table or of the output layer, which are looked up or compared one by one. */
  isTable: boolean;
}

/** One optimizer. */
interface Row {
  /** The learning rate to begin with. */
  readonly lr: number;
  /** How strongly matrices decay. */
  readonly weightDecay: number;
  /** How much of the momentum stays, where that can be said. */
  readonly momentum?: number;
  /** The second beta, where there is one. */
  readonly beta2?: number;
  /** Makes it. */
  make(groups: Group[], chosen: Chosen): optim.Optimizer;
}

const plain = (groups: Group[]): { params: Tensor[]; weightDecay: number }[] =>
  groups.map(({ params, weightDecay }) => ({ params, weightDecay }));

const rows = {
  sgd: {
    lr: 0.1,
    weightDecay: 0,
    momentum: 0.9,
    make: (groups, { stateBits, lr, momentum }) =>
      new optim.SGD(plain(groups), { stateBits, lr, momentum }) as never,
  },
  rmsprop: {
    lr: 1e-3,
    weightDecay: 0,
    momentum: 0,
    make: (groups, { stateBits, lr, momentum }) =>
      new optim.RMSprop(plain(groups), { stateBits, lr, momentum }) as never,
  },
  adagrad: {
    lr: 1e-2,
    weightDecay: 0,
    make: (groups, { stateBits, lr }) => new optim.Adagrad(plain(groups), { stateBits, lr }) as never,
  },
  adam: {
    lr: 1e-3,
    weightDecay: 0,
    beta2: 0.99,
    make: (groups, { stateBits, lr, beta2 }) =>
      new optim.Adam(plain(groups), { stateBits, lr, betas: [0.9, beta2] }) as never,
  },
  adamw: {
    lr: 1e-3,
    weightDecay: 0.1,
    beta2: 0.99,
    make: (groups, { stateBits, lr, beta2 }) =>
      new optim.AdamW(plain(groups), { stateBits, lr, betas: [0.9, beta2] }) as never,
  },
  lion: {
    lr: 1e-4,
    weightDecay: 1,
    beta2: 0.99,
    make: (groups, { stateBits, lr, beta2 }) =>
      new optim.Lion(plain(groups), { stateBits, lr, betas: [0.9, beta2] }) as never,
  },
  muon: {
    lr: 1e-3,
    weightDecay: 0.1,
    momentum: 0.95,
    beta2: 0.99,
    make: (groups, { stateBits, lr, momentum, beta2 }) =>
      new optim.Muon(
        groups.map(({ params, weightDecay, isTable }) => ({ params, weightDecay, matrices: !isTable })),
        { stateBits, lr, momentum, betas: [0.9, beta2], adjustLr: "match_rms_adamw" },
      ) as never,
  },
  adafactor: {
    lr: 1e-2,
    weightDecay: 0,
    make: (groups, { lr }) => new optim.Adafactor(plain(groups), { lr }) as never,
  },
} as const satisfies Record<string, Row>;

/** The optimizers by name. */
export const optimizers: Readonly<Record<string, Row>> = rows;

/** The names of those that have a setting, for help and messages. */
export const optimizersWith = (setting: "momentum" | "beta2"): string[] =>
  Object.entries(optimizers).filter(([, row]) => row[setting] !== undefined).map(([name]) => name);

/** The optimizer called `name` of what learns in `model`; only matrices decay, not biases and norms. */
export function optimizerFor(
  model: CausalLM,
  name: string,
  chosen: Chosen & { weightDecay: number },
): optim.Optimizer {
  const groups: Record<"matrices" | "tables" | "vectors", Group> = {
    matrices: { params: [], weightDecay: chosen.weightDecay, isTable: false },
    tables: { params: [], weightDecay: chosen.weightDecay, isTable: true },
    vectors: { params: [], weightDecay: 0, isTable: false },
  };
  const isTable = (path: string, p: Tensor): boolean =>
    p === model.network.embeddings || /(^|\.)(wpe|lm_head|embed_out)\.weight$/.test(path);
  // Tables are a group of their own only where that makes a difference: groups are part of a run's state.
  const apart = name === "muon";
  for (const [path, p] of model.namedParameters()) {
    if (!p.requiresGrad) continue;
    groups[p.shape.length < 2 ? "vectors" : apart && isTable(path, p) ? "tables" : "matrices"].params.push(p);
  }
  const asked = Object.values(groups).filter(({ params }) => params.length);
  return optimizers[name].make(asked, chosen);
}
