/**
 * Sizes that differ from run to run, known by what they are in a few trial runs.
 *
 * A function is traced for several sizes of its inputs. A size is then a list of numbers, one of each trace, and is calculated
 * with as such. Where the graph needs it, the formula over the sizes of the inputs that gives these numbers is found:
 * a sum of multiples of them, or a product of such sums. More traces are made than a formula has unknowns, so that one that
 * fits by chance alone does not fit.
 *
 * @module
 */
import { CaptureError } from "../../core/errors.ts";

/** A size in each trace. */
export type Size = readonly number[];

/** A size of the inputs that differs from run to run. */
export interface SizeSymbol {
  /** What it is called. */
  readonly name: string;
  /** What it is in each trace. */
  readonly size: Size;
  /** The least that it may be in a run. */
  readonly least: number;
}

/** How a size follows from the symbols: `constant + Σ factors[i] · symbol i`, times what `times` says. */
export interface Formula {
  /** The part that does not change. */
  readonly constant: number;
  /** Of each symbol. */
  readonly factors: readonly number[];
  /** What all of it is multiplied by. */
  readonly times: Formula | null;
}

/** Whether a size is the same in all traces. */
export function isFixed(size: Size): boolean {
  return size.every((n) => n === size[0]);
}

/** Whether two sizes are the same. */
export function same(a: Size, b: Size): boolean {
  return a === b || a.every((n, i) => n === b[i]);
}

/** Whether a size is `n` in all traces. */
export function is(size: Size, n: number): boolean {
  return size.every((x) => x === n);
}

/** `f` of each trace's numbers. */
export function each(f: (...numbers: number[]) => number, ...sizes: Size[]): Size {
  return sizes[0].map((_, k) => f(...sizes.map((size) => size[k])));
}

/** a · b · … of sizes; `one` of none. */
export function productOf(sizes: readonly Size[], one: Size): Size {
  return sizes.reduce((all, size) => each((a, b) => a * b, all, size), one);
}

/** The sizes of the inputs, and what follows from them. */
export class Symbols {
  /** All of them. */
  readonly list: readonly SizeSymbol[];
  /** How many traces there are. */
  readonly traces: number;
  readonly #sums: Size[] = [];
  readonly #found = new Map<string, Formula | null>();

  /** Symbols by name: the size that an example has, and the least that there may be. */
  constructor(given: readonly { name: string; example: number; least: number }[]) {
    const count = given.length;
    // One trace each with one symbol changed, and two with all of them, against chance.
    this.traces = count === 0 ? 1 : count + 3;
    this.list = given.map(({ name, example, least }, i) => {
      // A size of 1 is treated as no other; small ones are met as constants.
      const base = Math.max(example, 3);
      const size = Array.from(
        { length: this.traces },
        (_, k) => base + (k <= count ? Number(k === i + 1) : k === count + 1 ? 2 + i : 2 * count + 1 - i),
      );
      return { name, size, least };
    });
  }

  /** A number that is the same in all traces. */
  fixed(n: number): Size {
    return new Array<number>(this.traces).fill(n);
  }

  /** Notes a size that others may be multiples of. */
  note(size: Size): void {
    if (!isFixed(size) && !this.#sums.some((other) => same(other, size)) && this.#sum(size)) {
      this.#sums.push(size);
    }
  }

  /** The formula of a size. @throws {CaptureError} for one that no formula gives. */
  formula(size: Size): Formula {
    const key = size.join(), known = this.#found.get(key);
    const found = known === undefined ? this.#find(size, 3) : known;
    this.#found.set(key, found);
    if (found) return found;
    throw new CaptureError(
      `exportOnnx: a size is ${size.join(", ")} where ${
        this.list.map((s) => `${s.name} is ${s.size.join(", ")}`).join(" and ")
      }, and is no sum or product of these: leave one of them out of dynamicAxes`,
    );
  }

  /** Whether a size is above 0 in every run. */
  isPositive(size: Size): boolean {
    if (isFixed(size)) return size[0] > 0;
    const positive = ({ constant, factors, times }: Formula): boolean => {
      const least = factors.reduce((sum, factor, i) => sum + factor * this.list[i].least, constant);
      return factors.every((factor) => factor >= 0) && least > 0 && (times === null || positive(times));
    };
    return positive(this.formula(size));
  }

  #find(size: Size, depth: number): Formula | null {
    const sum = this.#sum(size);
    if (sum || depth === 0) return sum;
    for (const divisor of [...this.list.map((symbol) => symbol.size), ...this.#sums]) {
      const rest = each((n, d) => n / d, size, divisor);
      if (!rest.every(Number.isInteger)) continue;
      const found = this.#find(rest, depth - 1);
      if (found) return { ...this.#sum(divisor)!, times: found };
    }
    return null;
  }

  #sum(size: Size): Formula | null {
    const factors = this.list.map((_, i) => size[i + 1] - size[0]);
    const constant = factors.reduce((rest, factor, i) => rest - factor * this.list[i].size[0], size[0]);
    const fits = size.every((n, k) =>
      n === factors.reduce((sum, factor, i) => sum + factor * this.list[i].size[k], constant)
    );
    return fits ? { constant, factors, times: null } : null;
  }
}
