/**
 * `compile`: a function of tensors and numbers as a program, traced once for each form of its arguments.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { CaptureError } from "../../core/errors.ts";
import { flag } from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { sameShape } from "../../core/shape.ts";
import { gradients, variable } from "../backward.ts";
import { TensorBase } from "../base.ts";
import type { Storage } from "../storage.ts";
import { tidy } from "../lifetime.ts";
import { activeWatcher, isRecording, record, withRecording } from "../tape.ts";
import { activeCapture } from "./gate.ts";
import { fits, type Form, formOf } from "./form.ts";
import { type Evidence, handedOn } from "./handed_on.ts";
import { demandUnchanged, type Lead, leadsOf, statesOf, versionOf, withStates } from "./outside.ts";
import { demandSteady } from "./leaves.ts";
import { doSame, isLooked, numbersOf } from "./looks.ts";
import { planText } from "./plan.ts";
import { type Program, programOf } from "./program.ts";
import { Replay } from "./replay.ts";
import type { LeafGradient, Trace } from "./trace.ts";
import { Tracer } from "./tracer.ts";
import { type Leaf, leavesOf, mapTree } from "./tree.ts";

/** How many programs of one function are kept. */
const mostPrograms = 8;
/** Numbers that are remembered to need no program of their own. */
const mostChecked = 1024;
/** Traces after which a note says that something makes the function trace again and again. */
const manyTraces = 16;

/**
 * A compiled function.
 *
 * @category Gradients and programs
 */
export interface Compiled<A extends unknown[], R> extends Disposable {
  /**
   * Runs it.
   * @throws {CaptureError} when it cannot be a program.
   */
  (...args: A): R;
  /** How often it was traced. */
  readonly traces: number;
  /**
   * The program for these arguments as text, one line an operation, before and after each pass, with its memory. Nothing
   * is computed.
   * @throws {CaptureError} when it cannot be a program.
   */
  plan(...args: A): string;
  /** Gives the programs and their memory back. It can be called again, and is then traced again. */
  dispose(): void;
}

/**
 * Options of {@link compile}.
 *
 * @category Gradients and programs
 */
export interface CompileOptions {
  /** Improve the program (default true), or do every operation as it was asked for. */
  optimize?: boolean;
}

const compileOptions: OptionTable<CompileOptions> = { optimize: flag };

/** A program and what it is for. */
interface Entry {
  readonly form: Form;
  readonly trace: Trace;
  readonly program: Program;
  /** Results that gradients go through. */
  readonly leads: readonly Lead[];
  replay: Replay | null;
  readonly storages: ReadonlyMap<Storage, boolean>;
  /** Places of arguments that share memory with a captured tensor. */
  readonly overlaps: ReadonlySet<number>;
  /** Numbers that were found to need no program of their own. */
  readonly checked: Set<string>;
  /** How often new numbers came that its function was likely to hand on. */
  trusted: number;
}

function gradientFits({ leaf, before }: LeafGradient, leaves: readonly Leaf[]): boolean {
  const owner = typeof leaf === "number" ? leaves[leaf] as TensorBase : leaf;
  if (owner.isDisposed) return false;
  const { grad } = owner;
  if (!grad || !before) return !grad && !before;
  return grad.dtype === before.dtype && !grad.node && sameShape(grad.shape, before.shape) &&
    sameShape(grad.strides, before.strides) && (grad.storage.holders === 1) === before.isAlone;
}

/** Stands for a tensor in a tree of arguments. */
const place = Symbol("tensor");

/** What {@link compile} makes. */
class CompiledFunction {
  traces = 0;
  readonly #f: (...args: unknown[]) => unknown;
  readonly #optimize: boolean;
  readonly #entries: Entry[] = [];
  #noted = false;
  #isTrusted = true;
  readonly #backward = new Map<string, CompiledFunction>();
  /** What the text says, by the places of tensor and number arguments. */
  readonly #evidence = new Map<string, Evidence>();
  readonly #forward: CompiledFunction | null;

  constructor(
    f: (...args: unknown[]) => unknown,
    options: CompileOptions,
    forward: CompiledFunction | null = null,
  ) {
    this.#forward = forward;
    this.#f = f;
    this.#optimize = options.optimize ?? true;
  }

