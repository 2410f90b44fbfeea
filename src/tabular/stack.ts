/**
 * Many small networks trained as one: the weights of all members of a stack lie in one tensor a layer, with the member
 * as the first axis, so that a step costs as many operations as for one network.
 *
 * A cross-validated fit is dozens of networks of the same shape on different rows; alone, each would wait for the
 * dispatch of operations that take no time. Members differ in rows, in seed and in the strength of their L2 penalty.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { throwIfAborted } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { parameter } from "../nn/mod.ts";
import {
  add,
  copyInto,
  crossEntropy,
  dropout,
  gt,
  matmul,
  mul,
  randn,
  randomState,
  relu,
  reshape,
  setRandomState,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  where,
  zeros,
} from "../ops/mod.ts";
import { AdamW } from "../optim/mod.ts";
import { keep, noGrad, tidy } from "../tensor/mod.ts";
import { roundF16 } from "./half.ts";
import { type Batches, type Member, type RowList, type Rows, StackRows } from "./stack_rows.ts";
import type { DenseLayer } from "./types.ts";

/** How a stack is trained. */
export interface StackOptions {
  /** Widths of hidden layers; none for a linear model. */
  readonly hidden: readonly number[];
  /** How many classes; 0 for values. */
  readonly classes: number;
  /** The learning rate at its highest; it warms up over 10 steps and falls along a cosine. */
  readonly lr: number;
  /** AdamW's decay. */
  readonly weightDecay: number;
  /** Share of hidden units left out in a step. */
  readonly dropout: number;
  /** Most steps. */
  readonly steps: number;
  /** Rows a step and member; all rows when a member has fewer. */
  readonly batch: number;
  /** The validation loss is looked at every so many steps. */
  readonly every: number;
  /** Training ends when no member has got better for so many steps. */
  readonly patience: number;
  /** Of weights, order of rows and dropout. */
  readonly seed: number;
  /** Hears of each step. */
  readonly onStep?: (step: number, rows: number) => void;
  /** Stops training. */
  readonly signal?: AbortSignal;
}

/** At most so many features are gathered at a time when predicting. */
const mostGathered = 1 << 22;

/** A stack of networks. */
export class Stack {
  #members: readonly Member[];
  #rows: StackRows;
  readonly #options: StackOptions;
  readonly #inputs: number;
  readonly #outputs: number;
  readonly #sizes: readonly number[];
  /** weight [members, in, out], bias [members, 1, out], layer after layer. */
  readonly #parameters: readonly Tensor[];
  readonly #random: Generator;
  #state: ReturnType<typeof randomState>;

