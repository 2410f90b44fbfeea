/**
 * The benches: `deno task bench`, `bun bench`, or `node bench/main.ts`, with
 *
 * | option | |
 * |---|---|
 * | `--quick` | short turns, three rounds, no rivals unless `--rivals` |
 * | `--only a,b` | only groups whose file is named so (`matmul,decode`) |
 * | `--no-rivals` | only ours and the limits |
 * | `--install` | first installs the rivals with npm, into `bench/rivals` |
 * | `--rounds N`, `--turn MS` | so many rounds (7), turns of so many milliseconds (200) |
 * | `--json` | one JSON object on standard output, the table on standard error |
 * | `--write` | puts the results into `bench/RESULTS.md`; with `--only`, those of these groups |
 * | `--threads N` | ours on so many threads |
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setThreads } from "../mod.ts";
import { runtimeName, writeFileAtomic } from "../src/platform/platform.ts";
import { ensurePackages } from "../tests/_install.ts";
import { Bench, type Group } from "./harness.ts";
import { describeMachine, headline, mergeResults, rowLines } from "./report.ts";
import { installRivals } from "./rivals.ts";

const files: Record<string, string> = {
  matmul: "./ops/matmul.ts",
  tile: "./ops/tile.ts",
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
  dispatch: "./ops/dispatch.ts",
  serve: "./flows/serve.ts",
  chromium: "./flows/chromium.ts",
  tokenizer: "./ops/tokenizer.ts",
  growth: "./flows/growth.ts",
  compile: "./flows/compile.ts",
};

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

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rivals: { type: "boolean", default: false },
    "no-rivals": { type: "boolean", default: false },
    install: { type: "boolean", default: false },
    rounds: { type: "string" },
    turn: { type: "string" },
    threads: { type: "string" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
if (options.install) installRivals();
if (options.threads) setThreads(Number(options.threads));

const { quick } = options;
const settings = {
  quick,
  rounds: Number(options.rounds ?? (quick ? 3 : 7)),
  turn: Number(options.turn ?? (quick ? 40 : 200)),
  rivals: options.rivals || (!options["no-rivals"] && !quick),
};
const say = (line: string): void => options.json ? console.error(line) : console.log(line);

const bench = new Bench(settings);
await bench.engine.ready();
const machine = await describeMachine(settings.rounds);
say(
  `${machine.runtime}, ${machine.engine}; ${machine.system}; threads ${machine.threads}; BLAS: ${machine.blas}`,
);
say(`${machine.date}; load average ${machine.load}; ${settings.rounds} rounds`);
// An engine that has just started compiles its kernels a second time, for speed.
for (let i = 0; i < 50; i++) bench.limits.multiplyAdd();
bench.limits.read();

const wanted = options.only?.split(",");
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
if (options.json) console.log(JSON.stringify({ machine, results: bench.results }));
if (options.write) {
  const path = join(dirname(fileURLToPath(import.meta.url)), "RESULTS.md");
  const before = existsSync(path) ? readFileSync(path, "utf8") : "";
  await writeFileAtomic(path, mergeResults(before, machine, bench.results, wanted !== undefined));
  say(`\nwritten: ${path}`);
  // The README shows a whole run on Deno, rivals and all.
  if (wanted === undefined && settings.rivals && runtimeName() === "deno") {
    const readme = join(dirname(path), "..", "README.md");
    await writeFileAtomic(readme, headline(readFileSync(readme, "utf8"), machine, bench.results));
    say(`written: ${readme}`);
  }
}
process.exit(bench.results.some(({ failed }) => failed) ? 1 : 0);
