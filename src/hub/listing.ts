/**
 * What a repository holds at a revision: the commit, and each file's size and hash.
 *
 * `@huggingface/hub` asks for both in two requests, sent through our own `request`, which knows redirects, retries
 * and what refusals mean. A mirror that serves files alone, and an installation without that package, are asked file
 * by file, as Python's client does: the answer to a HEAD request carries commit, size and etag.
 *
 * @module
 */
import { FerrotypeError, HubError } from "../core/errors.ts";
import { checkEtag, checkFileName, isCommit, plainEtag, resolveUrl } from "./names.ts";
import { hubPackage } from "./package.ts";
import { type HubResponse, RefusedError, request } from "./request.ts";
import type { HubSettings } from "./settings.ts";

/** A file as the hub describes it. */
export interface RemoteFile {
  /** Its name, with folders. */
  readonly path: string;
  /** In bytes; null when the server does not say. */
  readonly size: number | null;
  /** What the cache calls it: the SHA-256 of a large file, the git hash of a small one. */
  readonly etag: string;
  /** What its bytes must hash to; null when the etag is no hash. */
  readonly hash: "sha256" | "git" | null;
}

/** A repository at one commit. */
export interface Listing {
  readonly commit: string;
  /** The file of that name, or null when the commit has none. */
  find(path: string, signal?: AbortSignal): Promise<RemoteFile | null>;
  /** Names of all files; null when the server does not list them. */
  readonly names: readonly string[] | null;
}

/** Who asks what, of whom. */
export interface Asker {
  readonly settings: HubSettings;
  readonly repository: string;
  readonly revision: string;
  readonly signal: AbortSignal | undefined;
  /** How often a request is made at most. */
  readonly attempts?: number;
}

/** What a hub may answer: so many pages of so many bytes, so many files. The largest repositories have some thousand. */
const most = { pages: 1000, page: 1 << 24, files: 100_000 };

/** `fetch` for the package: ours, which throws for answers that are no success, and for ones without end. */
function fetchFor(asker: Asker): typeof fetch {
  const { settings, repository, revision, signal, attempts } = asker;
  let pages = 0;
  return async (input, init) => {
    if (++pages > most.pages) throw tooMuch(asker, `has more than ${most.pages} pages`);
    const { response } = await request(settings, String(input instanceof Request ? input.url : input), {
      what: `${repository} at ${revision}`,
      headers: Object.fromEntries(new Headers(init?.headers)),
      ...(signal ? { signal } : {}),
      ...(attempts ? { attempts } : {}),
    });
    return limited(response, asker);
  };
}

function tooMuch({ settings, repository }: Asker, how: string): HubError {
  return new HubError(
    `${settings.endpoint}: what it says of ${repository} ${how}; this is no hub, check HF_ENDPOINT`,
  );
}

/** An answer whose body ends with an error where it is too long. */
function limited(response: Response, asker: Asker): Response {
  let size = 0;
  const body = response.body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        size += piece.length;
        if (size > most.page) controller.error(tooMuch(asker, `is a page of more than ${most.page} bytes`));
        else controller.enqueue(piece);
      },
    }),
  );
  const { status, statusText, headers } = response;
  return body ? new Response(body, { status, statusText, headers }) : response;
}

/**
 * A file as the hub lists it.
 * @throws {TypeError} for what is none.
 */
function remoteFile(
  entry: { path: unknown; size: unknown; oid?: unknown; lfs?: { oid?: unknown; size?: unknown } },
): RemoteFile {
  const { path, lfs } = entry, size = lfs?.size ?? entry.size, etag = lfs?.oid ?? entry.oid ?? "";
  const known = typeof path === "string" && Number.isSafeInteger(size) && (size as number) >= 0 &&
    typeof etag === "string";
  if (!known) throw new TypeError("an entry of the list is no file");
  return { path, size: size as number, etag, hash: lfs ? "sha256" : "git" };
}

/** A server that has no such route, as opposed to a hub that has no such repository. */
function knowsNoRoute(error: unknown): boolean {
  return error instanceof RefusedError && error.code === null && [404, 405, 501].includes(error.status);
}

