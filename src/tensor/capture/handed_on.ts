/**
 * What a function's text says about its numbers: whether JavaScript can do anything with one but hand it on.
 *
 * `n === 5`, `if (n)`, a key of a map: JavaScript compares a place for a number without asking for its value, so no trace
 * can notice. The sure way is to trace a function again with each new number itself, and to use a program only where that
 * gives the same. The text spares that where it can be trusted:
 *
 * - It *proves* that a number is handed on where each use of its name is an argument, by itself, of a method of a tensor, and
 *   the tensor is a parameter or what such methods made of one: `x.mul(n).add(1)`. Tensors are known by the arguments, and
 *   what their methods do with a number belongs to the library, whose operations take a place or ask it for its value.
 * - It makes it *likely* where whose method it is cannot be seen from here: `loss.mul(n)`, `optimizer.step({ lr })`. There a
 *   function is looked through for the first numbers, and ever more seldom then; one look that finds another program ends
 *   the trust in this text for good.
 * - Anything else says nothing, a call of a function (`mul(x, n)`) too: its name may be anybody's.
 *
 * @module
 */

/** What the text says: see the module's comment. */
export type Evidence = "proved" | "likely" | "none";

/** Methods beside those of tensors that take numbers as operations do. */
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

/** Where the bracket that closes right before `end` was opened; -1 where none closes there. */
function opening(text: string, end: number): number {
  const found = text[end - 1] === ")" ? enclosing(text, end - 1) : null;
  return found && text[found.open] === "(" ? found.open : -1;
}

/** What a text is asked about. */
interface Question {
  readonly text: string;
  /** Whether tensors have a method of this name. */
  readonly isMethod: (name: string) => boolean;
  /** Names that stand for tensors wherever they are met. */
  readonly tensors: ReadonlySet<string>;
}

/** Whose method the one is that is called where the bracket at `open` opens. */
function receiverOf({ text, isMethod, tensors }: Question, open: number): Evidence {
  const method = /\.\s*([\w$]+)\s*$/.exec(text.slice(0, open));
  if (!method) return "none";
  const known = isMethod(method[1]);
  if (!known && !others.has(method[1])) return "none";
  // Back along a chain of calls to what it begins with.
  for (let at = method.index;;) {
    const before = text.slice(0, at).trimEnd(), called = opening(text, before.length);
    if (called < 0) {
      const root = /(?<![\w$.])[\w$]+$/.exec(before);
      return known && root && tensors.has(root[0]) && !/[.?]\s*$/.test(before.slice(0, root.index))
        ? "proved"
        : "likely";
    }
    const link = /\.\s*([\w$]+)\s*$/.exec(text.slice(0, called));
    if (!link || !isMethod(link[1])) return "likely";
    at = link.index;
  }
}

/** What is known of text[from, to) as one argument, by itself. */
function argument(question: Question, from: number, to: number): Evidence {
  const { text } = question, place = enclosing(text, from);
  if (!place || !/^\s*[,)}]/.test(text.slice(to))) return "none";
  const before = text.slice(place.start, from).trim(), bracket = text[place.open];
  if (bracket === "(") return before === "" ? receiverOf(question, place.open) : "none";
  if (bracket !== "{" || !/^(?:[\w$]+\s*:)?$/.test(before)) return "none";
  const close = text.indexOf("}", to);
  // A plain object of options: no brackets of its own.
  return close >= 0 && !/[([{]/.test(text.slice(place.open + 1, close))
    ? argument(question, place.open, close + 1)
    : "none";
}

/** Where a name is used in a text, other than as a property. */
function usesOf(name: string, text: string): number[] {
  const found = text.matchAll(new RegExp(`(?<![\\w$.])${name.replaceAll("$", "\\$")}(?![\\w$])`, "g"));
  return [...found].map(({ index }) => index);
}

/**
 * What the text of `f` says of its number arguments at `places`, given which parameters are tensors and which methods
 * tensors have.
 */
export function handedOn(
  f: (...args: never[]) => unknown,
  places: readonly number[],
  tensorPlaces: readonly number[],
  isMethod: (name: string) => boolean,
): Evidence {
  const text = plainText(f), found = text === null ? null : parametersOf(text);
  if (!found) return "none";
  const { names, body } = found;
  const blind: Question = { text: body, isMethod, tensors: new Set() };
  // A name stands for the parameter where no function within has one of its own, and where it is only asked for methods or
  // handed to methods itself: never on the left of an assignment, in a pattern, or given to who knows whom.
  const isFlat = !/=>|\b(?:function|class|catch|get|set)\b|\.\s*[\w$]+\s*=(?!=)/.test(body);
  const isConstant = (name: string): boolean =>
    usesOf(name, body).every((at) => {
      const end = at + name.length;
      return /^\s*\.\s*[\w$]+\s*\(/.test(body.slice(end)) || argument(blind, at, end) !== "none";
    });
  const tensors = new Set(
    tensorPlaces.map((place) => names[place]).filter((name) => name && isFlat && isConstant(name)),
  );
  const question: Question = { ...blind, tensors };
  let all: Evidence = "proved";
  for (const place of places) {
    const name = names[place];
    if (!name) return "none";
    for (const index of usesOf(name, body)) {
      const end = index + name.length, after = body.slice(end);
      // The name of a property that is no use of the number.
      const one = /^\s*:/.test(after)
        ? /[{,]\s*$/.test(body.slice(0, index)) ? "proved" : "none"
        : argument(question, index, end);
      if (one === "none") return "none";
      if (one === "likely") all = "likely";
    }
  }
  return all;
}
