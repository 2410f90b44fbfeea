/**
 * The elementwise kernel for operands that are walked in the order of the result: rows along the inner axis.
 *
 * @module
 */
import type { ModuleBuilder } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import {
  Arguments,
  emitAddresses,
  emitNextRow,
  emitSeek,
  emitSkip,
  type KernelKind,
  loadOperands,
  preparePieces,
} from "./arguments.ts";
import { loadScalars } from "./expression.ts";
import { emitSpan, prepareSpans } from "./spans.ts";

/** Emits the kernel: an item is some rows, or a piece of one. */
export function emitRows(m: ModuleBuilder, context: KernelContext, kind: KernelKind): void {
  const { program } = kind;
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const layout = new Arguments(kind);
  const pieceAt = preparePieces(f, args);
  const operands = loadOperands(f, args, kind);
  const inputs = operands.slice(0, kind.inputs.length), outputs = operands.slice(kind.inputs.length);
  const scalars = loadScalars(f, program, args, layout.scalars);
  const prepared = prepareSpans(f, context, program, scalars, inputs, outputs);
  const remaining = f.local("i32");
  f.forRange(item, item, end, 1, () => {
    const { first, length, row, lastRow } = pieceAt(item);
    emitAddresses(f, args, layout, operands);
    const positions = emitSeek(f, args, layout, operands, row, 0, layout.outer);
    emitSkip(f, operands, first);
    f.forRange(row, row, lastRow, 1, () => {
      f.set(remaining, length);
      emitSpan(prepared, program.type, inputs, outputs, remaining);
      emitNextRow(f, args, layout, operands, positions, 0);
    });
  });
}
