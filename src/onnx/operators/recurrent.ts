/**
 * RNN, GRU and LSTM, step by step.
 *
 * @module
 */
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { recur, type RecurrentStep } from "../../ops/recurrence.ts";
import type { Call, OperatorTable, Results } from "../call.ts";

type Activation = (x: Tensor) => Tensor;

function activationOf(
  c: Call,
  name: string,
  alpha: number | undefined,
  beta: number | undefined,
): Activation {
  switch (name.toLowerCase()) {
    case "sigmoid":
      return f.sigmoid;
    case "tanh":
      return f.tanh;
    case "relu":
      return f.relu;
    case "affine":
      return (x) => f.add(f.mul(x, alpha ?? 1), beta ?? 0);
    case "leakyrelu":
      return (x) => f.leakyRelu(x, alpha ?? 0.01);
    case "thresholdedrelu":
      return (x) => f.where(f.gt(x, alpha ?? 1), x, f.zerosLike(x));
    case "scaledtanh":
      return (x) => f.mul(f.tanh(f.mul(x, beta ?? 1)), alpha ?? 1);
    case "hardsigmoid":
      return (x) => f.clamp(f.add(f.mul(x, alpha ?? 0.2), beta ?? 0.5), 0, 1);
    case "elu":
      return (x) => f.elu(x, alpha ?? 1);
    case "softsign":
      return (x) => f.div(x, f.add(f.abs(x), 1));
    case "softplus":
      return (x) => f.softplus(x);
    default:
      throw c.fail(`the activation "${name}" is not known`);
  }
}

/** What a direction has: weights, biases, and how a step goes. */
interface Direction {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly step: RecurrentStep;
}

function gates(x: Tensor, count: number): Tensor[] {
  return f.split(x, x.shape[x.shape.length - 1] / count, -1);
}

function recurrent(c: Call, kind: "RNN" | "GRU" | "LSTM"): Results {
  const hidden = c.int("hidden_size", 0), isBatchFirst = c.int("layout", 0) === 1;
  const way = c.text("direction", "forward", ["forward", "reverse", "bidirectional"]);
  const count = way === "bidirectional" ? 2 : 1;
  const x = isBatchFirst ? f.transpose(c.t(0), 0, 1) : c.t(0), [time, batch] = x.shape;
  const per = kind === "RNN" ? 1 : kind === "GRU" ? 2 : 3;
  const defaults = kind === "RNN"
    ? ["Tanh"]
    : kind === "GRU"
    ? ["Sigmoid", "Tanh"]
    : ["Sigmoid", "Tanh", "Tanh"];
  const names = c.strings("activations") ?? Array.from({ length: count }, () => defaults).flat();
  const alphas = c.floats("activation_alpha"), betas = c.floats("activation_beta"), clip = c.float("clip", 0);
  if (names.length !== per * count) {
    throw c.fail(`${counted(names.length, "activation")} for ${counted(count, "direction")}`);
  }
  const clipped = (t: Tensor): Tensor => clip > 0 ? f.clamp(t, -clip, clip) : t;
  const lengths = c.maybe(4) ? f.toDType(c.t(4), "i32") : null;
  const start = (i: number, d: number): Tensor => {
    const given = c.maybe(i);
    if (!given) return f.zeros([batch, hidden], { dtype: x.dtype, device: x.device });
    return f.select(isBatchFirst ? f.transpose(given, 0, 1) : given, 0, d);
  };
  const directions = Array.from({ length: count }, (_, d): Direction => {
    const acts = names.slice(d * per, (d + 1) * per).map((name, i) =>
      activationOf(c, name, alphas?.[d * per + i], betas?.[d * per + i])
    );
    const R = f.transpose(f.select(c.t(2), 0, d), 0, 1), B = c.maybe(3) ? f.select(c.t(3), 0, d) : null;
    const [own, back] = B ? f.split(B, B.shape[0] / 2, 0) : [null, null];
    const weight = f.transpose(f.select(c.t(1), 0, d), 0, 1);
    if (kind === "RNN") {
      const bias = own && back ? f.add(own, back) : null;
      return { weight, bias, step: (xs, [h]) => [acts[0](clipped(f.add(xs, f.matmul(h, R))))] };
    }
    if (kind === "LSTM") {
      const peep = c.maybe(7) ? gates(f.select(c.t(7), 0, d), 3) : null,
        coupled = c.int("input_forget", 0) !== 0;
      const step: RecurrentStep = (xs, [h, cell]) => {
        const [i, o, g, n] = gates(f.add(xs, f.matmul(h, R)), 4);
        const seen = (gate: Tensor, k: number, by: Tensor): Tensor =>
          clipped(peep ? f.add(gate, f.mul(peep[k], by)) : gate);
        const input = acts[0](seen(i, 0, cell));
        const forget = coupled ? f.sub(1, input) : acts[0](seen(g, 2, cell));
        const next = f.add(f.mul(forget, cell), f.mul(input, acts[1](clipped(n))));
        return [f.mul(acts[0](seen(o, 1, next)), acts[2](next)), next];
      };
      return { weight, bias: own && back ? f.add(own, back) : null, step };
    }
    const linear = c.int("linear_before_reset", 0) !== 0,
      [Rzr, Rh] = [f.narrow(R, 1, 0, 2 * hidden), f.narrow(R, 1, 2 * hidden, hidden)];
    const backGates = back ? [f.narrow(back, 0, 0, 2 * hidden), f.narrow(back, 0, 2 * hidden, hidden)] : null;
    const step: RecurrentStep = (xs, [h]) => {
      let both = f.add(f.narrow(xs, 1, 0, 2 * hidden), f.matmul(h, Rzr));
      if (backGates) both = f.add(both, backGates[0]);
      const [z, r] = gates(acts[0](clipped(both)), 2), own = f.narrow(xs, 1, 2 * hidden, hidden);
      const through = f.matmul(linear ? h : f.mul(r, h), Rh),
        plus = backGates ? f.add(through, backGates[1]) : through;
      const n = acts[1](clipped(f.add(own, linear ? f.mul(r, plus) : plus)));
      return [f.add(f.mul(f.sub(1, z), n), f.mul(z, h))];
    };
    return { weight, bias: own, step };
  });
  const outputs: Tensor[] = [], lasts: (readonly Tensor[])[] = [];
  directions.forEach(({ weight, bias, step }, d) => {
    const product = f.matmul(f.reshape(x, [time * batch, x.shape[2]]), weight);
    const all = f.reshape(bias ? f.add(product, bias) : product, [time, batch, weight.shape[1]]);
    const begun = kind === "LSTM" ? [start(5, d), start(6, d)] : [start(5, d)];
    const { outputs: made, state } = recur(all, begun, step, way === "reverse" || d === 1, lengths);
    outputs.push(made);
    lasts.push(state);
  });
  const y = f.stack(outputs, 1), last = (k: number): Tensor => f.stack(lasts.map((s) => s[k]), 0);
  const out = (t: Tensor): Tensor => isBatchFirst ? f.transpose(t, 0, 1) : t;
  const whole = isBatchFirst ? f.permute(y, [2, 0, 1, 3]) : y;
  return kind === "LSTM" ? [whole, out(last(0)), out(last(1))] : [whole, out(last(0))];
}

/** The operators. */
export const recurrence: OperatorTable = {
  RNN: { since: [1, 7, 14, 22], run: (c) => recurrent(c, "RNN") },
  GRU: { since: [1, 3, 7, 14, 22], run: (c) => recurrent(c, "GRU") },
  LSTM: { since: [1, 7, 14, 22], run: (c) => recurrent(c, "LSTM") },
};
