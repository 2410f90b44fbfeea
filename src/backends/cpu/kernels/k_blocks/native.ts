/**
 * Products with the blocks of a GGUF by a native library (`../../blas.ts`), for many rows: the weights become f32 first, the
 * same to the bit as in our own kernels.
 *
 * @module
 */
import { blockValues, byteSize, type KDType } from "../../../../core/dtype.ts";
import type { Program } from "../../../../expr/nodes.ts";
import type { View } from "../../../contract.ts";
import type { ModuleBuilder } from "../../assembler/mod.ts";
import type { Engine } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";
import type { Product } from "../gemm/plan.ts";
import { isForLibrary, multiplyDecoded } from "../native_decoded.ts";
import { emitDecode } from "./decode.ts";

// With so many rows it pays to decode weights into memory before.
const leastRows = 48;

/** Multiplies, or gives false where the product is not for a library. */
export function multiplyKNative(
  engine: Engine,
  product: Product,
  a: View,
  dtype: KDType,
  program: Program | null,
  scalars: readonly number[],
): boolean {
  if (!isForLibrary(engine, product, Math.max(leastRows, engine.blas.reach.leastRows))) return false;
  const values = blockValues(dtype);
  const kernel = engine.kernel(`decode ${dtype} f32`, (m) => emit(m, dtype));
  multiplyDecoded(engine, product, a, "f32", program, scalars, (_first, rowBytes, to) => {
    const { b, depth, columns } = product, at = engine.args >>> 2;
    [b.address, rowBytes, depth / values, to].forEach((x, i) => engine.u32[at + i] = x);
    engine.run(kernel, columns, Math.ceil(50_000 / depth));
  });
  return true;
}

/** Arguments: address of the weights, bytes of a row, blocks of a row, address of numbers. An item is a row. */
function emit(m: ModuleBuilder, dtype: KDType): void {
  const decode = emitDecode(m, dtype), values = blockValues(dtype), bytes = byteSize(dtype, values);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const [weights, rowBytes, blocks, numbers, item, block, from, to] = f.localArray("i32", 8);
  [weights, rowBytes, blocks, numbers].forEach((local, i) => {
    f.get(args);
    f.load("i32.load", 4 * i);
    f.set(local);
  });
  f.forRange(item, begin, end, 1, () => {
    emitSetSum(f, from, weights, [item, rowBytes]);
    emitSetSum(f, to, [item, blocks]);
    emitSetSum(f, to, numbers, [to, 4 * values]);
    f.forRange(block, 0, blocks, 1, () => {
      f.get(from);
      f.get(to);
      f.call(decode);
      f.increment(from, bytes);
      f.increment(to, 4 * values);
    });
  });
}
