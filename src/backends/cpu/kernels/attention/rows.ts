/**
 * Rows of a head between the caller's memory, where they are exactly `width` floats, and padded copies in scratch
 * memory; and one vector at a time for whoever walks along such a row.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitSetSum } from "../gemm/address.ts";
import type { Blocks } from "./layout.ts";

/** Loads the vector at `at` + `offset` of which only `lanes` floats exist; the other lanes are 0. */
export function emitLoadLanes(f: FunctionBuilder, at: Local, offset: number, lanes: number): void {
  f.get(at);
  if (lanes === 4) return f.load("v128.load", offset, 4);
  if (lanes === 1) return f.load("v128.load32_zero", offset, 4);
  f.load("v128.load64_zero", offset, 4);
  if (lanes === 2) return;
  const x = f.local("v128");
  f.set(x);
  f.push(at, x);
  f.laneMemory("v128.load32_lane", 2, offset + 8);
}

/** Stores the first `lanes` lanes of x. */
export function emitStoreLanes(f: FunctionBuilder, at: Local, x: Local, offset: number, lanes: number): void {
  const put = (name: "v128.store64_lane" | "v128.store32_lane", lane: number, bytes: number) => {
    f.push(at, x);
    f.laneMemory(name, lane, offset + bytes, 4);
  };
  if (lanes === 4) {
    f.push(at, x);
    return f.store("v128.store", offset, 4);
  }
  if (lanes > 1) put("v128.store64_lane", 0, 0);
  if (lanes !== 2) put("v128.store32_lane", lanes - 1, 4 * (lanes - 1));
}

/**
 * Writes `body` for each vector along a row of `width` floats at each of `pointers` (which keep their values): short
 * rows without a loop. `body` gets the pointers to use, the offset in bytes, and how many floats of the vector exist.
 */
export function emitAlongRow(
  f: FunctionBuilder,
  width: number,
  pointers: readonly Local[],
  body: (at: readonly Local[], offset: number, lanes: number) => void,
): void {
  const vectors = width >> 2, looped = vectors > 16 ? vectors >> 3 : 0;
  let at = pointers;
  if (looped) {
    at = pointers.map((pointer) => {
      const local = f.local("i32");
      f.set(local, pointer);
      return local;
    });
    const n = f.local("i32");
    f.forRange(n, looped, 0, -1, () => {
      for (let i = 0; i < 8; i++) body(at, 16 * i, 4);
      for (const local of at) f.increment(local, 128);
    });
  }
  const rest = vectors - 8 * looped;
  for (let i = 0; i < rest; i++) body(at, 16 * i, 4);
  if (width & 3) body(at, 16 * rest, width & 3);
}

/** The function `name(from, stride, rows, to[, factor])`: copies rows, each padded with zeros, perhaps times a factor. */
export function emitCopyRows(
  m: ModuleBuilder,
  name: string,
  blocks: Blocks,
  scaled: boolean,
): FunctionBuilder {
  const params = ["i32", "i32", "i32", "i32", ...(scaled ? ["f32" as const] : [])] as const;
  const f = m.function(name, { params, export: false });
  const [from, stride, rows, to, factor] = f.params;
  const x = f.local("v128"), scale = f.local("v128");
  if (scaled) {
    f.set(scale, factor.op("f32x4.splat"));
  }
  f.forRange(rows, () => f.get(rows), 0, -1, () => {
    emitAlongRow(f, blocks.width, [from, to], ([source, target], offset, lanes) => {
      emitLoadLanes(f, source, offset, lanes);
      if (scaled) {
        f.op("f32x4.mul", scale);
      }
      f.set(x);
      emitStoreLanes(f, target, x, offset, 4);
    });
    if (blocks.padded - blocks.width >= 4) {
      f.f32x4(0);
      f.set(x);
      emitStoreLanes(f, to, x, 4 * (blocks.padded - 4), 4);
    }
    emitSetSum(f, from, from, stride);
    f.increment(to, 4 * blocks.padded);
  });
  return f;
}

