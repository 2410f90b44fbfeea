/**
 * What the text of one cell means: a number, a date, true or false, nothing.
 *
 * Numbers are written in more ways than programs write them: a decimal comma, thousands apart, a currency or per cent
 * sign. Dates are ISO 8601, or three numbers with slashes, dots or dashes; which of them is the day is decided for a
 * whole column, never for one cell.
 *
 * @module
 */

const missing: ReadonlySet<string> = new Set(
  ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", ".", "missing"],
);

/** Whether a cell says that its value is not known: empty, NA, N/A, NaN, null, None, ?, -, missing … in any case. */
export function isMissing(text: string): boolean {
  if (text.length > 9) return text.trim() === "";
  return missing.has(text.trim().toLowerCase());
}

const grouped = /^[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/;
const groupedByDots = /^[-+]?\d{1,3}(?:\.\d{3})+,\d+$/;
const decimalComma = /^[-+]?\d*,\d+(?:[eE][-+]?\d+)?$/;

/** The number that a text is, or NaN. `comma`: a comma is the decimal point (as in files delimited by semicolons). */
export function parseNumber(text: string, comma = false): number {
  const first = text.charCodeAt(0);
  // Digits, signs and points only: Number alone would take "0x1f", "Infinity" and " ".
  if ((first >= 48 && first <= 57) || first === 45 || first === 46 || first === 43) {
    const value = Number(text);
    if (Number.isFinite(value) && !/[xob]/i.test(text)) return value;
  }
  return parseOddNumber(text.trim(), comma);
}

function parseOddNumber(text: string, comma: boolean): number {
  const bare = text.replace(/^([-+]?)[$€£¥]\s?/, "$1").replace(/\s?[%€]$/, "");
  if (!/^[-+]?[\d.,]/.test(bare) || /[xob]/i.test(bare)) return NaN;
  const plain = comma
    ? groupedByDots.test(bare)
      ? bare.replaceAll(".", "").replace(",", ".")
      : decimalComma.test(bare)
      ? bare.replace(",", ".")
      : bare
    : grouped.test(bare)
    ? bare.replaceAll(",", "")
    : bare;
  const value = Number(plain);
  return plain !== "" && Number.isFinite(value) ? value : NaN;
}

const iso =
  /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s?(Z|[-+]\d{2}:?\d{2})?)?$/;
const slashed = /^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?$/;

/** Which of the first two numbers of a date like 03/04/2021 is the day. */
export type DayOrder = "day first" | "month first";

/** Minutes of `east` are how far the clock is ahead of UTC. */
function days(year: number, month: number, day: number, time: readonly number[], east = 0): number {
  const [hour, minute, second] = time, ms = Date.UTC(year, month - 1, day), date = new Date(ms);
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!exists || hour > 24 || minute > 59 || second > 60) return NaN;
  return (ms + ((hour * 60 + minute - east) * 60 + second) * 1000) / 86_400_000;
}

/** Days since 1970-01-01, with fraction, of an ISO 8601 date or time (UTC where it names no zone); else NaN. */
export function parseIsoDate(text: string): number {
  const first = text.charCodeAt(0);
  if (first < 48 || first > 57) return NaN;
  const m = iso.exec(text);
  if (m === null) return NaN;
  const [, year, month, day, hour, minute, second, zone] = m;
  const offset = zone === undefined || zone === "Z" ? 0 : +zone.slice(1, 3) * 60 + +zone.slice(-2);
  const east = zone?.startsWith("-") ? -offset : offset;
  return days(+year, +month, +day, [+(hour ?? 0), +(minute ?? 0), +(second ?? 0)], east);
}

/** Days since 1970-01-01 of a date in any of the forms, with fraction; else NaN. */
export function parseDate(text: string, order: DayOrder = "month first"): number {
  const trimmed = text.trim(), at = parseIsoDate(trimmed);
  if (!Number.isNaN(at)) return at;
  const m = slashed.exec(trimmed);
  if (m === null) return NaN;
  const [, a, b, y, hour, minute, second] = m;
  const year = y.length === 4 ? +y : +y + (+y < 70 ? 2000 : 1900);
  const [day, month] = order === "day first" ? [+a, +b] : [+b, +a];
  return days(year, month, day, [+(hour ?? 0), +(minute ?? 0), +(second ?? 0)]);
}

/** The order in which every one of the texts is a date; null when there is none. The month comes first in doubt. */
export function dayOrder(texts: Iterable<string>): DayOrder | null {
  let monthFirst = true, dayFirst = true, any = false;
  for (const text of texts) {
    any = true;
    monthFirst &&= !Number.isNaN(parseDate(text, "month first"));
    dayFirst &&= !Number.isNaN(parseDate(text, "day first"));
    if (!monthFirst && !dayFirst) return null;
  }
  return !any ? null : monthFirst ? "month first" : "day first";
}

const pairs: readonly (readonly [string, string])[] = [["false", "true"], ["no", "yes"], ["f", "t"], [
  "n",
  "y",
]];

/** The texts of false and true when the distinct texts are such a pair, in any case; else null. */
export function booleanPair(texts: readonly string[]): [string, string] | null {
  if (texts.length !== 2) return null;
  for (const [no, yes] of pairs) {
    const of = (word: string): string | undefined => texts.find((t) => t.toLowerCase() === word);
    const negative = of(no), positive = of(yes);
    if (negative !== undefined && positive !== undefined) return [negative, positive];
  }
  return null;
}

/** 0 or 1 for a word or number that means false or true; else NaN. */
export function parseBoolean(text: string): number {
  const word = text.trim().toLowerCase();
  if (word === "0" || pairs.some(([no]) => no === word)) return 0;
  return word === "1" || pairs.some(([, yes]) => yes === word) ? 1 : NaN;
}
