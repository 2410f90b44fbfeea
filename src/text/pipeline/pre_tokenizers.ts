/**
 * How a tokenizer.json cuts a text into the pieces that its model sees: the pre-tokenizers of the Rust library of Hugging Face.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { show } from "../../core/show.ts";
import type { Steps } from "../../core/steps.ts";
import { byteSymbols } from "../bytes.ts";
import { splitPattern } from "../oniguruma.ts";
import { spaceSymbol } from "../sentencepiece/normalizer.ts";
import { gpt2Pattern } from "../white_space.ts";
import { toWtf8 } from "../utf8.ts";
import { countIn, expressionIn, type Part, type PartList, partsOf, textIn } from "./parts.ts";

/** Cuts a piece further; `isFirst` where it begins the text. The first of what comes out is empty where the front is gone. */
export type Cut = (piece: string, isFirst: boolean) => Steps<string[]>;

/** Stretches of a text that make a step. */
const stepStretches = 512;

/** A stretch of a piece. */
interface Stretch {
  start: number;
  end: number;
  isMatch: boolean;
}

const behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = typeof behaviors[number];

function behaviorOf(part: Part, fallback: Behavior): Behavior {
  const own = part.behavior ?? fallback;
  // Files of the Python classes write them in small letters.
  const found = typeof own === "string" &&
    behaviors.find((name) => name.toLowerCase() === own.toLowerCase().replaceAll("_", ""));
  if (found) return found;
  throw new FormatError(
    `"behavior" of ${show(part.type)} in tokenizer.json is ${show(own)}; read are ${behaviors.join(", ")}`,
  );
}

/** The whole piece, in what the expression finds and what lies between. */
function* stretches(piece: string, expression: RegExp, invert: boolean): Steps<Stretch[]> {
  const out: Stretch[] = [];
  let done = 0, count = 0;
  for (const match of piece.matchAll(expression)) {
    if (++count % stepStretches === 0) yield 16 * stepStretches;
    const end = match.index + match[0].length;
    if (match.index > done) out.push({ start: done, end: match.index, isMatch: invert });
    out.push({ start: match.index, end, isMatch: !invert });
    done = end;
  }
  if (done < piece.length) out.push({ start: done, end: piece.length, isMatch: invert });
  return out;
}

/** Joins each match with the stretch before it that is none. */
function mergedWithPrevious(list: readonly Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  let wasMatch = false;
  for (const stretch of list) {
    const last = out.at(-1);
    if (stretch.isMatch && !wasMatch && last) last.end = stretch.end;
    else out.push({ ...stretch });
    wasMatch = stretch.isMatch;
  }
  return out;
}

function mergedWithNext(list: readonly Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  let wasMatch = false;
  for (const stretch of [...list].reverse()) {
    const last = out.at(-1);
    if (stretch.isMatch && !wasMatch && last) last.start = stretch.start;
    else out.push({ ...stretch });
    wasMatch = stretch.isMatch;
  }
  return out.reverse();
}

function contiguous(list: readonly Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  for (const stretch of list) {
    const last = out.at(-1);
    if (last && last.isMatch === stretch.isMatch) last.end = stretch.end;
    else out.push({ ...stretch });
  }
  return out;
}

const arrange: Readonly<Record<Behavior, (list: readonly Stretch[]) => readonly Stretch[]>> = {
  Removed: (list) => list.filter(({ isMatch }) => !isMatch),
  Isolated: (list) => list,
  MergedWithPrevious: mergedWithPrevious,
  MergedWithNext: mergedWithNext,
  Contiguous: contiguous,
};

function cutBy(expression: RegExp, behavior: Behavior, invert = false): Cut {
  return function* (piece) {
    const kept = arrange[behavior](yield* stretches(piece, expression, invert)), out: string[] = [];
    for (const { start, end } of kept) {
      if (end <= start) continue;
      // Where the front is gone there is nothing instead.
      if (start > 0 && out.length === 0) out.push("");
      if (out.push(piece.slice(start, end)) % stepStretches === 0) yield 4 * stepStretches;
    }
    return out.length > 0 ? out : [""];
  };
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
}

/** The piece as it is. */
// deno-lint-ignore require-yield
function* whole(piece: string): Steps<string[]> {
  return [piece];
}

