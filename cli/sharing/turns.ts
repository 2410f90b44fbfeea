/**
 * Who does what: pieces that are all this worker's, or those that a queue gives it.
 *
 * @module
 */
import type { WorkQueue } from "../queue/queue.ts";
import type { Line, Records } from "./records.ts";

/** A piece to do. */
export interface Turn<P> {
  readonly piece: P;
  /** It is recorded. */
  done(): Promise<void>;
  /** It was not done. */
  giveBack(): Promise<void>;
}

/** Gives one after the other; null where there is none any more. */
export type Turns<P> = () => Promise<Turn<P> | null>;

const nothing = (): Promise<void> => Promise.resolve();

/** All of `pieces`. */
export function localTurns<P>(pieces: readonly P[]): Turns<P> {
  let next = 0;
  return () =>
    Promise.resolve(
      next < pieces.length ? { piece: pieces[next++], done: nothing, giveBack: nothing } : null,
    );
}

/** How long to wait where others are at work on all that is left, in milliseconds. */
const pause = 200;

/** What the queue gives, until all `pieces` are recorded, by whomever; `hopeless` is recorded of one that workers die of. */
export function queueTurns<P extends { readonly id: string }>(
  queue: WorkQueue,
  pieces: readonly P[],
  records: Records,
  hopeless: (piece: P) => Line,
  signal: AbortSignal,
): Turns<P> {
  const before = "piece-";
  const left = (): string[] => pieces.flatMap(({ id }, i) => records.isTried(id) ? [] : [before + i]);
  let last: Promise<Turn<P> | null> = Promise.resolve(null), isOffered = false;
  async function find(): Promise<Turn<P> | null> {
    while (!signal.aborted) {
      if (!isOffered) await queue.offer(left());
      isOffered = true;
      const held = await queue.take();
      if (held === null) {
        await records.refresh();
        if (left().length === 0) return null;
        if (await queue.isIdle()) {
          // A server that was started anew remembers nothing.
          await records.publish();
          isOffered = false;
        } else await new Promise((go) => setTimeout(go, pause));
        continue;
      }
      const piece: P | undefined = pieces[Number(held.name.slice(before.length))];
      if (piece !== undefined && !await records.isElsewhere(piece.id)) {
        if (!held.isHopeless) return { piece, done: held.done, giveBack: held.giveBack };
        await records.add(piece.id, hopeless(piece));
      }
      await held.done();
    }
    return null;
  }
  // One at a time asks.
  return () => last = last.then(find);
}
