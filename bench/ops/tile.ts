/**
 * What the innermost loop of a product reaches when nothing is in its way: one tile, its operands in the first-level cache,
 * again and again. Between it and multiply-adds in registers lie loads, and what the engine makes of them; no product can be
 * faster.
 *
 * @module
 */
import { type Emit, importThreadScratch } from "../../src/backends/cpu/engine.ts";
import { rowAccess } from "../../src/backends/cpu/kernels/gemm/gemm.ts";
import { emitTile, panelColumns, tileRows } from "../../src/backends/cpu/kernels/gemm/tile.ts";
import type { Bench, Group, Row } from "../harness.ts";

/** Terms of a sum: rows and columns of a tile take 14 KiB. */
const depth = 256;
const turns = 200;

/** Items of so many tiles whose operands lie in thread scratch. */
const emit: Emit = (m, context) => {
  const scratch = importThreadScratch(m), rows = tileRows(context, "f32");
  const access = rowAccess(context.fusedMadd, "f32", "f32", "k");
  const tile = emitTile(m, context, "f32", access, rows);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [, begin, end] = f.params, item = f.local("i32"), i = f.local("i32");
  const rowBytes = 4 * depth * (access === "splat" ? 4 : 1), panelAt = rowBytes * rows;
  const at = (offset: number): void => {
    f.globalGet(scratch);
    f.i32(offset);
    f.op("i32.add");
  };
  f.forRange(item, begin, end, 1, () =>
    f.forRange(i, 0, turns, 1, () => {
      at(0);
      f.i32(rowBytes);
      at(panelAt);
      f.i32(4 * panelColumns);
      f.i32(depth);
      at(panelAt + 4 * panelColumns * depth);
      f.i32(4 * panelColumns);
      f.i32(0);
      f.call(tile);
    }));
};

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { engine } = bench, kernel = engine.kernel("bench tile", emit), items = 32 * engine.threads;
  const height = tileRows(engine.context, "f32");
  yield {
    name: `a tile of ${height} × ${panelColumns}, operands in the first-level cache`,
    unit: "GFLOP/s",
    amount: items * turns * 2 * height * panelColumns * depth / 1e9,
    subjects: [{ name: "WebAssembly", run: () => engine.run(kernel, items, 1), limit: bench.peak() }],
  };
}

/** The tile of products. */
export const group: Group = { name: "what a product can reach", rows };
