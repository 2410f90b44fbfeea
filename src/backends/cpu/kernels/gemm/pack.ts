/**
 * Rearranging operands so that the tile reads them in order: strips of `width` neighbouring lanes (columns of b, rows
 * of a), stored as [k][lanes], converted to f32 on the way. For engines with dear splat loads each number is stored
 * four times.
 *
 * Two layouts have fast paths: lanes contiguous, and k contiguous (4×4 blocks are transposed in registers). Strips that
 * are not full, and any other strides, go element by element.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "./address.ts";
import { elementBytes, pushLoad, pushLoadSplat, type Source, sourceWriter } from "./load.ts";

/** Which axis of an operand is contiguous: the one across the lanes of a strip, k, or neither. */
export type StripLayout = "lanes" | "k" | "any";

/** What a packing function is emitted for. */
export interface PackOptions {
  /** Name of the function. */
  readonly name: string;
  /** Element type of what is packed. */
  readonly source: Source;
  /** How it lies in memory. */
  readonly layout: StripLayout;
  /** Lanes of a full strip: 5 to 8. */
  readonly width: number;
  /** Whether each number is stored four times. */
  readonly splat: boolean;
  /** Whether a strip that is not full is padded with zeros; otherwise it is packed as narrow as it is. */
  readonly pad: boolean;
}

const splatBytes = (lane: number): number[] => Array.from({ length: 16 }, (_, i) => 4 * lane + (i & 3));
const pickLanes = (...lanes: number[]): number[] =>
  lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]);
const low = pickLanes(0, 4, 1, 5), high = pickLanes(2, 6, 3, 7);
const lowHalves = pickLanes(0, 1, 4, 5), highHalves = pickLanes(2, 3, 6, 7);

function emitShuffle(f: FunctionBuilder, x: Local, y: Local, lanes: number[], to: Local): void {
  f.push(x, y);
  f.shuffle(lanes);
  f.set(to);
}

/** Column j of four rows into `to[j]`. */
function emitTranspose(
  f: FunctionBuilder,
  rows: readonly Local[],
  t: readonly Local[],
  to: readonly Local[],
): void {
  emitShuffle(f, rows[0], rows[1], low, t[0]);
  emitShuffle(f, rows[2], rows[3], low, t[1]);
  emitShuffle(f, rows[0], rows[1], high, t[2]);
  emitShuffle(f, rows[2], rows[3], high, t[3]);
  emitShuffle(f, t[0], t[1], lowHalves, to[0]);
  emitShuffle(f, t[0], t[1], highHalves, to[1]);
  emitShuffle(f, t[2], t[3], lowHalves, to[2]);
  emitShuffle(f, t[2], t[3], highHalves, to[3]);
}

/**
 * The function `pack(from, to, k, laneStride, kStride, lanes)`: packs k steps of one strip of `lanes` lanes; strides
 * in bytes.
 */
