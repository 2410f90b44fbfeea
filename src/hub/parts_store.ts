/**
 * The cache in a browser: Cache Storage, which every evergreen browser has in pages and in workers, wherever the
 * page is served securely.
 *
 * An entry there is whole or absent and cannot grow, so a file is kept in parts, and what was interrupted goes on
 * after its last whole part. Parts are named by content: two pages that fetch the same file write the same entries,
 * and need no lock.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError, HubError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import type { RemoteFile } from "./listing.ts";
import { checkFileName, isCommit } from "./names.ts";
import type { Partial, Store } from "./store.ts";

/** Bytes of a part. */
export const partSize: number = 1 << 24;

/** Whether this page may keep files. */
export function canKeepParts(): boolean {
  return typeof caches !== "undefined";
}

/** What a file of a commit is made of. */
interface Parts {
  readonly etag: string;
  readonly size: number;
}

/** One repository in a browser's Cache Storage. */
export class PartsStore implements Store {
  readonly name: string = "this browser's storage";
  readonly #repository: string;
  readonly #part: number;

  /** The repository in the cache of this page's origin; parts of `part` bytes. */
  constructor(repository: string, part: number = partSize) {
    this.#repository = repository;
    this.#part = part;
  }

  /** The address of an entry: keys have to be URLs, and this one can never be fetched. */
  #key(path: string): string {
    return `https://hub.invalid/${this.#repository}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  #cache(): Promise<Cache> {
    return caches.open("ferrotype-hub");
  }

  async #get(path: string): Promise<Response | undefined> {
    return await (await this.#cache()).match(this.#key(path));
  }

  async #put(path: string, body: Uint8Array<ArrayBuffer> | string): Promise<void> {
    try {
      await (await this.#cache()).put(this.#key(path), new Response(body));
    } catch (error) {
      if ((error as Error).name !== "QuotaExceededError") throw error;
      throw new HubError(
        `${this.#repository} does not fit into ${this.name}; allow the page more, or free some of its storage`,
        { cause: error },
      );
    }
  }

  async #delete(path: string): Promise<boolean> {
    return await (await this.#cache()).delete(this.#key(path));
  }

  async #bytes(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
    const entry = await this.#get(path);
    return entry ? new Uint8Array(await entry.arrayBuffer()) : null;
  }

  async commitOf(revision: string): Promise<string | null> {
    const commit = await (await this.#get(`refs/${revision}`))?.text();
    return commit && isCommit(commit) ? commit : null;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (!isCommit(revision)) await this.#put(`refs/${revision}`, commit);
  }

  async hasCommit(commit: string): Promise<boolean> {
    return await this.#get(`snapshots/${commit}/config.json`) !== undefined;
  }

  async isAbsent(commit: string, path: string): Promise<boolean> {
    return await this.#get(`.no_exist/${commit}/${path}`) !== undefined;
  }

  async setAbsent(commit: string, path: string): Promise<void> {
    await this.#put(`.no_exist/${commit}/${path}`, "");
  }

  async open(commit: string, path: string): Promise<ByteSource | null> {
    checkFileName(this.#repository, path);
    const entry = await this.#get(`snapshots/${commit}/${path}`);
    if (!entry) return null;
    const { etag, size } = await entry.json() as Parts, part = this.#part;
    for (let i = 0; i * part < size; i++) {
      // The browser may have thrown entries away.
      if (await this.#get(`blobs/${etag}/${i}`) === undefined) return null;
    }
    return openParts(
      `${this.#repository}/${path}`,
      size,
      part,
      async (i) => await this.#bytes(`blobs/${etag}/${i}`),
    );
  }

  async receive(
    commit: string,
    file: RemoteFile,
    _signal: AbortSignal | undefined,
    fill: (into: Partial) => Promise<void>,
  ): Promise<void> {
    checkFileName(this.#repository, file.path);
    const into = await this.#partial(file.etag);
    await fill(into);
    await into.sync();
    const parts: Parts = { etag: file.etag, size: into.size };
    await this.#put(`snapshots/${commit}/${file.path}`, JSON.stringify(parts));
  }

  async discard(etag: string): Promise<void> {
    for (let i = 0; await this.#delete(`blobs/${etag}/${i}`); i++);
  }

  /** What has arrived of a file. Its whole parts are entries, the rest waits in memory for its part to be whole. */
  async #partial(etag: string): Promise<Partial> {
    const load = (i: number): Promise<Uint8Array<ArrayBuffer> | null> => this.#bytes(`blobs/${etag}/${i}`);
    const save = (i: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> =>
      this.#put(`blobs/${etag}/${i}`, bytes);
    const part = this.#part, buffer = new Uint8Array(part);
    let whole = 0, filled = 0;
    for (;;) {
      const bytes = await load(whole);
      if (bytes?.length !== part) {
        // A short part was the end of a file that arrived whole.
        if (bytes) buffer.set(bytes), filled = bytes.length;
        break;
      }
      whole++;
    }
    return {
      get size() {
        return whole * part + filled;
      },
      async write(bytes) {
        for (let at = 0; at < bytes.length;) {
          const piece = bytes.subarray(at, at + part - filled);
          buffer.set(piece, filled);
          filled += piece.length;
          at += piece.length;
          if (filled < part) continue;
          await save(whole, buffer);
          whole++;
          filled = 0;
        }
      },
      async *read() {
        for (let i = 0; i < whole; i++) {
          const bytes = await load(i);
          if (bytes === null) {
            throw new HubError(`the browser threw away part ${i} of a download; load it again`);
          }
          yield bytes;
        }
        yield buffer.subarray(0, filled);
      },
      clear: async () => {
        await this.discard(etag);
        whole = filled = 0;
      },
      async sync() {
        if (filled > 0) await save(whole, buffer.slice(0, filled));
      },
      close: () => Promise.resolve(),
    };
  }
}

/** Parts as one run of bytes; the last one used stays in memory. */
function openParts(
  name: string,
  size: number,
  part: number,
  load: (i: number) => Promise<Uint8Array | null>,
): ByteSource {
  let held = -1, bytes: Uint8Array = new Uint8Array(0);
  return {
    name,
    size,
    async read(offset, length, into = new Uint8Array(length)) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new FormatError(
          `${name}: bytes ${offset} to ${offset + length} are not in its ${counted(size, "byte")}`,
        );
      }
      for (let done = 0; done < length;) {
        const at = offset + done, i = Math.floor(at / part);
        if (i !== held) {
          const found = await load(i);
          if (found === null) {
            throw new FormatError(`${name}: the browser has thrown away bytes from ${at} on; load it again`);
          }
          [held, bytes] = [i, found];
        }
        const piece = bytes.subarray(at - i * part, Math.min(part, at - i * part + length - done));
        into.set(piece, done);
        done += piece.length;
      }
      return into.subarray(0, length);
    },
    close() {
      held = -1;
      bytes = new Uint8Array(0);
    },
  };
}
