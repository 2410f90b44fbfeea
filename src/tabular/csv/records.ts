/**
 * Text into records, piece by piece.
 *
 * What ends a record is settled for the whole file, stands outside of quotes, and does not depend on where a piece of
 * the file begins. (`papaparse`, which did this before, takes one kind of line end a call and guesses it from the piece
 * that it is given; files that mix them, or have others inside of quotes, came out shifted.)
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { Position } from "./text_input.ts";

/**
 * What ends a record: LF with or without CR before it; CR alone; CR LF alone; or any of them.
 *
 * @category Tables
 */
export type LineEnd = "lf" | "cr" | "crlf" | "any";

/** How a file is written. */
export interface Dialect {
  /** Between cells; "whitespace" is any number of spaces and tabulators. */
  readonly delimiter: string;
  /** Around cells that hold delimiters or line ends: one character; null when no character does. */
  readonly quote: string | null;
  /** Before a quote that is part of a quoted cell: one character; null when such a quote is doubled. */
  readonly escape: string | null;
  /** Whether spaces stand between a delimiter and a quote that opens a cell: `1, "a,b"`. */
  readonly padded: boolean;
  /** What ends a record. */
  readonly lineEnd: LineEnd;
  /** What a record begins with that is none; null for nothing. */
  readonly comment: string | null;
}

/** A dialect to begin from: that of RFC 4180, with any line end. */
export const plainDialect: Dialect = {
  delimiter: ",",
  quote: '"',
  escape: null,
  padded: false,
  lineEnd: "any",
  comment: null,
};

/** The longest record that is waited for, in characters: beyond, a quote was opened and never closed. */
const longestRecord = 1 << 24;

/** A quoted cell with so many lines inside, each like a row of the table, was opened by mistake. */
const swallowedLines = 3;

const lineEnds: Readonly<Record<LineEnd, readonly string[]>> = {
  lf: ["\n"],
  cr: ["\r"],
  crlf: ["\r\n"],
  any: ["\n", "\r"],
};

/** Where strings occur in a text, each looked for once. */
class Finder {
  readonly #text: string;
  readonly #wanted: readonly string[];
  readonly #at: number[];

  constructor(text: string, wanted: readonly string[]) {
    this.#text = text;
    this.#wanted = wanted;
    this.#at = wanted.map(() => -1);
  }

  /** The first of them from `from` on; the length of the text when there is none. `from` never falls. */
  next(from: number): number {
    let least = this.#text.length;
    for (let i = 0; i < this.#at.length; i++) {
      if (this.#at[i] < from) {
        const found = this.#text.indexOf(this.#wanted[i], from);
        this.#at[i] = found < 0 ? this.#text.length : found;
      }
      if (this.#at[i] < least) least = this.#at[i];
    }
    return least;
  }
}

/** How often records of a file ended in which way. */
export interface EndCounts {
  /** LF alone. */
  lf: number;
  /** CR and LF. */
  crlf: number;
  /** CR alone. */
  cr: number;
}

/** A cell, and the place of the delimiter or line end behind it. */
interface Cell {
  readonly text: string;
  readonly end: number;
  readonly quoted: boolean;
}

/** Text at hand, of which `length` characters may be looked at. */
interface Piece {
  readonly text: string;
  readonly length: number;
  readonly last: boolean;
  readonly delimiters: Finder;
  readonly ends: Finder;
}

/** Cuts text that comes in pieces into records. */
export class RecordReader {
  /** What of the dialect had its effect. */
  readonly met: Set<"comment" | "escape"> = new Set();
  readonly #name: string;
  readonly #dialect: Dialect;
  readonly #lenient: boolean;
  readonly #spaced: boolean;
  /** Text from the beginning of the first cell that is not complete. */
  #rest = "";
  /** The cells before it in its record. */
  #record: string[] = [];
  /** Up to where in the rest a quoted cell was looked through. */
  #seen = 0;
  /** Characters since the last record. */
  #waiting = 0;
  #rows: number;
  /** The cells of a record, once it is known: makes a quote that takes up rows known. */
  width = 0;
  /** Quotes in the wrong place, which only a lenient reader goes past. */
  faults = 0;
  /** Quoted cells that were closed as they should be. */
  quoted = 0;
  /** How records ended. */
  readonly ends: EndCounts = { lf: 0, crlf: 0, cr: 0 };

  /**
   * `name` is what the messages call the file, `rows` how many records were before. A lenient reader counts faults
   * instead of throwing.
   */
  constructor(name: string, dialect: Dialect, rows = 0, lenient = false) {
    this.#name = name;
    this.#dialect = dialect;
    this.#rows = rows;
    this.#lenient = lenient;
    this.#spaced = dialect.delimiter === "whitespace";
  }

