/**
 * The reduction kernel for results whose elements lie along the inner axis.
 *
 * An item is one part of one result: some rows, or a piece of one. Lanes and vectors side by side collect for
 * themselves and are brought together at the end. What they collect is put aside every {@link blockElements}, so that
 * the error of a sum does not grow with its length.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import type { Local, ModuleBuilder } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";
import { emitStoreLanes } from "./access.ts";
import {
  Arguments,
  emitAddresses,
  emitNextRow,
  emitSeek,
  emitSkip,
  type KernelKind,
  loadArgument,
  loadOperands,
  preparePieces,
  pushMin,
  words,
} from "./arguments.ts";
import { lanesPerVector, loadScalars } from "./expression.ts";
import { emitCombine, type Fold, identityOf } from "./folds.ts";
import { shapeOf } from "./operations.ts";
import { type Consume, emitSpanRun, emitSpanStart, prepareSpans, spanWidth } from "./spans.ts";

/** Elements after which a sum is put aside: a multiple of all widths. */
export const blockElements = 512;

/** What a reduction kernel is made for. */
export interface ReduceKernelKind extends KernelKind {
  /** How elements are brought together. */
  readonly fold: Fold;
  /** Outer axes that are reduced; they come before those that are kept. */
  readonly reduced: number;
  /** Whether rows are short: then four are read at a time when results are made line by line. */
  readonly short: boolean;
}

/** Emits the kernel; its output has no step along the axes that are reduced. */
export function emitReduceRows(m: ModuleBuilder, context: KernelContext, kind: ReduceKernelKind): void {
  const { program, fold } = kind, { type } = program, lanes = lanesPerVector(type), shape = shapeOf(type);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const layout = new Arguments(kind);
  const pieceAt = preparePieces(f, args);
  const parts = loadArgument(f, args, 4 * words.parts), partStep = loadArgument(f, args, 4 * words.partStep);
  const operands = loadOperands(f, args, kind);
  const inputs = operands.slice(0, kind.inputs.length), output = operands[kind.inputs.length];
  const scalars = loadScalars(f, program, args, layout.scalars);
  const prepared = prepareSpans(f, context, program, scalars, inputs, [output]);
  const one = prepared.writer, wide = one.withWidth(spanWidth);
  const identity = one.constant(identityOf(fold, type), shape);
  const sums = wide.fresh(), totals = wide.fresh();
  const [part, index, remaining, left, collected, limit] = f.localArray("i32", 6);

  const reset = (): void => {
    wide.assign(sums, wide.repeat(identity[0]));
    f.set(collected, 0);
  };
  const putAside = (): void => {
    wide.assign(totals, combine(wide, totals, sums));
    reset();
  };
  // Maximum and minimum that pass NaN on are seven instructions on x86; one that does not, and a note of NaN, are three.
  const noted = type === "f32" && (fold === "max" || fold === "min"), notes = one.fresh();
  const combine = (w: VectorWriter, x: Vectors, y: Vectors): Vectors =>
    noted ? w.op(fold === "max" ? "f32x4.pmax" : "f32x4.pmin", x, y) : emitCombine(w, fold, type, x, y);
  const consume: Consume = (w, [x], count) => {
    const target = sums.slice(0, w.width);
    if (noted) w.op("f32x4.ne", x, x).forEach((mask) => one.assign(notes, one.or(notes, [mask])));
    w.assign(target, combine(w, target, count === null ? x : only(x, count)));
  };
  /** x in its first `count` lanes, elsewhere what changes nothing. */
  const only = (x: Vectors, count: Local): Vectors => {
    const counts = one.each(() => {
      f.get(count);
      if (lanes === 2) f.op("i64.extend_i32_u");
      f.op(lanes === 2 ? "i64x2.splat" : "i32x4.splat");
    });
    const places = one.each(() => lanes === 2 ? f.i64x2(0n, 1n) : f.i32x4(0, 1, 2, 3));
    return one.select(one.op(lanes === 2 ? "i64x2.lt_s" : "i32x4.lt_s", places, counts), x, identity);
  };

  f.set(limit, blockElements);
  f.forRange(item, item, end, 1, () => {
    f.set(part, item.op("rem_u", parts));
    f.set(index, item.op("div_u", parts));
    const { first, length, row, lastRow } = pieceAt(part);
    emitAddresses(f, args, layout, operands);
    emitSeek(f, args, layout, operands, index, kind.reduced, layout.outer);
    const positions = emitSeek(f, args, layout, inputs, row, 0, kind.reduced);
    emitSkip(f, inputs, first);
    wide.assign(totals, wide.repeat(identity[0]));
    if (noted) one.assign(notes, one.constant(0, shape));
    reset();
    f.forRange(row, row, lastRow, 1, () => {
      const splats = emitSpanStart(prepared, type, inputs, []);
      f.set(left, length);
      f.loop((again) => {
        pushMin(f, left, limit);
        f.set(remaining);
        f.increment(collected, remaining);
        f.set(left, left.minus(remaining));
        emitSpanRun(prepared, type, inputs, [], splats, remaining, consume);
        f.push(collected.op("ge_u", limit));
        f.if(putAside);
        f.brIf(again, left);
      });
      emitNextRow(f, args, layout, inputs, positions, 0);
    });
    putAside();
    let rest: Vectors = totals;
    while (rest.length > 1) {
      const half = rest.length / 2;
      rest = combine(one.withWidth(half), rest.slice(0, half), rest.slice(half));
    }
    rest = combine(one, rest, one.highHalf(rest));
    if (lanes === 4) rest = combine(one, rest, one.shuffle32(rest, rest, [1, 1, 1, 1]));
    if (noted) {
      f.f32x4(NaN);
      f.push(rest[0], notes[0].op("v128.any_true"));
      f.select();
      rest = one.each(() => undefined);
    }
    f.set(output.at, output.start.plus(part.times(partStep)));
    f.set(remaining, 1);
    emitStoreLanes(one, output.dtype as DType, type, rest[0], output.at, 0, 0, remaining);
  });
}
