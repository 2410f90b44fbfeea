/**
 * From sums to results: the epilogue, the conversion to the output's dtype, and the store, for a rectangle of sums
 * that lie in rows of f32 (or i32).
 *
 * Four columns at a time where output and operands are contiguous along columns (or repeat), else one by one; so edges
 * and odd strides need nothing of their own elsewhere.
 *
 * @module
 */
import type { DType } from "../../../../core/dtype.ts";
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../../math/writer.ts";
import { emitLoad, emitLoadLanes, emitLoadSplat, emitStore, emitStoreLanes } from "../access.ts";
import { loadScalars, prepareProgram } from "../expression.ts";
import { emitSetSum } from "./address.ts";
import { emitArgument, emitMatrixStart, inputsArg, operandBytes, outArg, scalarsArg } from "./arguments.ts";
import { type Arithmetic, elementBytes } from "./load.ts";

/** How an operand runs along columns: contiguous, repeating, or by any stride. */
export type ColumnLayout = "unit" | "zero" | "any";

/** Element type and layout of an operand of the epilogue, or of the output. */
export interface OperandForm {
  /** Element type. */
  readonly dtype: DType;
  /** How it runs along columns. */
  readonly layout: ColumnLayout;
}

/** What happens to sums. */
export interface FinishOptions {
  /** Where results go. */
  readonly out: OperandForm;
  /** The epilogue, or null. */
  readonly program: Program | null;
  /** Its operands 1…. */
  readonly inputs: readonly OperandForm[];
}

/**
 * The function `finish(sums, sumStride, row, column, rows, columns, args, inner, outer)`: finishes a rectangle whose
 * first sum lies at `sums` and belongs to (row, column) of the matrix with these leading indices.
 */
export function emitFinish(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  options: FinishOptions,
): FunctionBuilder {
  const { out, program, inputs } = options;
  const f = m.function("finish", { params: new Array(9).fill("i32"), export: false });
  const [sums, sumStride, row, column, rows, columns, args, inner, outer] = f.params;
  const operands = [
    { ...out, at: outArg },
    ...inputs.map((form, i) => ({ ...form, at: inputsArg + operandBytes * i })),
  ];
  const starts = operands.map(({ at }) => {
    const start = f.local("i32");
    emitMatrixStart(f, args, at, inner, outer, start);
    return start;
  });
  const rowStrides = operands.map(({ at }) => emitArgument(f, args, at + 4));
  const columnStrides = operands.map(({ at }) => emitArgument(f, args, at + 8));
  const pointers = f.localArray("i32", operands.length);
  operands.forEach((_, i) =>
    emitSetSum(f, starts[i], starts[i], [row, rowStrides[i]], [column, columnStrides[i]])
  );
  const type = program?.type ?? arithmetic;
  const at = f.local("i32"), left = f.local("i32");

  /** Bytes from column to column. */
  const stepOf = (i: number): Local | number => {
    const { dtype, layout } = operands[i];
    return layout === "unit" ? elementBytes(dtype) : layout === "zero" ? 0 : columnStrides[i];
  };
  /** Sums and operands of `w.width` vectors of neighbouring columns, or of `count` columns. */
  const load = (w: VectorWriter, count: Local | null, at: Local, pointers: readonly Local[]): Vectors[] => {
    const lanes = (dtype: DType, address: Local, step: Local | number): Vectors =>
      emitLoadLanes(w, dtype, type, address, 0, step, count);
    const sum = count ? lanes(arithmetic, at, 4) : emitLoad(w, arithmetic, type, at);
    const values = inputs.map(({ dtype, layout }, i) => {
      const pointer = pointers[i + 1];
      if (layout === "zero") return emitLoadSplat(w, dtype, type, pointer);
      return count ? lanes(dtype, pointer, stepOf(i + 1)) : emitLoad(w, dtype, type, pointer);
    });
    return [sum, ...values];
  };
  const store = (w: VectorWriter, result: Vectors, count: Local | null, pointer: Local): void => {
    if (count) emitStoreLanes(w, out.dtype, type, result[0], pointer, 0, stepOf(0), count);
    else emitStore(w, out.dtype, type, result, pointer);
  };
  const count = f.local("i32");
  const vectors = operands.every(({ layout }, i) => layout === "unit" || (i > 0 && layout === "zero"));
  const others = (w: VectorWriter): void => {
    for (const some of vectors ? [null, count] : [count]) {
      load(w, some, at, pointers);
      store(w, w.fresh(), some, pointers[0]);
    }
  };
  const scalars = program ? loadScalars(f, program, args, scalarsArg) : [];
  const prepared = program && prepareProgram(f, context, program, scalars, others);
  const writer = prepared?.writer ?? hoistConstants(f, context, others);

  /** 8 or 4 columns (or, with 0, as many as are left up to 4); pointers move on. */
  const group = (columns: number): void => {
    const width = Math.max(1, columns / 4), some = columns ? null : count;
    if (some) {
      f.push(4, left, left.op("gt_s", 4));
      f.select();
      f.set(some);
    }
    const w = writer.withWidth(width);
    const values = load(w, some, at, pointers);
    store(w, prepared ? prepared.emit(values, width)[0] : values[0], some, pointers[0]);
    f.increment(at, 4 * (columns || 4));
    operands.forEach((_, i) => {
      const step = stepOf(i);
      if (typeof step === "object") emitSetSum(f, pointers[i], pointers[i], [step, columns || 4]);
      else if (step > 0) f.increment(pointers[i], (columns || 4) * step);
    });
    f.increment(left, -(columns || 4));
  };

  /** Two rows of 8 columns: four vectors side by side, as programs are fastest. */
  const twoRows = (emit: (inputs: readonly Vectors[], width: number) => Vectors[]): void => {
    const w = writer.withWidth(2), second = f.local("i32"), seconds = f.localArray("i32", operands.length);
    emitSetSum(f, second, sums, sumStride);
    operands.forEach((_, i) => emitSetSum(f, seconds[i], starts[i], rowStrides[i]));
    const upper = load(w, null, sums, starts), lower = load(w, null, second, seconds);
    const result = emit(upper.map((x, i) => [...x, ...lower[i]]), 4)[0];
    store(w, result.slice(0, 2), null, starts[0]);
    store(w, result.slice(2), null, seconds[0]);
    operands.forEach((_, i) => emitSetSum(f, starts[i], seconds[i], rowStrides[i]));
    emitSetSum(f, sums, second, sumStride);
    f.increment(rows, -2);
  };
  const pushTwoRows = (): void => {
    f.push(columns.op("eq", 8).and(rows.op("ge_s", 2)));
  };
  if (prepared && vectors) {
    pushTwoRows();
    f.if(() =>
      f.loop((again) => {
        twoRows(prepared.emit);
        pushTwoRows();
        f.brIf(again);
      })
    );
  }
  f.get(rows);
  f.if(() =>
    f.loop((nextRow) => {
      f.set(at, sums);
      f.set(left, columns);
      operands.forEach((_, i) => {
        f.set(pointers[i], starts[i]);
        f.increment(starts[i], rowStrides[i]);
      });
      for (const size of vectors ? [8, 4, 0] : [0]) {
        f.push(left.op("ge_s", size || 1));
        f.if(() =>
          f.loop((again) => {
            group(size);
            f.brIf(again, left.op("ge_s", size || 1));
          })
        );
      }
      f.increment(sums, sumStride);
      f.increment(rows, -1);
      f.brIf(nextRow, rows);
    })
  );
  return f;
}
