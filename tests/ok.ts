/**
 * One command says "good": format, lint, types, documentation, a dry run of publishing, then every test on every
 * runtime. `deno run -A tests/ok.ts`; what else is said goes to `tests/run.ts`. With `--checks` all but the tests.
 *
 * Everything runs even when something fails, so one run tells all there is to mend. The last line is
 * `N passed, N failed` over the checks and the tests.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { readTask } from "../tools/task.ts";
import { repository } from "./_data.ts";
import { installPackages } from "./_install.ts";
import { runOptions } from "./_run_options.ts";
import { findRuntimes, runtimeKinds } from "./_runtimes.ts";

/** Runs a program to its end; `show` passes on what it prints as it comes. */
async function run(path: string, args: string[], show = false): Promise<{ good: boolean; output: string }> {
  const child = spawn(path, args, {
    cwd: repository,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const take = (chunk: string) => {
    output += chunk;
    if (show) process.stdout.write(chunk);
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  const good = await new Promise<boolean>((resolve) => {
    child.on("error", (error) => {
      take(`${error.message}\n`);
      resolve(false);
    });
    child.on("close", (code) => resolve(code === 0));
  });
  return { good, output };
}

const { values, positionals } = readTask({
  name: "ok",
  usage: "[options] [PART OF A FILE NAME...]",
  summary: "Says whether all is good: format, lint, types, documentation, publishing, then every test.",
  positionals: [0, Infinity],
  options: { checks: { help: "all but the tests" }, ...runOptions },
  idle: [{
    option: Object.keys(runOptions),
    when: ({ checks }) => checks === true,
    because: "--checks runs no test",
  }],
});
if (values.flag("checks") && positionals.length) {
  console.error(`ok: ${positionals[0]} has no effect because --checks runs no test; leave it out`);
  process.exit(2);
}
const dprint = join(
  repository,
  "node_modules",
  ".bin",
  process.platform === "win32" ? "dprint.cmd" : "dprint",
);
installPackages();
const { found: [deno], missing } = findRuntimes(runtimeKinds.filter(({ name }) => name === "deno"), true);
if (deno === undefined) {
  console.log(missing.join("\n"));
  process.exit(1);
}

const folders = ["cli", "src", "tests", "bench", "examples", "tools", "web", "docs"].filter((name) =>
  existsSync(join(repository, name))
);
const checks: [name: string, path: string, args: string[]][] = [
  ["format", dprint, ["check", "--list-different"]],
  ["lint", deno.path, ["lint", "--quiet"]],
  ["types", deno.path, ["check", "--quiet", "mod.ts", ...folders]],
  ["documentation", deno.path, ["doc", "--quiet", "--lint", "mod.ts"]],
  ["publishing", deno.path, ["publish", "--quiet", "--dry-run", "--allow-dirty"]],
];
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const [name, path, args] of checks) {
  const { good, output } = await run(path, args);
  totals[good ? "passed" : "failed"]++;
  console.log(good ? `ok      ${name}` : `FAILED  ${name}\n${output.trim().replace(/^/gm, "    ")}`);
}
const describe = (): string => {
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
  return `${totals.passed} passed, ${totals.failed} failed${skipped}`;
};
if (values.flag("checks")) {
  console.log(`\n${describe()}`);
  process.exit(totals.failed > 0 ? 1 : 0);
}
const tests = await run(deno.path, ["run", "-A", "tests/run.ts", ...process.argv.slice(2)], true);
const counts = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(tests.output);
totals.passed += Number(counts?.[1] ?? 0);
totals.failed += Number(counts?.[2] ?? 0);
totals.skipped += Number(counts?.[3] ?? 0);
if (!tests.good && !(Number(counts?.[2]) > 0)) totals.failed++;
console.log(`\nThe tests and the ${checks.length} checks together:\n${describe()}`);
process.exitCode = totals.failed > 0 ? 1 : 0;
