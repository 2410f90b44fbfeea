/**
 * Memory for time: what a function computes inside is forgotten, and computed again when its gradient is taken.
 *
 * Chen, Xu, Zhang, Guestrin: "Training deep nets with sublinear memory cost", 2016.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../../core/demand.ts";
import {
  activeCapture,
  gradients,
  history,
  isRecording,
  nodesSoFar,
  noGrad,
  type TapeNode,
  tidy,
  variable,
  withRecording,
} from "../../tensor/mod.ts";
import { alias, demandTensor, demandTensors, record } from "../bridge.ts";
import { type Draws, withDraws } from "../random.ts";
import type { Tensor } from "../tensor.ts";

/** What is on the tape from before number `since` that `y` depends on. */
function outsideOf(y: Tensor, since: number): TapeNode[] {
  const found: TapeNode[] = [], seen = new Set<TapeNode>(), stack = y.node ? [y.node] : [];
  while (stack.length) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.id <= since) found.push(node);
    else for (const parent of node.parents) if (parent) stack.push(parent);
  }
  return found;
}

/**
 * `f`, which gives one tensor of any shape, with nothing kept of what it computes inside but its arguments: going back, it is run once
 * more. Values and gradients are those of `f`; random numbers are drawn once. As `jax.checkpoint`,
 * `torch.utils.checkpoint`.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @throws {DTypeError} for arguments and results that are no tensors.
 * @example
 * ```ts
 * const block = checkpoint((x: Tensor) => mlp.forward(ln.forward(x)));
 * const y = block(block(x)); // gradients reach the parameters of mlp and ln as ever
 * ```
 * @category Tensors
 */
export function checkpoint<A extends Tensor[]>(f: (...args: A) => Tensor): (...args: A) => Tensor {
  demandNoMore(arguments, 1, "checkpoint");
  demandFunction("checkpoint", f);
  const run = (args: A): Tensor => {
    const y = f(...args);
    demandTensor("checkpoint", y, "what f gives");
    return y;
  };
  return (...args) => {
    demandTensors("checkpoint", args, "an argument");
    if (!isRecording()) return tidy(() => run(args));
    const draws: Draws = { list: [], next: null }, since = nodesSoFar();
    const { value, outside } = tidy(() => {
      const own = args.map((t) => t.requiresGrad ? variable(t, false) as Tensor : alias(t));
      const y = withDraws(draws, () => run(own as A)), outside = outsideOf(y, since);
      for (const node of y.node ? history(y.node) : []) if (node.id > since) node.release();
      return { value: noGrad(() => alias(y)), outside };
    });
    const inputs = [...args, ...outside.map((node) => ({ node }) as Tensor)];
    return record("checkpoint", value, inputs, args, (g, saved, needs) => {
      const createGraph = isRecording(),
        again = (): (Tensor | null)[] =>
          withRecording(true, () => {
            const own = saved.map((t, i) => needs[i] ? variable(t, createGraph) as Tensor : t);
            const y = withDraws({ ...draws, next: 0 }, () => run(own as A));
            const wanted = [...own, ...inputs.slice(args.length)].filter((_, i) => needs[i]);
            const found = y.node ? gradients(y, wanted, g, { createGraph }) : wanted.map(() => null);
            let k = 0;
            return needs.map((need) => need ? found[k++] as Tensor | null : null);
          });
      return activeCapture()?.apart(again) ?? again();
    });
  };
}
