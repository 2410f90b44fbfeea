// `@std/assert` for all runtimes, from its npm copy; where JSR is reachable, deno.json may say instead
//   "@std/assert": "jsr:@std/assert@^1.0.19"
// @ts-self-types="./mod.d.ts"
export * from "deno-std/assert/mod.js";
