/**
 * Keeps collection out of a test that counts what is held. What nobody disposed is freed some time after it was
 * collected, so memory that an earlier test wasted may come back in the middle of a later one.
 *
 * The library's registry of what is collected is wrapped while it is made: import this before the library.
 *
 * @module
 */
import { assert } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let registries = 0, holders = 0;
const late: (() => void)[] = [];

globalThis.FinalizationRegistry = class<T> extends FinalizationRegistry<T> {
  constructor(cleanup: (held: T) => void) {
    super((held) => holders > 0 ? void late.push(() => cleanup(held)) : cleanup(held));
    registries++;
  }
};

/** Until it is disposed, nothing is freed because it was collected. */
export function holdCollection(): Disposable {
  assert(registries > 0, "import ./_collection.ts before the library");
  holders++;
  return {
    [Symbol.dispose]() {
      if (--holders === 0) { for (const free of late.splice(0)) free(); }
    },
  };
}

/** The collector, where the runtime lets a program call it. */
export function collector(): (() => void) | null {
  const bun = (globalThis as { Bun?: { gc(force: boolean): void } }).Bun;
  if (bun) return () => bun.gc(true);
  try {
    setFlagsFromString("--expose-gc");
    return runInNewContext("gc");
  } catch {
    return null;
  }
}
