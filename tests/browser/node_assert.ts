/**
 * As much of `node:assert` as the shared suites use, for a page.
 *
 * @module
 */
type Expected = (new (...args: never[]) => unknown) | ((error: unknown) => boolean);

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}

function fits(error: unknown, expected: Expected | undefined): boolean {
  if (expected === undefined) return true;
  const isClass = expected.prototype !== undefined && expected.prototype instanceof Error;
  return isClass ? error instanceof expected : (expected as (error: unknown) => boolean)(error);
}

/** The assertions. */
export const strict = {
  fail(message: string): never {
    throw new Error(message);
  },
  ok(value: unknown, message = "not true"): void {
    if (!value) throw new Error(message);
  },
  equal(a: unknown, b: unknown, message = `${a} is not ${b}`): void {
    if (!Object.is(a, b)) throw new Error(message);
  },
  deepEqual(a: unknown, b: unknown, message = "not equal"): void {
    if (!same(a, b)) {
      throw new Error(
        `${message}: ${JSON.stringify(a)?.slice(0, 300)}, not ${JSON.stringify(b)?.slice(0, 300)}`,
      );
    }
  },
  throws(run: () => unknown, expected?: Expected): void {
    let thrown: unknown;
    try {
      run();
    } catch (error) {
      thrown = error;
    }
    if (thrown === undefined || !fits(thrown, expected)) throw new Error(`threw ${thrown}`);
  },
  async rejects(promise: Promise<unknown>, expected?: Expected): Promise<void> {
    const thrown = await promise.then(() => undefined, (error) => error);
    if (thrown === undefined || !fits(thrown, expected)) throw new Error(`rejected with ${thrown}`);
  },
};
export default strict;
