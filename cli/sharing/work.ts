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
import { demandMade, type Made, madeIn, sayMade, type Settings, settingsFile } from "./settings.ts";
import { shareOf, shareOption } from "./share.ts";
import { localTurns, queueTurns, type Turns } from "./turns.ts";

/** The options of a command whose work may be shared; `pieces` and `does` say what: "requests", "answers every Nth request". */
export const sharingOptions = (pieces: string, does: string): Options => ({
  share: shareOption(does),
  ...queueOptions(pieces),
});

/** What they have no effect beside. */
export const sharingIdle = queueIdle;

/** What does a piece, and how many at a time. */
export interface Prepared<P> {
  readonly most: number;
  work(piece: P, signal: AbortSignal): Promise<Line>;
  end(): void;
}

/** What is to be done. */
export interface Work<P> {
  readonly form: LineForm;
  /** What a piece is called: "request". */
  readonly noun: string;
  readonly pieces: readonly P[];
  /** What they are; null where the name of each says it, and a folder may come to hold others beside them. */
  readonly content: unknown;
  /** What decides what comes of them beside: options, and the model. */
  settings(): Promise<Settings>;
  /** Gets ready, where there is something to do. */
  prepare(signal: AbortSignal): Promise<Prepared<P>>;
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
  /** Why those failed that did, by pieces. */
  readonly failures: ReadonlyMap<string, string>;
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
  const { form: { command }, pieces, noun, content } = work, ids = pieces.map(({ id }) => id);
  const isAsked = values.flag("status"), settings = isAsked ? {} : await work.settings();
  // A queue counts pieces, a folder names them.
  const of = content === null ? null : await digestOf(content);
  const here: Made = { command, pieces_sha256: of, settings };
  const there: Made = { ...here, pieces_sha256: await digestOf([ids, of]) };
  const demandHere = (text: string): void =>
    demandMade(text, here, out, noun, isAsked ? "name its own" : "name another folder");
  const demandThere = (text: string): void =>
    demandMade(text, there, queue!.where, noun, "give --queue-name another, or -o another folder");
  const folder = await madeIn(out);
  if (folder !== null) demandHere(folder);
  const known = await queue?.read("work") ?? null;
  if (known !== null) demandThere(known);
  const array = isAsked || queue ? null : shareOf(command, values.text("share"));
  const { index, count } = array ?? { index: 0, count: 1 };
  const controller = new AbortController(), { signal } = controller;
  const remove = onStop(() => controller.abort());
  try {
    let prepared: Prepared<P> | null = null;
    if (queue && !isAsked) {
      // A queue that is new is begun by one who can do what it is of.
      if (known === null) prepared = await work.prepare(signal);
      demandThere(await queue.begin("work", JSON.stringify(there)));
    }
    const name = queue && !isAsked ? `queue-${await queue.number()}` : String(index);
    const records = new Records(out, name, work.form, queue && linesIn(queue));
    await records.open();
    // Who begins says it first.
    if (await records.isBegun() && await madeIn(out) === null && !isAsked) {
      throw new UsageError(
        `${command}: ${out} holds results, and no ${settingsFile} that says what of; name another folder`,
      );
    }
    await records.refresh();
    if (!isAsked) await records.retry();
    const mine = isAsked
      ? []
      : pieces.filter(({ id }, i) => (queue !== null || i % count === index) && !records.has(id));
    if (queue && !isAsked) await records.publish();
    if (mine.length > 0) {
      prepared ??= await work.prepare(signal);
      demandHere(await sayMade(out, here));
      await queue?.join();
      const turns = queue
        ? queueTurns(queue, pieces, records, (piece) => work.hopeless(piece), signal)
        : localTurns(mine);
      await doAll(prepared, noun, turns, records, mine.length, signal);
    }
    prepared?.end();
    // To ask a queue brings what is known into the folder.
    if (!signal.aborted && (queue || !isAsked)) {
      if (!isAsked) await sayMade(out, here);
      else if (known !== null) await sayMade(out, { ...JSON.parse(known) as Made, pieces_sha256: of });
      await records.finish(ids);
    } else await records.refresh();
    const done = ids.filter((id) => records.has(id)).length;
    const output = done === ids.length ? records.output : null;
    return { done, output, isStopped: signal.aborted, lines: records.lines, failures: records.failures };
  } finally {
    remove();
  }
}

async function doAll<P extends { readonly id: string }>(
  prepared: Prepared<P>,
  noun: string,
  turns: Turns<P>,
  records: Records,
  count: number,
  signal: AbortSignal,
): Promise<void> {
  const line = new LiveLine();
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
      await line.show(`${++done} of ${counted(count, noun)}`);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(prepared.most, count) }, worker));
  await line.end();
  const failed = ended.find((one) => one.status === "rejected");
  if (failed && !signal.aborted) throw failed.reason;
}
