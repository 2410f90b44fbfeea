/**
 * The one memory of the cpu device, and who holds which part of it.
 *
 * Everything the kernels touch lies in one `WebAssembly.Memory`, shared between threads where the runtime allows.
 * It starts small and grows; blocks are handed out by two-level segregated fit (Masmano et al., "TLSF: a new dynamic
 * memory allocator for real-time systems", 2004): free blocks sit in lists by size, two bitmaps find a list that
 * fits, neighbours merge on release. Allocation and release take constant time and make no JavaScript garbage.
 *
 * Sizes and positions are counted in granules of 64 bytes: 4 GiB are 2^26 granules, so arithmetic stays in small
 * integers, and `pointerOf`/`granuleOf` are the only places where a granule becomes an address. Addresses are
 * unsigned numbers below 2^32. A block's first granule is its header; kernels never see it.
 *
 * The views are renewed when the memory grows: read them from the heap each time, after the last allocation.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import { counted as amount } from "../../core/show.ts";
import { cpuFeatures } from "./features.ts";
import { guardGranules, HeapGuard } from "./heap_guard.ts";
import type { Arena } from "./captured.ts";

const pageBytes = 65536;
const pageGranules = 1024;
const mostPages = 65536;

// Words of a header.
const sizeWord = 0; // granules, header included
const beforeWord = 1; // granule of the block that lies before this one; 0: none
const stateWord = 2;
const requestWord = 3; // bytes asked for
const nextWord = 4; // neighbours in the free list; 0: none
const previousWord = 5;

// Odd values, so that a pointer into the middle of a block is found out.
const free = 0x66726565;
const counted = 0x75736564;
const uncounted = 0x74656d70;
const kept = 0x6b657074;

// Below 32 granules every size has its own list; above, each power of two is cut into 32.
const classes = 23 * 32;

function classOf(size: number): number {
  if (size < 32) return size;
  const level = 31 - Math.clz32(size);
  return (level - 4) * 32 + ((size >>> (level - 5)) & 31);
}

const pointerOf = (granule: number): number => granule * 64;
const granuleOf = (pointer: number): number => pointer / 64;

/** How a {@link Heap} is made. */
export interface HeapOptions {
  /** Whether threads may share the memory; when the runtime has no shared memory it is not shared anyway. */
  readonly shared?: boolean;
  /** The most bytes it may grow to: a multiple of 65,536, 4 GiB by default; less if the engine refuses that. */
  readonly maximum?: number;
  /**
   * Whether guards lie around every block, for {@link Heap.check} to look at: finds what writes beyond its own. For tests;
   * it costs memory and time. Default false.
   */
  readonly guard?: boolean;
}

/** A block of a heap. */
export interface HeapBlock {
  /** Its address. */
  readonly pointer: number;
  /** What it takes, header included. */
  readonly bytes: number;
  /** Whether nobody holds it. */
  readonly free: boolean;
  /** Whether it was given out by {@link Heap.allocate}. */
  readonly counted: boolean;
  /** The bytes that were asked for. */
  readonly room: number;
}

/** A memory that may grow to `maximum` pages, or to as many as the engine agrees to. */
function createMemory(shared: boolean, maximum: number): [WebAssembly.Memory, number] {
  for (let pages = maximum;; pages = pages >>> 1) {
    try {
      return [new WebAssembly.Memory({ initial: Math.min(16, pages), maximum: pages, shared }), pages];
    } catch (cause) {
      if (pages > 256) continue;
      throw new DeviceError("cpu: the runtime refuses a WebAssembly memory of 16 MiB; close other programs", {
        cause,
      });
    }
  }
}

/** Bytes from which on it is worth asking the system for large pages; programs that take less have nothing to do with it. */
export const muchMemory: number = 64 << 20;

/** The device's memory. Blocks are aligned to 64 bytes and their contents are undefined. */
export class Heap {
  /** The memory that kernels import. */
  readonly memory: WebAssembly.Memory;
  /** Whether it is shared between threads. */
  readonly shared: boolean;
  /** The whole memory as bytes. Like its siblings below it is renewed when the memory grows. */
  u8: Uint8Array = new Uint8Array(0);
  /** The whole memory as 16-bit words: f16 and bf16. */
  u16: Uint16Array = new Uint16Array(0);
  /** The whole memory as i32. */
  i32: Int32Array = new Int32Array(0);
  /** The whole memory as u32. */
  u32: Uint32Array = new Uint32Array(0);
  /** The whole memory as f32. */
  f32: Float32Array = new Float32Array(0);
  /** The whole memory as f64. */
  f64: Float64Array = new Float64Array(0);
  /** The whole memory as i64. */
  i64: BigInt64Array = new BigInt64Array(0);
  /** Bytes asked for by live blocks from {@link Heap.allocate}. */
  bytes = 0;
  /** Live blocks from {@link Heap.allocate}. */
  buffers = 0;
  /** Live blocks from {@link Heap.scratch}. */
  temporaries = 0;
  /** Hears of the whole memory when it has grown, before the new part is used; from {@link muchMemory} bytes on. */
  onGrow: ((memory: Uint8Array) => void) | null = null;
  /** Who gives memory out while work is captured. */
  arena: Arena | null = null;