  call(args: unknown[]): unknown {
    // Within another capture it is part of that program; and who watches wants to see every operation.
    if (activeCapture() || activeWatcher()) return this.#f(...args);
    const leaves: Leaf[] = [], shape: string[] = [];
    leavesOf(args, leaves, shape, "compile: an argument");
    demandSteady(leaves);
    const entry = this.#entryFor(args, shape.join(""), leaves), { trace } = entry;
    const leads = isRecording() ? entry.leads : [], isLed = leads.some(({ to }) => to.length > 0);
    // A gradient from outside computes the function again: what may be done only once goes on the tape as it is.
    if (isLed && !trace.isRepeatable) return tidy(() => this.#f(...args));
    const states = isLed ? statesOf(trace) : [], before = states.map((state) => state.get());
    entry.replay ??= new Replay(entry.program);
    const result = entry.replay.run(leaves);
    for (const place of trace.disposed) (leaves[place] as TensorBase).dispose();
    if (leads.length) {
      this.#onTape(entry, args, leaves, result, leads, (f) => withStates(states, before, f));
    }
    return result;
  }

  plan(args: unknown[]): string {
    const leaves: Leaf[] = [], shape: string[] = [];
    leavesOf(args, leaves, shape, "compile: an argument");
    demandSteady(leaves);
    return planText(this.#entryFor(args, shape.join(""), leaves).program);
  }

  dispose(): void {
    for (const entry of this.#entries.splice(0)) entry.replay?.dispose();
    for (const back of this.#backward.values()) back.dispose();
  }

  #entryFor(args: unknown[], shape: string, leaves: readonly Leaf[]): Entry {
    for (const leaf of leaves) if (leaf instanceof TensorBase) void leaf.storage;
    const recording = isRecording();
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i];
      if (this.#isStale(entry)) {
        this.#entries.splice(i, 1);
        entry.replay?.dispose();
        continue;
      }
      if (!fits(entry.form, shape, leaves, recording)) continue;
      if (!entry.trace.gradients.every((one) => gradientFits(one, leaves))) continue;
      if (!entry.trace.guards.every(({ read, was }) => Object.is(read(), was))) continue;
      if (!this.#overlapFits(entry, leaves) || !this.#numbersFit(entry, args, leaves)) continue;
      if (i !== this.#entries.length - 1) this.#entries.push(...this.#entries.splice(i, 1));
      return entry;
    }
    return this.#make(args, shape, leaves);
  }

  #isStale({ trace }: Entry): boolean {
    return trace.captured.some(({ source }) => source.kind === "captured" && source.storage.holders <= 0) ||
      trace.gradients.some(({ leaf }) => typeof leaf !== "number" && leaf.isDisposed);
  }

  #overlapFits({ storages, overlaps }: Entry, leaves: readonly Leaf[]): boolean {
    return leaves.every((leaf, i) =>
      !(leaf instanceof TensorBase) || storages.has(leaf.storage) === overlaps.has(i)
    );
  }

  /**
   * `if (x)` and `x === 5` see the place of a number, not the number: unless the text of the function spares that
   * (`handed_on.ts`), it is traced with a new number as it is, and the program is used only if that gives the same.
   */
  #numbersFit(entry: Entry, args: unknown[], leaves: readonly Leaf[]): boolean {
    const evidence = this.#evidenceFor(args, leaves), { form, checked } = entry;
    const doubtful = numbersOf(leaves, form, evidence === "none"),
      numbers = evidence === "likely" ? numbersOf(leaves, form, true) : doubtful;
    const isDoubtful = doubtful !== "" && !checked.has(doubtful);
    if (!isDoubtful && (numbers === "" || checked.has(numbers))) return true;
    if (isDoubtful || isLooked(++entry.trusted)) {
      const trace = this.#trace(args, leaves, true);
      if (!doSame(trace, entry.trace, leaves)) {
        // A function that was trusted does something with its numbers after all.
        if (!isDoubtful) this.#isTrusted = false;
        return false;
      }
    }
    if (checked.size >= mostChecked) checked.clear();
    checked.add(doubtful).add(numbers);
    return true;
  }

