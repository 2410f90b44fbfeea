/**
 * How a column writes its numbers: one decimal sign and one sign between thousands for all of its cells.
 *
 * Cells that can be read in one way decide for those that can be read in two. Where a column has none, the file's other
 * columns decide, then what its whole numbers show, then the delimiter.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import type { CellForm } from "../types.ts";
import { type FormCount, forms } from "./column_store.ts";
import { counted, type DecidedColumn, type Decision, isDate, oneLine, plural, shown } from "./decision.ts";
import {
  type DecimalSign,
  fits,
  goesWith,
  type NumberForm,
  numberForm,
  type NumberGrammar,
  scanNumber,
  type ThousandsSign,
  unitsSaid,
  valueOf,
} from "./numbers.ts";

/** A form of number with its cells. */
export interface NumberCount extends FormCount {
  /** What it shows. */
  readonly shows: NumberForm;
}

/** The forms of numbers among the forms of a column. */
export function numbersOf(counts: readonly FormCount[]): NumberCount[] {
  return counts.filter(({ form }) => form >= forms.numbers)
    .map((count) => ({ ...count, shows: numberForm(count.form - forms.numbers) }));
}

/** A cell that speaks for a decimal sign, and how many do. */
export interface Witness {
  /** How many cells. */
  readonly count: number;
  /** The first. */
  readonly text: string;
  /** Its record. */
  readonly row: number;
  /** Its column. */
  readonly column: string;
}

/** Cells that can be read with one decimal sign only, by that sign. */
export type Witnesses = Readonly<Record<DecimalSign, Witness | null>>;

const other = (sign: DecimalSign): DecimalSign => sign === "." ? "," : ".";

/** Whether saying the sign before decimals, or that between thousands, decides or confirms anything of such cells. */
export function leavesSign(choice: "decimal" | "thousands", counts: readonly NumberCount[]): boolean {
  return counts.some(({ shows: { decimal, thousands, either } }) =>
    thousands !== "" || either !== "" || (choice === "decimal" && decimal !== "")
  );
}

/** The decimal sign that a form demands; "" when it does not. */
function demanded({ decimal, thousands }: NumberForm): DecimalSign | "" {
  return decimal !== "" ? decimal : thousands === "." || thousands === "," ? other(thousands) : "";
}

/** What a column's cells say for sure. */
export function witnesses(column: string, counts: readonly NumberCount[]): Witnesses {
  const of = (sign: DecimalSign): Witness | null => {
    const own = counts.filter(({ shows }) => demanded(shows) === sign);
    if (own.length === 0) return null;
    const { text, row } = own.reduce((a, b) => b.row < a.row ? b : a);
    return { count: own.reduce((sum, { count }) => sum + count, 0), text, row, column };
  };
  return { ".": of("."), ",": of(",") };
}

/** What is known of a column's numbers beside its own cells. */
export interface NumberHints {
  /** What was given. */
  readonly given: {
    readonly decimal?: DecimalSign | undefined;
    readonly thousands?: ThousandsSign | null | undefined;
  };
  /** How a model's training data wrote this column. */
  readonly expected: NumberGrammar & Pick<CellForm, "units"> | null;
  /** What the file's other columns say. */
  readonly others: Witnesses;
  /** Between the cells of the file. */
  readonly delimiter: string;
}

/** What told the decimal sign: the column's own cells, an option, a model, the file's other columns, or a habit. */
type Told = "cells" | "given" | "model" | "others" | "wholes" | "habit";

/** How a column's numbers are read. */
interface DecidedNumbers {
  readonly decimal: DecimalSign;
  readonly thousands: ThousandsSign | "";
  readonly told: Told;
  /** Why the decimal sign, in words. */
  readonly why: string;
}

const place = ({ text, row }: { text: string; row: number }): string => `${shown(text)} in row ${row}`;

const signNames = { ".": "point", ",": "comma" } as const;

/** Cells that can be read in two ways, in the order of rows. */
function eithersOf(counts: readonly NumberCount[]): NumberCount[] {
  return counts.filter(({ shows }) => shows.either !== "").sort((a, b) => a.row - b.row);
}

