/**
 * Sums over ranks in an order of our own, for the communication thread.
 *
 * Its function is sent to the thread as text, so nothing outside of it may be named in it.
 *
 * @module
 */
import type { MpiFunctions, MpiThreadData, Wait } from "./mpi_thread.ts";

/** What the thread lends. */
export interface SumTools {
  readonly data: MpiThreadData;
  readonly mpi: MpiFunctions;
  readonly rank: number;
  readonly size: number;
  /** Throws for a code that is not 0. */
  check(code: number, what: string): void;
  /** Waits for the request at work. */
  finished(what: string): Wait;
}

/** Ways to sum. Offsets are bytes in the memory of the program. */
export interface MpiSums {
  /** f32, pairwise, neighbours first. */
  exactSum(offset: number, count: number): Wait;
  /** The same with 16 bits a number on the wire. */
  halfSum(offset: number, count: number): Wait;
  /** Any type and reduction, in two exchanges of blocks. */
  inBlocks(offset: number, count: number, type: number, width: number, reduction: number): Wait;
}

/** Makes the ways to sum of a thread. */
export function mpiSums({ data, mpi, rank, size, check, finished }: SumTools): MpiSums {
  const { memory, abi, heapBase, scratchBase } = data, request = data.controlBase + data.requestAt;
  let heap = new Float32Array(memory.buffer);
  const scratch = new Float32Array(data.scratch), halves = new Uint16Array(data.scratch);
  const heapFloats = (bytes: number, count: number): Float32Array => {
    if (heap.buffer !== memory.buffer) heap = new Float32Array(memory.buffer);
    return heap.subarray(bytes / 4, bytes / 4 + count);
  };
  /** Adds the `blocks` blocks of `length` at `at` pairwise, neighbours first: the same sums for any number of ranks. */
  const addUp = (at: number, length: number, blocks: number): void => {
    for (let step = 1; step < blocks; step *= 2) {
      for (let b = 0; b + step < blocks; b += 2 * step) {
        const to = at + b * length, from = at + (b + step) * length;
        for (let i = 0; i < length; i++) scratch[to + i] = scratch[to + i] + scratch[from + i];
      }
    }
  };
  /** Sums in an order of our own: everybody adds up one block of everybody's, and gives it to all. */
  function* exactSum(offset: number, count: number): Wait {
    const f32 = abi.types.f32, most = Math.floor(scratch.length / size) * size;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at), block = Math.floor(length / size), start = offset + 4 * at;
      if (block > 0) {
        check(
          mpi.MPI_Ialltoall(heapBase + start, block, f32, scratchBase, block, f32, abi.world, request),
          "MPI_Ialltoall",
        );
        yield* finished("MPI_Ialltoall");
        addUp(0, block, size);
        heapFloats(start + 4 * rank * block, block).set(scratch.subarray(0, block));
        check(
          mpi.MPI_Iallgather(abi.inPlace, block, f32, heapBase + start, block, f32, abi.world, request),
          "MPI_Iallgather",
        );
        yield* finished("MPI_Iallgather");
      }
      const rest = length - block * size;
      if (rest === 0) continue;
      const tail = start + 4 * block * size;
      check(
        mpi.MPI_Iallgather(heapBase + tail, rest, f32, scratchBase, rest, f32, abi.world, request),
        "MPI_Iallgather",
      );
      yield* finished("MPI_Iallgather");
      addUp(0, rest, size);
      heapFloats(tail, rest).set(scratch.subarray(0, rest));
    }
  }
  /**
   * Reduces in two exchanges: everybody reduces one block of everybody's, and gives it to all. Pieces are as large as stays in a cache.
   * Ranks come in their order, but the own first.
   */
  function* inBlocks(offset: number, count: number, type: number, width: number, reduction: number): Wait {
    const most = Math.floor((data.scratch.byteLength / 2) / width / size) * size;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at),
        block = Math.floor(length / size),
        rest = length - block * size;
      const start = heapBase + offset + at * width, own = start + rank * block * width;
      if (block > 0) {
        check(
          mpi.MPI_Ialltoall(start, block, type, scratchBase, block, type, abi.world, request),
          "MPI_Ialltoall",
        );
        yield* finished("MPI_Ialltoall");
        for (let r = 0; r < size; r++) {
          if (r === rank) continue;
          check(
            mpi.MPI_Reduce_local(scratchBase + r * block * width, own, block, type, reduction),
            "MPI_Reduce_local",
          );
        }
        check(
          mpi.MPI_Iallgather(abi.inPlace, block, type, start, block, type, abi.world, request),
          "MPI_Iallgather",
        );
        yield* finished("MPI_Iallgather");
      }
      if (rest === 0) continue;
      const tail = start + block * size * width;
      check(
        mpi.MPI_Iallreduce(abi.inPlace, tail, rest, type, reduction, abi.world, request),
        "MPI_Iallreduce",
      );
      yield* finished("MPI_Iallreduce");
    }
  }
  const bits = new Uint32Array(1), asFloat = new Float32Array(bits.buffer);
  const toBf16 = (x: number): number => {
    asFloat[0] = x;
    const u = bits[0];
    // A NaN stays one; all else is rounded to nearest, ties to even.
    return (u & 0x7fffffff) > 0x7f800000 ? (u >>> 16) | 0x40 : (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
  };
  const fromBf16 = (h: number): number => {
    bits[0] = h << 16;
    return asFloat[0];
  };
  /** The same with 16 bits a number on the wire, and sums in f32: two roundings, each of at most 2^-8 of a value. */
  function* halfSum(offset: number, count: number): Wait {
    const u16 = abi.types.u16, most = Math.floor(scratch.length / 4 / size) * size;
    // The halves that are sent lie in the second quarter, those that come in the third, sums in the last.
    const sent = scratch.length / 2, come = scratch.length, sums = 3 * scratch.length / 4;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at), block = Math.ceil(length / size);
      const own = heapFloats(offset + 4 * at, length);
      for (let i = 0; i < block * size; i++) halves[sent + i] = i < length ? toBf16(own[i]) : 0;
      check(
        mpi.MPI_Ialltoall(
          scratchBase + 2 * sent,
          block,
          u16,
          scratchBase + 2 * come,
          block,
          u16,
          abi.world,
          request,
        ),
        "MPI_Ialltoall",
      );
      yield* finished("MPI_Ialltoall");
      for (let i = 0; i < block * size; i++) scratch[sums + i] = fromBf16(halves[come + i]);
      addUp(sums, block, size);
      for (let i = 0; i < block; i++) halves[sent + rank * block + i] = toBf16(scratch[sums + i]);
      check(
        mpi.MPI_Iallgather(
          abi.inPlace,
          block,
          u16,
          scratchBase + 2 * sent,
          block,
          u16,
          abi.world,
          request,
        ),
        "MPI_Iallgather",
      );
      yield* finished("MPI_Iallgather");
      const out = heapFloats(offset + 4 * at, length);
      for (let i = 0; i < length; i++) out[i] = fromBf16(halves[sent + i]);
    }
  }
  return { exactSum, halfSum, inBlocks };
}
