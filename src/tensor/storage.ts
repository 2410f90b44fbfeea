/**
 * Counted ownership of device memory.
 *
 * Several tensors may be views of one storage. It goes back to its device when the last of them lets go: by
 * `dispose`, at the end of a `using` or `tidy`, or when the garbage collector finds it. `version` counts writes in
 * place, so that a gradient never silently uses values that changed after they were recorded.
 *
 * @module
 */
import type { Backend, DeviceBuffer } from "../backends/contract.ts";

const live = new Set<Storage>();

/** One piece of device memory with a count of its holders. */
export class Storage {
  readonly backend: Backend;
  readonly buffer: DeviceBuffer;
  /** The operation that made it, for {@link memoryByOp}. */
  readonly madeBy: string;
  /** Writes in place since it was made. */
  version = 0;
  #holders = 1;

  /** Allocates `byteLength` bytes on `backend`, held once. */
  constructor(backend: Backend, byteLength: number, madeBy: string) {
    this.backend = backend;
    this.buffer = backend.allocate(byteLength);
    this.madeBy = madeBy;
    live.add(this);
  }

  /** How many tensors (and tape entries) hold it. */
  get holders(): number {
    return this.#holders;
  }

  /** One more holder. */
  hold(): void {
    this.#holders++;
  }

  /** One holder less; the last one gives the memory back. */
  release(): void {
    if (--this.#holders > 0) return;
    live.delete(this);
    this.backend.release(this.buffer);
  }
}

/** Bytes alive per operation that made them, most first: where a leak comes from. */
export function memoryByOp(): Record<string, number> {
  const sums = new Map<string, number>();
  for (const s of live) sums.set(s.madeBy, (sums.get(s.madeBy) ?? 0) + s.buffer.byteLength);
  return Object.fromEntries([...sums].sort((a, b) => b[1] - a[1]));
}
