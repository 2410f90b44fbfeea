/**
 * Whether a function only hands its numbers on, as far as its text tells.
 *
 * `n === 5`, `if (n)`, a key of a map: JavaScript compares a place for a number without asking for its value, so no trace
 * can notice. A function that may do that is traced again for each new number, and its program used where that gives the
 * same. The text spares that to those whose numbers plainly go to operations alone: `x.mul(n)`, `mul(x, n)`, `optimizer.step({ lr })`.
 *
 * @module
 */

/** Methods beside those of tensors (and functions of the same names) that take numbers as operations do. */
const others = new Set(["step"]);

/** The text, words in quotes left out; null where it holds what a simple reader may take for something else. */
function plainText(f: (...args: never[]) => unknown): string | null {
  const text = Function.prototype.toString.call(f).replace(/(["'])[\w\s.-]*\1/g, "0");
  // Quotes and slashes begin strings, patterns and comments, which may hold anything; eval and arguments see all.
  return /["'`/\\]|\beval\b|\barguments\b|\bwith\b/.test(text) ? null : text;
}

/** Names of the parameters of an arrow function or a function; null where they are more than names. */
function parametersOf(text: string): { names: string[]; body: string } | null {
  const found = /^\s*(?:function\b\s*[\w$]*\s*)?\(\s*([\w$\s,]*)\)\s*(?:=>)?/.exec(text) ??
    /^\s*([\w$]+)\s*=>/.exec(text);
  if (!found) return null;
  return { names: found[1].split(",").map((name) => name.trim()), body: text.slice(found[0].length) };
}

/** The place of the bracket that is open at `at`, and where the item of its list that holds `at` begins; null for none. */
function enclosing(text: string, at: number): { open: number; start: number } | null {
  let depth = 0, start = -1;
  for (let i = at - 1; i >= 0; i--) {
    const c = text[i];
    if (c === ")" || c === "]" || c === "}") depth++;
    else if (c === "(" || c === "[" || c === "{") {
      if (depth === 0) return { open: i, start: start < 0 ? i + 1 : start };
      depth--;
    } else if (c === "," && depth === 0 && start < 0) start = i + 1;
    else if (c === ";" && depth === 0) return null;
  }
  return null;
}

/** Whether text[from, to) is one argument, by itself, of a method or function that `isKnown`. */
function isArgument(text: string, from: number, to: number, isKnown: (method: string) => boolean): boolean {
  const place = enclosing(text, from);
  if (!place || !/^\s*[,)}]/.test(text.slice(to))) return false;
  const before = text.slice(place.start, from).trim(), bracket = text[place.open];
  if (bracket === "(") {
    const called = /([\w$]+)\s*$/.exec(text.slice(0, place.open));
    return before === "" && called !== null && isKnown(called[1]);
  }
  if (bracket !== "{" || !/^(?:[\w$]+\s*:)?$/.test(before)) return false;
  const close = text.indexOf("}", to);
  // A plain object of options: no brackets of its own.
  return close >= 0 && !/[([{]/.test(text.slice(place.open + 1, close)) &&
    isArgument(text, place.open, close + 1, isKnown);
}

/**
 * Whether `f` does nothing with its arguments at `places` but hand them to methods that `isMethod` says tensors have. False
 * where that cannot be told.
 */
export function handsOn(
  f: (...args: never[]) => unknown,
  places: readonly number[],
  isMethod: (name: string) => boolean,
): boolean {
  const text = plainText(f), found = text === null ? null : parametersOf(text);
  if (!found) return false;
  const isKnown = (name: string): boolean => others.has(name) || isMethod(name);
  return places.every((place) => {
    const name = found.names[place];
    if (!name) return false;
    const uses = found.body.matchAll(new RegExp(`(?<![\\w$.])${name.replaceAll("$", "\\$")}(?![\\w$])`, "g"));
    return [...uses].every(({ index }) => {
      // The name of a property that is no use of the number.
      const after = found.body.slice(index + name.length);
      if (/^\s*:/.test(after)) return /[{,]\s*$/.test(found.body.slice(0, index));
      return isArgument(found.body, index, index + name.length, isKnown);
    });
  });
}
