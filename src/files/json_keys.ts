/**
 * What `JSON.parse` hides: keys that appear twice (the last one silently wins), keys named `__proto__`, and nesting
 * deep enough to be an attack.
 *
 * One pass over the text without recursion. It is run before `JSON.parse`, so it must survive any text, but it only
 * has to be right about text that turns out to be JSON.
 *
 * @module
 */

/** Nothing in a header or an index is nested deeper than this; unknown keys get some room. */
const maxDepth = 64;

/** What is wrong with the keys of a JSON text. */
export interface KeyProblem {
  /** One clause that says it, with the key. */
  readonly reason: string;
  /** The key of the outermost object in which it lies (or which it is). */
  readonly outer: string;
  /** Where in the text, in UTF-16 units. */
  readonly position: number;
}

/** The result of {@link scanKeys}. */
export interface KeyScan {
  /** Where each key of the outermost object stands in the text, in UTF-16 units. */
  readonly positions: ReadonlyMap<string, number>;
  /** The first problem, or null. */
  readonly problem: KeyProblem | null;
}

/** `text` in quotes for a message, cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 97)}...` : text);
}

/** The index of the quote that ends the string opened at `open`, or -1. */
function endOfString(text: string, open: number): number {
  let at = open;
  while ((at = text.indexOf('"', at + 1)) >= 0) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

function decodeKey(text: string, open: number, close: number): string {
  const raw = text.slice(open + 1, close);
  if (!raw.includes("\\")) return raw;
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}

/** Finds the keys of the outermost object and the first key that is repeated, dangerous or too deep. */
export function scanKeys(text: string): KeyScan {
  const positions = new Map<string, number>();
  const stack: (Set<string> | null)[] = [];
  let outer = "", keyComes = false;
  let problem: KeyProblem | null = null;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x7b: // {
      case 0x5b: // [
        if (stack.length === maxDepth) {
          return {
            positions,
            problem: { reason: `the JSON is nested deeper than ${maxDepth} levels`, outer, position: i },
          };
        }
        keyComes = text.charCodeAt(i) === 0x7b;
        stack.push(keyComes ? new Set() : null);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        stack.pop();
        keyComes = false;
        break;
      case 0x2c: // ,
        keyComes = stack.length > 0 && stack[stack.length - 1] !== null;
        break;
      case 0x22: { // "
        const end = endOfString(text, i);
        if (end < 0) return { positions, problem };
        const seen = stack[stack.length - 1];
        if (keyComes && seen) {
          const key = decodeKey(text, i, end);
          if (stack.length === 1) {
            outer = key;
            if (!positions.has(key)) positions.set(key, i);
          }
          if (problem === null) {
            if (seen.has(key)) {
              problem = { reason: `the key ${quote(key)} appears twice`, outer, position: i };
            } else if (key === "__proto__") {
              problem = { reason: `the key "__proto__" is not allowed`, outer, position: i };
            } else if (!key.isWellFormed()) {
              problem = { reason: `the key ${quote(key)} is not valid Unicode`, outer, position: i };
            }
          }
          seen.add(key);
          keyComes = false;
        }
        i = end;
        break;
      }
    }
  }
  return { positions, problem };
}
