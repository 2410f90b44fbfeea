/**
 * A folder of checkpoints: the newest, the best, and no half-written one.
 *
 * A checkpoint is written into a folder with a temporary name, which is then renamed, so one that can be seen is
 * whole. One that is no longer wanted is renamed before it is removed, for the same reason. One process writes to a
 * folder at a time.
 *
 * @module
 */
import { demandNoMore, demandText } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import type { FileSystem } from "../core/file_system.ts";
import {
  type Checkpoint,
  type LoadedCheckpoint,
  readCheckpoint,
  readState,
  writeCheckpoint,
} from "./checkpoint.ts";

/**
 * Options of {@link CheckpointStore}.
 *
 * @category Training
 */
export interface CheckpointOptions {
  /** How many of the newest stay. Default 2. */
  keepLast?: number;
  /** How many of the best stay beside them. Default 1. */
  keepBest?: number;
  /** Files to put into every checkpoint, by name: a `config.json`, a `tokenizer.json`. */
  files?: Readonly<Record<string, string | Uint8Array>>;
  /** The file system. */
  fileSystem: FileSystem;
}

/**
 * A checkpoint on the disk.
 *
 * @category Training
 */
export interface CheckpointInfo {
  /** Its folder. */
  path: string;
  /** Steps done. */
  step: number;
  /** Its loss; null: not known. */
  loss: number | null;
}

/** {@link CheckpointOptions} as data, but for the file system. */
export const keepingOptions: OptionTable<Omit<CheckpointOptions, "fileSystem">> = {
  keepLast: kinds.whole(1),
  keepBest: kinds.whole(0),
  files: kinds.object,
};

const checkpointOptions: OptionTable<CheckpointOptions> = {
  ...keepingOptions,
  fileSystem: required(kinds.like("a file system", "writeFileAtomic", "rename")),
};

const loadOptions: OptionTable<{ device?: DeviceName }> = { device: kinds.device };

const pattern = /^step-(\d+)(?:\.(\d+))?$/, temporary = /^\.step-\d+\..*\.tmp$/;

/**
 * Saves and finds checkpoints in one folder.
 *
 * @category Training
 */
export class CheckpointStore {
  /** The folder. */
  readonly directory: string;
  readonly #options: Required<CheckpointOptions>;
  readonly #files: FileSystem;
  #work: string | null = null;

  /**
   * A store in `directory`.
   * @throws {OptionError} when nothing would be kept.
   */
  constructor(directory: string, options: CheckpointOptions) {
    demandNoMore(arguments, 2, "CheckpointStore");
    const { keepLast = 2, keepBest = 1, files = {}, fileSystem } = checkOptions(
      "CheckpointStore",
      options,
      checkpointOptions,
    );
    demandText("CheckpointStore", directory, "the directory");
    this.directory = directory.replace(/(?<=.)\/+$/, "");
    this.#options = { keepLast, keepBest, files, fileSystem };
    this.#files = fileSystem;
  }

  /** How many of the best stay beside the newest. */
  get keepBest(): number {
    return this.#options.keepBest;
  }

