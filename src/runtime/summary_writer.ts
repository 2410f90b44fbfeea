/**
 * Numbers of a run, written for TensorBoard to draw.
 *
 * @module
 */
import { demand, demandNoMore, demandText } from "../core/demand.ts";
import { FerrotypeError } from "../core/errors.ts";
import { whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { joinPath, makeDir, openPartialFile, type PartialFile, processId } from "../platform/platform.ts";
import { eventRecord } from "../train/event_file.ts";

/**
 * Options of {@link SummaryWriter}.
 *
 * @category Training
 */
export interface SummaryWriterOptions {
  /** Of what was written into the folder before, nothing from this step on is shown: a run goes on from an older step. */
  purgeStep?: number;
}

const summaryWriterOptions: OptionTable<SummaryWriterOptions> = { purgeStep: whole(0) };

/** Files that this process has begun. */
let begun = 0;

/**
 * Writes an event file into a folder, as `SummaryWriter` of `torch.utils.tensorboard` does: `tensorboard --logdir` of the folder, or
 * of one above it, draws it.
 *
 * @example
 * ```ts
 * const board = new SummaryWriter(folder);
 * for (let step = 1; step <= 3; step++) board.addScalar("loss", 1 / step, step);
 * await board.close();
 * ```
 * @category Training
 */
export class SummaryWriter {
  /** The folder. */
  readonly directory: string;
  #waiting: Uint8Array[] = [];
  #file: Promise<PartialFile> | null = null;
  #isClosed = false;
  /** What is written is in order, whoever waits for it. */
  #written: Promise<void> = Promise.resolve();

  /**
   * Nothing is written yet.
   * @throws {OptionError} for a purgeStep that is no step.
   */
  constructor(directory: string, options: SummaryWriterOptions = {}) {
    demandNoMore(arguments, 2, "SummaryWriter");
    demandText("SummaryWriter", directory, "the directory");
    const { purgeStep } = checkOptions("SummaryWriter", options, summaryWriterOptions);
    this.directory = directory;
    const step = purgeStep ?? 0;
    this.#add(eventRecord({ isFirst: true }, step, now()));
    if (purgeStep !== undefined) this.#add(eventRecord({ isStart: true }, step, now()));
  }

  #add(record: Uint8Array): void {
    if (this.#isClosed) throw new FerrotypeError("SummaryWriter: it is closed; make another one");
    this.#waiting.push(record);
  }

  /**
   * Notes a number, such as a loss, of a step; `wallTime` is seconds since 1970, by default now.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  addScalar(tag: string, value: number, step: number, wallTime: number = now()): void {
    demandNoMore(arguments, 4, "addScalar");
    demandText("addScalar", tag, "the tag");
    demand("addScalar", "the value", value, typeof value === "number", "a number");
    demand("addScalar", "the step", step, whole(0).accepts(step), "a whole number from 0");
    demand("addScalar", "the wallTime", wallTime, Number.isFinite(wallTime), "seconds since 1970");
    this.#add(eventRecord({ scalars: { [tag]: value } }, step, wallTime));
  }

  /** Has all that was noted in the file. */
  async flush(): Promise<void> {
    demandNoMore(arguments, 0, "flush");
    const records = this.#waiting.splice(0);
    this.#written = this.#written.then(async () => {
      if (!records.length) return;
      const file = await (this.#file ??= this.#open());
      const all = new Uint8Array(records.reduce((sum, record) => sum + record.length, 0));
      let at = 0;
      for (const record of records) {
        all.set(record, at);
        at += record.length;
      }
      await file.write(all);
    });
    await this.#written;
  }

  async #open(): Promise<PartialFile> {
    await makeDir(this.directory);
    // TensorBoard reads the files of a folder in the order of their names, which begin with when they were made.
    const seconds = String(Math.floor(now())).padStart(10, "0");
    const name = `events.out.tfevents.${seconds}.ferrotype.${processId()}.${begun++}`;
    return await openPartialFile(joinPath(this.directory, name));
  }

  /** Writes what is left, and lets go of the file. */
  async close(): Promise<void> {
    demandNoMore(arguments, 0, "close");
    if (this.#isClosed) return;
    await this.flush();
    this.#isClosed = true;
    await (await this.#file)?.close();
  }
}

const now = (): number => Date.now() / 1000;
