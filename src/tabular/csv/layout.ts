/**
 * Where in a file the table stands, judged from its first records: titles, comments and empty lines before it, names
 * of columns, how many cells a row has.
 *
 * @module
 */
import { scanDate } from "./dates.ts";
import { scanNumber } from "./numbers.ts";
import { isMissingMark, missingTexts } from "./words.ts";

/** A table's place in its file. */
export interface Layout {
  /** How many records stand before it. */
  readonly start: number;
  /** Whether its first record names the columns. */
  readonly header: boolean;
  /** Cells of a row. */
  readonly width: number;
  /** Whether names begin with the second column, as R writes them, and pandas reads them. */
  readonly index: boolean;
  /** Whether the first name begins with a # that does not belong to it. */
  readonly hash: boolean;
  /** The share of records from `start` on that have a row's cells. */
  readonly fit: number;
  /** Why, in words. */
  readonly evidence: readonly string[];
}

/** What is known of the layout beforehand. */
export interface LayoutHints {
  /** Whether the first record names the columns. */
  readonly header?: boolean | undefined;
  /** Records to pass over. */
  readonly skip?: number | undefined;
  /** Names of which the header has some. */
  readonly names?: ReadonlySet<string> | undefined;
  /** What is probably between cells. */
  readonly delimiter?: string | undefined;
  /** How many rows of the file stand before these records. */
  readonly before?: number | undefined;
}

/** At most this many records are compared with a header. */
const looked = 100;

const missing: ReadonlySet<string> = new Set(missingTexts);

function isMissing(text: string): boolean {
  const trimmed = text.trim();
  return missing.has(trimmed) || isMissingMark(trimmed);
}

/** Whether a cell is a number or a date in any way of writing. */
export function isValue(text: string): boolean {
  return scanNumber(text) !== null || scanDate(text.trim()) !== null;
}

const isEmpty = (record: readonly string[]): boolean => record.every((cell) => cell.trim() === "");

