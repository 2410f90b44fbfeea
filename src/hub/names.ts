/**
 * Names from outside that become paths: repositories, revisions, files, etags. Each is checked before it touches a
 * file system, under the rules of every system, because a cache may be shared.
 *
 * @module
 */
import { show } from "../core/show.ts";
import { HubError } from "../core/errors.ts";

/** Whether a text has the form of a repository's name, `organisation/name`. */
export function isRepository(text: string): boolean {
  return /^\w[\w.-]*\/\w[\w.-]*$/.test(text) && text.length <= 96 && !/--|\.\./.test(text);
}

/** Refuses what is no repository's name. */
export function checkRepository(text: string): void {
  if (isRepository(text)) return;
  throw new HubError(
    `"${text}" is not the name of a repository; that is organisation/name, such as openai-community/gpt2`,
  );
}

/** Whether a revision is a commit, which never changes, and not a branch or a tag. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

function isPlainPath(path: string): boolean {
  // deno-lint-ignore no-control-regex
  return path.length <= 512 && !/[\\:\x00-\x1f]/.test(path) &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Refuses a revision that would lead out of the cache. */
export function checkRevision(repository: string, revision: string): void {
  if (isPlainPath(revision)) return;
  throw new HubError(`"${revision}" is not a revision of ${repository}; give a branch, a tag or a commit`);
}

/** Refuses a file's name that would lead out of the folder it belongs in. */
export function checkFileName(repository: string, name: string): void {
  if (isPlainPath(name)) return;
  throw new HubError(
    `${repository} names a file ${show(name)}, which leads out of its folder; ` +
      `nothing was written, and the repository is not to be trusted`,
  );
}

/** An etag without its quotes and weakness, as the cache names files; null when the header is missing. */
export function plainEtag(header: string | null): string | null {
  return header === null ? null : header.trim().replace(/^W\//, "").replace(/^"|"$/g, "");
}

/** Refuses an etag that is no file name. */
export function checkEtag(where: string, etag: string): void {
  if (/^[\w.-]{1,200}$/.test(etag) && !/^\.+$/.test(etag)) return;
  throw new HubError(
    `${where}: the server calls the file ${show(etag)} (ETag), which is no name for it`,
  );
}

/** Where a file of a repository is, as every client of the hub asks for it. */
export function resolveUrl(endpoint: string, repository: string, revision: string, file: string): string {
  const path = file.split("/").map(encodeURIComponent).join("/");
  return `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${path}`;
}
