/**
 * Many pieces of work that are done once each, by one worker, by those of an array, or by those of a queue: what `batch` and `eval`
 * have in common.
 *
 * @module
 */
import { onStop, startHash } from "../../src/platform/platform.ts";
import { type Options, UsageError, type Values } from "../command.ts";
import { counted, LiveLine } from "../output.ts";
import { addressFrom, queueIdle, queueOptions } from "../queue/address.ts";
import { WorkQueue } from "../queue/queue.ts";
import { type Line, type LineForm, linesIn, Records } from "./records.ts";
import { shareOf, shareOption } from "./share.ts";
import { localTurns, queueTurns, type Turns } from "./turns.ts";

/** The options of a command whose work may be shared; `pieces` and `does` say what: "requests", "answers every Nth request". */
export const sharingOptions = (pieces: string, does: string): Options => ({
  share: shareOption(does),
  ...queueOptions(pieces),
});

/** What they have no effect beside. */
export const sharingIdle = queueIdle;

/** What is to be done. */
export interface Work<P> {
  readonly form: LineForm;
  /** What a piece is called: "request". */
  readonly noun: string;
  readonly pieces: readonly P[];
  /** What decides what comes of them, so that workers of one queue do the same. */
  readonly content: unknown;
  /** Gets ready, where there is something to do: what does a piece, and how many at a time. */
  prepare(signal: AbortSignal): Promise<{
    readonly most: number;
    work(piece: P, signal: AbortSignal): Promise<Line>;
    end(): void;
  }>;
  /** The line of a piece that workers die of. */
  hopeless(piece: P): Line;
}

/** How far it is. */
export interface Done {
  readonly done: number;
  readonly isStopped: boolean;
  /** The file of the whole; null where something is left. */
  readonly output: string | null;
  /** Lines by pieces. */
  readonly lines: ReadonlyMap<string, string>;
}

async function digestOf(value: unknown): Promise<string> {
  const hash = startHash("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify(value)));
  return await hash.digest();
}

/** Does what is this worker's, and records it in the folder `out`; with `--status` nothing. */
export async function share<P extends { readonly id: string }>(
  values: Values,
  out: string,
  work: Work<P>,
): Promise<Done> {
  const address = addressFrom(work.form.command, values, out),
    queue = address && await WorkQueue.open(address);
  try {
    return await within(values, out, work, queue);
  } finally {
    await queue?.close();
  }
}

async function within<P extends { readonly id: string }>(
  values: Values,
  out: string,
  work: Work<P>,
  queue: WorkQueue | null,
): Promise<Done> {
  const { form: { command }, pieces, noun } = work, ids = pieces.map(({ id }) => id);
  const isAsked = values.flag("status");
  if (queue) {
    const own = JSON.stringify({ [command]: await digestOf(work.content), pieces: ids.length });
    const found = isAsked ? await queue.read("work") ?? own : await queue.begin("work", own);
    if (found !== own) {
      throw new UsageError(
        `${command}: ${queue.where} holds other ${noun}s, or with other options; give --queue-name another, or -o another folder`,
      );
    }
  }
  const array = isAsked || queue ? null : shareOf(command, values.text("share"));
  const { index, count } = array ?? { index: 0, count: 1 };
  const name = queue && !isAsked ? `queue-${await queue.number()}` : String(index);
  const records = new Records(out, name, work.form, queue && linesIn(queue));
  await records.open();
  await records.refresh();
  const controller = new AbortController(), { signal } = controller;
  const remove = onStop(() => controller.abort());
  try {
    const mine = isAsked
      ? []
      : pieces.filter(({ id }, i) => (queue !== null || i % count === index) && !records.has(id));
    if (queue && !isAsked) await records.publish();
    if (mine.length > 0) {
      await queue?.join();
      const turns = queue
        ? queueTurns(queue, pieces, records, (piece) => work.hopeless(piece), signal)
        : localTurns(mine);
      await doAll(work, turns, records, mine.length, signal);
    }
    // To ask a queue brings what is known into the folder.
    if (!signal.aborted && (queue || !isAsked)) await records.finish(ids);
    else await records.refresh();
    const done = ids.filter((id) => records.has(id)).length;
    const output = done === ids.length ? records.output : null;
    return { done, output, isStopped: signal.aborted, lines: records.lines };
  } finally {
    remove();
  }
}

async function doAll<P extends { readonly id: string }>(
  work: Work<P>,
  turns: Turns<P>,
  records: Records,
  count: number,
  signal: AbortSignal,
): Promise<void> {
  const prepared = await work.prepare(signal), line = new LiveLine();
  let done = 0;
  const worker = async (): Promise<void> => {
    for (let turn; !signal.aborted && (turn = await turns()) !== null;) {
      try {
        await records.add(turn.piece.id, await prepared.work(turn.piece, signal));
      } catch (error) {
        // What went wrong first is said.
        await turn.giveBack().catch(() => {});
        throw error;
      }
      await turn.done();
      await line.show(`${++done} of ${counted(count, work.noun)}`);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(prepared.most, count) }, worker));
  await line.end();
  const failed = ended.find((one) => one.status === "rejected");
  if (failed && !signal.aborted) throw failed.reason;
  prepared.end();
}
