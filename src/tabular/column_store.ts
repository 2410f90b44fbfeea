/**
 * One column while a file is read: compact, and without a decision what it holds before the last row was seen.
 *
 * A number takes 8 bytes; a text 4 more, and once for the whole column itself. Rows may be overwritten, which is what a
 * sample of a file larger than memory needs.
 *
 * @module
 */
import { isMissing, parseIsoDate, parseNumber } from "./cell_text.ts";

/** Beyond so many different texts a column is free text or identifiers, and further ones are not kept. */
export const mostTexts = 50_000;

/** Code of a cell that is a number, or missing. */
export const noText = -1;

/** Code of a text that was not kept. */
export const unkeptText = -2;

/** Growing storage of one column's cells. */
export class ColumnStore {
  /** Numbers, and days of ISO dates; NaN for other texts and missing cells. */
  numbers: Float64Array = new Float64Array(1024);
  /** Index in `texts`, or {@link noText} or {@link unkeptText}; null while there was no text. */
  codes: Int32Array | null = null;
  /** The different texts, in order of appearance. */
  readonly texts: string[] = [];
  /** For each text, the record where it came first. */
  readonly firstRows: number[] = [];
  /** A number that is infinite or beyond what a number can be, and where; null when there was none. */
  infinite: { text: string; row: number } | null = null;
  readonly #index = new Map<string, number>();
  readonly #comma: boolean;

  /** `comma`: a comma is the decimal point. */
  constructor(comma: boolean) {
    this.#comma = comma;
  }

  /** Writes the cell of row `index`; `row` is its record in the file, for messages. */
  set(index: number, text: string, row: number): void {
    if (index >= this.numbers.length) this.#grow();
    const value = parseNumber(text, this.#comma);
    if (!Number.isNaN(value)) {
      this.numbers[index] = value;
      if (this.codes !== null) this.codes[index] = noText;
      return;
    }
    this.numbers[index] = NaN;
    if (isMissing(text)) {
      if (this.codes !== null) this.codes[index] = noText;
      return;
    }
    if (this.infinite === null && /^\s*[-+]?(?:inf(?:inity)?|\d[\d.]*e\+?\d+)\s*$/i.test(text)) {
      this.infinite = { text, row };
    }
    this.codes ??= new Int32Array(this.numbers.length).fill(noText);
    const trimmed = text.trim();
    this.numbers[index] = parseIsoDate(trimmed);
    this.codes[index] = this.#intern(trimmed, row);
  }

  #intern(text: string, row: number): number {
    const known = this.#index.get(text);
    if (known !== undefined) return known;
    if (this.texts.length >= mostTexts) return unkeptText;
    // Cut from a piece of the file, a text would keep that whole piece alive.
    const own = text.length > 12 ? ` ${text}`.slice(1) : text;
    this.#index.set(own, this.texts.length);
    this.firstRows.push(row);
    return this.texts.push(own) - 1;
  }

  #grow(): void {
    const size = this.numbers.length * 2;
    const numbers = new Float64Array(size);
    numbers.set(this.numbers);
    this.numbers = numbers;
    if (this.codes === null) return;
    const codes = new Int32Array(size).fill(noText);
    codes.set(this.codes);
    this.codes = codes;
  }

  /** Gives back what was kept for growing. */
  finish(rows: number): void {
    this.numbers = this.numbers.slice(0, rows);
    this.codes &&= this.codes.slice(0, rows);
    this.#index.clear();
  }
}
