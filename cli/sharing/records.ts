/**
 * The folder in which what comes of many pieces of work is gathered.
 *
 * Every worker adds lines to a file of its own, `part-NAME.jsonl`, each as soon as it is known; so no two write to one file, and a
 * worker that is killed loses at most the line at work. Where a queue hands the work out, a line is recorded there first, which
 * only one can, so that workers need not share the folder. When all are there, whoever sees it writes the whole: each piece once, in
 * the order of the input.
 *
 * @module
 */
import { truncate } from "node:fs/promises";
import {
  appendText,
  exists,
  joinPath,
  makeDir,
  readDir,
  readTextFile,
  writeFileAtomic,
} from "../../src/platform/platform.ts";
import { demandFolder, letters } from "../place.ts";
import type { WorkQueue } from "../queue/queue.ts";

/** What lines look like. */
export interface LineForm {
  /** The command, for messages. */
  readonly command: string;
  /** The file of the whole. */
  readonly output: string;
  /** How a line begins, and with it a file. */
  readonly begins: string;
  /** The field that says of which piece it is. */
  readonly key: string;
  /** Where a line has this field, and its text says why, the piece failed: that is no result, and it is tried again next time. */
  readonly failure?: string;
}

/** What comes of a piece. */
export type Line = Readonly<Record<string, unknown>>;

/** Where lines are recorded beside the folder, for workers elsewhere. */
export interface Elsewhere {
  /** All lines by their pieces. */
  all(): Promise<Map<string, string>>;
  /** One, where it is there. */
  of(id: string): Promise<string | null>;
  /** Records one. @returns false where another worker recorded it. */
  once(id: string, line: string): Promise<boolean>;
  /** Forgets one. */
  forget(id: string): Promise<void>;
}

/** How lines are called in a queue. */
const before = "line:";

/** Those that are recorded beside a queue. */
export function linesIn(queue: WorkQueue): Elsewhere {
  return {
    all: async () => {
      const found = await queue.records((name) => name.startsWith(before));
      return new Map([...found].map(([name, line]) => [name.slice(before.length), line]));
    },
    of: (id) => queue.read(before + id),
    once: (id, line) => queue.once(before + id, line),
    forget: (id) => queue.forget(before + id),
  };
}

/** Lines by the pieces that they are of. */
export class Records {
  readonly directory: string;
  readonly #own: string;
  readonly #form: LineForm;
  readonly #elsewhere: Elsewhere | null;
  #known = new Map<string, string>();
  /** Why those failed that did, in this run or as the queue says. */
  #failures = new Map<string, string>();

  /** Of the worker `name` in `directory`. */
  constructor(directory: string, name: string, form: LineForm, elsewhere: Elsewhere | null = null) {
    this.directory = directory;
    this.#own = String(joinPath(directory, `part-${name}.jsonl`));
    this.#form = form;
    this.#elsewhere = elsewhere;
  }

