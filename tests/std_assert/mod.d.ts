// The types of what the tests use; the npm copy comes without any.

type Class<E extends Error> = abstract new (...args: never[]) => E;

export class AssertionError extends Error {}
export function assert(condition: unknown, message?: string): asserts condition;
export function assertEquals<T>(actual: T, expected: T, message?: string): void;
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
export function assertNotStrictEquals<T>(actual: T, expected: T, message?: string): void;
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
): void;
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, message?: string): void;
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T>;
export function assertFalse(condition: unknown, message?: string): asserts condition is false;
export function assertGreater<T>(actual: T, than: T, message?: string): void;
export function assertGreaterOrEqual<T>(actual: T, than: T, message?: string): void;
export function assertLess<T>(actual: T, than: T, message?: string): void;
export function assertLessOrEqual<T>(actual: T, than: T, message?: string): void;
export function assertInstanceOf<T>(
  actual: unknown,
  type: abstract new (...args: never[]) => T,
  message?: string,
): asserts actual is T;
export function assertIsError<E extends Error = Error>(
  error: unknown,
  type?: Class<E>,
  includes?: string | RegExp,
  message?: string,
): asserts error is E;
export function assertMatch(actual: string, expected: RegExp, message?: string): void;
export function assertNotMatch(actual: string, expected: RegExp, message?: string): void;
export function assertObjectMatch(
  actual: Record<PropertyKey, unknown>,
  expected: Record<PropertyKey, unknown>,
  message?: string,
): void;
export function assertStringIncludes(actual: string, expected: string, message?: string): void;
export function assertThrows(f: () => unknown, message?: string): unknown;
export function assertThrows<E extends Error>(
  f: () => unknown,
  type: Class<E>,
  includes?: string,
  message?: string,
): E;
export function assertRejects(f: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
export function assertRejects<E extends Error>(
  f: () => PromiseLike<unknown>,
  type: Class<E>,
  includes?: string,
  message?: string,
): Promise<E>;
export function fail(message?: string): never;
export function unreachable(reason?: string): never;
