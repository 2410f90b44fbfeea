/**
 * The folder of a sweep: what it is of, which trials were begun, how they ended.
 *
 * A file that says something is made whole and never changed, and only one process can make it (`createFile`): so a trial is begun
 * once and recorded once, however many workers there are and whenever one of them is killed. `results.jsonl`, a line a trial, is
 * written anew from these files whenever one is added. A trial's folder is the sweep's own because its number was taken before the
 * folder was there; of it, and of the sweep's, only what is called as a run or a sweep calls it is ever removed.
 *
 * @module
 */
import {
  createFile,
  exists,
  hostName,
  isDirectory,
  isProcessAlive,
  joinPath,
  makeDir,
  processId,
  readDir,
  readTextFile,
  remove,
  sweep,
  writeFileAtomic,
} from "../../src/platform/platform.ts";
import type { Point, Space, Value } from "../../src/search/mod.ts";
import { UsageError } from "../command.ts";
import { counted } from "../output.ts";
import { removeOwn, strangersIn } from "../place.ts";
import { isCheckpoints, isOfRun, unfinishedCheckpoint } from "../run_files.ts";
import { type Beside, parseJson, trialFile, TrialFiles } from "./trial_files.ts";

/** What a sweep is of: nothing of it may change while it goes on. */
export interface SweepSettings {
  /** The name of the text or the examples, without its folder. */
  readonly text: string;
  readonly text_sha256: string;
  readonly method: string;
  readonly search_seed: number;
  readonly space: Space;
  /** Options of every trial. */
  readonly fixed: Readonly<Record<string, Value>>;
  /** Steps of the rungs; null where trials go through. */
  readonly rungs: readonly number[] | null;
  readonly eta: number;
}

/** A trial that was begun. */
export interface Begun {
  readonly trial: number;
  readonly parameters: Point;
  readonly parents: readonly number[];
  /** Numbers in the model. */
  readonly model_parameters: number | null;
  /** Steps that the whole training has. */
  readonly steps: number;
}

/** How a trial did, as far as a rung. */
export interface Result {
  readonly trial: number;
  readonly rung: number;
  readonly status: "done" | "failed";
  /** The least held-out loss so far; null where it failed. */
  readonly loss: number | null;
  /** Steps done. */
  readonly step: number;
  readonly seconds: number;
  /** Why it failed. */
  readonly error: string | null;
}

/** A line of results.jsonl. */
export interface Recorded extends Begun {
  readonly status: "done" | "failed";
  readonly loss: number | null;
  readonly step: number;
  readonly seconds: number;
  readonly error: string | null;
  /** What each rung gave. */
  readonly rungs: readonly { readonly step: number; readonly loss: number | null }[];
}

/** What a sweep writes beside what is known of trials: of each worker, and where a trial trains. */
const workerFile = /^worker-\d+\.json$/,
  trialFolder = /^\d{4,}$/;

const numbered = (trial: number): string => String(trial).padStart(4, "0");

/** The folder. */
export class SweepFolder {
  readonly path: string;
  readonly #begun = new Map<number, Begun>();
  readonly #results = new Map<string, Result>();
  /** Who takes a trial to a rung above the first, by both. */
  readonly #claims = new Map<
    string,
    { readonly trial: number; readonly rung: number; readonly worker: number }
  >();
  #workers = new Set<number>();
  /** What tells of trials. */
  readonly files: TrialFiles;

  /** It need not be there; `beside` is where what tells of trials is made first. */
  constructor(path: string, beside: Beside | null = null) {
    this.path = path;
    this.files = new TrialFiles(this.#at("trials"), beside);
  }

  #at(...names: string[]): string {
    return names.reduce((path, name) => String(joinPath(path, name)), this.path);
  }

  /** Where the table of results is. */
  get results(): string {
    return this.#at("results.jsonl");
  }

  /** Where a trial trains. */
  folderOf(trial: number): string {
    return this.#at("trials", numbered(trial));
  }

  /** What it is of; null where there is no sweep. @throws {FormatError} for a damaged file. */
  async settings(): Promise<SweepSettings | null> {
    const path = this.#at("sweep.json");
    return await exists(path) ? await readJson<SweepSettings>(path) : null;
  }

