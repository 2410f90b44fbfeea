/**
 * How what was measured grows: rows that differ in one number lie on a curve, whose law is fitted and which is drawn.
 *
 * Time that grows as a power of that number is a straight line where both axes are logarithmic, and its slope is the exponent. Where
 * something else begins to bound it (a cache is full, a call no longer dominates) the line bends: two slopes meet at one of the
 * points, the one that leaves least unexplained.
 *
 * @module
 */
import type { Drawer } from "../cli/plot.ts";
import type { RowResult } from "./harness.ts";

/** A point of a curve. */
export interface Point {
  readonly x: number;
  /** Seconds. */
  readonly y: number;
}

/** y = c · x^exponent; with a bend, c · x^before up to `at` and onwards with x^after. */
export interface Law {
  readonly exponent: number;
  readonly bend: { readonly at: number; readonly before: number; readonly after: number } | null;
  /** What the law says of x. */
  readonly value: (x: number) => number;
}

/** A curve, as measured. */
export interface Curve {
  readonly name: string;
  /** What x counts. */
  readonly along: string;
  readonly points: readonly Point[];
  readonly law: Law;
}

/** A bend explains so many times more, and changes the exponent by so much, or it is noise. */
const least = { explained: 4, turn: 0.15 };

/** The combination of `columns` that is nearest to `y`, and the sum of squares that it leaves (normal equations, by elimination). */
function leastSquares(
  columns: readonly (readonly number[])[],
  y: readonly number[],
): { factors: number[]; left: number } {
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, v, i) => sum + v * b[i], 0);
  const rows = columns.map((a) => [...columns.map((b) => dot(a, b)), dot(a, y)]);
  for (const [i, row] of rows.entries()) {
    for (const other of rows) {
      if (other === row) continue;
      const factor = other[i] / row[i];
      other.forEach((value, j) => other[j] = value - factor * row[j]);
    }
  }
  const factors = rows.map((row, i) => row.at(-1)! / row[i]);
  const left = y.reduce((sum, v, j) => sum + (v - dot(factors, columns.map((c) => c[j]))) ** 2, 0);
  return { factors, left };
}

/** The power law of points with different x, at least two, and where it bends, of five and more. */
export function lawOf(points: readonly Point[]): Law {
  const x = points.map((p) => Math.log(p.x)), y = points.map((p) => Math.log(p.y)), ones = x.map(() => 1);
  const straight = leastSquares([ones, x], y), [from, exponent] = straight.factors;
  const bends = points.length < 5 ? [] : x.slice(1, -1).map((at) => ({
    at,
    ...leastSquares([ones, x, x.map((v) => Math.max(0, v - at))], y),
  }));
  const [best] = bends.toSorted((a, b) => a.left - b.left);
  if (!best || best.left * least.explained > straight.left || Math.abs(best.factors[2]) < least.turn) {
    return { exponent, bend: null, value: (v) => Math.exp(from + exponent * Math.log(v)) };
  }
  const [c, before, turn] = best.factors;
  return {
    exponent,
    bend: { at: Math.exp(best.at), before, after: before + turn },
    value: (v) => Math.exp(c + before * Math.log(v) + turn * Math.max(0, Math.log(v) - best.at)),
  };
}

/** The curves that rows lie on. */
export function curvesOf(results: readonly RowResult[]): Curve[] {
  const found = new Map<string, { along: string; points: Point[] }>();
  for (const { curve } of results) {
    if (!curve) continue;
    const { name, along, at, seconds } = curve, one = found.get(name) ?? { along, points: [] };
    found.set(name, one);
    one.points.push({ x: at, y: seconds });
  }
  return [...found].filter(([, { points }]) => points.length > 1)
    .map(([name, { along, points }]) => ({ name, along, points, law: lawOf(points) }));
}

/** The law in words. */
export function lawText({ name, along, points, law }: Curve): string {
  const power = (x: number): string => `${along}^${x.toFixed(2).replace("-0.00", "0.00")}`,
    [first, last] = [points[0].x, points.at(-1)!.x];
  const whole = `${name}: from ${first} to ${last}, time grows as ${power(law.exponent)}`;
  if (!law.bend) return `${whole}, without a bend.`;
  const { at, before, after } = law.bend;
  return `${whole}; it bends at ${Math.round(at)}, from ${power(before)} to ${power(after)}.`;
}

/** Draws the curves with their laws, both axes logarithmic, a mark where one bends. */
export async function drawCurves(
  draw: Drawer,
  path: string,
  title: string,
  curves: readonly Curve[],
): Promise<void> {
  const axis = (field: string, title: string): object => ({
    field,
    type: "quantitative",
    title,
    scale: { type: "log", nice: false },
    axis: { labelOverlap: true, format: "~s" },
  });
  await draw(path, {
    title,
    columns: 3,
    concat: curves.map(({ name, along, points, law }) => ({
      title: {
        text: name,
        fontSize: 11,
        subtitle: law.bend ? `bends at ${Math.round(law.bend.at)}` : "no bend",
      },
      width: 220,
      height: 170,
      encoding: { x: axis("x", along) },
      layer: [
        {
          data: { values: points.map(({ x }) => ({ x, seconds: law.value(x) })) },
          mark: { type: "line", color: "#999999" },
          encoding: { y: axis("seconds", "seconds") },
        },
        {
          data: { values: points.map(({ x, y }) => ({ x, seconds: y })) },
          mark: { type: "point", filled: true, size: 40, color: "#1f5fa8" },
          encoding: { y: axis("seconds", "seconds") },
        },
        ...law.bend
          ? [{
            data: { values: [{ x: law.bend.at }] },
            mark: { type: "rule", strokeDash: [4, 4], color: "#c0392b" },
          }]
          : [],
      ],
    })),
  });
}
