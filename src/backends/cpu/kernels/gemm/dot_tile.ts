/**
 * The same sums as `dot.ts` makes, to the bit, for several rows and two columns at a time.
 *
 * What a decoding step of many texts multiplies comes from memory once, with the first rows (`dot.ts`: one stream), and from
 * the cache for all others. There loads are what takes time, and a tile needs half as many. A sum has six chains, and a tile
 * of 6 × 2 sums has registers for one chain of each: so the chains follow one another over a piece of k that stays in the
 * first-level cache, and rest in memory meanwhile.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitSetSum } from "./address.ts";
import { chains, emitLoadHalf, emitWhileAtLeast, setMask, splitsPairs } from "./dot.ts";
import { type Arithmetic, elementBytes, pushLoad, pushLoadFirst, type Source, sourceWriter } from "./load.ts";
import { emitMultiplyAdd } from "./tile.ts";

/** The most rows of a tile: with two columns, 12 sums, and as many registers as V8 has on x86-64 with what they are made of. */
export const dotTileRows = 6;

/** Columns of a tile. */
const tileColumns = 2;

/** Where chains rest, in bytes from a thread's scratch memory: behind the sums of 16 rows and 512 columns. */
const restAt = 64 << 10;

/** Elements of k that rows and columns of a tile have in the cache at a time. */
const pieceDepth = 32 * 4 * chains;

/** Steps of a chain that are written out. */
const unroll = 4;

/** The function `dotTile` for so many rows, called as that of `emitDot` is; `columns` is even. */
export function emitDotTile(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  source: Source,
  rows: number,
): FunctionBuilder {
  const count = rows * tileColumns;
  const scratch = importThreadScratch(m);
  const f = m.function(`dotTile${rows}`, { params: new Array(8).fill("i32"), export: false });
  const [a, aRow, b, bColumn, k, columns, sums, stride] = f.params;
  const sum = f.localArray("v128", count);
  const x = f.localArray("i32", rows), y = f.localArray("i32", tileColumns);
  const column = f.localArray("v128", tileColumns), row = f.local("v128");
  const rest = f.local("i32"), left = f.local("i32"), piece = f.local("i32"), most = f.local("i32");
  const n = f.local("i32"), aAt = f.local("i32"), bAt = f.local("i32"), at = f.local("i32");
  const bytes = elementBytes(source), step = 4 * chains;
  const w = sourceWriter(f, context, source), split = splitsPairs(source), mask = f.local("v128");
  if (split) setMask(f, mask);

  /** Multiplies one vector, or one element in the first lane, of each row and column. */
  const multiply = (vectors: number | null): void => {
    y.forEach((p, c) => {
      if (split && vectors !== null) {
        return emitLoadHalf(f, p, 16 * (vectors >> 1), vectors % 2 === 1, mask, column[c]);
      }
      if (vectors === null) pushLoadFirst(w, source, p);
      else pushLoad(w, source, p, 4 * vectors * bytes);
      f.set(column[c]);
    });
    x.forEach((p, r) => {
      f.get(p);
      if (vectors === null) f.load("v128.load32_zero");
      else f.load("v128.load", 16 * vectors, 4);
      f.set(row);
      column.forEach((value, c) => {
        emitMultiplyAdd(
          f,
          context,
          arithmetic,
          sum[r * tileColumns + c],
          () => f.get(row),
          () => f.get(value),
        );
      });
    });
  };
  const advance = (elements: number): void => {
    for (const p of x) f.increment(p, 4 * elements);
    for (const p of y) f.increment(p, bytes * elements);
    f.increment(n, -elements);
  };
  const whileAtLeast = (least: number, body: () => void): void => emitWhileAtLeast(f, n, least, body);
  const start = (): void => {
    x.forEach((p, i) => emitSetSum(f, p, i ? x[i - 1] : aAt, i ? aRow : 0));
    y.forEach((p, i) => emitSetSum(f, p, i ? y[i - 1] : bAt, i ? bColumn : 0));
  };
  const restOf = (chain: number, i: number): number => 16 * (count * chain + i);
  const take = (chain: number): void =>
    sum.forEach((s, i) => {
      f.get(rest);
      f.load("v128.load", restOf(chain, i), 4);
      f.set(s);
    });
  const put = (chain: number): void =>
    sum.forEach((s, i) => {
      f.push(rest, s);
      f.store("v128.store", restOf(chain, i), 4);
    });

  f.globalGet(scratch);
  f.op("i32.add", restAt);
  f.set(rest);
  f.set(most, pieceDepth);
  f.get(columns);
  f.if(() =>
    f.loop((again) => {
      f.set(aAt, a);
      f.set(bAt, b);
      f.set(left, k);
      f.loop((next) => {
        // Whole steps of all chains; what is left of them is the first chain's.
        emitSetSum(f, piece, left);
        emitAtMost(f, piece, most);
        f.set(piece, piece.minus(piece.op("rem_u", step)));
        for (let chain = 0; chain < chains; chain++) {
          f.push(left.op("eq", k));
          f.if(() => {
            for (const s of sum) {
              f.i32x4(0);
              f.set(s);
            }
          }, () => take(chain));
          start();
          f.set(n, piece);
          whileAtLeast(unroll * step, () => {
            for (let u = 0; u < unroll; u++) multiply(u * chains + chain);
            advance(unroll * step);
          });
          whileAtLeast(step, () => {
            multiply(chain);
            advance(step);
          });
          put(chain);
        }
        emitSetSum(f, aAt, aAt, [piece, 4]);
        emitSetSum(f, bAt, bAt, [piece, bytes]);
        emitSetSum(f, left, left, [piece, -1]);
        f.brIf(next, left.op("ge_s", step));
      });
      take(0);
      f.get(left);
      f.if(() => {
        start();
        f.set(n, left);
        const least = split ? 2 : 1;
        whileAtLeast(4 * least, () => {
          for (let v = 0; v < least; v++) multiply(v);
          advance(4 * least);
        });
        whileAtLeast(1, () => {
          multiply(null);
          advance(1);
        });
      });
      sum.forEach((s, i) => {
        f.get(s);
        for (let chain = 1; chain < chains; chain++) {
          f.get(rest);
          f.load("v128.load", restOf(chain, i), 4);
          f.op(`${arithmetic}x4.add`);
        }
        f.set(s);
      });
      // Each sum is (lane 0 + lane 2) + (lane 1 + lane 3): two sums fold in one vector, then four.
      f.set(at, sums);
      for (let r = 0; r < rows; r += 2) {
        const pairs = [sum.slice(2 * r, 2 * r + 2), sum.slice(2 * r + 2, 2 * r + 4)].slice(0, rows - r);
        for (const pair of pairs) {
          fold(pair, [0, 1, 4, 5], [2, 3, 6, 7]);
          f.set(pair[0]);
        }
        fold([pairs[0][0], pairs[pairs.length - 1][0]], [0, 2, 4, 6], [1, 3, 5, 7]);
        f.set(row);
        pairs.forEach((_, half) => {
          f.push(at, row);
          f.laneMemory("v128.store64_lane", half, 0, 4);
          f.increment(at, stride);
        });
      }
      f.increment(sums, 4 * tileColumns);
      emitSetSum(f, b, b, [bColumn, tileColumns]);
      f.increment(columns, -tileColumns);
      f.brIf(again, columns);
    })
  );
  return f;

  function fold([p, q]: readonly Local[], even: readonly number[], odd: readonly number[]): void {
    for (const lanes of [even, odd]) {
      f.push(p, q);
      f.shuffle(lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)));
    }
    f.op(`${arithmetic}x4.add`);
  }
}
