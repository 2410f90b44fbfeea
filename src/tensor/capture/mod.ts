/**
 * Functions captured as programs and done again.
 *
 * @module
 */
export { compile, type Compiled, type CompileOptions } from "./compile.ts";
