/**
 * What a bundle for pages has in the place of `watch.ts` and `heap_guard.ts` (package.json, "browser"): they are switched on by
 * the environment, which a page has not.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";

const refuse = (): never => {
  throw new DeviceError(
    "a bundle for pages does not watch the cpu device; set guard where the library is not bundled",
  );
};

/** See `watch.ts`. */
export class Watch {
  constructor() {
    refuse();
  }
}

/** See `heap_guard.ts`. */
export class HeapGuard {
  constructor() {
    refuse();
  }
}

/** See `heap_guard.ts`. */
export const guardGranules = 0;