function decimalOf(
  counts: readonly NumberCount[],
  own: Witnesses,
  { given, expected, others, delimiter }: NumberHints,
): [sign: DecimalSign, told: Told, why: string] {
  if (given.decimal !== undefined) return [given.decimal, "given", "as asked"];
  if (given.thousands === "." || given.thousands === ",") {
    return [other(given.thousands), "given", `thousands are parted by "${given.thousands}", as asked`];
  }
  const point = own["."], comma = own[","];
  if (point !== null || comma !== null) {
    const sign = (point?.count ?? 0) >= (comma?.count ?? 0) ? "." : ",", witness = own[sign]!;
    return [
      sign,
      "cells",
      `${place(witness)}${witness.count > 1 ? ` and ${plural(witness.count - 1, "cell")} more` : ""}`,
    ];
  }
  const either = eithersOf(counts), sign = either[0]?.shows.either ?? "";
  if (given.thousands !== undefined && sign !== "") {
    return [sign, "given", `"${sign}" does not part thousands, as asked`];
  }
  if (expected?.decimal !== undefined) {
    return [expected.decimal, "model", "as in the data that the model was fitted on"];
  }
  // Whole numbers below 1000 beside "1.000": hardly a program writes decimals so, least of all between semicolons.
  const small = counts.find(({ shows }) => shows.whole === "small");
  const parts = sign !== "" && small !== undefined && !counts.some(({ shows }) => shows.whole === "large") &&
    either.every(({ shows }) => shows.either === sign);
  const told = (others["."] === null) !== (others[","] === null);
  const agrees = sign !== "" && others[other(sign)] !== null;
  if (parts && (!told || (!agrees && delimiter !== "," && either.some(({ shows }) => shows.round)))) {
    const why = `whole numbers like ${place(small)} have no sign and are below 1000, so ${
      place(either[0])
    } parts thousands`;
    return [other(sign), "wholes", why];
  }
  if (told) {
    const [by, witness] = others["."] === null ? [",", others[","]!] as const : [".", others["."]] as const;
    return [by, "others", `column ${shown(witness.column)} has ${place(witness)}`];
  }
  return delimiter === ";"
    ? [",", "habit", "no cell tells, and most files with semicolons have it"]
    : [".", "habit", "no cell tells, and most files have it"];
}

/** Decides how a column's numbers are read. */
function decideNumbers(column: string, counts: readonly NumberCount[], hints: NumberHints): DecidedNumbers {
  const [decimal, told, why] = decimalOf(counts, witnesses(column, counts), hints),
    { given, expected } = hints;
  const votes = new Map<ThousandsSign, number>();
  for (const { shows: { thousands, either }, count } of counts) {
    const sign = thousands !== "" ? thousands : either;
    if (sign !== "" && sign !== decimal) votes.set(sign, (votes.get(sign) ?? 0) + count);
  }
  const most = [...votes].sort((a, b) => b[1] - a[1])[0]?.[0], before = expected?.thousands ?? "";
  const thousands = given.thousands !== undefined
    ? given.thousands ?? ""
    : most ?? (before === decimal ? "" : before);
  return { decimal, thousands, told, why: `decimal ${signNames[decimal]}: ${why}` };
}

/** Whether so many units do not go together. */
const mixesUnits = (units: readonly string[]): boolean =>
  units.filter((unit) => unit !== "").length > 1 || units.includes("%");

/** The first cells of two units that do not go together ("$" and "€", "%" and none); null when all do. */
function mixedUnits(counts: readonly NumberCount[]): readonly [NumberCount, NumberCount] | null {
  const units = new Map<string, NumberCount>();
  for (const count of counts) {
    const { unit, whole } = count.shows, known = units.get(unit);
    // Nothing is nothing in every unit.
    if (unit === "" && whole === "zero") continue;
    if (known === undefined || count.row < known.row) units.set(unit, count);
  }
  const named = [...units].filter(([unit]) => unit !== "").map(([, count]) => count).sort((a, b) =>
    a.row - b.row
  );
  if (named.length > 1) return [named[0], named[1]];
  const plain = units.get("");
  return plain !== undefined && named.length === 1 && named[0].shows.unit === "%" ? [named[0], plain] : null;
}

/** @throws {FormatError} for a unit that is none of those that a model's training data had. */
function demandUnits({ of }: Decision, counts: readonly NumberCount[], units: CellForm["units"]): void {
  const odd = counts.filter(({ shows }) => !goesWith(shows.unit, units)).sort((a, b) => a.row - b.row);
  if (odd.length === 0) return;
  const [{ row, text }] = odd, cells = odd.reduce((sum, { count }) => sum + count, 0);
  throw new FormatError(
    `${of.file}: row ${row}, column ${shown(of.name)} holds ${shown(text)}${
      cells > 1 ? ` (${plural(cells, "such cell")})` : ""
    }, and the model was fitted on numbers with ${unitsSaid(units)}; bring them to that`,
  );
}

/**
 * A column of numbers.
 * @throws {FormatError} for cells that are none, or are written in another way than the others.
 */
