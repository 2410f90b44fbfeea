/**
 * JSON from outside: bounded before it is parsed, checked before it is used.
 *
 * A few hundred kilobytes of brackets make gigabytes of objects, and nesting that a parser survives ends whoever walks
 * through it; so brackets and commas are counted first. What a file says is checked by the kinds that options have.
 *
 * @module
 */
import { FormatError } from "./errors.ts";
import { expectedOf, type Kind } from "./kinds.ts";
import { counted, show } from "./show.ts";

/** How much is too much. */
export interface JsonLimits {
  /** The deepest nesting. Default 64. */
  readonly depth?: number;
  /** The most values, in all. Default 20 million: several times those of the largest tokenizer there is. */
  readonly values?: number;
}

/** An object that was parsed. */
export type JsonObject = Record<string, unknown>;

/** How deep a text is nested and how many values it has at most; only right about what turns out to be JSON. */
function measure(text: string, limits: Required<JsonLimits>): "too deep" | "too many" | null {
  let depth = 0, values = 1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > limits.depth) return "too deep";
      values++;
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x2c && ++values > limits.values) return "too many";
  }
  return values > limits.values ? "too many" : null;
}

/** The value of a JSON text. @throws {FormatError} for what is none, is nested too deep or has too many values. */
export function parseJson(text: string, where: string, limits: JsonLimits = {}): unknown {
  const { depth = 64, values = 20_000_000 } = limits;
  const problem = measure(text, { depth, values });
  if (problem !== null) {
    throw new FormatError(
      problem === "too deep"
        ? `${where} is nested deeper than ${counted(depth, "level")}`
        : `${where} has more than ${values.toLocaleString("en")} values`,
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

/** A value that is of the kind. @throws {FormatError} saying where, what is there and what should be. */
export function demand<T>(value: unknown, of: Kind, where: string): T {
  if (!of.accepts(value)) {
    throw new FormatError(`${where} is ${show(value)}, expected ${expectedOf(of, value)}`);
  }
  return value as T;
}

/** A value that is an object. @throws {FormatError} when it is none. */
export function demandObject(value: unknown, where: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(`${where} is ${show(value)}, expected an object`);
  }
  return value as JsonObject;
}

/** A value that is a list. @throws {FormatError} when it is none, or longer than `most`. */
export function demandList(value: unknown, where: string, most: number = Infinity): unknown[] {
  if (!Array.isArray(value)) throw new FormatError(`${where} is ${show(value)}, expected a list`);
  if (value.length > most) {
    throw new FormatError(
      `${where} has ${counted(value.length, "entry", "entries")}, at most ${most} are read`,
    );
  }
  return value as unknown[];
}