  /** Where the whole is written. */
  get output(): string {
    return String(joinPath(this.directory, this.#form.output));
  }

  /**
   * Makes the folder, and mends what a killed worker of this name left.
   * @throws {UsageError} where it holds other files of the names that lines are written to.
   */
  async open(): Promise<void> {
    await makeDir(this.directory);
    const own = [this.#own, this.output].map((path) => path.split(/[/\\]/).at(-1)), { begins } = this.#form;
    await demandFolder(this.#form.command, this.directory, null, {
      replaces: (name) => own.includes(name),
      // A worker may be killed within its first line.
      is: (_, head) => begins.startsWith(letters(head, begins.length)),
    });
    if (!await exists(this.#own)) return;
    const text = await readTextFile(this.#own), whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) await truncate(this.#own, new TextEncoder().encode(whole).length);
  }

  /** Files of lines, those of workers first. */
  async #files(): Promise<string[]> {
    return (await readDir(this.directory)).map(({ name }) => name).filter((name) =>
      /^part-.*\.jsonl$/.test(name) || name === this.#form.output
    ).sort((a, b) => Number(a === this.#form.output) - Number(b === this.#form.output) || (a < b ? -1 : 1));
  }

  /** Whether the folder holds lines, or may. */
  async isBegun(): Promise<boolean> {
    return (await this.#files()).length > 0;
  }

  /** Reads what all workers have written. */
  async refresh(): Promise<void> {
    // What is in both places is what was recorded first, so that all machines read the same.
    const found = new Map<string, string>(), failures = new Map(this.#failures);
    for (const [id, line] of await this.#elsewhere?.all() ?? []) {
      const why = this.#failureOf(line);
      if (why === null) found.set(id, line);
      else failures.set(id, why);
    }
    // What a queue brought here is in the whole alone.
    for (const name of await this.#files()) {
      const text = await readTextFile(joinPath(this.directory, name));
      // A line without an end is still being written, or never will be.
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
        const id = line === "" ? null : fieldOf(line, this.#form.key);
        if (id !== null && !found.has(id) && this.#failureOf(line) === null) found.set(id, line);
      }
    }
    for (const id of found.keys()) failures.delete(id);
    this.#known = found;
    this.#failures = failures;
  }

  /** Why a piece failed; null where the line is of one that did not. */
  #failureOf(line: string): string | null {
    const { failure } = this.#form;
    return failure === undefined ? null : fieldOf(line, failure);
  }

  /** Has those that failed elsewhere tried again. */
  async retry(): Promise<void> {
    for (const id of this.#failures.keys()) await this.#elsewhere?.forget(id);
    this.#failures.clear();
  }

  /** Whether a piece was done when {@link Records.refresh} looked, or by this worker since. */
  has(id: string): boolean {
    return this.#known.has(id);
  }

  /** Whether a piece was tried: it is done, or failed. */
  isTried(id: string): boolean {
    return this.#known.has(id) || this.#failures.has(id);
  }

  /** Why those failed that did. */
  get failures(): ReadonlyMap<string, string> {
    return this.#failures;
  }

  /** What is known, by pieces. */
  get lines(): ReadonlyMap<string, string> {
    return this.#known;
  }

  /** Records elsewhere what the folder alone holds. */
  async publish(): Promise<void> {
    const there = await this.#elsewhere?.all();
    for (const [id, line] of this.#known) if (!there?.has(id)) await this.#elsewhere?.once(id, line);
  }

  /** Whether a piece was done meanwhile, by whomever. */
  async isElsewhere(id: string): Promise<boolean> {
    if (this.#known.has(id)) return true;
    const line = await this.#elsewhere?.of(id) ?? null;
    if (line !== null) this.#learn(id, line);
    return line !== null;
  }

  #learn(id: string, line: string): void {
    const why = this.#failureOf(line);
    if (why === null) this.#known.set(id, line);
    else this.#failures.set(id, why);
  }

  /** Adds a line, unless another worker was quicker. */
  async add(id: string, value: Line): Promise<void> {
    const line = JSON.stringify(value);
    // Where there is a queue its other workers have to know of one that failed.
    const isFirst = await this.#elsewhere?.once(id, line) !== false;
    if (isFirst && this.#failureOf(line) === null) await appendText(this.#own, `${line}\n`);
    this.#learn(id, line);
  }

  /** Writes the whole, where every one of `ids` is there. Whether it is. */
  async finish(ids: readonly string[]): Promise<boolean> {
    await this.refresh();
    if (!ids.every((id) => this.#known.has(id))) return false;
    await writeFileAtomic(this.output, ids.map((id) => `${this.#known.get(id)}\n`).join(""));
    return true;
  }
}

/** The text of a line's field; null where it has none. */
function fieldOf(line: string, key: string): string | null {
  try {
    const { [key]: value } = JSON.parse(line) as Line;
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}
