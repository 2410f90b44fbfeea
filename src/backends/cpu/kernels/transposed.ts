/**
 * The elementwise kernel for operands that lie across the result: neighbours along the result's second axis, as after
 * a transposition.
 *
 * Four rows are done at a time: such an operand is loaded in vectors along its own neighbours, and a block of 4 × 4 is
 * turned over in registers. Items are tiles small enough that the lines they touch stay in the first cache. What does
 * not fill blocks goes row by row.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import { type FunctionBuilder, type Local, type ModuleBuilder, Term } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";
import { emitLoad, emitLoadLanes, emitLoadSplat, emitStore } from "./access.ts";
import {
  Arguments,
  emitAddresses,
  emitSeek,
  emitSkip,
  type KernelKind,
  loadArgument,
  loadOperands,
  pushMin,
  words,
} from "./arguments.ts";
import { loadScalars } from "./expression.ts";
import { emitSpan, prepareSpans, type SpanOperand } from "./spans.ts";

/** Rows of a tile, along the second axis. */
export const tileRows = 64;

/** Columns of a tile, along the inner axis. */
export const tileColumns = 16;

/** Turns four vectors of four lanes over. */
function turn(w: VectorWriter, x: Vectors): Vectors {
  const one = w.withWidth(1);
  const pick = (a: Local, b: Local, lanes: readonly number[]): Local => one.shuffle32([a], [b], lanes)[0];
  const low = [0, 4, 1, 5], high = [2, 6, 3, 7];
  const [a, b, c, d] = [
    pick(x[0], x[1], low),
    pick(x[2], x[3], low),
    pick(x[0], x[1], high),
    pick(x[2], x[3], high),
  ];
  const left = [0, 1, 4, 5], right = [2, 3, 6, 7];
  return [pick(a, b, left), pick(a, b, right), pick(c, d, left), pick(c, d, right)];
}

/** Four addresses, `step` bytes apart, the first in `from`. */
function emitFour(f: FunctionBuilder, from: Local, step: Local): Local[] {
  const four = [from];
  for (let i = 1; i < 4; i++) {
    const next = f.local("i32");
    f.set(next, four[i - 1].plus(step));
    four.push(next);
  }
  return four;
}

/** Emits the kernel: an item is one tile. */
export function emitTransposed(m: ModuleBuilder, context: KernelContext, kind: KernelKind): void {
  const { program } = kind, { type } = program;
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const layout = new Arguments(kind);
  const size = loadArgument(f, args, 4 * words.size), rows = loadArgument(f, args, layout.size(0));
  const down = loadArgument(f, args, 4 * words.chunk), across = loadArgument(f, args, 4 * words.chunks);
  const operands = loadOperands(f, args, kind);
  const inputs = operands.slice(0, kind.inputs.length), outputs = operands.slice(kind.inputs.length);
  const rowSteps = operands.map((_, k) => loadArgument(f, args, layout.step(k, 1)));
  const scalars = loadScalars(f, program, args, layout.scalars);
  const prepared = prepareSpans(f, context, program, scalars, inputs, outputs);
  const w = prepared.writer;
  const [tile, firstRow, first, height, width, column, remaining, left] = f.localArray("i32", 8);
  const limit = f.local("i32");

  /** One block of 4 × 4 at column `column` of the four rows that start at `start`. */
  const block = (): void => {
    const at = (x: SpanOperand): Local => {
      f.get(x.start);
      if (x.pattern !== "same") {
        f.op("i32.add", column.times(x.step));
      }
      f.set(x.at);
      return x.at;
    };
    const loaded = inputs.map((x, k): Vectors => {
      const { column: isColumn } = kind.inputs[k], dtype = x.dtype as DType;
      const four = emitFour(f, at(x), isColumn ? x.step : rowSteps[k]);
      const vectors = four.map((address) => {
        if (x.pattern === "same") return emitLoadSplat(w, dtype, type, address)[0];
        if (isColumn || x.pattern === "next") return emitLoad(w, dtype, type, address)[0];
        return emitLoadLanes(w, dtype, type, address, 0, x.step, null)[0];
      });
      return isColumn ? turn(w, vectors) : vectors;
    });
    const results = prepared.emit(loaded, 4);
    outputs.forEach((y, k) => {
      const four = emitFour(f, at(y), rowSteps[inputs.length + k]);
      four.forEach((address, i) => emitStore(w, y.dtype as DType, type, [results[k][i]], address));
    });
  };

  const nextRow = (): void =>
    operands.forEach((x, k) => {
      f.set(x.start, x.start.plus(rowSteps[k]));
    });

  f.forRange(item, item, end, 1, () => {
    // item = (outer · down + tile row) · across + tile column
    f.set(first, item.op("rem_u", across).times(tileColumns));
    f.set(tile, item.op("div_u", across));
    f.set(firstRow, tile.op("rem_u", down).times(tileRows));
    emitAddresses(f, args, layout, operands);
    if (layout.outer > 1) {
      f.set(tile, tile.op("div_u", down));
      emitSeek(f, args, layout, operands, tile, 1, layout.outer);
    }
    emitSkip(f, operands, first);
    operands.forEach((x, k) => {
      f.set(x.start, x.start.plus(firstRow.times(rowSteps[k])));
    });
    const extent = (target: Local, whole: Local, from: Local, most: number): void => {
      f.set(target, whole.minus(from));
      f.set(limit, most);
      pushMin(f, target, limit);
      f.set(target);
    };
    extent(width, size, first, tileColumns);
    extent(height, rows, firstRow, tileRows);
    f.block((done) => {
      f.loop((again) => {
        f.brIf(done, height.op("eqz"));
        f.set(column, 0);
        f.set(left, 1);
        f.push(height.op("ge_u", 4));
        f.if(() => {
          f.set(limit, width.and(-4));
          f.forRange(column, 0, limit, 4, block);
          f.set(left, 4);
        });
        // What the blocks left of these rows: their ends, or all of a row that has no three others beside it.
        f.set(height, height.minus(left));
        f.loop((row) => {
          f.push(width.minus(column).tee(remaining));
          f.if(() => {
            emitSkip(f, operands, column);
            emitSpan(prepared, type, inputs, outputs, remaining);
            f.set(limit, Term.i32(0).minus(column));
            emitSkip(f, operands, limit);
          });
          nextRow();
          f.increment(left, -1);
          f.brIf(row, left);
        });
        f.br(again);
      });
    });
  });
}
