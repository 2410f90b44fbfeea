/**
 * How a product is cut: blocks for the caches, items for the threads.
 *
 * Everything follows from sizes and strides, so a result has the same bits on any number of threads; the length of a
 * block of k, on which bits do depend, follows from k alone.
 *
 * @module
 */
import { threadScratchBytes } from "../../engine.ts";
import type { Product } from "./plan.ts";
import { panelColumns } from "./tile.ts";

/** Where tiles find b: in panels packed before, in place, or in panels that each item packs for itself. */
export const panelModes = { packed: 0, inPlace: 1, own: 2 } as const;

const mostDepth = 768; // a panel of this depth takes 24 kB
const mostTiles = 16;
const mostPanels = 64;
const wantedItems = 16;
const mostStripBytes = 16 << 20;
// What all rows of a may take where every item runs over all of them.
const mostRowBytes = 384 << 10, mostWideBytes = 4 << 20;
/** Multiplications and additions that are worth an item: some microseconds. */
export const itemWork = 400_000;

// Thread scratch: packed rows of a, then sums, then panels.
const rowBytes = 640 << 10, sumBytes = 384 << 10;
const panelBytes = threadScratchBytes - rowBytes - sumBytes;
/** Where the sums begin in thread scratch. */
export const sumsAt = rowBytes;
/** Where an item's own panels begin in thread scratch. */
export const panelsAt: number = rowBytes + sumBytes;

/** How much of sums over `depth` products is added up at once; such parts are added to each other. */
export function blockDepth(depth: number): number {
  return depth <= mostDepth ? depth : 4 * Math.ceil(depth / Math.ceil(depth / mostDepth) / 4);
}

/** A way to cut one product. */
export class Blocks {
  /** Length of a block of k. */
  depth = 0;
  /** Rows of a tile. */
  tileRows = 0;
  /** Tiles in a block of rows, and how many such blocks there are. */
  tiles = 0;
  rowBlocks = 0;
  /** Panels in a block of columns, and how many such blocks there are. */
  panels = 0;
  columnBlocks = 0;
  /** One of {@link panelModes}. */
  mode = 0;
  /** Whether items pack the rows of a that they need for themselves. */
  ownStrips = false;
  /** Work items in all. */
  items = 0;
  /** Operations of one item. */
  work = 0;

  /**
   * Cuts `product` for tiles of at most `mostRows` rows. `unit` is the number of bytes that a packed element of a
   * takes, 0 where a is read in place; `inPlace` says whether b may be read in place, `shared` whether several matrices
   * share b.
   */
  cut(product: Product, mostRows: number, unit: number, inPlace: boolean, shared: boolean): void {
    const { rows, columns, depth } = product;
    const matrices = product.matrices;
    this.tileRows = Math.ceil(rows / Math.ceil(rows / mostRows));
    const tiles = Math.ceil(rows / this.tileRows), panels = Math.ceil(columns / panelColumns);
    this.depth = blockDepth(depth);
    const work = 2 * rows * columns * depth * matrices;
    const wanted = Math.max(1, Math.min(wantedItems, Math.floor(work / itemWork)));

    // Rows that must be packed are packed once for all items, unless that takes too much memory.
    this.ownStrips = unit > 0 && rows * depth * matrices * unit > mostStripBytes;
    const fits = unit === 0 ? tiles : Math.max(1, Math.floor(rowBytes / (this.tileRows * this.depth * unit)));

    // A few rows, or many more columns: each item packs the panels it needs, and they are warm when it uses them.
    const most = columns >= 2 * rows ? mostWideBytes : mostRowBytes;
    const whole = rows * depth * Math.max(4, unit) <= most && !this.ownStrips;
    const ownPanels = Math.floor(panelBytes / (4 * panelColumns * depth));
    if (whole && inPlace && tiles <= 4 && ownPanels > 0) this.mode = panelModes.inPlace;
    else if (whole && !shared && ownPanels > 0) this.mode = panelModes.own;
    else this.mode = panelModes.packed;

    let blockTiles = this.mode === panelModes.packed ? Math.min(tiles, fits, mostTiles) : tiles;
    let blockPanels = Math.min(panels, mostPanels);
    if (this.mode === panelModes.own) blockPanels = Math.min(blockPanels, ownPanels);
    const count = (): number => matrices * Math.ceil(tiles / blockTiles) * Math.ceil(panels / blockPanels);
    while (count() < wanted) {
      if (blockPanels > 8) blockPanels = Math.ceil(blockPanels / 2);
      else if (blockTiles > 4 && this.mode === panelModes.packed) blockTiles = Math.ceil(blockTiles / 2);
      else if (blockPanels > 1) blockPanels = Math.ceil(blockPanels / 2);
      else break;
    }
    if (this.depth < depth) {
      // Sums wait in scratch for the next block of k.
      const fitting = Math.floor(sumBytes / (4 * panelColumns * this.tileRows));
      if (blockTiles > fitting) {
        blockTiles = fitting;
        this.mode = panelModes.packed;
      }
      blockPanels = Math.max(1, Math.min(blockPanels, Math.floor(fitting / blockTiles)));
    }
    // Even blocks: the last one should not be a small rest.
    this.tiles = Math.ceil(tiles / Math.ceil(tiles / blockTiles));
    this.rowBlocks = Math.ceil(tiles / this.tiles);
    this.panels = Math.ceil(panels / Math.ceil(panels / blockPanels));
    this.columnBlocks = Math.ceil(panels / this.panels);
    this.items = matrices * this.rowBlocks * this.columnBlocks;
    this.work = work / this.items;
  }
}
