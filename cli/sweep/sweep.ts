/**
 * The loop of a sweep: so many trials at a time, each chosen by what is known when there is room for it.
 *
 * @module
 */
import { FerrotypeError, FormatError } from "../../mod.ts";
import type { Program } from "../../src/platform/platform.ts";
import { choose, promotion, type Trial } from "../../src/search/mod.ts";
import type { Piece, WorkQueue } from "../queue/queue.ts";
import type { Share } from "../sharing/share.ts";
import { type Ground, planOf } from "./fit.ts";
import type { Begun, SweepFolder, SweepSettings } from "./folder.ts";
import { ranked } from "./report.ts";
import { type Outcome, runTrial, type Task } from "./trials.ts";

/** What trials may cost together. */
export interface Budget {
  /** Trials. */
  readonly trials: number;
  /** Steps of training. */
  readonly steps: number;
  /** Seconds of training. */
  readonly seconds: number;
}

/** Why no trial is begun any more. */
export type Ending = "trials" | "budget" | "exhausted" | "stopped";

/** A point that was not to be tried. */
export type Refused = ReturnType<typeof choose>["refused"][number];

/** What hears of progress. */
export interface Listener {
  /** Something began or ended. */
  readonly onChange: (running: number) => Promise<void>;
  /** A trial ended. */
  readonly onEnd: (trial: number, outcome: Outcome) => Promise<void>;
}

/** What is to be done, and the queue's word for it. */
type QueuedTask = Task & { readonly piece?: Piece };

/** How long to wait where others are at work on all that is left, in milliseconds. */
const pause = 200;

/** What a trial, as far as a rung, is called in a queue. */
const nameOf = (trial: number, rung: number): string => `trial-${trial}-${rung}`;
const numbersOf = (name: string): [trial: number, rung: number] => {
  const [, trial, rung] = name.split("-").map(Number);
  return [trial, rung];
};

/** Trials of one worker. */
export class Sweep {
  /** Points that cannot be tried, by what they say. */
  readonly refused = new Map<string, Refused>();
  ending: Ending = "trials";
  readonly #folder: SweepFolder;
  readonly #settings: SweepSettings;
  readonly #ground: Ground;
  readonly #share: Share;
  readonly #budget: Budget;
  readonly #keepAll: boolean;
  readonly #listener: Listener;
  readonly #queue: WorkQueue | null;
  readonly #running = new Map<
    number,
    { rung: number; steps: number; program: Program | null; piece: Piece | null }
  >();
  #isStopped = false;

  /** Of the worker `share` in `folder`; a queue hands out trials where there is one. */
  constructor(
    folder: SweepFolder,
    settings: SweepSettings,
    ground: Ground,
    share: Share,
    budget: Budget,
    keepAll: boolean,
    listener: Listener,
    queue: WorkQueue | null = null,
  ) {
    this.#queue = queue;
    this.#folder = folder;
    this.#settings = settings;
    this.#ground = ground;
    this.#share = share;
    this.#budget = budget;
    this.#keepAll = keepAll;
    this.#listener = listener;
  }

  /** Whether it was told to stop. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Has trials save and end; none is begun any more. */
  stop(): void {
    this.#isStopped = true;
    for (const { program } of this.#running.values()) program?.close();
  }

  /** Ends trials without waiting for them to save: each takes along what it has half written. */
  async end(): Promise<void> {
    await Promise.all([...this.#running].map(async ([trial, { program }]) => {
      await program?.end();
      // What does not hear is killed, and takes nothing along.
      if (program) await this.#folder.clean(trial);
    }));
  }

