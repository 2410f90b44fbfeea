/**
 * Kernels that work row by row: a loop over the rows, and loops over one row that read and write nothing outside it.
 *
 * A row is done 16 floats at a time, then 4, then the last one to three, which are loaded lane by lane. The work on
 * one row is a function of its own, so that engines can put a faster one in its place while the rows go by.
 *
 * Arguments: words 0 and 1 are the length of a row and unused; from byte 8 on, address and bytes from row to row of
 * each operand; from {@link extraArg} on what the kernel likes.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import type { Engine, Kernel } from "../engine.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";

/** Where arguments of the kernel's own begin, in bytes. */
export const extraArg = 256;

const operandsArg = 8;

/** Makes `view` operand `k`; `step` is the number of its elements (of 4 bytes) per row. */
export function setOperand(engine: Engine, k: number, view: View, step: number): void {
  const at = (engine.args + operandsArg + 8 * k) >>> 2, { u32 } = engine;
  u32[at] = addressOf(view);
  u32[at + 1] = 4 * step;
}

/** Runs a kernel of {@link emitRows} over `rows` rows of `length` floats. */
export function runRows(engine: Engine, kernel: Kernel, rows: number, length: number): void {
  engine.u32[engine.args >>> 2] = length;
  engine.run(kernel, rows, Math.max(1, Math.ceil(8192 / (length + 32))));
}

/** What is done with one row: called with the operands' addresses of that row, its length, and the arguments. */
export type EmitRow = (f: FunctionBuilder, pointers: readonly Local[], length: Local, args: Local) => void;

/** The function "row"(operands…, length, args). */
export function emitRowFunction(m: ModuleBuilder, operands: number, emit: EmitRow): FunctionBuilder {
  const row = m.function("row", { params: new Array(operands + 2).fill("i32"), export: false });
  emit(row, row.params.slice(0, operands), row.params[operands], row.params[operands + 1]);
  return row;
}

/** Leaves the address of operand `k` in row number `i`. */
export function emitOperand(f: FunctionBuilder, args: Local, k: number, i: Local): void {
  f.push(args.load(operandsArg + 8 * k).plus(i.times(args.load(operandsArg + 8 * k + 4))));
}

/** Emits "run" for a kernel with this many operands, whose items are rows. */
export function emitRows(m: ModuleBuilder, operands: number, emit: EmitRow): void {
  const row = emitRowFunction(m, operands, emit);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const i = f.local("i32");
  f.forRange(i, begin, end, 1, () => {
    for (let k = 0; k < operands; k++) emitOperand(f, args, k, i);
    f.push(args.load(), args);
    f.call(row);
  });
}

/** Some neighbouring floats of a row, as many vectors as `w` is wide; the last vector of a row may be partial. */
export interface Stretch {
  /** Writes arithmetic on as many vectors as there are. */
  readonly w: VectorWriter;
  /** Loads from operand `k`; lanes beyond the row get `fill`. */
  load(k: number, fill: number | Local): Vectors;
  /** Stores to operand `k`; lanes beyond the row go nowhere. */
  store(k: number, x: Vectors): void;
  /** x, with `fill` in lanes beyond the row. */
  only(x: Vectors, fill: number): Vectors;
}

/** Writes `body` for all of a row of `length` floats at each of `pointers`; these locals keep their values. */
export function emitRowLoop(
  w: VectorWriter,
  length: Local,
  pointers: readonly Local[],
  body: (stretch: Stretch) => void,
  width: number = 4,
): void {
  const { f } = w;
  const at = pointers.map((pointer) => {
    const local = f.local("i32");
    f.set(local, pointer);
    return local;
  });
  const left = f.local("i32");
  f.set(left, length);
  for (const vectors of width === 1 ? [1] : [width, 1]) {
    const count = 4 * vectors;
    f.push(left.op("ge_u", count));
    f.if(() =>
      f.loop((again) => {
        const wide = w.withWidth(vectors);
        body({
          w: wide,
          load: (k) =>
            wide.each((i) => {
              f.push(at[k].load(16 * i, "v128.load", 4));
            }),
          store: (k, x) => x.forEach((value, i) => storeVector(f, at[k], value, 16 * i)),
          only: (x) => x,
        });
        for (const pointer of at) f.increment(pointer, 4 * count);
        f.increment(left, -count);
        f.brIf(again, left.op("ge_u", count));
      })
    );
  }
  f.get(left);
  f.if(() => {
    const one = w.withWidth(1);
    body({
      w: one,
      load(k, fill) {
        const x = f.local("v128");
        if (typeof fill === "number") one.push(fill, 0, "f32x4");
        else f.get(fill);
        f.set(x);
        emitTailLoad(f, at[k], left, x);
        return [x];
      },
      store: (k, [x]) => emitTailStore(f, at[k], left, x),
      only(x, fill) {
        const counts = one.each(() => {
          f.push(left.op("i32x4.splat"));
        });
        const places = one.each(() => f.i32x4(0, 1, 2, 3));
        return one.select(one.op("i32x4.lt_s", places, counts), x, fill);
      },
    });
  });
}

function storeVector(f: FunctionBuilder, at: Local, x: Local, offset: number): void {
  f.push(at, x);
  f.store("v128.store", offset, 4);
}

function ifBit(f: FunctionBuilder, x: Local, bit: number, then: () => void, otherwise?: () => void): void {
  f.push(x.and(bit));
  f.if(then, otherwise);
}

