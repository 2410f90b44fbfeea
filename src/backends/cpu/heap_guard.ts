/**
 * Guards around the blocks of a heap: a debugging aid that finds who writes where nothing is his.
 *
 * Behind the bytes that were asked for, to the end of a block and in a granule of its own, lies a pattern; memory that
 * nobody holds is filled with another one, which reads as NaN. A walk over the blocks sees whether both are still there. It
 * costs memory and time, so a heap has guards only when it is asked for them (`HeapOptions.guard`).
 *
 * @module
 */

/** Granules that a guarded block has more than another. */
export const guardGranules = 1;

const pattern = 0xb7b7b7b7, patternByte = 0xb7;
// NaN as f32, as f16 and as bf16.
const poison = 0x7fb07fb0;

// Words of a header that the heap itself does not use.
const firstSpareWord = 6, granuleWords = 16;

/** Lays guards and looks at them. Blocks are told by granule and size, header included, as the heap counts them. */
export class HeapGuard {
  #u8: Uint8Array = new Uint8Array(0);
  #u32: Uint32Array = new Uint32Array(0);

  /** Takes the memory's new views. */
  renew(u8: Uint8Array, u32: Uint32Array): void {
    this.#u8 = u8;
    this.#u32 = u32;
  }

  /** A block was handed out with `bytes` bytes of room. */
  hold(granule: number, size: number, bytes: number): void {
    const start = granule * granuleWords, end = (granule + size) * granuleWords;
    this.#u32.fill(pattern, start + firstSpareWord, start + granuleWords);
    const behind = (granule + 1) * 64 + bytes;
    this.#u32.fill(pattern, Math.ceil(behind / 4), end);
    this.#u8.fill(patternByte, behind, Math.min(4 * end, Math.ceil(behind / 4) * 4));
  }

  /** The granules from `granule` on belong to nobody. */
  free(granule: number, size: number): void {
    this.#u32.fill(poison, granule * granuleWords, (granule + size) * granuleWords);
  }

  /** The address of the first damage to the guards of a block that was handed out with `bytes` bytes of room; -1: none. */
  damageOfHeld(granule: number, size: number, bytes: number): number {
    const start = granule * granuleWords, end = (granule + size) * granuleWords;
    const header = this.#differs(start + firstSpareWord, start + granuleWords, pattern);
    if (header >= 0) return 4 * header;
    const behind = (granule + 1) * 64 + bytes, word = Math.ceil(behind / 4);
    for (let at = behind; at < 4 * word; at++) if (this.#u8[at] !== patternByte) return at;
    const found = this.#differs(word, end, pattern);
    return found < 0 ? -1 : 4 * found;
  }

  /** The address of the first word written in a block that nobody holds; -1: none. At its ends only unless `whole`. */
  damageOfFree(granule: number, size: number, whole: boolean): number {
    const start = (granule + 1) * granuleWords, end = (granule + size) * granuleWords;
    const near = whole ? end : Math.min(end, start + granuleWords);
    let found = this.#differs(start, near, poison);
    if (found < 0 && near < end) found = this.#differs(end - granuleWords, end, poison);
    return found < 0 ? -1 : 4 * found;
  }

  #differs(from: number, to: number, word: number): number {
    const u32 = this.#u32;
    for (let at = from; at < to; at++) if (u32[at] !== word) return at;
    return -1;
  }
}
