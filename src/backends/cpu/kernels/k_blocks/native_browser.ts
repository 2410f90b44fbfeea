/**
 * What a bundle for pages has in the place of `native.ts` (package.json, "browser"): no library can be opened there.
 *
 * @module
 */
import type { multiplyKNative as elsewhere } from "./native.ts";

/** The same question, and the answer of every browser. */
export const multiplyKNative: typeof elsewhere = () => false;