/** The commit that a revision is now. */
export async function findCommit(asker: Asker): Promise<string> {
  const { settings, repository, revision } = asker;
  if (isCommit(revision)) return revision;
  const hub = await hubPackage();
  if (hub) {
    try {
      const { sha } = await hub.modelInfo({
        name: repository,
        revision,
        additionalFields: ["sha"],
        hubUrl: settings.endpoint,
        fetch: fetchFor(asker),
      });
      return checkCommit(settings, repository, sha);
    } catch (error) {
      if (!knowsNoRoute(error)) throw malformed(settings, repository, error);
    }
  }
  const { headers } = await head(asker, revision, "config.json");
  return checkCommit(settings, repository, headers.get("x-repo-commit"));
}

/** The files of a repository at a commit. */
export async function listFiles(asker: Asker, commit: string): Promise<Listing> {
  const { settings, repository } = asker;
  const hub = await hubPackage();
  if (hub) {
    try {
      const files = new Map<string, RemoteFile>();
      const listed = hub.listFiles({
        repo: { type: "model", name: repository },
        revision: commit,
        recursive: true,
        hubUrl: settings.endpoint,
        fetch: fetchFor(asker),
      });
      for await (const entry of listed) {
        if (typeof entry?.type !== "string") throw new TypeError("an entry of the list is of no kind");
        if (entry.type !== "file") continue;
        const file = remoteFile(entry);
        files.set(file.path, file);
        if (files.size > most.files) throw tooMuch(asker, `has more than ${most.files} files`);
      }
      return listing(repository, commit, files);
    } catch (error) {
      if (!knowsNoRoute(error)) throw malformed(settings, repository, error);
    }
  }
  return { commit, names: null, find: (path, signal) => describe({ ...asker, signal }, commit, path) };
}

function listing(repository: string, commit: string, files: Map<string, RemoteFile>): Listing {
  return {
    commit,
    names: [...files.keys()],
    find(path) {
      const file = files.get(path);
      if (!file) return Promise.resolve(null);
      checkEtag(`${repository}/${path}`, file.etag);
      return Promise.resolve(file);
    },
  };
}

function head(asker: Asker, revision: string, path: string): Promise<HubResponse> {
  const { settings, repository, signal, attempts } = asker;
  checkFileName(repository, path);
  return request(settings, resolveUrl(settings.endpoint, repository, revision, path), {
    what: `${repository}/${path} at ${revision}`,
    method: "HEAD",
    // Or else the length would be that of a compressed answer.
    headers: { "accept-encoding": "identity" },
    stopAtOtherOrigin: true,
    ...(signal ? { signal } : {}),
    ...(attempts ? { attempts } : {}),
  });
}

async function describe(asker: Asker, commit: string, path: string): Promise<RemoteFile | null> {
  const where = `${asker.repository}/${path}`;
  let headers: Headers;
  try {
    ({ headers } = await head(asker, commit, path));
  } catch (error) {
    const absent = error instanceof RefusedError && error.status === 404 &&
      (error.code === null || error.code === "EntryNotFound");
    if (absent) return null;
    throw error;
  }
  const linked = plainEtag(headers.get("x-linked-etag"));
  const etag = linked ?? plainEtag(headers.get("etag"));
  if (etag === null) {
    throw new HubError(
      `${where}: the server gave no ETag, so the file cannot be kept; in a browser @huggingface/hub is needed`,
    );
  }
  checkEtag(where, etag);
  const size = headers.get("x-linked-size") ?? (linked === null ? headers.get("content-length") : null);
  return {
    path,
    size: size !== null && /^\d{1,15}$/.test(size) ? Number(size) : null,
    etag,
    hash: /^[0-9a-f]{64}$/.test(etag) ? "sha256" : /^[0-9a-f]{40}$/.test(etag) ? "git" : null,
  };
}

function checkCommit(settings: HubSettings, repository: string, commit: string | null | undefined): string {
  if (commit && isCommit(commit)) return commit;
  throw new HubError(
    `${settings.endpoint} does not say which commit of ${repository} it serves, so it is no hub; ` +
      `to read a model from a plain server give the URL of its folder`,
  );
}

/** What the package throws for an answer it does not understand, as an error of ours. */
function malformed(settings: HubSettings, repository: string, error: unknown): unknown {
  if (error instanceof FerrotypeError) return error;
  return new HubError(
    `${settings.endpoint} answered a question about ${repository} with something that is not the hub's JSON; ` +
      `check HF_ENDPOINT`,
    { cause: error },
  );
}
