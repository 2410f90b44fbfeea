/**
 * The version of the package.
 *
 * @module
 */

/** The version of the package, as deno.json and package.json say it (a test holds them together). */
export const version = "0.1.0";
