/**
 * The regular expressions of a tokenizer.json, as JavaScript says them.
 *
 * They are Oniguruma's in Ruby's syntax: `\s`, `\d`, `\w` and `\b` are Unicode's, `^` and `$` are those of lines, `.` is all but a
 * line feed, `\h` a hexadecimal digit, classes nest and intersect, case may be ignored for a part, and `{1,3}+` repeats a
 * repeat. Possessive repeats (`\p{L}++`) become plain ones: they differ only where giving back would make a match.
 *
 * @module
 */
import { show } from "../core/show.ts";
import { FormatError } from "../core/errors.ts";

const word = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}`;
/** Outside of brackets it has the signs of Latin-1 that are numbers, too: ² ³ ¹ ¼ ½ ¾. */
const wordAlone = String.raw`${word}\xb2\xb3\xb9\xbc-\xbe`;
const any = String.raw`[\s\S]`;

/** Escapes that stand for one character of a set: what goes into a class. */
const sets: Readonly<Record<string, string>> = {
  s: String.raw`\p{White_Space}`,
  d: String.raw`\p{Nd}`,
  h: "0-9A-Fa-f",
  w: word,
};

/** Escapes that stand for something else outside of classes. */
const outside: Readonly<Record<string, string>> = {
  A: `(?<!${any})`,
  z: `(?!${any})`,
  Z: String.raw`(?=\n?(?!${any}))`,
  b: `(?:(?<=[${wordAlone}])(?![${wordAlone}])|(?<![${wordAlone}])(?=[${wordAlone}]))`,
  B: `(?:(?<=[${wordAlone}])(?=[${wordAlone}])|(?<![${wordAlone}])(?![${wordAlone}]))`,
  w: `[${wordAlone}]`,
  W: `[^${wordAlone}]`,
  N: String.raw`[^\n]`,
  O: any,
  R: String.raw`(?:\r\n|[\n\v\f\r\x85\u2028\u2029])`,
};

const characters: Readonly<Record<string, string>> = { a: "\x07", e: "\x1b" };

const posix: Readonly<Record<string, string>> = {
  alnum: String.raw`\p{Alphabetic}\p{Nd}`,
  alpha: String.raw`\p{Alphabetic}`,
  blank: String.raw`\p{Zs}\t`,
  cntrl: String.raw`\p{Cc}`,
  digit: String.raw`\p{Nd}`,
  graph: String.raw`\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}`,
  lower: String.raw`\p{Lowercase}`,
  print: String.raw`\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs}`,
  punct: String.raw`\p{P}\p{S}`,
  space: String.raw`\p{White_Space}`,
  upper: String.raw`\p{Uppercase}`,
  word,
  xdigit: "0-9A-Fa-f",
};

/** One character that an expression takes; a plain one can be the end of a range. */
interface Item {
  /** What goes between the brackets of a class; null for what only an expression of its own can say. */
  readonly inner: string | null;
  /** An expression for the same. */
  readonly whole: string;
  readonly plain?: string;
}

const setItem = (inner: string, negated: boolean): Item => ({
  inner: negated ? (/^\\p\{[^}]*\}$/.test(inner) ? `\\P${inner.slice(2)}` : null) : inner,
  whole: `[${negated ? "^" : ""}${inner}]`,
});

function quoted(character: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(character) ? `\\${character}` : character;
}

/** Both cases of a letter. ſ is an s to an expression that ignores case, and the sign of kelvin is a k. */
function cases(letter: string): string[] {
  const lower = letter.toLowerCase(), upper = letter.toUpperCase();
  const more = lower === "s" || letter === "\u017f"
    ? ["s", "S", "\u017f"]
    : lower === "k"
    ? ["k", "K", "\u212a"]
    : [];
  return [...new Set([letter, lower, upper, ...more])].filter((c) => [...c].length === 1);
}

/** Why an expression is not understood. */
class Unknown extends Error {}

/** How deep groups and classes may be nested. */
const deepest = 100;

/** The widest range whose letters are looked at one by one where case is ignored. */
const widest = 2000;

class Translator {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  translate(): string {
    const out = this.#alternatives(0, { ignoreCase: false, dotAll: false });
    if (this.#at < this.#source.length) throw new Unknown("a ) has no (");
    return out;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source);
    if (found) this.#at += found[0].length;
    return found;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #alternatives(depth: number, given: { ignoreCase: boolean; dotAll: boolean }): string {
    if (depth > deepest) throw new Unknown("its groups are nested too deep");
    let flags = given, out = "";
    while (this.#at < this.#source.length && this.#source[this.#at] !== ")") {
      if (this.#take("|")) {
        out += "|";
        continue;
      }
      const set = this.#match(/\(\?([imx]*)(?:-([imx]*))?\)/y);
      if (set) {
        flags = changed(flags, set);
        continue;
      }
      if (this.#match(/\(\?#[^)]*\)/y)) continue;
      out += this.#repeated(this.#atom(depth, flags));
    }
    return out;
  }

  /** An atom with what repeats it. */
  #repeated(atom: string): string {
    let out = atom;
    for (let times = 0;; times++) {
      const sign = this.#match(/([*+?])([?+]?)/y);
      if (sign) {
        out = `${times > 0 ? `(?:${out})` : out}${sign[1]}${sign[2] === "?" ? "?" : ""}`;
        continue;
      }
      const count = this.#match(/\{(?:(\d+)(,?)(\d*)|,(\d+))\}(\??)/y);
      if (!count) return out;
      const [, from = "0", comma = "", to = "", only, lazy] = count;
      const range = only === undefined ? `${from}${comma}${to}` : `0,${only}`;
      out = `${times > 0 ? `(?:${out})` : out}{${range}}${lazy}`;
    }
  }

  #atom(depth: number, flags: { ignoreCase: boolean; dotAll: boolean }): string {
    const group = this.#match(
      /\((?:\?(?:([imx]*)(?:-([imx]*))?:|([=!]|<[=!])|<([\p{L}_][\p{L}\p{N}_]*)>|(>|~|\()))?/yu,
    );
    if (group) {
      const [open, , , look, name, other] = group;
      if (other !== undefined) throw new Unknown(`${open} is not read here`);
      const inner = this.#alternatives(
        depth + 1,
        look === undefined && open.endsWith(":") ? changed(flags, group) : flags,
      );
      if (!this.#take(")")) throw new Unknown("a ( has no )");
      return look !== undefined
        ? `(?${look}${inner})`
        : name !== undefined
        ? `(?<${name}>${inner})`
        : open === "("
        ? `(${inner})`
        : `(?:${inner})`;
    }
    if (this.#take("^")) return String.raw`(?<![^\n])`;
    if (this.#take("$")) return String.raw`(?![^\n])`;
    if (this.#take(".")) return flags.dotAll ? any : String.raw`[^\n]`;
    if (this.#source[this.#at] === "[") return this.#class(depth, flags.ignoreCase).whole;
    const assertion = this.#match(/\\([AzZbBRwWNO])/y);
    if (assertion) return outside[assertion[1]];
    const back = this.#match(/\\(?:[1-9]\d*|k<[^>]+>)/y);
    if (back) return back[0];
    if (this.#match(/[*+?]/y)) throw new Unknown("something is repeated that is not there");
    const item = this.#character();
    if (item.plain === undefined) return item.whole;
    const all = flags.ignoreCase ? cases(item.plain) : [item.plain];
    return all.length > 1 ? `[${all.map(quoted).join("")}]` : item.whole;
  }

  /** A character, or an escape for one of a set. */
  #character(): Item {
    const property = this.#match(/\\([pP])\{(\^?)([^}]*)\}/y);
    if (property) {
      const [, letter, not, name] = property;
      return setItem(propertyOf(name), (letter === "P") !== (not === "^"));
    }
    const set = this.#match(/\\([sSdDhHwW])/y);
    if (set) {
      const lower = set[1].toLowerCase();
      return setItem(sets[lower], lower !== set[1]);
    }
    const code = this.#match(
      /\\x\{([\dA-Fa-f]{1,8})\}|\\x([\dA-Fa-f]{1,2})|\\u([\dA-Fa-f]{4})|\\u\{([\dA-Fa-f]{1,6})\}/y,
    );
    if (code) {
      const number = parseInt(code[1] ?? code[2] ?? code[3] ?? code[4], 16);
      if (number > 0x10ffff) throw new Unknown(`${code[0]} is no character`);
      return plainItem(String.fromCodePoint(number));
    }
    const control = this.#match(/\\([nrtfv0])/y);
    if (control) {
      return {
        ...plainItem(
          JSON.parse(`"${control[1] === "v" ? "\\u000b" : control[1] === "0" ? "\\u0000" : control[0]}"`),
        ),
      };
    }
    const escaped = this.#match(/\\([\s\S])/yu);
    if (escaped) {
      if (/[\p{L}\p{N}]/u.test(escaped[1]) && !Object.hasOwn(characters, escaped[1])) {
        throw new Unknown(`${escaped[0]} is not read here`);
      }
      return plainItem(characters[escaped[1]] ?? escaped[1]);
    }
    const own = this.#match(/[\s\S]/yu);
    if (!own || own[0] === "\\") throw new Unknown("it ends too early");
    return plainItem(own[0]);
  }

  /** A class, with those inside of it. */
  #class(depth: number, ignoreCase: boolean): Item {
    if (depth > deepest) throw new Unknown("its classes are nested too deep");
    this.#at++;
    const negated = this.#take("^"), both: string[] = [];
    let inner = "", others: string[] = [], isFirst = true;
    const close = (): string => {
      const own = inner === "" ? [] : [`[${inner}]`], all = [...own, ...others];
      if (all.length === 0) throw new Unknown("a class is empty");
      inner = "";
      others = [];
      return all.length === 1 ? all[0] : `(?:${all.join("|")})`;
    };
    for (;; isFirst = false) {
      if (this.#at >= this.#source.length) throw new Unknown("a [ has no ]");
      if (!isFirst && this.#take("]")) break;
      if (this.#take("&&")) {
        both.push(close());
        continue;
      }
      const named = this.#match(/\[:(\^?)([a-z]+):\]/y);
      if (named && !Object.hasOwn(posix, named[2])) throw new Unknown(`${named[0]} is not known`);
      const item = named
        ? setItem(posix[named[2]], named[1] === "^")
        : this.#source[this.#at] === "["
        ? this.#class(depth + 1, ignoreCase)
        : this.#character();
      if (item.inner === null) others.push(item.whole);
      else if (item.plain === undefined) inner += item.inner;
      else inner += this.#range(item.plain, ignoreCase);
    }
    if (both.length === 0 && others.length === 0) {
      if (inner === "") throw new Unknown("a class is empty");
      return { inner: negated ? null : inner, whole: `[${negated ? "^" : ""}${inner}]` };
    }
    const last = close(),
      positive = both.length === 0 ? last : `(?:${both.map((part) => `(?=${part})`).join("")}${last})`;
    return { inner: null, whole: negated ? `(?:(?!${positive})${any})` : positive };
  }

  /** A character of a class, or the range that it begins. */
  #range(from: string, ignoreCase: boolean): string {
    const begin = this.#at;
    let to = from;
    if (this.#take("-")) {
      const next = this.#source[this.#at], end = next === "]" || next === "[" ? null : this.#character();
      if (end?.plain === undefined) this.#at = begin;
      else to = end.plain;
    }
    const first = from.codePointAt(0)!, last = to.codePointAt(0)!;
    if (first > last) throw new Unknown("a range ends before it begins");
    const own = first === last ? quoted(from) : `${quoted(from)}-${quoted(to)}`;
    if (!ignoreCase || last - first > widest) return own;
    const more = new Set<string>();
    for (let code = first; code <= last; code++) {
      for (const other of cases(String.fromCodePoint(code))) more.add(other);
    }
    return own +
      [...more].filter((c) => c.codePointAt(0)! < first || c.codePointAt(0)! > last).map(quoted).join("");
  }
}

function plainItem(character: string): Item {
  return { inner: quoted(character), whole: quoted(character), plain: character };
}

function changed<F extends { ignoreCase: boolean; dotAll: boolean }>(flags: F, found: RegExpExecArray): F {
  const [, on = "", off = ""] = found;
  if (`${on}${off}`.includes("x")) throw new Unknown("comments (?x) are not read here");
  const set = (now: boolean, flag: string): boolean => on.includes(flag) || now && !off.includes(flag);
  return { ...flags, ignoreCase: set(flags.ignoreCase, "i"), dotAll: set(flags.dotAll, "m") };
}

/** A property as a class of JavaScript has it: Unicode's own, a script, or one of POSIX. */
function propertyOf(name: string): string {
  const lower = name.toLowerCase().replaceAll(/[\s_-]/g, "");
  // In brackets it has some symbols, too.
  if (lower === "punct") return String.raw`\p{P}`;
  if (Object.hasOwn(posix, lower)) return posix[lower];
  const capital = name.replaceAll(/(?:^|(?<=[_ ]))[a-z]/g, (c) => c.toUpperCase()).replaceAll(" ", "_");
  for (const form of [name, capital, `Script=${name}`, `Script=${capital}`]) {
    if (!/^[\w=]+$/.test(form)) continue;
    try {
      new RegExp(`\\p{${form}}`, "u");
      return `\\p{${form}}`;
    } catch {
      // Another form, then.
    }
  }
  throw new Unknown(`the property ${show(name)} is not known`);
}

/**
 * A pattern of a tokenizer.json as JavaScript says it.
 * @throws {FormatError} for one that cannot be.
 */
export function splitPattern(source: string): RegExp {
  try {
    return new RegExp(new Translator(source).translate(), "gu");
  } catch (cause) {
    const shown = source.length > 80 ? `${source.slice(0, 77)}...` : source;
    throw new FormatError(
      `the split pattern ${JSON.stringify(shown)} is not understood: ${(cause as Error).message}`,
      { cause },
    );
  }
}
