/**
 * What the text of one cell says as a number, without deciding what only its column can tell.
 *
 * "1.234" is 1.234 to one writer and 1234 to another; "1.234,5" can be read in one way alone. So a text becomes a value
 * and a form: which signs are surely the decimal point or part thousands, and which may be either. A column counts the
 * forms of its cells, and reads all of them in one way.
 *
 * @module
 */

/**
 * The sign before decimals.
 *
 * @category Tables
 */
export type DecimalSign = "." | ",";

/**
 * The sign between thousands: " " stands for every kind of space, "'" for every apostrophe.
 *
 * @category Tables
 */
export type ThousandsSign = "." | "," | " " | "'";

/** "large" is a thousand or more, "huge" more than f64 has exactly; "padded" begins with a zero that a number has not. */
export type Whole = "zero" | "small" | "large" | "huge" | "padded";

/** What a number's text shows of how its writer writes numbers. */
export interface NumberForm {
  /** Surely the decimal point; "" when there are no decimals, or it cannot be told. */
  readonly decimal: DecimalSign | "";
  /** Surely between thousands; "" when there is none, or it cannot be told. */
  readonly thousands: ThousandsSign | "";
  /** One or the other: it stands once, with one to three digits before and three behind. The value is that of thousands. */
  readonly either: DecimalSign | "";
  /** The currency or "%", as written; "" for none. */
  readonly unit: string;
  /** Whole numbers without any sign between their digits, by what they show; "" for others. */
  readonly whole: Whole | "";
  /** Whether an `either` ends in 0, as no decimals do that are written no longer than needed. */
  readonly round: boolean;
}

/** A number before its column has decided. */
export interface ScannedNumber {
  /** Index for {@link numberForm}; equal forms have the same. */
  readonly form: number;
  /** The value; with a sign that may be either, that of thousands: a thousand times that of decimals. */
  readonly value: number;
}

const forms: NumberForm[] = [], ids = new Map<string, number>();

function formId(parts: Partial<NumberForm>): number {
  const form = {
    decimal: "",
    thousands: "",
    either: "",
    unit: "",
    whole: "",
    round: false,
    ...parts,
  } as const;
  const key = Object.values(form).join("|"), known = ids.get(key);
  if (known !== undefined) return known;
  ids.set(key, forms.length);
  return forms.push(form) - 1;
}

/** The form of that index. */
export function numberForm(id: number): NumberForm {
  return forms[id];
}

const wholes: Readonly<Record<Whole, number>> = {
  zero: formId({ whole: "zero" }),
  small: formId({ whole: "small" }),
  large: formId({ whole: "large" }),
  huge: formId({ whole: "huge" }),
  padded: formId({ whole: "padded" }),
};
const pointForm = formId({ decimal: "." }), exponentForm = formId({});
const eitherForm = formId({ either: "." }), roundForm = formId({ either: ".", round: true });

function wholeOf(value: number, padded: boolean): Whole {
  if (padded) return "padded";
  const size = Math.abs(value);
  return size === 0 ? "zero" : size < 1000 ? "small" : size <= Number.MAX_SAFE_INTEGER ? "large" : "huge";
}

/**
 * The number in a cell, or null when it is none: digits with decimals, thousands (by threes, or in India by twos), an
 * exponent; a sign before (also U+2212) or parentheses for negatives, a minus behind decimals; a currency or % before
 * or behind. Values beyond f64, and "inf", are infinite.
 */
export function scanNumber(text: string): ScannedNumber | null {
  return scanPlain(text) ?? scanOdd(text.trim());
}

