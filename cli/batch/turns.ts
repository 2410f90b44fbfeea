/**
 * Who answers what: requests that are all this worker's, or those that a queue gives it.
 *
 * @module
 */
import type { WorkQueue } from "../queue/queue.ts";
import type { Records } from "./records.ts";
import type { BatchRequest } from "./requests.ts";

/** A request to answer. */
export interface Turn {
  readonly request: BatchRequest;
  /** It is recorded. */
  done(): Promise<void>;
  /** It was not answered. */
  giveBack(): Promise<void>;
}

/** Requests one after the other. */
export interface Turns {
  /** How many there may be. */
  readonly most: number;
  /** The next; null where there is none any more. */
  next(): Promise<Turn | null>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** All of `requests`. */
export function localTurns(requests: readonly BatchRequest[]): Turns {
  let next = 0;
  return {
    most: requests.length,
    next: () =>
      Promise.resolve(
        next < requests.length ? { request: requests[next++], done: nothing, giveBack: nothing } : null,
      ),
  };
}

/** How long to wait where others are at work on all that is left, in milliseconds. */
const pause = 200;

/** What the queue gives, until all `requests` are recorded, by whomever. */
export function queueTurns(
  queue: WorkQueue,
  requests: readonly BatchRequest[],
  records: Records,
  signal: AbortSignal,
): Turns {
  const nameOf = (index: number): string => `request-${index}`;
  const left = (): number[] => requests.flatMap(({ id }, i) => records.has(id) ? [] : [i]);
  let last: Promise<Turn | null> = Promise.resolve(null), isOffered = false;
  async function find(): Promise<Turn | null> {
    while (!signal.aborted) {
      if (!isOffered) await queue.offer(left().map(nameOf));
      isOffered = true;
      const piece = await queue.take();
      if (piece === null) {
        await records.refresh();
        const more = left();
        if (more.length === 0) return null;
        // A server that was started anew remembers nothing.
        if (await queue.isIdle()) {
          await records.publish();
          isOffered = false;
        } else await new Promise((go) => setTimeout(go, pause));
        continue;
      }
      const request = requests[Number(piece.name.slice(nameOf(0).length - 1))];
      if (request !== undefined && piece.isHopeless && !records.has(request.id)) {
        const message = "every worker that was at it died";
        await records.add({
          ...{ id: `batch_req_${request.id}`, custom_id: request.id, response: null },
          error: { code: "worker_died", message },
        });
      }
      if (request !== undefined && !piece.isHopeless && !await records.isElsewhere(request.id)) {
        return { request, done: piece.done, giveBack: piece.giveBack };
      }
      await piece.done();
    }
    return null;
  }
  // One at a time asks.
  return { most: requests.length, next: () => last = last.then(find) };
}
