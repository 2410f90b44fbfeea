/**
 * What the items of attention have in common: arguments, addresses, calls, and counting.
 *
 * @module
 */
import type { FunctionBuilder, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitSetSum } from "../gemm/address.ts";
import { groupArg, headsArg, lseArg, operandBytes, operandsArg, queriesArg } from "./layout.ts";

/** The address `offset` bytes into the thread's scratch memory. */
export function emitScratch(f: FunctionBuilder, scratch: Global, offset: number): Local {
  const local = f.local("i32");
  f.globalGet(scratch);
  f.op("i32.add", offset);
  f.set(local);
  return local;
}

/** Reads an argument. */
export function emitArgument(f: FunctionBuilder, args: Local, offset: number): Local {
  const local = f.local("i32");
  f.set(local, args.load(offset));
  return local;
}

/** The address of operand `k` for a batch and head, and the bytes between its rows. */
export function emitOperand(
  f: FunctionBuilder,
  args: Local,
  k: number,
  batch: Local,
  head: Local,
): { at: Local; stride: Local } {
  const [at, batches, heads, stride] = [0, 4, 8, 12].map((offset) =>
    emitArgument(f, args, operandsArg + operandBytes * k + offset)
  );
  emitSetSum(f, at, at, [batch, batches], [head, heads]);
  return { at, stride };
}

/** Divides: `high` = x / by, `low` = x % by. */
export function emitSplitNumber(f: FunctionBuilder, x: Local, by: Local): { high: Local; low: Local } {
  const high = f.local("i32"), low = f.local("i32");
  f.set(high, x.op("div_u", by));
  f.set(low, x.op("rem_u", by));
  return { high, low };
}

/** Calls with locals and sums of locals. */
export function emitCall(
  f: FunctionBuilder,
  callee: FunctionBuilder,
  ...values: (Local | (() => void))[]
): void {
  for (const value of values) {
    if (typeof value === "function") value();
    else f.get(value);
  }
  f.call(callee);
}

/** "run", which calls `item(args, number)` for each item. */
export function emitItems(m: ModuleBuilder, item: FunctionBuilder): void {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const i = f.local("i32");
  f.forRange(i, begin, end, 1, () => emitCall(f, item, args, i));
}

/** Leaves base + row · bytes. */
export function emitRow(f: FunctionBuilder, base: Local, row: Local, bytes: number): void {
  f.push(base.plus(row.times(bytes)));
}

/** Leaves x rounded up to a multiple of `unit`, shifted right by `shift`. */
export function emitRoundUp(f: FunctionBuilder, x: Local, unit: number, shift: number): void {
  f.push(x.plus(unit - 1).and(-unit).op("shr_u", shift));
}

/** Sets `to` to min(x, y), signed. */
export function emitMin(f: FunctionBuilder, to: Local, x: Local, y: Local): void {
  f.set(to, x.op("lt_s", y).select(x, y));
}

/** Sets `to` to how many of `keys` keys row `r` sees, the row before row 0 seeing `first` - 1 of them. */
export function emitVisible(f: FunctionBuilder, to: Local, first: Local, r: Local, keys: Local): void {
  emitSetSum(f, to, first, r);
  emitMin(f, to, to, keys);
  f.push(0, to, to.op("lt_s", 0));
  f.select();
  f.set(to);
}

/** Sets `to` to min(x - y, most). */
export function emitRest(f: FunctionBuilder, to: Local, x: Local, y: Local, most: number | Local): void {
  const limit = f.local("i32");
  f.set(to, x.minus(y));
  if (typeof most === "number") f.i32(most);
  else f.get(most);
  f.set(limit);
  emitMin(f, to, to, limit);
}

/** Batch and head of an item, and what they select of the operands. */
export function emitHead(f: FunctionBuilder, args: Local, number: Local, count: Local) {
  const { high: rest, low: block } = emitSplitNumber(f, number, count);
  const { high: batch, low: head } = emitSplitNumber(f, rest, emitArgument(f, args, headsArg));
  const { high: shared } = emitSplitNumber(f, head, emitArgument(f, args, groupArg));
  const queries = emitArgument(f, args, queriesArg);
  const lse = emitArgument(f, args, lseArg);
  f.get(lse);
  f.if(() => {
    const row = f.local("i32");
    emitSetSum(f, row, [rest, queries]);
    emitSetSum(f, lse, lse, [row, 4]);
  });
  return {
    block,
    batch,
    head,
    queries,
    lse,
    q: emitOperand(f, args, 0, batch, head),
    k: emitOperand(f, args, 1, batch, shared),
    v: emitOperand(f, args, 2, batch, shared),
    out: emitOperand(f, args, 3, batch, head),
  };
}
