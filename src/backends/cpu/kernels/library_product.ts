/**
 * A product by the native library (`../blas.ts`) inside of a kernel. A thread that cannot open the library multiplies by
 * itself, as plainly as can be: so a kernel that asks for products is right whoever runs it, and can be captured.
 *
 * @module
 */
import type { FunctionHandle, Local, ModuleBuilder } from "../assembler/mod.ts";
import { emitSetSum } from "./gemm/address.ts";

/** What the library multiplies: f32, or bf16 with results in f32. */
export type Routine = "sgemm" | "bgemm";

/**
 * The function `product(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc)`: 1 where the library did it, 0 where it had
 * to be done here. Strides are in elements.
 */
export function emitLibraryProduct(m: ModuleBuilder, routine: Routine): FunctionHandle {
  const parameters = new Array<"i32">(11).fill("i32");
  const call = m.importFunction("env", routine, parameters, ["i32"]);
  const f = m.function("product", { params: parameters, results: ["i32"], export: false });
  const [transposeA, transposeB, rows, columns, depth, a, lda, b, ldb, c, ldc] = f.params;
  for (const x of f.params) f.get(x);
  f.call(call);
  f.if(() => {
    f.i32(1);
    f.return();
  });
  const bytes = routine === "sgemm" ? 4 : 2, sum = f.local("f32");
  const [aRow, aStep, bColumn, bStep, row, column, k, x, y, to] = f.localArray("i32", 10);
  /** Bytes to the next sum's number, and to the next number of a sum. */
  const steps = (transposed: Local, stride: Local, next: Local, step: Local): void => {
    emitSetSum(f, next, [stride, bytes]);
    f.i32(bytes);
    f.set(step);
    f.get(transposed);
    f.if(() => {
      f.get(next);
      f.set(step);
      f.i32(bytes);
      f.set(next);
    });
  };
  const load = (at: Local): void => {
    f.get(at);
    if (bytes === 4) return f.load("f32.load");
    f.load("i32.load16_u");
    f.i32(16);
    f.op("i32.shl");
    f.op("f32.reinterpret_i32");
  };
  steps(transposeA, lda, aRow, aStep);
  steps(transposeB, ldb, bStep, bColumn);
  f.forRange(row, 0, rows, 1, () => {
    f.forRange(column, 0, columns, 1, () => {
      emitSetSum(f, x, a, [row, aRow]);
      emitSetSum(f, y, b, [column, bColumn]);
      f.f32(0);
      f.set(sum);
      f.forRange(k, 0, depth, 1, () => {
        f.get(sum);
        load(x);
        load(y);
        f.op("f32.mul");
        f.op("f32.add");
        f.set(sum);
        emitSetSum(f, x, x, [aStep, 1]);
        emitSetSum(f, y, y, [bStep, 1]);
      });
      emitSetSum(f, to, [row, ldc]);
      emitSetSum(f, to, to, [column, 1]);
      emitSetSum(f, to, c, [to, 4]);
      f.get(to);
      f.get(sum);
      f.store("f32.store");
    });
  });
  f.i32(0);
  return f;
}
