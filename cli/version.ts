/** The version of the package, as deno.json and package.json say it (a test holds them together). */
export { version } from "../src/core/version.ts";
