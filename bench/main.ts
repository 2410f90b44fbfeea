/**
 * The benches: `deno task bench`, `bun bench`, or `node bench/main.ts`; `--help` tells the options.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { setThreads } from "../mod.ts";
import { whole } from "../src/core/kinds.ts";
import { runtimeName, writeFileAtomic } from "../src/platform/platform.ts";
import { ensurePackages } from "../tests/_install.ts";
import { namesOf, readTask } from "../tools/task.ts";
import { loadDrawer } from "../cli/plot.ts";
import { curvesOf, drawCurves, lawText } from "./curves.ts";
import { Bench, type Group } from "./harness.ts";
import { curvesPath, describeMachine, headline, mergeResults, rowLines } from "./report.ts";
import { installRivals } from "./rivals.ts";

const files: Record<string, string> = {
  matmul: "./ops/matmul.ts",
  tile: "./ops/tile.ts",
  conv: "./ops/conv.ts",
  webgpu: "./ops/webgpu.ts",
  webgpu_gpt2: "./flows/webgpu.ts",
  int8_matmul: "./ops/int8_matmul.ts",
  elementwise: "./ops/elementwise.ts",
  norms: "./ops/norms.ts",
  attention: "./ops/attention.ts",
  decode: "./flows/decode.ts",
  prefill: "./flows/prefill.ts",
  train: "./flows/train.ts",
  load: "./flows/load.ts",
  read: "./ops/read.ts",
  dispatch: "./ops/dispatch.ts",
  onnx: "./flows/onnx.ts",
  serve: "./flows/serve.ts",
  chromium: "./flows/chromium.ts",
  tokenizer: "./ops/tokenizer.ts",
  growth: "./flows/growth.ts",
  compile: "./flows/compile.ts",
};

const { values } = readTask({
  name: "bench",
  summary: "The benches: ours beside the limits of this machine, and beside rivals.",
  options: {
    quick: { help: "short turns, three rounds, no rivals unless --rivals" },
    only: { value: "A,B", kind: namesOf(Object.keys(files)), help: "only these groups" },
    rivals: { help: "rivals, too, with --quick" },
    "no-rivals": { help: "only ours and the limits" },
    install: { help: "first installs the rivals with npm, into bench/rivals" },
    rounds: { value: "N", kind: whole(1, 1000), help: "rounds (default 7, with --quick 3)" },
    turn: {
      value: "MS",
      kind: whole(1, 60_000),
      help: "milliseconds of a turn (default 200, with --quick 40)",
    },
    json: { help: "one JSON object on standard output, the table on standard error" },
    write: { help: "puts the results into bench/RESULTS.md; with --only, those of these groups" },
    threads: { value: "N", kind: whole(1, 64), help: "ours on so many threads" },
  },
  idle: [
    {
      option: "rivals",
      when: (given) => given["no-rivals"] === true,
      because: "--no-rivals leaves them out",
    },
  ],
});
ensurePackages();

// Variables that some shells carry and that make a BLAS slower than a user would find it.
const pins = ["OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE"];
if (pins.some((name) => process.env[name] !== undefined)) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !pins.includes(name)));
  const run = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : process.execArgv;
  const again = spawnSync(process.execPath, [
    ...run,
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
  ], {
    env,
    stdio: "inherit",
  });
  process.exit(again.status ?? 1);
}

if (values.flag("install")) installRivals();
const threads = values.number("threads"), quick = values.flag("quick");
if (threads) setThreads(threads);
const settings = {
  quick,
  rounds: values.number("rounds") ?? (quick ? 3 : 7),
  turn: values.number("turn") ?? (quick ? 40 : 200),
  rivals: values.flag("rivals") || (!values.flag("no-rivals") && !quick),
};
const say = (line: string): void => values.flag("json") ? console.error(line) : console.log(line);

const bench = new Bench(settings);
await bench.ready();
const machine = await describeMachine(settings.rounds);
say(
  `${machine.runtime}, ${machine.engine}; ${machine.system}; threads ${machine.threads}; BLAS: ${machine.blas}`,
);
say(`${machine.date}; load average ${machine.load}; ${settings.rounds} rounds`);
// An engine that has just started compiles its kernels a second time, for speed.
for (let i = 0; i < 50; i++) bench.limits.multiplyAdd();
bench.limits.read();

const wanted = values.value("only") as string[] | undefined;
for (const [name, file] of Object.entries(files)) {
  if (wanted && !wanted.includes(name)) continue;
  const { group } = await import(file) as { group: Group };
  say(`\n${group.name}`);
  try {
    for await (const row of group.rows(bench)) {
      for (const line of rowLines(await bench.measure(group.name, row))) say(line);
    }
  } catch (error) {
    // One flow that cannot run here does not take the others along.
    const failed = (error as Error).message.split("\n")[0];
    const result = { group: group.name, name, unit: "", subjects: [], rivals: [], failed };
    bench.results.push(result);
    for (const line of rowLines(result)) say(line);
  }
  bench.rivals.endAll();
}
bench.dispose();
for (const curve of curvesOf(bench.results)) say(lawText(curve));
if (values.flag("json")) console.log(JSON.stringify({ machine, results: bench.results }));
if (values.flag("write")) {
  const curves = curvesOf(bench.results), draw = curves.length > 0 ? await loadDrawer() : null;
  const path = join(dirname(fileURLToPath(import.meta.url)), "RESULTS.md");
  const before = existsSync(path) ? readFileSync(path, "utf8") : "";
  await writeFileAtomic(path, mergeResults(before, machine, bench.results, wanted !== undefined));
  format(path);
  say(`\nwritten: ${path}`);
  if (draw) {
    const plot = join(dirname(path), curvesPath(machine));
    await drawCurves(draw, plot, `${machine.date}, ${machine.runtime}, ${machine.system}`, curves);
    say(`written: ${plot}`);
  }
  // The README shows a whole run on Deno, rivals and all.
  if (wanted === undefined && settings.rivals && runtimeName() === "deno") {
    const readme = join(dirname(path), "..", "README.md");
    await writeFileAtomic(readme, headline(readFileSync(readme, "utf8"), machine, bench.results));
    format(readme);
    say(`written: ${readme}`);
  }
}
process.exit(bench.results.some(({ failed }) => failed) ? 1 : 0);

/** Lays a document's tables out as the repository has them, where its formatter is installed. */
function format(path: string): void {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  spawnSync(join(root, "node_modules", ".bin", "dprint"), ["fmt", path], { cwd: root });
}
