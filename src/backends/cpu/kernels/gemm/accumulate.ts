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
  const at = f.local("i32"), x = f.local("i32"), i = f.local("i32"), n = f.local("i32");
  const sum = f.localArray("v128", 2), factors = f.localArray("v128", 4), pointers = f.localArray("i32", 4);

  f.push(sums, 0);
  emitSetSum(f, n, [stride, rows]);
  f.op("memory.fill", n);

  /** Adds `count` rows of b, times the numbers of a at x, to one row of sums. */
  const addRows = (count: number): void => {
    for (let u = 0; u < count; u++) {
      f.set(factors[u], x.load(4 * u, "v128.load32_splat"));
      emitSetSum(f, pointers[u], u === 0 ? b : pointers[u - 1], u === 0 ? 0 : bRow);
    }
    f.set(n, columns);
    for (const lanes of [8, 4, 1]) {
      const vectors = Math.ceil(lanes / 4);
      f.push(n.op("ge_s", lanes));
      f.if(() =>
        f.loop((again) => {
          for (let v = 0; v < vectors; v++) {
            f.get(at);
            f.load(lanes === 1 ? "v128.load32_zero" : "v128.load", 16 * v, 4);
            f.set(sum[v]);
          }
          for (let u = 0; u < count; u++) {
            for (let v = 0; v < vectors; v++) {
              emitMultiplyAdd(f, context, arithmetic, sum[v], () => f.get(factors[u]), () => {
                if (lanes > 1) return pushLoad(w, source, pointers[u], 4 * v * bytes);
                pushLoadSplat(w, source, pointers[u]);
              });
            }
            f.increment(pointers[u], lanes * bytes);
          }
          for (let v = 0; v < vectors; v++) {
            f.push(at, sum[v]);
            if (lanes === 1) f.laneMemory("v128.store32_lane", 0);
            else f.store("v128.store", 16 * v, 4);
          }
          f.increment(at, 4 * lanes);
          f.increment(n, -lanes);
          f.brIf(again, n.op("ge_s", lanes));
        })
      );
    }
  };
  for (const count of [4, 1]) {
    f.push(k.op("ge_s", count));
    f.if(() =>
      f.loop((again) => {
        f.forRange(i, 0, rows, 1, () => {
          emitSetSum(f, at, sums, [i, stride]);
          emitSetSum(f, x, a, [i, aRow]);
          addRows(count);
        });
        f.increment(a, 4 * count);
        emitSetSum(f, b, b, [bRow, count]);
        f.increment(k, -count);
        f.brIf(again, k.op("ge_s", count));
      })
    );
  }
  return f;
}
