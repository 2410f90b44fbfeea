/**
 * Numbers that differ from run to run of a program.
 *
 * While a function is captured its number arguments are not numbers yet, only places for them: operations take one as they
 * take a number. Where JavaScript itself asks for the value (arithmetic, a comparison, a size), that is seen here, and the
 * program becomes one for this value alone.
 *
 * @module
 */

/** A place for a number. Typed as a number wherever it goes; see {@link isDynamic}. */
export class DynamicNumber {
  /** Its place among the numbers of its program. */
  readonly index: number;
  /** The number of the present run. */
  current: number;
  /** Called when JavaScript asks for the value, while the function is captured. */
  onRead: (() => void) | null;

  /** A place whose number is `current` for now. */
  constructor(index: number, current: number, onRead: (() => void) | null) {
    this.index = index;
    this.current = current;
    this.onRead = onRead;
  }

  /** The value, for whatever JavaScript wants it. */
  [Symbol.toPrimitive](): number {
    this.onRead?.();
    return this.current;
  }
}

/** Whether `x` is a place for a number, though its type says that it is one. */
export function isDynamic(x: unknown): boolean {
  return x instanceof DynamicNumber;
}

/** Whether `x` is a number, or a place for one. */
export function isNumber(x: unknown): x is number {
  return typeof x === "number" || x instanceof DynamicNumber;
}

/** The value of `x` itself: a program that is being captured is then one for this value. */
export function fixed(x: number): number {
  return typeof x === "number" ? x : Number(x);
}
