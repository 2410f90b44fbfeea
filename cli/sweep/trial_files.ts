/**
 * The files that tell of trials: made in the folder of a sweep, or first beside the queue that hands the trials out, and from there
 * brought into the folder of every worker.
 *
 * Either way a file is made whole, by one process alone, and never changes.
 *
 * @module
 */
import { FormatError } from "../../mod.ts";
import { createFile, joinPath, readDir, readTextFile } from "../../src/platform/platform.ts";
import type { SweepSettings } from "./folder.ts";

/** Where they are made first, for workers elsewhere. */
export interface Beside {
  /** For people. */
  readonly where: string;
  /** Makes one. @returns false where it is there. */
  once(name: string, text: string): Promise<boolean>;
  /** The text of one; null where there is none. */
  read(name: string): Promise<string | null>;
  /** Those whose names `isWanted`. */
  records(isWanted: (name: string) => boolean): Promise<Map<string, string>>;
}

/** Of a trial what is known of it: that it was begun, who takes it to a rung, how far it came. */
export const trialFile = /^(\d{4,})(?:\.rung-(\d+)(\.claim)?)?\.json$/;

/** Where a queue has what the sweep is of. */
export const settingsName = "sweep.json";
const before = "trials/";
const isTrial = (name: string): boolean =>
  name.startsWith(before) && trialFile.test(name.slice(before.length));

/** The files. */
export class TrialFiles {
  readonly #folder: string;
  readonly #beside: Beside | null;
  /** Names of those that are both here and beside. */
  readonly #both = new Set<string>();

  /** In `folder`, which need not be there. */
  constructor(folder: string, beside: Beside | null) {
    this.#folder = folder;
    this.#beside = beside;
  }

  #at(name: string): string {
    return String(joinPath(this.#folder, name));
  }

  /** What the sweep beside is of; null where there is none. @throws {FormatError} for what is none. */
  async settings(): Promise<SweepSettings | null> {
    const text = await this.#beside?.read(settingsName) ?? null;
    if (text === null) return null;
    const where = `what is recorded beside ${this.#beside!.where}`,
      value = parseJson<SweepSettings>(text, where);
    if (typeof value?.text_sha256 === "string" && typeof value.space === "object") return value;
    throw new FormatError(`${where} is no sweep; give --queue-name another`);
  }

  /** Makes one. @returns false where it was made before. */
  async make(name: string, value: object): Promise<boolean> {
    const text = `${JSON.stringify(value)}\n`;
    // What a worker that is killed in between has made beside comes here with all others.
    if (this.#beside && !await this.#beside.once(before + name, text)) return false;
    return await createFile(this.#at(name), text) || this.#beside !== null;
  }

  /** Brings here what is beside. */
  async fetch(): Promise<void> {
    const found = await this.#beside?.records((name) => isTrial(name) && !this.#both.has(name));
    for (const [name, text] of found ?? []) {
      await createFile(this.#at(name.slice(before.length)), text);
      this.#both.add(name);
    }
  }

  /** Makes beside what is here alone. */
  async publish(): Promise<void> {
    await this.fetch();
    for (const { name } of await readDir(this.#folder)) {
      if (!trialFile.test(name) || this.#both.has(before + name)) continue;
      await this.#beside?.once(before + name, await readTextFile(this.#at(name)));
    }
  }
}

/** @throws {FormatError} for a text that is no JSON. */
export function parseJson<T>(text: string, where: string): T {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON; it is damaged`, { cause });
  }
}
