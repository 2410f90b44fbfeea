/**
 * A program: what a function does, made ready to be done again.
 *
 * Between the trace and here stand the passes. What is left is cut in two: steps done once, when the program is made, and
 * steps of every run over one plan of memory.
 *
 * @module
 */
import type { Backend } from "../../backends/contract.ts";
import { type MemoryPlan, planMemory } from "./memory_plan.ts";
import { hasNumbers, NumberMemory, numbersInMemory } from "./numbers.ts";
import { isPack } from "./passes/layout.ts";
import { type PassReport, runPasses } from "./passes/mod.ts";
import { ResultTensor, type Trace } from "./trace.ts";
import { mapTree } from "./tree.ts";
import { isLasting, type Step, type Value, valueOf, viewsOf, writesOf } from "./value.ts";

/** Results at most this large are copied out of the plan's memory; larger ones are written where they stay. */
const copiedBytes = 65536;

/** A program. */
export interface Program {
  /** What it was made from. */
  readonly trace: Trace;
  /** Steps that are done once. */
  readonly once: readonly Step[];
  /** Steps that are done once, and again when what they read was changed from outside; see `passes/layout.ts`. */
  readonly packs: readonly Step[];
  /** Steps of every run. */
  readonly steps: readonly Step[];
  /** Numbers in memory, by device. */
  readonly numbers: ReadonlyMap<Backend, NumberMemory>;
  /** Values that the run gives back. */
  readonly results: ReadonlySet<Value>;
  /** Where temporaries lie. */
  readonly memory: MemoryPlan;
  /** What each pass did. */
  readonly reports: readonly PassReport[];
}

/** The tensors that a run of `trace` gives back: results, and gradients that it leaves. */
export function resultsOf(trace: Trace): ResultTensor[] {
  const found: ResultTensor[] = [];
  mapTree(trace.result, (leaf) => {
    if (leaf instanceof ResultTensor) found.push(leaf);
    return leaf;
  });
  for (const { after } of trace.gradients) if (after !== null && after !== "same") found.push(after);
  return found;
}

/** Memory for `steps`, whose small `results` are copied out of it in the end. */
export function planOf(steps: readonly Step[], results: ReadonlySet<Value>): MemoryPlan {
  const atLast = onlyTouchedLast(steps);
  const isCopied = (value: Value): boolean => value.byteLength <= copiedBytes && !atLast.has(value);
  const direct = [...results].filter((value) => !isCopied(value));
  return planMemory(steps, new Set([...results].filter(isCopied)), new Set(direct));
}

/**
 * What the last step alone writes: the work before is one span with or without it, so that nothing is saved by a copy, which to
 * a GPU is one more dispatch.
 */
function onlyTouchedLast(steps: readonly Step[]): ReadonlySet<Value> {
  const last = steps.at(-1), found = new Set<Value>();
  if (last?.backend.name !== "webgpu") return found;
  for (const value of writesOf(last)) found.add(value);
  for (const step of steps) {
    if (step !== last) viewsOf(step, (view) => found.delete(valueOf(view)));
  }
  return found;
}

/** Makes the program of a trace; `plain` leaves every operation as it was asked for. */
export function programOf(trace: Trace, plain: boolean): Program {
  const results = new Set(resultsOf(trace).map(({ value }) => value));
  const { steps, reports } = runPasses(trace.steps, results, plain);
  const { once, each } = cutOnce(steps.filter((step) => !isPack(step)));
  const numbers = new Map<Backend, NumberMemory>();
  const memoryOf = (backend: Backend): NumberMemory => {
    let memory = numbers.get(backend);
    if (!memory) numbers.set(backend, memory = new NumberMemory(backend));
    return memory;
  };
  const ready = each.map((step) => numbersInMemory(step, memoryOf));
  return {
    trace,
    once,
    packs: steps.filter(isPack),
    steps: ready,
    numbers,
    results,
    memory: planOf(ready, results),
    reports,
  };
}

/**
 * Steps whose result is the same in every run, and the others. A value counts as constant when all that is ever written to
 * it is: bytes given while the function was traced, and what follows from nothing else.
 */
function cutOnce(steps: readonly Step[]): { once: Step[]; each: Step[] } {
  const changing = new Set<Value>();
  const isChanging = (step: Step): boolean => {
    if (step.operation.name === "random" || hasNumbers(step)) return true;
    let found = false;
    viewsOf(step, (view) => {
      const value = valueOf(view);
      if (value.source.kind !== "temporary" && value.source.kind !== "constant") found = true;
      if (changing.has(value)) found = true;
    });
    return found;
  };
  for (let before = -1; before !== changing.size;) {
    before = changing.size;
    for (const step of steps) {
      if (isChanging(step)) {
        for (const value of writesOf(step)) changing.add(value);
      }
    }
  }
  const once = steps.filter((step) => !isChanging(step)), each = steps.filter(isChanging);
  for (const step of once) {
    for (const value of writesOf(step)) {
      if (!isLasting(value)) value.source = { kind: "constant", bytes: null };
    }
  }
  return { once, each };
}