/** Loads `count` (1 to 3) floats into the first lanes of x; the others stay. */
function emitTailLoad(f: FunctionBuilder, at: Local, count: Local, x: Local): void {
  const lanes = (name: "v128.load32_lane" | "v128.load64_lane", lane: number, offset: number) => {
    f.push(at, x);
    f.laneMemory(name, lane, offset, 4);
    f.set(x);
  };
  ifBit(f, count, 2, () => {
    lanes("v128.load64_lane", 0, 0);
    ifBit(f, count, 1, () => lanes("v128.load32_lane", 2, 8));
  }, () => lanes("v128.load32_lane", 0, 0));
}

/** Stores the first `count` (1 to 3) lanes of x. */
function emitTailStore(f: FunctionBuilder, at: Local, count: Local, x: Local): void {
  const lanes = (name: "v128.store32_lane" | "v128.store64_lane", lane: number, offset: number) => {
    f.push(at, x);
    f.laneMemory(name, lane, offset, 4);
  };
  ifBit(f, count, 2, () => {
    lanes("v128.store64_lane", 0, 0);
    ifBit(f, count, 1, () => lanes("v128.store32_lane", 2, 8));
  }, () => lanes("v128.store32_lane", 0, 0));
}

/** What is gathered beside a loop: sums, maxima or minima, in as many vectors as the loop is wide. */
export class Gathered {
  readonly #w: VectorWriter;
  readonly #vectors: Vectors;
  readonly #name: Across;
  readonly #aside: { readonly every: number; readonly totals: Vectors; readonly collected: Local } | null;

  /**
   * Starts with zero (or -∞ for maxima, ∞ for minima). A maximum and a minimum pass over NaN. What is gathered is put aside
   * after so many elements, where that is above 0, so that the error of a sum does not grow with its length.
   */
  constructor(w: VectorWriter, kind: "sum" | "max" | "min", width: number = 4, every: number = 0) {
    const { f } = w;
    this.#aside = every === 0
      ? null
      : { every, totals: f.localArray("v128", width), collected: f.local("i32") };
    this.#aside?.totals.forEach((total) => {
      f.f32x4(0);
      f.set(total);
    });
    if (this.#aside) {
      f.set(this.#aside.collected, 0);
    }
    this.#w = w.withWidth(1);
    this.#vectors = f.localArray("v128", width);
    this.#name = kind === "sum" ? "f32x4.add" : kind === "max" ? "f32x4.pmax" : "f32x4.pmin";
    for (const local of this.#vectors) {
      this.#w.push(kind === "sum" ? 0 : kind === "max" ? -Infinity : Infinity, 0, "f32x4");
      f.set(local);
    }
  }

  /** Adds a stretch. */
  take(w: VectorWriter, x: Vectors): void {
    const mine = this.#vectors.slice(0, x.length);
    w.assign(mine, w.op(this.#name, mine, x));
    if (!this.#aside) return;
    const { every, collected } = this.#aside, { f } = w;
    f.increment(collected, 4 * x.length);
    f.push(collected.op("ge_u", every));
    f.if(() => this.#putAside(w));
  }

  #putAside(w: VectorWriter): void {
    const { totals, collected } = this.#aside!, { f } = w, wide = w.withWidth(totals.length);
    wide.assign(totals, wide.op(this.#name, totals, this.#vectors));
    wide.assign(this.#vectors, wide.constant(0, "f32x4"));
    f.set(collected, 0);
  }

  /** Adds x · y of a stretch, for sums. */
  takeProduct(w: VectorWriter, x: Vectors, y: Vectors): void {
    const mine = this.#vectors.slice(0, x.length);
    w.assign(mine, w.madd(x, y, mine));
  }

  /** The result, in all lanes. */
  result(): Local {
    if (this.#aside) this.#putAside(this.#w);
    let list = (this.#aside?.totals ?? this.#vectors).map((local): Vectors => [local]);
    while (list.length > 1) {
      // Halves meet, as in `reduce_rows.ts`: a sum has the same bits whichever of them makes it.
      const half = Math.ceil(list.length / 2);
      list = list.slice(0, half).map((x, i) =>
        half + i < list.length ? this.#w.op(this.#name, x, list[half + i]) : x
      );
    }
    return emitAcross(this.#w, list[0], this.#name)[0];
  }
}

type Across = "f32x4.add" | "f32x4.pmax" | "f32x4.pmin";

/** The sum, maximum or minimum over the four lanes, in all lanes. */
export function emitAcross(w: VectorWriter, x: Vectors, name: Across): Vectors {
  const half = w.op(name, x, w.shuffle32(x, x, [2, 3, 0, 1]));
  return w.op(name, half, w.shuffle32(half, half, [1, 0, 3, 2]));
}

/** Reads an argument of the kernel's own into all lanes of a local: a float, or a number that becomes one. */
export function emitExtra(f: FunctionBuilder, args: Local, offset: number = 0): Local {
  const local = f.local("v128");
  f.set(local, args.load(extraArg + offset, "v128.load32_splat"));
  return local;
}

/** Loads the float at `at` into all lanes. */
export function emitSplat(f: FunctionBuilder, at: Local): Local {
  const local = f.local("v128");
  f.set(local, at.load(0, "v128.load32_splat"));
  return local;
}

/** Stores lane 0. */
export function emitStoreFirst(f: FunctionBuilder, at: Local, x: Local): void {
  f.push(at, x);
  f.laneMemory("v128.store32_lane", 0);
}