  /** Begins a sweep; another worker may have been quicker, and then what it is of has to be the same. */
  async begin(settings: SweepSettings): Promise<void> {
    await makeDir(this.#at("trials"));
    await createFile(this.#at("sweep.json"), `${JSON.stringify(settings, null, 2)}\n`);
  }

  /** Names under which a sweep writes, where something is there that is none of this one's; sorted. */
  async taken(): Promise<string[]> {
    const isThere = async (...names: string[]): Promise<boolean> => await exists(this.#at(...names));
    const found: string[] = [], trials = this.#at("trials");
    const isSweep = await isThere("sweep.json");
    for (const { name } of await isDirectory(this.path) ? await readDir(this.path) : []) {
      if (!isSweep && (name === "results.jsonl" || workerFile.test(name))) found.push(this.#at(name));
      if (name === "trials" && !await isDirectory(trials)) found.push(trials);
    }
    for (const { name } of await isDirectory(trials) ? await readDir(trials) : []) {
      // Looked for by itself: a worker may have begun the trial since the list was made.
      const isOwn = trialFolder.test(name) ? await isThere("trials", `${name}.json`) : isSweep;
      if ((trialFolder.test(name) || trialFile.test(name)) && !isOwn) found.push(this.#at("trials", name));
    }
    // So may the sweep.
    return !isSweep && await isThere("sweep.json") ? await this.taken() : found;
  }

  /**
   * Removes the sweep that is there, first what says that there is one; what no sweep makes stays.
   * @throws {UsageError} where something else is where trials are to be.
   */
  async clear(): Promise<void> {
    const trials = this.#at("trials");
    for (const { name } of await isDirectory(trials) ? await readDir(trials) : []) {
      if (!trialFolder.test(name)) continue;
      const [stranger] = await strangersIn(this.#at("trials", name), isOfRun);
      if (stranger === undefined) continue;
      throw new UsageError(
        `sweep: ${stranger} is there, where a trial would be removed, and is no part of one; move it away, or name another folder`,
      );
    }
    await remove(this.#at("sweep.json"));
    await removeOwn(this.path, (path, isFolder) => {
      const [first, second, ...more] = path.split("/");
      if (first !== "trials") return !isFolder && (first === "results.jsonl" || workerFile.test(first));
      if (second === undefined) return isFolder;
      if (more.length > 0) return isOfRun(more.join("/"), isFolder);
      return (isFolder ? trialFolder : trialFile).test(second);
    });
  }

  /** Removes what a trial has trained; files that somebody else put there stay. */
  async forget(trial: number): Promise<void> {
    await removeOwn(this.folderOf(trial), isOfRun);
  }

  /** Removes what a trial that is gone was writing. */
  async clean(trial: number): Promise<void> {
    const folder = this.folderOf(trial);
    if (!await exists(folder)) return;
    sweep(folder);
    for (const { name } of await readDir(folder)) {
      const within = joinPath(folder, name);
      if (!isCheckpoints(name) || !await isDirectory(within)) continue;
      sweep(String(within));
      for (const { name } of await readDir(within)) {
        if (unfinishedCheckpoint.test(name)) await remove(joinPath(within, name));
      }
    }
  }

  /** Reads what is new: files that were read do not change. */
  async refresh(): Promise<void> {
    const here = (await readDir(this.path)).flatMap(({ name }) =>
      /^worker-(\d+)\.json$/.exec(name)?.[1] ?? []
    );
    this.#workers = new Set(here.map(Number));
    await this.files.fetch();
    for (const { name } of await readDir(this.#at("trials"))) {
      const found = trialFile.exec(name);
      if (!found) continue;
      const [, trial, rung, claim] = found, path = this.#at("trials", name);
      if (claim !== undefined) {
        const { worker } = this.#claims.get(name) ?? await readJson<{ worker: number }>(path);
        this.#claims.set(name, { trial: Number(trial), rung: Number(rung), worker });
      } else if (rung === undefined) {
        if (!this.#begun.has(Number(trial))) this.#begun.set(Number(trial), await readJson<Begun>(path));
      } else if (!this.#results.has(name)) this.#results.set(name, await readJson<Result>(path));
    }
  }

  /** The trials that were begun, by number. */
  get begun(): Begun[] {
    return [...this.#begun.values()].sort((a, b) => a.trial - b.trial);
  }

  /** What is known of how they did. */
  get all(): Result[] {
    return [...this.#results.values()];
  }

  /** What is known of one, from its first rung up. */
  of(trial: number): Result[] {
    return this.all.filter((result) => result.trial === trial).sort((a, b) => a.rung - b.rung);
  }

  /** @throws {UsageError} where something is in the way that this sweep did not make. */
  async demandFree(way = ""): Promise<void> {
    const [first, ...more] = await this.taken();
    if (first === undefined) return;
    const others = more.length > 0 ? ` (and ${counted(more.length, "other")} of the sweep's names)` : "";
    throw new UsageError(
      `sweep: ${first} is there already${others}, and this sweep did not make it; move it away, ${way}or name another folder`,
    );
  }

  /** Begins a trial. @returns false where it was begun by another. */
  async add(begun: Begun): Promise<boolean> {
    const folder = this.folderOf(begun.trial);
    if (await exists(folder) && !await exists(`${folder}.json`)) await this.demandFree();
    const made = await this.files.make(`${numbered(begun.trial)}.json`, begun);
    await this.refresh();
    return made;
  }

  /** Who takes trials further. */
  get claims(): { readonly trial: number; readonly rung: number; readonly worker: number }[] {
    return [...this.#claims.values()];
  }

  /** Whether a worker is here, or was killed and will come back. */
  isHere(worker: number): boolean {
    return this.#workers.has(worker);
  }

  /** Takes a trial to a rung. @returns false where another does. */
  async claim(trial: number, rung: number, worker: number): Promise<boolean> {
    const name = `${numbered(trial)}.rung-${rung}.claim.json`;
    const made = await this.files.make(name, { worker });
    await this.refresh();
    return made;
  }

  /** Records how a trial did, once. */
  async record(result: Result): Promise<void> {
    const name = `${numbered(result.trial)}.rung-${result.rung}.json`;
    await this.files.make(name, result);
    await this.write();
  }

  /** A line for each trial that ended, however often it was taken up. */
  get recorded(): Recorded[] {
    return this.begun.flatMap((begun) => {
      const results = this.of(begun.trial), last = results.at(-1);
      if (!last) return [];
      const { status, loss, step, error } = last;
      return [{
        ...begun,
        status,
        loss,
        step,
        seconds: Math.round(1000 * results.reduce((sum, { seconds }) => sum + seconds, 0)) / 1000,
        error,
        rungs: results.map(({ step, loss }) => ({ step, loss })),
      }];
    });
  }

  /** Writes results.jsonl. Of workers that write at the same time the last to look has seen all. */
  async write(): Promise<void> {
    let written: string;
    do {
      await this.refresh();
      written = this.recorded.map((line) => `${JSON.stringify(line)}\n`).join("");
      await writeFileAtomic(this.results, written);
      await this.refresh();
    } while (this.recorded.map((line) => `${JSON.stringify(line)}\n`).join("") !== written);
  }

  /** Says who works here, and on what. */
  async tell(worker: number, children: readonly number[]): Promise<void> {
    const text = JSON.stringify({ pid: processId(), host: hostName() ?? null, children });
    await writeFileAtomic(this.#at(`worker-${worker}.json`), `${text}\n`);
  }

  /** Nobody works here any more. */
  async leave(worker: number): Promise<void> {
    await remove(this.#at(`worker-${worker}.json`));
  }

  /** Waits for what killed workers of this machine left running, and forgets them. */
  async demandDeadGone(onWait: (pid: number) => Promise<void>): Promise<void> {
    await this.refresh();
    for (const worker of this.#workers) {
      const path = this.#at(`worker-${worker}.json`);
      if (!await exists(path)) continue;
      const { pid, host, children } = await readJson<WorkerFile>(path);
      if (host !== (hostName() ?? null) || isProcessAlive(pid) !== false) continue;
      await waitFor(children, onWait);
      await this.leave(worker);
    }
  }

  /** Waits for what a killed worker of this machine left running. @throws {UsageError} where the worker itself runs. */
  async demandAlone(worker: number, onWait: (pid: number) => Promise<void>): Promise<void> {
    const path = this.#at(`worker-${worker}.json`);
    if (!await exists(path)) return;
    const { pid, host, children } = await readJson<WorkerFile>(path);
    if (host !== (hostName() ?? null)) return;
    if (pid !== processId() && isProcessAlive(pid) === true) {
      throw new UsageError(
        `sweep: process ${pid} works on ${this.path} already; wait for it, or remove ${path} if that is another program`,
      );
    }
    await waitFor(children, onWait);
  }
}

/** Who works here, and on what. */
interface WorkerFile {
  readonly pid: number;
  readonly host: string | null;
  readonly children: readonly number[];
}

async function waitFor(children: readonly number[], onWait: (pid: number) => Promise<void>): Promise<void> {
  for (const child of children) {
    if (isProcessAlive(child) === true) await onWait(child);
    while (isProcessAlive(child) === true) await new Promise((go) => setTimeout(go, 50));
  }
}

const readJson = async <T>(path: string): Promise<T> => parseJson<T>(await readTextFile(path), path);
