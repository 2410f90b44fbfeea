/**
 * Tracing: a function is run once on devices that only write down what they are asked to do.
 *
 * Nothing is computed and no memory is taken. What the function does in JavaScript beside (gradients set, options of an
 * optimizer) is put back afterwards, and written down as something that every run does. What cannot be written down is a
 * `CaptureError`: a program is right or there is none.
 *
 * @module
 */
import type { Backend, DeviceBuffer, View } from "../../backends/contract.ts";
import { type Arguments, type Operation, withViews } from "../../backends/operations.ts";
import { CaptureError } from "../../core/errors.ts";
import { DynamicNumber } from "../../core/number.ts";
import { watchDraws } from "../../core/random.ts";
import { formatShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import { history } from "../backward.ts";
import { TensorBase, tensorOf } from "../base.ts";
import { keep, tidy } from "../lifetime.ts";
import { nodesSoFar } from "../scopes.ts";
import { Storage, storageOf, storagesSoFar } from "../storage.ts";
import { asLeaf, type Gradient, TapeNode } from "../tape.ts";
import { type Capture, type HostState, withCapture } from "./gate.ts";
import { tapeOf } from "./form.ts";
import { demandResult } from "./leaves.ts";
import { holdersOf } from "./holders.ts";
import { type Explanation, type Happening, type LeafGradient, ResultTensor, type Trace } from "./trace.ts";
import { type Notebook, TraceBackend } from "./trace_backend.ts";
import { type Leaf, mapTree } from "./tree.ts";
import { isLasting, lookAtDivisor, oneOperation, type Step, upload, Value, writesOf } from "./value.ts";

/** A leaf whose gradient was read or set. */
interface Touched {
  readonly leaf: TensorBase | number;
  readonly handle: TensorBase;
  readonly original: TensorBase | null;
  readonly standIn: TensorBase | null;
  readonly before: LeafGradient["before"];
}

/** Writes down; see the module's comment. */
export class Tracer implements Capture, Notebook {
  readonly steps: Step[] = [];
  readonly #numbers: DynamicNumber[] = [];
  readonly #host: Happening[] = [];
  readonly #explanations: Explanation[] = [];
  readonly #guards: { read: () => unknown; was: unknown }[] = [];
  readonly #undo: (() => void)[] = [];
  readonly #guarded = new Map<object, Set<string>>();
  readonly #set = new Set<object>();
  readonly #backends = new Map<Backend, TraceBackend>();
  readonly #values = new Map<DeviceBuffer, Value>();
  readonly #live = new Set<Value>();
  readonly #handles = new Map<TensorBase, number>();
  readonly #touched = new Map<TensorBase, Touched>();
  readonly #fixed = new Set<number>();
  readonly #numberArguments: number[] = [];
  #isDone = false;
  #isRepeatable = true;
  #region = 0;
  #regions = 0;
  readonly #since = nodesSoFar();
  readonly #storagesBefore = storagesSoFar();
  readonly #leaves: readonly Leaf[];
  readonly #kernels: ReadonlySet<string> | null;
  #error: CaptureError | null = null;
  #ids = 0;
  #bytes = 0;
  #peak = 0;

  /** For arguments with these leaves; with `kernels`, of those alone and as if the device had them; names of others are known by {@link asOne}. */
  constructor(leaves: readonly Leaf[], kernels: ReadonlySet<string> | null = null) {
    this.#leaves = leaves;
    this.#kernels = kernels;
  }

  // What the gate asks.

  gate(backend: Backend): Backend {
    if (backend instanceof TraceBackend) {
      if (this.#backends.get(backend.real) === backend) return backend;
      throw new CaptureError(
        "a tensor that was made while another function was captured has no memory: return it from that function",
      );
    }
    let stand = this.#backends.get(backend);
    if (!stand) this.#backends.set(backend, stand = new TraceBackend(backend, this, this.#kernels));
    return stand;
  }

  touch(tensor: TensorBase): void {
    if (this.#touched.has(tensor) || tensor.isDisposed) return;
    const place = this.#handles.get(tensor);
    if (place === undefined && tensor.storage.backend instanceof TraceBackend) return;
    const owner = place === undefined ? tensor : this.#leaves[place] as TensorBase;
    const original = owner.exchangeGrad(null);
    owner.exchangeGrad(original);
    let standIn: TensorBase | null = null, before: LeafGradient["before"] = null;
    if (original) {
      if (original.node) {
        throw new CaptureError(
          `the gradient of a tensor of shape ${
            formatShape(tensor.shape)
          } is on a tape that began outside of the compiled ` +
            "function: take all gradients inside, or clear it before",
        );
      }
      const { dtype, shape, strides, storage } = original;
      before = { dtype, shape, strides, isAlone: storage.holders === 1 };
      standIn = keep(this.#standIn(original, { kind: "gradient", index: this.#touched.size }));
      if (!before.isAlone) standIn.storage.hold();
    }
    tensor.exchangeGrad(standIn);
    this.#touched.set(tensor, { leaf: place ?? tensor, handle: tensor, original, standIn, before });
  }

  look(tensor: TensorBase): void {
    // What only stands for something on the tape is no tensor.
    if (!(tensor instanceof TensorBase) || tensor.isDisposed) return;
    if (this.#handles.has(tensor) || tensor.storage.backend instanceof TraceBackend) return;
    const { node } = tensor;
    if (node && node.id > this.#since) return;
    // What shares the memory of a leaf may be made and gone within the run.
    const owner = node ? node.leaf : tensor;
    if (owner) this.guard(owner, "tape", () => tapeOf(owner));
  }

  pass(node: TapeNode): void {
    if (node.leaf || node.id > this.#since) return;
    throw new CaptureError(
      `a gradient was asked for through ${node.name}, which was done outside of the compiled function: do it inside, or ` +
        "detach its result",
    );
  }

  perRun(count: number, numbers: () => readonly number[], state?: HostState): number[] {
    const places = Array.from({ length: count }, () => this.#number(0, this.#refuseRead));
    if (!state) this.#isRepeatable = false;
    this.#happens(() => numbers().forEach((x, i) => places[i].current = Number(x)), state);
    return places as unknown as number[];
  }

  /** An object that is neither list nor plain is known by what it is: what is exchanged in it is noticed. */
  #watchProperties(leaf: Leaf): void {
    if (typeof leaf !== "object" || leaf === null) return;
    for (const [name, { value: was }] of Object.entries(Object.getOwnPropertyDescriptors(leaf))) {
      if (was !== undefined) this.#guards.push({ read: () => (leaf as Record<string, unknown>)[name], was });
    }
  }

  #happens(happen: () => void, state: HostState | null = null): void {
    this.#host.push({ happen, state, at: this.steps.length });
  }

  explain(backend: Backend, ids: View, errorOf: Explanation["errorOf"]): void {
    const { real } = this.gate(backend) as TraceBackend;
    if (real.mapped) this.#explanations.push({ backend: real, ids: this.#view(real, ids), errorOf });
  }

  eachRun(f: () => void): void {
    this.#happens(f);
  }

  lookAtDivisor(name: string, backend: Backend, divisor: View): void {
    const { real } = this.gate(backend) as TraceBackend;
    if (real.mapped) this.add(real, lookAtDivisor, [divisor, name]);
  }

  asOne(name: string, inputs: readonly TensorBase[], make: () => TensorBase): TensorBase | null {
    if (!this.#kernels?.has(name)) return null;
    const out = make();
    this.add((out.storage.backend as TraceBackend).real, oneOperation(name), [inputs, out]);
    return out;
  }

  apart<T>(f: () => T): T {
    const before = this.#region;
    this.#region = ++this.#regions;
    try {
      return f();
    } finally {
      this.#region = before;
    }
  }

  uploadPerRun(backend: Backend, buffer: DeviceBuffer, bytes: () => Uint8Array, state?: HostState): void {
    const source: { bytes: Uint8Array } = { bytes: new Uint8Array(0) };
    this.#happens(() => void (source.bytes = bytes()), state);
    const { real } = backend as TraceBackend;
    this.upload(real, buffer, 0, () => source.bytes);
  }

  guard(owner: object, what: string, read: () => unknown, was?: unknown): void {
    let known = this.#guarded.get(owner);
    if (!known) this.#guarded.set(owner, known = new Set());
    if (known.has(what) || (was === undefined && this.#set.has(owner))) return;
    known.add(what);
    this.#guards.push({ read, was: was ?? read() });
  }

  effect(owner: object, state: HostState, redo: () => void): void {
    const before = state.get();
    this.#set.add(owner);
    this.#undo.push(() => state.set(before));
    this.#happens(redo, state);
  }

  // What the devices ask.

  allocate(backend: Backend, byteLength: number): Value {
    const value = new Value(this.#ids++, backend, byteLength, { kind: "temporary" });
    this.#live.add(value);
    this.#bytes += byteLength;
    this.#peak = Math.max(this.#peak, this.#bytes);
    return value;
  }

  release(value: Value): void {
    if (!this.#live.delete(value)) return;
    this.#bytes -= value.byteLength;
  }

  upload(
    backend: Backend,
    buffer: DeviceBuffer,
    byteOffset: number,
    bytes: Uint8Array | (() => Uint8Array),
  ): void {
    const length = typeof bytes === "function" ? buffer.byteLength - byteOffset : bytes.length;
    const to: View = { buffer, dtype: "u8", shape: [length], strides: [1], offset: byteOffset };
    this.add(backend, upload, [to, bytes]);
  }

  add(backend: Backend, operation: Operation, args: Arguments): void {
    if (this.#isDone) {
      throw new CaptureError(
        `${operation.name} was asked for on a tensor that was made while a function was captured, and has no memory: ` +
          "return it from that function",
      );
    }
    const own = withViews(operation, args, (view) => this.#view(backend, view));
    operation.parameters.forEach(({ kind, list }, i) => {
      if (kind === "number" && list) own[i] = [...own[i] as number[]];
    });
    this.steps.push({ backend, operation, args: own, region: this.#region, at: this.steps.length });
  }

  fail(error: CaptureError): void {
    this.#error ??= error;
  }

  // The run.

  /** Runs `f` on places for the arguments, and gives what it did. Numbers are given as they are where `plain`. */
  run(f: (args: unknown) => unknown, args: unknown, plain: boolean): Trace {
    let place = 0;
    const handles: (TensorBase | null)[] = [];
    try {
      const stands = mapTree(args, (leaf) => {
        const index = place++;
        if (leaf instanceof TensorBase) {
          const handle = this.#argument(leaf, index);
          handles.push(handle);
          return handle;
        }
        handles.push(null);
        this.#watchProperties(leaf);
        if (typeof leaf !== "number") return leaf;
        this.#numberArguments.push(index);
        const number = this.#number(leaf, () => this.#fixed.add(index));
        if (!plain) return number;
        this.#fixed.add(index);
        return leaf;
      });
      watchDraws(() => {
        throw new CaptureError(
          "a number that a Generator draws in JavaScript cannot be part of a compiled function, where it would be drawn " +
            "only once: draw a tensor (rand, randn, randint), or pass the number as an argument",
        );
      });
      const given = withCapture(this, () =>
        tidy(() => {
          const given = f(stands);
          // Said here: a scope that is given a promise stays open, and has all that is made meanwhile.
          if (given instanceof Promise) {
            given.catch(() => {});
            throw this.#error ?? new CaptureError(
              "compile: the function gives a promise; only synchronous functions become programs: wait for values outside",
            );
          }
          return given;
        }));
      watchDraws(null);
      if (this.#error) throw this.#error;
      return this.#finish(given, handles);
    } finally {
      watchDraws(null);
      this.#isDone = true;
      for (const number of this.#numbers) number.onRead = null;
      for (const undo of this.#undo.reverse()) undo();
      this.#restore();
      for (const handle of handles) handle?.dispose();
    }
  }

  #finish(given: unknown, handles: readonly (TensorBase | null)[]): Trace {
    const returned = new Set<TensorBase>();
    const result = mapTree(given, (leaf) => {
      if (!(leaf instanceof TensorBase)) {
        demandResult(leaf);
        return leaf;
      }
      returned.add(leaf);
      return this.#result(leaf);
    });
    const gradients = [...this.#touched.values()].map((touched): LeafGradient => {
      const { leaf, handle, standIn, before } = touched, now = handle.exchangeGrad(null);
      handle.exchangeGrad(now);
      const after = now === standIn ? "same" as const : now && this.#result(now);
      return { leaf, before, after: now === null && before === null ? "same" : after };
    });
    const disposed = handles.flatMap((handle, i) => handle?.isDisposed ? [i] : []);
    for (const tensor of returned) {
      if (tensor.node) {
        for (const node of history(tensor.node)) if (node.id > this.#since) node.release();
      }
      // A tensor from outside stays whose it is.
      if (!tensor.isDisposed && tensor.storage.backend instanceof TraceBackend) tensor.dispose();
    }
    this.#restore();
    for (const handle of handles) handle?.dispose();
    for (const value of this.#live) {
      const storage = storageOf(value);
      if (!storage || value.source.kind !== "temporary") continue;
      throw new CaptureError(
        `compile: the function keeps a tensor that ${storage.madeBy} made, of ${
          counted(value.byteLength, "byte")
        }, beyond its run: ` +
          "return it, or make it before and change it in place",
      );
    }
    const captured = [...this.#values.values()];
    const holders = holdersOf(captured.map(({ source }) => (source as { storage: Storage }).storage));
    for (const { object, name, tensor } of holders) {
      this.#guards.push({ read: () => object[name] === tensor, was: true });
    }
    return {
      steps: this.steps,
      numbers: this.#numbers,
      numberArguments: this.#numberArguments,
      host: this.#host,
      isRepeatable: this.#isRepeatable && !disposed.length &&
        gradients.every(({ after }) => after === "same") &&
        !this.steps.some((step) => [...writesOf(step)].some(isLasting)),
      result,
      gradients,
      captured,
      storagesBefore: this.#storagesBefore,
      guards: this.#guards,
      fixed: this.#fixed,
      explanations: this.#explanations,
      disposed,
      eagerPeak: this.#peak,
    };
  }

  #restore(): void {
    for (const { handle, leaf, original, standIn } of this.#touched.values()) {
      const now = handle.exchangeGrad(typeof leaf === "number" ? null : original);
      if (now && now !== original && !now.isDisposed && now.storage.backend instanceof TraceBackend) {
        now.dispose();
      }
      standIn?.dispose();
    }
    this.#touched.clear();
  }

  #result(t: TensorBase): ResultTensor {
    const value = this.#value(t.storage.backend, t.buffer);
    const gradientTo: number[] = [], gradientToOutside: TapeNode[] = [];
    const seen = new Set<TapeNode>(), stack = t.node ? [t.node] : [];
    while (stack.length) {
      const node = stack.pop()!, { leaf, name } = node;
      if (seen.has(node)) continue;
      seen.add(node);
      const place = leaf && this.#handles.get(leaf);
      if (name.startsWith(argumentNode)) gradientTo.push(Number(name.slice(argumentNode.length)));
      else if (place !== null && place !== undefined) gradientTo.push(place);
      else if (node.id <= this.#since) gradientToOutside.push(node);
      else for (const parent of node.parents) if (parent) stack.push(parent);
    }
    return new ResultTensor(t, value, gradientTo, gradientToOutside);
  }

  #number(current: number, onRead: () => void): DynamicNumber {
    const number = new DynamicNumber(this.#numbers.length, current, onRead);
    this.#numbers.push(number);
    return number;
  }

  readonly #refuseRead = (): void => {
    throw new CaptureError(
      "a number that differs from run to run was asked for in JavaScript while the function was captured: use it as an " +
        "operand of an operation",
    );
  };

  /** A tensor that stands for an argument. */
  #argument(real: TensorBase, index: number): TensorBase {
    const handle = keep(this.#standIn(real, { kind: "argument", index }));
    // Whoever passed it holds it too.
    handle.storage.hold();
    this.#handles.set(handle, index);
    if (real.node?.leaf) asLeaf(handle, true);
    else if (real.node) {
      handle.node = new TapeNode(`${argumentNode}${index}`, [real.node], [], outsideGradient, null);
    }
    return handle;
  }

  #standIn(real: TensorBase, source: Value["source"]): TensorBase {
    const { dtype, shape, strides } = real, { backend, buffer, madeBy } = real.storage;
    const stand = this.gate(backend) as TraceBackend;
    const storage = new Storage(stand, buffer.byteLength, madeBy), value = storage.buffer as Value;
    value.source = source;
    this.release(value);
    return tensorOf({ storage, dtype, shape, strides, offset: 0 }, false);
  }

  #view(backend: Backend, { buffer, dtype, shape, strides, offset }: View): View {
    return { buffer: this.#value(backend, buffer), dtype, shape, strides, offset };
  }

  #value(backend: Backend, buffer: DeviceBuffer): Value {
    if (buffer instanceof Value) {
      return buffer;
    }
    let value = this.#values.get(buffer);
    if (!value) {
      const storage = storageOf(buffer);
      if (!storage) {
        throw new CaptureError("compile: an operation was asked for on memory that belongs to no tensor");
      }
      const real = backend instanceof TraceBackend ? backend.real : backend;
      value = new Value(this.#ids++, real, buffer.byteLength, { kind: "captured", storage });
      this.#values.set(buffer, value);
    }
    return value;
  }
}

const argumentNode = "argument ";

const outsideGradient: Gradient = {
  backward() {
    throw new CaptureError(
      "a gradient was asked for through an argument of a compiled function, to where it was made outside: take the " +
        "gradient of the compiled function, or pass a tensor made with { requiresGrad: true }",
    );
  },
};
