/**
 * The innermost loop of matrix multiplication: a tile of the result that stays in registers while k runs.
 *
 * A tile is up to 6 rows by 8 columns: 12 accumulators, 2 vectors of b and 1 of a are exactly the 15 vector registers
 * that V8 has to give on x86-64. Without fused multiply-add each product needs a register for itself, and one
 * accumulator that lives on the stack halves the speed: then 5 rows. Engines with dear splat loads get a with each
 * number stored four times ("splat"), and multiply straight from memory.
 *
 * The order of the sum never depends on the tile: k runs upwards within a block, and blocks are added upwards.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import type { Arithmetic } from "./load.ts";

/**
 * Where a tile finds a: `rows` in place, k contiguous; `packed` as [k][rows]; `splat` as [k][rows][4].
 */
export type RowAccess = "rows" | "packed" | "splat";

/** Columns of a tile and of a packed panel of b. */
export const panelColumns = 8;

/** Rows of a full tile. */
export function tileRows(context: KernelContext, arithmetic: Arithmetic): number {
  return arithmetic === "f32" && (context.fma || !context.fusedMadd) ? 6 : 5;
}

/** `sum += x · y`, given the sum's local and code that leaves the factors. */
export function emitMultiplyAdd(
  f: FunctionBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  sum: Local,
  x: () => void,
  y: () => void,
): void {
  if (arithmetic === "f32" && context.fma) {
    x();
    y();
    f.op("f32x4.relaxed_madd", sum);
  } else {
    f.get(sum);
    x();
    y();
    f.op(`${arithmetic}x4.mul`);
    f.op(`${arithmetic}x4.add`);
  }
  f.set(sum);
}

const unroll = 4;

/**
 * The function `tile(a, aStride, b, bStride, k, c, cStride, add)`: rows × 8 products summed over k, stored at c or
 * added to what lies there. Strides are in bytes: aStride between the rows of a (`rows` only), bStride from one k to
 * the next (32 in packed panels), cStride between rows of c. All of c's 8 columns are written.
 */
export function emitTile(
  m: ModuleBuilder,
  context: KernelContext,
  arithmetic: Arithmetic,
  access: RowAccess,
  rows: number,
): FunctionBuilder {
  const f = m.function(`tile${rows}`, { params: new Array(8).fill("i32"), export: false });
  const [a, aStride, b, bStride, k, c, cStride, add] = f.params;
  const sums = f.localArray("v128", 2 * rows);
  const b0 = f.local("v128"), b1 = f.local("v128"), x = f.local("v128");
  const n = f.local("i32");

  const pointers = access === "rows" ? [a, ...f.localArray("i32", rows - 1)] : [a];
  for (let i = 1; i < pointers.length; i++) {
    f.set(pointers[i], pointers[i - 1].plus(aStride));
  }

  const step = (u: number): void => {
    f.set(b0, b.load(0, "v128.load", 4));
    f.set(b1, b.load(16, "v128.load", 4));
    f.increment(b, bStride);
    for (let i = 0; i < rows; i++) {
      f.get(access === "rows" ? pointers[i] : a);
      if (access === "rows") f.load("v128.load32_splat", 4 * u);
      else if (access === "packed") f.load("v128.load32_splat", 4 * (u * rows + i));
      else f.load("v128.load", 16 * (u * rows + i), 4);
      f.set(x);
      emitMultiplyAdd(f, context, arithmetic, sums[2 * i], () => f.get(x), () => f.get(b0));
      emitMultiplyAdd(f, context, arithmetic, sums[2 * i + 1], () => f.get(x), () => f.get(b1));
    }
  };
  const advance = (steps: number): void => {
    if (access === "rows") { for (const p of pointers) f.increment(p, 4 * steps); }
    else f.increment(a, steps * rows * (access === "packed" ? 4 : 16));
  };
  const loop = (steps: number): void => {
    // n counts turns down, so that the test is against zero.
    f.get(n);
    f.if(() => {
      f.loop((again) => {
        for (let u = 0; u < steps; u++) step(u);
        advance(steps);
        f.brIf(again, n.minus(1).tee(n));
      });
    });
  };
  f.set(n, k.op("shr_u", Math.log2(unroll)));
  loop(unroll);
  f.set(n, k.and(unroll - 1));
  loop(1);

  // A block of k after the first adds to the sum of those before it.
  const at = f.local("i32");
  const eachVector = (body: (sum: Local, offset: number) => void): void => {
    f.set(at, c);
    for (let i = 0; i < rows; i++) {
      body(sums[2 * i], 0);
      body(sums[2 * i + 1], 16);
      if (i + 1 < rows) f.increment(at, cStride);
    }
  };
  f.get(add);
  f.if(
    () =>
      eachVector((sum, offset) => {
        f.push(at, at.load(offset, "v128.load", 4), sum);
        f.op(`${arithmetic}x4.add`);
        f.store("v128.store", offset, 4);
      }),
    () =>
      eachVector((sum, offset) => {
        f.push(at, sum);
        f.store("v128.store", offset, 4);
      }),
  );
  return f;
}
