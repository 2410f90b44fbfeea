/**
 * Replay: a program done again, on memory that was planned once.
 *
 * Steps over memory that stays where it is, and without numbers of the run among their arguments, are captured in spans:
 * the device does a whole span in one call (`Backend.capture`). What a device cannot capture is done again step by step at its
 * place, and so is what touches arguments and large results, whose memory differs from run to run.
 *
 * @module
 */
import type { Backend, Captured, DeviceBuffer, View } from "../../backends/contract.ts";
import { type Operation, perform, withViews } from "../../backends/operations.ts";
import { CaptureError, ShapeError } from "../../core/errors.ts";
import { type DynamicNumber, isDynamic } from "../../core/number.ts";
import type { Shape } from "../../core/shape.ts";
import type { Expr } from "../../expr/nodes.ts";
import { program } from "../../expr/program.ts";
import { type TensorBase, tensorOf } from "../base.ts";
import { demandNonzero, integersOf } from "../divisor.ts";
import { computeType } from "../expression.ts";
import { keep } from "../lifetime.ts";
import { Storage } from "../storage.ts";
import { mayFailBeforeChanges } from "./failing.ts";
import { hasNumbers } from "./numbers.ts";
import type { Program } from "./program.ts";
import { ResultTensor } from "./trace.ts";
import { type Leaf, mapTree } from "./tree.ts";
import {
  isLasting,
  lookAtDivisor,
  readsOf,
  type Step,
  upload,
  type Value,
  valueOf,
  viewsOf,
  writesOf,
} from "./value.ts";

const identity: Expr = { kind: "input", index: 0 };

/** What is done here and by no device. */
const byHost: ReadonlySet<Operation> = new Set([upload, lookAtDivisor]);

/** How often a step is tried before it counts as one that cannot be captured: weights may be brought in order meanwhile. */
const mostTries = 3;

/** A step ready to be done. */
interface Ready {
  readonly step: Step;
  /** Its arguments, where no run changes them; else null. */
  readonly args: readonly unknown[] | null;
  tries: number;
  isCapturable: boolean;
}

/** A weight that is packed: from which tensors, and of which versions it is. */
interface Pack {
  readonly step: Step;
  readonly args: readonly unknown[];
  readonly from: readonly Storage[];
  version: number;
}

/** Several steps in one call. */
interface Span {
  readonly steps: readonly Ready[];
  work: Captured | null;
}

/** Memory of `byteLength` bytes that lives as long as whoever holds the tensor. */
function memoryOf(backend: Backend, byteLength: number): TensorBase {
  const storage = new Storage(backend, byteLength, "compile");
  return keep(tensorOf({ storage, dtype: "u8", shape: [byteLength], strides: [1], offset: 0 }, false));
}

/** A program with its memory. */
export class Replay {
  /** What is done. */
  readonly program: Program;
  readonly #memory: TensorBase[] = [];
  readonly #fixed = new Map<Value, DeviceBuffer>();
  readonly #bound = new Map<Value, DeviceBuffer>();
  readonly #offsets = new Map<Value, number>();
  readonly #fresh = new Map<Value, Storage>();
  readonly #given = new Map<Value, TensorBase>();
  readonly #writtenStorages: Storage[] = [];
  readonly #writtenArguments: number[] = [];
  readonly #packs: Pack[];
  readonly #ready: Ready[];
  #spans: (Ready | Span)[] | null = null;

