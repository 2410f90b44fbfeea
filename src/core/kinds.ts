/**
 * What a value may be: in words, as a test, and as a way to read it from a command line.
 *
 * A kind is written once where an option is made; the library's check, the command's, messages and help follow from it.
 *
 * @module
 */
import { dtypes } from "./dtype.ts";
import { show } from "./show.ts";

/** What a value may be. */
export interface Kind {
  /** In words: "a whole number from 0". */
  readonly expected: string;
  /** Whether `value` is one. */
  readonly accepts: (value: unknown) => boolean;
  /** The value that a text of a command line means, to be accepted or not. Default: the text itself. */
  readonly read?: (text: string) => unknown;
  /** All that it may be, where these are few. */
  readonly choices?: readonly unknown[];
}

/** Where numbers lie. */
export interface Bounds {
  /** The least. */
  readonly from?: number;
  /** The largest. */
  readonly to?: number;
  /** What they are larger than. */
  readonly above?: number;
  /** What they are less than. */
  readonly below?: number;
}

const bound = (words: string, n: number | undefined): string => n === undefined ? "" : ` ${words} ${n}`;

function range({ from, to, above, below }: Bounds): string {
  return bound("from", from) + bound("above", above) +
    bound(above === undefined && from !== undefined ? "to" : "up to", to) +
    bound(from === undefined && above === undefined ? "below" : "and below", below);
}

function lies(
  x: number,
  { from = -Infinity, to = Infinity, above = -Infinity, below = Infinity }: Bounds,
): boolean {
  return x >= from && x <= to && x > above && x < below;
}

const readNumber = (text: string): unknown => text.trim() === "" ? text : Number(text);

/** A number, never NaN or infinite. */
export function number(bounds: Bounds = {}): Kind {
  return {
    expected: `a number${range(bounds)}`,
    accepts: (x) => typeof x === "number" && Number.isFinite(x) && lies(x, bounds),
    read: readNumber,
  };
}

/** A whole number that a double holds exactly. */
export function whole(from?: number, to?: number): Kind {
  const bounds: Bounds = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  return {
    expected: `a whole number${range(bounds)}`,
    accepts: (x) => Number.isSafeInteger(x) && lies(x as number, bounds),
    read: readNumber,
  };
}

/**
 * What is expected in place of `value`: of a whole number that is none for its size alone, the limit, too. That is said of no
 * other, as nobody counts so far.
 */
export function expectedOf({ expected }: Kind, value: unknown): string {
  const n = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (!Number.isInteger(n) || Number.isSafeInteger(n)) return expected;
  return expected.replace(/\ba whole number( from -?\d+)?(?! from | to )/, "$& up to 2^53 - 1");
}

const units = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 } as const;

/** Bytes: at least one, and on a command line with a unit, such as 500MB or 2GB. */
export const size: Kind = {
  expected: "a size such as 500MB or 2GB",
  accepts: (x) => typeof x === "number" && x >= 1,
  read(text) {
    const found = /^(\d+(?:\.\d+)?)\s*(k|M|G|T)?B?$/i.exec(text);
    return found ? Number(found[1]) * units[(found[2] ?? "").toLowerCase() as keyof typeof units] : text;
  },
};

/** true or false. */
export const flag: Kind = { expected: "true or false", accepts: (x) => typeof x === "boolean" };

/** A text. */
export const text: Kind = { expected: "a text", accepts: (x) => typeof x === "string" };

/** A text of at least one character. */
export const someText: Kind = {
  expected: "a text of at least one character",
  accepts: (x) => typeof x === "string" && x !== "",
};

/** One of a few values. */
export function oneOf(...values: readonly unknown[]): Kind {
  const shown = values.map((v) => show(v)), last = shown.pop();
  return {
    expected: shown.length ? `${shown.join(", ")} or ${last}` : `${last}`,
    accepts: (x) => values.includes(x),
    choices: values,
  };
}

/** A function. */
export const callback: Kind = { expected: "a function", accepts: (x) => typeof x === "function" };

/** What can stop work. One of another realm (a frame, a test runner's) is as good. */
export const abortSignal: Kind = {
  expected: "an AbortSignal",
  accepts: (x) => typeof x === "object" && x !== null && typeof (x as AbortSignal).aborted === "boolean",
};

/** Any object that is no list. */
export const object: Kind = {
  expected: "an object",
  accepts: (x) => typeof x === "object" && x !== null && !Array.isArray(x),
};

/** A value that `accepts` knows, described by `expected`. */
export const kind = (expected: string, accepts: Kind["accepts"]): Kind => ({ expected, accepts });

/** What a class makes, or what is made like it: an object with these members. */
export function like(expected: string, ...members: readonly string[]): Kind {
  return kind(
    expected,
    (x) => (typeof x === "object" || typeof x === "function") && x !== null && members.every((m) => m in x),
  );
}

/** A list whose entries are all of a kind; `expected` says so in words. */
export function listOf(entry: Kind, expected: string, least = 0): Kind {
  return kind(expected, (x) => Array.isArray(x) && x.length >= least && x.every((v) => entry.accepts(v)));
}

/** One of several kinds. What is read is what the first of them reads. */
export function either(first: Kind, ...others: readonly Kind[]): Kind {
  const all = [first, ...others], last = all[all.length - 1].expected;
  return {
    expected: `${all.slice(0, -1).map((k) => k.expected).join(", ")} or ${last}`,
    accepts: (x) => all.some((k) => k.accepts(x)),
    ...(first.read ? { read: first.read } : {}),
  };
}

/** The kind, or null. */
export function orNull(of: Kind): Kind {
  return { ...of, expected: `${of.expected}, or null`, accepts: (x) => x === null || of.accepts(x) };
}

/** The kind under other words. */
export const called = (expected: string, of: Kind): Kind => ({ ...of, expected });

/** The seed of a stream of random numbers. */
export const seed: Kind = whole(0);

/** A dtype. */
export const dtype: Kind = oneOf(...dtypes);

/** A device: which of them are here is for the process to say. */
export const device: Kind = oneOf("cpu", "webgpu", "reference");
