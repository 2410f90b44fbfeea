/**
 * CSV files as people have them, into a {@link Table}, in one pass and in bounded memory.
 *
 * How the file is written is judged from its beginning and holds for all of it; what a column holds, and how it writes
 * its numbers, is decided from all of its cells. Each decision can be given, is said in one line, and rests on evidence
 * that the table keeps. A file with more cells than fit is read to its end all the same, and the rows in memory are
 * then a uniform sample of it (reservoir sampling: Vitter, "Random sampling with a reservoir", 1985, algorithm R).
 *
 * @module
 */
import { demandIterable, demandNoMore, demandText } from "../../core/demand.ts";
import { breather } from "../../core/breathe.ts";
import { show } from "../../core/show.ts";
import { FormatError, throwIfAborted } from "../../core/errors.ts";
import type { Table } from "../table.ts";
import { judgeDialect, takeSepLine } from "./dialect.ts";
import { checkCsvOptions, type CsvOptions } from "./options.ts";
import { type Dialect, plainDialect, RecordReader } from "./records.ts";
import { type Expected, TableBuilder } from "./table_builder.ts";
import { type ByteStream, StrictDecoder } from "./text_input.ts";

/**
 * So many characters of the beginning are looked at to judge how the file is written, or so many lines where they are
 * longer, up to a limit.
 */
const sampleSize = 1 << 16, sampleLines = 10, largestSample = 1 << 24;

/** The end of what is looked at; null when there is not enough text yet. */
function sampleEnd(text: string): number | null {
  if (text.length < sampleSize) return null;
  let at = 0;
  for (let lines = 0; lines < sampleLines; lines++) {
    const lf = text.indexOf("\n", at), cr = lf < 0 ? text.indexOf("\r", at) : -1;
    if (lf < 0 && cr < 0) return text.length < largestSample ? null : text.length;
    at = Math.max(lf, cr) + 1;
  }
  return Math.max(at, sampleSize);
}

