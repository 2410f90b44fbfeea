/**
 * Convolution without unfolding: tiles as in matrix products (`gemm/tile.ts`), filters by neighbouring outputs, that find the
 * input's elements by a table of places.
 *
 * A work item is a block of filters by a piece of one row of the output, over all channels and positions of the kernel. Nothing in
 * an item depends on how items are spread over threads.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "../gemm/address.ts";
import { emitFinish, type OperandForm } from "../gemm/finish.ts";
import { emitMultiplyAdd } from "../gemm/tile.ts";
import { emitWord, type Word } from "./arguments.ts";
import { emitFill, emitInputRow, emitPlaces, type Step } from "./planes.ts";

/** What a kernel of convolution is emitted for. */
export interface ConvForm {
  /** How windows move along a row. */
  readonly step: Step;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/** A tile: filters, and vectors of neighbouring outputs. */
export interface Tile {
  readonly rows: number;
  readonly vectors: number;
}

const unroll = 4;

/**
 * The function `tile(w, wStride, x, places, k, c, cStride, add)`: rows × 4 · vectors sums over k, stored at c or added to what lies
 * there. Strides are in bytes.
 */
function emitConvTile(m: ModuleBuilder, context: KernelContext, { rows, vectors }: Tile): FunctionBuilder {
  const f = m.function(`tile${rows}`, { params: new Array(8).fill("i32"), export: false });
  const [w, wStride, x, places, k, c, cStride, add] = f.params;
  const sums = f.localArray("v128", rows * vectors), n = f.local("i32"), from = f.local("i32");
  const pointers = [w, ...f.localArray("i32", rows - 1)];
  for (let i = 1; i < rows; i++) emitSetSum(f, pointers[i], pointers[i - 1], wStride);
  // What there is less of stays in registers: outputs with many filters, weights with few.
  const isNarrow = vectors <= 2,
    kept = f.localArray("v128", isNarrow ? vectors : rows),
    other = f.local("v128");

  const weight = (i: number, u: number, to: Local): void =>
    f.set(to, pointers[i].load(4 * u, "v128.load32_splat"));
  const element = (v: number, to: Local): void => f.set(to, from.load(16 * v, "v128.load", 4));
  const step = (u: number): void => {
    f.set(from, x.plus(places.load(4 * u)));
    kept.forEach((to, i) => isNarrow ? element(i, to) : weight(i, u, to));
    for (let i = 0; i < (isNarrow ? rows : vectors); i++) {
      if (isNarrow) weight(i, u, other);
      else element(i, other);
      kept.forEach((own, j) => {
        const sum = isNarrow ? sums[i * vectors + j] : sums[j * vectors + i];
        emitMultiplyAdd(f, context, "f32", sum, () => f.get(other), () => f.get(own));
      });
    }
  };
  const loop = (steps: number): void => {
    f.get(n);
    f.if(() =>
      f.loop((again) => {
        for (let u = 0; u < steps; u++) step(u);
        for (const p of [...pointers, places]) f.increment(p, 4 * steps);
        f.brIf(again, n.minus(1).tee(n));
      })
    );
  };
  f.set(n, k.op("shr_u", Math.log2(unroll)));
  loop(unroll);
  f.set(n, k.and(unroll - 1));
  loop(1);

  const eachVector = (store: (sum: Local, offset: number) => void): void => {
    f.set(from, c);
    for (let i = 0; i < rows; i++) {
      for (let v = 0; v < vectors; v++) store(sums[i * vectors + v], 16 * v);
      if (i + 1 < rows) f.increment(from, cStride);
    }
  };
  f.get(add);
  f.if(
    () =>
      eachVector((sum, offset) => {
        f.push(from, from.load(offset, "v128.load", 4), sum);
        f.op("f32x4.add");
        f.store("v128.store", offset, 4);
      }),
    () =>
      eachVector((sum, offset) => {
        f.push(from, sum);
        f.store("v128.store", offset, 4);
      }),
  );
  return f;
}

/** Emits the kernel of {@link ConvForm} with tiles of at most `tile`. Its arguments are in `arguments.ts`. */
export function emitDense(m: ModuleBuilder, context: KernelContext, form: ConvForm, tile: Tile): void {
  const scratch = importThreadScratch(m);
  const tiles = Array.from(
    { length: tile.rows },
    (_, i) => emitConvTile(m, context, { rows: i + 1, vectors: tile.vectors }),
  );
  const finish = emitFinish(m, context, "f32", form), fill = emitFill(m, form.step);
  const places = emitPlaces(m, scratch);
  const order = m.function("order", { params: ["i32", "i32"], export: false });
  emitOrder(order, fill);
  const convolve = m.function("convolve", { params: ["i32", "i32"], export: false });
  emitConvolve(convolve, scratch, tiles, tile, finish);

  emitTasks(m, places, order, convolve);
}

/** The function "run", which brings planes in order or convolves. */
export function emitTasks(
  m: ModuleBuilder,
  places: FunctionBuilder,
  order: FunctionBuilder,
  convolve: FunctionBuilder,
): void {
  const run = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = run.params, item = run.local("i32");
  const each = (what: FunctionBuilder): void =>
    run.forRange(item, begin, end, 1, () => {
      run.push(args, item);
      run.call(what);
    });
  run.get(emitWord(run, args, "task"));
  run.if(() => {
    run.get(args);
    run.call(places);
    each(convolve);
  }, () => each(order));
}

/** The function `order(args, item)`: an item is a row of a plane. */
export function emitOrder(f: FunctionBuilder, fill: FunctionBuilder): void {
  const [args, item] = f.params, row = f.local("i32"), plane = f.local("i32"), own = f.local("i32");
  f.set(plane, item);
  emitDivide(f, plane, row, emitWord(f, args, "paddedRows"));
  emitSetSum(f, own, row, [emitWord(f, args, "beforeRows"), -1]);
  f.get(args);
  emitInputRow(f, args, plane, own);
  emitSetSum(
    f,
    own,
    emitWord(f, args, "planes"),
    [plane, emitWord(f, args, "planeBytes")],
    [row, emitWord(f, args, "rowBytes")],
  );
  f.push(own, emitWord(f, args, "beforeColumns"));
  f.call(fill);
}

/** The function `convolve(args, item)`. */
function emitConvolve(
  f: FunctionBuilder,
  scratch: Global,
  tiles: readonly FunctionBuilder[],
  tile: Tile,
  finish: FunctionBuilder,
): void {
  const [args, item] = f.params, local = (): Local => f.local("i32");
  const word = (name: Word): Local => emitWord(f, args, name);
  const row = local(), columnBlock = local(), filterBlock = local(), group = local(), batch = local();
  f.set(batch, item);
  emitDivide(f, batch, row, word("outRows"));
  emitDivide(f, batch, columnBlock, word("columnBlocks"));
  emitDivide(f, batch, filterBlock, word("filterBlocks"));
  const groups = word("groups");
  emitDivide(f, batch, group, groups);

  // What it is of filters and columns.
  const filters = word("filters"), blockFilters = word("blockFilters"), blockColumns = word("blockColumns");
  const filter = local(), count = local(), column = local(), columns = local(), depth = word("depth");
  emitSetSum(f, filter, [filterBlock, blockFilters]);
  emitSetSum(f, count, filters, [filter, -1]);
  emitAtMost(f, count, blockFilters);
  emitSetSum(f, filter, filter, [group, filters]);
  emitSetSum(f, column, [columnBlock, blockColumns]);
  emitSetSum(f, columns, word("outColumns"), [column, -1]);
  emitAtMost(f, columns, blockColumns);

  const x = local(), weights = local(), weightBytes = local(), sums = local(), sumStride = word("sumStride");
  const table = local();
  f.globalGet(scratch);
  f.set(table);
  emitSetSum(f, sums, table, word("sums"));
  emitSetSum(f, x, [batch, groups], group);
  emitSetSum(f, x, [x, word("channels")]);
  emitSetSum(f, x, word("planes"), [x, word("planeBytes")], [column, 4]);
  const moved = local();
  emitSetSum(f, moved, [row, word("rowStride")]);
  emitSetSum(f, x, x, [moved, word("rowBytes")]);
  emitSetSum(f, weightBytes, [depth, 4]);
  emitSetSum(f, weights, word("weights"), [filter, weightBytes]);

  const at = local(), own = local(), left = local(), k = local(), steps = local(), w = local(), sum = local();
  const blockDepth = word("blockDepth"), places = local();
  f.forRange(at, 0, columns, 4 * tile.vectors, () => {
    emitSetSum(f, sum, sums, [at, 4]);
    f.set(w, weights);
    f.forRange(own, 0, count, tile.rows, () => {
      emitSetSum(f, left, count, [own, -1]);
      f.forRange(k, 0, depth, blockDepth, () => {
        emitSetSum(f, steps, depth, [k, -1]);
        emitAtMost(f, steps, blockDepth);
        emitSetSum(f, places, table, [k, 4]);
        const call = (rows: number): void => {
          emitSetSum(f, moved, w, [k, 4]);
          f.push(moved, weightBytes, x, places, steps, sum, sumStride, k);
          f.call(tiles[rows - 1]);
        };
        f.push(left.op("ge_s", tile.rows));
        f.if(() => call(tile.rows), () =>
          f.block((done) => {
            for (let rows = 1; rows < tile.rows; rows++) {
              f.push(left.op("eq", rows));
              f.if(() => {
                call(rows);
                f.br(done);
              });
            }
          }));
      });
      emitSetSum(f, w, w, [weightBytes, tile.rows]);
      emitSetSum(f, sum, sum, [sumStride, tile.rows]);
    });
    f.increment(x, 16 * tile.vectors);
  });
  f.push(sums, sumStride, filter, column, count, columns, args, row, batch);
  f.call(finish);
}
