/**
 * Runs ONNX's own tests and says what passes.
 *
 * ```
 * deno task onnx               # all, and writes docs/onnx.md
 * deno run -A tests/onnx_table.ts conv --dry
 * ```
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { findSuite, runSuiteTest, suiteTests } from "./_onnx_suite.ts";

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const suite = findSuite(process.env.FERROTYPE_ONNX_TESTS);
if ("skip" in suite) {
  console.error(suite.skip);
  process.exit(1);
}
for (const part of ["node", "simple", "pytorch-operator", "pytorch-converted"]) {
  const names = suiteTests(suite.folder, part).filter((name) => words.every((word) => name.includes(word)));
  let passed = 0;
  for (const name of names) {
    const problem = await runSuiteTest(join(suite.folder, part, name));
    if (problem === null) passed++;
    else console.log(`${name}: ${problem.slice(0, 300)}`);
  }
  console.log(`${part}: ${passed} of ${names.length}`);
}
