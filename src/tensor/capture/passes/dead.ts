/**
 * Dead code: what nobody reads is not done.
 *
 * @module
 */
import { isLasting, lookAtDivisor, readsOf, type Step, type Value, writesOf } from "../value.ts";

/** `steps` without those whose results are neither read later nor outlive the run; what may raise an error stays. */
export function withoutDead(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const needed = new Set<Value>(kept), alive: Step[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i];
    const isWanted = step.operation === lookAtDivisor;
    if (!isWanted && ![...writesOf(step)].some((value) => needed.has(value) || isLasting(value))) continue;
    for (const value of readsOf(step)) needed.add(value);
    alive.push(step);
  }
  return alive.reverse();
}
