/**
 * Texts: normalised, joined, cut, matched, counted.
 *
 * @module
 */
import { broadcastShapes, broadcastStrides, contiguousStrides, sizeOf } from "../../core/shape.ts";
import { show } from "../../core/show.ts";
import type { Call, OperatorTable, Result, Results } from "../call.ts";
import { elements, tensorOf, textsOf } from "../values.ts";
import { wholeMatch } from "./whole_match.ts";

/** Letters of a text at most: engines hold some more. */
const mostLetters = 2 ** 28;

function normalize(c: Call): Result {
  const { shape, data } = c.texts(0), stop = c.strings("stopwords") ?? [];
  const change = c.text("case_change_action", "NONE", ["LOWER", "UPPER", "NONE"]);
  const isExact = c.int("is_case_sensitive", 0) !== 0,
    fold = (text: string): string => isExact ? text : text.toLowerCase();
  const words = new Set(stop.map(fold)), kept = data.filter((text) => !words.has(fold(text)));
  const list = kept.map((text) =>
    change === "LOWER" ? text.toLowerCase() : change === "UPPER" ? text.toUpperCase() : text
  );
  // A row of nothing is one empty text.
  const out = list.length ? list : [""];
  return textsOf(shape.length === 2 ? [1, out.length] : [out.length], out);
}

function joinPairs(c: Call): Result {
  const a = c.texts(0), b = c.texts(1), shape = broadcastShapes("StringConcat", a.shape, b.shape);
  const at = (given: readonly number[]): number[] => {
    const strides = broadcastStrides(given, contiguousStrides(given), shape), own = contiguousStrides(shape);
    return Array.from(
      { length: sizeOf(shape) },
      (_, i) => shape.reduce((sum, n, d) => sum + Math.floor(i / own[d]) % n * strides[d], 0),
    );
  };
  c.room(4 * sizeOf(shape));
  const left = at(a.shape), right = at(b.shape);
  return textsOf(
    shape,
    left.map((i, k) => {
      const one = a.data[i], other = b.data[right[k]], length = one.length + other.length;
      if (length > mostLetters) throw c.fail(`a text of ${length} letters, and ${mostLetters} are held`);
      return one + other;
    }),
  );
}

/** Counts of known n-grams, with gaps of up to `max_skip_count` between their words. */
async function countGrams(c: Call): Promise<Result> {
  const value = c.value(0), shape = value.kind === "texts" ? value.shape : c.t(0).shape;
  const words: (string | number)[] = value.kind === "texts"
    ? [...value.data]
    : Array.from(await elements(c.t(0)) as ArrayLike<number | bigint>, Number);
  const starts = c.ints("ngram_counts") ?? [],
    pool = c.strings("pool_strings") ?? c.ints("pool_int64s") ?? [];
  const places = c.ints("ngram_indexes") ?? [],
    weights = c.floats("weights"),
    mode = c.text("mode", "TF", ["TF", "IDF", "TFIDF"]);
  const [least, most, skip] = [
    c.int("min_gram_length", 1),
    c.int("max_gram_length", 1),
    c.int("max_skip_count", 0),
  ];
  const known = new Map<string, number>();
  let gram = 0;
  starts.forEach((start, k) => {
    const size = k + 1, end = starts[k + 1] ?? pool.length;
    for (let at = start; at + size <= end; at += size) {
      if (size >= least && size <= most) known.set(JSON.stringify(pool.slice(at, at + size)), gram);
      gram++;
    }
  });
  const width = places.reduce((a, b) => Math.max(a, b + 1), 0), rows = shape.length === 2 ? shape[0] : 1;
  const length = rows ? words.length / rows : 0, out = new Array<number>(rows * width).fill(0);
  for (let row = 0; row < rows; row++) {
    const line = words.slice(row * length, (row + 1) * length);
    for (let size = least; size <= most; size++) {
      for (let gap = 1; gap <= (size === 1 ? 1 : skip + 1); gap++) {
        for (let at = 0; at + (size - 1) * gap < line.length; at++) {
          const found = known.get(JSON.stringify(Array.from({ length: size }, (_, i) => line[at + i * gap])));
          if (found !== undefined) out[row * width + places[found]]++;
        }
      }
    }
  }
  if (mode !== "TF") {
    places.forEach((place, k) => {
      for (let row = 0; row < rows; row++) {
        const i = row * width + place, weight = weights?.[k] ?? 1;
        out[i] = mode === "IDF" ? (out[i] > 0 ? weight : 0) : out[i] * weight;
      }
    });
  }
  return tensorOf(out, shape.length === 2 ? [rows, width] : [width], "float", c.around.device);
}

/** Texts cut at a delimiter, or at white space: a new axis as long as the longest row, and how many parts each has. */
function splitTexts(c: Call): Results {
  const { shape, data } = c.texts(0), by = c.text("delimiter", "");
  const most = c.said("maxsplit") ? c.int("maxsplit", 0) : Infinity;
  const rows = data.map((text) => by ? partsOf(text, by, most) : wordsOf(text, most));
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  c.room(2 * rows.length * width);
  const filled = rows.flatMap((row) => [...row, ...new Array<string>(width - row.length).fill("")]);
  const counts = tensorOf(rows.map((row) => row.length), shape, "int64", c.around.device);
  return [textsOf([...shape, width], filled), counts];
}

function partsOf(text: string, by: string, most: number): string[] {
  if (text === "") return [];
  const all = text.split(by);
  return all.length - 1 > most ? [...all.slice(0, most), all.slice(most).join(by)] : all;
}

function wordsOf(text: string, most: number): string[] {
  const words: string[] = [];
  let rest = text.trimStart();
  while (rest !== "") {
    const end = words.length < most ? rest.search(/\s/) : -1;
    if (end < 0) return [...words, rest];
    words.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return words;
}

/** Whether texts are met by an expression of RE2, from end to end. */
function matchWhole(c: Call): Result {
  const { shape, data } = c.texts(0), given = c.text("pattern", "");
  const [, flags = "", rest] = /^(?:\(\?([is]+)\))?(.*)$/s.exec(given)!;
  // Punctuation may be escaped there, whether or not it means something; the ends of the text are its ends anyway.
  const source = rest.replace(/\(\?P?<\w+>/g, "(?:").replace(/^\^|(?<=(?:^|[^\\])(?:\\\\)*)\$$/g, "").replace(
    /\\([\s\S])/g,
    (whole, letter: string) =>
      /[\w^$\\.*+?()[\]{}|/]/.test(letter) || letter.codePointAt(0)! > 127
        ? whole
        : `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  let meets: (text: string) => boolean;
  try {
    meets = wholeMatch(source, `u${flags}`);
  } catch (error) {
    throw c.fail(`pattern ${show(given)} is not read here: ${(error as Error).message}`);
  }
  return tensorOf(data.map((text) => Number(meets(text))), shape, "bool", c.around.device);
}

/** The operators. */
export const texts: OperatorTable = {
  StringNormalizer: { since: [10], noGradient: "texts", waits: true, run: normalize },
  StringConcat: { since: [20], noGradient: "texts", waits: true, run: joinPairs },
  StringSplit: { since: [20], noGradient: "texts", waits: true, run: splitTexts },
  RegexFullMatch: { since: [20], noGradient: "texts", waits: true, run: matchWhole },
  TfIdfVectorizer: { since: [9], noGradient: "texts", waits: true, run: countGrams },
};
