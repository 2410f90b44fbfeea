/**
 * How a CSV file is written, guessed from its beginning: delimiter, quote, whether the first record names the columns.
 *
 * @module
 */
import { isMissing, parseIsoDate, parseNumber } from "./cell_text.ts";
import { type Dialect, type RecordParser, withoutPadding } from "./records.ts";

const delimiters = [",", ";", "\t", "|"] as const;

/** At most this many records of the beginning are looked at. */
const looked = 100;

/** The records of a beginning of a file that are surely whole. */
export function sampleRecords(
  parse: RecordParser,
  sample: string,
  dialect: Dialect,
  whole: boolean,
): string[][] {
  const { data } = parse(dialect.padded ? withoutPadding(sample, dialect) : sample, dialect, whole);
  return data.slice(0, looked).filter((record) => record.length > 1 || record[0] !== "");
}

/**
 * The dialect under which the beginning is most like a table: most records of the same length, and that length the
 * larger one among equals. Apostrophes count as quotes only where cells begin and end with them and none with `"`.
 */
export function guessDialect(parse: RecordParser, sample: string, whole: boolean): Dialect {
  const said = /^sep=(.)\r?\n/i.exec(sample)?.[1];
  const double = /(?:^|[,;\t|\r\n])"/.test(sample);
  const single = /(?:^|[,;\t|\r\n])'[^'\r\n]*'(?=[,;\t|\r\n]|$)/.test(sample);
  const quote = single && !double ? "'" : '"';
  if (said !== undefined) return { delimiter: said, quote };
  let best: { dialect: Dialect; score: number } = { dialect: { delimiter: ",", quote }, score: -1 };
  for (const delimiter of delimiters) {
    const plain: Dialect = { delimiter, quote };
    const variants = sample.includes(`${delimiter} `) && withoutPadding(sample, plain) !== sample
      ? [plain, { ...plain, padded: true }]
      : [plain];
    for (const dialect of variants) {
      const lengths = sampleRecords(parse, sample, dialect, whole).map((record) => record.length);
      const counts = new Map<number, number>();
      for (const n of lengths) counts.set(n, (counts.get(n) ?? 0) + 1);
      const [width, times] = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0] ?? [1, 0];
      // Of equals the one with spaces, which would else be left with the quotes.
      const score = width < 2
        ? 0
        : times / lengths.length + Math.min(width, 100) / 1000 + (dialect.padded ? 1e-6 : 0);
      if (score > best.score) best = { dialect, score };
    }
  }
  return best.dialect;
}

function isValue(text: string, comma: boolean): boolean {
  return !Number.isNaN(parseNumber(text, comma)) || !Number.isNaN(parseIsoDate(text.trim()));
}

/**
 * Whether the first record names the columns: names differ in kind from what stands below them (a word above numbers
 * speaks for it, a number above numbers or a word that comes again below against), or else are distinct words.
 */
export function guessHeader(records: readonly (readonly string[])[], comma: boolean): boolean {
  const [first, ...body] = records;
  if (body.length === 0) return !first.some((cell) => isValue(cell, comma));
  let votes = 0;
  first.forEach((cell, column) => {
    const below = body.map((record) => record[column] ?? "").filter((text) => !isMissing(text));
    if (below.length === 0) return;
    const values = below.filter((text) => isValue(text, comma)).length;
    if (values >= 0.9 * below.length) votes += isValue(cell, comma) || isMissing(cell) ? -1 : 1;
    else if (below.includes(cell)) votes--;
  });
  if (votes !== 0) return votes > 0;
  return new Set(first).size === first.length &&
    !first.some((cell) => isMissing(cell) || isValue(cell, comma));
}