  /** Fresh networks for the members. */
  constructor(members: readonly Member[], options: StackOptions) {
    this.#members = members;
    this.#options = options;
    this.#inputs = Math.max(...members.map(({ source }) => source.width));
    this.#outputs = Math.max(1, options.classes);
    this.#rows = new StackRows(members, this.#inputs, options.classes > 0);
    this.#sizes = [this.#inputs, ...options.hidden, this.#outputs];
    this.#random = new Generator(options.seed);
    this.#state = { seed: options.seed, offset: 0 };
    const m = members.length;
    this.#parameters = this.#sizes.slice(0, -1).flatMap((size, l) => {
      const next = this.#sizes[l + 1], last = l + 2 === this.#sizes.length;
      const deviation = options.hidden.length === 0
        ? 0
        : last
        ? 0.5 / Math.sqrt(size)
        : Math.sqrt(2 / Math.max(4, size));
      const weight = tidy(() => mul(randn([m, size, next], { seed: options.seed + l }), deviation));
      return [parameter(weight), parameter(zeros([m, 1, next]))];
    });
  }

  /** Trains every member, and leaves each as it was when its validation loss was least. Gives that loss. */
  async train(): Promise<Float32Array> {
    const { lr, weightDecay, steps, every, patience, signal, onStep } = this.#options,
      m = this.#members.length;
    const optimizer = new AdamW(this.#parameters, { lr, weightDecay, betas: [0.9, 0.99] });
    const validation = this.#rows.whole(this.#members.map((member) => member.validation), false);
    const penalties = this.#penalties(),
      batches = this.#rows.batches(this.#options.batch, this.#random),
      breathe = breather();
    const best = this.#parameters.map((p) => keep(zeros(p.shape))),
      least = new Float32Array(m).fill(Infinity);
    let improved = 0;
    try {
      for (let step = 1; step <= steps && step - improved <= patience; step++) {
        throwIfAborted(signal, "training");
        optimizer.lr = lr * Math.min(1, step / 10) * (0.5 + 0.5 * Math.cos(Math.PI * (step - 1) / steps));
        const rows = this.#step(optimizer, batches, penalties);
        onStep?.(step, rows);
        if (step % every === 0 || step === steps) {
          if (await this.#keepBest(validation, least, best)) improved = step;
        }
        await breathe();
      }
      noGrad(() => this.#parameters.forEach((p, i) => copyInto(best[i], p.detach())));
      await this.#finish();
    } finally {
      optimizer.dispose();
      for (const t of [...best, ...(penalties ? [penalties] : []), ...Object.values(validation)]) t.dispose();
      batches.dispose();
    }
    return least;
  }

  #step(optimizer: AdamW, batches: Batches, penalties: Tensor | null): number {
    const before = randomState();
    setRandomState(this.#state);
    let rows = 0;
    try {
      tidy(() => {
        const { x, y, w, count } = batches.next();
        rows = count;
        optimizer.zeroGrad();
        let loss = sum(mul(this.#losses(this.#forward(x, true), y), w));
        if (penalties) {
          for (let l = 0; l < this.#parameters.length; l += 2) {
            loss = add(loss, sum(mul(square(this.#parameters[l]), penalties)));
          }
        }
        loss.backward();
        optimizer.step();
      });
    } finally {
      this.#state = randomState();
      setRandomState(before);
    }
    return rows;
  }

  /** [members, rows, in] → [members, rows, out]. */
  #forward(x: Tensor, training: boolean): Tensor {
    const parameters = this.#parameters, p = this.#options.dropout;
    let h = x;
    for (let l = 0; l < parameters.length; l += 2) {
      h = add(matmul(h, parameters[l]), parameters[l + 1]);
      if (l + 2 < parameters.length) {
        h = relu(h);
        if (training && p > 0) h = dropout(h, p, true);
      }
    }
    return h;
  }

  /** The loss of each row, members one after another. */
  #losses(outputs: Tensor, y: Tensor): Tensor {
    if (this.#options.classes === 0) return square(sub(reshape(outputs, [-1]), y));
    return crossEntropy(reshape(outputs, [-1, this.#outputs]), y, { reduction: "none" });
  }

  async #keepBest(rows: Rows, least: Float32Array, best: readonly Tensor[]): Promise<boolean> {
    const m = this.#members.length;
    const losses = tidy(() =>
      noGrad(() => sum(reshape(mul(this.#losses(this.#forward(rows.x, false), rows.y), rows.w), [m, -1]), 1))
    );
    const now = await losses.data() as Float32Array;
    losses.dispose();
    const better = new Float32Array(m);
    now.forEach((loss, i) => {
      if (!(loss < least[i] - 1e-5)) return;
      least[i] = loss;
      better[i] = 1;
    });
    if (!better.includes(1)) return false;
    tidy(() =>
      noGrad(() => {
        const chosen = gt(reshape(tensor(better), [m, 1, 1]), 0);
        this.#parameters.forEach((p, i) => copyInto(where(chosen, p.detach(), best[i]), best[i]));
      })
    );
    return true;
  }

  /**
   * Networks go back to the original features, and weights into half precision: what is measured from here on is what
   * will be saved.
   */
  async #finish(): Promise<void> {
    const outputs = this.#sizes[1], size = this.#inputs * outputs;
    for (const [i, p] of this.#parameters.entries()) {
      const values = (await p.data() as Float32Array).slice();
      if (i === 0) {
        this.#members.forEach(({ source }, a) =>
          source.fold?.(values.subarray(a * size, (a + 1) * size), outputs)
        );
      }
      const rounded = tensor(roundF16(values));
      tidy(() => noGrad(() => copyInto(reshape(rounded, p.shape), p.detach())));
      rounded.dispose();
    }
    this.#members = this.#members.map((member) => ({
      ...member,
      source: member.source.original ?? member.source,
    }));
    this.#rows = new StackRows(this.#members, this.#inputs, this.#options.classes > 0);
  }

  #penalties(): Tensor | null {
    if (this.#members.every(({ l2 }) => l2 === 0)) return null;
    return tensor(Float32Array.from(this.#members, ({ l2 }) => l2 / 2)).reshape([this.#members.length, 1, 1]);
  }

  /** Each member's probabilities [rows, classes], or values in its standardised unit [rows], of rows of its own. */
  async predict(rows: readonly RowList[]): Promise<Float32Array[]> {
    const m = this.#members.length, c = this.#outputs, longest = Math.max(...rows.map((r) => r.length));
    const out = rows.map((r) => new Float32Array(r.length * c));
    const piece = Math.max(1, Math.min(longest, Math.floor(mostGathered / (m * this.#inputs))));
    for (let from = 0; from < longest; from += piece) {
      const outputs = tidy(() =>
        noGrad(() => {
          const y = this.#forward(this.#rows.gather(rows, from, piece), false);
          return this.#options.classes ? softmax(y, -1) : y;
        })
      );
      const values = await outputs.data() as Float32Array;
      outputs.dispose();
      rows.forEach((r, a) => {
        const count = Math.min(piece, r.length - from);
        if (count > 0) out[a].set(values.subarray(a * piece * c, (a * piece + count) * c), from * c);
      });
    }
    return out;
  }

  /** The layers of each member, without the inputs that only others have. */
  async layers(): Promise<DenseLayer[][]> {
    const members: DenseLayer[][] = this.#members.map(() => []);
    for (let l = 0; l < this.#parameters.length; l += 2) {
      const weight = await this.#parameters[l].data() as Float32Array,
        bias = await this.#parameters[l + 1].data() as Float32Array;
      const size = this.#sizes[l / 2],
        outputs = this.#sizes[l / 2 + 1],
        last = l + 2 === this.#parameters.length;
      this.#members.forEach(({ source }, a) => {
        const inputs = l === 0 ? source.width : size, own = new Float32Array(outputs * inputs);
        for (let i = 0; i < inputs; i++) {
          for (let o = 0; o < outputs; o++) own[o * inputs + i] = weight[(a * size + i) * outputs + o];
        }
        const activation = last ? "identity" : "relu";
        members[a].push({
          weight: own,
          bias: bias.slice(a * outputs, (a + 1) * outputs),
          inputs,
          outputs,
          activation,
        });
      });
    }
    return members;
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const p of this.#parameters) p.dispose();
  }
}
