/**
 * The reduction kernel for results that are neighbours along the inner axis: sums over the rows of a matrix.
 *
 * An item is a part of the rows and a piece of the columns. It collects in memory, in a line of results that stays in
 * the first cache; as collecting is itself elementwise (what was collected, and the element, in; what is collected
 * now, out), spans of the derived program do it. Four short rows are folded among themselves first; of long ones, one at
 * a time is read, since memory is fast only where it is read in order.
 *
 * @module
 */
import { type Expr, input, type Program } from "../../../expr/nodes.ts";
import { constant } from "../../../expr/nodes.ts";
import type { ModuleBuilder } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import {
  Arguments,
  emitAddresses,
  emitNextRow,
  emitSeek,
  emitSkip,
  loadArgument,
  loadOperands,
  preparePieces,
  words,
} from "./arguments.ts";
import { isHeavy, loadScalars } from "./expression.ts";
import { foldOf, identityOf } from "./folds.ts";
import type { ReduceKernelKind } from "./reduce_rows.ts";
import { emitSpan, prepareSpans, type SpanOperand, spanOperand } from "./spans.ts";

/** Rows that are folded among themselves before they are collected. */
const together = 4;

/** The expression with its inputs renumbered. */
function renumber(expr: Expr, place: (index: number) => number, done: Map<Expr, Expr>): Expr {
  const known = done.get(expr);
  if (known !== undefined) return known;
  const go = (x: Expr): Expr => renumber(x, place, done);
  let result: Expr;
  switch (expr.kind) {
    case "input":
      result = input(place(expr.index));
      break;
    case "unary":
      result = { ...expr, x: go(expr.x) };
      break;
    case "binary":
    case "compare":
      result = { ...expr, x: go(expr.x), y: go(expr.y) };
      break;
    case "select":
      result = { ...expr, condition: go(expr.condition), x: go(expr.x), y: go(expr.y) };
      break;
    default:
      result = expr;
  }
  done.set(expr, result);
  return result;
}

/** What was collected (the last input) and `rows` elements, folded; the inputs of row r follow those of row r - 1. */
function collecting({ program, fold }: ReduceKernelKind, rows: number): Program {
  let level = Array.from(
    { length: rows },
    (_, r) => renumber(program.outputs[0], (index) => r * program.inputs + index, new Map()),
  );
  while (level.length > 1) {
    level = Array.from({ length: level.length / 2 }, (_, i) => foldOf(fold, level[2 * i], level[2 * i + 1]));
  }
  const inputs = rows * program.inputs;
  return { ...program, inputs: inputs + 1, outputs: [foldOf(fold, input(inputs), level[0])] };
}

/**
 * Emits the kernel. Outputs: the line in which it collects (in the compute type's dtype), and, when results are stored
 * in another dtype, where they go.
 */
export function emitReduceColumns(m: ModuleBuilder, context: KernelContext, kind: ReduceKernelKind): void {
  const { program, fold } = kind, { type } = program;
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const layout = new Arguments(kind);
  const pieceAt = preparePieces(f, args);
  const parts = loadArgument(f, args, 4 * words.parts), partStep = loadArgument(f, args, 4 * words.partStep);
  const chunks = loadArgument(f, args, 4 * words.chunks);
  const operands = loadOperands(f, args, kind);
  const inputs = operands.slice(0, kind.inputs.length), line = operands[kind.inputs.length];
  const results = operands.slice(kind.inputs.length + 1);
  // The line as an operand that is read: a place of its own, since both move along.
  const before: SpanOperand = { ...line, at: f.local("i32") };
  const scalars = loadScalars(f, program, args, layout.scalars);

  const start: Program = {
    ...program,
    inputs: 0,
    scalars: 0,
    outputs: [constant(Number(identityOf(fold, type)))],
  };
  const finish: Program = { ...program, inputs: 1, scalars: 0, outputs: [input(0)] };
  const single = collecting(kind, 1);
  const several = kind.short && kind.reduced === 1 && program.inputs <= 2 && !isHeavy(program)
    ? collecting(kind, together)
    : null;
  const group: SpanOperand[] = several === null
    ? []
    : Array.from({ length: together }, (_, r) =>
      inputs.map((x) => r === 0 ? x : { ...spanOperand(f, x.dtype, x.pattern), step: x.step })).flat();
  const prepare = (run: Program, from: readonly SpanOperand[], to: readonly SpanOperand[]) =>
    prepareSpans(f, context, run, run.scalars > 0 ? scalars : [], from, to);
  const started = prepare(start, [], [line]), one = prepare(single, [...inputs, before], [line]);
  const many = several === null ? null : prepare(several, [...group, before], [line]);
  const finished = results.length === 0 ? null : prepare(finish, [line], results);
  const [part, index, remaining] = f.localArray("i32", 3);

  f.forRange(item, item, end, 1, () => {
    // item = (result · parts + part) · chunks + chunk
    f.set(part, item.op("div_u", chunks).tee(index).op("rem_u", parts));
    f.set(index, index.op("div_u", parts));
    // Pieces count chunks within parts, which is what an item is within its result.
    const number = f.local("i32");
    f.set(number, part.times(chunks).plus(item.op("rem_u", chunks)));
    const { first, length, row, lastRow } = pieceAt(number);
    emitAddresses(f, args, layout, operands);
    emitSeek(f, args, layout, operands, index, kind.reduced, layout.outer);
    const positions = emitSeek(f, args, layout, inputs, row, 0, kind.reduced);
    emitSkip(f, operands, first);
    f.set(line.start, line.start.plus(part.times(partStep)));
    const span = (run: typeof one, from: readonly SpanOperand[], to: readonly SpanOperand[]): void => {
      f.set(remaining, length);
      emitSpan(run, type, from, to, remaining);
    };
    span(started, [], [line]);
    if (many !== null) {
      f.block((done) => {
        f.loop((again) => {
          f.brIf(done, lastRow.minus(row).op("lt_s", together));
          const following = (from: readonly SpanOperand[], to: readonly SpanOperand[]): void =>
            to.forEach((x, k) => {
              f.get(from[k].start);
              f.get(loadArgument(f, args, layout.step(k, 1)));
              f.op("i32.add");
              f.set(x.start);
            });
          const count = inputs.length;
          for (let r = 1; r < together; r++) {
            following(group.slice((r - 1) * count, r * count), group.slice(r * count, (r + 1) * count));
          }
          span(many, [...group, before], [line]);
          following(group.slice((together - 1) * count), inputs);
          f.increment(row, together);
          f.br(again);
        });
      });
    }
    f.forRange(row, row, lastRow, 1, () => {
      span(one, [...inputs, before], [line]);
      emitNextRow(f, args, layout, inputs, positions, 0);
    });
    if (finished !== null) span(finished, [line], results);
  });
}
