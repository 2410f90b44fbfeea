/**
 * A lock between processes: a file that only one of them gets to make.
 *
 * Its holder marks the file as written every few seconds. A lock is stale when its holder is a process of this
 * machine that is gone, or when nobody has marked it for a while, by the watcher's own clock, so that clocks and
 * machines need not agree. Python's client locks with `flock`, which a script cannot take: two languages at once may
 * both download, and the hash decides.
 *
 * @module
 */
import { HubError, throwIfAborted } from "../core/errors.ts";
import {
  createFile,
  directoryOf,
  hostName,
  isProcessAlive,
  makeDir,
  processId,
  readTextFile,
  remove,
  rename,
  stat,
  touch,
} from "../platform/platform.ts";
import { delay } from "./request.ts";

/** How often a holder marks its lock, in milliseconds. */
const heartbeat = 2_000;

interface Owner {
  readonly id: string;
  readonly pid: number;
  readonly host: string | null;
}

/**
 * Does `work` while holding the lock at `path`; waits for others to finish first.
 *
 * @param patience how long a lock that nobody marks counts, in milliseconds.
 * @throws {CancelledError} when the signal is aborted while waiting.
 */
export async function withLock<T>(
  path: string,
  what: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  patience = 15_000,
): Promise<T> {
  const own: Owner = { id: crypto.randomUUID(), pid: processId(), host: hostName() ?? null };
  await makeDir(directoryOf(path));
  await acquire(path, own, what, signal, patience);
  const timer = setInterval(() => void touch(path).catch(() => {}), heartbeat);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    // Only what is ours: after a long sleep of the machine it may be somebody else's.
    if ((await readOwner(path))?.id === own.id) await remove(path);
  }
}

async function acquire(
  path: string,
  own: Owner,
  what: string,
  signal: AbortSignal | undefined,
  patience: number,
): Promise<void> {
  let seen = "", since = performance.now();
  while (!await createFile(path, JSON.stringify(own))) {
    throwIfAborted(signal, `waiting for another process that fetches ${what}`);
    const owner = await readOwner(path), status = await stat(path);
    if (status === null) continue;
    const state = `${owner?.id} ${status.modified}`;
    if (state !== seen) {
      seen = state;
      since = performance.now();
    }
    if (isGone(owner) || performance.now() - since > patience) await breakLock(path, owner);
    else await delay(100 + 50 * Math.random(), signal);
  }
}

/** Whether the holder of a lock is a process of this machine that has ended. */
function isGone(owner: Owner | null): boolean {
  return owner !== null && owner.host !== null && owner.host === hostName() &&
    isProcessAlive(owner.pid) === false;
}

/** Removes a lock whose holder is gone. */
export async function removeStaleLock(path: string): Promise<void> {
  const owner = await readOwner(path);
  if (isGone(owner)) await breakLock(path, owner);
}

/** Takes a stale lock away. Several may want to; a lock that was made meanwhile is put back. */
async function breakLock(path: string, owner: Owner | null): Promise<void> {
  if ((await readOwner(path))?.id !== owner?.id) return;
  const aside = `${path}.${crypto.randomUUID().slice(0, 8)}`;
  try {
    await rename(path, aside);
  } catch (error) {
    // Another was quicker, and may hold a lock of its own by now.
    if (await stat(path) === null || (await readOwner(path))?.id !== owner?.id) return;
    throw new HubError(
      `${path} is the lock of a process that is gone, and cannot be removed; remove it by hand`,
      { cause: error },
    );
  }
  const taken = await readOwner(aside);
  if (taken !== null && taken.id !== owner?.id) await createFile(path, JSON.stringify(taken));
  await remove(aside);
}

async function readOwner(path: string): Promise<Owner | null> {
  try {
    return JSON.parse(await readTextFile(path)) as Owner;
  } catch {
    return null;
  }
}