export function asNumbers(decision: Decision, hints: NumberHints): DecidedColumn {
  const { of } = decision, counts = numbersOf(decision.counts);
  const failing = decision.among((form) => form === forms.infinite || isDate(form));
  if (failing.length > 0) {
    decision.refuse(
      failing,
      counts.reduce((sum, { count }) => sum + count, 0),
      "numbers",
    );
  }
  const decided = decideNumbers(of.name, counts, hints), { decimal, thousands, told, why } = decided;
  const texts = `take the column as texts with --kind "${oneLine(of.name)}=categorical"`;
  const misfits = counts.filter(({ shows }) => !fits(shows, decided)).sort((a, b) => a.row - b.row);
  if (misfits.length > 0) {
    const [{ row, text }] = misfits, cells = misfits.reduce((sum, { count }) => sum + count, 0);
    throw new FormatError(
      `${of.file}: row ${row}, column ${shown(of.name)} holds ${shown(text)}${
        cells > 1 ? ` (${plural(cells, "such cell")})` : ""
      }, ` +
        `where numbers have a ${why}${
          thousands === "" ? "" : ` and ${shown(thousands)} between thousands`
        }; write all numbers ` +
        `of a column in one way, say which it is with --decimal and --thousands, or ${texts}`,
    );
  }
  const { expected } = hints, fitted = expected?.units ?? [""];
  if (expected !== null) demandUnits(decision, counts, expected.units);
  // Who took numbers as they are written had them so, and has them so in what the model is asked.
  const isFree = expected === null ? of.kind === "numeric" : fitted.length > 1 && mixesUnits(fitted);
  const mixed = isFree ? null : mixedUnits(counts);
  if (mixed !== null) {
    throw new FormatError(
      `${of.file}: column ${shown(of.name)} mixes units: row ${mixed[0].row} holds ${
        shown(mixed[0].text)
      }, row ${mixed[1].row} ` +
        `${shown(mixed[1].text)}; bring them to one unit${
          expected === null
            ? `, or take the numbers as they are written with --kind "${oneLine(of.name)}=numeric"`
            : ""
        }`,
    );
  }
  const values = of.store.values(
    of.rows,
    (form, value) => form < forms.numbers ? NaN : valueOf(numberForm(form - forms.numbers), value, decimal),
  );
  const either = counts.some(({ shows }) => shows.either !== "");
  // A habit that decides nothing is nothing to keep.
  const kept = told !== "habit" || either;
  const hasPlain = counts.some(({ shows: { unit, whole } }) => unit === "" && whole !== "zero");
  // In the order of the file, however it was cut into pieces.
  const inOrder = counts.toSorted((a, b) => a.row - b.row);
  const units = [...new Set(inOrder.map(({ shows }) => shows.unit).filter((unit) => unit !== ""))];
  const form: CellForm = {
    ...(kept ? { decimal } : {}),
    ...(thousands === "" ? {} : { thousands }),
    ...(units.length === 0 ? {} : { units: hasPlain ? [...units, ""] : units }),
  };
  const like = [...counts].sort((a, b) => b.count - a.count).slice(0, 4)
    .map(({ count, text, row }) => `${counted(count)} like ${shown(text)} (row ${row})`);
  return {
    column: decision.column("numeric", values, Object.keys(form).length > 0 ? { form } : {}),
    evidence: [
      like.length === 0 ? "no number in any row" : like.join(", "),
      ...(counts.some(({ shows }) => shows.decimal !== "" || shows.either !== "") ? [why] : []),
      ...(thousands === "" ? [] : [`${shown(thousands)} between thousands`]),
      ...(units.length === 0 ? [] : [`written with ${units.map(shown).join(", ")}`]),
      ...decision.missing(),
    ].join("; "),
    notes: [
      ...readNotes(decision, counts, decided),
      ...(hasPlain && fitted.length === 1 && fitted[0] === "%"
        ? [
          `column ${
            shown(of.name)
          }: numbers without "%" are read as percents, as the model was fitted on them`,
        ]
        : []),
      ...decision.markNotes(),
    ],
  };
}

/** What is said of cells that could be read in another way, or lose something. */
function readNotes(
  { of }: Decision,
  counts: readonly NumberCount[],
  { decimal, told, why }: DecidedNumbers,
): string[] {
  const notes: string[] = [], texts = `--kind "${oneLine(of.name)}=categorical" keeps it as it is written`;
  const [either] = eithersOf(counts);
  const usual = told === "cells" || told === "given" || told === "model" ||
    (told === "others" && decimal === ".");
  if (either !== undefined && !usual) {
    const value = valueOf(either.shows, scanNumber(either.text)!.value, decimal);
    notes.push(`column ${shown(of.name)}: ${shown(either.text)} is read as ${value} (${why})`);
  }
  if (of.kind !== null) return notes;
  for (const { shows: { whole }, text, row } of counts) {
    if (whole === "padded") {
      notes.push(
        `column ${shown(of.name)}: ${shown(text)} in row ${row} is read as ${
          scanNumber(text)!.value
        }; ${texts}`,
      );
    } else if (whole === "huge") {
      notes.push(
        `column ${shown(of.name)}: ${shown(text)} in row ${row} has more digits than f64 keeps; ${texts}`,
      );
    }
  }
  return notes;
}
