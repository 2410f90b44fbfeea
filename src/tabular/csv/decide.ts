/**
 * What a column holds: decided once, from all of its cells, with the evidence.
 *
 * Numbers with a few other texts among them are numbers with mistakes, and refused by row; a column with more of them is
 * texts, and that is said. Nothing turns into text in silence.
 *
 * @module
 */
import { forms, isMissing } from "./column_store.ts";
import { asDates } from "./date_column.ts";
import {
  type ColumnToDecide,
  counted,
  type DecidedColumn,
  Decision,
  isDate,
  isNumber,
  oneLine,
  others,
  plural,
  shown,
} from "./decision.ts";
import { asNumbers, type NumberHints } from "./number_column.ts";
import { booleanPair, parseBoolean } from "./words.ts";

/** A column with at most this share of cells that fail has mistakes in it rather than being of texts. */
const mistakeShare = 0.2;

/**
 * Decides what a column holds.
 * @throws {FormatError} naming row and column of cells that do not fit.
 */
export function decideColumn(of: ColumnToDecide, hints: NumberHints): DecidedColumn {
  const decision = new Decision(of);
  if (of.kind === "categorical") return asTexts(decision, of.demanded ? "as the model takes it" : "as asked");
  if (of.kind === "boolean") return asBooleans(decision);
  if (of.kind === "numeric") return asNumbers(decision, hints);
  if (of.kind === "date") return asDates(decision);
  if (decision.known === 0) {
    const column = decision.column("numeric", new Float64Array(of.rows).fill(NaN));
    return { column, evidence: "no value in any row", notes: [] };
  }
  const numbers = decision.countOf(isNumber), dates = decision.countOf(isDate);
  const marks = decision.marks.reduce((sum, { count }) => sum + count, 0);
  const words = decision.known - numbers - dates - marks;
  if (isMostly(numbers, words + dates)) return asNumbers(decision, hints);
  if (isMostly(dates, words + numbers)) return asDates(decision);
  if (numbers + dates === 0 && booleanPair(decision.texts.map(({ text }) => text)) !== null) {
    return asBooleans(decision);
  }
  return asTexts(decision, null);
}

function isMostly(fitting: number, failing: number): boolean {
  return fitting > 0 && (failing === 0 || (fitting > 1 && failing <= mistakeShare * (fitting + failing)));
}

/** A whole number as SAP writes a negative one, and schools a grade. */
const minusBehind = /^\d[\d.,' ]*[-\u2212]$/;

function asTexts(decision: Decision, asked: string | null): DecidedColumn {
  const { of, known } = decision, { values, texts, overflowed } = of.store.categories(of.rows);
  const column = decision.column("categorical", values, { texts, overflowed });
  const different = `${overflowed ? "more than " : ""}${plural(texts.length, "different text")}`;
  const numbers = decision.countOf(isNumber), dates = decision.countOf(isDate);
  if (asked !== null) {
    return { column, evidence: [`${different}, ${asked}`, ...decision.missing()].join("; "), notes: [] };
  }
  const [most, what, kind, is] = numbers >= dates
    ? [numbers, "numbers", "numeric", isNumber] as const
    : [dates, "dates", "date", isDate] as const;
  const failing = decision.among((form) => !isMissing(form) && !is(form)), [first] = failing;
  const example = first === undefined ? "" : `row ${first.row} holds ${shown(first.text)}`;
  const evidence = [
    different,
    ...(most > 0 ? [`${counted(most)} of ${plural(known, "cell")} are ${what}, but ${example}`] : []),
    ...decision.missing(),
  ].join("; ");
  const named = decision.counts.find(({ form }) => form === forms.named),
    notes = named === undefined ? [] : [
      `column ${shown(of.name)}: ${plural(named.count, "cell")} like ${
        shown(named.text)
      } (row ${named.row}) ` +
      `${
        named.count === 1 ? "is" : "are"
      } taken as missing, as pandas does (--no-default-missing keeps them)`,
    ];
  const behind = failing.filter(({ text }) => minusBehind.test(text.trim()));
  const negatives = behind.reduce((sum, { count }) => sum + count, 0);
  // Of grades there are such with a plus, too.
  if (is === isNumber && negatives > 0 && behind.length === failing.length && numbers + negatives > 1) {
    notes.push(
      `column ${shown(of.name)} is read as texts: ${plural(negatives, "cell")} like ${
        shown(behind[0].text)
      } (row ${behind[0].row}) ${
        negatives === 1 ? "has" : "have"
      } the minus behind a whole number, as grades and codes do; write negative numbers as ${
        shown(`-${behind[0].text.trim().slice(0, -1)}`)
      }`,
    );
  } else if (2 * most > known) {
    notes.push(
      `column ${shown(of.name)} is read as texts: ${counted(most)} of ${
        plural(known, "cell")
      } are ${what}, but ` +
        `${example}${others(failing)}; --kind "${
          oneLine(of.name)
        }=${kind}" refuses such cells, --missing takes one as missing`,
    );
  }
  return { column, evidence, notes };
}

function asBooleans(decision: Decision): DecidedColumn {
  const { of } = decision,
    { values, texts } = of.store.categories(of.rows),
    words = decision.texts.map(({ text }) => text);
  const pair = of.pair ?? booleanPair(words) ?? ["false", "true"];
  const read = (text: string): number => pair.includes(text) ? pair.indexOf(text) : parseBoolean(text);
  const failing = decision.texts.filter(({ text }) => Number.isNaN(read(text)));
  if (failing.length > 0) decision.refuse(failing, 0, `${shown(pair[0])} and ${shown(pair[1])}`);
  const cells = texts.map(read);
  return {
    column: decision.column("boolean", values.map((code) => cells[code] ?? NaN), { texts: pair }),
    evidence: [`${shown(pair[0])} is false, ${shown(pair[1])} is true`, ...decision.missing()].join("; "),
    notes: decision.markNotes(),
  };
}
