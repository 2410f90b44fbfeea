/**
 * Regular expressions as grammars: literals, classes, groups, choices and repetitions, in JavaScript's syntax. A pattern
 * stands for the whole text. What needs memory or a look around (back references, assertions) is refused.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { counted, show } from "../../core/show.ts";
import { finish, type Steps } from "../../core/steps.ts";
import { formatLimits } from "./limits.ts";
import { choice, complement, literal, type Part, type Range, repeat, sequence, set } from "./grammar.ts";

const code = (char: string): number => char.codePointAt(0)!;
const digits: Range[] = [[48, 57]];
const word: Range[] = [[48, 57], [65, 90], [95, 95], [97, 122]];
const space: Range[] = [[9, 13], [32, 32], [160, 160], [0x2028, 0x2029], [0xfeff, 0xfeff]];
const classes: Readonly<Record<string, readonly Range[]>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };

const {
  patternCharacters: mostCharacters,
  patternDepth: mostDeep,
  ranges: mostRanges,
  repetitions: mostRepeats,
} = formatLimits;

/** Atoms that make a step, and what one costs. */
const stepAtoms = 64, atomUnits = 16;

/** The grammar of a pattern. @throws {OptionError} for what is no pattern, or cannot be followed token by token. */
export function parsePattern(pattern: string): Part {
  return finish(patternSteps(pattern));
}

/** The same in steps. */
export function* patternSteps(pattern: string): Steps<Part> {
  const chars = [...pattern];
  let at = 0, depth = 0, atoms = 0;
  const fail = (message: string): never => {
    throw new OptionError(`the pattern ${show(pattern)} at ${at}: ${message}`);
  };
  if (chars.length > mostCharacters) {
    fail(`it has ${counted(chars.length, "character")}, and ${mostCharacters} may be`);
  }
  const take = (): string => at < chars.length ? chars[at++] : fail("it ends too early");
  const sees = (text: string): boolean => chars.slice(at, at + text.length).join("") === text;

  const hex = (count: number): number => {
    const text = chars.slice(at, at + count).join("");
    if (!/^[0-9a-fA-F]+$/.test(text) || text.length !== count) {
      fail(`${count} hexadecimal digits are expected`);
    }
    at += count;
    return parseInt(text, 16);
  };
  /** What follows a backslash. */
  const escape = (): readonly Range[] => {
    const char = take();
    if (Object.hasOwn(classes, char)) return classes[char];
    if (Object.hasOwn(controls, char)) return [[controls[char], controls[char]]];
    if (char === "x" || char === "u") {
      if (char === "u" && sees("{")) {
        const found = /^\{([0-9a-fA-F]{1,8})\}/.exec(chars.slice(at, at + 10).join(""));
        const value = parseInt(found?.[1] ?? "", 16);
        if (!found || !(value <= 0x10ffff)) fail("\\u{…} holds a code point");
        at += found![0].length;
        return [[value, value]];
      }
      const value = hex(char === "x" ? 2 : 4);
      return [[value, value]];
    }
    if (/[a-zA-Z1-9]/.test(char)) {
      fail(`\\${char} cannot be followed; classes are \\d \\w \\s and their opposites`);
    }
    return [[code(char), code(char)]];
  };
  const charClass = (): Part => {
    const negative = sees("^"), ranges: Range[] = [];
    if (negative) at++;
    while (!sees("]")) {
      let first: readonly Range[] = [];
      const char = take();
      first = char === "\\" ? sees("b") ? (at++, [[8, 8]]) : escape() : [[code(char), code(char)]];
      if (sees("-") && chars[at + 1] !== "]" && first.length === 1 && first[0][0] === first[0][1]) {
        at++;
        const other = take(), last = other === "\\" ? escape() : [[code(other), code(other)] as const];
        if (last.length !== 1 || last[0][0] < first[0][0]) {
          fail("a range goes from a smaller to a larger character");
        }
        ranges.push([first[0][0], last[0][1]]);
      } else ranges.push(...first);
    }
    at++;
    const merged = complement(complement(ranges));
    if (merged.length > mostRanges) {
      fail(`a class has ${counted(merged.length, "range")}, and ${mostRanges} may be`);
    }
    return set(...(negative ? complement(ranges) : merged));
  };
  const atom = function* (): Steps<Part> {
    const char = take();
    if (++atoms % stepAtoms === 0) yield stepAtoms * atomUnits;
    switch (char) {
      case "(": {
        if (sees("?")) {
          if (!sees("?:")) fail("groups with (? other than (?:…) cannot be followed");
          at += 2;
        }
        if (++depth > mostDeep) fail(`groups stand in each other more than ${mostDeep} deep`);
        const inner = yield* alternatives();
        depth--;
        if (take() !== ")") fail("a group is not closed");
        return inner;
      }
      case "[": {
        const found = charClass();
        yield found.kind === "set" ? 8 * found.ranges.length : 1;
        return found;
      }
      case ".":
        return set(...complement([[10, 10], [13, 13], [0x2028, 0x2029]]));
      case "\\":
        if (sees("b") || sees("B")) fail("word boundaries cannot be followed");
        return set(...escape());
      case "*":
      case "+":
      case "?":
      case "{":
        at--;
        return fail(`"${char}" repeats nothing; write \\${char} for the character`);
      case "^":
      case "$":
        at--;
        return fail(`"${char}" may stand only at the ends, where it is implied`);
      default:
        return literal(char);
    }
  };
  const repeated = function* (): Steps<Part> {
    const part = yield* atom();
    const bounds = sees("{") ? /^\{(\d+)(,(\d*))?\}/.exec(chars.slice(at, at + 40).join("")) : null;
    let least = 0, most = Infinity;
    if (bounds) {
      at += bounds[0].length;
      least = Number(bounds[1]);
      most = bounds[2] === undefined ? least : bounds[3] ? Number(bounds[3]) : Infinity;
      if (most < least || least > mostRepeats || (most < Infinity && most > mostRepeats)) {
        fail(`{${least},${most}} repeats from a smaller to a larger number, at most ${mostRepeats} times`);
      }
    } else if (sees("*")) at++;
    else if (sees("+")) at++, least = 1;
    else if (sees("?")) at++, most = 1;
    else return part;
    // A lazy quantifier allows the same texts.
    if (sees("?")) at++;
    return repeat(part, least, most);
  };
  const alternatives = function* (): Steps<Part> {
    const parts: Part[] = [];
    for (;;) {
      const terms: Part[] = [];
      while (at < chars.length && !sees("|") && !sees(")")) terms.push(yield* repeated());
      parts.push(sequence(...terms));
      if (!sees("|")) return choice(...parts);
      at++;
    }
  };

  if (sees("^")) at++;
  if (chars.at(-1) === "$" && chars.at(-2) !== "\\") chars.pop();
  const result = yield* alternatives();
  yield 1 + atoms % stepAtoms * atomUnits;
  if (at < chars.length) fail(`")" closes nothing`);
  return result;
}
