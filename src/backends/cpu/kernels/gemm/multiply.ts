/**
 * One work item of a blocked product: a block of rows times a block of columns of one matrix, over all of k.
 *
 * A block of k after the other: panel by panel, tile by tile. Sums go straight to the output where nothing else is to
 * be done with them; otherwise they wait in thread scratch, 8 columns to a row, until the last block of k, and are
 * finished from there, while they are still in the first-level cache.
 *
 * @module
 */
import type { FunctionBuilder, Global, Local } from "../../assembler/mod.ts";
import { emitAtMost, emitDivide, emitSetSum } from "./address.ts";
import * as arg from "./arguments.ts";
import { panelColumns, type RowAccess } from "./tile.ts";

/** The functions that an item calls, and what it has to know. */
export interface MultiplyParts {
  /** Address of the thread's scratch memory. */
  readonly scratch: Global;
  /** Tiles by their number of rows. */
  readonly tiles: readonly FunctionBuilder[];
  /** How tiles find a. */
  readonly access: RowAccess;
  /** Packs rows of a; null where they are read in place. */
  readonly packRows: FunctionBuilder | null;
  /** Packs panels of b. */
  readonly packPanels: FunctionBuilder;
  /** The epilogue. */
  readonly finish: FunctionBuilder;
  /** Whether full panels of sums are results as they are, and go to the output at once. */
  readonly direct: boolean;
}

/** Bytes of a row of sums, or of one k in a packed panel. */
const rowBytes = 4 * panelColumns;

