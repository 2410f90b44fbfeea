/**
 * Numbers between two bounds, and multiples, as they are written in digits: at most 15 of them, so that a double tells all of
 * them apart.
 *
 * The state of a number is its text so far. Where nothing that it begins with leads out of the bounds, the digits do not
 * matter any more, and it is how many may follow.
 *
 * @module
 */
import { choice, literal, type Machine, optional, type Part, repeat, sequence, set } from "./grammar.ts";

/** Which numbers. */
export interface Numbers {
  /** The least and the largest; infinite where there is none. */
  readonly low: number;
  readonly high: number;
  /** Whether the bounds themselves are left out. */
  readonly aboveLow: boolean;
  readonly belowHigh: boolean;
  /** What they are multiples of, if of anything; by their digits, as 0.3 is one of 0.1, whatever doubles give. */
  readonly multiple: number | null;
  /** Whether they have no fraction. */
  readonly whole: boolean;
}

const mostDigits = 15, mostDecimals = 10;

const digits = (least: number, most: number): Part => repeat(set([48, 57]), least, most);
const integer: Part = sequence(
  optional(literal("-")),
  choice(literal("0"), sequence(set([49, 57]), digits(0, mostDigits - 1))),
);
const number: Part = sequence(
  integer,
  optional(sequence(literal("."), digits(1, mostDecimals))),
  optional(sequence(set([69, 69], [101, 101]), optional(set([43, 43], [45, 45])), digits(1, 2))),
);

/** Any number, or any whole one. */
export function anyNumber(whole: boolean): Part {
  return whole ? integer : number;
}

/** A number as a whole one and how often that was divided by ten: 0.25 is [25, 2]. */
function decimal(x: number): [value: bigint, decimals: number] {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(
    String(x),
  )!;
  const value = BigInt(`${sign}${whole}${fraction}`), decimals = fraction.length - Number(exponent);
  return decimals < 0 ? [value * 10n ** BigInt(-decimals), 0] : [value, decimals];
}

/** `x` times 10^decimals, rounded down, and whether that was exact. */
function scaled(x: number, decimals: number): [value: bigint, exact: boolean] {
  const [value, own] = decimal(x);
  if (own <= decimals) return [value * 10n ** BigInt(decimals - own), true];
  const unit = 10n ** BigInt(own - decimals), rest = ((value % unit) + unit) % unit;
  return [(value - rest) / unit, rest === 0n];
}

/** How many digits the whole part of a number has. */
const wholeDigits = (x: number): number => String(BigInt(Math.trunc(Math.abs(x)))).length;

/** The numbers as a part of a grammar; null when there are none with so few digits. */
export function numbers({ low, high, aboveLow, belowHigh, multiple, whole }: Numbers): Part | null {
  const [step, stepDecimals] = multiple === null ? [1n, 0] : decimal(multiple);
  // Where there is no end, nine digits before the point are left.
  const before = [low, high].map((x) =>
    Number.isFinite(x) && wholeDigits(x) <= mostDigits ? wholeDigits(x) : 9
  );
  const decimals = whole
    ? 0
    : multiple === null
    ? Math.min(mostDecimals, mostDigits - Math.max(...before))
    : stepDecimals;
  if (decimals > mostDecimals) return null;
  const most = 10n ** BigInt(mostDigits) - 1n;
  let first = -most, last = most;
  if (low > -Infinity) {
    const [value, exact] = scaled(low, decimals), own = exact && !aboveLow ? value : value + 1n;
    if (own > first) first = own;
  }
  if (high < Infinity) {
    const [value, exact] = scaled(high, decimals), own = exact && belowHigh ? value - 1n : value;
    if (own < last) last = own;
  }
  // A whole multiple of 1.5 is one of 3.
  const one = 10n ** BigInt(stepDecimals), unit = whole ? step / divisor(step, one) : step;
  if (first > last || unit > most) return null;
  const machine = new NumberMachine(Number(first), Number(last), Number(unit), decimals);
  return machine.exists ? { kind: "machine", machine } : null;
}

function divisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : divisor(b, a % b);
}

const power = (n: number): number => 10 ** n;
const minus = 45, point = 46, zero = 48;
const allDigits = Array.from({ length: 10 }, (_, i) => zero + i);

/** Numbers as whole ones of the last decimal: from `low` to `high`, multiples of `unit`. */
class NumberMachine implements Machine {
  readonly start = "";
  readonly bytes: readonly number[];
  readonly #low: number;
  readonly #high: number;
  readonly #unit: number;
  readonly #decimals: number;
  /** How many digits may stand before the point. */
  readonly #whole: number;
  readonly #known = new Map<string, number>();

  constructor(low: number, high: number, unit: number, decimals: number) {
    this.#low = low;
    this.#high = high;
    this.#unit = unit;
    this.#decimals = decimals;
    const largest = Math.floor(Math.max(Math.abs(low), Math.abs(high)) / power(decimals));
    this.#whole = String(largest).length;
    this.bytes = [minus, ...decimals > 0 ? [point] : [], ...allDigits];
  }

  /** Whether there is any. */
  get exists(): boolean {
    return this.missing("") < Infinity;
  }