/** What of a dialect is given. */
function givenDialect({ delimiter, quote, escape, lineEnd, comment }: CsvOptions): Partial<Dialect> {
  const given = { delimiter, quote, escape, lineEnd, comment };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Takes lines off the beginning of a text that comes in pieces. */
class LineSkipper {
  #left: number;

  constructor(lines: number) {
    this.#left = lines;
  }

  /** How many lines are left to take off. */
  get left(): number {
    return this.#left;
  }

  /** What is left of a text; not done while the lines go on. */
  skip(text: string, last: boolean): { text: string; done: boolean } {
    while (this.#left > 0) {
      const match = /\r\n|\n|\r(?=[^\n])/.exec(text) ?? (last ? /\r$|$/.exec(text) : null);
      if (match === null) return { text, done: false };
      text = text.slice(match.index + match[0].length);
      this.#left--;
    }
    return { text, done: true };
  }
}

/** Reads the text of one file. */
class TextReader {
  readonly #name: string;
  readonly #options: CsvOptions;
  readonly #expected: Expected | null;
  readonly #skipper: LineSkipper;
  #begun = "";
  #reader: RecordReader | null = null;
  #builder: TableBuilder | null = null;

  constructor(name: string, options: CsvOptions, expected: Expected | null) {
    this.#name = name;
    this.#options = options;
    this.#expected = expected;
    this.#skipper = new LineSkipper(options.skipLines ?? 0);
  }

  get rows(): number {
    return this.#builder?.rowsInFile ?? 0;
  }

  /** Takes the next text; `last` when there is no more. */
  take(text: string, last: boolean): void {
    if (this.#reader === null) {
      const { text: begun, done } = this.#skipper.skip(this.#begun + text, last);
      this.#begun = begun;
      if (!done && begun.length > largestSample) {
        throw new FormatError(
          `${this.#name}: a line before the table has no end within ${largestSample} characters`,
        );
      }
      if ((sampleEnd(begun) === null || !done) && !last) return;
      text = this.#begin(last);
    }
    const before = this.#reader!.rows;
    this.#reader!.read(text, last).forEach((record, i) => this.#builder!.add(record, before + i + 1));
  }

  /** Judges how the file is written, and gives the text of the table and what is before it. */
  #begin(last: boolean): string {
    const { skipLines = 0, header } = this.#options, sep = takeSepLine(this.#begun);
    if (sep.rest.trim() === "") throw new FormatError(`${this.#name} has no rows: it is empty`);
    const sample = sep.rest.slice(0, sampleEnd(sep.rest) ?? sep.rest.length),
      before = skipLines + (sep.delimiter === null ? 0 : 1);
    const given = {
      ...(sep.delimiter === null ? {} : { delimiter: sep.delimiter }),
      ...givenDialect(this.#options),
    };
    const judged = judgeDialect(sample, last && sample.length === sep.rest.length, given, {
      header,
      before,
      skip: skipLines > 0 ? 0 : undefined,
      names: this.#expected?.names,
      delimiter: this.#expected?.csv?.delimiter,
    });
    if (judged === null) {
      throw new FormatError(`${this.#name} has no rows: there are only empty lines and comments`);
    }
    this.#reader = new RecordReader(this.#name, judged.dialect, before);
    this.#builder = new TableBuilder(
      this.#name,
      judged,
      before,
      sep.delimiter !== null,
      this.#options,
      this.#expected,
    );
    this.#reader.width = this.#options.quote === undefined ? judged.layout.width : 0;
    return sep.rest;
  }

  /** Where in the file the text stops after `before`. */
  position(before: string): { row: number; column: number } {
    if (this.#reader !== null) return this.#reader.position(before);
    const text = this.#begun + before, given = givenDialect(this.#options);
    const dialect = judgeDialect(text, true, given)?.dialect ?? { ...plainDialect, ...given };
    const skipped = (this.#options.skipLines ?? 0) - this.#skipper.left;
    return new RecordReader(this.#name, dialect, skipped).position(text);
  }

  finish(encoding: string, evidence: string): Table {
    const { met } = this.#reader!, { comment, escape } = this.#options;
    const idle = [
      ...(comment && !met.has("comment")
        ? [`--comment has no effect because no line begins with ${show(comment)}`]
        : []),
      ...(escape && !met.has("escape")
        ? [`--escape has no effect because no quoted cell has ${show(escape)}`]
        : []),
    ];
    return this.#builder!.finish(encoding, evidence, this.#expected === null ? idle : []);
  }
}

/**
 * Reads a table from bytes in pieces; `name` is what messages call the file, and `expected` what a model takes.
 *
 * @throws {FormatError} naming row and column (records count from 1, the first of the file): ragged rows, no rows, texts
 * among numbers, what is not text.
 * @throws {OptionError} for options that do not fit.
 * @throws {CancelledError} when
 * `signal` was aborted.
 * @category Tables
 */
export async function readCsvStream(
  name: string,
  bytes: ByteStream,
  given: CsvOptions = {},
  expected: Expected | null = null,
): Promise<Table> {
  demandNoMore(arguments, 4, "readCsvStream");
  const options = checkCsvOptions("readCsvStream", given);
  demandText("readCsvStream", name, "the name");
  demandIterable("readCsvStream", bytes, "what to read", "an async iterable of bytes");
  const decoder = new StrictDecoder(name, options.encoding), breathe = breather();
  const text = new TextReader(name, options, expected);
  const where = (before: string) => text.position(before);
  let read = 0;
  for await (const piece of bytes) {
    throwIfAborted(options.signal, `reading ${name}`);
    read += piece.length;
    text.take(decoder.decode(piece, false, where), false);
    options.onProgress?.({ bytes: read, rows: text.rows });
    await breathe();
  }
  throwIfAborted(options.signal, `reading ${name}`);
  text.take(decoder.decode(new Uint8Array(0), true, where), true);
  return text.finish(decoder.encoding, decoder.evidence);
}