  /** How many records were given so far. */
  get rows(): number {
    return this.#rows;
  }

  /** How many characters wait for the rest of their record. */
  get pending(): number {
    return this.#rest.length;
  }

  /**
   * The records that are complete with this text; with `last`, all that are left. An empty line, and a comment, is a
   * record without cells.
   *
   * @throws {FormatError} for a quoted cell that does not end, text behind one, and one that takes up rows.
   */
  read(next: string, last: boolean): string[][] {
    const { lineEnd, delimiter, comment } = this.#dialect, text = this.#rest + next, records: string[][] = [];
    // A CR at the end of a piece may be half of a line end.
    const half = !last && text.endsWith("\r") && (lineEnd === "any" || lineEnd === "crlf");
    const length = text.length - (half ? 1 : 0);
    const piece: Piece = {
      ...{ text, length, last },
      delimiters: new Finder(text, this.#spaced ? [" ", "\t"] : [delimiter]),
      ends: new Finder(text, lineEnds[lineEnd]),
    };
    let at = 0;
    while (at < length) {
      const isComment = comment !== null && this.#record.length === 0 && text.startsWith(comment, at);
      if (isComment) this.met.add("comment");
      const cell = isComment ? this.#line(piece, at) : this.#cell(piece, at);
      if (cell === null) break;
      if (cell.end < length && piece.ends.next(cell.end) !== cell.end) {
        this.#record.push(cell.text);
        at = cell.end + (this.#spaced ? 0 : delimiter.length);
        continue;
      }
      const blank = !cell.quoted && cell.text.trim() === "";
      // An empty line has no cell; spaces at the end of a line delimit nothing.
      if (!isComment && !(blank && (this.#spaced || this.#record.length === 0))) this.#record.push(cell.text);
      at = this.#behindLine(text, cell.end);
      this.#finish(records);
    }
    if (last && this.#record.length > 0) {
      // Behind a delimiter that ends the file there is an empty cell.
      this.#record.push("");
      this.#finish(records);
    }
    this.#rest = text.slice(at);
    this.#waiting = records.length > 0 ? this.#rest.length : this.#waiting + next.length;
    if (this.#waiting > longestRecord) this.#unclosed();
    return records;
  }

  #finish(records: string[][]): void {
    records.push(this.#record);
    this.#record = [];
    this.#rows++;
  }

  /** The cell at `at`; null when it is not complete yet. */
  #cell(piece: Piece, at: number): Cell | null {
    const { text, length, last, delimiters, ends } = piece, { quote, padded, lineEnd } = this.#dialect;
    const open = this.#spaced || padded ? this.#afterSpaces(text, at, length) : at;
    if (open >= length && !last) return null;
    if (quote !== null && open < length && text[open] === quote) return this.#quotedCell(piece, at, open);
    const from = this.#spaced ? open : at, end = Math.min(delimiters.next(from), ends.next(from), length);
    if (end >= length && !last) return null;
    const ended = end >= length || ends.next(end) === end;
    const cut = ended && lineEnd === "lf" && end > from && text[end - 1] === "\r" ? end - 1 : end;
    return this.#spaced
      ? this.#beforeNext(piece, text.slice(from, cut), end, false)
      : { text: text.slice(from, cut), end, quoted: false };
  }

  #quotedCell(piece: Piece, at: number, open: number): Cell | null {
    const { text, length, last, delimiters, ends } = piece;
    const close = this.#closing(text, Math.max(open + 1, this.#seen), length);
    this.#seen = 0;
    if (close.at === null && !last) {
      this.#seen = close.seen - at;
      return null;
    }
    if (close.at === null) {
      this.#unclosed();
      return { text: this.#unescaped(text.slice(open + 1, length)), end: length, quoted: true };
    }
    let behind = this.#afterSpaces(text, close.at + 1, length);
    if (this.#dialect.lineEnd === "lf") { while (behind < length && text[behind] === "\r") behind++; }
    if (behind >= length && !last) {
      // Another quote may follow, which makes this one part of the cell.
      this.#seen = close.at - at;
      return null;
    }
    const inner = this.#unescaped(text.slice(open + 1, close.at));
    this.#checkSwallowed(inner);
    const end = Math.min(delimiters.next(close.at + 1), ends.next(close.at + 1), length);
    this.quoted++;
    if (this.#spaced && behind > end) return { text: inner, end: behind, quoted: true };
    if (behind === end) return { text: inner, end, quoted: true };
    this.quoted--;
    this.#behindQuote();
    return { text: inner + text.slice(close.at + 1, end), end, quoted: true };
  }

  /** A cell in a line parted by spaces ends where the next begins; null when that is not there yet. */
  #beforeNext({ length, last, text }: Piece, cell: string, end: number, quoted: boolean): Cell | null {
    const next = this.#afterSpaces(text, end, length);
    return next >= length && !last ? null : { text: cell, end: next, quoted };
  }

  /** The rest of a line; null when its end is not there yet. */
  #line({ length, last, ends }: Piece, at: number): Cell | null {
    const end = Math.min(ends.next(at), length);
    return end >= length && !last ? null : { text: "", end, quoted: false };
  }

  #afterSpaces(text: string, at: number, length: number): number {
    while (at < length && (text[at] === " " || (this.#spaced && text[at] === "\t"))) at++;
    return at;
  }

  /** The place behind the line end at `end`, which is counted. */
  #behindLine(text: string, end: number): number {
    if (end >= text.length) return text.length;
    if (text.startsWith("\r\n", end)) {
      this.ends.crlf++;
      return end + (this.#dialect.lineEnd === "cr" ? 1 : 2);
    }
    if (text[end] === "\r") this.ends.cr++;
    else if (text[end - 1] === "\r") this.ends.crlf++;
    else this.ends.lf++;
    return end + 1;
  }

  /** The closing quote from `from` on; null when it is not there, and up to where that is certain. */
  #closing(text: string, from: number, length: number): { at: number | null; seen: number } {
    const quote = this.#dialect.quote!, { escape } = this.#dialect;
    for (let at = from;;) {
      const next = text.indexOf(quote, at), found = next < 0 ? length : Math.min(next, length);
      const escaped = escape === null ? -1 : text.slice(at, found).indexOf(escape);
      if (escaped >= 0) {
        if (at + escaped + 1 >= length) return { at: null, seen: at + escaped };
        at += escaped + 2;
      } else if (found === length) return { at: null, seen: length };
      else if (text[found + 1] !== quote || found + 1 >= length) return { at: found, seen: found };
      else at = found + 2;
    }
  }

  #unescaped(inner: string): string {
    const quote = this.#dialect.quote!, { escape } = this.#dialect;
    if (escape === null || !inner.includes(escape)) {
      return inner.includes(quote) ? inner.replaceAll(quote + quote, quote) : inner;
    }
    this.met.add("escape");
    let out = "";
    for (let i = 0; i < inner.length; i++) {
      const pair = inner[i] === escape || (inner[i] === quote && inner[i + 1] === quote);
      out += pair && i + 1 < inner.length ? inner[++i] : inner[i];
    }
    return out;
  }

  /** A cell of many lines that each look like a row was not meant to be one cell. */
  #checkSwallowed(inner: string): void {
    if (this.#lenient || this.width < 3 || !/[\r\n]/.test(inner)) return;
    const lines = inner.split(/\r\n|\n|\r/).slice(1, -1);
    if (lines.length < swallowedLines) return;
    if (!lines.every((line) => line.split(this.#dialect.delimiter).length === this.width)) return;
    throw new FormatError(
      `${this.#name}: row ${this.#rows + 1} opens a quote (${this.#dialect.quote}) that is closed ${
        counted(lines.length + 1, "line")
      } later, and every line between looks like a row; double a quote that is part of a cell, or say that the ` +
        `file has none with --quote none (or --quote '${this.#dialect.quote}', when this is one cell)`,
    );
  }

  #behindQuote(): void {
    this.faults++;
    if (this.#lenient) return;
    throw new FormatError(
      `${this.#name}: row ${
        this.#rows + 1
      } has text behind a closing quote (${this.#dialect.quote}); double a quote that is part of a cell, or say that ` +
        "the file has none with --quote none",
    );
  }

  #unclosed(): void {
    this.faults++;
    if (this.#lenient) return;
    const { quote } = this.#dialect;
    throw new FormatError(
      `${this.#name}: row ${this.#rows + 1} ` +
        (quote === null
          ? `has no end within ${longestRecord} characters; is the line end another one?`
          : `opens a quote (${quote}) that is never closed; double a quote that is part of a cell, or say that the file has ` +
            "none with --quote none"),
    );
  }

  /** Where the text stops if `next` is the next piece and ends there. */
  position(next: string): Position {
    const reader = new RecordReader(this.#name, this.#dialect, this.#rows, true);
    reader.#rest = this.#rest;
    reader.#record = [...this.#record];
    reader.read(next, false);
    return { row: reader.#rows + 1, column: reader.#record.length + 1 };
  }
}

/** All records of a text that are complete, and their reader; quotes in the wrong place are gone past. */
export function recordsOf(
  text: string,
  dialect: Dialect,
  whole: boolean,
): { records: string[][]; reader: RecordReader } {
  const reader = new RecordReader("", dialect, 0, true);
  return { records: reader.read(text, whole), reader };
}
