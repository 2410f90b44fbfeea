/**
 * Random programs against the promise that a device computes what the reference device does, writes nowhere else, and
 * refuses what it cannot: `deno task fuzz --minutes N --seed S`.
 *
 * | option | |
 * |---|---|
 * | `--minutes 1` | how long; or |
 * | `--programs 1000` | how many, whatever time they take |
 * | `--seed 1` | which: program number i of a seed is the same on every runtime, and every time |
 * | `--start 0` | the number of the first program |
 * | `--mode fast` | the cpu device on one thread; `deterministic`: on two, without fused instructions; `webgpu`: the adapter there is |
 *
 * The cpu device has guards around every block of its memory, and every operation is watched (`FERROTYPE_GUARD`). A program
 * that fails is printed as code, as small as it gets, with its seed; the exit status is then 1.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import type { FuzzMode } from "./fuzz/device.ts";
import { ensurePackages } from "./_install.ts";

ensurePackages();
const { openFuzzDevice } = await import("./fuzz/device.ts"),
  { formatProgram } = await import("./fuzz/program.ts");
const { runRandomProgram } = await import("./fuzz/programs.ts");

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    programs: { type: "string" },
    seed: { type: "string", default: "1" },
    start: { type: "string", default: "0" },
    mode: { type: "string", default: "fast" },
  },
});

/** A number from `least`. */
function numberOf(name: "minutes" | "programs" | "seed" | "start", least: number): number {
  const n = Number(values[name]);
  if (Number.isFinite(n) && n >= least && (name === "minutes" || Number.isSafeInteger(n))) return n;
  console.error(`fuzz: --${name} is a number from ${least}, not "${values[name]}"`);
  process.exit(2);
}

const modes: readonly FuzzMode[] = ["fast", "deterministic", "webgpu"];
const mode = modes.find((name) => name === values.mode);
if (mode === undefined) {
  console.error(`fuzz: --mode is one of ${modes.join(", ")}, not "${values.mode}"`);
  process.exit(2);
}
const seed = numberOf("seed", 0), start = numberOf("start", 0);
const most = values.programs === undefined ? Infinity : numberOf("programs", 1);
const minutes = values.minutes === undefined ? (most === Infinity ? 1 : Infinity) : numberOf("minutes", 0);

const device = await openFuzzDevice(mode), began = performance.now(), deadline = began + minutes * 60_000;
const done = new Map<string, number>();
let programs = 0, failures = 0, said = began;
for (; programs < most && performance.now() < deadline && failures < 10; programs++) {
  const index = start + programs, { failure, done: now } = await runRandomProgram(seed, index, device.name);
  for (const [op, count] of now) done.set(op, (done.get(op) ?? 0) + count);
  const problem = failure?.problem ?? device.check(index % 64 === 0);
  if (problem !== null) {
    failures++;
    console.log(
      `\nprogram ${index} of seed ${seed} (--seed ${seed} --start ${index} --programs 1): ${problem}`,
    );
    if (failure) console.log(formatProgram(failure.program));
  }
  if (performance.now() - said > 10_000) {
    said = performance.now();
    console.error(`${programs + 1} programs, ${Math.round((said - began) / 1000)} s`);
  }
}
device.dispose();
const operations = [...done.values()].reduce((a, b) => a + b, 0);
console.log(
  `${programs} programs of seed ${seed} on ${mode}: ${operations} operations of ${done.size} kinds, ${failures} failures`,
);
process.exitCode = failures ? 1 : 0;
