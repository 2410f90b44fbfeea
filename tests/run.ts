/**
 * Runs every test on every runtime that can be found: `deno run -A tests/run.ts [options] [part of a file name…]`.
 *
 * Loading the library takes longer than most files' tests, so files that touch nothing of their process's share one with
 * others; when anything is wrong in it, each of them runs alone, and that counts: a crash or a hang is put down to the file it
 * happened in, and a process that does not end by itself is a failure. A file that asks nothing of its runtime (`_asks.ts`
 * reads that from it) runs on the first runtime alone, Deno where it is there, and on one with another engine if it tries what an
 * engine makes. `--all` runs every file on every runtime, each in a process of its own, so that none can lean on what
 * another left behind. `--help` tells the options.
 *
 * The last line is `N passed, N failed` (and `, N skipped`), over all runtimes; the exit status is 1 when a test
 * failed or no runtime was found.
 *
 * @module
 */
import { counted } from "../src/core/show.ts";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { readTask } from "../tools/task.ts";
import { asks, tries } from "./_asks.ts";
import { nodeCache, repository } from "./_data.ts";
import { installPackages, installWithNpm } from "./_install.ts";
import { parseJUnit, type TestResult } from "./_junit.ts";
import { defaultJobs, runOptions } from "./_run_options.ts";
import { findRuntimes, type FoundRuntime, runtimeKinds } from "./_runtimes.ts";

/**
 * A test file that takes longer than this hangs: it is stopped and counts as failed. In milliseconds; the longest takes
 * half a minute on two idle cores.
 */
const fileTimeout = 1_200_000;

const { values, positionals: filters } = readTask({
  name: "test",
  usage: "[options] [PART OF A FILE NAME...]",
  summary: "Runs every test on every runtime that can be found.",
  positionals: [0, Infinity],
  options: runOptions,
});
const install = !values.flag("no-install");

/** How a process of tests ended, and what it reported. */
interface Ended {
  readonly status: string | number;
  readonly isLate: boolean;
  readonly output: string;
  readonly tests: TestResult[];
  /** What `_suite.ts` wrote down of skipped tests. */
  readonly skips: string;
}