  /** Takes memory and does what is done once. */
  constructor(made: Program) {
    this.program = made;
    const { memory, numbers, once, packs, steps } = made;
    try {
      const taken = new Map(memory.all.map((place) => {
        const own = memoryOf(place.backend, place.byteLength);
        this.#memory.push(own);
        return [place, own.buffer] as const;
      }));
      for (const [value, place] of memory.places) this.#fixed.set(value, taken.get(place)!);
      for (const [backend, own] of numbers) this.#fixed.set(own.value, this.#take(backend, own.byteLength));
      for (const value of made.trace.captured) {
        if (value.source.kind === "captured") this.#fixed.set(value, value.source.storage.buffer);
      }
      const fix = (step: Step): void =>
        viewsOf(step, (view) => {
          const value = valueOf(view);
          if (this.#fixed.has(value)) return;
          this.#fixed.set(value, this.#take(value.backend, value.byteLength));
        });
      for (const step of once) {
        fix(step);
        this.#do(step, this.#bind(step));
      }
      this.#packs = packs.map((step): Pack => {
        fix(step);
        const from = [...readsOf(step)].map(({ source }) => (source as { storage: Storage }).storage);
        return { step, args: this.#bind(step), from, version: NaN };
      });
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.#ready = steps.map((step): Ready => {
      let isFixed = !hasNumbers(step) && !byHost.has(step.operation);
      viewsOf(step, (view) => isFixed = isFixed && this.#fixed.has(valueOf(view)));
      return { step, args: isFixed ? this.#bind(step) : null, tries: 0, isCapturable: false };
    });
    const storages = new Set<Storage>(), written = new Set<number>();
    for (const step of steps) {
      for (const { source } of writesOf(step)) {
        if (source.kind === "captured") storages.add(source.storage);
        if (source.kind === "argument") written.add(source.index);
      }
    }
    this.#writtenStorages.push(...storages);
    this.#writtenArguments.push(...written);
  }

  /** Does it with these arguments, and gives what the function gives. */
  run(leaves: readonly Leaf[]): unknown {
    const { host } = this.program.trace;
    this.#failedAt = -1;
    this.#before.length = 0;
    try {
      this.#runAll(leaves);
    } catch (error) {
      // What the function would have changed only after what failed is as it was.
      for (let i = this.#before.length - 1; i >= 0; i--) {
        const { state, at } = host[i];
        if (at > this.#failedAt) state?.set(this.#before[i]);
      }
      throw error;
    }
    return this.#results(leaves);
  }

  /** What states of JavaScript were before this run changed them. */
  readonly #before: unknown[] = [];
  /** The place of the operation that is done, by which it is known which failed; -1 while none was. */
  #failedAt = -1;

  #runAll(leaves: readonly Leaf[]): void {
    const { trace, numbers } = this.program;
    trace.numberArguments.forEach((place, i) => trace.numbers[i].current = leaves[place] as number);
    for (const { happen, state } of trace.host) {
      this.#before.push(state?.get());
      happen();
    }
    for (const [backend, own] of numbers) {
      const bytes = own.byteLength ? own.bytes() : null;
      if (bytes) backend.upload(this.#fixed.get(own.value)!, 0, bytes);
    }
    for (const pack of this.#packs) {
      const version = pack.from.reduce((sum, storage) => sum + storage.version, 0);
      if (version === pack.version) continue;
      this.#do(pack.step, pack.args);
      pack.version = version;
    }
    this.#bindRun(leaves);
    try {
      if (this.#spans) this.#runSpans(this.#spans);
      else this.#runFirst();
    } catch (error) {
      this.#explain(error);
      throw error;
    } finally {
      for (const storage of this.#writtenStorages) storage.version++;
      for (const place of this.#writtenArguments) (leaves[place] as TensorBase).storage.version++;
    }
  }

  /** @throws what is wrong with ids from outside, where that is known better than by the operation that failed. */
  #explain(error: unknown): void {
    if (!(error instanceof ShapeError)) return;
    for (const { backend, ids, errorOf } of this.program.trace.explanations) {
      const value = valueOf(ids), { dtype, shape, strides } = ids;
      const buffer = isLasting(value) ? this.#fixed.get(value) ?? this.#bound.get(value) : undefined;
      if (!buffer) continue;
      const offset = ids.offset + (this.#offsets.get(value) ?? 0);
      for (const id of integersOf(backend, { buffer, dtype, shape, strides, offset })) {
        const better = errorOf(id);
        if (better) throw better;
      }
    }
  }

  /** Gives its memory back. */
  dispose(): void {
    for (const part of this.#spans ?? []) if ("work" in part) part.work?.dispose();
    for (const tensor of [...this.#memory, ...this.#given.values()]) tensor.dispose();
    this.#given.clear();
    this.#spans = null;
  }

  #take(backend: Backend, byteLength: number): DeviceBuffer {
    const own = memoryOf(backend, byteLength);
    this.#memory.push(own);
    return own.buffer;
  }

  /** Where arguments, gradients and large results are in this run. */
  #bindRun(leaves: readonly Leaf[]): void {
    const { trace, results } = this.program;
    this.#bound.clear();
    this.#offsets.clear();
    this.#fresh.clear();
    const seen = (value: Value): void => {
      const { source } = value;
      if (source.kind === "argument") {
        const t = leaves[source.index] as TensorBase;
        this.#bound.set(value, t.storage.buffer);
        this.#offsets.set(value, t.offset);
      } else if (source.kind === "gradient") {
        const { leaf } = trace.gradients[source.index];
        const owner = typeof leaf === "number" ? leaves[leaf] as TensorBase : leaf, g = owner.grad!;
        this.#bound.set(value, g.storage.buffer);
        this.#offsets.set(value, g.offset);
      }
    };
    for (const value of this.#outside) seen(value);
    for (const value of results) {
      if (value.source.kind === "temporary" && !this.#fixed.has(value)) {
        this.#bound.set(value, this.#freshFor(value).buffer);
      }
    }
  }

  #outsideValues: Value[] | null = null;

  /** Arguments and gradients among the values of the steps and results. */
  get #outside(): readonly Value[] {
    if (this.#outsideValues) return this.#outsideValues;
    const found = new Set<Value>();
    const add = (value: Value): void => {
      if (value.source.kind === "argument" || value.source.kind === "gradient") found.add(value);
    };
    for (const step of this.program.steps) viewsOf(step, (view) => add(valueOf(view)));
    for (const value of this.program.results) add(value);
    for (const { ids } of this.program.trace.explanations) add(valueOf(ids));
    return this.#outsideValues = [...found];
  }

  /** Memory for a result, of its own: that of the last run, where nobody holds it any more. */
  #freshFor(value: Value): Storage {
    const known = this.#fresh.get(value);
    if (known) return known;
    let given = this.#given.get(value);
    if (!given || given.storage.holders > 1) {
      given?.dispose();
      this.#given.set(value, given = memoryOf(value.backend, value.byteLength));
    }
    this.#fresh.set(value, given.storage);
    return given.storage;
  }

  #bind(step: Step): unknown[] {
    return withViews(step.operation, step.args, (view) => {
      const value = valueOf(view), buffer = this.#fixed.get(value);
      const { dtype, shape, strides, offset } = view;
      if (buffer) return { buffer, dtype, shape, strides, offset };
      const bound = this.#bound.get(value);
      if (!bound) {
        throw new CaptureError(`compile: ${step.operation.name} reads memory that nothing was written to`);
      }
      return { buffer: bound, dtype, shape, strides, offset: offset + (this.#offsets.get(value) ?? 0) };
    });
  }

  #do(step: Step, args: readonly unknown[]): void {
    const { backend, operation } = step;
    if (operation === upload) {
      const [to, bytes] = args as [View, Uint8Array | (() => Uint8Array)];
      backend.upload(to.buffer, to.offset, typeof bytes === "function" ? bytes() : bytes);
    } else if (operation === lookAtDivisor) demandNonzero(args[1] as string, backend, args[0] as View);
    else perform(backend, operation, args);
  }

  #doNow(ready: Ready): void {
    const { step, args } = ready;
    this.#failedAt = step.at;
    this.#do(step, args ?? current(this.#bind(step)));
  }

  /** Does each step, and finds out which can be captured. */
  #runFirst(): void {
    for (const ready of this.#ready) {
      const { step: { backend }, args } = ready;
      if (!args || ready.isCapturable || ready.tries >= mostTries || !backend.capture) {
        this.#doNow(ready);
        continue;
      }
      ready.tries++;
      const work = backend.capture(() => this.#doNow(ready));
      ready.isCapturable = work !== null;
      work?.dispose();
    }
    const isOpen = this.#ready.some(({ args, isCapturable, tries, step }) =>
      args && !isCapturable && tries < mostTries && step.backend.capture
    );
    if (isOpen) return;
    const spans: (Ready | Span)[] = [], failing = mayFailBeforeChanges(this.program.steps);
    let open: Ready[] = [];
    const close = (): void => {
      if (open.length) spans.push({ steps: open, work: null });
      open = [];
    };
    for (const ready of this.#ready) {
      if (!ready.isCapturable || (open.length && open[0].step.backend !== ready.step.backend)) close();
      if (ready.isCapturable) open.push(ready);
      else spans.push(ready);
      if (failing.has(ready.step)) close();
    }
    close();
    this.#spans = spans;
  }

  #runSpans(spans: readonly (Ready | Span)[]): void {
    for (const part of spans) {
      if (!("work" in part)) {
        this.#doNow(part);
        continue;
      }
      this.#failedAt = part.steps.at(-1)!.step.at;
      if (part.work?.replay()) continue;
      part.work?.dispose();
      part.work = part.steps[0].step.backend.capture!(() =>
        part.steps.forEach((ready) => this.#doNow(ready))
      );
    }
  }

  #results(leaves: readonly Leaf[]): unknown {
    const { trace } = this.program, made: [TensorBase, TensorBase | null][] = [];
    const result = mapTree(trace.result, (leaf) => {
      if (isDynamic(leaf)) return (leaf as DynamicNumber).current;
      return leaf instanceof ResultTensor ? this.#tensor(leaf, leaves) : leaf;
    });
    for (const { leaf, after } of trace.gradients) {
      if (after === "same") continue;
      const owner = typeof leaf === "number" ? leaves[leaf] as TensorBase : leaf;
      made.push([owner, after === null ? null : keep(this.#tensor(after, leaves))]);
    }
    for (const [owner, g] of made) owner.grad = g;
    return result;
  }

  /** The tensor of a result: a view of memory of its own, or of what it was before. */
  #tensor(result: ResultTensor, leaves: readonly Leaf[]): TensorBase {
    const { value, dtype, shape, strides, offset } = result, { source } = value;
    if (source.kind === "captured") {
      source.storage.hold();
      return tensorOf({ storage: source.storage, dtype, shape, strides, offset });
    }
    if (source.kind === "argument" || source.kind === "gradient") {
      const leaf = source.kind === "argument"
        ? source.index
        : this.program.trace.gradients[source.index].leaf;
      const owner = typeof leaf === "number" ? leaves[leaf] as TensorBase : leaf;
      const { storage, offset: start } = source.kind === "argument" ? owner : owner.grad!;
      storage.hold();
      return tensorOf({ storage, dtype, shape, strides, offset: start + offset });
    }
    const isNew = !this.#fresh.has(value), storage = this.#freshFor(value);
    if (this.#fixed.has(value) && isNew) this.#copy(value, dtype, storage);
    storage.hold();
    return tensorOf({ storage, dtype, shape, strides, offset });
  }

  /** All of a value, as elements of `dtype`, into `storage`. */
  #copy(value: Value, dtype: ResultTensor["dtype"], storage: Storage): void {
    const width = elementBytes(dtype);
    const count = value.byteLength / width;
    if (count === 0) return;
    const shape: Shape = [count];
    const view = (buffer: DeviceBuffer): View => ({ buffer, dtype, shape, strides: [1], offset: 0 });
    const copy = program(computeType(dtype), [identity], { inputs: 1, scalars: 0 });
    value.backend.elementwise(copy, [view(this.#fixed.get(value)!)], [], [view(storage.buffer)]);
  }
}

function elementBytes(dtype: ResultTensor["dtype"]): number {
  return dtype === "f64" || dtype === "i64"
    ? 8
    : dtype === "f32" || dtype === "i32"
    ? 4
    : dtype === "f16" || dtype === "bf16"
    ? 2
    : 1;
}

/** Arguments with the numbers of this run. */
function current(args: unknown[]): unknown[] {
  const one = (x: unknown): unknown => isDynamic(x) ? (x as DynamicNumber).current : x;
  return args.map((x) => Array.isArray(x) ? x.map(one) : withScalars(one(x), one));
}

function withScalars(x: unknown, one: (x: unknown) => unknown): unknown {
  if (typeof x !== "object" || x === null || !("scalars" in x) || !("inputs" in x) || !("program" in x)) {
    return x;
  }
  return { ...x, scalars: (x.scalars as unknown[]).map(one) };
}
