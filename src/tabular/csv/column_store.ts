/**
 * One column while a file is read: compact, and without a decision what it holds before the last row was seen.
 *
 * Every cell has a form (missing, text, a date or a number written in some way) and a value. A column with few different
 * texts keeps each text once, and 4 bytes a cell; one with more keeps a number and a form a cell, 10 bytes. Rows may be
 * overwritten, which is what a sample of a file larger than memory needs.
 *
 * @module
 */
import { type DateForm, scanDate } from "./dates.ts";
import { scanNumber } from "./numbers.ts";

/** Beyond so many different texts a column is free text or identifiers, and further ones are not kept. */
export const mostTexts = 50_000;

/** Forms of cells: missing cells are empty or named (NA). From `numbers` on they are those of `numberForm`. */
export const forms = { empty: 0, named: 1, text: 2, infinite: 3, dates: 4, numbers: 8 } as const;

/** Whether the form is that of a missing cell. */
export function isMissing(form: number): boolean {
  return form <= forms.named;
}

/** The forms of dates, in the order of their numbers. */
export const dateForms: readonly DateForm[] = ["year first", "day first", "month first", "either"];

/** The value of a text that was not kept. */
export const unkept = -1;

/** Cells of one form. */
export interface FormCount {
  /** Its number. */
  readonly form: number;
  /** How many there are. */
  readonly count: number;
  /** The one that came first. */
  readonly text: string;
  /** Its record in the file. */
  readonly row: number;
}

/** A text that is neither a number nor a date. */
export interface TextCount {
  /** The text. */
  readonly text: string;
  /** How many cells hold it. */
  readonly count: number;
  /** The record where it came first. */
  readonly row: number;
}

/** What a cell is. */
interface Scanned {
  readonly form: number;
  readonly value: number;
}

const emptyCell: Scanned = { form: forms.empty, value: NaN },
  namedCell: Scanned = { form: forms.named, value: NaN };
const textCell: Scanned = { form: forms.text, value: NaN };

/** Nearly all cells begin and end with what is no space. */
function trimmed(cell: string): string {
  const first = cell.charCodeAt(0), last = cell.charCodeAt(cell.length - 1);
  return first > 32 && first < 127 && last > 32 && last < 127 ? cell : cell.trim();
}

/** Growing storage of one column's cells. */
export class ColumnStore {
  readonly #isMissing: (text: string) => boolean;
  readonly #asTexts: boolean;
  // Different texts, each with what it was found to be.
  readonly #texts: string[] = [];
  readonly #forms: number[] = [];
  readonly #values: number[] = [];
  readonly #rows: number[] = [];
  readonly #index = new Map<string, number>();
  /** For each form its first cell. */
  readonly #first: { text: string; row: number }[] = [];
  /** Index in the texts for each cell; null once they are too many. */
  #codes: Int32Array | null = new Int32Array(1024);
  // Then form and value of each cell; the value of a text is its index.
  #cellForms = new Uint16Array(0);
  #cellValues = new Float64Array(0);

  /** `isMissing` is asked about trimmed texts. With `asTexts` no cell is a number or a date. */
  constructor(isMissing: (text: string) => boolean, asTexts = false) {
    this.#isMissing = isMissing;
    this.#asTexts = asTexts;
  }

