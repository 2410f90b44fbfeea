/**
 * What a bundle for pages has in the place of `native_matmul.ts` (package.json, "browser"): no product goes to a native
 * library where none can be opened, and our own kernels take all.
 *
 * @module
 */
import type * as elsewhere from "./native_matmul.ts";

/** The same question, and the answer of every browser. */
export const isNative: typeof elsewhere.isNative = () => false;
/** As nothing is for a library, nothing is done. */
export const multiplyNative: typeof elsewhere.multiplyNative = () => false;
