/**
 * Functions captured as programs and done again.
 *
 * @module
 */
export { type Leaf, leavesOf, mapTree } from "./tree.ts";
export { compile, type Compiled, type CompileOptions } from "./compile.ts";