/** Emits the function `multiply(args, item)`. */
export function emitMultiply(f: FunctionBuilder, parts: MultiplyParts): void {
  const { scratch, tiles, access, packRows, packPanels, finish, direct } = parts;
  const fullRows = tiles.length - 1;
  const unit = access === "splat" ? 16 : 4; // bytes of a packed element of a
  const [args, item] = f.params;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);

  const rows = value(arg.rowsArg), columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const inner = local(), outer = local(), rowBlock = local(), columnBlock = local();
  f.set(outer, item);
  emitDivide(f, outer, columnBlock, value(arg.columnBlocksArg));
  emitDivide(f, outer, rowBlock, value(arg.rowBlocksArg));
  emitDivide(f, outer, inner, value(arg.innerArg));

  const start = (at: number): Local => {
    const to = local();
    arg.emitMatrixStart(f, args, at, inner, outer, to);
    return to;
  };
  const aStart = start(arg.aArg), bStart = start(arg.bArg), outStart = start(arg.outArg);
  const packedRows = start(arg.packedRowsArg), packedPanels = start(arg.packedPanelsArg);
  const aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
  const bRow = value(arg.bArg + 4), bColumn = value(arg.bArg + 8);
  const outRow = value(arg.outArg + 4);
  const mode = value(arg.panelsArg), ownStrips = value(arg.stripsArg);
  const blockDepth = value(arg.blockDepthArg), tileRows = value(arg.tileRowsArg);

  // The item's rows and panels; `whole` panels have 8 columns.
  const row0 = local(), row1 = local(), panel0 = local(), panel1 = local(), panels = local(), whole = local();
  emitSetSum(f, row0, [tileRows, value(arg.blockTilesArg)]);
  emitSetSum(f, row1, [row0, rowBlock], row0);
  emitSetSum(f, row0, [row0, rowBlock]);
  emitAtMost(f, row1, rows);
  for (const [to, more] of [[panels, panelColumns - 1], [whole, 0]] as const) {
    emitSetSum(f, to, columns, more);
    f.set(to, to.op("shr_u", Math.log2(panelColumns)));
  }
  const blockPanels = value(arg.blockPanelsArg);
  emitSetSum(f, panel0, [columnBlock, blockPanels]);
  emitSetSum(f, panel1, panel0, blockPanels);
  emitAtMost(f, panel1, panels);

  const strips = local(), sums = local(), ownPanels = local();
  f.globalGet(scratch);
  f.set(strips);
  emitSetSum(f, sums, strips, value(arg.sumsArg));
  emitSetSum(f, ownPanels, strips, value(arg.ownPanelsArg));

  const panel = local(), row = local(), k = local(), steps = local(), count = local();
  const a = local(), b = local(), bStep = local(), c = local(), cStride = local(), sum = local();
  const strip = local(),
    tileStep = local(),
    sumStep = local(),
    inPlace = local(),
    isDirect = local(),
    last = local();

  f.push(mode.op("eq", 2));
  f.if(() => packOwnPanels(panel0));
  // In place, but the last panel is not full: a copy, padded with zeros.
  f.push(mode.op("eq", 1).tee(inPlace).and(panel1.op("gt_s", whole)));
  f.if(() => packOwnPanels(whole));

  // With one block of k a tile's sums are done with at once: all tiles use the same place.
  f.set(sumStep, depth.op("gt_s", blockDepth));
  emitSetSum(f, sumStep, [sumStep, tileRows]);
  emitSetSum(f, sumStep, [sumStep, rowBytes]);

  f.forRange(k, 0, depth, blockDepth, () => {
    emitSetSum(f, steps, k, blockDepth);
    f.set(last, steps.op("ge_s", depth));
    emitAtMost(f, steps, depth);
    emitSetSum(f, steps, steps, [k, -1]);

    if (packRows) {
      // Bytes from tile to tile: over all of k where they were packed before, else over this block.
      f.set(tileStep, ownStrips.select(steps, depth));
      emitSetSum(f, tileStep, [tileStep, tileRows]);
      emitSetSum(f, tileStep, [tileStep, unit]);
      f.get(ownStrips);
      f.if(() => packOwnRows(packRows));
    } else emitSetSum(f, tileStep, [aRow, tileRows]);

    f.set(sum, sums);
    f.forRange(panel, panel0, panel1, 1, () => {
      choosePanel();
      if (direct) {
        f.set(isDirect, panel.op("lt_s", whole));
      }
      firstTile();
      f.forRange(row, row0, row1, tileRows, () => {
        rowCount();
        f.set(c, sum);
        f.set(cStride, rowBytes);
        if (direct) {
          f.get(isDirect);
          f.if(() => {
            emitSetSum(f, c, outStart, [row, outRow], [panel, rowBytes]);
            f.set(cStride, outRow);
          });
        }
        callTile();
        f.get(last);
        if (direct) {
          f.op("i32.and", isDirect.op("eqz"));
        }
        f.if(callFinish);
        f.increment(a, tileStep);
        f.increment(sum, sumStep);
      });
    });
  });

  /** Sets `count` to the rows of the tile that begins with `row`. */
  function rowCount(): void {
    emitSetSum(f, count, row1, [row, -1]);
    emitAtMost(f, count, tileRows);
  }

  /** Packs the panels from `first` to the item's last into its own place. */
  function packOwnPanels(first: Local): void {
    emitSetSum(f, b, [first, panelColumns]);
    emitSetSum(f, b, bStart, [b, bColumn]);
    emitSetSum(f, count, [panel1, panelColumns]);
    emitAtMost(f, count, columns);
    emitSetSum(f, count, count, [first, -panelColumns]);
    for (const x of [b, ownPanels, depth, bColumn, bRow, count]) f.get(x);
    f.call(packPanels);
  }

  function packOwnRows(pack: FunctionBuilder): void {
    f.set(c, strips);
    f.forRange(row, row0, row1, tileRows, () => {
      emitSetSum(f, a, aStart, [row, aRow], [k, aColumn]);
      rowCount();
      for (const x of [a, c, steps, aRow, aColumn, count]) f.get(x);
      f.call(pack);
      f.increment(c, tileStep);
    });
  }

  /** Sets `a` to the first tile of the item's rows at this k. */
  function firstTile(): void {
    if (!packRows) return emitSetSum(f, a, aStart, [row0, aRow], [k, 4]);
    f.get(ownStrips);
    f.if(() => {
      f.set(a, strips);
    }, () => {
      emitSetSum(f, a, [row0, depth]);
      emitSetSum(f, a, packedRows, [a, unit]);
    });
  }

  /** Sets `b` and `bStep` to where the panel lies at this k. */
  function choosePanel(): void {
    const packed = (base: Local, first: Local | null): void => {
      emitSetSum(f, b, panel, ...(first ? [[first, -1] as const] : []));
      emitSetSum(f, b, [b, depth], k);
      emitSetSum(f, b, base, [b, rowBytes]);
    };
    f.set(bStep, rowBytes);
    f.get(inPlace);
    f.if(() => {
      f.push(panel.op("lt_s", whole));
      f.if(() => {
        emitSetSum(f, b, bStart, [k, bRow], [panel, rowBytes]);
        f.set(bStep, bRow);
      }, () => packed(ownPanels, whole));
    }, () => {
      f.get(mode);
      f.if(() => packed(ownPanels, panel0), () => packed(packedPanels, null));
    });
  }

  function callTile(): void {
    // In a strip packed over all of k, this block begins behind those before it: k steps, as wide as the tile.
    const from = packRows ? strip : a;
    if (packRows) {
      emitSetSum(f, strip, [k, count]);
      f.get(a);
      emitSetSum(f, strip, a, [strip, unit]);
      f.push(strip, ownStrips);
      f.select();
      f.set(strip);
    }
    const call = (r: number): void => {
      for (const x of [from, aRow, b, bStep, steps, c, cStride, k]) f.get(x);
      f.call(tiles[r]);
    };
    f.push(count.op("eq", fullRows));
    f.if(() => call(fullRows), () =>
      f.block((done) => {
        for (let r = 1; r < fullRows; r++) {
          f.push(count.op("eq", r));
          f.if(() => {
            call(r);
            f.br(done);
          });
        }
      }));
  }

  function callFinish(): void {
    f.push(sum, rowBytes, row);
    emitSetSum(f, c, [panel, panelColumns]);
    f.push(c, count, panelColumns);
    emitSetSum(f, c, columns, [c, -1]);
    f.push(c, c.op("gt_s", panelColumns));
    f.select();
    for (const x of [args, inner, outer]) f.get(x);
    f.call(finish);
  }
}
