/**
 * What a bundle for pages has in the place of `blas.ts` (package.json, "browser"): a browser opens no native libraries, so
 * pages need not fetch what looks for them.
 *
 * @module
 */

/** The same question, and the answer of every browser; the words are those of `platform/ffi.ts`. */
export function findBlas(): string {
  return "a browser opens no native libraries";
}