function split(part: Part): Cut {
  const pattern = part.pattern as Part | undefined, { String: plain } = pattern ?? {};
  // An empty text is found nowhere.
  if (plain === "") return whole;
  const expression = typeof plain === "string" ? literal(plain) : expressionIn(part);
  return cutBy(expression, behaviorOf(part, "Isolated"), part.invert === true);
}

function byteLevel(part: Part): Cut {
  const isPrefixed = part.add_prefix_space !== false;
  const cut = part.use_regex === false ? null : cutBy(splitPattern(gpt2Pattern), "Isolated");
  return function* (given) {
    const piece = isPrefixed && !given.startsWith(" ") ? ` ${given}` : given, out: string[] = [];
    for (const own of cut ? yield* cut(piece, false) : [piece]) {
      out.push(Array.from(toWtf8(own), (byte) => byteSymbols[byte]).join(""));
      yield 2 * own.length;
    }
    return out;
  };
}

/** When a Metaspace puts its sign before a text: always, never, or at the first. */
export function prependScheme(part: Part): "always" | "never" | "first" {
  const scheme = part.prepend_scheme ?? (part.add_prefix_space === false ? "never" : "always");
  if (scheme === "always" || scheme === "never" || scheme === "first") return scheme;
  throw new FormatError(
    `"prepend_scheme" in tokenizer.json should be always, never or first and is ${show(scheme)}`,
  );
}

function metaspace(part: Part): Cut {
  const sign = textIn(part, "replacement", spaceSymbol), scheme = prependScheme(part);
  const cut = part.split === false ? null : cutBy(literal(sign), "MergedWithNext");
  return function* (given, isFirst) {
    let piece = given.replaceAll(" ", () => sign);
    if ((scheme === "always" || scheme === "first" && isFirst) && !piece.startsWith(sign)) {
      piece = sign + piece;
    }
    return cut ? yield* cut(piece, isFirst) : [piece];
  };
}

const punctuation = String.raw`[\p{P}\u0021-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u007E]`;

function fixedLength(part: Part): Cut {
  const length = countIn(part, "length", 5);
  return function* (piece) {
    const letters = [...piece], out: string[] = [];
    for (let i = 0; i < letters.length; i += length) {
      if (out.push(letters.slice(i, i + length).join("")) % stepStretches === 0) yield 4 * stepStretches;
    }
    return out;
  };
}

const makers: Readonly<Record<string, (part: Part) => Cut>> = {
  BertPreTokenizer: () =>
    cutBy(
      new RegExp(String.raw`(?:(?!${punctuation})\P{White_Space})+|${punctuation}`, "gu"),
      "Removed",
      true,
    ),
  ByteLevel: byteLevel,
  CharDelimiterSplit: (part) => cutBy(literal(textIn(part, "delimiter")), "Removed"),
  Digits: (part) => cutBy(/\p{N}/gu, part.individual_digits === true ? "Isolated" : "Contiguous"),
  FixedLength: fixedLength,
  Metaspace: metaspace,
  Punctuation: (part) => cutBy(new RegExp(punctuation, "gu"), behaviorOf(part, "Isolated")),
  Split: split,
  Whitespace: () =>
    cutBy(
      /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
      "Removed",
      true,
    ),
  WhitespaceSplit: () => cutBy(/\p{White_Space}/gu, "Removed"),
};

const list: PartList = { name: "pre_tokenizer", inner: "pretokenizers", known: makers };

/**
 * The pre-tokenizer that a file describes.
 * @throws {FormatError} for one that is not known.
 */
export function preTokenizerOf(value: unknown): Cut {
  const cuts = partsOf(value, list).map((part) => makers[part.type](part));
  return function* (text, isFirst) {
    let pieces = [text];
    for (const cut of cuts) {
      const finer: string[] = [];
      for (const [i, piece] of pieces.entries()) {
        if (piece === "") finer.push("");
        else for (const own of yield* cut(piece, isFirst && i === 0)) finer.push(own);
        if (i % stepStretches === stepStretches - 1) yield 8 * stepStretches;
      }
      pieces = finer;
    }
    return pieces.filter((piece) => piece !== "");
  };
}
