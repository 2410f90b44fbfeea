/**
 * What Node and Deno run for several test files in one process. On Node each is a suite of its name, so that its hooks are its own
 * and the report tells whose test is whose; Deno, which knows no suite that waits while it is declared, tells where a test was
 * declared, or, where that is `_suite.ts`, has a suite of the file's name from there. `FERROTYPE_TESTS` names the files in `tests/`, with commas between them.
 *
 * @module
 */
import { AsyncResource } from "node:async_hooks";
import { describe } from "node:test";
import process from "node:process";

let last: Promise<unknown> = Promise.resolve();
for (const file of process.env.FERROTYPE_TESTS?.split(",") ?? []) {
  if ("Deno" in globalThis) {
    process.env.FERROTYPE_TEST = file;
    await import(`./${file}`);
    continue;
  }
  describe(`tests/${file}`, async () => {
    // One after the other: a module that waits while it is loaded would put what waits for it into the suite that came
    // first. Node knows a suite by what began in it, which a promise from outside would hide.
    const suite = new AsyncResource("file");
    await (last = last.then(() => suite.runInAsyncScope(() => import(`./${file}`))));
  });
}
