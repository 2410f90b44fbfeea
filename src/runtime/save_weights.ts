/**
 * Weights on their way to the disk, alone or with the files of their model: all of them are there at once.
 *
 * What is replaced by files of other names goes when the new ones are there, but nothing that others wrote: of shards
 * only those that an index of this library names, and that are still the ones it named.
 *
 * @module
 */
import type { Tensor } from "../ops/mod.ts";
import { demandTensor } from "../tensor/mod.ts";
import { demandPath, demandRecord } from "../core/demand.ts";
import {
  digestOf,
  openFiles,
  type PlannedFile,
  planSafetensors,
  readIndex,
  type SafetensorsPlan,
  type SaveOptions,
  type SetDigests,
  type TensorToSave,
} from "../files/mod.ts";
import {
  currentPath,
  directoryOf,
  type FileSink,
  type FileToWrite,
  joinPath,
  openFile,
  pathOf,
  startHash,
  writeFileAtomic,
  writeFiles,
} from "../platform/platform.ts";

import type { BesideWeights, ModelFile } from "./model_files.ts";

class Digests implements SetDigests {
  readonly files: Map<string, string> = new Map();
  all: string | null = null;

  /** Writes a file and notes the SHA-256 of its tensors in it. */
  async write(file: PlannedFile, sink: FileSink): Promise<void> {
    const hash = startHash("sha256");
    let isHeader = true;
    for await (const piece of file.chunks()) {
      if (!isHeader) hash.update(piece);
      isHeader = false;
      await sink.write(piece);
    }
    const digest = await hash.digest();
    await sink.patch(file.digestAt!, new TextEncoder().encode(digest));
    this.files.set(file.name, digest);
  }

  /** Settles what is noted of all: of one file its own, of shards that of theirs in their order. */
  async finish(): Promise<string> {
    const list = [...this.files.values()];
    if (list.length === 1) return this.all = list[0];
    const hash = startHash("sha256");
    for (const digest of list) hash.update(new TextEncoder().encode(digest));
    return this.all = await hash.digest();
  }
}

/** Writes the files of a plan with digests into `folder`, and those beside them. */
async function writeSet(
  folder: string,
  plan: SafetensorsPlan,
  beside: readonly BesideWeights[],
  replaces: "folder" | "set",
): Promise<void> {
  const digests = new Digests();
  const files = plan.files.map((file): FileToWrite => ({
    name: file.name,
    content: file.digestAt === null
      ? async (sink) => {
        await digests.finish();
        for await (const piece of file.chunks(digests)) await sink.write(piece);
      }
      : (sink) => digests.write(file, sink),
  }));
  for (const { name, content } of beside) {
    files.push({
      name,
      content: async (sink) =>
        await sink.write(new TextEncoder().encode(content(digests.all ?? await digests.finish()))),
    });
  }
  const names = plan.files.map(({ name }) => name);
  await writeFiles(folder, files, await outdated(folder, names, replaces));
}

/**
 * The files that {@link writeModel} writes, for where there is no disk. Each is made when it is read; the weights are
 * asked for twice then, as their digest stands before them.
 */
export function modelFiles(
  tensors: Iterable<TensorToSave>,
  options: SaveOptions,
  beside: readonly BesideWeights[],
): ModelFile[] {
  const plan = planSafetensors(tensors, { ...options, digests: true });
  let known: Promise<Digests> | null = null;
  const digests = (): Promise<Digests> => known ??= digestsOf(plan);
  async function* pieces(file: PlannedFile): AsyncGenerator<Uint8Array> {
    const { files } = await digests(), digest = files.get(file.name);
    let isHeader = digest !== undefined;
    for await (const piece of file.chunks(await digests())) {
      if (isHeader) piece.set(new TextEncoder().encode(digest), file.digestAt!);
      isHeader = false;
      yield piece;
    }
  }
  async function* text(content: BesideWeights["content"]): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(content((await digests()).all!));
  }
  return [
    ...plan.files.map((file) => ({ name: file.name, content: pieces(file) })),
    ...beside.map(({ name, content }) => ({ name, content: text(content) })),
  ];
}

/** The digests of a plan's files, by a pass over all tensors. */
async function digestsOf(plan: SafetensorsPlan): Promise<Digests> {
  const digests = new Digests(), nowhere = { write: () => Promise.resolve(), patch: () => Promise.resolve() };
  for (const file of plan.files) if (file.digestAt !== null) await digests.write(file, nowhere);
  await digests.finish();
  return digests;
}

