/**
 * The runtimes that the suite runs on: where each is looked for, which version is enough, how it runs one file.
 *
 * A runtime is the one that is running this, one that npm put into `tests/runtimes`, or one on PATH, in that
 * order; the first that is new enough is taken. What is missing is installed with npm where npm is there.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { repository } from "./_data.ts";
import { installWithNpm } from "./_install.ts";

/** One runtime, and what the runner needs to know about it. */
export interface RuntimeKind {
  readonly name: "deno" | "bun" | "node";
  /** What runs JavaScript and WebAssembly in it. */
  readonly engine: "V8" | "JavaScriptCore";
  /** The oldest version the package supports: major and minor. */
  readonly atLeast: readonly [number, number];
  /** Arguments that run the tests of a file, or of several where {@link shares}, and write a JUnit report. */
  readonly arguments: (files: readonly string[], report: string) => string[];
  /**
   * How many files share a process, and what they import: reading it anew takes 0.3 s of processor time each. On Bun a process
   * slows down with what was in it: nine files of kernels took 35 s of processor time together, 22 s in two halves, 19 s each alone.
   */
  readonly shares: number;
}

/** A runtime that was found. */
export interface FoundRuntime {
  readonly kind: RuntimeKind;
  readonly path: string;
  readonly version: string;
}

/** Every runtime the package promises to run on. */
export const runtimeKinds: readonly RuntimeKind[] = [
  {
    name: "deno",
    engine: "V8",
    atLeast: [2, 9],
    arguments: (files, report) => [
      "test",
      "-A",
      "--no-check",
      `--junit-path=${report}`,
      files.length > 1 ? "tests/_batch.ts" : files[0],
    ],
    shares: 8,
  },
  {
    name: "bun",
    engine: "JavaScriptCore",
    atLeast: [1, 4],
    // Bun gives a test 5 s unless told otherwise; the others leave that to the test.
    arguments: (files, report) => [
      "test",
      "--timeout=1200000",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files.map((file) => `./${file}`),
    ],
    shares: 4,
  },
  {
    name: "node",
    engine: "V8",
    atLeast: [24, 0],
    arguments: (files, report) => [
      "--test",
      // A process of its own is what the runner starts already.
      "--test-isolation=none",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      "--test-reporter=junit",
      `--test-reporter-destination=${report}`,
      files.length > 1 ? "tests/_batch.ts" : files[0],
    ],
    shares: 10,
  },
];

/** The runtime, or why it was not found. */
function findRuntime(kind: RuntimeKind): FoundRuntime | string {
  const wanted = kind.atLeast.join(".");
  const tooOld: string[] = [];
  for (const path of candidates(kind.name)) {
    const run = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 300_000 });
    const version = /(\d+)\.(\d+)\.\S+/.exec(run.stdout ?? "");
    if (version === null) continue;
    const [major, minor] = [Number(version[1]), Number(version[2])];
    const enough = major > kind.atLeast[0] || (major === kind.atLeast[0] && minor >= kind.atLeast[1]);
    if (enough) return { kind, path, version: version[0] };
    tooOld.push(`${version[0]} at ${path}`);
  }
  if (tooOld.length > 0) return `only ${tooOld.join(", ")} was found, and at least ${wanted} is needed`;
  return "not in tests/runtimes and not on PATH";
}

function candidates(name: string): string[] {
  const running = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
  const found = running === name ? [process.execPath] : [];
  const folders = [
    join(repository, "tests", "runtimes", "node_modules", ".bin"),
    ...(process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== ""),
  ];
  const endings = process.platform === "win32" ? [".exe", ".cmd"] : [""];
  for (const folder of folders) {
    for (const ending of endings) found.push(join(folder, name + ending));
  }
  return [...new Set(found)].filter((path) => existsSync(path));
}

/** The runtimes of `kinds` that are there or can be installed, and a line for each that is not. */
export function findRuntimes(
  kinds: readonly RuntimeKind[],
  install: boolean,
): { found: FoundRuntime[]; missing: string[] } {
  const look = () => kinds.map((kind) => ({ kind, result: findRuntime(kind) }));
  let looked = look();
  let reason = "";
  if (install && looked.some(({ result }) => typeof result === "string")) {
    console.log("Installing the runtimes that are missing with npm …");
    const failure = installWithNpm(join(repository, "tests", "runtimes"));
    if (failure !== null) reason = `; ${failure}`;
    looked = look();
  }
  const found: FoundRuntime[] = [], missing: string[] = [];
  for (const { kind, result } of looked) {
    if (typeof result === "string") missing.push(`${kind.name}: not run: ${result}${reason}`);
    else found.push(result);
  }
  return { found, missing };
}
