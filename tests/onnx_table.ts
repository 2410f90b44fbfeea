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
import { findSuite, operatorsOf, runSuiteTest, type SuiteOptions, suiteTests } from "./_onnx_suite.ts";

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

// Asked for behind the options: an adapter's driver may have something to say.
const { webgpuProblem } = await import("./_webgpu.ts");
if (webgpuProblem !== null && only === undefined) {
  console.error(`docs/onnx.md tells of webgpu too, and there is none here: ${webgpuProblem}`);
  process.exit(1);
}

/** How the tests are run: on each device, and as programs. */
const ways: readonly (readonly [name: string, options: SuiteOptions])[] = [
  ["cpu", { device: "cpu" }],
  ...webgpuProblem === null ? [["webgpu", { device: "webgpu" }] as const] : [],
  ["program", { device: "cpu", compiled: true }],
];

/** What a run as a program says of what is none. */
const isRefused = (problem: string): boolean =>
  problem.includes("cannot be part of a program") || problem.includes("a program takes tensors");

const parts = ["node", "simple", "pytorch-operator", "pytorch-converted"], sums: string[] = [];
const failures = new Map<string, string[]>(), refusals = new Map<string, number>();
const tried = new Map<string, { all: number; passed: Map<string, number> }>();
for (const part of parts) {
  const names = suiteTests(suite.folder, part).filter((name) => name.includes(only ?? ""));
  const passed = new Map<string, number>();
  for (const name of names) {
    const path = join(suite.folder, part, name), used = new Set((await operatorsOf(path)).operators);
    for (const operator of used) {
      const count = tried.get(operator) ?? { all: 0, passed: new Map() };
      count.all++;
      tried.set(operator, count);
    }
    for (const [way, options] of ways) {
      const problem = await runSuiteTest(path, options);
      if (problem === null) {
        passed.set(way, (passed.get(way) ?? 0) + 1);
        for (const operator of used) {
          const own = tried.get(operator)!.passed;
          own.set(way, (own.get(way) ?? 0) + 1);
        }
      } else if (way === "program" && isRefused(problem)) {
        const reason = problem.replace(/^run: (node "[^"]*" )?/, "").replace(/; run the model.*$/, "")
          .replace(/^the input "[^"]*" is (string|a sequence).*$/, "an input is $1").replace(
            /" ?\[.*?\]/g,
            "",
          );
        refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
      } else {
        const test = `\`${part}/${name}\`: ${problem.replace(/^…\/model\.onnx /, "").slice(0, 200)}`;
        failures.set(way, [...failures.get(way) ?? [], test]);
      }
    }
  }
  sums.push(`| ${[part, names.length, ...ways.map(([way]) => passed.get(way) ?? 0)].join(" | ")} |`);
}
/** What fails on the cpu, and what fails elsewhere beside that. */
const lists = ways.map(([way]) => {
  const own = failures.get(way) ?? [],
    known = new Set((failures.get("cpu") ?? []).map((line) => line.split(":")[0]));
  return [way, way === "cpu" ? own : own.filter((line) => !known.has(line.split(":")[0]))] as const;
});
const said = [
  ...sums.map((row) => row.replaceAll("|", " ").trim()),
  ...lists.flatMap(([way, list]) => list.map((line) => `${way}: ${line}`)),
];
console.log(said.join("\n"));

if (only === undefined) {
  const rows = Object.entries(operators).flatMap(([domain, table]) =>
    Object.entries(table).sort(([a], [b]) => a < b ? -1 : 1).map(([name, { since, noGradient }]) => {
      const full = domain ? `${domain}.${name}` : name, count = tried.get(full);
      const passed = ways.map(([way]) => count ? String(count.passed.get(way) ?? 0) : "–");
      const gradient = noGradient ? `none: ${reasons[noGradient]}` : "yes";
      return `| ${[full, since.join(", "), count?.all ?? "–", ...passed, gradient].join(" | ")} |`;
    })
  );
  const columns = ways.map(([way]) => ` ${way} |`).join(""), lines = ways.map(() => " --- |").join("");
  const page = [
    "# ONNX",
    "",
    "`deno task onnx` writes this page: ONNX's own tests (`libonnx-testdata` 1.12) as they pass on the cpu device, on webgpu (a",
    "software adapter will do) and as programs (`run(inputs, { compiled: true })`, made with other numbers), each result within the",
    "suite's tolerances (rtol 1e-3, atol 1e-7) and of the type and shape that it asks for.",
    "How models are written as ONNX: [write ONNX](guides/export-onnx.md).",
    "",
    `| tests | of |${columns}`,
    `| --- | --- |${lines}`,
    ...sums,
    "",
    "## Not passed",
    "",
    ...lists.flatMap(([way, list]) =>
      list.map((line) => way === "cpu" ? `- ${line}` : `- ${way} alone: ${line}`)
    ),
    "",
    "## No programs",
    "",
    "What depends on values as no program can, which `compiled` refuses in words, and how many tests have it:",
    "",
    ...[...refusals].sort((a, b) => a[0] < b[0] ? -1 : 1).map(([reason, count]) => `- ${reason}: ${count}`),
    "",
    "## Operators",
    "",
    "Opsets at which an operator changed, the first the one it came with; tests that use it, and how many of them pass; whether",
    "gradients flow through it (judged by differences in `tests/onnx_gradient_test.ts`), or why none does. All are made of operations",
    "that every device has; what reads values (loops, lists of boxes, positions of non-zeros) waits for the device.",
    "",
    `| operator | opsets | tests |${columns} gradient |`,
    `| --- | --- | --- |${lines} --- |`,
    ...rows,
    "",
  ];
  writeFileSync(join(repository, "docs", "onnx.md"), page.join("\n"));
}