  /**
   * Writes a checkpoint, then removes those that are no longer wanted. Gives its folder. When that fails nothing of it is
   * left, and the older ones are what they were.
   *
   * @throws {FerrotypeError} where nothing can be written; the older ones are what they were.
   * @throws {FormatError} for a folder whose checkpoints are none of this version.
   */
  async save(checkpoint: Checkpoint): Promise<string> {
    demandNoMore(arguments, 1, "save");
    await this.#files.makeDir(this.directory);
    const number = String(checkpoint.step).padStart(8, "0");
    const random = Math.random().toString(36).slice(2, 10);
    const work = this.#work = `${this.directory}/.step-${number}.${random}.tmp`;
    // The same step saved again gets a number behind it, so that the older one stays until the newer is there.
    const taken = (await this.#folders()).filter(({ step }) => step === checkpoint.step);
    const again = taken.length ? `.${Math.max(...taken.map(({ version }) => version)) + 1}` : "";
    const path = `${this.directory}/step-${number}${again}`;
    try {
      await this.#files.makeDir(work);
      for (const [name, content] of Object.entries(this.#options.files)) {
        await this.#files.writeFileAtomic(`${work}/${name}`, content);
      }
      await writeCheckpoint(this.#files, work, checkpoint);
      await this.#files.rename(work, path);
    } catch (error) {
      await this.abandon();
      throw error;
    }
    this.#work = null;
    await this.#prune();
    return path;
  }

  /** Removes what there is of a checkpoint that is being written: the program is about to end. */
  async abandon(): Promise<void> {
    demandNoMore(arguments, 0, "abandon");
    const work = this.#work;
    this.#work = null;
    // Where that fails too, it goes with the next save.
    if (work !== null) await this.#files.remove(work).catch(() => {});
  }

  /**
   * The checkpoints that are there, the oldest first.
   * @throws {FormatError} for a checkpoint whose state cannot be read.
   */
  async list(): Promise<CheckpointInfo[]> {
    demandNoMore(arguments, 0, "list");
    const found: CheckpointInfo[] = [];
    for (const { name } of await this.#folders()) {
      const path = `${this.directory}/${name}`, { step, loss } = await readState(this.#files, path);
      found.push({ path, step, loss });
    }
    return found;
  }

  /**
   * The newest checkpoint, its tensors on `device`; null when there is none.
   *
   * @throws {FormatError} for one that is damaged.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   */
  async loadLatest(options: { device?: DeviceName } = {}): Promise<LoadedCheckpoint | null> {
    demandNoMore(arguments, 1, "loadLatest");
    const { device } = checkOptions("loadLatest", options, loadOptions);
    const latest = (await this.#folders()).at(-1);
    return latest ? await readCheckpoint(this.#files, `${this.directory}/${latest.name}`, device) : null;
  }

  /**
   * The checkpoint with the lowest loss, its tensors on `device`; null when none has one.
   *
   * @throws {FormatError} for one that is damaged.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   */
  async loadBest(options: { device?: DeviceName } = {}): Promise<LoadedCheckpoint | null> {
    demandNoMore(arguments, 1, "loadBest");
    const { device } = checkOptions("loadBest", options, loadOptions);
    const [best] = byLoss(await this.list());
    return best ? await readCheckpoint(this.#files, best.path, device) : null;
  }

  async #folders(): Promise<{ name: string; step: number; version: number }[]> {
    await this.#files.makeDir(this.directory);
    const found: { name: string; step: number; version: number }[] = [];
    for (const { name, isDirectory } of await this.#files.readDir(this.directory)) {
      const match = isDirectory ? pattern.exec(name) : null;
      if (match) found.push({ name, step: Number(match[1]), version: Number(match[2] ?? 0) });
    }
    return found.sort((a, b) => a.step - b.step || a.version - b.version);
  }

  async #prune(): Promise<void> {
    const folders = await this.#folders();
    // What was saved anew goes first: a crash may have left both.
    for (const [i, { name, step }] of folders.entries()) {
      if (folders[i + 1]?.step === step) await this.#remove(name);
    }
    const all = await this.list(), { keepLast, keepBest } = this.#options;
    const wanted = new Set([...all.slice(-keepLast), ...byLoss(all).slice(0, keepBest)]);
    for (const info of all) {
      if (!wanted.has(info)) await this.#remove(info.path.slice(this.directory.length + 1));
    }
    for (const { name } of await this.#files.readDir(this.directory)) {
      if (temporary.test(name)) await this.#files.remove(`${this.directory}/${name}`);
    }
  }

  async #remove(name: string): Promise<void> {
    const away = `${this.directory}/.${name}.old.tmp`;
    await this.#files.remove(away);
    await this.#files.rename(`${this.directory}/${name}`, away);
    await this.#files.remove(away);
  }
}

function byLoss(list: readonly CheckpointInfo[]): CheckpointInfo[] {
  const known = list.filter(({ loss }) => loss !== null);
  return known.sort((a, b) => (a.loss as number) - (b.loss as number) || b.step - a.step);
}
