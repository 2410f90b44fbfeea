/**
 * Texts: normalised, joined, counted; and what classical models look up by text (`ai.onnx.ml`).
 *
 * @module
 */
import { broadcastShapes, broadcastStrides, contiguousStrides, sizeOf } from "../../core/shape.ts";
import { toNumbers } from "../../tensor/mod.ts";
import type { Call, OperatorTable, Result } from "../call.ts";
import { elements, tensorOf, textsOf } from "../values.ts";

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

/** `ai.onnx.ml`'s table from one kind of value to another. */
async function encodeLabels(c: Call): Promise<Result> {
  const value = c.value(0), shape = value.kind === "texts" ? value.shape : c.t(0).shape;
  const given: (string | number)[] = value.kind === "texts"
    ? [...value.data]
    : Array.from(toNumbers(await elements(c.t(0)), c.t(0).dtype));
  const keys = c.strings("keys_strings") ?? c.ints("keys_int64s") ?? c.floats("keys_floats");
  const texts = c.strings("values_strings"),
    whole = c.ints("values_int64s"),
    floats = c.floats("values_floats");
  const values: readonly (string | number)[] | null = texts ?? whole ?? floats;
  if (!keys || !values || keys.length !== values.length) {
    throw c.fail("its keys and values are not two lists of one length");
  }
  const table = new Map<string | number, string | number>();
  keys.forEach((key, i) => {
    if (!table.has(key)) table.set(key, values[i]);
  });
  if (texts) {
    const missing = c.text("default_string", "_Unused");
    return textsOf(shape, given.map((v) => String(table.get(v) ?? missing)));
  }
  const missing = whole ? c.int("default_int64", -1) : c.float("default_float", -0);
  return tensorOf(
    given.map((v) => Number(table.get(v) ?? missing)),
    shape,
    whole ? "int64" : "float",
    c.around.device,
  );
}

/** The operators. */
export const texts: OperatorTable = {
  StringNormalizer: { since: [10], noGradient: "texts", waits: true, run: normalize },
  StringConcat: { since: [20], noGradient: "texts", waits: true, run: joinPairs },
  TfIdfVectorizer: { since: [9], noGradient: "texts", waits: true, run: countGrams },
};

/** Those of `ai.onnx.ml`. */
export const classical: OperatorTable = {
  LabelEncoder: { since: [1, 2, 4], noGradient: "texts", waits: true, run: encodeLabels },
};