  /** What the text of the function says about its numbers. */
  #evidenceFor(args: unknown[], leaves: readonly Leaf[]): Evidence {
    // The way back has the arguments of the way there behind the gradient.
    if (this.#forward) return this.#forward.#evidenceFor(args[1] as unknown[], leaves);
    const placesOf = (isOne: (arg: unknown) => boolean): number[] =>
      args.flatMap((arg, i) => isOne(arg) ? [i] : []);
    const places = placesOf((arg) => typeof arg === "number"),
      tensorPlaces = placesOf((arg) => arg instanceof TensorBase),
      key = `${places}/${tensorPlaces}`;
    let known = this.#evidence.get(key);
    if (known === undefined) {
      const tensor = leaves.find((leaf) => leaf instanceof TensorBase) as Record<string, unknown> | undefined;
      const count = leaves.filter((leaf) => typeof leaf === "number").length;
      known = tensor !== undefined && places.length === count
        ? handedOn(this.#f, places, tensorPlaces, (name) => typeof tensor[name] === "function")
        : "none";
      this.#evidence.set(key, known);
    }
    return known === "likely" && !this.#isTrusted ? "none" : known;
  }

  #trace(args: unknown[], leaves: readonly Leaf[], plain: boolean): Trace {
    return new Tracer(leaves).run((given) => this.#f(...given as unknown[]), args, plain);
  }

  /** A trace with places for numbers; where they are doubtful and make a difference, one for the numbers alone. */
  #traceFor(args: unknown[], leaves: readonly Leaf[], isDoubtful: boolean): Trace {
    let placed: Trace | null = null;
    try {
      placed = this.#trace(args, leaves, false);
      if (!isDoubtful) return placed;
    } catch (error) {
      // What JavaScript makes of a place may be what it makes of no number: `[2, 3][n]`, `Number.isInteger(n)`.
      if (!leaves.some((leaf) => typeof leaf === "number")) throw error;
    }
    const plain = this.#trace(args, leaves, true);
    return placed && doSame(plain, placed, leaves) ? placed : plain;
  }

  #make(args: unknown[], shape: string, leaves: readonly Leaf[]): Entry {
    const evidence = this.#evidenceFor(args, leaves),
      doubtful = numbersOf(leaves, null, evidence !== "proved");
    const trace = this.#traceFor(args, leaves, doubtful !== ""), { fixed } = trace;
    this.traces++;
    const form = formOf(shape, leaves);
    form.leaves.forEach((leaf, i) => {
      if (leaf.kind === "number" && fixed.has(i)) leaf.value = leaves[i] as number;
    });
    const storages = new Map(
      trace.captured.map(({ source }) => [(source as { storage: Storage }).storage, true] as const),
    );
    const overlaps = new Set(
      leaves.flatMap((leaf, i) => leaf instanceof TensorBase && storages.has(leaf.storage) ? [i] : []),
    );
    const isShared = overlaps.size > 0 ||
      form.leaves.some((leaf, i) => leaf.kind === "tensor" && leaf.shares !== i);
    const program = programOf(trace, !this.#optimize || isShared);
    const entry: Entry = {
      form,
      trace,
      program,
      leads: leadsOf(trace),
      replay: null,
      storages,
      overlaps,
      checked: new Set(),
      trusted: 0,
    };
    for (const all of [true, false]) entry.checked.add(numbersOf(leaves, form, all));
    this.#entries.push(entry);
    if (this.#entries.length > mostPrograms) this.#entries.shift()?.replay?.dispose();
    if (this.traces >= manyTraces && !this.#noted) {
      this.#noted = true;
      console.warn(
        `compile: ${
          this.#f.name || "a function"
        } was traced ${this.traces} times, and ${mostPrograms} programs are kept: ` +
          "its arguments keep changing in shape, dtype or a number that JavaScript reads (a size, a comparison)",
      );
    }
    return entry;
  }

  /** Puts results on the tape that depend on what wants gradients; `asThen` has states of JavaScript as they were. */
  #onTape(
    { trace }: Entry,
    args: unknown[],
    leaves: readonly Leaf[],
    result: unknown,
    leads: readonly Lead[],
    asThen: <T>(f: () => T) => T,
  ): void {
    const made: TensorBase[] = [];
    mapTree(result, (leaf) => {
      if (leaf instanceof TensorBase) made.push(leaf);
      return leaf;
    });
    // What the function is given again: lists and objects may change, and tensors may be disposed.
    const tree = mapTree(args, (leaf) => leaf instanceof TensorBase ? place : leaf),
      given = leaves.filter((leaf) => leaf instanceof TensorBase),
      versions = trace.captured.map(versionOf);
    for (const { at, to, outside } of leads) {
      const inputs = to.map((i) => leaves[i] as TensorBase),
        others = outside.map((node) => ({ node }) as TensorBase);
      record("compile", made[at], [...inputs, ...others], given, {
        backward: (g, saved, needs) => {
          if (needs.slice(inputs.length).includes(true)) {
            throw new CaptureError(
              "a gradient was asked for through the result of a compiled function, to a tensor that the function closes " +
                "over: call backward inside of the function, or pass the tensor as an argument",
            );
          }
          const found = asThen(() => {
            demandUnchanged(trace, versions);
            let next = 0;
            const again = mapTree(tree, (leaf) => leaf === place ? saved[next++] : leaf);
            return this.#gradients(again as unknown[], to, at, g);
          });
          return [...found, ...others.map(() => null)];
        },
      });
    }
  }

