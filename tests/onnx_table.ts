/**
 * Runs ONNX's own tests and writes what passes into docs/onnx.md, operator by operator.
 *
 * ```
 * deno task onnx                # all of them, and writes docs/onnx.md
 * deno task onnx --only conv    # those whose name has it, to the screen
 * ```
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { text } from "../src/core/kinds.ts";
import type { NoGradient } from "../src/onnx/call.ts";
import { operators } from "../src/onnx/operators/table.ts";
import { readTask } from "../tools/task.ts";
import { repository } from "./_data.ts";
import { findSuite, operatorsOf, runSuiteTest, suiteTests } from "./_onnx_suite.ts";

const { values } = readTask({
  name: "onnx",
  summary: "Runs ONNX's own tests (Debian's libonnx-testdata) and writes docs/onnx.md.",
  options: { only: { value: "TEXT", kind: text, help: "only tests whose name has it; nothing is written" } },
});
const only = values.text("only"), suite = findSuite(process.env.FERROTYPE_ONNX_TESTS);
if ("skip" in suite) {
  console.error(suite.skip);
  process.exit(1);
}

/** Why no gradient flows through an operator, for the page. */
const reasons: Record<NoGradient, string> = {
  truth: "gives truth values",
  positions: "gives positions",
  integers: "whole numbers in or out",
  texts: "reads or writes texts",
  sizes: "looks at sizes or reads its numbers into one",
  fixed: "of attributes and sizes alone",
  random: "random numbers",
  flat: "flat but for its steps",
};

const parts = ["node", "simple", "pytorch-operator", "pytorch-converted"], sums: string[] = [];
const failures: string[] = [], tried = new Map<string, { passed: number; all: number }>();
for (const part of parts) {
  const names = suiteTests(suite.folder, part).filter((name) => name.includes(only ?? ""));
  let passed = 0;
  for (const name of names) {
    const path = join(suite.folder, part, name), problem = await runSuiteTest(path);
    if (problem === null) passed++;
    else failures.push(`\`${part}/${name}\`: ${problem.replace(/^…\/model\.onnx /, "").slice(0, 200)}`);
    for (const operator of new Set((await operatorsOf(path)).operators)) {
      const count = tried.get(operator) ?? { passed: 0, all: 0 };
      tried.set(operator, { passed: count.passed + Number(problem === null), all: count.all + 1 });
    }
  }
  sums.push(`| ${part} | ${passed} | ${names.length} |`);
}
const said = [...sums.map((row) => row.replaceAll("|", " ").trim()), ...failures];
console.log(said.join("\n"));

if (only === undefined) {
  const rows = Object.entries(operators).flatMap(([domain, table]) =>
    Object.entries(table).sort(([a], [b]) => a < b ? -1 : 1).map(([name, { since, noGradient }]) => {
      const full = domain ? `${domain}.${name}` : name, count = tried.get(full);
      return `| ${full} | ${since.join(", ")} | ${count ? `${count.passed} of ${count.all}` : "–"} | ${
        noGradient ? `none: ${reasons[noGradient]}` : "yes"
      } |`;
    })
  );
  const page = [
    "# ONNX",
    "",
    "`deno task onnx` writes this page: ONNX's own tests (`libonnx-testdata` 1.12) as they pass on the cpu device, each result",
    "within the suite's tolerances (rtol 1e-3, atol 1e-7) and of the type and shape that it asks for.",
    "How models are written as ONNX: [write ONNX](guides/export-onnx.md).",
    "",
    "| tests | passed | of |",
    "| --- | --- | --- |",
    ...sums,
    "",
    "## Not passed",
    "",
    ...failures.map((line) => `- ${line}`),
    "",
    "## Operators",
    "",
    "Opsets at which an operator changed, the first the one it came with; tests that use it and pass; whether gradients flow",
    "through it. All are made of operations that every device has; what reads values (loops, lists of boxes, positions of",
    "non-zeros) waits for the device.",
    "",
    "| operator | opsets | tests | gradient |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ];
  writeFileSync(join(repository, "docs", "onnx.md"), page.join("\n"));
}