/** Whether a file holds the tensors that an index of this library noted. */
async function isNoted(path: string | null, digest: string): Promise<boolean> {
  if (path === null) return false;
  try {
    const { files } = await openFiles(await openFile(path));
    const found = digestOf(files[0].header.metadata);
    await files[0].close();
    return found === digest;
  } catch {
    return false;
  }
}

/** What goes when `names` come: the file that shards replace, older shards and their index. */
async function outdated(
  folder: string,
  names: readonly string[],
  replaces: "folder" | "set",
): Promise<{ hide: string[]; remove: string[] }> {
  const sharded = names.length > 1;
  const single = names[0].replace(/(-\d{5}-of-\d{5})?\.safetensors$/, ".safetensors"),
    index = `${single}.index.json`;
  const remove = sharded ? [single] : [], hide: string[] = [];
  const old = currentPath(joinPath(folder, index));
  if (old === null || (!sharded && replaces === "set")) return { hide, remove };
  // Of shards with the same names, nobody must find old and new ones by an old index.
  if (sharded && names.some((name) => name !== index && currentPath(joinPath(folder, name)) !== null)) {
    hide.push(index);
  }
  try {
    const source = await openFile(old);
    const { digests } = await readIndex(source).finally(() => source.close());
    if (digests.all === null) return { hide, remove };
    if (!sharded) remove.push(index);
    for (const [shard, digest] of digests.files) {
      if (!names.includes(shard) && await isNoted(currentPath(joinPath(folder, shard)), digest)) {
        remove.push(shard);
      }
    }
  } catch {
    // What is no index of ours names nothing of ours.
  }
  return { hide, remove };
}

/**
 * Writes a model's folder: weights, and the files that go with them. Older weights of the folder are replaced, whatever
 * their form.
 */
export async function writeModel(
  folder: string | URL,
  tensors: Iterable<TensorToSave>,
  options: SaveOptions,
  beside: readonly BesideWeights[],
): Promise<void> {
  await writeSet(pathOf(folder), planSafetensors(tensors, { ...options, digests: true }), beside, "folder");
}

/** Writes tensors to one file of a folder, and the files that go with them, at once. */
export async function writeBeside(
  folder: string | URL,
  tensors: Iterable<TensorToSave>,
  options: SaveOptions,
  beside: readonly BesideWeights[],
): Promise<void> {
  await writeSet(pathOf(folder), planSafetensors(tensors, { ...options, digests: true }), beside, "set");
}

/**
 * What was written.
 *
 * @category Models
 */
export interface WrittenWeights {
  /** The names of the files with weights, without a folder or the index. */
  readonly files: readonly string[];
  /** Bytes of all tensors. */
  readonly bytes: number;
}

/**
 * Entries of what is to be saved at `path`.
 * @throws {OptionError} for what is no path.
 * @throws {DTypeError} for what is no tensor.
 */
export function namedTensors(
  what: string,
  path: string | URL,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
): [string, Tensor][] {
  demandPath(what, path);
  demandRecord(what, tensors, "what is to be saved", "tensors by name");
  const entries = tensors instanceof Map ? [...tensors] as [string, Tensor][] : Object.entries(tensors);
  for (const [name, t] of entries) demandTensor(what, t, JSON.stringify(name));
  return entries;
}

/**
 * Writes tensors to `path`, or to several files and an index where `shardSize` asks for it. One
 * file replaces the one of its name and nothing else; shards replace that file too, and older shards of the name.
 */
export async function writeWeights(
  path: string | URL,
  tensors: Iterable<TensorToSave>,
  options: Omit<SaveOptions, "fileName">,
): Promise<WrittenWeights> {
  const fileName = pathOf(path).split(/[/\\]/).at(-1) as string, list = [...tensors];
  const plan = planSafetensors(list, { ...options, fileName });
  if (plan.files.length === 1) await writeFileAtomic(path, plan.files[0].chunks());
  else {await writeSet(
      directoryOf(path),
      planSafetensors(list, { ...options, fileName, digests: true }),
      [],
      "set",
    );}
  return {
    files: plan.files.filter(({ tensors }) => tensors.length).map(({ name }) => name),
    bytes: plan.totalSize,
  };
}
