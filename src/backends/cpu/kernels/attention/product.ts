/**
 * Products of blocks that lie in scratch memory: tiles of up to 6 rows by 8 columns stay in registers while the inner
 * index runs, as in `gemm/tile.ts`. Nothing here has edges: copies are padded, and what a tile computes beyond the
 * rows and columns that count is never looked at.
 *
 * @module
 */
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";

/** Where operands lie; strides in bytes, all known when the code is emitted. */
export interface ProductOptions {
  /** Name of the function. */
  readonly name: string;
  /** Rows of a tile. */
  readonly rows: number;
  /** Bytes between rows of a, and between its columns (4 one way, or the other way for a transposed). */
  readonly a: readonly [row: number, column: number];
  /** Bytes between rows of b (8 columns are contiguous), and from 8 columns to the next 8. */
  readonly b: readonly [row: number, panel: number];
  /** Bytes between rows of c. */
  readonly c: number;
  /** Whether products are added to c, or replace it. */
  readonly add: boolean;
}

/** The function `name(a, b, k, panels, c)`: c = a · b (or += ) for one tile of rows and `panels` times 8 columns. */
export function emitProduct(
  m: ModuleBuilder,
  context: KernelContext,
  options: ProductOptions,
): FunctionBuilder {
  const { rows } = options;
  const f = m.function(options.name, { params: new Array(5).fill("i32"), export: false });
  const [a, b, k, panels, c] = f.params;
  const sums = f.localArray("v128", 2 * rows);
  const b0 = f.local("v128"), b1 = f.local("v128"), x = f.local("v128");
  // A pointer per row: V8 spends an instruction on the offset of a load that fills all lanes.
  const pointers = f.localArray("i32", rows), pb = f.local("i32"), n = f.local("i32");

  const multiply = (sum: typeof x, y: typeof x): void => {
    if (context.fma) {
      f.push(x.op("f32x4.relaxed_madd", y, sum));
    } else {
      f.push(sum.op("f32x4.add", x.op("f32x4.mul", y)));
    }
    f.set(sum);
  };
  const steps = (count: number): void => {
    for (let u = 0; u < count; u++) {
      for (const [local, offset] of [[b0, 0], [b1, 16]] as const) {
        f.set(local, pb.load(offset + options.b[0] * u, "v128.load", 4));
      }
      for (let i = 0; i < rows; i++) {
        f.set(x, pointers[i].load(options.a[1] * u, "v128.load32_splat"));
        multiply(sums[2 * i], b0);
        multiply(sums[2 * i + 1], b1);
      }
    }
    for (const pointer of pointers) f.increment(pointer, options.a[1] * count);
    f.increment(pb, options.b[0] * count);
  };
  const loop = (count: number): void =>
    f.if(() =>
      f.loop((again) => {
        steps(count);
        f.brIf(again, n.minus(1).tee(n));
      })
    );

  f.get(panels);
  f.if(() =>
    f.loop((nextPanel) => {
      sums.forEach((sum, i) => {
        if (options.add) {
          f.get(c);
          f.load("v128.load", options.c * (i >> 1) + 16 * (i & 1), 4);
        } else f.f32x4(0);
        f.set(sum);
      });
      pointers.forEach((pointer, i) => emitSetSum(f, pointer, a, options.a[0] * i));
      f.set(pb, b);
      f.push(k.op("shr_u", 2).tee(n));
      loop(4);
      f.push(k.and(3).tee(n));
      loop(1);
      sums.forEach((sum, i) => {
        f.push(c, sum);
        f.store("v128.store", options.c * (i >> 1) + 16 * (i & 1), 4);
      });
      f.increment(b, options.b[1]);
      f.increment(c, 32);
      f.increment(panels, -1);
      f.brIf(nextPanel, panels);
    })
  );
  return f;
}
