/**
 * `node:test` for suites in which something may be skipped: only Node's report says why, and Bun's leaves a suite that is
 * skipped as a whole out. Here a skipped suite is one whose tests are skipped, and every reason goes to the file that
 * `FERROTYPE_SKIPS` names, a line of JSON each, where `run.ts` reads it; or, where nobody asked for one, to the screen.
 *
 * @module
 */
import "./_pin.ts";
import { appendFileSync } from "node:fs";
import process from "node:process";
import * as test from "node:test";

/** Why something is skipped; `false` where it is not. */
export interface Options {
  skip?: string | false;
}

/** What a test may say of itself while it runs. */
export interface Context {
  /** It cannot be tried here, and why. */
  skip(reason: string): void;
}

type Run = (context: Context) => unknown;

interface Suite {
  readonly names: readonly string[];
  readonly skip: string | false;
}

let suite: Suite = { names: [], skip: false };

function report(names: readonly string[], reason: string): void {
  const name = names.join(" > "), file = process.env.FERROTYPE_SKIPS;
  if (file === undefined) console.log(`skipped: ${name}: ${reason}`);
  else appendFileSync(file, `${JSON.stringify({ name, reason })}\n`);
}

/** Deno tells of what is declared here that it is of this file; so, among files in one process (`_batch.ts`), it is put into a suite. */
function inFile(declare: () => void): void {
  const file = process.env.FERROTYPE_TEST;
  if (file === undefined || suite.names.length > 0) declare();
  else test.describe(`tests/${file}`, declare);
}

/** Declares a suite. */
export function describe(name: string, ...rest: [() => void] | [Options, () => void]): void {
  const declare = rest.at(-1) as () => void, { skip = false } = rest.length > 1 ? rest[0] as Options : {};
  const own: Suite = { names: [...suite.names, name], skip: suite.skip || skip };
  // Bun calls back when the suite around it is done.
  inFile(() =>
    test.describe(name, () => {
      const outer = suite;
      suite = own;
      try {
        declare();
      } finally {
        suite = outer;
      }
    })
  );
}

/** Declares a test. */
export function it(name: string, ...rest: [Run] | [Options, Run]): void {
  const run = rest.at(-1) as Run, { skip = false } = rest.length > 1 ? rest[0] as Options : {};
  const names = [...suite.names, name], reason = suite.skip || skip;
  if (reason === false) {
    inFile(() =>
      test.it(name, async () => {
        await run({ skip: (reason) => report(names, reason) });
      })
    );
  } else {
    report(names, reason);
    inFile(() => test.it(name, { skip: reason }, () => {}));
  }
}

const unlessSkipped = (declare: (step: () => unknown) => void) => (step: () => unknown): void => {
  if (suite.skip === false) declare(async () => void await step());
};

/** Runs once before the tests of a suite; not at all where they are skipped. */
export const before: (step: () => unknown) => void = unlessSkipped(test.before);
/** Runs once after the tests of a suite. */
export const after: (step: () => unknown) => void = unlessSkipped(test.after);
/** Runs before each test of a suite. */
export const beforeEach: (step: () => unknown) => void = unlessSkipped(test.beforeEach);
/** Runs after each test of a suite. */
export const afterEach: (step: () => unknown) => void = unlessSkipped(test.afterEach);