  #maximum: number;
  #limit: number;
  #pages: number;
  #end = 0; // granule of the sentinel behind the last block
  #heads = new Int32Array(classes); // first free block of each class
  #filled = new Int32Array(classes / 32); // bit per class
  #levels = 0; // bit per word of #filled
  readonly #guard: HeapGuard | null;

  /** A fresh memory whose first `reserved` bytes are left to the caller. */
  constructor(reserved: number, options: HeapOptions = {}) {
    const wanted = Math.min(mostPages, Math.ceil((options.maximum ?? mostPages * pageBytes) / pageBytes));
    this.shared = (options.shared ?? true) && cpuFeatures().threads.available;
    [this.memory, this.#maximum] = createMemory(this.shared, wanted);
    this.#limit = this.#maximum;
    this.#pages = this.memory.buffer.byteLength / pageBytes;
    this.#guard = options.guard ? new HeapGuard() : null;
    const first = Math.max(1, Math.ceil(reserved / 64));
    const least = Math.ceil((first + 4) / pageGranules);
    if (least > this.#pages) this.#pages = this.#growMemory(least - this.#pages);
    this.#renewViews();
    this.#end = this.#pages * pageGranules - 1;
    this.#setBlock(this.#end, 0, first, counted);
    this.#guard?.free(first, this.#end - first);
    this.#setBlock(first, this.#end - first, 0, free);
    this.#insert(first);
  }

  /** Bytes the memory may grow to. */
  get maximum(): number {
    return this.#maximum * pageBytes;
  }

  /** Bytes that it grows to at most; set, at most {@link Heap.maximum}. What it takes already stays. */
  get limit(): number {
    return this.#limit * pageBytes;
  }

  set limit(bytes: number) {
    this.#limit = Math.min(this.#maximum, Math.floor(bytes / pageBytes));
  }

  /** Bytes the memory takes at present, free parts included. */
  get capacity(): number {
    return this.#pages * pageBytes;
  }

  /**
   * The address of `bytes` fresh bytes, a multiple of 64. It may grow the memory and so renew the views.
   * @throws {DeviceError} when there is no such room.
   */
  allocate(bytes: number): number {
    if (this.arena) return this.arena.allocate(bytes);
    const granule = this.#take(bytes, counted);
    this.bytes += bytes;
    this.buffers++;
    return pointerOf(granule + 1);
  }

  /**
   * Like {@link Heap.allocate}, for memory that an operation needs while it runs: it is not counted in `bytes` and
   * `buffers`. Give it back with {@link Heap.release} before the operation returns; the next one gets the same warm memory.
   */
  scratch(bytes: number): number {
    if (this.arena) return this.arena.allocate(bytes);
    const granule = this.#take(bytes, uncounted);
    this.temporaries++;
    return pointerOf(granule + 1);
  }

  /** Like {@link Heap.allocate}, for what the device keeps for itself; it is not counted at all. */
  reserve(bytes: number): number {
    return pointerOf(this.#take(bytes, kept) + 1);
  }

  /**
   * Takes a block back.
   * @throws {DeviceError} when `pointer` is not the address of a live block.
   */
  release(pointer: number): void {
    if (this.arena?.takes(pointer)) return;
    let granule = granuleOf(pointer) - 1;
    const i32 = this.i32;
    const state = i32[(granule << 4) + stateWord];
    if (state === counted) {
      this.bytes -= this.u32[(granule << 4) + requestWord];
      this.buffers--;
    } else if (state === uncounted) {
      this.temporaries--;
    } else if (state !== kept) {
      throw new DeviceError(
        `cpu: ${pointer} is not the address of a live block; it was released twice, or memory before it was overwritten`,
      );
    }
    let size = i32[(granule << 4) + sizeWord];
    const damage = this.#damage(granule, false);
    this.#guard?.free(granule + 1, size - 1);
    const after = granule + size;
    if (i32[(after << 4) + stateWord] === free) {
      this.#remove(after);
      size += i32[(after << 4) + sizeWord];
      i32[(after << 4) + stateWord] = 0;
      this.#guard?.free(after, 1);
    }
    const before = i32[(granule << 4) + beforeWord];
    if (before !== 0 && i32[(before << 4) + stateWord] === free) {
      this.#remove(before);
      size += i32[(before << 4) + sizeWord];
      i32[(granule << 4) + stateWord] = 0;
      this.#guard?.free(granule, 1);
      granule = before;
    }
    i32[(granule << 4) + sizeWord] = size;
    i32[(granule << 4) + stateWord] = free;
    i32[((granule + size) << 4) + beforeWord] = granule;
    this.#insert(granule);
    if (damage !== null) throw new DeviceError(`cpu: ${damage}`);
  }

  /** The bytes asked for with the live block at `pointer`. */
  sizeOf(pointer: number): number {
    return this.u32[((granuleOf(pointer) - 1) << 4) + requestWord];
  }

  /** Every block in order of address, for tests and diagnosis; `bytes` includes the header. */
  *blocks(): Generator<HeapBlock> {
    for (let granule = this.#firstBlock(); granule < this.#end;) {
      const at = granule << 4, size = this.i32[at + sizeWord], state = this.i32[at + stateWord];
      const isFree = state === free, room = this.u32[at + requestWord];
      yield {
        pointer: pointerOf(granule + 1),
        bytes: size * 64,
        free: isFree,
        counted: state === counted,
        room,
      };
      granule += size;
    }
  }

  /**
   * What is wrong with the blocks, or null: a header that was written over, and with guards also a byte beside a block. Of
   * memory that nobody holds, the ends are looked at, and all of it when `whole`.
   */
  check(whole: boolean = false): string | null {
    let before = 0;
    for (let granule = this.#firstBlock(); granule < this.#end;) {
      const at = granule << 4, size = this.i32[at + sizeWord], state = this.i32[at + stateWord];
      const known = state === free || state === counted || state === uncounted || state === kept;
      if (!known || size < 2 || granule + size > this.#end || this.i32[at + beforeWord] !== before) {
        return `the header of the block at ${pointerOf(granule + 1)} was written over`;
      }
      const damage = this.#damage(granule, whole);
      if (damage) return damage;
      before = granule;
      granule += size;
    }
    return this.i32[(this.#end << 4) + beforeWord] === before ? null : "the heap's end was written over";
  }

  /** What is wrong beside the block at `granule`, or in it when nobody holds it. */
  #damage(granule: number, whole: boolean): string | null {
    if (!this.#guard) return null;
    const at = granule << 4, size = this.i32[at + sizeWord], bytes = this.u32[at + requestWord];
    if (this.i32[at + stateWord] === free) {
      const found = this.#guard.damageOfFree(granule, size, whole);
      return found < 0 ? null : `address ${found} was written to, and nobody holds it`;
    }
    const found = this.#guard.damageOfHeld(granule, size, bytes), pointer = pointerOf(granule + 1);
    if (found < 0) return null;
    return found < pointer
      ? `address ${found} was written to, ${amount(pointer - found, "byte")} before a block of ${bytes}`
      : `address ${found} was written to, ${
        amount(found - pointer - bytes, "byte")
      } behind the end of a block of ${bytes}`;
  }

  #firstBlock(): number {
    let granule = this.#end;
    for (let before = granule; before !== 0; before = this.i32[(granule << 4) + beforeWord]) granule = before;
    return granule;
  }

  #renewViews(): void {
    const buffer = this.memory.buffer as ArrayBuffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.#guard?.renew(this.u8, this.u32);
  }

  #setBlock(granule: number, size: number, before: number, state: number): void {
    const at = granule << 4;
    this.i32[at + sizeWord] = size;
    this.i32[at + beforeWord] = before;
    this.i32[at + stateWord] = state;
  }

  /** A block of at least `bytes` bytes, out of the lists. */
  #take(bytes: number, state: number): number {
    if (!(bytes >= 0 && bytes <= pageBytes * mostPages)) this.#refuse(bytes);
    const size = 1 + Math.max(1, Math.ceil(bytes / 64)) + (this.#guard ? guardGranules : 0);
    let granule = this.#find(size);
    if (granule === 0) {
      this.#grow(size, bytes);
      granule = this.#find(size);
    }
    this.#remove(granule);
    const i32 = this.i32;
    const rest = i32[(granule << 4) + sizeWord] - size;
    if (rest >= 2) {
      const after = granule + size;
      this.#setBlock(after, rest, granule, free);
      i32[((after + rest) << 4) + beforeWord] = after;
      i32[(granule << 4) + sizeWord] = size;
      this.#insert(after);
    }
    i32[(granule << 4) + stateWord] = state;
    this.u32[(granule << 4) + requestWord] = bytes;
    this.#guard?.hold(granule, i32[(granule << 4) + sizeWord], bytes);
    return granule;
  }

  #find(size: number): number {
    const i32 = this.i32;
    const own = classOf(size);
    // Blocks of the same class may be a little too small: try some, and keep the closest.
    let best = 0, bestSize = 0x7fffffff;
    for (let granule = this.#heads[own], tries = 0; granule !== 0 && tries < 16; tries++) {
      const found = i32[(granule << 4) + sizeWord];
      if (found >= size && found < bestSize) {
        best = granule;
        bestSize = found;
        if (found === size) break;
      }
      granule = i32[(granule << 4) + nextWord];
    }
    if (best !== 0) return best;
    let level = (own + 1) >>> 5;
    if (level >= this.#filled.length) return 0;
    let bits = this.#filled[level] & (-1 << ((own + 1) & 31));
    if (bits === 0) {
      const levels = level === 31 ? 0 : this.#levels & (-1 << (level + 1));
      if (levels === 0) return 0;
      level = 31 - Math.clz32(levels & -levels);
      bits = this.#filled[level];
    }
    return this.#heads[level * 32 + 31 - Math.clz32(bits & -bits)];
  }

  #insert(granule: number): void {
    const i32 = this.i32;
    const own = classOf(i32[(granule << 4) + sizeWord]);
    const head = this.#heads[own];
    i32[(granule << 4) + nextWord] = head;
    i32[(granule << 4) + previousWord] = 0;
    if (head !== 0) i32[(head << 4) + previousWord] = granule;
    this.#heads[own] = granule;
    this.#filled[own >>> 5] |= 1 << (own & 31);
    this.#levels |= 1 << (own >>> 5);
  }

  #remove(granule: number): void {
    const i32 = this.i32;
    const next = i32[(granule << 4) + nextWord], previous = i32[(granule << 4) + previousWord];
    if (next !== 0) i32[(next << 4) + previousWord] = previous;
    if (previous !== 0) {
      i32[(previous << 4) + nextWord] = next;
      return;
    }
    const own = classOf(i32[(granule << 4) + sizeWord]);
    this.#heads[own] = next;
    if (next !== 0) return;
    this.#filled[own >>> 5] &= ~(1 << (own & 31));
    if (this.#filled[own >>> 5] === 0) this.#levels &= ~(1 << (own >>> 5));
  }

  /** Makes the memory so much larger that a block of `size` granules fits at its end. */
  #grow(size: number, bytes: number): void {
    const last = this.i32[(this.#end << 4) + beforeWord];
    const spare = this.i32[(last << 4) + stateWord] === free ? this.i32[(last << 4) + sizeWord] : 0;
    const least = Math.ceil((size - spare) / pageGranules);
    const room = this.#limit - this.#pages;
    if (least > room) this.#refuse(bytes);
    // A quarter more at a time, between 1 and 64 MiB: few growths, and little memory that nobody asked for.
    const step = Math.min(room, Math.max(least, Math.min(1024, Math.max(16, this.#pages >>> 2))));
    try {
      this.#pages = this.#growMemory(step);
    } catch {
      try {
        this.#pages = this.#growMemory(least);
      } catch {
        this.#refuse(bytes);
      }
    }
    this.#renewViews();
    if (this.capacity >= muchMemory) this.onGrow?.(this.u8);
    // The old sentinel becomes the header of the new room.
    const start = this.#end;
    this.#end = this.#pages * pageGranules - 1;
    this.#setBlock(this.#end, 0, start, counted);
    this.#setBlock(start, this.#end - start, last, kept);
    this.#guard?.hold(start, this.#end - start, 0);
    this.u32[(start << 4) + requestWord] = 0;
    this.release(pointerOf(start + 1));
  }

  #growMemory(pages: number): number {
    return this.memory.grow(pages) + pages;
  }

  #refuse(bytes: number): never {
    throw new DeviceError(
      `cpu: cannot allocate ${amount(bytes, "byte")}: ${amount(this.bytes, "byte")} in ${
        amount(this.buffers, "buffer")
      } are live and the heap may ` +
        `grow to ${this.limit}; dispose tensors that are no longer needed (tidy, using), ` +
        `or use a smaller batch or dtype`,
    );
  }
}
