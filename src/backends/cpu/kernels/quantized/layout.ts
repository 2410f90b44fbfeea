/**
 * Interleaving rows of blocks into panels, and putting them back.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitSetSum } from "../gemm/address.ts";
import { blockBytes, nibblesAt, panelRows, quads, type Quantized } from "./format.ts";

/**
 * The function `interleave(from, to, blocks, rowBytes, rows)`: rows `rowBytes` apart become a panel; where there are
 * fewer than eight, the rest are zeros.
 */
export function emitInterleave(m: ModuleBuilder, dtype: Quantized): FunctionBuilder {
  const f = m.function("interleave", { params: new Array(5).fill("i32"), export: false });
  const [from, to, blocks, rowBytes, rows] = f.params;
  const panelBytes = panelRows * blockBytes[dtype];
  const block = f.local("i32"), row = f.local("i32"), p = f.local("i32"), q = f.local("i32");
  f.push(to, 0);
  emitSetSum(f, p, [blocks, panelBytes]);
  f.op("memory.fill", p);
  f.forRange(block, 0, blocks, 1, () => {
    f.forRange(row, 0, rows, 1, () => {
      emitSetSum(f, p, from, [row, rowBytes]);
      emitSetSum(f, q, to, [row, 2]);
      f.push(q, p.load(0, "i32.load16_u"));
      f.store("i32.store16");
      if (dtype === "q8") {
        emitSetSum(f, q, to, [row, 4]);
        for (let quad = 0; quad < quads; quad++) {
          f.push(q, p.load(2 + 4 * quad, "i32.load", 2));
          f.store("i32.store", 2 * panelRows + 4 * panelRows * quad, 2);
        }
      } else {
        if (dtype === "q50") emitBits(f, p, to, row, true);
        emitNibbles(f, dtype, p, q, to, row, true);
      }
    });
    f.increment(from, blockBytes[dtype]);
    f.increment(to, panelBytes);
  });
  return f;
}

/**
 * Moves the nibbles of the block of one row at `p` into the panel's block at `to`, or back. In a row, byte j holds
 * weights j and j + 16; in a panel a word holds four weights of a row of the lower half and of one of the upper half.
 */
function emitNibbles(
  f: FunctionBuilder,
  dtype: Quantized,
  p: Local,
  q: Local,
  to: Local,
  row: Local,
  into: boolean,
): void {
  const shift = f.local("i32"), word = f.local("i32");
  // Rows 4 to 7 lie in the high nibbles of the words of rows 0 to 3.
  f.set(shift, row.and(4));
  f.set(q, to.plus(row.and(3).times(4)));
  for (let quad = 0; quad < quads; quad++) {
    const high = quad >= quads / 2 ? 4 : 0,
      inRow = nibblesAt[dtype] + 4 * (quad % (quads / 2)),
      inPanel = 2 * panelRows + 16 * quad;
    const [source, target] = into ? [p, q] : [q, p];
    const [sourceAt, targetAt] = into ? [inRow, inPanel] : [inPanel, inRow];
    const pushShift = (row: boolean): void => row ? f.get(shift) : f.i32(high);
    f.push(source.load(sourceAt, "i32.load", 2));
    pushShift(!into);
    f.op("i32.shr_u");
    f.op("i32.and", 0x0f0f0f0f);
    pushShift(into);
    f.op("i32.shl");
    f.set(word);
    f.push(target, target.load(targetAt, "i32.load", 2).or(word));
    f.store("i32.store", targetAt, 2);
  }
}

/**
 * Moves the fifth bits of the block of one row at `p` into the panel's block at `to`, or back. In a row, bit j is of weight j; in a
 * panel there is a byte for each place in a group of four, and in it a bit for each group.
 */
function emitBits(f: FunctionBuilder, p: Local, to: Local, row: Local, into: boolean): void {
  const word = f.local("i32"), bits = f.local("i32"), at = f.local("i32");
  const inPanel = 2 * panelRows + 16 * quads;
  /** bits |= (bits shifted by `by`), of which `mask` stays. */
  const spread = (by: number, mask: number): void => {
    f.push(bits, bits);
    f.i32(Math.abs(by));
    f.op(by < 0 ? "i32.shr_u" : "i32.shl");
    f.op("i32.or");
    f.op("i32.and", mask);
    f.set(bits);
  };
  emitSetSum(f, at, to, [row, 4]);
  f.i32(0);
  f.set(word);
  for (let place = 0; place < 4; place++) {
    f.push(into ? p.load(2, "i32.load", 2) : at.load(inPanel, "i32.load", 2));
    f.i32(into ? place : 8 * place);
    f.op("i32.shr_u");
    f.op("i32.and", into ? 0x11111111 : 0xff);
    f.set(bits);
    for (const [by, mask] of into ? bitsTogether : bitsApart) spread(by, mask);
    f.push(word, bits);
    f.i32(into ? 8 * place : place);
    f.op("i32.shl");
    f.op("i32.or");
    f.set(word);
  }
  f.push(into ? at : p, word);
  f.store("i32.store", into ? inPanel : 2, 2);
}

/** Every fourth bit of a word becomes one of a byte, by shifts and masks; and back. */
const bitsTogether = [[-3, 0x03030303], [-6, 0x000f000f], [-12, 0xff]] as const;
const bitsApart = [[12, 0x000f000f], [6, 0x03030303], [3, 0x11111111]] as const;

/** The function `restore(from, to, blocks)`: a panel becomes eight rows, one after the other. */
export function emitRestore(m: ModuleBuilder, dtype: Quantized): FunctionBuilder {
  const f = m.function("restore", { params: new Array(3).fill("i32"), export: false });
  const [from, to, blocks] = f.params;
  const rowBytes = f.local("i32"), block = f.local("i32"), row = f.local("i32");
  const p = f.local("i32"), q = f.local("i32");
  emitSetSum(f, rowBytes, [blocks, blockBytes[dtype]]);
  f.push(to, 0);
  emitSetSum(f, p, [rowBytes, panelRows]);
  f.op("memory.fill", p);
  f.forRange(block, 0, blocks, 1, () => {
    f.forRange(row, 0, panelRows, 1, () => {
      emitSetSum(f, p, to, [row, rowBytes]);
      emitSetSum(f, q, from, [row, 2]);
      f.push(p, q.load(0, "i32.load16_u"));
      f.store("i32.store16");
      if (dtype === "q8") {
        emitSetSum(f, q, from, [row, 4]);
        for (let quad = 0; quad < quads; quad++) {
          f.push(p, q.load(2 * panelRows + 4 * panelRows * quad, "i32.load", 2));
          f.store("i32.store", 2 + 4 * quad, 2);
        }
      } else {
        if (dtype === "q50") emitBits(f, p, from, row, false);
        emitNibbles(f, dtype, p, q, from, row, false);
      }
    });
    f.increment(from, panelRows * blockBytes[dtype]);
    f.increment(to, blockBytes[dtype]);
  });
  return f;
}