/** The function `name(from, rows, to, stride)`: stores padded rows where they belong, or adds them to what is there. */
export function emitStoreRows(m: ModuleBuilder, name: string, blocks: Blocks, add: boolean): FunctionBuilder {
  const f = m.function(name, { params: new Array(4).fill("i32"), export: false });
  const [from, rows, to, stride] = f.params;
  const x = f.local("v128");
  f.forRange(rows, () => f.get(rows), 0, -1, () => {
    emitAlongRow(f, blocks.width, [from, to], ([source, target], offset, lanes) => {
      emitLoadLanes(f, source, offset, 4);
      if (add) {
        emitLoadLanes(f, target, offset, lanes);
        f.op("f32x4.add");
      }
      f.set(x);
      emitStoreLanes(f, target, x, offset, lanes);
    });
    f.increment(from, 4 * blocks.padded);
    emitSetSum(f, to, to, stride);
  });
  return f;
}

const pick = (...lanes: number[]): number[] =>
  lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]);

/** The 4 × 4 transpose of vectors: pairs of shuffles, then their results. */
function emitTranspose4(f: FunctionBuilder, rows: readonly Local[], columns: readonly Local[]): void {
  const t = f.localArray("v128", 4);
  const shuffle = (x: Local, y: Local, lanes: number[], to: Local): void => {
    f.push(x, y);
    f.shuffle(lanes);
    f.set(to);
  };
  shuffle(rows[0], rows[1], pick(0, 4, 1, 5), t[0]);
  shuffle(rows[2], rows[3], pick(0, 4, 1, 5), t[1]);
  shuffle(rows[0], rows[1], pick(2, 6, 3, 7), t[2]);
  shuffle(rows[2], rows[3], pick(2, 6, 3, 7), t[3]);
  shuffle(t[0], t[1], pick(0, 1, 4, 5), columns[0]);
  shuffle(t[0], t[1], pick(2, 3, 6, 7), columns[1]);
  shuffle(t[2], t[3], pick(0, 1, 4, 5), columns[2]);
  shuffle(t[2], t[3], pick(2, 3, 6, 7), columns[3]);
}

/**
 * The function `name(from, stride, rows, to)`: rows as the columns of panels, [rows / 8][width][8], with zeros for
 * rows that are missing in the last panel.
 */
export function emitTransposeRows(m: ModuleBuilder, name: string, { width }: Blocks): FunctionBuilder {
  const four = m.function(`${name}4`, { params: ["i32", "i32", "i32"], export: false });
  {
    const f = four, [p0, stride, to] = f.params;
    const pointers = [p0, ...f.localArray("i32", 3)];
    for (let i = 1; i < 4; i++) emitSetSum(f, pointers[i], pointers[i - 1], stride);
    const rows = f.localArray("v128", 4), columns = f.localArray("v128", 4), n = f.local("i32");
    const step = (lanes: number): void => {
      for (let i = 0; i < 4; i++) {
        emitLoadLanes(f, pointers[i], 0, lanes);
        f.set(rows[i]);
        f.increment(pointers[i], 16);
      }
      emitTranspose4(f, rows, columns);
      for (let d = 0; d < lanes; d++) emitStoreLanes(f, to, columns[d], 32 * d, 4);
      f.increment(to, 128);
    };
    if (width >= 4) f.forRange(n, width >> 2, 0, -1, () => step(4));
    if (width & 3) step(width & 3);
  }
  const f = m.function(name, { params: new Array(4).fill("i32"), export: false });
  const [from, stride, rows, to] = f.params;
  const group = f.local("i32"), groups = f.local("i32"), at = f.local("i32");
  const d = f.local("i32"), p = f.local("i32"), q = f.local("i32"), r = f.local("i32");
  f.set(groups, rows.plus(7).op("shr_s", 3).shl(1));
  f.set(at, to);
  f.forRange(group, 0, groups, 1, () => {
    f.push(rows.op("ge_s", 4));
    f.if(() => {
      f.push(from, stride, at);
      f.call(four);
    }, () => {
      f.set(p, at);
      f.forRange(d, 0, width, 1, () => {
        f.get(p);
        f.f32x4(0);
        f.store("v128.store", 0, 4);
        f.increment(p, 32);
      });
      f.forRange(r, 0, rows, 1, () => {
        emitSetSum(f, p, from, [r, stride]);
        emitSetSum(f, q, at, [r, 4]);
        f.forRange(d, 0, width, 1, () => {
          f.push(q, p.load(0, "f32.load"));
          f.store("f32.store");
          f.increment(p, 4);
          f.increment(q, 32);
        });
      });
    });
    emitSetSum(f, from, from, [stride, 4]);
    f.increment(rows, -4);
    // Groups fill the left and the right half of a panel in turn.
    f.push(at, 32 * width - 16, 16, group.and(1));
    f.select();
    f.op("i32.add");
    f.set(at);
  });
  return f;
}