export function emitPack(m: ModuleBuilder, context: KernelContext, options: PackOptions): FunctionBuilder {
  const { name, source, layout, width, splat, pad } = options;
  const f = m.function(name, { params: new Array(6).fill("i32"), export: false });
  const [from, to, k, laneStride, kStride, lanes] = f.params;
  const bytes = elementBytes(source), unit = splat ? 16 : 4;
  const w = sourceWriter(f, context, source);
  const p = f.local("i32"),
    q = f.local("i32"),
    lane = f.local("i32"),
    n = f.local("i32"),
    step = f.local("i32");

  // Bytes from one k to the next in the packed strip.
  if (pad) f.i32(unit * width);
  else {
    f.push(lanes.times(unit));
  }
  f.set(step);
  if (pad) {
    f.push(lanes.op("lt_s", width));
    f.if(() => {
      f.op("memory.fill", to, 0, k.times(step));
    });
  }
  if (layout !== "any") {
    f.push(lanes.op("eq", width));
    f.if(() => {
      if (layout === "lanes") emitAcross();
      else emitAlong();
    });
  }
  // What is left, element by element.
  f.get(k);
  f.if(() =>
    f.forRange(lane, 0, lanes, 1, () => {
      emitSetSum(f, p, from, [lane, laneStride]);
      emitSetSum(f, q, to, [lane, unit]);
      f.forRange(n, 0, k, 1, () => {
        f.get(q);
        pushLoadSplat(w, source, p);
        if (splat) f.store("v128.store", 0, 4);
        else f.laneMemory("v128.store32_lane", 0);
        f.increment(p, kStride);
        f.increment(q, step);
      });
    })
  );
  return f;

  /** Lanes are contiguous: two vectors that overlap cover 5 to 8 of them. All of k is done. */
  function emitAcross(): void {
    const x = f.local("v128");
    const one = (u: number): void => {
      for (const first of [0, width - 4]) {
        pushLoad(w, source, from, bytes * first);
        f.set(x);
        if (!splat) {
          f.push(to, x);
          f.store("v128.store", 4 * (u * width + first), 4);
          continue;
        }
        for (let i = first === 0 ? 0 : 4 - first; i < 4; i++) {
          f.push(to, x, x);
          f.shuffle(splatBytes(i));
          f.store("v128.store", 16 * (u * width + first + i), 4);
        }
      }
      f.increment(from, kStride);
    };
    for (const unroll of [4, 1]) {
      f.push(k.op("ge_u", unroll));
      f.if(() =>
        f.loop((again) => {
          for (let u = 0; u < unroll; u++) one(u);
          f.increment(to, unroll * unit * width);
          f.increment(k, -unroll);
          f.brIf(again, k.op("ge_u", unroll));
        })
      );
    }
  }

  /** k is contiguous: four steps of all lanes at a time. */
  function emitAlong(): void {
    const rows = f.localArray("v128", width), t = f.localArray("v128", 4), columns = f.localArray("v128", 4);
    const pointers = [from, ...f.localArray("i32", width - 1)];
    for (let i = 1; i < width; i++) emitSetSum(f, pointers[i], pointers[i - 1], laneStride);
    f.push(k.op("ge_u", 4));
    f.if(() =>
      f.loop((again) => {
        for (let i = 0; i < width; i++) {
          pushLoad(w, source, pointers[i]);
          f.set(rows[i]);
          f.increment(pointers[i], 4 * bytes);
        }
        if (splat) {
          for (let u = 0; u < 4; u++) {
            for (let i = 0; i < width; i++) {
              f.push(to, rows[i], rows[i]);
              f.shuffle(splatBytes(u));
              f.store("v128.store", 16 * (u * width + i), 4);
            }
          }
        } else {
          for (const first of [0, width - 4]) {
            emitTranspose(f, rows.slice(first, first + 4), t, columns);
            for (let u = 0; u < 4; u++) {
              f.push(to, columns[u]);
              f.store("v128.store", 4 * (u * width + first), 4);
            }
          }
        }
        f.increment(to, 4 * unit * width);
        f.increment(k, -4);
        f.brIf(again, k.op("ge_u", 4));
      })
    );
  }
}

/** Panels of b that {@link emitPackPanels} packs in one pass over k where columns are contiguous. */
export const passPanels = 4;

/**
 * The function `packPanels(from, to, k, columnStride, kStride, columns)`: packs consecutive panels of 8 columns, the
 * last one padded with zeros. Where columns are contiguous, four panels are filled in one pass over k, because a row
 * of b may be a page of its own.
 */
export function emitPackPanels(
  m: ModuleBuilder,
  context: KernelContext,
  source: Source,
  layout: StripLayout,
): FunctionBuilder {
  const width = 8;
  const pack = emitPack(m, context, { name: "packPanel", source, layout, width, splat: false, pad: true });
  const f = m.function("packPanels", { params: new Array(6).fill("i32"), export: false });
  const [from, to, k, columnStride, kStride, columns] = f.params;
  const panelBytes = f.local("i32"), lanes = f.local("i32");
  emitSetSum(f, panelBytes, [k, 4 * width]);
  if (layout === "lanes") {
    const bytes = elementBytes(source);
    const w = sourceWriter(f, context, source);
    const n = f.local("i32"), p = f.local("i32"), x = f.local("v128");
    const targets = f.localArray("i32", passPanels);
    f.block((done) =>
      f.loop((again) => {
        f.brIf(done, columns.op("lt_s", passPanels * width));
        f.set(p, from);
        targets.forEach((target, i) => emitSetSum(f, target, to, [panelBytes, i]));
        f.forRange(n, 0, k, 1, () => {
          for (let i = 0; i < 2 * passPanels; i++) {
            pushLoad(w, source, p, 4 * i * bytes);
            f.set(x);
            f.push(targets[i >> 1], x);
            f.store("v128.store", 16 * (i & 1), 4);
          }
          f.increment(p, kStride);
          for (const target of targets) f.increment(target, 4 * width);
        });
        f.increment(from, passPanels * width * bytes);
        f.set(to, panelBytes.times(passPanels).plus(to));
        f.increment(columns, -passPanels * width);
        f.br(again);
      })
    );
  }
  f.block((done) =>
    f.loop((again) => {
      f.brIf(done, columns.op("le_s", 0));
      f.push(width, columns, columns.op("gt_s", width));
      f.select();
      f.set(lanes);
      for (const x of [from, to, k, columnStride, kStride, lanes]) f.get(x);
      f.call(pack);
      emitSetSum(f, from, from, [columnStride, width]);
      f.increment(to, panelBytes);
      f.increment(columns, -width);
      f.br(again);
    })
  );
  return f;
}
