/**
 * The cpu device's arithmetic as a line of text, and read back: a checkpoint holds it, and a run that goes on follows it, for
 * which library multiplies what is measured, and another measurement may come out otherwise.
 *
 * @module
 */
import type { Reach } from "./choice.ts";

/** How the device rounds. */
export interface CpuArithmetic {
  /** Of our own kernels. */
  readonly own: string;
  /** The library that multiplies, and what; null where none does. */
  readonly library: { readonly name: string; readonly reach: Reach } | null;
}

/** In words. */
export function arithmeticText({ own, library }: CpuArithmetic): string {
  if (library === null) return own;
  const { leastRows, leastRowsTransposed, leastWork, leastQuantizedRows: quantized } = library.reach;
  const weights = quantized === Infinity ? "none" : `from ${quantized}`;
  return `${own}, large ones (rows from ${leastRows}, by transposed from ${leastRowsTransposed}, by quantised ${weights}, ` +
    `products from ${leastWork}) by ${library.name}`;
}

const withLibrary =
  /^(.*?), large ones \(rows from (\d+), by transposed from (\d+), by quantised (none|from (\d+)), products from (\d+)\) by (.+)$/;

/** What {@link arithmeticText} said. */
export function readArithmetic(text: string): CpuArithmetic {
  const found = withLibrary.exec(text);
  if (!found) return { own: text, library: null };
  const [, own, rows, transposed, , quantized, work, name] = found;
  const reach: Reach = {
    leastRows: Number(rows),
    leastRowsTransposed: Number(transposed),
    leastWork: Number(work),
    leastQuantizedRows: quantized === undefined ? Infinity : Number(quantized),
  };
  return { own, library: { name, reach } };
}
