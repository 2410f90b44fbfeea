/**
 * Where the recorded test data lies.
 *
 * Tests use `node:test`, which is built into Deno, Bun and Node, and `@std/assert` through `tests/std_assert`, so that
 * one import line means the same on each.
 *
 * The data are not part of the repository. They are looked for in `FERROTYPE_DATA`, then in `../shared/data`
 * beside the repository. A test that needs them says so when they are not there:
 *
 * ```ts
 * it("matches the recorded logits", { skip: missingData("gpt2-tiny") }, async () => { … });
 * ```
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The folder of the repository. */
export const repository: string = fileURLToPath(new URL("..", import.meta.url));

/** The folder of recorded data, whether or not it exists. */
export const dataFolder: string = process.env.FERROTYPE_DATA ?? join(repository, "..", "shared", "data");

/** The path of a file or folder in the recorded data. */
export function dataPath(...parts: string[]): string {
  return join(dataFolder, ...parts);
}

/** `false` when the named data are there, else the reason for skipping, as the `skip` option of `it` wants it. */
export function missingData(...parts: string[]): string | false {
  const path = dataPath(...parts);
  return existsSync(path) ? false : `no recorded data at ${path}; set FERROTYPE_DATA`;
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
