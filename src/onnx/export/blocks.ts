/**
 * Blocks of quantised weights as ONNX Runtime's MatMulNBits has them: a row of the weight for each column of the product, 32
 * numbers with one scale, unsigned with their zero in the middle.
 *
 * @module
 */
import { byteSize, quantBlock } from "../../core/dtype.ts";
import { fromF16 } from "../../core/half.ts";
import { contiguousStrides } from "../../core/shape.ts";
import type { Tensor } from "../../ops/tensor.ts";
import { type Storage, tensorOf } from "../../tensor/mod.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Node } from "./memory.ts";
import { isFixed } from "./sizes.ts";
import type { WideView } from "./wide.ts";

/** A weight in blocks, [columns of the product, rows of the weight]. */
export interface Blocks {
  /** u8 [columns, blocks, bytes of one]. */
  readonly name: string;
  /** f32 [columns, blocks]. */
  readonly scales: string;
  /** Bits of a number: 4 or 8. */
  readonly bits: number;
  readonly columns: number;
  readonly rows: number;
}

/** Both of what a weight's blocks are written as. */
interface Parts {
  readonly numbers: Uint8Array;
  readonly scales: Float32Array;
}

/** q8 and q4 blocks taken apart; see `src/core/quantize.ts` for how they lie. */
export function blockParts(blocks: Uint8Array, dtype: "q8" | "q4"): Parts {
  const width = byteSize(dtype, quantBlock), count = blocks.length / width, bytes = dtype === "q8" ? 32 : 16;
  const numbers = new Uint8Array(count * bytes), scales = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const from = i * width, to = i * bytes;
    scales[i] = fromF16(blocks[from] | blocks[from + 1] << 8);
    const own = blocks.subarray(from + 2, from + width);
    if (dtype === "q8") { for (let j = 0; j < 32; j++) numbers[to + j] = own[j] ^ 128; }
    else {
      // Ours have number j beside number j + 16 in a byte, theirs number 2j beside number 2j + 1.
      const at = (j: number): number => j < 16 ? own[j] & 15 : own[j - 16] >> 4;
      for (let j = 0; j < 16; j++) numbers[to + j] = at(2 * j) | at(2 * j + 1) << 4;
    }
  }
  return { numbers, scales };
}

/** A weight of q8 or q4 that is seen transposed, all of it or some of its rows; null for what lies otherwise. */
export function blocksOf(
  graph: GraphBuilder,
  storage: Storage,
  { dtype, shape, strides, offset }: WideView,
  name: string,
): Blocks | null {
  if (dtype !== "q8" && dtype !== "q4") return null;
  if (shape.length !== 2 || ![...shape, ...strides, offset].every(isFixed)) return null;
  const [rows, columns] = shape.map((size) => size[0]), [inner, outer] = strides.map((size) => size[0]);
  const isSeen = inner === 1 && (outer === rows || columns === 1) && rows % quantBlock === 0 &&
    offset[0] % rows === 0;
  if (!isSeen) return null;
  const all = Math.floor(storage.buffer.byteLength / byteSize(dtype, rows)), first = offset[0] / rows;
  if (first + columns > all) return null;
  storage.hold();
  const tensor = tensorOf(
    { storage, dtype, shape: [all, rows], strides: contiguousStrides([all, rows]), offset: 0 },
    false,
  ) as Tensor;
  const parts = async (): Promise<Parts> => {
    const data = await tensor.data(), width = byteSize(dtype, rows);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return blockParts(bytes.subarray(first * width, (first + columns) * width), dtype);
  };
  const bits = dtype === "q8" ? 8 : 4, blocks = rows / quantBlock;
  const own = first === 0 ? name : `${name}_${first}`;
  return {
    name: graph.weight(
      `${own}_Q${bits}`,
      "u8",
      [columns, blocks, quantBlock * bits / 8],
      async () => (await parts()).numbers,
    ),
    scales: graph.weight(
      `${own}_scales`,
      "f32",
      [columns, blocks],
      async () => new Uint8Array((await parts()).scales.buffer),
    ),
    bits,
    columns,
    rows,
  };
}

/** x · weight. */
export function writeBlockProduct(
  graph: GraphBuilder,
  x: Node,
  { name, scales, bits, columns, rows }: Blocks,
): Node {
  const attributes = {
    K: BigInt(rows),
    N: BigInt(columns),
    bits: BigInt(bits),
    block_size: BigInt(quantBlock),
  };
  const product = graph.node("MatMulNBits", [x.name, name, scales], attributes, "com.microsoft");
  return { name: product, dims: [...x.dims.slice(0, -1), graph.symbols.fixed(columns)], dtype: x.dtype };
}

/** The rows of a weight at `places`. */
export function writeBlockRows(
  graph: GraphBuilder,
  { name, scales, bits, columns, rows }: Blocks,
  places: Node,
): Node {
  const { symbols } = graph, [numbers, row] = [columns, rows * bits / 8].map((n) => symbols.fixed(n));
  const data = graph.reshape(name, [], [numbers, row]);
  const attributes = {
    gather_axis: 0n,
    quantize_axis: 1n,
    block_size: BigInt(quantBlock),
    bits: BigInt(bits),
  };
  const found = graph.node("GatherBlockQuantized", [data, places.name, scales], attributes, "com.microsoft");
  return { name: found, dims: [...places.dims, symbols.fixed(rows)], dtype: "f32" };
}
