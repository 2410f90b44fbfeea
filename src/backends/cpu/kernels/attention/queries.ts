/**
 * A block of queries of one head, from its arguments to its results: what every kernel that takes many queries does before
 * and after they meet the keys.
 *
 * @module
 */
import type { View } from "../../../contract.ts";
import type { FunctionBuilder, Global, Local } from "../../assembler/mod.ts";
import { addressOf } from "../../buffer.ts";
import type { Engine } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitArgument, emitCall, emitHead, emitMin, emitRest, emitRow, emitScratch } from "./emit.ts";
import {
  blockArg,
  blockCountArg,
  type Blocks,
  keysArg,
  lseArg,
  reachArg,
  scaleArg,
  setAttentionOperand,
  setAttentionSizes,
} from "./layout.ts";
import { emitClearRecord, recordBytes } from "./softmax.ts";

/** Writes the arguments of a forward pass in blocks of `block` queries, and gives the number of items. */
export function setForward(
  engine: Engine,
  operands: readonly [q: View, k: View, v: View, out: View],
  lse: View | null,
  scale: number,
  causal: boolean,
  block: number,
): number {
  const { args, u32 } = engine, [q, k] = operands, [batch, heads, queries] = q.shape;
  const count = Math.ceil(queries / block);
  setAttentionSizes(engine, q, k, scale, causal);
  operands.forEach((view, i) => setAttentionOperand(engine, i, view));
  u32[(args + lseArg) >>> 2] = lse === null ? 0 : addressOf(lse);
  u32[(args + blockArg) >>> 2] = block;
  u32[(args + blockCountArg) >>> 2] = count;
  return batch * heads * count;
}

/** Where a block lies in the thread's scratch memory, and the functions for it. */
export interface QueryBlockOptions {
  readonly blocks: Blocks;
  /** Offsets of the records of its tiles, of its queries, and of its rows of the output. */
  readonly records: number;
  readonly queries: number;
  readonly out: number;
  /** Rows that there is room for in the output. */
  readonly room: number;
  /** See `emitCopyRows` and `emitFinish`. */
  readonly copyQueries: FunctionBuilder;
  readonly finish: FunctionBuilder;
}

/** Begins item `number`: its queries are copied and scaled, its output and records are cleared. */
export function emitQueryBlock(
  f: FunctionBuilder,
  args: Local,
  number: Local,
  scratch: Global,
  options: QueryBlockOptions,
) {
  const { blocks: { padded, tile }, room, copyQueries, finish } = options;
  const { block, queries, lse, q, k, v, out } = emitHead(
    f,
    args,
    number,
    emitArgument(f, args, blockCountArg),
  );
  const [records, queryRows, outRows] = [options.records, options.queries, options.out].map((offset) =>
    emitScratch(f, scratch, offset)
  );
  const i32 = (): Local => f.local("i32");
  const from = i32(), count = i32(), first = i32(), seen = i32();
  const t = i32(), rows = i32(), record = i32(), here = i32();
  /** Writes `body` for each tile: its first row is `t`, it has `rows`, and its `record`. */
  const tiles = (body: () => void): void => {
    f.set(record, records);
    f.forRange(t, 0, count, tile, () => {
      emitRest(f, rows, count, t, tile);
      body();
      f.increment(record, recordBytes);
    });
  };
  const outOf = (): void => emitRow(f, outRows, t, 4 * padded);
  const blockRows = emitArgument(f, args, blockArg);
  emitSetSum(f, from, [block, blockRows]);
  emitRest(f, count, queries, from, blockRows);
  emitSetSum(f, q.at, q.at, [from, q.stride]);
  emitSetSum(f, out.at, out.at, [from, out.stride]);
  emitCall(f, copyQueries, q.at, q.stride, count, queryRows, () => {
    f.push(args.load(scaleArg, "f32.load"));
  });
  f.op("memory.fill", outRows, 0, 4 * padded * room);
  tiles(() => emitClearRecord(f, record));
  // How many keys the query before the first sees, and how many the last.
  emitSetSum(f, first, from, emitArgument(f, args, reachArg));
  emitSetSum(f, seen, first, count);
  emitMin(f, seen, seen, emitArgument(f, args, keysArg));
  return {
    k,
    v,
    count,
    seen,
    t,
    rows,
    record,
    queryRows,
    outRows,
    tiles,
    /** Leaves the address of the tile's output. */
    outOf,
    /** Gives how many of the keys from `start` on row 0 of the tile sees; its last row sees `rows` - 1 more. */
    visibleFrom(start: Local): Local {
      emitSetSum(f, here, first, t, 1);
      emitSetSum(f, here, here, [start, -1]);
      return here;
    },
    /** Stores the results. */
    end(): void {
      f.get(lse);
      f.if(() => emitSetSum(f, lse, lse, [from, 4]));
      tiles(() => {
        emitCall(f, finish, outOf, record, rows, out.at, out.stride, lse);
        emitSetSum(f, out.at, out.at, [out.stride, tile]);
        f.get(lse);
        f.if(() => f.increment(lse, 4 * tile));
      });
    },
  };
}
