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
  stat,
  touch,
} from "../platform/platform.ts";
import { delay } from "./request.ts";

/** How often a holder marks its lock, in milliseconds. */
const heartbeat = 2_000;

/** How long a lock that nobody marks counts, in milliseconds. */
const usualPatience = 15_000;

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
  patience = usualPatience,
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
    const found = await look(path);
    if (found === null) continue;
    const { owner, state } = found;
    if (state !== seen) {
      seen = state;
      since = performance.now();
    }
    if (isGone(owner) || performance.now() - since > patience) {
      await breakLock(path, seen, what, signal, patience);
    } else await delay(100 + 50 * Math.random(), signal);
  }
}

/** Whether the holder of a lock is a process of this machine that has ended. */
function isGone(owner: Owner | null): boolean {
  return owner !== null && owner.host !== null && owner.host === hostName() &&
    isProcessAlive(owner.pid) === false;
}

/** Removes a lock whose holder is gone. */
export async function removeStaleLock(path: string, what: string): Promise<void> {
  const found = await look(path);
  if (found !== null && isGone(found.owner)) {
    await breakLock(path, found.state, what, undefined, usualPatience);
  }
}

/**
 * Takes a stale lock away, if it is still the one that was seen. Several may want to, so they do it one at a time, under
 * a lock for that: else the second would take away the new lock of the first.
 */
function breakLock(
  path: string,
  seen: string,
  what: string,
  signal: AbortSignal | undefined,
  patience: number,
): Promise<void> {
  return withLock(`${path}.stale`, what, signal, async () => {
    if ((await look(path))?.state !== seen) return;
    try {
      await remove(path);
    } catch (cause) {
      throw new HubError(
        `${path} is the lock of a process that is gone, and cannot be removed; remove it by hand`,
        { cause },
      );
    }
  }, patience);
}

/** Who holds the lock, and what changes with every mark; null when there is none. */
async function look(path: string): Promise<{ owner: Owner | null; state: string } | null> {
  const owner = await readOwner(path), status = await stat(path);
  return status === null ? null : { owner, state: `${owner?.id} ${status.modified}` };
}

async function readOwner(path: string): Promise<Owner | null> {
  try {
    return JSON.parse(await readTextFile(path)) as Owner;
  } catch {
    return null;
  }
}
