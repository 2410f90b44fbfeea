/**
 * Sums of products where k is contiguous in b: each column is one stream, read once from end to end.
 *
 * A row's sums are added up in the same order whether it is multiplied alone or beside another, so what a row gives never
 * depends on its neighbours.
 *
 * Two bf16 lie in a 32-bit lane: shifted up, the lane is the first of them as a float, and masked, the second. So b is
 * loaded eight at a time, and the rows of a are laid out to match ({@link emitSplitPairs}).
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "./address.ts";
import { type Arithmetic, elementBytes, pushLoad, pushLoadFirst, type Source, sourceWriter } from "./load.ts";
import { emitMultiplyAdd } from "./tile.ts";

/** Chains of additions for each row: enough to hide their latency, and two rows of them fit into the registers. */
export const chains = 6;

/** The most rows that {@link emitDot} takes. */
export const dotRows = 2;

/** Whether products with b take rows of a that {@link emitSplitPairs} has laid out. */
export function splitsPairs(source: Source): boolean {
  return source === "bf16";
}

const lanes = (picked: readonly number[]): number[] =>
  picked.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));

/** The function `split(from, to, k)`: of every eight floats the even ones, then the odd ones. They may stay where they are. */
export function emitSplitPairs(m: ModuleBuilder): FunctionBuilder {
  const f = m.function("split", { params: ["i32", "i32", "i32"], export: false });
  const [from, to, k] = f.params, halves = f.localArray("v128", 2);
  emitWhileAtLeast(f, k, 8, () => {
    halves.forEach((half, i) => {
      f.set(half, from.load(16 * i, "v128.load", 4));
    });
    [[0, 2, 4, 6], [1, 3, 5, 7]].forEach((picked, i) => {
      f.get(to);
      for (const half of halves) f.get(half);
      f.shuffle(lanes(picked));
      f.store("v128.store", 16 * i, 4);
    });
    f.increment(from, 32);
    f.increment(to, 32);
    f.increment(k, -8);
  });
  f.op("memory.copy", to, from, k.times(4));
  return f;
}

/** Loads bf16 by pairs: sets `to` to the even (or odd) ones of eight at `from` + `offset`. `mask` is that of {@link setMask}. */
export function emitLoadHalf(
  f: FunctionBuilder,
  from: Local,
  offset: number,
  odd: boolean,
  mask: Local,
  to: Local,
): void {
  f.push(from.load(offset, "v128.load", 2));
  if (odd) f.get(mask);
  else f.i32(16);
  f.op(odd ? "v128.and" : "i32x4.shl");
  f.set(to);
}

/** Sets what {@link emitLoadHalf} takes, outside of loops. */
export function setMask(f: FunctionBuilder, mask: Local): void {
  f.i32x4(0xffff0000);
  f.set(mask);
}

/** Runs `body`, which takes from `n`, while there are so many. */
export function emitWhileAtLeast(f: FunctionBuilder, n: Local, count: number, body: () => void): void {
  const isEnough = (): void => {
    f.push(n.op("ge_s", count));
  };
  isEnough();
  f.if(() =>
    f.loop((again) => {
      body();
      isEnough();
      f.brIf(again);
    })
  );
}

/**
 * The function `dot(a, aRow, b, bColumn, k, columns, sums, stride, atOnce)`, with one or two rows of a: two rows meet one column
 * of b at a time, one row `atOnce`, 1 or 2. Two need half as many loads of a, but are two streams, which memory gives more slowly
 * than one. Strides are in bytes; sums are rows of f32 (or i32), `stride` bytes apart.
 */
