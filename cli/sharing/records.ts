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
  };
}

/** Lines by the pieces that they are of. */
export class Records {
  readonly directory: string;
  readonly #own: string;
  readonly #form: LineForm;
  readonly #elsewhere: Elsewhere | null;
  #known = new Map<string, string>();

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

  /** Reads what all workers have written. */
  async refresh(): Promise<void> {
    // What is in both places is what was recorded first, so that all machines read the same.
    const found = await this.#elsewhere?.all() ?? new Map<string, string>();
    const parts = (await readDir(this.directory)).map(({ name }) => name).filter((name) =>
      /^part-.*\.jsonl$/.test(name)
    );
    for (const name of parts.sort()) {
      const text = await readTextFile(joinPath(this.directory, name));
      // A line without an end is still being written, or never will be.
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
        const id = line === "" ? null : idOf(line, this.#form.key);
        if (id !== null && !found.has(id)) found.set(id, line);
      }
    }
    this.#known = found;
  }

  /** Whether a piece was done when {@link Records.refresh} looked, or by this worker since. */
  has(id: string): boolean {
    return this.#known.has(id);
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
    if (line !== null) this.#known.set(id, line);
    return line !== null;
  }

  /** Adds a line, unless another worker was quicker. */
  async add(id: string, value: Line): Promise<void> {
    const line = JSON.stringify(value);
    if (await this.#elsewhere?.once(id, line) !== false) await appendText(this.#own, `${line}\n`);
    this.#known.set(id, line);
  }

  /** Writes the whole, where every one of `ids` is there. Whether it is. */
  async finish(ids: readonly string[]): Promise<boolean> {
    await this.refresh();
    if (!ids.every((id) => this.#known.has(id))) return false;
    await writeFileAtomic(this.output, ids.map((id) => `${this.#known.get(id)}\n`).join(""));
    return true;
  }
}

function idOf(line: string, key: string): string | null {
  try {
    const { [key]: id } = JSON.parse(line) as Line;
    return typeof id === "string" ? id : null;
  } catch {
    return null;
  }
}
