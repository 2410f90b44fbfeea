/**
 * The elementwise kernel for operands that are walked in the order of the result: rows along the inner axis.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import {
  Arguments,
  chunksWord,
  chunkWord,
  emitAddresses,
  emitSeek,
  emitSkip,
  type KernelKind,
  loadArgument,
  loadOperands,
  pushArgument,
  pushMin,
  rowsPerItemWord,
  rowsWord,
  sizeWord,
} from "./arguments.ts";
import { loadScalars, preferredWidth } from "./expression.ts";
import { emitSpan, prepareSpans } from "./spans.ts";

/** Moves `starts` from one row to the next. */
function emitNextRow(
  f: FunctionBuilder,
  args: Local,
  layout: Arguments,
  positions: readonly Local[],
  starts: readonly Local[],
): void {
  const step = (axis: number): void => {
    starts.forEach((start, k) => {
      f.get(start);
      pushArgument(f, args, layout.operand(k) + 8 + 4 * axis);
      f.op("i32.add");
      f.set(start);
    });
    if (axis === layout.outer - 1) return;
    // At the end of this axis: back to its start, and one step along the next.
    f.increment(positions[axis], 1);
    f.get(positions[axis]);
    pushArgument(f, args, layout.size(axis));
    f.op("i32.eq");
    f.if(() => {
      f.i32(0);
      f.set(positions[axis]);
      starts.forEach((start, k) => {
        f.get(start);
        pushArgument(f, args, layout.operand(k) + 8 + 4 * axis);
        pushArgument(f, args, layout.size(axis));
        f.op("i32.mul");
        f.op("i32.sub");
        f.set(start);
      });
      step(axis + 1);
    });
  };
  if (layout.outer > 0) step(0);
}

/** Emits the kernel: an item is some rows, or a piece of one. */
export function emitRows(m: ModuleBuilder, context: KernelContext, kind: KernelKind): void {
  const { program } = kind;
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const layout = new Arguments(kind);
  const size = loadArgument(f, args, 4 * sizeWord), chunk = loadArgument(f, args, 4 * chunkWord);
  const chunks = loadArgument(f, args, 4 * chunksWord);
  const rowsPerItem = loadArgument(f, args, 4 * rowsPerItemWord), rows = loadArgument(f, args, 4 * rowsWord);
  const operands = loadOperands(f, args, kind);
  const inputs = operands.slice(0, kind.inputs.length), outputs = operands.slice(kind.inputs.length);
  const starts = operands.map((x) => x.start);
  const scalars = loadScalars(f, program, args, layout.scalars);
  const prepared = prepareSpans(f, context, program, scalars, inputs, outputs);
  const [first, length, row, lastRow, remaining] = f.localArray("i32", 5);
  f.forRange(item, item, end, 1, () => {
    f.get(item);
    f.get(chunks);
    f.op("i32.rem_u");
    f.get(chunk);
    f.op("i32.mul");
    f.set(first);
    f.get(size);
    f.get(first);
    f.op("i32.sub");
    f.set(length);
    pushMin(f, length, chunk);
    f.set(length);
    f.get(item);
    f.get(chunks);
    f.op("i32.div_u");
    f.get(rowsPerItem);
    f.op("i32.mul");
    f.tee(row);
    f.get(rowsPerItem);
    f.op("i32.add");
    f.set(lastRow);
    pushMin(f, lastRow, rows);
    f.set(lastRow);
    emitAddresses(f, args, layout, operands);
    const positions = emitSeek(f, args, layout, row, 0, starts);
    emitSkip(f, operands, first);
    f.forRange(row, row, lastRow, 1, () => {
      f.get(length);
      f.set(remaining);
      emitSpan(prepared, program.type, inputs, outputs, remaining, preferredWidth(program, context));
      emitNextRow(f, args, layout, positions, starts);
    });
  });
}
