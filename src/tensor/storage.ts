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

/** Every storage whose memory is in use. */
export const liveStorages: ReadonlySet<Storage> = new Set<Storage>();
const live = liveStorages as Set<Storage>;
const byBuffer = new WeakMap<DeviceBuffer, Storage>();

let made = 0;

/** How many storages were made so far. */
export function storagesSoFar(): number {
  return made;
}

/** Devices whose memory is watched, with the most bytes in use so far. */
const watched = new Map<Backend, { bytes: number }>();

/** Watches how much of a device's memory is in use, until what it gives is called: that says the most bytes in between. */
export function watchPeak(backend: Backend): () => number {
  const before = watched.get(backend), peak = { bytes: backend.memory().bytes };
  watched.set(backend, peak);
  return () => {
    if (before) {
      before.bytes = Math.max(before.bytes, peak.bytes);
      watched.set(backend, before);
    } else watched.delete(backend);
    return peak.bytes;
  };
}

/** Who is told of every storage that is made. */
export interface StorageWatch {
  /** Its memory is about to be taken; what this throws, whoever wants it gets. */
  before(byteLength: number): void;
  /** It was made. */
  after(storage: Storage): void;
}

let watch: StorageWatch | null = null;

/** Runs `f`, which does not wait, and tells `by` of every storage that it makes. */
export function watchStorages<T>(by: StorageWatch, f: () => T): T {
  const before = watch;
  watch = by;
  try {
    return f();
  } finally {
    watch = before;
  }
}

/** The storage that a buffer belongs to. */
export function storageOf(buffer: DeviceBuffer): Storage | undefined {
  return byBuffer.get(buffer);
}

/** One piece of device memory with a count of its holders. */
export class Storage {
  /** Where it lives. */
  readonly backend: Backend;
  /** The device's memory. */
  readonly buffer: DeviceBuffer;
  /** The operation that made it, for `memory({ byOp: true })`. */
  readonly madeBy: string;
  /** How many were made before it. */
  readonly number: number = made++;
  /** Writes in place since it was made. */
  version = 0;
  #holders = 1;

  /** Allocates `byteLength` bytes on `backend`, held once. */
  constructor(backend: Backend, byteLength: number, madeBy: string) {
    this.backend = backend;
    watch?.before(byteLength);
    this.buffer = backend.allocate(byteLength);
    this.madeBy = madeBy;
    const peak = watched.size ? watched.get(backend) : undefined;
    if (peak) peak.bytes = Math.max(peak.bytes, backend.memory().bytes);
    live.add(this);
    byBuffer.set(this.buffer, this);
    watch?.after(this);
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
