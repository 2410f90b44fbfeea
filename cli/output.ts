/**
 * Where a command's words go: results to standard output, everything else to standard error.
 *
 * @module
 */
import { nounOf } from "../src/core/show.ts";
import { fileError, isTerminal, writeText } from "../src/platform/platform.ts";

let write: typeof writeText = writeText;

/** Sends all words to `to` instead of the streams of the process; gives what undoes it. For tests. */
export function redirectOutput(to: typeof writeText): () => void {
  const before = write;
  write = to;
  return () => {
    write = before;
  };
}

/** Nobody reads standard output any more (`| head -1`): there is nothing left to do, and nothing went wrong. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** Writes a result. */
export async function print(text: string): Promise<void> {
  await printPart(text.endsWith("\n") ? text : `${text}\n`);
}

/**
 * Writes a result without ending the line.
 * @throws {OutputClosed} when its reader is gone.
 * @throws {FerrotypeError} when it cannot be written: it may be a file on a full disk.
 */
export async function printPart(text: string): Promise<void> {
  let isTaken: boolean;
  try {
    isTaken = await write("stdout", text);
  } catch (error) {
    throw fileError("write", "standard output", error);
  }
  if (!isTaken) throw new OutputClosed("standard output was closed");
}

/** Writes one JSON object as the result. */
export async function printJson(value: unknown): Promise<void> {
  await printPart(`${JSON.stringify(value)}\n`);
}

/** Writes a note for the person at the terminal. */
export async function note(text: string): Promise<void> {
  await write("stderr", text.endsWith("\n") ? text : `${text}\n`);
}

/** Rewrites one line on a terminal; in a pipe it is silent. */
export class LiveLine {
  readonly #on: boolean = isTerminal("stderr");
  #shown = false;

  /** Whether anything is shown. */
  get on(): boolean {
    return this.#on;
  }

  /** Replaces the line. */
  async show(text: string): Promise<void> {
    if (!this.#on) return;
    this.#shown = true;
    await write("stderr", `\r\x1b[2K${text}`);
  }

  /** Ends the line, keeping what it says. */
  async end(): Promise<void> {
    if (this.#shown) await write("stderr", "\n");
    this.#shown = false;
  }
}

/** `1 token`, `2,000 tokens`. */
export function counted(n: number, one: string, many?: string): string {
  return `${n.toLocaleString("en")} ${nounOf(n, one, many)}`;
}

/** Bytes for people: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) value /= 1000, unit++;
  return unit === 0
    ? `${bytes} ${nounOf(bytes, "byte")}`
    : `${value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** Seconds for people: `1 h 02 min`, `3 min 05 s`, `12 s`. */
export function formatSeconds(seconds: number): string {
  const s = Math.round(seconds), two = (n: number): string => String(n).padStart(2, "0");
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${two(s % 60)} s` : `${s} s`;
}