/** The most frequent number of cells; of equals the larger. */
function usualWidth(records: readonly (readonly string[])[]): number {
  const counts = new Map<number, number>();
  for (const { length } of records) if (length > 0) counts.set(length, (counts.get(length) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0]?.[0] ?? 1;
}

/** Years above columns of other numbers are names, as in tables with a column a year. */
function areYears(cells: readonly string[], below: readonly (readonly string[])[]): boolean {
  const years = cells.map(Number),
    isYear = (n: number): boolean => Number.isInteger(n) && n >= 1800 && n < 2200;
  return years.length >= 2 &&
    years.every((year, i) => isYear(year) && (i === 0 || year === years[i - 1] + 1)) &&
    below.every((texts) => texts.filter((text) => isYear(Number(text))).length < 0.5 * texts.length);
}

/**
 * Whether the first record names the columns: a word above numbers or dates speaks for it, a number above numbers and a
 * word that comes again below against; else a word that is new above words that repeat speaks for it; else names are
 * distinct words.
 */
export function judgeHeader(
  records: readonly (readonly string[])[],
  names?: ReadonlySet<string>,
): { header: boolean; sure: boolean; why: string } {
  const [first, ...rest] = records, body = rest.filter((record) => record.length > 0).slice(0, looked);
  const known = first.filter((cell) => names?.has(cell.trim()));
  if (known.length > 0) {
    return { header: true, sure: true, why: `it has "${known[0].trim()}", a name that is known` };
  }
  if (body.length === 0) {
    const header = !first.some(isValue);
    return { header, sure: false, why: `it is the only row, ${header ? "without numbers" : "with numbers"}` };
  }
  const shown = (cell: string): string => `"${cell.trim().slice(0, 40).replace(/[\r\n\t]+/g, " ")}"`;
  let votes = 0, news = 0, why = "";
  const numbers: string[] = [], below: string[][] = [];
  const vote = (by: number, reason: string): void => {
    if (votes === 0 || Math.sign(by) !== Math.sign(votes)) why = reason;
    votes += by;
  };
  first.forEach((cell, column) => {
    const texts = body.map((record) => (record[column] ?? "").trim()).filter((text) => !isMissing(text));
    if (texts.length === 0) return;
    if (texts.filter(isValue).length >= 0.9 * texts.length) {
      if (isValue(cell)) {
        numbers.push(cell.trim());
        below.push(texts);
      } else if (cell.trim() !== "") {
        if (isMissing(cell)) vote(-1, `it has ${shown(cell)} among numbers`);
        else vote(1, `it has ${shown(cell)} above numbers like ${shown(texts[0])}`);
      }
      return;
    }
    if (texts.includes(cell.trim())) return vote(-1, `its ${shown(cell)} comes again below`);
    const counts = new Map<string, number>();
    for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
    const single = [...counts.values()].filter((count) => count === 1).length;
    // The odds that a text which was not seen yet is one more of these (Good and Turing).
    if (cell.trim() !== "") news -= Math.log((single + 1) / (texts.length + 2));
  });
  if (areYears(numbers, below)) vote(1, `it has years from ${numbers[0]} on above other numbers`);
  else if (numbers.length > 0) {
    vote(-numbers.length, `it has ${shown(numbers[0])} above numbers like ${shown(below[0][0])}`);
  }
  if (votes !== 0) return { header: votes > 0, sure: true, why };
  if (news > 1) return { header: true, sure: true, why: "its words come nowhere below, where others repeat" };
  const words = first.filter((cell) => cell.trim() !== "");
  const header = new Set(words).size === words.length && words.length >= first.length - 1 &&
    !words.some((cell) => isMissing(cell) || isValue(cell));
  return { header, sure: false, why: header ? "it has distinct words" : "it is like the rows below" };
}

/** Whether the first of the records from `from` on that has a row's cells surely names the columns. */
function isNamed(
  records: readonly (readonly string[])[],
  from: number,
  width: number,
  names?: ReadonlySet<string>,
): boolean {
  const at = records.findIndex((record, i) => i >= from && record.length === width);
  if (at < 0) return false;
  const { header, sure } = judgeHeader(records.slice(at), names);
  return header && sure;
}

/** How many of the first records are titles, comments or empty lines. */
function beforeTable(
  records: readonly (readonly string[])[],
  width: number,
  names?: ReadonlySet<string>,
): { start: number; hash: boolean } {
  const next = (at: number): number => {
    while (at < records.length && isEmpty(records[at])) at++;
    return at;
  };
  for (let at = next(0); at < records.length; at = next(at + 1)) {
    const record = records[at], below = next(at + 1);
    if (record[0].startsWith("#") && !names?.has(record[0].trim())) {
      let end = at;
      while (end < records.length && (isEmpty(records[end]) || records[end][0].startsWith("#"))) end++;
      // The last of the lines with a # has the names when the line below it has values.
      const named = end < records.length && records[end - 1].length === width &&
        !judgeHeader(records.slice(end), names).header;
      if (named) return { start: end - 1, hash: true };
      at = end - 1;
      continue;
    }
    if (below >= records.length || names?.has(record[0].trim())) return { start: at, hash: false };
    const filled = record.filter((cell) => cell.trim() !== "").length;
    const title = record.length === width
      ? width >= 3 && filled === 1 && record[0].trim() !== "" && !isValue(record[0]) &&
        records[below].filter((cell) => cell.trim() !== "").length > 1
      : below > at + 1 || isNamed(records, at + 1, width, names);
    if (!title) return { start: at, hash: false };
  }
  return { start: Math.min(next(0), records.length - 1), hash: false };
}

/** The layout of a file that begins with `records`, of which there is at least one that is not empty. */
export function findLayout(records: readonly (readonly string[])[], hints: LayoutHints = {}): Layout {
  const usual = usualWidth(records), { names, skip, before = 0 } = hints;
  const found = skip === undefined ? beforeTable(records, usual, names) : { start: skip, hash: false };
  let { start } = found;
  while (start < records.length - 1 && records[start].length === 0) start++;
  const table = records.slice(start).filter((record) => record.length > 0);
  const evidence: string[] = [], [first = [], ...rows] = table, at = before + start + 1;
  if (start > 0) {
    const rows = start === 1 ? `row ${before + 1} is` : `rows ${before + 1} to ${before + start} are`;
    evidence.push(`${rows} empty, a title or a comment: the table begins where rows have ${usual} cells`);
  }
  const judged = judgeHeader(table.length > 0 ? table : [[""]], names),
    header = hints.header ?? judged.header;
  evidence.push(
    `row ${at} ${header ? "names the columns" : "is data"}: ${
      hints.header === undefined ? judged.why : "as asked"
    }`,
  );
  let width = first.length, index = false;
  const usualBelow = rows.length > 0 ? usualWidth(rows) : width;
  if (usualBelow === width + 1) {
    if (rows.every((row) => row.length <= width || row[width].trim() === "")) {
      evidence.push("rows end in a delimiter");
    } else if (
      header && rows.every((row) => row.length === width + 1) &&
      new Set(rows.map(([first]) => first)).size === rows.length
    ) {
      index = true;
      width++;
      evidence.push(
        `row ${at} has one cell fewer than the rows, whose first cells all differ: names begin with the second column`,
      );
    }
  } else if (usualBelow === width - 1 && header && first[width - 1].trim() === "") {
    width--;
    evidence.push(`row ${at} ends in a delimiter`);
  }
  const good = table.filter((record, i) =>
    record.length === width || (i === 0 && header) ||
    (record.length === width + 1 && record[width].trim() === "")
  );
  return {
    start,
    header,
    width,
    index,
    hash: found.hash,
    fit: good.length / Math.max(1, table.length),
    evidence,
  };
}