export function emitDot(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  source: Source,
  rows: number,
): FunctionBuilder {
  const f = m.function(`dot${rows}`, { params: new Array(9).fill("i32"), export: false });
  const [a, aRow, b, bColumn, k, columns, sums, stride, atOnce] = f.params;
  const most = rows === 1 ? 2 : 1;
  const sum = f.localArray("v128", rows * most * chains);
  const x = f.localArray("i32", rows), y = f.localArray("i32", most);
  const n = f.local("i32"), next = f.local("i32"), at = f.local("i32");
  const value = f.local("v128"), row = f.local("v128");
  const bytes = elementBytes(source);
  const w = sourceWriter(f, context, source);

  const split = splitsPairs(source), mask = f.local("v128"), pair = f.localArray("v128", most);
  if (split) setMask(f, mask);
  const whileAtLeast = (count: number, body: () => void): void => emitWhileAtLeast(f, n, count, body);

  /** The next `width` columns with all rows. */
  const group = (width: number): void => {
    /** Adds vector v of each row times that of each column, or its first element, to `chain`. */
    const multiply = (chain: number, v: number | null): void => {
      for (let c = 0; c < width; c++) {
        if (v === null) {
          pushLoadFirst(w, source, y[c]);
          f.set(value);
        } else if (!split) {
          pushLoad(w, source, y[c], 4 * v * bytes);
          f.set(value);
        } else if (v % 2 === 0) {
          f.set(value, y[c].load(8 * v, "v128.load", 2).tee(pair[c]).op("i32x4.shl", 16));
        } else {
          f.set(value, pair[c].op("v128.and", mask));
        }
        for (let i = 0; i < rows; i++) {
          emitMultiplyAdd(f, context, arithmetic, sum[(i * width + c) * chains + chain], () => {
            f.push(v === null ? x[i].load(0, "v128.load32_zero") : x[i].load(16 * v, "v128.load", 4));
          }, () => f.get(value));
        }
      }
    };
    const advance = (elements: number): void => {
      for (let c = 0; c < width; c++) f.increment(y[c], elements * bytes);
      for (const p of x) f.increment(p, 4 * elements);
      f.increment(n, -elements);
    };
    /** So many vectors, each for a chain of its own; or all for the first. */
    const steps = (vectors: number, first = false): void => {
      for (let v = 0; v < vectors; v++) multiply(first ? 0 : v, v);
      advance(4 * vectors);
    };
    for (let c = 0; c < width; c++) {
      f.set(y[c], next);
      f.increment(next, bColumn);
    }
    for (let i = 0; i < rows; i++) emitSetSum(f, x[i], i === 0 ? a : x[i - 1], i === 0 ? 0 : aRow);
    for (let i = 0; i < rows * width * chains; i++) {
      f.i32x4(0);
      f.set(sum[i]);
    }
    f.set(n, k);
    whileAtLeast(4 * chains, () => steps(chains));
    const least = split ? 2 : 1;
    whileAtLeast(4 * least, () => steps(least, true));
    // The products that are left go into the first lane.
    whileAtLeast(1, () => {
      multiply(0, null);
      advance(1);
    });
    f.set(at, sums);
    for (let i = 0; i < rows; i++) {
      for (let c = 0; c < width; c++) {
        const own = sum.slice((i * width + c) * chains, (i * width + c + 1) * chains);
        f.get(own[0]);
        for (const other of own.slice(1)) {
          f.get(other);
          f.op(`${arithmetic}x4.add`);
        }
        f.set(row);
        for (const distance of [2, 1]) {
          f.push(row, row, row);
          f.shuffle(Array.from({ length: 16 }, (_, byte) => (byte + 4 * distance) % 16));
          f.op(`${arithmetic}x4.add`);
          f.set(row);
        }
        f.push(at, row);
        f.laneMemory("v128.store32_lane", 0, 4 * c, 2);
      }
      if (i + 1 < rows) f.increment(at, stride);
    }
    f.increment(sums, 4 * width);
    f.increment(columns, -width);
  };
  f.set(next, b);
  if (most === 2) {
    f.push(atOnce.op("eq", 2));
    f.if(() => emitWhileAtLeast(f, columns, 2, () => group(2)));
  }
  emitWhileAtLeast(f, columns, 1, () => group(1));
  return f;
}
