/**
 * Address arithmetic in one line.
 *
 * @module
 */
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";

/** A local, a constant, or the product of a local and either. */
export type Term = Local | number | readonly [Local, Local | number];

const push = (f: FunctionBuilder, x: Local | number): void => typeof x === "number" ? f.i32(x) : f.get(x);

/** Leaves the sum of the terms on the stack. Zero terms give nothing to add, and a factor of 1 no product. */
export function emitSum(f: FunctionBuilder, ...terms: Term[]): void {
  let first = true;
  for (const term of terms) {
    if (term === 0) continue;
    if (typeof term === "object" && "length" in term) {
      push(f, term[0]);
      if (term[1] !== 1) {
        push(f, term[1]);
        f.op("i32.mul");
      }
    } else push(f, term as Local | number);
    if (!first) f.op("i32.add");
    first = false;
  }
  if (first) f.i32(0);
}

/** Sets `to` to the sum of the terms. */
export function emitSetSum(f: FunctionBuilder, to: Local, ...terms: Term[]): void {
  emitSum(f, ...terms);
  f.set(to);
}

/** Sets `to` to the smaller of `to` and `limit`, both signed. */
export function emitAtMost(f: FunctionBuilder, to: Local, limit: Local): void {
  f.set(to, to.op("lt_s", limit).select(to, limit));
}

/** Divides `quotient` by `divisor` in place and sets `remainder`. */
export function emitDivide(f: FunctionBuilder, quotient: Local, remainder: Local, divisor: Local): void {
  f.set(remainder, quotient.op("rem_u", divisor));
  f.set(quotient, quotient.op("div_u", divisor));
}
