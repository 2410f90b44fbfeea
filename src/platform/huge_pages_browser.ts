/**
 * What a bundle for pages has in the place of `huge_pages.ts` (package.json, "browser"): a page asks the system for nothing.
 *
 * @module
 */

/** Why there are none. */
export const hugePagesReason = (): string => "a browser opens no native libraries";

/** See `huge_pages.ts`. */
export const hugePagesSetting = (): null => null;

/** See `huge_pages.ts`. */
export const adviseHugePages: () => string = hugePagesReason;
