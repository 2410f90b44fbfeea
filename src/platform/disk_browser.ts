/**
 * What a bundle for pages has in the place of `commit.ts` and `write_files.ts` (package.json, "browser"): a page has no disk, and
 * says so when it is asked for one.
 *
 * @module
 */
import { fileSystem } from "./files.ts";

/** See `commit.ts`. */
export function currentPath(_path: string | URL): string | null {
  fileSystem();
  return null;
}

/** See `write_files.ts`. */
// deno-lint-ignore require-await -- what fails is the promise
export async function writeFileAtomic(_path: string | URL, _content: unknown): Promise<void> {
  fileSystem();
}

/** See `write_files.ts`. */
// deno-lint-ignore require-await -- what fails is the promise
export async function writeFiles(_folder: string | URL, _files: unknown): Promise<void> {
  fileSystem();
}

/** See `write_files.ts`. */
// deno-lint-ignore require-await -- what fails is the promise
export async function appendText(_path: string | URL, _text: string): Promise<void> {
  fileSystem();
}
