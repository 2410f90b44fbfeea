/**
 * Planes of the input as windows read them: with zeros around them, and so that neighbouring outputs see neighbouring
 * elements, however far windows move.
 *
 * A row is a few runs: where windows move by 2, one run has every second element for the kernel's even columns, another
 * the others for the odd ones. Where they move by 1 there is one run, the row itself.
 *
 * @module
 */
import type { FunctionBuilder, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitAtMost, emitSetSum } from "../gemm/address.ts";
import { emitWord } from "./arguments.ts";

/** Steps of windows along a row: 1 and 2 have fast paths. */
export type Step = 1 | 2 | "any";

/** Even elements of two vectors. */
const even = [0, 8, 16, 24].flatMap((byte) => [byte, byte + 1, byte + 2, byte + 3]);

/** Stores zeros: `count` floats from `to` on; both move. */
function emitZeros(f: FunctionBuilder, to: Local, count: Local): void {
  for (const lanes of [4, 1]) {
    f.push(count.op("ge_s", lanes));
    f.if(() =>
      f.loop((again) => {
        f.get(to);
        if (lanes === 4) {
          f.i32x4(0);
          f.store("v128.store", 0, 4);
        } else {
          f.i32(0);
          f.store("i32.store", 0);
        }
        f.increment(to, 4 * lanes);
        f.increment(count, -lanes);
        f.brIf(again, count.op("ge_s", lanes));
      })
    );
  }
}

/** Copies `count` floats, `step` floats apart, from `from` to `to`; all move. */
function emitCopy(f: FunctionBuilder, step: Step, from: Local, to: Local, count: Local, stride: Local): void {
  if (step !== "any") {
    // The last of 8 floats at `from` must be the row's own.
    const least = step === 1 ? 4 : 5;
    f.push(count.op("ge_s", least));
    f.if(() =>
      f.loop((again) => {
        f.push(to, from.load(0, "v128.load", 4));
        if (step === 2) {
          f.push(from.load(16, "v128.load", 4));
          f.shuffle(even);
        }
        f.store("v128.store", 0, 4);
        f.increment(from, 16 * step);
        f.increment(to, 16);
        f.increment(count, -4);
        f.brIf(again, count.op("ge_s", least));
      })
    );
  }
  f.get(count);
  f.if(() =>
    f.loop((again) => {
      f.push(to, from.load());
      f.store("i32.store", 0);
      emitSetSum(f, from, from, [stride, 4]);
      f.increment(to, 4);
      f.increment(count, -1);
      f.brIf(again, count);
    })
  );
}

/**
 * The function `fill(args, from, to, before)`: a row of the input, whose elements lie at `from` (0: there is no such row),
 * in order at `to`; `before` is how many columns the first window begins before it.
 */
export function emitFill(m: ModuleBuilder, step: Step): FunctionBuilder {
  const f = m.function("fill", { params: new Array(4).fill("i32"), export: false });
  const [args, from, to, before] = f.params;
  const width = emitWord(f, args, "width"), length = emitWord(f, args, "runLength");
  const stride = emitWord(f, args, "columnStride"), dilation = emitWord(f, args, "columnDilation");
  const runs = emitWord(f, args, "runs"), runBytes = emitWord(f, args, "runBytes");
  const run = f.local("i32"), at = f.local("i32"), source = f.local("i32"), target = f.local("i32");
  const first = f.local("i32"), last = f.local("i32"), count = f.local("i32");
  /** Sets `place` to the first element of the run that is not before column `place` of the row. */
  const placeInRun = (place: Local): void => {
    emitSetSum(f, place, place, [at, -1]);
    f.set(place, place.op("gt_s", 0).select(place, 0));
    if (step !== 1) f.set(place, place.plus(stride).minus(1).op("div_u", stride));
    emitAtMost(f, place, length);
  };
  f.forRange(run, 0, runs, 1, () => {
    f.set(at, step === 1 ? 0 : run.times(dilation).op("rem_u", stride));
    emitSetSum(f, target, to, [run, runBytes]);
    f.set(first, length);
    f.set(last, length);
    f.get(from);
    f.if(() => {
      f.set(first, before);
      placeInRun(first);
      emitSetSum(f, last, before, width);
      placeInRun(last);
      emitSetSum(f, source, [first, stride], at, [before, -1]);
      emitSetSum(f, source, from, [source, 4]);
    });
    f.set(count, first);
    emitZeros(f, target, count);
    emitSetSum(f, count, last, [first, -1]);
    emitCopy(f, step, source, target, count, stride);
    emitSetSum(f, count, length, [last, -1]);
    emitZeros(f, target, count);
  });
  return f;
}

/** Leaves the address of row `row` of the input's plane number `plane`, or 0 where there is no such row. */
export function emitInputRow(f: FunctionBuilder, args: Local, plane: Local, row: Local): void {
  const height = emitWord(f, args, "height"), width = emitWord(f, args, "width"), at = f.local("i32");
  emitSetSum(f, at, [plane, height], row);
  emitSetSum(f, at, [at, width]);
  emitSetSum(f, at, emitWord(f, args, "x"), [at, 4]);
  f.push(at, 0, row.op("lt_u", height));
  f.select();
}

/**
 * The function `places(args)`: the table of where the input's elements lie that a filter's weights meet, in bytes from the
 * first, at the beginning of thread scratch.
 */
export function emitPlaces(m: ModuleBuilder, scratch: Global): FunctionBuilder {
  const f = m.function("places", { params: ["i32"], export: false });
  const [args] = f.params, word = (name: Parameters<typeof emitWord>[2]): Local => emitWord(f, args, name);
  const stride = word("columnStride"), dilation = word("columnDilation"), period = word("period");
  const columns = word("kernelColumns"), runBytes = word("runBytes");
  const start = f.local("i32"), to = f.local("i32"), from = f.local("i32"), end = f.local("i32");
  const run = f.local("i32"),
    at = f.local("i32"),
    x = f.local("i32"),
    row = f.local("i32"),
    c = f.local("i32");
  f.globalGet(scratch);
  f.set(start);
  f.set(to, start);
  // The first row of the kernel.
  f.forRange(x, 0, columns, 1, () => {
    f.set(run, x.op("rem_u", period));
    f.set(at, run.times(dilation).op("rem_u", stride));
    emitSetSum(f, at, [x, dilation], [at, -1]);
    f.set(at, at.op("div_u", stride));
    emitSetSum(f, at, [run, runBytes], [at, 4]);
    f.push(to, at);
    f.store("i32.store", 0);
    f.increment(to, 4);
  });
  const repeat = (count: Local, step: Local): void => {
    // What lies before is a row, or a channel; all others are as far from each other.
    const size = f.local("i32"), n = f.local("i32");
    emitSetSum(f, size, to, [start, -1]);
    f.forRange(n, 1, count, 1, () => {
      emitSetSum(f, from, to, [size, -1]);
      emitSetSum(f, end, to, size);
      f.loop((again) => {
        f.push(to, from.load().plus(step));
        f.store("i32.store", 0);
        f.increment(from, 4);
        f.increment(to, 4);
        f.brIf(again, to.op("lt_u", end));
      });
    });
  };
  f.set(row, word("rowDilation").times(word("rowBytes")));
  repeat(word("kernelRows"), row);
  f.set(c, word("planeBytes"));
  repeat(word("channels"), c);
  return f;
}
