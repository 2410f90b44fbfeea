/**
 * The folder in which the answers of a batch are gathered.
 *
 * Every worker adds lines to a file of its own, `part-NAME.jsonl`, each as soon as it is known; so no two write to one file, and a
 * worker that is killed loses at most the line at work. Where a queue hands requests out, an answer is recorded there first, which
 * only one can, so that workers need not share the folder. When all are there, whoever sees it writes `output.jsonl`: each request
 * once, in the order of the input.
 *
 * @module
 */
import { appendFile, truncate } from "node:fs/promises";
import {
  exists,
  joinPath,
  makeDir,
  readDir,
  readTextFile,
  writeFileAtomic,
} from "../../src/platform/platform.ts";
import { demandFolder, letters } from "../place.ts";
import type { WorkQueue } from "../queue/queue.ts";

/** One answer, as OpenAI's batches write it. */
export interface Answer {
  readonly id: string;
  readonly custom_id: string;
  readonly response:
    | { readonly status_code: number; readonly request_id: string; readonly body: unknown }
    | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** How a line begins, and with it a file. */
const begins = '{"id":"batch_req_';

/** Where answers are recorded beside the folder, for workers elsewhere. */
export interface Elsewhere {
  /** All answers, as lines by their requests. */
  all(): Promise<Map<string, string>>;
  /** One answer, where it is there. */
  of(id: string): Promise<string | null>;
  /** Records one. @returns false where another worker recorded it. */
  once(id: string, line: string): Promise<boolean>;
}

/** How answers are called in a queue. */
const answer = "answer:";

/** Those that are recorded beside a queue. */
export function answersIn(queue: WorkQueue): Elsewhere {
  return {
    all: async () => {
      const found = await queue.records((name) => name.startsWith(answer));
      return new Map([...found].map(([name, line]) => [name.slice(answer.length), line]));
    },
    of: (id) => queue.read(answer + id),
    once: (id, line) => queue.once(answer + id, line),
  };
}

/** Answers by their requests. */
export class Records {
  readonly directory: string;
  readonly #own: string;
  readonly #elsewhere: Elsewhere | null;
  #known = new Map<string, string>();

  /** Of the worker `name` in `directory`. */
  constructor(directory: string, name: string, elsewhere: Elsewhere | null = null) {
    this.directory = directory;
    this.#own = String(joinPath(directory, `part-${name}.jsonl`));
    this.#elsewhere = elsewhere;
  }

  /** Where the whole is written. */
  get output(): string {
    return String(joinPath(this.directory, "output.jsonl"));
  }

  /**
   * Makes the folder, and mends what a killed worker of this name left.
   * @throws {UsageError} where it holds other files of the names that answers are written to.
   */
  async open(): Promise<void> {
    await makeDir(this.directory);
    const own = [this.#own, this.output].map((path) => path.split(/[/\\]/).at(-1));
    await demandFolder("batch", this.directory, null, {
      replaces: (name) => own.includes(name),
      // A worker may be killed within its first line.
      is: (_, head) => begins.startsWith(letters(head, begins.length)),
    });
    if (!await exists(this.#own)) return;
    const text = await readTextFile(this.#own), whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) await truncate(this.#own, new TextEncoder().encode(whole).length);
  }

  /** Reads what all workers have written; gives how many requests are answered. */
  async refresh(): Promise<number> {
    // What is in both places is what was recorded first, so that all machines read the same.
    const found = await this.#elsewhere?.all() ?? new Map<string, string>();
    const parts = (await readDir(this.directory)).map(({ name }) => name).filter((name) =>
      /^part-.*\.jsonl$/.test(name)
    );
    for (const name of parts.sort()) {
      const text = await readTextFile(joinPath(this.directory, name));
      // A line without an end is still being written, or never will be.
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
        const id = line === "" ? null : idOf(line);
        if (id !== null && !found.has(id)) found.set(id, line);
      }
    }
    this.#known = found;
    return found.size;
  }

  /** Whether a request was answered when {@link Records.refresh} looked, or by this worker since. */
  has(id: string): boolean {
    return this.#known.has(id);
  }

  /** Records elsewhere what the folder alone holds. */
  async publish(): Promise<void> {
    const there = await this.#elsewhere?.all();
    for (const [id, line] of this.#known) if (!there?.has(id)) await this.#elsewhere?.once(id, line);
  }

  /** Whether a request was answered meanwhile, by whomever. */
  async isElsewhere(id: string): Promise<boolean> {
    if (this.#known.has(id)) return true;
    const line = await this.#elsewhere?.of(id) ?? null;
    if (line !== null) this.#known.set(id, line);
    return line !== null;
  }

  /** Adds an answer, unless another worker was quicker. */
  async add(answer: Answer): Promise<void> {
    const line = JSON.stringify(answer), id = answer.custom_id;
    if (await this.#elsewhere?.once(id, line) !== false) await appendFile(this.#own, `${line}\n`);
    this.#known.set(id, line);
  }

  /** Writes the whole, where every one of `ids` is answered. Whether it is. */
  async finish(ids: readonly string[]): Promise<boolean> {
    await this.refresh();
    if (!ids.every((id) => this.#known.has(id))) return false;
    await writeFileAtomic(this.output, ids.map((id) => `${this.#known.get(id)}\n`).join(""));
    return true;
  }
}

function idOf(line: string): string | null {
  try {
    const { custom_id } = JSON.parse(line) as { custom_id?: unknown };
    return typeof custom_id === "string" ? custom_id : null;
  } catch {
    return null;
  }
}
