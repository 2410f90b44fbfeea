/**
 * A value as a message shows it: short whatever its size, and never mistaken for another.
 *
 * @module
 */

const mostLetters = 60, mostEntries = 5, mostListed = 20, deepest = 2;

const article = (name: string): string => `${/^[AEIOU]/i.test(name) ? "an" : "a"} ${name}`;

function entries(list: readonly string[], total: number): string {
  return total > list.length ? `${list.join(", ")}, … ${total} in all` : list.join(", ");
}

/** Entries of a list as a message tells them, the first few of many. */
export function listed(list: readonly unknown[], most: number = mostListed): string {
  return entries(list.slice(0, most).map(String), list.length);
}

/** `value` in a few words: numbers and texts as one writes them, long ones cut, other things by the name of their class. */
export function show(value: unknown, depth = 0): string {
  if (typeof value === "string") {
    return value.length > mostLetters
      ? `${JSON.stringify(value.slice(0, mostLetters))}… (${counted(value.length, "character")})`
      : JSON.stringify(value);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") {
    const isClass = /^class\b/.test(Function.prototype.toString.call(value));
    return isClass ? `the class ${value.name}` : "a function";
  }
  // JSON has no NaN and no Infinity, and would say null of them.
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value)) {
    if (depth >= deepest) return `a list of ${value.length}`;
    return `[${entries(value.slice(0, mostEntries).map((v) => show(v, depth + 1)), value.length)}]`;
  }
  const own: unknown = value.constructor?.name;
  if (typeof own === "string" && own !== "" && own !== "Object") return article(own);
  const names = Object.keys(value);
  if (depth >= deepest || names.length === 0) return names.length === 0 ? "{}" : "an object";
  const shown = names.slice(0, mostEntries).map((name) =>
    `${name}: ${show((value as Record<string, unknown>)[name], depth + 1)}`
  );
  return `{ ${entries(shown, names.length)} }`;
}

/** `1 token`, `2 tokens`: a number and what is counted, which is another word where there are `many`. */
export function counted(n: number | bigint, one: string, many: string = `${one}s`): string {
  return `${n} ${nounOf(n, one, many)}`;
}

/** `token` for one, `tokens` for any other number. */
export function nounOf(n: number | bigint, one: string, many: string = `${one}s`): string {
  return Number(n) === 1 ? one : many;
}
