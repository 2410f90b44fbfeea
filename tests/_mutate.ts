/**
 * Hostile variants of JSON: a value that is somewhere wrong in the ways in which files are, by accident and on purpose.
 *
 * @module
 */
import type { Generator } from "../src/core/random.ts";

/** One of a list. */
export function pick<T>(random: Generator, list: readonly T[]): T {
  return list[random.integer(0, list.length)];
}

/** Values that nobody expects, made anew each time, as they may be changed in turn. */
function odd(random: Generator): unknown {
  switch (random.integer(0, 24)) {
    case 0:
    case 1:
      return null;
    case 2:
      return random.uniform() < 0.5;
    case 3:
      return -1;
    case 4:
      return 0;
    case 5:
      return pick(random, [0.5, -0.25, 1e-320, 1e308, -1e308]);
    case 6:
      return pick(random, [1e6, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e16, 1e21]);
    case 7:
      return random.integer(-5, 70);
    case 8:
      return "";
    case 9:
      return pick(random, [
        "x",
        "0",
        "-1",
        "1e9",
        "null",
        "NaN",
        "a".repeat(300),
        "\u0000",
        "\ud800",
        "é漢😀",
      ]);
    case 10:
      return pick(random, ["__proto__", "constructor", "length", "toString", "hasOwnProperty", "then"]);
    case 11:
      return [];
    case 12:
      // What is looked for on every object is JSON here, so that it cannot be made a text or a number.
      return random.uniform() < 0.3 ? {} : {
        toString: null,
        valueOf: pick(random, [null, 1, "x"]),
        constructor: { name: null },
        toJSON: 1,
        then: "x",
        length: -1,
      };
    case 13:
      return [null];
    case 14:
      return { type: null };
    case 15:
      return [[], [[]]];
    case 16:
      return Array.from({ length: random.integer(1, 40) }, () => random.integer(-2, 40));
    case 17: {
      let deep: unknown = 1;
      for (let i = random.integer(1, 90); i > 0; i--) deep = random.uniform() < 0.5 ? [deep] : { a: deep };
      return deep;
    }
    case 18:
      return pick(random, [
        "(a+)+$",
        "(a|aa)*b",
        "[",
        "\\p{Nope}",
        "(?=a*)*",
        "(?<x>a)\\k<x>",
        "a{1000}{1000}",
        "\\",
        "(?i:a)",
      ]);
    case 19:
      return { Regex: pick(random, [".*.*=.*", "", "a*", "\\s+", "(", "(\\w+\\s?)*;"]) };
    case 20:
      return {
        type: pick(random, [
          "Sequence",
          "Replace",
          "Split",
          "FixedLength",
          "Strip",
          "BPE",
          "WordPiece",
          "Unigram",
          "NFC",
          "",
        ]),
      };
    case 21:
      return {
        type: "Sequence",
        normalizers: [{ type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" }],
      };
    case 22:
      return Object.fromEntries(Array.from({ length: random.integer(1, 8) }, (_, i) => [`k${i}`, i]));
    default:
      return random.uniform() * 10 ** random.integer(-5, 6);
  }
}

type Holder = { readonly holder: Record<string | number, unknown>; readonly key: string | number };

/** Every place of a value that holds another, at most some thousand. */
function places(value: unknown, found: Holder[] = []): Holder[] {
  if (typeof value !== "object" || value === null || found.length > 3000) return found;
  const holder = value as Record<string | number, unknown>;
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    found.push({ holder, key });
    places(holder[key], found);
  }
  return found;
}

function editText(random: Generator, text: string): string {
  const at = random.integer(0, text.length + 1);
  const pieces = [
    "",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "{% ",
    " %}",
    "{{",
    "}}",
    "*",
    "+",
    "(",
    ")",
    "|",
    "9",
    "-",
    " ",
    "\n",
    "é",
    "𝄞",
  ];
  switch (random.integer(0, 4)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(random.integer(0, text.length + 1));
    case 2:
      return text.slice(0, at) + pick(random, pieces) + text.slice(at);
    default:
      return text.slice(0, at) + pick(random, pieces) + text.slice(at + 1);
  }
}

/** Changes a value in a few places: what it is made of is lost, so give a copy. */
export function mutate(random: Generator, value: unknown): unknown {
  const root = { value };
  for (let edits = 1 + random.integer(0, random.uniform() < 0.3 ? 4 : 2); edits > 0; edits--) {
    const all = places(root);
    if (all.length === 0) break;
    const { holder, key } = pick(random, all);
    const old = holder[key];
    switch (random.integer(0, 10)) {
      case 0:
        if (Array.isArray(holder)) holder.splice(Number(key), 1);
        else delete holder[key];
        break;
      case 1: {
        const other = pick(random, all);
        holder[key] = structuredClone(other.holder[other.key]);
        break;
      }
      case 2:
        if (Array.isArray(old) && old.length) old.push(...old.slice(0, 50));
        else if (typeof old === "object" && old !== null) {
          Object.assign(old, { [pick(random, ["x", "", "type", "0", "toString"])]: odd(random) });
        } else holder[key] = odd(random);
        break;
      case 3:
        if (!Array.isArray(holder)) {
          delete holder[key];
          holder[pick(random, ["__proto_", "x", String(key).toUpperCase(), ""])] = old;
        }
        break;
      case 4:
      case 5:
        holder[key] = typeof old === "string"
          ? editText(random, old)
          : typeof old === "number"
          ? pick(random, [-old, old + 1, old - 1, old * 2, old * 1e6, old / 3])
          : odd(random);
        break;
      default:
        holder[key] = odd(random);
    }
  }
  return root.value;
}

/** Changes a text of JSON where it is no longer JSON, now and then. */
export function mutateText(random: Generator, text: string): string {
  let changed = text;
  for (let edits = random.integer(1, 4); edits > 0; edits--) changed = editText(random, changed);
  return changed;
}