  missing(state: string): number {
    if (state[0] === "+") return Number(state.slice(1).split(" ")[0]);
    if (state[0] === ".") return state.endsWith("!") ? 1 : 0;
    let found = this.#known.get(state);
    if (found === undefined) {
      if (this.#known.size > 4096) this.#known.clear();
      this.#known.set(state, found = this.#measure(state));
    }
    return found;
  }

  #measure(state: string): number {
    if (state === "") return Math.min(this.#measureFrom(1, 0, 0, -1), 1 + this.#measureFrom(-1, 0, 0, -1));
    const { sign, value, before, behind } = parse(state);
    return this.#measureFrom(sign, value, before, behind);
  }

  #measureFrom(sign: number, value: number, before: number, behind: number): number {
    const decimals = this.#decimals;
    let least = Infinity;
    if (behind >= 0) {
      for (let r = Math.max(1, behind); r <= decimals && least === Infinity; r++) {
        const [from, unit] = [value * power(decimals - behind), power(decimals - r)];
        if (this.#has(sign, from, from + power(decimals - behind) - unit, unit)) least = r - behind;
      }
      return least;
    }
    const most = before === 1 && value === 0 ? 0 : this.#whole - before;
    for (let q = before === 0 ? 1 : 0; q <= most; q++) {
      const from = value * power(q + decimals), to = (value + 1) * power(q + decimals);
      for (let r = 0; r <= decimals; r++) {
        const cost = q + (r ? r + 1 : 0);
        if (cost < least && this.#has(sign, from, to - power(decimals - r), power(decimals - r))) {
          least = cost;
        }
      }
    }
    return least;
  }

  /** Whether one of them lies from `from` to `to`, or from -to to -from, and is a multiple of `unit` too. */
  #has(sign: number, from: number, to: number, unit: number): boolean {
    const own = this.#unit, step = own * (unit / Number(divisor(BigInt(own), BigInt(unit))));
    // There is no -0.
    const [a, b] = sign > 0 ? [from, to] : [-to, -Math.max(from, 1)];
    const low = Math.max(a, this.#low), high = Math.min(b, this.#high), rest = low % step;
    return (rest === 0 ? low : low - rest + (low > 0 ? step : 0)) <= high;
  }

  step(state: string, byte: number): string | null {
    const isDigit = byte >= zero && byte <= zero + 9, isPoint = byte === point && this.#decimals > 0;
    if (state[0] === "+") {
      const [least, most] = state.slice(1).split(" ").map(Number);
      if (isDigit) return most > 0 ? `+${Math.max(0, least - 1)} ${most - 1}` : null;
      return isPoint && least === 0 ? `.${this.#decimals}!` : null;
    }
    if (state[0] === ".") {
      const most = parseInt(state.slice(1));
      return isDigit && most > 0 ? `.${most - 1}` : null;
    }
    const { value, before, behind } = parse(state);
    if (byte === minus ? state !== "" : isPoint ? before === 0 || behind >= 0 : !isDigit) return null;
    if (isDigit && behind < 0 && ((value === 0 && before === 1) || before === this.#whole)) return null;
    if (isDigit && behind === this.#decimals) return null;
    const next = this.#freed(state + String.fromCharCode(byte));
    return this.missing(next) < Infinity ? next : null;
  }

  /** The state without its digits, where they do not matter. */
  #freed(state: string): string {
    const { sign, value, before, behind } = parse(state), decimals = this.#decimals;
    if (this.#unit !== 1 || before === 0 || (value === 0 && sign < 0)) return state;
    const within = (from: number, to: number): boolean => {
      const [a, b] = sign > 0 ? [from, to] : [-to, -from];
      return a >= this.#low && b <= this.#high;
    };
    const without = (from: number, to: number): boolean => {
      const [a, b] = sign > 0 ? [from, to] : [-to, -from];
      return b < this.#low || a > this.#high;
    };
    if (behind >= 0) {
      const from = value * power(decimals - behind);
      if (!within(from, from + power(decimals - behind) - 1)) return state;
      return `.${decimals - behind}${behind === 0 ? "!" : ""}`;
    }
    const most = value === 0 ? 0 : this.#whole - before;
    let least = -1, last = -1;
    for (let q = 0; q <= most; q++) {
      const from = value * power(q + decimals), to = (value + 1) * power(q + decimals) - 1;
      if (within(from, to)) {
        if (least < 0) least = q;
        else if (last !== q - 1) return state;
        last = q;
      } else if (!without(from, to)) return state;
    }
    return least < 0 ? state : `+${least} ${last}`;
  }
}

/** What a text says so far: its digits as a whole number, how many stand before the point, and how many behind; -1 without. */
function parse(state: string): { sign: number; value: number; before: number; behind: number } {
  const sign = state[0] === "-" ? -1 : 1, plain = sign < 0 ? state.slice(1) : state;
  const at = plain.indexOf("."), all = plain.replace(".", "");
  return {
    sign,
    value: all === "" ? 0 : Number(all),
    before: at < 0 ? plain.length : at,
    behind: at < 0 ? -1 : plain.length - at - 1,
  };
}
