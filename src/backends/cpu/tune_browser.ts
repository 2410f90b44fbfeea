/**
 * What a bundle for pages has in the place of `tune.ts` (package.json, "browser"): a browser opens no native libraries, and
 * so there is nothing to choose from.
 *
 * @module
 */

/** See `tune.ts`. */
export function tune(): void {}
