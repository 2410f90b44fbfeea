/**
 * What an argument that is no option must be, asked where a public function is entered.
 *
 * Types do not reach callers who write JavaScript, or read what they pass from elsewhere: for them one sentence says what
 * was given, instead of the first member that it turns out not to have.
 *
 * @module
 */
import { OptionError } from "./errors.ts";
import { show } from "./show.ts";

/** @throws {OptionError} when `value`, which is called `name` in the message, is not what is `expected`. */
export function demand(what: string, name: string, value: unknown, isIt: boolean, expected: string): void {
  if (!isIt) throw new OptionError(`${what}: ${name} is ${show(value)}, expected ${expected}`);
}

/** @throws {OptionError} for what cannot be called. */
export function demandFunction(what: string, f: unknown, name = "f"): void {
  demand(what, name, f, typeof f === "function", "a function");
}

/** @throws {OptionError} for anything but a string. */
export function demandText(what: string, text: unknown, name = "the text"): void {
  demand(what, name, text, typeof text === "string", "a text");
}

/** @throws {OptionError} for anything but a list or an array of numbers. */
export function demandNumbers(what: string, numbers: unknown, name: string): void {
  const isIt = Array.isArray(numbers) || (ArrayBuffer.isView(numbers) && !(numbers instanceof DataView));
  demand(what, name, numbers, isIt, "a list of numbers");
}

/** @throws {OptionError} for null, a list and what is no object: `expected` says which object is meant. */
export function demandRecord(what: string, value: unknown, name: string, expected: string): void {
  demand(what, name, value, typeof value === "object" && value !== null && !Array.isArray(value), expected);
}

/** @throws {OptionError} for anything but a path or a URL. */
export function demandPath(what: string, path: unknown): void {
  const isPath = typeof path === "string" ? path !== "" : path instanceof URL;
  demand(what, "the path", path, isPath, "a path or a file: URL");
}

/** @throws {OptionError} for what cannot be walked: `expected` says what it is to hold. */
export function demandIterable(what: string, value: unknown, name: string, expected: string): void {
  demand(what, name, value, isIterable(value), expected);
}

function isIterable(value: unknown): boolean {
  if (typeof value === "string") return true;
  return typeof value === "object" && value !== null &&
    (Symbol.iterator in value || Symbol.asyncIterator in value);
}
