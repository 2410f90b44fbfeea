/**
 * Steps through time: what a recurrent network does with states that each step hands on to the next.
 *
 * @module
 */
import { gt, where } from "./elementwise.ts";
import { zerosLike } from "./create.ts";
import { stack } from "./join.ts";
import type { Tensor } from "./tensor.ts";
import { select, unsqueeze } from "./views.ts";

/** One step of a cell: what it sees [batch, …] and the states before, to those behind it; the first is what it gives. */
export type RecurrentStep = (seen: Tensor, state: readonly Tensor[]) => Tensor[];

/** What steps give, and the states behind the last. */
export interface Recurred {
  /** [time, batch, …]. */
  readonly outputs: Tensor;
  readonly state: readonly Tensor[];
}

/** Through x [time, batch, …], backwards where told; sequences of `lengths` [batch] keep their states behind their ends and give zeros. */
export function recur(
  x: Tensor,
  start: readonly Tensor[],
  step: RecurrentStep,
  reverse: boolean,
  lengths: Tensor | null = null,
): Recurred {
  const [time] = x.shape, made: Tensor[] = [];
  let state = start;
  for (let i = 0; i < time; i++) {
    const t = reverse ? time - 1 - i : i, next = step(select(x, 0, t), state);
    if (lengths) {
      const on = unsqueeze(gt(lengths, t), 1), before = state;
      made[t] = where(on, next[0], zerosLike(next[0]));
      state = next.map((s, k) => where(on, s, before[k]));
    } else {
      made[t] = next[0];
      state = next;
    }
  }
  return { outputs: stack(made, 0), state };
}
