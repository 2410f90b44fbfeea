/**
 * What the text of one cell says as a date, without deciding what only its column can tell.
 *
 * Dates are ISO 8601, or three numbers with slashes, dots or dashes between, or have the English name of a month, and a time of
 * the day behind. Whether 03/04/2021 is in March or in April is decided for a whole column, never for one cell.
 *
 * @module
 */

/**
 * Which of the first two numbers of a date like 03/04/2021 is the day.
 *
 * @category Tables
 */
export type DayOrder = "day first" | "month first";

/** What a date's text shows of the order of day and month. "year first" is ISO 8601, and what names its month; "either" can be read both ways. */
export type DateForm = "year first" | DayOrder | "either";

/** A date before its column has decided. */
export interface ScannedDate {
  /** What its text shows. */
  readonly form: DateForm;
  /** Days since 1970-01-01 UTC, with fraction; for "either" those of day first. */
  readonly value: number;
}

const time =
  "(?:[T ](\\d{1,2}):(\\d{2})(?::(\\d{2}(?:[.,]\\d+)?))?\\s?(Z|[-+]\\d{2}:?\\d{2}|[AaPp]\\.?[Mm]\\.?)?)?";
const yearFirst = new RegExp(`^(\\d{4})[-/.](\\d{1,2})[-/.](\\d{1,2})${time}$`);
const yearLast = new RegExp(`^(\\d{1,2})[/.-](\\d{1,2})[/.-](\\d{4}|\\d{2})${time}$`);
const months = ["january", "february", "march", "april", "may", "june", "july", "august", "september"]
  .concat("october", "november", "december");
const nameThen = new RegExp(`^([A-Za-z]{3,9})\\.? (\\d{1,2})(?:st|nd|rd|th)?,? (\\d{4})${time}$`);
const dayThenName = new RegExp(
  `^(\\d{1,2})(?:st|nd|rd|th)?[ .-]{1,2}([A-Za-z]{3,9})\\.?[ ,-]{1,2}(\\d{4}|\\d{2})${time}$`,
);

/** The number of the month that is called so, in full or by three or four of its letters; 0: none. */
function monthOf(name: string): number {
  const own = name.toLowerCase();
  return 1 + months.findIndex((month) => month === own || own.length < 5 && month.startsWith(own));
}

/** The year that two digits or four say. */
function yearOf(written: string): number {
  return written.length === 4 ? +written : +written + (+written < 70 ? 2000 : 1900);
}

/** The part of a day that has gone by, in days and from UTC; NaN when there is no such time. */
function timeOf(hour = "0", minute = "0", second = "0", zone = ""): number {
  let hours = Number(hour), east = 0;
  if (/m/i.test(zone)) {
    if (hours < 1 || hours > 12) return NaN;
    hours = hours % 12 + (/^p/i.test(zone) ? 12 : 0);
  } else if (zone !== "" && zone !== "Z") {
    east = (zone.startsWith("-") ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2)));
  }
  const seconds = Number(second.replace(",", "."));
  if (hours > 24 || Number(minute) > 59 || seconds >= 61) return NaN;
  return ((hours * 60 + Number(minute) - east) * 60 + seconds) / 86_400;
}

/** Whole days since 1970-01-01; NaN when there is no such day. */
function dayOf(year: number, month: number, day: number): number {
  const ms = Date.UTC(year, month - 1, day), date = new Date(ms);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? ms / 86_400_000 : NaN;
}

/** The date in a cell, or null when it is none. */
export function scanDate(text: string): ScannedDate | null {
  if (text.length < 6 || !/^[\dA-Za-z]/.test(text)) return null;
  const sure = (day: number, clock: readonly string[]): ScannedDate | null => {
    const value = day + timeOf(...clock);
    return Number.isNaN(value) ? null : { form: "year first", value };
  };
  const first = yearFirst.exec(text);
  if (first !== null) return sure(dayOf(+first[1], +first[2], +first[3]), first.slice(4));
  const named = nameThen.exec(text);
  if (named !== null) return sure(dayOf(+named[3], monthOf(named[1]), +named[2]), named.slice(4));
  const behind = dayThenName.exec(text);
  if (behind !== null) return sure(dayOf(yearOf(behind[3]), monthOf(behind[2]), +behind[1]), behind.slice(4));
  const match = yearLast.exec(text);
  if (match === null) return null;
  const [, a, b, written, ...clock] = match, year = yearOf(written);
  const part = timeOf(...clock),
    dayFirst = dayOf(year, +b, +a) + part,
    monthFirst = dayOf(year, +a, +b) + part;
  if (Number.isNaN(dayFirst)) {
    return Number.isNaN(monthFirst) ? null : { form: "month first", value: monthFirst };
  }
  return { form: Number.isNaN(monthFirst) ? "day first" : "either", value: dayFirst };
}

/** Days since 1970-01-01 of a scanned date, by its column's order. */
export function dateOf(form: DateForm, value: number, order: DayOrder): number {
  if (form !== "either" || order === "day first") return value;
  const day = Math.floor(value), date = new Date(day * 86_400_000);
  // The day and the month change places.
  return dayOf(date.getUTCFullYear(), date.getUTCDate(), date.getUTCMonth() + 1) + value - day;
}

/** Days since 1970-01-01 of a text, with fraction; NaN when it is no date in that order. */
export function parseDate(text: string, order: DayOrder = "month first"): number {
  const found = scanDate(text.trim());
  if (found === null || (found.form !== order && found.form !== "either" && found.form !== "year first")) {
    return NaN;
  }
  return dateOf(found.form, found.value, order);
}
