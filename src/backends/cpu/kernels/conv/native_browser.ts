/**
 * What a bundle for pages has in the place of `native.ts` (package.json, "browser"): our own kernels take all.
 *
 * @module
 */
import type * as elsewhere from "./native.ts";

/** As nothing is for a library, nothing is done. */
export const byLibrary: typeof elsewhere.byLibrary = () => false;