  /** Writes the cell of row `index`; `row` is its record in the file, for messages. */
  set(index: number, cell: string, row: number): void {
    if (index >= (this.#codes ?? this.#cellForms).length) this.#grow();
    if (this.#codes !== null) {
      const code = this.#index.get(cell) ?? this.#enter(cell, row);
      if (code !== unkept) {
        this.#codes[index] = code;
        return;
      }
      this.#spread();
    }
    const scanned = this.#scan(cell), { form } = scanned;
    this.#first[form] ??= { text: cell.trim(), row };
    this.#cellForms[index] = form;
    this.#cellValues[index] = form === forms.text
      ? this.#index.get(cell) ?? this.#enter(cell, row)
      : scanned.value;
  }

  /** What a cell is; the spaces around it do not count. */
  #scan(cell: string): Scanned {
    const text = trimmed(cell);
    if (this.#isMissing(text)) return text === "" ? emptyCell : namedCell;
    if (this.#asTexts) return textCell;
    const number = scanNumber(text);
    if (number !== null) {
      return {
        form: Number.isFinite(number.value) ? forms.numbers + number.form : forms.infinite,
        value: number.value,
      };
    }
    const date = scanDate(text);
    return date === null ? textCell : { form: forms.dates + dateForms.indexOf(date.form), value: date.value };
  }

  /** Takes up a text that was not there yet; {@link unkept} when there are too many. */
  #enter(cell: string, row: number): number {
    const text = cell.trim(), known = text === cell ? undefined : this.#index.get(text);
    if (known !== undefined) {
      if (this.#index.size < 2 * mostTexts) this.#index.set(cell, known);
      return known;
    }
    if (this.#texts.length >= mostTexts) return unkept;
    // Cut from a piece of the file, a text would keep that whole piece alive.
    const own = text.length > 12 ? ` ${text}`.slice(1) : text, { form, value } = this.#scan(own);
    const code = this.#texts.push(own) - 1;
    this.#index.set(own, code);
    if (own !== cell) this.#index.set(` ${cell}`.slice(1), code);
    this.#forms.push(form);
    this.#values.push(value);
    this.#rows.push(row);
    this.#first[form] ??= { text: own, row };
    return code;
  }

  /** From texts to a form and a value a cell; of the texts those stay that are neither number nor date. */
  #spread(): void {
    const codes = this.#codes!, places = this.#forms.map(() => unkept), kept: [string, number][] = [];
    this.#texts.forEach((text, code) => {
      if (this.#forms[code] === forms.text) places[code] = kept.push([text, this.#rows[code]]) - 1;
    });
    this.#cellForms = new Uint16Array(codes.length);
    this.#cellValues = new Float64Array(codes.length);
    codes.forEach((code, i) => {
      this.#cellForms[i] = this.#forms[code];
      this.#cellValues[i] = this.#forms[code] === forms.text ? places[code] : this.#values[code];
    });
    this.#codes = null;
    for (const list of [this.#texts, this.#forms, this.#values, this.#rows]) list.length = 0;
    this.#index.clear();
    for (const [text, row] of kept) {
      this.#index.set(text, this.#texts.push(text) - 1);
      this.#forms.push(forms.text);
      this.#values.push(NaN);
      this.#rows.push(row);
    }
  }

  #grow(): void {
    const larger = <A extends Int32Array | Uint16Array | Float64Array>(old: A): A => {
      const made = new (old.constructor as new (length: number) => A)(2 * old.length);
      made.set(old);
      return made;
    };
    if (this.#codes !== null) this.#codes = larger(this.#codes);
    else [this.#cellForms, this.#cellValues] = [larger(this.#cellForms), larger(this.#cellValues)];
  }

  /** What the first `rows` cells are: forms that occur, with the cell that came first. */
  formCounts(rows: number): FormCount[] {
    const counts: number[] = [];
    for (let i = 0; i < rows; i++) {
      const form = this.#codes === null ? this.#cellForms[i] : this.#forms[this.#codes[i]];
      counts[form] = (counts[form] ?? 0) + 1;
    }
    return counts.flatMap((count, form) => [{ form, count, ...this.#first[form] }]);
  }

  /** The texts that are neither number nor date, in order of appearance; of a column with too many, those kept. */
  textCounts(rows: number): TextCount[] {
    const counts = this.#texts.map(() => 0);
    for (let i = 0; i < rows; i++) {
      if (this.#codes !== null) counts[this.#codes[i]]++;
      else if (this.#cellForms[i] === forms.text && this.#cellValues[i] !== unkept) {
        counts[this.#cellValues[i]]++;
      }
    }
    return this.#texts.flatMap((text, code) =>
      this.#forms[code] === forms.text && counts[code] > 0
        ? [{ text, count: counts[code], row: this.#rows[code] }]
        : []
    );
  }

  /** The values of the first `rows` cells, as `read` gives them; `text` is "" for what is no text. */
  values(rows: number, read: (form: number, value: number, text: string) => number): Float64Array {
    const codes = this.#codes;
    if (codes !== null) {
      const each = this.#texts.map((text, code) => read(this.#forms[code], this.#values[code], text));
      return Float64Array.from({ length: rows }, (_, i) => each[codes[i]]);
    }
    const each = this.#texts.map((text) => read(forms.text, NaN, text)),
      values = this.#cellValues.slice(0, rows);
    for (let i = 0; i < rows; i++) {
      const form = this.#cellForms[i];
      values[i] = form === forms.text ? each[values[i]] ?? NaN : read(form, values[i], "");
    }
    return values;
  }

  /**
   * The cells as categories: for each its index in `texts`, −1 for a text that was not kept, NaN for a missing one. Of a
   * column with too many different texts, numbers are not kept either.
   */
  categories(rows: number): { values: Float64Array; texts: string[]; overflowed: boolean } {
    const codes = this.#codes;
    if (codes === null) {
      const values = this.#cellValues.slice(0, rows);
      for (let i = 0; i < rows; i++) {
        const form = this.#cellForms[i];
        if (form !== forms.text) values[i] = isMissing(form) ? NaN : unkept;
      }
      return { values, texts: [...this.#texts], overflowed: true };
    }
    const texts: string[] = [],
      places = this.#texts.map((): number | null => null),
      values = new Float64Array(rows);
    for (let i = 0; i < rows; i++) {
      const code = codes[i];
      values[i] = isMissing(this.#forms[code]) ? NaN : places[code] ??= texts.push(this.#texts[code]) - 1;
    }
    return { values, texts, overflowed: false };
  }
}
