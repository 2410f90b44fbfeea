/**
 * How a CSV file is written, judged from its beginning: delimiter, quotes, line ends.
 *
 * Every candidate reads the beginning, and the one under which it is most like a table is taken: rows of the same
 * length, cells that are numbers, no quotes in the wrong place. What is given is not judged.
 *
 * @module
 */
import { counted } from "../../core/show.ts";
import { findLayout, isValue, type Layout, type LayoutHints } from "./layout.ts";
import { type Dialect, type EndCounts, type LineEnd, plainDialect, recordsOf } from "./records.ts";

const delimiters = [",", ";", "\t", "|", "whitespace"] as const;

/** A dialect, and what it makes of the beginning of the file. */
export interface Judged {
  /** The dialect. */
  readonly dialect: Dialect;
  /** Where the table stands. */
  readonly layout: Layout;
  /** The table's first record. */
  readonly first: readonly string[];
  /** Why, in words. */
  readonly evidence: readonly string[];
}

/** The first line of a file that says its delimiter, as Excel writes and reads it; what is behind it is the file. */
export function takeSepLine(text: string): { delimiter: string | null; rest: string } {
  const match = /^"?sep=(?:(.)"?[,; \t]*)?(?:\r\n|\n|\r|$)/i.exec(text);
  return match?.[1] === undefined
    ? { delimiter: null, rest: text }
    : { delimiter: match[1], rest: text.slice(match[0].length) };
}

/** How a delimiter is called in messages. */
export function delimiterName(delimiter: string): string {
  return delimiter === "\t" ? "tab" : delimiter === "whitespace" ? "spaces" : `"${delimiter}"`;
}

const ending: Readonly<Record<LineEnd, string>> = {
  lf: "LF or CR LF",
  cr: "CR",
  crlf: "CR LF",
  any: "CR, LF or CR LF",
};

/** A lone CR ends records only in a file where that is the usual end; else it is part of a cell. */
function lineEndOf({ lf, crlf, cr }: EndCounts): LineEnd {
  return cr > lf + crlf ? "any" : "lf";
}

