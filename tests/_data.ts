/**
 * Where the recorded test data lies.
 *
 * Tests use `node:test`, which is built into Deno, Bun and Node, and `@std/assert` through `tests/std_assert`, so that
 * one import line means the same on each.
 *
 * What this project's own scripts recorded is part of the repository, in `tests/data`. What others made is not: it
 * is looked for in `FERROTYPE_DATA`, then in `../shared/data` beside the repository, and a test that needs it says so
 * when it is not there:
 *
 * ```ts
 * it("gives the recorded ids", { skip: missingData("tokenizers", "gpt2", "golden.jsonl") }, async () => { … });
 * ```
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The folder of the repository. */
export const repository: string = fileURLToPath(new URL("..", import.meta.url));

/**
 * `NODE_COMPILE_CACHE` of every Node that a test starts: what it made of the sources lasts, as Deno's own does. Stripping
 * types anew takes a process two thirds of a second.
 */
export const nodeCache: string = join(tmpdir(), "ferrotype-node-cache");

/** Where recorded data may lie; the first folder that has a file gives it. */
const dataFolders: readonly string[] = [
  join(repository, "tests", "data"),
  process.env.FERROTYPE_DATA ?? join(repository, "..", "shared", "data"),
];

/** The path of a file or folder in the recorded data. */
export function dataPath(...parts: string[]): string {
  const paths = dataFolders.map((folder) => join(folder, ...parts));
  return paths.find(existsSync) ?? paths.at(-1)!;
}

/** `false` when the named data are there, else the reason for skipping, as the `skip` option of `it` wants it. */
export function missingData(...parts: string[]): string | false {
  const path = dataPath(...parts);
  return existsSync(path)
    ? false
    : `${parts.join("/")} is other people's and not here; FERROTYPE_DATA names its folder`;
}

/** The text of a recorded file. */
export function readDataText(...parts: string[]): string {
  return readFileSync(dataPath(...parts), "utf8");
}

/** A recorded JSON file, parsed. */
export function readDataJson<T>(...parts: string[]): T {
  return JSON.parse(readDataText(...parts)) as T;
}

/** The bytes of a recorded file, in a buffer of their own. */
export function readDataBytes(...parts: string[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(dataPath(...parts)));
}