  /** Gradients of result number `place` by arguments, from that of the result: the function again, and back. */
  #gradients(args: unknown[], by: readonly number[], place: number, g: TensorBase): (TensorBase | null)[] {
    const key = `${by} ${place}`;
    let back = this.#backward.get(key);
    if (!back) {
      back = new CompiledFunction(
        (g, args) => {
          let at = 0;
          const wanted: TensorBase[] = [],
            given = mapTree(args, (leaf) => {
              const position = by.indexOf(at++);
              if (position < 0) return leaf;
              return wanted[position] = variable(leaf as TensorBase, isRecording());
            });
          const outputs: TensorBase[] = [];
          withRecording(true, () =>
            mapTree(this.#f(...given as unknown[]), (leaf) => {
              if (leaf instanceof TensorBase) outputs.push(leaf);
              return leaf;
            }));
          return gradients(outputs[place], wanted, g as TensorBase, { createGraph: isRecording() });
        },
        { optimize: this.#optimize },
        this,
      );
      this.#backward.set(key, back);
    }
    return back.call([g, args]) as (TensorBase | null)[];
  }
}

/**
 * `f` as a program: traced the first time it is called with arguments of some shapes and dtypes, improved, and done again
 * in every later call, in memory that is planned once.
 *
 * Tensors that `f` closes over are used where they are, and changed in place where `f` does that: parameters, states of
 * optimizers, caches. Numbers are arguments of the program, not part of it, as long as operations take them as they are;
 * where JavaScript itself looks at one (a size, a comparison) the program is for this number alone. So that `n === 5`
 * or a key of a map is noticed too, `f` is looked through again for each new number, unless its text proves that numbers
 * only go to methods of its tensors (`x.mul(n)`); where they go to methods by the names of those of tensors and optimizers
 * (`loss.mul(n)`, `optimizer.step({ lr })`), it is looked through for the first 16 and ever more seldom then. Random numbers
 * are drawn anew in each run, in the order in which `f` itself would draw them. What else `f` does in JavaScript is done
 * only while it is traced. Results are tensors of their own.
 *
 * @example
 * ```ts
 * const step = compile((x: Tensor, lr: number) => {
 *   const loss = model.forward(x).square().mean();
 *   loss.backward();
 *   optimizer.step({ lr });
 *   optimizer.zeroGrad();
 *   return loss.detach();
 * });
 * await step(batch, 3e-4).item();
 * console.log(step.plan(batch, 3e-4));
 * ```
 *
 * @throws {CaptureError} (when called) where `f` does what cannot be part of a program: it reads a value, keeps a tensor
 *   that it made, takes a gradient through what was made outside.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Gradients and programs
 */
export function compile<A extends unknown[], R>(
  f: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  demandNoMore(arguments, 2, "compile");
  if (typeof f !== "function") throw new CaptureError(`compile: takes a function, not ${typeof f}`);
  const own = new CompiledFunction(f as never, checkOptions("compile", options, compileOptions));
  const compiled = (...args: A): R => own.call(args) as R;
  Object.defineProperties(compiled, {
    name: { value: f.name },
    traces: { get: () => own.traces },
    plan: { value: (...args: A) => own.plan(args) },
    dispose: { value: () => own.dispose() },
    [Symbol.dispose]: { value: () => own.dispose() },
  });
  return compiled as Compiled<A, R>;
}