/** Runs files on a runtime, in one process. */
async function runProcess(runtime: FoundRuntime, files: readonly string[], reports: string): Promise<Ended> {
  const report = join(reports, `${runtime.kind.name}-${files[0].replaceAll("/", "-")}-${files.length}.xml`);
  const skips = `${report}.skips`, paths = files.map((file) => `tests/${file}`);
  const child = spawn(runtime.path, runtime.kind.arguments(paths, report), {
    cwd: repository,
    env: {
      NODE_COMPILE_CACHE: nodeCache,
      // Results must not depend on which library was fastest today.
      FERROTYPE_TUNE: "off",
      // A software adapter (lavapipe) that hands its work to threads waits for them longer than it computes: 13.2 s of processor time
      // with them, 11.7 s without for webgpu_kernels_test.ts.
      LP_NUM_THREADS: "0",
      ...(runtime === leader ? { FERROTYPE_WIDTH: "full" } : {}),
      ...process.env,
      NO_COLOR: "1",
      FERROTYPE_SKIPS: skips,
      FERROTYPE_PROGRAMS: programs,
      FERROTYPE_TESTS: files.join(","),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  child.stderr.on("data", (chunk) => output += chunk);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, fileTimeout);
  const status = await new Promise<string | number>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", () => spend(runtime.kind.name, files));
    child.on("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  clearTimeout(timer);
  if (values.flag("verbose")) console.log(output);
  let tests: TestResult[] = [];
  try {
    tests = parseJUnit(readFileSync(report, "utf8"));
  } catch {
    // The process died before it wrote its report; said by who asked for it.
  }
  return { status, isLate, output, tests, skips: existsSync(skips) ? readFileSync(skips, "utf8") : "" };
}

/**
 * The tests of several files in one process, or in a few words what went wrong; none of a file that reported none. A crash, a
 * failure and a file without tests are put down to a file by running each alone.
 */
async function runTogether(
  runtime: FoundRuntime,
  files: readonly string[],
  reports: string,
  again = true,
): Promise<Map<string, TestResult[]> | string> {
  const { status, tests, skips } = await runProcess(runtime, files, reports);
  const wrong = tests.find(({ outcome, file }) => outcome === "failed" || file === undefined);
  if (wrong !== undefined) {
    return `${wrong.file ?? "of no file"}: ${wrong.name}: ${wrong.detail.split("\n")[0]}`;
  }
  if (again && tests.length > 0 && isAdapters(status) && files.some((file) => onWebGpu(file, runtime))) {
    console.log(`${files.join(", ")} on ${runtime.kind.name}: passed, and ended with ${status}; run again`);
    return await runTogether(runtime, files, reports, false);
  }
  if (status !== 0) return `ended with status ${status}`;
  const found = new Map<string, TestResult[]>();
  for (const test of withReasons(tests, skips).filter(({ file }) => file !== undefined)) {
    found.set(test.file!, [...found.get(test.file!) ?? [], test]);
  }
  return found;
}

/** The tests of one file on one runtime. */
async function runFile(
  runtime: FoundRuntime,
  file: string,
  reports: string,
  again = true,
): Promise<TestResult[]> {
  const { status, isLate, output, tests: reported, skips } = await runProcess(runtime, [file], reports);
  let tests = withReasons(reported, skips);
  const tail = () => output.trim().split("\n").slice(-40).join("\n");
  // Node reports a file that crashed as one failed test that says no more than that.
  tests = tests.map((test) => test.name === `tests/${file}` ? { ...test, detail: tail() } : test);
  if (isLate) {
    tests.push({
      name: file,
      outcome: "failed",
      detail: `did not end within ${fileTimeout / 1000} s\n${tail()}`,
    });
  } else if (status !== 0 && !tests.some((test) => test.outcome === "failed")) {
    if (again && tests.length > 0 && isAdapters(status) && onWebGpu(file, runtime)) {
      console.log(`tests/${file} on ${runtime.kind.name}: passed, and ended with ${status}; run again`);
      return await runFile(runtime, file, reports, false);
    }
    tests.push({ name: file, outcome: "failed", detail: `ended with status ${status}\n${tail()}` });
  } else if (tests.length === 0) {
    tests.push({ name: file, outcome: "failed", detail: `reported no test\n${tail()}` });
  }
  return tests;
}

/**
 * Whether a software adapter may have ended a process so. It sometimes brings one down as it ends, when every test has passed and
 * was reported: glibc finds its lists broken while a thread of Deno ends (free in __libc_thread_freeres). compile_passes_test.ts,
 * which makes a WebGPU device, did so 18 times of 74 as it was and with the device destroyed at the end, and 0 of 62 with
 * the cpu's threads ended, which `onUnload` sees to now; without a WebGPU device never. Longer ones still do. Said, and tried once
 * more; twice is a failure.
 */
const isAdapters = (status: string | number): boolean => status === "SIGABRT" || status === "SIGSEGV";

/** What a file may do to its process, or asks of it, that others would notice: then it runs alone. Children and servers end with it. */
const touches =
  /_collection|memory\(\)|setThreads|setMaxMemory|setDefaultDevice|useDeterministic|process\.(env\.\w+ =|on\(|chdir|exit|kill)|globalThis\.\w+ = |defineProperty\(globalThis|openWebGpu|openFuzzDevice|\/soak\/|_dawn|_browser|_ranks|_killed|_mpi|_permissions|_hub_client|backend_conformance/;

/** The names of what a file declares outside of any suite: how Deno tells whose a test is. */
const outermost = /^(?:describe|it)\(\s*(["`])(.*?)\1/gm;

/**
 * Files that one process runs: those that touch nothing, some at a time, and each of the others alone. A software adapter may bring
 * its process down as it ends, so what computes on one shares its process with its like. All are alone with `--all`, and to be timed.
 */
function batches(files: readonly string[], runtime: FoundRuntime): string[][] {
  const found: string[][] = [];
  const open = [false, true].map(() => ({ files: [] as string[], names: new Set<string>(), seconds: 0 }));
  for (const file of files) {
    const text = readFileSync(join(repository, "tests", file), "utf8"),
      kind = Number(onWebGpu(file, runtime));
    const own = [...text.matchAll(outermost)].map(([, , name]) => name), seconds = expected(runtime, [file]);
    if (touches.test(text) || values.flag("all") || values.flag("record")) {
      found.push([file]);
      continue;
    }
    let batch = open[kind];
    const isFull = batch.files.length === runtime.kind.shares || batch.seconds + seconds > enough;
    if (batch.files.length === 0 || isFull || own.some((name) => batch.names.has(name))) {
      found.push((batch = open[kind] = { files: [], names: new Set(), seconds: 0 }).files);
    }
    batch.files.push(file);
    batch.seconds += seconds;
    for (const name of own) batch.names.add(name);
  }
  return found;
}

/** Seconds of processor time that are enough for one process: with few long ones, the last leaves no core idle for long. */
const enough = 20;

const timesFile = join(repository, "tests", "times.json");
/** Seconds of processor time that each file took by itself, by runtime, when it was last written down (`--record`). */
const times = JSON.parse(readFileSync(timesFile, "utf8")) as Record<string, Record<string, number>>;

/** Seconds of processor time that files may take together. */
function expected({ kind }: FoundRuntime, files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (times[kind.name]?.[file] ?? 2), 0);
}

/** Files that ask nothing of the runtime that they run on, so that Deno's word is enough where Deno is there, and why. */
const once: readonly [files: RegExp, reason: string][] = [
  [
    /^(architecture|asks|bench|supply)_test/,
    "what reads the repository alone is tried on Deno",
  ],
  [/^(web_|packages\/)/, "pages, packages and bundlers are tried on Deno, to save time"],
  [
    /^(doc|options_public)_test/,
    "the documentation's examples and the public options are tried on Deno, to save time",
  ],
  [/^permissions_/, "only Deno has permissions"],
  [
    process.env.TEST_WEBGPU === "1" ? /^$/ : /^(backend_webgpu|webgpu|webgpu_kernels)_test/,
    "the webgpu device is tried on Deno, and by webgpu_dawn_test.ts on Node and Bun (all of it with TEST_WEBGPU=1)",
  ],
  [
    /^serve_(fields|hostile|metrics|tools)_test/,
    "what a request means is tried on Deno; how sockets, streams and signals carry it, everywhere",
  ],
  [
    /^(families_random|sweep)_test/,
    "random configurations and searches of settings are tried on Deno, to save time",
  ],
];

/**
 * Files that ask for nothing and run on every runtime all the same, so that a fault of one runtime's engine would be seen:
 * every operation with its gradient, the cpu device with and without threads, tensors beyond the heap.
 */
const everywhere = /^(autograd|cpu_backend|cpu_overflow|ops_golden)_test/;

/** Why a file is not tried on a runtime, beside those that are tried; null where it is. */
function leftOut(file: string, { kind }: FoundRuntime, beside: readonly FoundRuntime[]): string | null {
  if (values.flag("all") || process.env.FERROTYPE_WIDTH === "full" || process.env.ALL_RUNTIMES_BROWSE) {
    return null;
  }
  const has = (name: string): boolean => beside.some((other) => other.kind.name === name);
  const reason = has("deno") && kind.name !== "deno" ? once.find(([files]) => files.test(file))?.[1] : null;
  if (reason) return reason;
  const first = beside.find((other) => other.kind.engine === kind.engine)!.kind;
  if (beside[0].kind === kind || everywhere.test(file) || asks(file) !== null) return null;
  if (first !== kind) {
    return `files that ask nothing of their runtime: ${first.name} answers for ${kind.engine}, the engine of both (--all)`;
  }
  return tries(file) !== null
    ? null
    : `files that ask nothing of their runtime, and try nothing that its engine makes: ${
      beside[0].kind.name
    } answers (--all)`;
}

/** Whether a file computes on a WebGPU adapter of this machine, where it runs on this runtime. */
function onWebGpu(file: string, { kind }: FoundRuntime): boolean {
  const by = kind.name === "deno" || process.env.TEST_WEBGPU === "1"
    ? /_webgpu\.ts|_dawn\.ts|initWebGPU/
    : /_dawn\.ts|initWebGPU/;
  return by.test(readFileSync(join(repository, "tests", file), "utf8"));
}

/** The tests with the reasons that `_suite.ts` wrote down for those that were skipped, a line of JSON each. */
function withReasons(tests: readonly TestResult[], skips: string): TestResult[] {
  const found = [...tests], taken = new Set<number>();
  for (const line of skips.split("\n").filter((line) => line !== "")) {
    const { name, reason } = JSON.parse(line) as { name: string; reason: string };
    const skipped: TestResult = { name, outcome: "skipped", detail: reason };
    const at = found.findIndex((test, i) =>
      !taken.has(i) && (test.name === name || test.name.endsWith(` > ${name}`))
    );
    if (at >= 0) {
      found[at] = { ...found[at], ...skipped, name: found[at].name };
      taken.add(at);
    } else found.push(skipped);
  }
  return found;
}

/** What was tried on one runtime. */
interface Tried {
  readonly runtime: FoundRuntime;
  readonly results: Map<string, TestResult[]>;
  /** Seconds that each process took, by its files. */
  readonly took: Map<string, number>;
}

let spentBefore = 0;
const spent = new Map<string, number>();

/**
 * Puts down the processor time of the process that has just ended, with all that it started: what the system counts for
 * children of this one, since the last of them ended. Only Linux tells.
 */
function spend(runtime: string, files: readonly string[]): void {
  if (!existsSync("/proc/self/stat")) return;
  const fields = readFileSync("/proc/self/stat", "utf8").replace(/^.*\) /, "").split(" ");
  const now = (Number(fields[13]) + Number(fields[14])) / 100;
  const name = files.length > 1 ? `${files[0]} and ${files.length - 1} more` : files[0];
  spent.set(`${runtime} ${name}`, (spent.get(`${runtime} ${name}`) ?? 0) + now - spentBefore);
  spentBefore = now;
}

/**
 * All files on all runtimes; failures are printed as they come. It is one queue, so that no core waits for the last file of a
 * runtime, and what takes longest comes first, so that the last ones end together. Tests of pages, of packages and of WebGPU (whose every
 * answer Deno looks for once in 10 ms) wait more than they compute: every other worker takes those first, beside the others.
 */
async function runAll(runtimes: readonly FoundRuntime[], files: string[], reports: string): Promise<Tried[]> {
  const all = runtimes.map((runtime): Tried => ({ runtime, results: new Map(), took: new Map() }));
  const waiting = /^(packages\/|web_|webgpu_|backend_webgpu|compile_ops)/;
  const queues = [false, true].map((waits) =>
    all.flatMap((tried) => {
      const wanted = files.filter((file) => waiting.test(file) === waits).filter((file) => {
        const reason = leftOut(file, tried.runtime, runtimes);
        if (reason !== null) tried.results.set(file, [{ name: file, outcome: "skipped", detail: reason }]);
        return reason === null;
      });
      return batches(wanted, tried.runtime).map((files) => ({
        tried,
        files,
        seconds: expected(tried.runtime, files),
      }));
    }).toSorted((a, b) => b.seconds - a.seconds)
  );
  const worker = async (_: unknown, number: number) => {
    const next = () => queues[number % 2].shift() ?? queues[1 - number % 2].shift();
    for (let one = next(); one !== undefined; one = next()) {
      const { tried: { runtime, results, took }, files } = one, started = performance.now();
      const together = files.length > 1 ? await runTogether(runtime, files, reports) : new Map();
      if (typeof together === "string") {
        console.log(
          `${files.join(", ")} on ${runtime.kind.name}, in one process: ${together}; now each alone`,
        );
      }
      for (const file of files) {
        const tests = (typeof together === "string" ? undefined : together.get(file)) ??
          await runFile(runtime, file, reports);
        results.set(file, tests);
        for (const test of tests) {
          if (test.outcome !== "failed") continue;
          console.log(`\nFAILED on ${runtime.kind.name}: tests/${file}: ${test.name}`);
          console.log(test.detail.replace(/^/gm, "    "));
        }
      }
      const [first, ...more] = files;
      took.set(
        more.length ? `${first} and ${more.length} more` : first,
        (performance.now() - started) / 1000,
      );
    }
  };
  await Promise.all(Array.from({ length: values.number("jobs") ?? defaultJobs }, worker));
  return all;
}

const everyFile = readdirSync(join(repository, "tests"), { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith("_test.ts"));
/** A whole name is that file's, though it be a part of another's. */
const isMeant = (file: string, part: string): boolean =>
  everyFile.includes(part) ? file === part : file.includes(part);
const files = everyFile.filter((file) => filters.length === 0 || filters.some((part) => isMeant(file, part)))
  .sort();
const idle = filters.find((part) => !files.some((file) => file.includes(part)));
if (idle !== undefined) {
  console.error(`test: there is no test file with "${idle}" in its name`), process.exit(2);
}
if (install) installPackages();
const wanted = values.value("runtime") as string[] | undefined;
const { found, missing } = findRuntimes(
  runtimeKinds.filter((kind) => wanted === undefined || wanted.includes(kind.name)),
  install,
);
// Campaigns are full on Deno; where there is none, on the first that is there.
const leader = wanted === undefined && found[0]?.kind.name !== "deno" ? found[0] : undefined;
const rivals = join(repository, "tests", "rivals");
// They are large, so only a machine that checks everything fetches them unasked.
if (process.env.CI && install && !existsSync(join(rivals, "node_modules"))) {
  console.log("Installing the programs that results are compared with, with npm …");
  const failure = installWithNpm(rivals);
  if (failure !== null) console.log(`${failure}; the tests that need them are skipped`);
}
const reports = mkdtempSync(join(tmpdir(), "ferrotype-tests-"));
// Beside the packages that they import by name.
const cache = join(repository, "node_modules/.cache");
mkdirSync(cache, { recursive: true });
const programs = mkdtempSync(join(cache, "ferrotype-programs-"));
const totals = { passed: 0, failed: 0, skipped: 0 };
const skips = new Map<string, Map<string, number>>();
const summaries: string[] = [];
try {
  const started = performance.now();
  for (const { runtime, results, took } of await runAll(found, files, reports)) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const [file, tests] of results) {
      for (const test of tests) {
        counts[test.outcome]++;
        if (test.outcome !== "skipped") continue;
        const reason = test.detail || `${file}: ${test.name} does not say why`;
        const per = skips.get(reason) ?? new Map<string, number>();
        per.set(runtime.kind.name, (per.get(runtime.kind.name) ?? 0) + 1);
        skips.set(reason, per);
      }
    }
    for (const outcome of ["passed", "failed", "skipped"] as const) totals[outcome] += counts[outcome];
    const summary = `${runtime.kind.name} ${runtime.version}: ${describe(counts)} in ${
      counted(files.length, "file")
    }`;
    summaries.push(summary);
    console.log(summary);
    if (files.length > 1) console.log(`  longest: ${longestOf(took)}`);
  }
  const all = [...spent.values()].reduce((a, b) => a + b, 0);
  console.log(
    `${((performance.now() - started) / 1000).toFixed(1)} s` +
      (all > 0
        ? `; ${all.toFixed(1)} s of processor time, half of which is what two idle cores need at least`
        : ""),
  );
  if (values.flag("record")) record();
  if (values.flag("times")) {
    for (const [name, seconds] of [...spent].sort(([, a], [, b]) => b - a)) {
      console.log(`  ${seconds.toFixed(2)} s  ${name}`);
    }
  }
} finally {
  for (const folder of [reports, programs]) rmSync(folder, { recursive: true, force: true });
}

if (skips.size > 0) console.log("\nSkipped:");
for (const [reason, per] of skips) {
  console.log(`  ${[...per].map(([name, count]) => `${count} on ${name}`).join(", ")}: ${reason}`);
}
if (totals.failed > 0) console.log(`\n${summaries.join("\n")}`);
for (const line of missing) console.log(line);
if (files.length === 0) console.log("No test file matches.");
console.log(`\n${describe(totals)}`);
process.exitCode = totals.failed > 0 || found.length === 0 || files.length === 0 ? 1 : 0;

/** Writes down what each file took, beside what is known of those that did not run. */
function record(): void {
  for (const [name, seconds] of spent) {
    const [runtime, file] = name.split(" ");
    (times[runtime] ??= {})[file] = Math.round(10 * seconds) / 10;
  }
  const sorted = Object.entries(times).map(([runtime, of]) => [
    runtime,
    Object.fromEntries(Object.entries(of).filter(([file]) => everyFile.includes(file)).sort()),
  ]);
  writeFileSync(timesFile, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
}

function longestOf(took: ReadonlyMap<string, number>): string {
  const longest = [...took].toSorted(([, a], [, b]) => b - a).slice(0, 8);
  return longest.map(([file, seconds]) => `${file.replace("_test.ts", "")} ${seconds.toFixed(0)} s`).join(
    ", ",
  );
}

function describe(counts: { passed: number; failed: number; skipped: number }): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}
