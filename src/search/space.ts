/**
 * What is searched: settings by name, each with the values that it may have.
 *
 * A setting whose values have an order lies in the unit interval, whatever they are (a learning rate by its logarithm, a width in
 * steps, a list by its places), so that searchers know one kind of number; one whose values have none is a choice among them.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";

/** A value of a setting. */
export type Value = number | string | boolean;

/** Values of a setting; what may be is checked where it is read. */
export type Dimension =
  /** Without an order. */
  | { readonly kind: "choice"; readonly values: readonly Value[] }
  /** Rising. */
  | { readonly kind: "list"; readonly values: readonly number[] }
  /** From `from` to `to`, both among them: in steps, or where `step` is null anywhere between; `log`: by the logarithm. */
  | {
    readonly kind: "range";
    readonly from: number;
    readonly to: number;
    readonly step: number | null;
    readonly log: boolean;
  };

/** The settings. */
export type Space = Readonly<Record<string, Dimension>>;

/** A value for every setting. */
export type Point = Readonly<Record<string, Value>>;

/** Digits that a number between others has: more of them tell no two runs apart. */
const digits = 4;

/** How many values there are; Infinity for a range without steps that has more than one. */
export function levels(dimension: Dimension): number {
  if (dimension.kind !== "range") return dimension.values.length;
  const { from, to, step } = dimension;
  if (step === null) return valueAt(dimension, 0) === valueAt(dimension, 1) ? 1 : Infinity;
  return Math.floor((to - from) / step + 1e-9) + 1;
}

/** The value at place `k`, of so many as there are {@link levels}. */
function valueOf(dimension: Dimension, k: number): Value {
  if (dimension.kind !== "range") return dimension.values[k];
  const { from, to, step } = dimension;
  if (step === null) return valueAt(dimension, 0);
  const x = from + step * k;
  // 0.1 and two steps of 0.1 are 0.3, and not what floating point makes of it, which is above.
  return Number.isInteger(x) ? x : Math.min(to, Number(x.toPrecision(15)));
}

/** How many points a space has. */
export function sizeOfSpace(space: Space): number {
  return Object.values(space).reduce((n, dimension) => n * levels(dimension), 1);
}

/** The value at `u` of the unit interval; of a choice, that of as many equal parts. */
export function valueAt(dimension: Dimension, u: number): Value {
  if (dimension.kind !== "range") {
    const { values } = dimension;
    return values[Math.min(values.length - 1, Math.floor(u * values.length))];
  }
  const { from, to, step, log } = dimension;
  if (step === null) {
    const x = log ? Math.exp(Math.log(from) + u * Math.log(to / from)) : from + u * (to - from);
    return Math.min(to, Math.max(from, Number(x.toPrecision(digits))));
  }
  const most = levels(dimension) - 1, [low, high] = edges(dimension);
  const k = log
    ? Math.round((Math.exp(Math.log(low) + u * Math.log(high / low)) - from) / step)
    : Math.floor(u * (most + 1));
  return valueOf(dimension, Math.min(most, Math.max(0, k)));
}

/** Where the values of a stepped range begin and end, half a step beyond its bounds: each has as much room as those inside. */
function edges({ from, to, step }: Dimension & { kind: "range" }): [number, number] {
  return [Math.max(from - step! / 2, from / 2), to + step! / 2];
}

/** The part of the unit interval that gives `value`: a point where its ends are one. Null for what is no value of it. */
export function cellOf(dimension: Dimension, value: Value): readonly [number, number] | null {
  if (dimension.kind !== "range") {
    const { values } = dimension, i = (values as readonly Value[]).indexOf(value);
    return i < 0 ? null : [i / values.length, (i + 1) / values.length];
  }
  const { from, to, step, log } = dimension;
  if (typeof value !== "number" || !(value >= from && value <= to)) return null;
  if (step === null) {
    if (levels(dimension) === 1) return [0, 1];
    const u = log ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
    return [u, u];
  }
  const n = levels(dimension), k = Math.round((value - from) / step);
  if (!log) return [k / n, (k + 1) / n];
  const [low, high] = edges(dimension);
  const place = (x: number): number => Math.min(1, Math.max(0, Math.log(x / low) / Math.log(high / low)));
  return [place(Math.max(low, value - step / 2)), k === n - 1 ? 1 : place(value + step / 2)];
}

/** A point, each value as likely as the others of its setting. */
export function anyPoint(space: Space, random: Generator): Point {
  return Object.fromEntries(
    Object.entries(space).map(([name, dimension]) => [name, valueAt(dimension, random.uniform())]),
  );
}

/** Points as text, the same for the same. */
export function keyOf(point: Point): string {
  return JSON.stringify(Object.keys(point).sort().map((name) => [name, point[name]]));
}

/** All points of a space that has finitely many. */
export function* allPoints(space: Space): Generator_<Point> {
  const names = Object.keys(space), counts = names.map((name) => levels(space[name]));
  const at = names.map(() => 0);
  while (true) {
    yield Object.fromEntries(names.map((name, i) => [name, valueOf(space[name], at[i])]));
    let i = 0;
    while (i < names.length && ++at[i] === counts[i]) at[i++] = 0;
    if (i === names.length) return;
  }
}

type Generator_<T> = globalThis.Generator<T>;
