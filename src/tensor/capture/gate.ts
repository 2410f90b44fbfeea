/**
 * The one gate that everything passes while a function is captured.
 *
 * Tensors ask here which backend takes their operations, so that a trace can stand in for a device. What else a program
 * must know of, because it happens in JavaScript, says so here too: gradients that are read or set, numbers that differ
 * from run to run, properties that decide what is done. Outside of a capture each of these is one comparison with null.
 *
 * @module
 */
import type { Backend, DeviceBuffer, View } from "../../backends/contract.ts";
import { CaptureError } from "../../core/errors.ts";
import type { TensorBase } from "../base.ts";
import type { TapeNode } from "../tape.ts";

/** Something in JavaScript that a run changes, so that it can be put back. */
export interface HostState {
  /** What it is now. */
  get(): unknown;
  /** Makes it what {@link get} gave. */
  set(state: unknown): void;
}

/** What listens while a function is captured. */
export interface Capture {
  /** What takes the operations of `backend`. */
  gate(backend: Backend): Backend;
  /** The gradient of `tensor` is about to be read or set. */
  touch(tensor: TensorBase): void;
  /** Whether `tensor` wants gradients decides what is done: a tensor from outside may be asked again. */
  look(tensor: TensorBase): void;
  /**
   * A gradient is about to be taken through `node`.
   * @throws {CaptureError} when it was made outside.
   */
  pass(node: TapeNode): void;
  /** Places for `count` numbers that `numbers` gives anew in every run, changing `state` or looking at who knows what. */
  perRun(count: number, numbers: () => readonly number[], state?: HostState): number[];
  /** When an operation of a run fails, `errorOf` is asked what is wrong with `ids`, if they came from outside: null for nothing. */
  explain(backend: Backend, ids: View, errorOf: (id: number | bigint) => Error | null): void;
  /** Calls `f` in every run, before anything is done: it may refuse what the run was given. */
  eachRun(f: () => void): void;
  /** Looks in every run whether the divisor of operation `name` has a 0, where the device answers at once. */
  lookAtDivisor(name: string, backend: Backend, divisor: View): void;
  /** Runs `f`, whose operations are done though others did the same before: what is computed again was not kept. */
  apart<T>(f: () => T): T;
  /** Bytes that `bytes` gives anew in every run, of the arguments alone or changing `state`, copied to the start of `buffer`. */
  uploadPerRun(backend: Backend, buffer: DeviceBuffer, bytes: () => Uint8Array, state?: HostState): void;
  /**
   * The program is good only as long as `read`, of `owner`, gives what it gives now (unless the function itself set it); or
   * gives `was`, which it gave before the function set it.
   */
  guard(owner: object, what: string, read: () => unknown, was?: unknown): void;
  /**
   * An operation of no device's, of `inputs` to what `make` makes, where whoever reads the program knows it by `name`; null, and
   * nothing is made, where it is to be said in operations of devices.
   */
  asOne(name: string, inputs: readonly TensorBase[], make: () => TensorBase): TensorBase | null;
  /** The function is about to change `state` of `owner`, which is put back when the capture ends: every run does `redo`. */
  effect(owner: object, state: HostState, redo: () => void): void;
}

let active: Capture | null = null;

/** What listens now; null when nothing is captured. */
export function activeCapture(): Capture | null {
  return active;
}

/** Runs `f` while `capture` (or nothing) listens. `f` is synchronous. */
export function withCapture<T>(capture: Capture | null, f: () => T): T {
  const before = active;
  active = capture;
  try {
    return f();
  } finally {
    active = before;
  }
}

/**
 * Runs `f` outside of the program: what it makes is there before the program first runs. For state that is made when it is
 * first asked for.
 */
export function outsideCapture<T>(f: () => T): T {
  return active ? withCapture(null, f) : f();
}

/**
 * `numbers()`, of which there are `count`: in a program, places for what it gives in each run. `state` is what taking them changes;
 * without it nobody knows what they depend on.
 */
export function perRun(
  count: number,
  numbers: () => readonly number[],
  state?: HostState,
): readonly number[] {
  return active ? active.perRun(count, numbers, state) : numbers();
}

/**
 * Says that `what` cannot be part of a program, and what to do instead.
 * @throws {CaptureError} while something is captured.
 */
export function refuseCapture(what: string, advice: string): void {
  if (active) throw new CaptureError(`${what} cannot be part of a compiled function: ${advice}`);
}

const holders = new Set<WeakRef<object>>();
let nextSweep = 1024;

/** Objects whose properties hold tensors that programs may use: an exchanged one is noticed before the next run. */
export function registerHolder(holder: object): void {
  holders.add(new WeakRef(holder));
  if (holders.size < nextSweep) return;
  for (const ref of holders) if (!ref.deref()) holders.delete(ref);
  nextSweep = 2 * holders.size + 1024;
}

/** All registered holders that still exist. */
export function registeredHolders(): object[] {
  return [...holders].map((ref) => ref.deref()).filter((holder) => holder !== undefined);
}