/** Digits with at most a minus, a point and an exponent: nearly all cells of nearly all files. */
function scanPlain(text: string): ScannedNumber | null {
  const end = text.length;
  let at = text.charCodeAt(0) === 45 ? 1 : 0;
  const start = at;
  while (at < end && isDigit(text.charCodeAt(at))) at++;
  const before = at - start;
  if (at === end) {
    if (before === 0) return null;
    const value = Number(text);
    return { form: wholes[wholeOf(value, before > 1 && text.charCodeAt(start) === 48)], value };
  }
  let behind = 0;
  const point = text.charCodeAt(at) === 46;
  if (point) {
    at++;
    while (at < end && isDigit(text.charCodeAt(at))) at++, behind++;
  }
  if (before + behind === 0) return null;
  if (at === end) {
    if (behind === 3 && before >= 1 && before <= 3 && text.charCodeAt(start) !== 48) {
      const round = text.charCodeAt(end - 1) === 48;
      return { form: round ? roundForm : eitherForm, value: Math.round(Number(text) * 1000) };
    }
    return { form: pointForm, value: Number(text) };
  }
  if ((text.charCodeAt(at) | 32) !== 101 || !/^[+-]?\d+$/.test(text.slice(at + 1))) return null;
  return { form: point ? pointForm : exponentForm, value: Number(text) };
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

// Written out, so that every runtime knows the same ones.
const codes =
  "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HRK|HUF|IDR|ILS|INR|ISK|JPY|KES|KRW|MAD|" +
  "MXN|MYR|NGN|NOK|NZD|PEN|PHP|PKR|PLN|QAR|RMB|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|UYU|VND|ZAR";
const words = "S?Fr\\.|Rs\\.?|kr\\.?|Kč|zł|Ft|lei|DM|TL|руб\\.?|грн\\.?|лв\\.?";
const currency = `(?:[A-Z]{1,3})?\\p{Sc}|(?:${codes}|${words})(?!\\p{L})`;
const unitBefore = new RegExp(`^(?:${currency}|%)`, "u");
const unitBehind = new RegExp(`(?:\\p{Sc}|(?<!\\p{L})(?:${codes}|${words})|%)$`, "u");

/** Every number that {@link scanPlain} leaves: spaces around, units, other signs. */
function scanOdd(text: string): ScannedNumber | null {
  if (!/\d/.test(text)) {
    const infinite = /^([-+\u2212]?)inf(?:inity)?$/i.exec(text);
    return infinite && { form: exponentForm, value: /[-\u2212]/.test(infinite[1]) ? -Infinity : Infinity };
  }
  let rest = text, negative = false, signed = false, unit = "";
  // Sign, parentheses and unit may stand in any order, each of them once.
  for (let before = ""; before !== rest;) {
    before = rest;
    if (!signed && /^\(.*\)$/.test(rest)) [signed, negative, rest] = [true, true, rest.slice(1, -1).trim()];
    if (!signed && /^[-+\u2212\u2013]/.test(rest)) {
      [signed, negative, rest] = [true, rest[0] !== "+", rest.slice(1).trimStart()];
    }
    if (unit === "") {
      unit = unitBefore.exec(rest)?.[0] ?? "";
      if (unit !== "") rest = rest.slice(unit.length).trimStart();
      else {
        unit = unitBehind.exec(rest)?.[0] ?? "";
        if (unit !== "") rest = rest.slice(0, rest.length - unit.length).trimEnd();
      }
    }
    // Some programs write the minus behind; behind whole numbers it is a grade or a code.
    if (!signed && /[.,]\d+[-\u2212]$/.test(rest)) [signed, negative, rest] = [true, true, rest.slice(0, -1)];
  }
  const found = scanDigits(rest, unit);
  return found && negative ? { form: found.form, value: -found.value } : found;
}

const spaces = /[ \u00a0\u2007\u2009\u202f]/g, apostrophes = /[\u2019\u02bc\u00b4]/g;

/** Digits, and signs between them. */
function scanDigits(written: string, unit: string): ScannedNumber | null {
  const match = /^([\d.,' ]*\d\.?)([eE][-+]?\d+)?$/.exec(
    written.replace(spaces, " ").replace(apostrophes, "'"),
  );
  if (match === null) return null;
  const [, body, exponent = ""] = match;
  const parts = body.split(/[.,' ]/), signs = body.replace(/\d/g, "").split("");
  if (signs.length === 0) {
    const value = Number(body + exponent);
    return { form: formId({ unit, whole: exponent === "" ? wholeOf(value, /^0./.test(body)) : "" }), value };
  }
  const last = signs[signs.length - 1], lastPart = parts[parts.length - 1], others = signs.slice(0, -1);
  const point = last === "." || last === ",";
  const decimals = (thousands: ThousandsSign | ""): ScannedNumber => ({
    form: formId({ unit, decimal: last as DecimalSign, thousands }),
    value: Number(`${parts.slice(0, -1).join("")}.${lastPart}${exponent}`),
  });
  if (others.length === 0) {
    const grouped = exponent === "" && isGrouped(parts, last);
    if (!point) {
      return grouped
        ? { form: formId({ unit, thousands: last as ThousandsSign }), value: Number(parts.join("")) }
        : null;
    }
    if (!grouped) return last === "," && lastPart === "" ? null : decimals("");
    const round = lastPart.endsWith("0");
    return { form: formId({ unit, either: last as DecimalSign, round }), value: Number(parts.join("")) };
  }
  const group = others[0] as ThousandsSign;
  if (others.some((sign) => sign !== group)) return null;
  if (group === last) {
    if (exponent !== "" || !isGrouped(parts, group)) return null;
    return { form: formId({ unit, thousands: group }), value: Number(parts.join("")) };
  }
  return point && lastPart !== "" && isGrouped(parts.slice(0, -1), group) ? decimals(group) : null;
}

/** Whether digits are parted by threes, or as in India by twos before the last three; never behind a leading zero. */
function isGrouped(parts: readonly string[], sign: string): boolean {
  const [first, ...rest] = parts;
  if (rest.length === 0 || first.length === 0 || first.length > 3 || first[0] === "0") return false;
  if (rest.every(({ length }) => length === 3)) return true;
  return sign === "," && first.length <= 2 && rest.length > 1 &&
    rest.every(({ length }, i) => length === (i === rest.length - 1 ? 3 : 2));
}

/** How a column's numbers are written; a sign that is missing does not occur. */
export interface NumberGrammar {
  /** Before decimals. Default: a point. */
  readonly decimal?: DecimalSign;
  /** Between thousands. Default: none was seen. */
  readonly thousands?: ThousandsSign | "";
}

/** The currency or "%" that a number is written with; "" for none. */
export function unitOf(text: string): string {
  const scanned = scanNumber(text);
  return scanned === null ? "" : numberForm(scanned.form).unit;
}

/**
 * Whether a number of this unit can stand where a model was fitted on numbers of `units`: of one of them, or of none. A currency
 * can be left out everywhere, and so be said where it never was; a percent is another number than the same without its sign.
 */
export function goesWith(unit: string, units: readonly string[] = [""]): boolean {
  return unit === "" || units.includes(unit) || (unit !== "%" && units.every((known) => known === ""));
}

/** Units in a sentence. */
export function unitsSaid(units: readonly string[] = [""]): string {
  return `${units.map((unit) => unit === "" ? "no unit" : JSON.stringify(unit)).join(" or ")}`;
}

/** Whether a text of that form can be read by a grammar. */
export function fits(form: NumberForm, { decimal, thousands }: Required<NumberGrammar>): boolean {
  if (form.decimal !== "" && form.decimal !== decimal) return false;
  if (form.thousands !== "" && form.thousands !== thousands) return false;
  return form.either === "" || form.either === decimal || form.either === thousands;
}

/** The value of a scanned number by its column's decimal sign. */
export function valueOf(form: NumberForm, value: number, decimal: DecimalSign): number {
  return form.either !== "" && form.either === decimal ? value / 1000 : value;
}

/**
 * The number that a text is, or NaN: by the grammar where it fits, else as its signs surely say ("1.5" in a column with
 * a decimal comma). This is for single cells that a person types; files are read column by column.
 */
export function parseNumber(text: string, grammar: NumberGrammar = {}): number {
  const scanned = scanNumber(text);
  if (scanned === null || !Number.isFinite(scanned.value)) return NaN;
  const { decimal = ".", thousands = decimal === "." ? "," : "." } = grammar, form = numberForm(scanned.form);
  if (fits(form, { decimal, thousands })) return valueOf(form, scanned.value, decimal);
  return form.either === "" ? scanned.value : NaN;
}
