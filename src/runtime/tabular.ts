/**
 * Tabular models with their files: CSV from anywhere in, safetensors out and in again.
 *
 * @module
 */
import { demandNoMore, demandPath, toldAs } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { object } from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { version } from "../core/version.ts";
import { openFiles, SafetensorsFile } from "../files/mod.ts";
import { type Openable, openSource } from "../platform/platform.ts";
import { startHash } from "../platform/hash.ts";
import {
  type CsvOptions,
  type Expected,
  fitTable,
  readCsvStream,
  readModel,
  Table,
  TabularModelBase,
  type TabularOptions,
} from "../tabular/mod.ts";
import { checkCsvOptions } from "../tabular/csv/options.ts";
import { idleTabularOptions, tabularOptions } from "../tabular/fit_options.ts";
import { writeWeights } from "./save_weights.ts";

/**
 * What a table can be read from: what can be opened, or bytes in pieces (a pipe, a response's body).
 *
 * @category Tables
 */
export type CsvSource = Openable | AsyncIterable<Uint8Array>;

/** Bytes read at a time. */
const pieceSize = 1 << 20;

function isStream(what: unknown): what is AsyncIterable<Uint8Array> {
  return typeof what === "object" && what !== null && Symbol.asyncIterator in what;
}

async function* pieces(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += pieceSize) {
    yield await source.read(at, Math.min(pieceSize, source.size - at));
  }
}

/**
 * Reads a CSV file (a path, URL, Blob, bytes or a stream of bytes) into a table. How the file is written, and what each
 * column holds, is found out where it is not given; `table.notes` says it, and `table.reading` why. Of a file with more
 * cells than `maxCells` a uniform sample of rows is held.
 *
 * @throws {FormatError} naming row and column, for what is no CSV, and for cells that are not what their column holds.
 * @throws {OptionError} for options that do not fit.
 * @throws {CancelledError} when `signal` was aborted.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @category Tables
 */
export async function readCsv(what: CsvSource, options: CsvOptions = {}): Promise<Table> {
  demandNoMore(arguments, 2, "readCsv");
  const checked = checkCsvOptions("readCsv", options);
  return await toldAs("readCsv", ["open"], () => readTable(what, checked, null));
}

async function readTable(what: CsvSource, options: CsvOptions, expected: Expected | null): Promise<Table> {
  const hash = startHash("sha256");
  async function* hashed(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      hash.update(piece);
      yield piece;
    }
  }
  // A Blob is an Openable; that some runtimes also make it iterable does not matter.
  if (isStream(what) && !(what instanceof Blob)) {
    const table = await readCsvStream("standard input", hashed(what), options, expected);
    return new Table({ ...table, sha256: await hash.digest() });
  }
  const source = await openSource(what as Openable);
  try {
    const name = source.name.split(/[/\\]/).at(-1) || source.name;
    const table = await readCsvStream(name, hashed(pieces(source)), options, expected);
    return new Table({ ...table, sha256: await hash.digest() });
  } finally {
    await source.close();
  }
}

/**
 * Options of `TabularModel.fit`.
 *
 * @category Tables
 */
export interface FitOptions extends TabularOptions {
  /** How the file is read; has no effect on a table. */
  csv?: CsvOptions;
}

const fitOptions: OptionTable<FitOptions> = { ...tabularOptions, csv: object };

function idleFitOptions(isTable: boolean): Idle<FitOptions>[] {
  return [
    ...idleTabularOptions as readonly Idle<FitOptions>[],
    { option: "csv", when: () => isTable, because: "the table is read already" },
  ];
}

/**
 * A model of a table.
 *
 * ```ts
 * const rows = Array.from({ length: 90 }, (_, i) => `${i % 9},${i % 5},${i % 9 > 4 ? "high" : "low"}`);
 * const model = await TabularModel.fit(new Blob([["level,noise,kind", ...rows].join("\n")])); // or a path
 * console.log(model.evaluation?.heldOut.accuracy);
 * console.log(await model.predict({ level: 7, noise: 2 }));
 * ```
 *
 * @category Tables
 */
export class TabularModel extends TabularModelBase {
  /**
   * Fits a model to a CSV file or table: finds the task, tries linear models and perceptrons inside the training rows,
   * averages what does well, and says how good that is on rows it has not seen (`evaluation`).
   *
   * @throws {FormatError} for a table or target that nothing can be learned from.
   * @throws {OptionError} for options
   * that do not fit.
   * @throws {CancelledError} when `signal` was aborted.
   */
  static async fit(csv: CsvSource | Table, options: FitOptions = {}): Promise<TabularModel> {
    demandNoMore(arguments, 2, "fit");
    const given = checkOptions("TabularModel.fit", options, fitOptions, idleFitOptions(csv instanceof Table));
    const { csv: reading, ...rest } = given;
    const signal = given.signal ? { signal: given.signal } : {};
    const table = csv instanceof Table
      ? csv
      : await toldAs("TabularModel.fit", ["readCsv"], () => readCsv(csv, { ...signal, ...reading }));
    const { fitted, info } = await fitTable(table, { version, ...rest });
    return new TabularModel(fitted, info);
  }

  /**
   * Reads a model that {@link TabularModel.save} wrote.
   * @throws {FormatError} for a file that is none.
   * @throws {OptionError} for what is no path, URL, Blob, bytes or byte source, and options that do not exist.
   * @throws {FerrotypeError} for a file that is not there or cannot be read.
   */
  static async load(what: Openable): Promise<TabularModel> {
    demandNoMore(arguments, 1, "load");
    const source = await toldAs("TabularModel.load", ["open"], () => openSource(what)),
      file = new SafetensorsFile(await openFiles(source));
    try {
      const { fitted, info } = await readModel(file, source.name);
      return new TabularModel(fitted, info);
    } finally {
      await file.close();
    }
  }

  /**
   * Reads a CSV file to predict: columns are found by name and read as in the data that the model was fitted on, so one
   * column is enough, any may be empty, and the target may be there or not. Give the table to `predictTable`.
   *
   * @throws {FormatError} as {@link readCsv}.
   * @throws {OptionError} for options that do not fit the model.
   * @throws {FerrotypeError} for a file that is not there or cannot be read.
   * @throws {CancelledError} by `signal`.
   */
  async readCsv(what: CsvSource, options: CsvOptions = {}): Promise<Table> {
    demandNoMore(arguments, 2, "readCsv");
    return await readTable(what, checkCsvOptions("readCsv", options), this.expected);
  }

  /**
   * Writes the model as one safetensors file, whole or not at all: weights, normaliser, metadata.
   * @throws {FerrotypeError} for a place that cannot be written.
   * @throws {OptionError} for what is no path.
   */
  async save(path: string | URL): Promise<void> {
    demandNoMore(arguments, 1, "save");
    demandPath("save", path);
    const { tensors, metadata } = this.toFile();
    await writeWeights(path, tensors, { metadata });
  }
}