  /** Kills trials, as {@link end} does to what does not hear. */
  kill(): void {
    for (const { program } of this.#running.values()) program?.kill();
  }

  /** Runs `jobs` trials at a time until there is nothing left to try. */
  async run(jobs: number): Promise<void> {
    const { index } = this.#share, ends = new Map<number, Promise<void>>();
    let failure: unknown = null, hasLeft = false;
    while (true) {
      while (ends.size < jobs && !this.#isStopped && failure === null) {
        const task = await this.#next();
        if (!task) break;
        const steps = task.until - (this.#folder.of(task.trial).at(-1)?.step ?? 0);
        const piece = task.piece ?? null;
        this.#running.set(task.trial, { rung: task.rung, steps, program: null, piece });
        const end = this.#try(task, piece).catch((error) => {
          failure ??= error;
          for (const { program } of this.#running.values()) program?.close();
        }).finally(() => {
          this.#running.delete(task.trial);
          ends.delete(task.trial);
        });
        ends.set(task.trial, end);
      }
      if (this.#queue && failure === null && !this.#isStopped) {
        if (ends.size === 0 && await this.#isOver()) break;
        // Others may add work, or leave theirs.
        await Promise.race([...ends.values(), new Promise((go) => setTimeout(go, pause))]);
        continue;
      }
      if (ends.size === 0) {
        if (hasLeft) break;
        // One that ended at the same time may have left its trials to who is here: whoever has gone looks once more.
        await this.#folder.leave(index);
        hasLeft = true;
        continue;
      }
      hasLeft = false;
      await Promise.race(ends.values());
    }
    if (this.#queue) await this.#folder.leave(index);
    if (failure !== null) throw failure;
    if (this.#isStopped) this.ending = "stopped";
    await this.#folder.write();
    if (!this.#isStopped) await this.#clear(true);
  }

  async #try(task: Task, piece: Piece | null): Promise<void> {
    const { trial, rung } = task, lost = piece?.lost;
    // Where another has it, it trains in the same folder: this one is not to write there any more. Where the queue is gone nobody
    // has it, and it saves.
    lost?.addEventListener("abort", () => {
      const program = this.#running.get(trial)?.program;
      if (lost.reason instanceof FerrotypeError) program?.close();
      else program?.kill();
    }, { once: true });
    const outcome = await runTrial(task, this.#ground, async (program) => {
      this.#running.get(trial)!.program = program;
      // Told while it was being started.
      if (this.#isStopped || lost?.aborted) program.close();
      const children = [...this.#running.values()].flatMap(({ program }) => program ? [program.pid] : []);
      await this.#folder.tell(this.#share.index, children);
      await this.#listener.onChange(this.#running.size);
    }, () => this.#isStopped || lost?.aborted === true);
    if (lost?.reason instanceof FerrotypeError) throw lost.reason;
    if (outcome.status === "stopped") await piece?.giveBack();
    else {
      const loss = outcome.status === "done" ? outcome.loss : null;
      const error = outcome.status === "failed" ? outcome.error : null;
      const { status, step, seconds } = outcome;
      await this.#folder.record({ trial, rung, status, loss, step, seconds, error });
      await piece?.done();
      this.#running.delete(trial);
      await this.#clear(false);
    }
    await this.#listener.onEnd(trial, outcome);
  }

  #isMine(trial: number): boolean {
    return trial % this.#share.count === this.#share.index;
  }

  /** Whether it is this worker's, or that of one who has gone: then whoever is here takes it further. */
  #mayTake(trial: number): boolean {
    return this.#queue !== null || this.#isMine(trial) || !this.#folder.isHere(trial % this.#share.count);
  }

  /** The last rung. */
  get #top(): number {
    return (this.#settings.rungs?.length ?? 1) - 1;
  }

  #task(begun: Begun, rung: number): Task {
    const { trial, steps } = begun;
    // It may come from a queue that others write to.
    const other = Object.keys(begun.parameters).find((name) => !Object.hasOwn(this.#settings.space, name));
    if (other !== undefined) {
      throw new FormatError(`${this.#folder.path}: trial ${trial} has ${other}, which is not searched`);
    }
    // It was begun, so it could be: limits may have become less since.
    const plan = planOf({ ...this.#ground, maxParameters: Infinity, maxMemory: Infinity }, begun.parameters);
    if ("refused" in plan) {
      throw new FormatError(`${this.#folder.path}: trial ${trial} cannot go on: ${plan.refused}`);
    }
    const { flags } = plan, until = this.#settings.rungs?.[rung] ?? steps;
    return { trial, rung, folder: this.#folder.folderOf(trial), flags, steps, until };
  }

  /** What to do next; null where there is nothing as long as no other trial ends. */
  async #next(): Promise<QueuedTask | null> {
    if (this.#queue) return await this.#fromQueue(this.#queue);
    const folder = this.#folder, { rungs, eta } = this.#settings;
    await folder.refresh();
    // What was begun before this program was comes first.
    const isLeft = (trial: number, rung: number): boolean =>
      !this.#running.has(trial) && folder.of(trial).length === rung;
    const left = folder.begun.find(({ trial }) => this.#isMine(trial) && isLeft(trial, 0));
    if (left) return this.#task(left, 0);
    const claim = folder.claims.find(({ trial, rung, worker }) =>
      worker === this.#share.index && isLeft(trial, rung)
    );
    if (claim) return this.#task(folder.begun.find(({ trial }) => trial === claim.trial)!, claim.rung);
    if (rungs) {
      const results = folder.all.map(({ trial, rung, loss }) => ({ trial, rung, loss: loss ?? Infinity }));
      const next = promotion(
        results,
        [...results, ...folder.claims],
        rungs.length,
        eta,
        (t) => this.#mayTake(t),
      );
      if (next) return await this.#further(next.trial, next.rung);
    }
    const { index, count } = this.#share;
    for (let trial = index; trial < this.#budget.trials; trial += count) {
      if (folder.begun.some((begun) => begun.trial === trial)) continue;
      const begun = await this.#begin(trial);
      if (begun === null) return this.ending === "exhausted" ? await this.#furthest() : null;
      // Another process took the number: there is a next one.
      if (begun.isFirst) return this.#task(begun, 0);
    }
    return await this.#furthest() ?? this.#end("trials");
  }

  /** Chooses a trial's point by what is known, and begins it; null where there is none, or none within the budget. */
  async #begin(trial: number): Promise<Begun & { isFirst: boolean } | null> {
    const folder = this.#folder, { rungs, method, space, search_seed: seed } = this.#settings;
    const known: Trial[] = folder.begun.map((begun) => {
      const last = folder.of(begun.trial).at(-1);
      return { ...begun, loss: last ? last.loss ?? Infinity : null };
    });
    const choice = choose(method, space, known, trial, seed, (point) => planOf(this.#ground, point));
    for (const one of choice.refused) this.refused.set(JSON.stringify(one.parameters), one);
    if (choice.parameters === null) return this.#end("exhausted");
    const plan = planOf(this.#ground, choice.parameters);
    if ("refused" in plan) throw new FormatError(plan.refused);
    const { steps } = plan.settings, { parameters, parents } = choice;
    if (!this.#affords(rungs?.[0] ?? steps)) return this.#end("budget");
    const begun = { trial, parameters, parents, model_parameters: plan.size, steps };
    return { ...begun, isFirst: await folder.add(begun) };
  }

  /** What the queue gives. What earned its next rung is put before all that waits. */
  async #fromQueue(queue: WorkQueue): Promise<QueuedTask | null> {
    const folder = this.#folder, { rungs, eta } = this.#settings;
    await folder.refresh();
    for (let isMore = rungs !== null; isMore;) {
      const results = folder.all.map(({ trial, rung, loss }) => ({ trial, rung, loss: loss ?? Infinity }));
      const next = promotion(results, [...results, ...folder.claims], rungs!.length, eta);
      isMore = next !== null && await this.#promise(queue, next.trial, next.rung);
    }
    for (let piece; (piece = await queue.take()) !== null;) {
      await folder.refresh();
      const [trial, rung] = numbersOf(piece.name), begun = folder.begun.find((one) => one.trial === trial);
      if (folder.of(trial).length > rung || (rung > 0 && !begun)) {
        await piece.done();
        continue;
      }
      if (piece.isHopeless) {
        const error = "every worker that was at it died";
        if (begun) {
          await folder.record({ trial, rung, status: "failed", loss: null, step: 0, seconds: 0, error });
        }
        await piece.done();
        continue;
      }
      // Its worker was killed, perhaps here.
      if (begun) await folder.demandDeadGone(() => Promise.resolve());
      const chosen = begun ?? (this.#isAtEnd ? null : await this.#begin(trial));
      if (chosen) {
        const own = folder.begun.find((one) => one.trial === trial)!;
        return { ...this.#task(own, rung), piece };
      }
      await piece.done();
    }
    return null;
  }

  /** Has a trial go on; another worker may have been quicker. @returns whether it may. */
  async #promise(queue: WorkQueue, trial: number, rung: number): Promise<boolean> {
    const rungs = this.#settings.rungs!;
    if (!this.#affords(rungs[rung] - rungs[rung - 1])) return this.#end("budget") !== null;
    await this.#folder.claim(trial, rung, this.#share.index);
    await queue.offer([nameOf(trial, rung)], true);
    return true;
  }

  /** Whether no trial is begun any more, though not all were. */
  get #isAtEnd(): boolean {
    return this.ending === "budget" || this.ending === "exhausted";
  }

  /** Whether all is recorded, by whomever. Where the queue is empty and it is not, what is left is offered again. */
  async #isOver(): Promise<boolean> {
    const folder = this.#folder, queue = this.#queue!, { rungs } = this.#settings;
    await folder.refresh();
    const left = [
      ...folder.claims.filter(({ trial, rung }) => folder.of(trial).length <= rung),
      ...Array.from({ length: this.#budget.trials }, (_, trial) => ({ trial, rung: 0 })).filter(({ trial }) =>
        folder.of(trial).length === 0 &&
        !(this.#isAtEnd && !folder.begun.some((begun) => begun.trial === trial))
      ),
    ];
    if (left.length > 0) {
      if (!await queue.isIdle()) return false;
      await this.offer(left);
      return false;
    }
    const [best] = ranked(folder.recorded);
    if (!rungs || !best || best.rungs.length > this.#top) return true;
    return !await this.#promise(queue, best.trial, best.rungs.length);
  }

  /** Puts trials into the queue: those, or all that are to be. */
  async offer(pieces?: readonly { readonly trial: number; readonly rung: number }[]): Promise<void> {
    // A server that was started anew remembers nothing.
    await this.#folder.files.publish();
    const all = pieces ?? Array.from({ length: this.#budget.trials }, (_, trial) => ({ trial, rung: 0 }))
      .filter(({ trial }) => this.#folder.of(trial).length === 0);
    await this.#queue!.offer(all.map(({ trial, rung }) => nameOf(trial, rung)));
  }

  /** The best goes all the way when no other trial runs, so that there is a whole model. */
  async #furthest(): Promise<Task | null> {
    const { rungs } = this.#settings, folder = this.#folder, [best] = ranked(folder.recorded);
    if (!rungs || !best || folder.begun.length > folder.recorded.length || this.#running.size > 0) {
      return null;
    }
    const rung = best.rungs.length;
    // Others are at work.
    if (folder.claims.some((claim) => folder.of(claim.trial).length === claim.rung)) return null;
    if (rung > this.#top || !this.#mayTake(best.trial)) return null;
    return await this.#further(best.trial, rung);
  }

  /** Takes a trial to a rung; another may be quicker. */
  async #further(trial: number, rung: number): Promise<Task | null> {
    const rungs = this.#settings.rungs!;
    if (!this.#affords(rungs[rung] - rungs[rung - 1])) return this.#end("budget");
    if (!await this.#folder.claim(trial, rung, this.#share.index)) return await this.#next();
    return this.#task(this.#folder.begun.find((begun) => begun.trial === trial)!, rung);
  }

  #end(why: Ending): null {
    this.ending = why;
    return null;
  }

  /** Whether so many steps more are within the budget. */
  #affords(more: number): boolean {
    const done = this.#folder.recorded, { steps, seconds } = this.#budget;
    const spent = done.reduce((sum, { step }) => sum + step, 0);
    const promised = [...this.#running.values()].reduce((sum, { steps }) => sum + steps, 0);
    return spent + promised + more <= steps && done.reduce((sum, r) => sum + r.seconds, 0) < seconds;
  }

  /** Removes what own trials have trained, but for the best; where trials may go on, only at the end. */
  async #clear(isEnd: boolean): Promise<void> {
    if (this.#keepAll || (this.#top > 0 && !isEnd)) return;
    const recorded = this.#folder.recorded, best = ranked(recorded)[0]?.trial;
    const taken = this.#folder.claims.filter(({ trial, rung }) => this.#folder.of(trial).length === rung);
    for (const { trial } of recorded) {
      const isFree = !this.#running.has(trial) && !taken.some((claim) => claim.trial === trial);
      if (trial !== best && this.#mayTake(trial) && isFree) {
        await this.#folder.forget(trial);
      }
    }
  }
}
