/**
 * What an argument that is no option must be, asked where a public function is entered.
 *
 * Types do not reach callers who write JavaScript, or read what they pass from elsewhere: for them one sentence says what
 * was given, instead of the first member that it turns out not to have.
 *
 * @module
 */
import { FerrotypeError, OptionError } from "./errors.ts";
import { counted, show } from "./show.ts";

/** @throws {OptionError} when `value`, which is called `name` in the message, is not what is `expected`. */
export function demand(what: string, name: string, value: unknown, isIt: boolean, expected: string): void {
  if (!isIt) throw new OptionError(`${what}: ${name} is ${show(value)}, expected ${expected}`);
}

/**
 * Whether `args` are what `map`, `forEach` and their like (`count` 1) or `reduce` (2) give: after what is meant an index, and
 * the list that has the last of it there.
 */
export function areCallback(args: IArguments, count: number): boolean {
  const list: unknown = args[count + 1];
  return args.length === count + 2 && isList(list) && Object.is(list[args[count]], args[count - 1]);
}

const isList = (x: unknown): x is ArrayLike<unknown> => Array.isArray(x) || ArrayBuffer.isView(x);

/**
 * Refuses what a function would not look at: JavaScript passes it over without a word, be it a misspelt call or an option
 * of another library's. Every public function begins with this, but for
 * `toJSON`, which JSON.stringify gives a name. `xs.map(relu)` and `xs.reduce(add)` may stand, where one or
 * two arguments (`called`, by default `most`) are what the function is about.
 * @throws {OptionError} for an argument beyond the `most` that `what` takes, unless it is undefined.
 */
export function demandNoMore(args: IArguments, most: number, what: string, called: number = most): void {
  if (args.length > most) refuseMore(args, most, what, called);
}

function refuseMore(args: IArguments, most: number, what: string, called: number): void {
  const given = [...args], more = given.slice(most).find((value) => value !== undefined);
  if (more === undefined || called > 0 && areCallback(args, called)) return;
  const takes = most === 0 ? "no arguments" : `${counted(most, "argument")} at most`;
  const instead = args.length > 2 && Array.isArray(given.at(-1))
    ? `to map a list write (x) => ${what}(x)`
    : "leave it out";
  throw new OptionError(`${what}: ${show(more)} has no effect, as it takes ${takes}; ${instead}`);
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

/**
 * What `f` gives. An error of this package that begins with one of `others`, functions that `what` is made of, begins with
 * `what` instead: whoever called it did not call them.
 */
export function toldAs<T>(what: string, others: readonly string[], f: () => T): T {
  try {
    const result = f();
    return result instanceof Promise ? result.catch((error) => retell(what, others, error)) as T : result;
  } catch (error) {
    return retell(what, others, error);
  }
}

function retell(what: string, others: readonly string[], error: unknown): never {
  const other = error instanceof FerrotypeError &&
    others.find((name) => (error as Error).message.startsWith(`${name}: `));
  if (typeof other !== "string") throw error;
  const { constructor, message } = error as FerrotypeError;
  const Kind = constructor as new (message: string, options: ErrorOptions) => FerrotypeError;
  throw new Kind(what + message.slice(other.length), { cause: error });
}
