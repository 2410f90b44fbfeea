/**
 * Sums of products where columns are contiguous in b: its rows are added, times a number of a, to a row of sums that
 * stays in the first-level cache.
 *
 * @module
 */
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "./address.ts";
import { type Arithmetic, elementBytes, pushLoad, pushLoadSplat, type Source, sourceWriter } from "./load.ts";
import { emitMultiplyAdd } from "./tile.ts";

/** Rows of a whose products are added at once: what was loaded of b is multiplied with each. */
const together = 2;

/**
 * The function `accumulate(a, aRow, b, bRow, k, columns, sums, stride)`: four rows of b at a time are added to all sums.
 * Strides are in bytes; sums are rows of f32 (or i32), `stride` bytes apart.
 */
export function emitAccumulate(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  source: Source,
  rows: number,
): FunctionBuilder {
  const f = m.function("accumulate", { params: new Array(8).fill("i32"), export: false });
  const [a, aRow, b, bRow, k, columns, sums, stride] = f.params;
  const bytes = elementBytes(source);
  const w = sourceWriter(f, context, source);
  const x = f.local("i32"), n = f.local("i32"), along = f.local("i32"), from = f.local("i32");
  const at = f.localArray("i32", together), pointers = f.localArray("i32", 4), value = f.local("v128");
  const sum = f.localArray("v128", 2 * together), factors = f.localArray("v128", 4 * together);

  f.get(sums);
  f.i32(0);
  emitSetSum(f, n, [stride, rows]);
  f.get(n);
  f.op("memory.fill");

  /** Adds `count` rows of b, times numbers of a, to the sums of `height` rows from the `first` on. */
  const addRows = (count: number, first: number, height: number): void => {
    for (let u = 0; u < count; u++) emitSetSum(f, pointers[u], b, [bRow, u]);
    for (let r = 0; r < height; r++) {
      emitSetSum(f, x, a, [aRow, first + r]);
      for (let u = 0; u < count; u++) {
        f.get(x);
        f.load("v128.load32_splat", 4 * u);
        f.set(factors[4 * r + u]);
      }
    }
    emitSetSum(f, at[0], sums, [stride, first]);
    f.get(columns);
    f.set(n);
    f.i32(0);
    f.set(along);
    for (const lanes of [8, 4, 1]) {
      const vectors = Math.ceil(lanes / 4);
      f.get(n);
      f.i32(lanes);
      f.op("i32.ge_s");
      f.if(() =>
        f.loop((again) => {
          for (let r = 0; r < height; r++) {
            if (r > 0) emitSetSum(f, at[r], at[r - 1], stride);
            for (let v = 0; v < vectors; v++) {
              f.get(at[r]);
              f.load(lanes === 1 ? "v128.load32_zero" : "v128.load", 16 * v, 4);
              f.set(sum[2 * r + v]);
            }
          }
          for (let u = 0; u < count; u++) {
            emitSetSum(f, from, pointers[u], along);
            for (let v = 0; v < vectors; v++) {
              if (lanes > 1) pushLoad(w, source, from, 4 * v * bytes);
              else pushLoadSplat(w, source, from);
              f.set(value);
              for (let r = 0; r < height; r++) {
                const factor = factors[4 * r + u];
                emitMultiplyAdd(f, context, arithmetic, sum[2 * r + v], () =>
                  f.get(factor), () =>
                  f.get(value));
              }
            }
          }
          for (let r = 0; r < height; r++) {
            for (let v = 0; v < vectors; v++) {
              f.get(at[r]);
              f.get(sum[2 * r + v]);
              if (lanes === 1) {
                f.laneMemory("v128.store32_lane", 0);
              } else f.store("v128.store", 16 * v, 4);
            }
          }
          f.increment(at[0], 4 * lanes);
          f.increment(along, lanes * bytes);
          f.increment(n, -lanes);
          f.get(n);
          f.i32(lanes);
          f.op("i32.ge_s");
          f.brIf(again);
        })
      );
    }
  };
  for (const count of [4, 1]) {
    f.get(k);
    f.i32(count);
    f.op("i32.ge_s");
    f.if(() =>
      f.loop((again) => {
        for (let first = 0; first < rows; first += together) {
          addRows(count, first, Math.min(together, rows - first));
        }
        f.increment(a, 4 * count);
        emitSetSum(f, b, b, [bRow, count]);
        f.increment(k, -count);
        f.get(k);
        f.i32(count);
        f.op("i32.ge_s");
        f.brIf(again);
      })
    );
  }
  return f;
}
