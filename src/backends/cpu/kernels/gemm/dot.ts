/**
 * Sums of products where k is contiguous in b: each column is one stream, read once from end to end.
 *
 * A row's sums are added up in the same order whether it is multiplied alone or beside another, so what a row gives never
 * depends on its neighbours.
 *
 * @module
 */
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "./address.ts";
import { type Arithmetic, elementBytes, pushLoad, pushLoadSplat, type Source, sourceWriter } from "./load.ts";
import { emitMultiplyAdd } from "./tile.ts";

/** Chains of additions for each row: enough to hide their latency, and two rows of them fit into the registers. */
export const chains = 6;

/** The most rows that {@link emitDot} takes. */
export const dotRows = 2;

/**
 * The function `dot(a, aRow, b, bColumn, k, columns, sums, stride)`: one column of b at a time, with one or two rows of a.
 * Strides are in bytes; sums are rows of f32 (or i32), `stride` bytes apart.
 */
export function emitDot(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  source: Source,
  rows: number,
): FunctionBuilder {
  const f = m.function(`dot${rows}`, { params: new Array(8).fill("i32"), export: false });
  const [a, aRow, b, bColumn, k, columns, sums, stride] = f.params;
  const sum = f.localArray("v128", rows * chains);
  const x = f.localArray("i32", rows);
  const y = f.local("i32"), n = f.local("i32"), next = f.local("i32"), at = f.local("i32");
  const value = f.local("v128"), row = f.local("v128");
  const bytes = elementBytes(source);
  const w = sourceWriter(f, context, source);

  const steps = (vectors: number): void => {
    for (let v = 0; v < vectors; v++) {
      pushLoad(w, source, y, 4 * v * bytes);
      f.set(value);
      for (let i = 0; i < rows; i++) {
        emitMultiplyAdd(f, context, arithmetic, sum[i * chains + v], () => {
          f.get(x[i]);
          f.load("v128.load", 16 * v, 4);
        }, () => f.get(value));
      }
    }
    f.increment(y, 4 * vectors * bytes);
    for (const p of x) f.increment(p, 16 * vectors);
    f.increment(n, -4 * vectors);
  };
  const whileAtLeast = (count: number, body: () => void): void => {
    f.get(n);
    f.i32(count);
    f.op("i32.ge_s");
    f.if(() =>
      f.loop((again) => {
        body();
        f.get(n);
        f.i32(count);
        f.op("i32.ge_s");
        f.brIf(again);
      })
    );
  };
  f.get(b);
  f.set(next);
  f.get(columns);
  f.if(() =>
    f.loop((again) => {
      f.get(next);
      f.set(y);
      f.increment(next, bColumn);
      for (let i = 0; i < rows; i++) emitSetSum(f, x[i], i === 0 ? a : x[i - 1], i === 0 ? 0 : aRow);
      for (const s of sum) {
        f.i32x4(0);
        f.set(s);
      }
      f.get(k);
      f.set(n);
      whileAtLeast(4 * chains, () => steps(chains));
      whileAtLeast(4, () => steps(1));
      // The last one to three products go into the first lane.
      whileAtLeast(1, () => {
        pushLoadSplat(w, source, y);
        f.set(value);
        for (let i = 0; i < rows; i++) {
          emitMultiplyAdd(f, context, arithmetic, sum[i * chains], () => {
            f.get(x[i]);
            f.load("v128.load32_zero");
          }, () => f.get(value));
          f.increment(x[i], 4);
        }
        f.increment(y, bytes);
        f.increment(n, -1);
      });
      f.get(sums);
      f.set(at);
      for (let i = 0; i < rows; i++) {
        f.get(sum[i * chains]);
        for (let v = 1; v < chains; v++) {
          f.get(sum[i * chains + v]);
          f.op(`${arithmetic}x4.add`);
        }
        f.set(row);
        for (const distance of [2, 1]) {
          f.get(row);
          f.get(row);
          f.get(row);
          f.shuffle(Array.from({ length: 16 }, (_, byte) => (byte + 4 * distance) % 16));
          f.op(`${arithmetic}x4.add`);
          f.set(row);
        }
        f.get(at);
        f.get(row);
        f.laneMemory("v128.store32_lane", 0);
        if (i + 1 < rows) f.increment(at, stride);
      }
      f.increment(sums, 4);
      f.increment(columns, -1);
      f.get(columns);
      f.brIf(again);
    })
  );
  return f;
}
