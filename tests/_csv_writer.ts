/**
 * Tables written as CSV in any dialect, from values that are known: what reading them has to give back.
 *
 * @module
 */
import type { Generator } from "../src/core/random.ts";

/** How a file writes numbers. */
export interface Grammar {
  readonly decimal: "." | ",";
  /** Between thousands; "" for none. */
  readonly thousands: string;
  readonly indian: boolean;
  readonly negative: "-" | "\u2212" | "()" | "behind";
  readonly plus: boolean;
  /** Before (">" is the number) or behind: "$>", "> €", ">%". */
  readonly unit: string;
}

/** How a file is written. */
export interface Style {
  readonly delimiter: string;
  readonly quote: string;
  readonly lineEnd: string;
  readonly quoting: "needed" | "all" | "some";
  readonly bom: boolean;
  readonly encoding: "utf-8" | "utf-16le" | "utf-16be";
  readonly sepLine: boolean;
  readonly before: readonly string[];
  readonly lastEnd: boolean;
}

/** A column with what it is to be read as; null is a missing cell. */
export interface Written {
  readonly name: string;
  readonly kind: "numeric" | "categorical" | "date" | "boolean";
  readonly cells: readonly string[];
  readonly values: readonly (number | string | null)[];
}

/** One of a list. */
export function pick<T>(random: Generator, list: readonly T[]): T {
  return list[random.integer(0, list.length)];
}

/** Digits in threes, or in India in twos before the last three. */
function group(digits: string, sign: string, indian: boolean): string {
  if (sign === "" || digits.length < 4) return digits;
  const end = digits.slice(-3), front = digits.slice(0, -3);
  return `${front.replace(indian ? /\B(?=(\d{2})+$)/g : /\B(?=(\d{3})+$)/g, sign)}${sign}${end}`;
}

/** A number with so many decimals as its file writes it. */
export function writeNumber(value: number, decimals: number, grammar: Grammar): string {
  const [whole, part = ""] = Math.abs(value).toFixed(decimals).split(".");
  const digits = group(whole, grammar.thousands, grammar.indian) +
    (part === "" ? "" : grammar.decimal + part);
  const negative = value < 0 && /[1-9]/.test(digits),
    unit = (text: string): string => grammar.unit === "" ? text : grammar.unit.replace(">", text);
  if (!negative) return unit(grammar.plus ? `+${digits}` : digits);
  if (grammar.negative === "()") return `(${unit(digits)})`;
  if (grammar.negative === "behind" && decimals > 0 && grammar.unit === "") return `${digits}-`;
  return unit(`${grammar.negative === "\u2212" ? "\u2212" : "-"}${digits}`);
}

/** The bytes of a file. */
export function writeCsv(
  columns: readonly Written[],
  style: Style,
  header: boolean,
  random: Generator,
): Uint8Array {
  const { delimiter, quote, lineEnd, quoting } = style;
  const cell = (text: string): string => {
    const needed = text.includes(delimiter) || text.includes(quote) || /[\r\n]/.test(text) ||
      /^ | $/.test(text);
    const quoted = needed || quoting === "all" || (quoting === "some" && random.uniform() < 0.5);
    return quoted ? quote + text.replaceAll(quote, quote + quote) + quote : text;
  };
  const lines = [
    ...(style.sepLine ? [`sep=${delimiter}`] : []),
    ...style.before,
    ...(header ? [columns.map(({ name }) => cell(name)).join(delimiter)] : []),
    ...columns[0].cells.map((_, row) => columns.map(({ cells }) => cell(cells[row])).join(delimiter)),
  ];
  const text = lines.join(lineEnd) + (style.lastEnd ? lineEnd : "");
  if (style.encoding === "utf-8") {
    return new TextEncoder().encode(style.bom ? `\ufeff${text}` : text);
  }
  const marked = `\ufeff${text}`, bytes = new DataView(new ArrayBuffer(2 * marked.length));
  for (let i = 0; i < marked.length; i++) {
    bytes.setUint16(2 * i, marked.charCodeAt(i), style.encoding === "utf-16le");
  }
  return new Uint8Array(bytes.buffer);
}

/** Bytes in pieces of such a size. */
export async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}
