/**
 * Blocked multiplication of matrices (after Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008): panels of b, 8 columns wide, stay in the first-level cache while the tiles of a block of rows
 * run over them; a block of a stays in the second.
 *
 * A work item is a block of rows times a block of columns of one matrix, over all of k. Nothing in an item depends on
 * how items are spread over threads, and the blocks of k depend on k alone.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitSetSum } from "./address.ts";
import * as arg from "./arguments.ts";
import { emitFinish, type OperandForm } from "./finish.ts";
import { type Arithmetic, elementBytes, type Source } from "./load.ts";
import { emitPack, emitPackPanels, passPanels, type StripLayout } from "./pack.ts";
import { emitTile, panelColumns, type RowAccess, tileRows } from "./tile.ts";

/** What a kernel of matrix multiplication is emitted for. */
export interface GemmOptions {
  /** What is multiplied. */
  readonly arithmetic: Arithmetic;
  /** Element type of a, and how a tile finds it. */
  readonly a: Source;
  readonly access: RowAccess;
  /** How a lies in memory, seen in strips of rows, when it is packed. */
  readonly aLayout: StripLayout;
  /** Element type and layout of b. */
  readonly b: Source;
  readonly bLayout: StripLayout;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/** How a tile finds a where it lies as `source` in `layout`. */
export function rowAccess(
  fusedMadd: boolean,
  arithmetic: Arithmetic,
  source: Source,
  layout: StripLayout,
): RowAccess {
  if (!fusedMadd && arithmetic === "f32") return "splat";
  return layout === "k" && elementBytes(source) === 4 ? "rows" : "packed";
}

/** Emits the kernel. Its arguments are in `arguments.ts`. */
export function emitGemm(m: ModuleBuilder, context: KernelContext, options: GemmOptions): void {
  const { arithmetic, access, out, program } = options;
  const scratch = importThreadScratch(m);
  const fullRows = tileRows(context, arithmetic);
  const tiles: FunctionBuilder[] = [];
  for (let rows = 1; rows <= fullRows; rows++) tiles[rows] = emitTile(m, context, arithmetic, access, rows);
  const packRows = access === "rows" ? null : emitPack(m, context, {
    name: "packRows",
    source: options.a,
    layout: options.aLayout,
    width: fullRows,
    splat: access === "splat",
    pad: false,
  });
  const packPanels = emitPackPanels(m, context, options.b, options.bLayout);
  const direct = program === null && out.layout === "unit" && out.dtype === arithmetic;
  const finish = emitFinish(m, context, arithmetic, options);

  const multiply = m.function("multiply", { params: ["i32", "i32"], export: false });
  emitMultiply(multiply);
  const pack = m.function("pack", { params: ["i32", "i32"], export: false });
  emitPackItem(pack, packPanels);

  const run = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = run.params;
  const item = run.local("i32");
  const task = arg.emitArgument(run, args, arg.taskArg);
  // Which block of rows the thread's scratch holds is known within one call only.
  run.forRange(item, begin, end, 1, () => {
    run.get(task);
    run.if(() => {
      run.get(args);
      run.get(item);
      run.call(pack);
    }, () => {
      run.get(args);
      run.get(item);
      run.call(multiply);
    });
  });

  function emitMultiply(f: FunctionBuilder): void {
    const [args, item] = f.params;
    const local = (): Local => f.local("i32");
    const value = (at: number): Local => arg.emitArgument(f, args, at);
    const rows = value(arg.rowsArg), columns = value(arg.columnsArg), depth = value(arg.depthArg);
    const inner = local(), outer = local(), rest = local(), rowBlock = local(), columnBlock = local();
    const divide = (quotient: Local, remainder: Local, by: number): void => {
      const divisor = value(by);
      f.get(quotient);
      f.get(divisor);
      f.op("i32.rem_u");
      f.set(remainder);
      f.get(quotient);
      f.get(divisor);
      f.op("i32.div_u");
      f.set(quotient);
    };
    f.get(item);
    f.set(rest);
    divide(rest, columnBlock, arg.columnBlocksArg);
    divide(rest, rowBlock, arg.rowBlocksArg);
    divide(rest, inner, arg.innerArg);
    f.get(rest);
    f.set(outer);

    const start = (at: number): Local => {
      const to = local();
      arg.emitMatrixStart(f, args, at, inner, outer, to);
      return to;
    };
    const aStart = start(arg.aArg), bStart = start(arg.bArg), outStart = start(arg.outArg);
    const aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
    const bRow = value(arg.bArg + 4), bColumn = value(arg.bArg + 8);
    const outRow = value(arg.outArg + 4);
    const packed = value(arg.packedArg);
    const packedInner = value(arg.packedInnerArg), packedOuter = value(arg.packedOuterArg);
    emitSetSum(f, packed, packed, [inner, packedInner], [outer, packedOuter]);
    const mode = value(arg.panelsArg), blockDepth = value(arg.blockDepthArg);

    /** Sets `to` to the smaller of `to` and `limit`. */
    const atMost = (to: Local, limit: Local): void => {
      f.get(to);
      f.get(limit);
      f.get(to);
      f.get(limit);
      f.op("i32.lt_s");
      f.select();
      f.set(to);
    };
    const row0 = local(), row1 = local(), panel0 = local(), panel1 = local();
    const blockTiles = value(arg.blockTilesArg), blockPanels = value(arg.blockPanelsArg);
    emitSetSum(f, row0, [blockTiles, fullRows]);
    emitSetSum(f, row1, [row0, rowBlock], row0);
    emitSetSum(f, row0, [row0, rowBlock]);
    atMost(row1, rows);
    const panels = local(), whole = local();
    emitSetSum(f, panels, columns, panelColumns - 1);
    f.get(panels);
    f.i32(3);
    f.op("i32.shr_u");
    f.set(panels);
    f.get(columns);
    f.i32(3);
    f.op("i32.shr_u");
    f.set(whole);
    emitSetSum(f, panel0, [columnBlock, blockPanels]);
    emitSetSum(f, panel1, panel0, blockPanels);
    atMost(panel1, panels);

    const ownRows = local(), sums = local(), ownPanels = local(), offset = value(arg.sumsArg);
    f.globalGet(scratch);
    f.set(ownRows);
    emitSetSum(f, sums, ownRows, offset);
    const panelOffset = value(arg.ownPanelsArg);
    emitSetSum(f, ownPanels, ownRows, panelOffset);

    const panel = local(), row = local(), k = local(), steps = local(), count = local();
    const a = local(), b = local(), bStep = local(), c = local(), cStride = local(), sum = local();
    const tileStep = local(), sumStep = local(), inPlace = local(), isDirect = local(), last = local();

    /** Packs panels `from` to `to` of this matrix into the item's own, which begin with panel `first`. */
    const packOwn = (from: Local, to: Local, first: Local): void => {
      emitSetSum(f, b, [from, panelColumns]);
      emitSetSum(f, b, bStart, [b, bColumn]);
      f.get(b);
      f.get(from);
      f.get(first);
      f.op("i32.sub");
      f.get(depth);
      f.op("i32.mul");
      f.i32(4 * panelColumns);
      f.op("i32.mul");
      f.get(ownPanels);
      f.op("i32.add");
      f.get(depth);
      f.get(bColumn);
      f.get(bRow);
      emitSetSum(f, count, [to, panelColumns]);
      atMost(count, columns);
      f.get(count);
      f.get(from);
      f.i32(panelColumns);
      f.op("i32.mul");
      f.op("i32.sub");
      f.call(packPanels);
    };
    f.get(mode);
    f.i32(2);
    f.op("i32.eq");
    f.if(() => packOwn(panel0, panel1, panel0));
    f.get(mode);
    f.i32(1);
    f.op("i32.eq");
    f.tee(inPlace);
    f.get(panel1);
    f.get(whole);
    f.op("i32.gt_s");
    f.op("i32.and");
    f.if(() => packOwn(whole, panel1, whole));

    f.get(depth);
    f.get(blockDepth);
    f.op("i32.gt_s");
    f.i32(32 * fullRows);
    f.op("i32.mul");
    f.set(sumStep);

    f.forRange(k, 0, depth, blockDepth, () => {
      emitSetSum(f, steps, k, blockDepth);
      f.get(steps);
      f.get(depth);
      f.op("i32.ge_s");
      f.set(last);
      atMost(steps, depth);
      f.get(steps);
      f.get(k);
      f.op("i32.sub");
      f.set(steps);

      if (packRows) {
        const unit = access === "splat" ? 16 : 4;
        emitSetSum(f, tileStep, [steps, unit * fullRows]);
        f.get(ownRows);
        f.set(c);
        f.forRange(row, row0, row1, fullRows, () => {
          emitSetSum(f, a, aStart, [row, aRow], [k, aColumn]);
          rowCount();
          for (const x of [a, c, steps, aRow, aColumn, count]) f.get(x);
          f.call(packRows);
          f.increment(c, tileStep);
        });
      } else emitSetSum(f, tileStep, [aRow, fullRows]);

      f.get(sums);
      f.set(sum);
      f.forRange(panel, panel0, panel1, 1, () => {
        choosePanel();
        if (direct) {
          f.get(panel);
          f.get(whole);
          f.op("i32.lt_s");
          f.set(isDirect);
        }
        if (packRows) {
          f.get(ownRows);
          f.set(a);
        } else emitSetSum(f, a, aStart, [row0, aRow], [k, 4]);
        f.forRange(row, row0, row1, fullRows, () => {
          rowCount();
          f.get(sum);
          f.set(c);
          f.i32(32);
          f.set(cStride);
          if (direct) {
            f.get(isDirect);
            f.if(() => {
              emitSetSum(f, c, outStart, [row, outRow], [panel, 4 * panelColumns]);
              f.get(outRow);
              f.set(cStride);
            });
          }
          callTile();
          f.get(last);
          if (direct) {
            f.get(isDirect);
            f.op("i32.eqz");
            f.op("i32.and");
          }
          f.if(callFinish);
          f.increment(a, tileStep);
          f.increment(sum, sumStep);
        });
      });
    });

    /** Sets `count` to the rows of the tile that begins with `row`. */
    function rowCount(): void {
      f.i32(fullRows);
      f.get(row1);
      f.get(row);
      f.op("i32.sub");
      f.get(row1);
      f.get(row);
      f.op("i32.sub");
      f.i32(fullRows);
      f.op("i32.gt_s");
      f.select();
      f.set(count);
    }

    /** Sets `b` and `bStep` to where the panel lies. */
    function choosePanel(): void {
      const own = (first: Local): void => {
        f.get(panel);
        f.get(first);
        f.op("i32.sub");
        f.get(depth);
        f.op("i32.mul");
        f.get(k);
        f.op("i32.add");
        f.i32(32);
        f.op("i32.mul");
        f.get(ownPanels);
        f.op("i32.add");
        f.set(b);
      };
      f.i32(32);
      f.set(bStep);
      f.get(inPlace);
      f.if(() => {
        f.get(panel);
        f.get(whole);
        f.op("i32.lt_s");
        f.if(() => {
          emitSetSum(f, b, bStart, [k, bRow], [panel, 4 * panelColumns]);
          f.get(bRow);
          f.set(bStep);
        }, () => own(whole));
      }, () => {
        f.get(mode);
        f.if(() => own(panel0), () => {
          emitSetSum(f, b, [panel, depth], k);
          emitSetSum(f, b, packed, [b, 32]);
        });
      });
    }

    function callTile(): void {
      const call = (r: number): void => {
        for (const x of [a, aRow, b, bStep, steps, c, cStride, k]) f.get(x);
        f.call(tiles[r]);
      };
      f.get(count);
      f.i32(fullRows);
      f.op("i32.eq");
      f.if(() => call(fullRows), () =>
        f.block((done) => {
          for (let r = 1; r < fullRows; r++) {
            f.get(count);
            f.i32(r);
            f.op("i32.eq");
            f.if(() => {
              call(r);
              f.br(done);
            });
          }
        }));
    }

    function callFinish(): void {
      f.get(sum);
      f.i32(32);
      f.get(row);
      f.get(panel);
      f.i32(panelColumns);
      f.op("i32.mul");
      f.get(count);
      f.i32(panelColumns);
      f.get(columns);
      f.get(panel);
      f.i32(panelColumns);
      f.op("i32.mul");
      f.op("i32.sub");
      f.get(panel);
      f.get(whole);
      f.op("i32.lt_s");
      f.select();
      f.get(args);
      f.get(inner);
      f.get(outer);
      f.call(finish);
    }
  }
}

/** The function `pack(args, item)`: an item is a few panels of one matrix b. */
function emitPackItem(f: FunctionBuilder, packPanels: FunctionBuilder): void {
  const [args, item] = f.params;
  const columnsPerItem = passPanels * panelColumns;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);
  const groups = value(arg.columnBlocksArg), innerSize = value(arg.innerArg);
  const group = local(), inner = local(), outer = local(), from = local(), column = local();
  f.get(item);
  f.get(groups);
  f.op("i32.rem_u");
  f.set(group);
  f.get(item);
  f.get(groups);
  f.op("i32.div_u");
  f.set(outer);
  f.get(outer);
  f.get(innerSize);
  f.op("i32.rem_u");
  f.set(inner);
  f.get(outer);
  f.get(innerSize);
  f.op("i32.div_u");
  f.set(outer);
  arg.emitMatrixStart(f, args, arg.bArg, inner, outer, from);
  const kStride = value(arg.bArg + 4), columnStride = value(arg.bArg + 8);
  const depth = value(arg.depthArg), columns = value(arg.columnsArg);
  const to = value(arg.packedArg);
  const packedInner = value(arg.packedInnerArg), packedOuter = value(arg.packedOuterArg);
  emitSetSum(f, column, [group, columnsPerItem]);
  emitSetSum(f, from, from, [column, columnStride]);
  emitSetSum(f, to, to, [inner, packedInner], [outer, packedOuter]);
  // A panel of 8 columns takes 32 bytes for each k, so a column counts for 4.
  emitSetSum(f, inner, [column, depth]);
  emitSetSum(f, to, to, [inner, 4]);
  f.get(from);
  f.get(to);
  f.get(depth);
  f.get(columnStride);
  f.get(kStride);
  f.i32(columnsPerItem);
  f.get(columns);
  f.get(column);
  f.op("i32.sub");
  f.get(columns);
  f.get(column);
  f.op("i32.sub");
  f.i32(columnsPerItem);
  f.op("i32.gt_s");
  f.select();
  f.call(packPanels);
}