/** The quotes that cells may have: apostrophes only where some cells begin with them and none with `"`. */
function quotesOf(sample: string): (string | null)[] {
  if (/(?:^|[,;\t| \r\n])"/.test(sample)) return ['"', null];
  return /(?:^|[,;\t| \r\n])'/.test(sample) ? ['"', "'"] : ['"'];
}

interface Candidate extends Judged {
  readonly score: number;
  readonly faults: number;
}

/** Fewer quotes in the wrong place are mistakes; as many mean that quotes are text like any other. */
const textQuotes = 3;

function judge(
  sample: string,
  whole: boolean,
  dialect: Dialect,
  asked: boolean,
  hints: LayoutHints,
): Candidate | null {
  let { records, reader } = recordsOf(sample, dialect, whole);
  if (!asked) {
    const lineEnd = lineEndOf(reader.ends);
    dialect = { ...dialect, lineEnd };
    if (lineEnd !== "any" && reader.ends.cr > 0) ({ records, reader } = recordsOf(sample, dialect, whole));
  }
  // A beginning without a whole record is still one.
  if (!records.some((record) => record.length > 0)) ({ records, reader } = recordsOf(sample, dialect, true));
  if (!records.some((record) => record.length > 0)) return null;
  const layout = findLayout(records, hints), { width, start, fit } = layout;
  const rows = records.slice(start).filter((record) => record.length > 0),
    body = layout.header ? rows.slice(1) : rows;
  const cells = body.slice(0, 100).flat().filter((cell) => cell.trim() !== "");
  const numbers = cells.length === 0 ? 0 : cells.filter(isValue).length / cells.length;
  const mixed = cells.filter((cell) => /[,;\t|]/.test(cell) && !isValue(cell)).length /
    Math.max(1, cells.length);
  const named = hints.names === undefined || rows.length === 0
    ? 0
    : rows[0].filter((cell) => hints.names!.has(cell.trim())).length / hints.names.size;
  let score = width > 1
    ? fit + Math.min(width, 100) / 10_000
    // One column is what is left when there is no better; but lines that are numbers as they stand speak for it, below a
    // name without a delimiter.
    : body.length > 0 && numbers === 1 && !(layout.header && /[,;\t|]/.test(rows[0].join("")))
    ? 0.95 * fit
    : 0.2 * fit;
  // Titles and a row of names that lacks one are rare, and what a wrong delimiter makes of a file looks like them.
  const titled = records.slice(0, start).some((record) => record.length > 0);
  score += 0.05 * numbers - 0.02 * mixed + named - (titled ? 0.1 : 0) - (layout.index ? 0.15 : 0) -
    reader.faults / rows.length;
  // A quote that takes up most of the beginning was hardly meant to open a cell.
  score -= 0.3 * reader.pending / sample.length;
  // Spaces are in texts too.
  if (dialect.delimiter === "whitespace") {
    score -= width > 1 && fit === 1 && start === 0 && numbers > 0.5 ? 0.2 : 1;
  }
  if (dialect.delimiter === hints.delimiter) score += 0.03;
  // Apostrophes are quotes where every one that opens a cell is closed.
  if (dialect.quote === "'") score += reader.quoted > 0 && reader.faults === 0 ? 0.01 : -1;
  if (dialect.quote === null) score -= 0.01;
  if (dialect.escape !== null) score -= 0.005;
  // Of equals the one with spaces, which would else be left with the quotes.
  if (dialect.padded) score += 1e-6;
  const share = `${Math.round(fit * 100)} % of the first ${counted(rows.length, "row")} have ${
    counted(width, "cell")
  }`;
  return { dialect, layout, first: rows[0] ?? [], score, faults: reader.faults, evidence: [share] };
}

/**
 * The dialect of a file that begins with `sample`; `whole` when that is all of it. `given` is taken as it is; null when
 * there are empty lines only.
 */
export function judgeDialect(
  sample: string,
  whole: boolean,
  given: Partial<Dialect>,
  hints: LayoutHints = {},
): Judged | null {
  const candidates: Candidate[] = [];
  for (const delimiter of given.delimiter === undefined ? delimiters : [given.delimiter]) {
    let faults = 0;
    for (const quote of given.quote === undefined ? quotesOf(sample) : [given.quote]) {
      if (quote === null && given.quote === undefined && faults < textQuotes) continue;
      const base: Dialect = { ...plainDialect, ...given, delimiter, quote };
      const padded = quote !== null && delimiter !== "whitespace" && sample.includes(`${delimiter} ${quote}`);
      const escaped = quote !== null && given.escape === undefined && sample.includes(`\\${quote}`);
      for (const pad of padded ? [false, true] : [false]) {
        for (const escape of escaped ? [null, "\\"] : [base.escape]) {
          const dialect = { ...base, padded: pad, escape };
          const judged = judge(sample, whole, dialect, given.lineEnd !== undefined, hints);
          if (judged === null) continue;
          candidates.push(judged);
          faults = pad || escape !== base.escape ? Math.min(faults, judged.faults) : judged.faults;
        }
      }
    }
  }
  if (candidates.length === 0) return null;
  const best = candidates.reduce((a, b) => b.score > a.score ? b : a);
  const second = candidates.filter(({ dialect }) => dialect.delimiter !== best.dialect.delimiter)
    .reduce<Candidate | null>((a, b) => a === null || b.score > a.score ? b : a, null);
  const { dialect, layout } = best, name = delimiterName(dialect.delimiter);
  const evidence = [
    given.delimiter !== undefined
      ? `delimiter ${name}: as given`
      : layout.width === 1
      ? "one column: no delimiter makes rows of the same length"
      : `delimiter ${name}: ${best.evidence[0]}` +
        (second === null
          ? ""
          : ` (score ${best.score.toFixed(2)}; next is ${delimiterName(second.dialect.delimiter)} with ${
            second.score.toFixed(2)
          })`),
    dialect.quote === null
      ? `quotes: none${given.quote === null ? ", as asked" : ', since " stands where no quoted cell could'}`
      : `quotes: ${dialect.quote}${dialect.padded ? ", with spaces before" : ""}${
        dialect.escape === null ? ", doubled inside" : `, with ${dialect.escape} before those inside`
      }${given.quote === undefined ? "" : ", as asked"}`,
    `line ends: ${ending[dialect.lineEnd]}, outside of quotes${
      given.lineEnd === undefined ? "" : ", as asked"
    }`,
    ...layout.evidence,
  ];
  return { dialect, layout, first: best.first, evidence };
}
