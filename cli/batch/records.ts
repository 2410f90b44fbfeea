/**
 * The folder in which the answers of a batch are gathered.
 *
 * Every worker adds lines to a file of its own, `part-NAME.jsonl`, each as soon as it is known; so no two write to one file, and a
 * worker that is killed loses at most the line at work. When all are there, whoever sees it writes `output.jsonl`: each request
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

/** Answers by their requests. */
export class Records {
  readonly directory: string;
  readonly #own: string;
  #known = new Map<string, string>();

  /** Of the worker `name` in `directory`. */
  constructor(directory: string, name: string) {
    this.directory = directory;
    this.#own = String(joinPath(directory, `part-${name}.jsonl`));
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
    const found = new Map<string, string>();
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

  /** Adds an answer. */
  async add(answer: Answer): Promise<void> {
    const line = JSON.stringify(answer);
    await appendFile(this.#own, `${line}\n`);
    this.#known.set(answer.custom_id, line);
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
