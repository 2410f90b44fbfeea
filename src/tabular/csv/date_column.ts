/**
 * How a column writes its dates: the day first or the month first for all of its cells.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { dateForms, type FormCount, forms } from "./column_store.ts";
import { type DateForm, dateOf } from "./dates.ts";
import { counted, type DecidedColumn, type Decision, isDate, isNumber, oneLine, shown } from "./decision.ts";

/** Whether saying the order of day and month decides or confirms anything of such cells: not of dates with the year first. */
export function leavesOrder(counts: readonly FormCount[]): boolean {
  return counts.some(({ form }) => isDate(form) && dateForms[form - forms.dates] !== "year first");
}

/**
 * A column of dates.
 * @throws {FormatError} for cells that are none, and for dates that demand different orders.
 */
export function asDates(decision: Decision): DecidedColumn {
  const { of, counts } = decision, dates = counts.filter(({ form }) => isDate(form));
  const failing = decision.among(isNumber);
  if (failing.length > 0) decision.refuse(failing, decision.countOf(isDate), "dates");
  const first = (form: DateForm): FormCount | undefined =>
    dates.find((own) => dateForms[own.form - forms.dates] === form);
  const dayFirst = first("day first"), monthFirst = first("month first"), either = first("either");
  const texts = `take the column as texts with --kind "${oneLine(of.name)}=categorical"`;
  if (dayFirst !== undefined && monthFirst !== undefined) {
    throw new FormatError(
      `${of.file}: column ${shown(of.name)} has the day first in row ${dayFirst.row} (${
        shown(dayFirst.text)
      }) and the month ` +
        `first in row ${monthFirst.row} (${
          shown(monthFirst.text)
        }); write all dates in one way, best as 2024-12-31, or ${texts}`,
    );
  }
  const told = dayFirst ?? monthFirst;
  const order = dayFirst !== undefined
    ? "day first"
    : monthFirst !== undefined
    ? "month first"
    : of.dateOrder ?? "month first";
  if (told !== undefined && of.dateOrder !== null && of.dateOrder !== order && !of.demanded) {
    throw new FormatError(
      `${of.file}: row ${told.row}, column ${shown(of.name)} holds ${
        shown(told.text)
      }, which is no date with the ${of.dateOrder}; ` +
        `leave --date-order out, or ${texts}`,
    );
  }
  const open = either !== undefined && told === undefined && of.dateOrder === null;
  const like = dates.map(({ count, text, row }) => `${counted(count)} like ${shown(text)} (row ${row})`);
  const values = of.store.values(
    of.rows,
    (form, value) => isDate(form) ? dateOf(dateForms[form - forms.dates], value, order) : NaN,
  );
  return {
    column: decision.column(
      "date",
      values,
      either === undefined && told === undefined ? {} : { form: { dateOrder: order } },
    ),
    evidence: [
      like.length === 0 ? "no date in any row" : like.join(", "),
      ...(told !== undefined
        ? [`${order}: row ${told.row} holds ${shown(told.text)}`]
        : either !== undefined
        ? [order]
        : []),
      ...decision.missing(),
    ].join("; "),
    notes: [
      ...(open
        ? [
          `column ${shown(of.name)}: dates like ${
            shown(either.text)
          } are read with the month first, since no row tells ` +
          "(--date-order day-first is the other way)",
        ]
        : []),
      ...decision.markNotes(),
    ],
  };
}
