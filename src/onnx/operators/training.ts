/**
 * Steps of optimizers, and gradients of parts of a graph (`ai.onnx.preview.training`).
 *
 * @module
 */
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { isFloat } from "../../core/dtype.ts";
import { counted } from "../../core/show.ts";
import { gradients, isRecording, variable } from "../../tensor/mod.ts";
import type { Call, OperatorTable, Results } from "../call.ts";
import { describe, valueOf } from "../values.ts";

/** A rule's step: one tensor with its gradient and states, to the tensor and states behind it. */
type Rule = (c: Call, rate: Tensor, count: Tensor, x: Tensor, gradient: Tensor, states: Tensor[]) => Tensor[];

/** The inputs R, T, then all X, all G and all states of each kind; outputs in the same order, without gradients. */
function stepped(states: number, rule: Rule) {
  return (c: Call): Results => {
    const rest = c.tensors().slice(2), n = rest.length / (2 + states);
    const results = Array.from({ length: n }, (_, i) => {
      const own = Array.from({ length: states }, (_, k) => rest[(2 + k) * n + i]);
      return rule(c, f.reshape(c.t(0), []), f.reshape(c.t(1), []), rest[i], rest[n + i], own);
    });
    return Array.from({ length: 1 + states }, (_, k) => results.map((list) => list[k])).flat();
  };
}

const regularized = (c: Call, x: Tensor, g: Tensor): Tensor =>
  f.add(f.mul(x, c.float("norm_coefficient", 0)), g);

const adagrad: Rule = (c, rate, count, x, gradient, [h]) => {
  const r = f.div(rate, f.add(f.mul(f.toDType(count, "f32"), c.float("decay_factor", 0)), 1));
  const g = regularized(c, x, gradient), next = f.add(h, f.square(g));
  return [f.sub(x, f.div(f.mul(r, g), f.add(f.sqrt(next), c.float("epsilon", 1e-6)))), next];
};

const adam: Rule = (c, rate, count, x, gradient, [v, h]) => {
  const alpha = c.float("alpha", 0.9), beta = c.float("beta", 0.999), g = regularized(c, x, gradient);
  const mean = f.add(f.mul(v, alpha), f.mul(g, 1 - alpha)),
    square = f.add(f.mul(h, beta), f.mul(f.square(g), 1 - beta));
  const t = f.toDType(count, "f32"), power = (b: number): Tensor => f.exp(f.mul(t, Math.log(b)));
  const corrected = f.div(f.mul(rate, f.sqrt(f.sub(1, power(beta)))), f.sub(1, power(alpha)));
  const r = f.where(f.gt(t, 0), corrected, rate);
  const y = f.sub(x, f.div(f.mul(r, mean), f.add(f.sqrt(square), c.float("epsilon", 1e-6))));
  return [f.mul(y, 1 - c.float("norm_coefficient_post", 0)), mean, square];
};

const momentum: Rule = (c, rate, count, x, gradient, [v]) => {
  const alpha = c.float("alpha", 0), g = regularized(c, x, gradient), beta = c.float("beta", 1);
  const b = f.where(f.gt(count, 0), f.full([], beta, { device: x.device }), 1);
  const next = f.add(f.mul(v, alpha), f.mul(g, b));
  const isNesterov = c.text("mode", "standard", ["standard", "nesterov"]) === "nesterov";
  const step = isNesterov ? f.add(g, f.mul(next, alpha)) : next;
  return [f.sub(x, f.mul(rate, step)), next];
};

/** The derivative by `xs` of the sum of `y`, a value of the graph, where `xs` and `zs` are what the node is given. */
async function derived(c: Call): Promise<Results> {
  const xs = c.strings("xs") ?? [], names = [...xs, ...c.strings("zs") ?? []], y = c.text("y", "");
  if (y === "" || xs.length === 0 || names.length !== c.inputs.length) {
    throw c.fail(
      `${counted(c.inputs.length, "input")} for ${counted(names.length, "name")} in xs and zs, y is "${y}"`,
    );
  }
  if (!isRecording()) {
    throw c.fail("a gradient is asked for where none is recorded; run the model outside of noGrad");
  }
  const isRecorded = c.tensors().some((t) => t.node !== null);
  const variables = xs.map((_, i) => variable(c.t(i), true) as Tensor);
  const given = new Map(
    names.map((name, i) => [name, i < xs.length ? valueOf(variables[i], c.type(i)) : c.value(i)]),
  );
  const value = await c.around.replay(y, given);
  if (value.kind !== "tensor" || !isFloat(value.tensor.dtype)) throw c.fail(`"${y}" is ${describe(value)}`);
  const { tensor } = value;
  const found = tensor.node
    ? gradients(tensor, variables, f.onesLike(tensor), { createGraph: isRecorded })
    : xs.map(() => null);
  return found.map((g, i) => valueOf(g as Tensor | null ?? f.zerosLike(variables[i]), c.type(i)));
}

/** The operators. */
export const training: OperatorTable = {
  Adagrad: { since: [1], run: stepped(1, adagrad) },
  Adam: { since: [1], run: stepped(2, adam) },
  Gradient: { since: [1], waits: true, run: derived },
  Momentum: { since: [1], run: stepped(1, momentum) },
};
