/**
 * Random programs against the promise that a device computes what the reference device does, writes nowhere else, and
 * refuses what it cannot: `deno task fuzz --minutes N --seed S`; `--help` tells the options.
 *
 * The cpu device has guards around every block of its memory, and every operation is watched (`FERROTYPE_GUARD`). A program
 * that fails is printed as code, as small as it gets, with its seed; the exit status is then 1.
 *
 * @module
 */
import "./_pin.ts";
import process from "node:process";
import { number, oneOf, whole } from "../src/core/kinds.ts";
import { readTask } from "../tools/task.ts";
import type { FuzzMode } from "./fuzz/device.ts";
import { ensurePackages } from "./_install.ts";

ensurePackages();
const { openFuzzDevice } = await import("./fuzz/device.ts"),
  { formatProgram } = await import("./fuzz/program.ts");
const { runRandomProgram } = await import("./fuzz/programs.ts");

const modes: readonly FuzzMode[] = ["fast", "deterministic", "webgpu"];
const { values } = readTask({
  name: "fuzz",
  summary:
    "Random programs against the promise that a device computes what the reference device does, and no more.",
  options: {
    minutes: { value: "N", kind: number({ from: 0 }), help: "how long (default 1, without --programs)" },
    programs: { value: "N", kind: whole(1), help: "how many, whatever time they take" },
    seed: {
      value: "N",
      kind: whole(0),
      help: "which: program i of a seed is the same everywhere (default 1)",
    },
    start: { value: "N", kind: whole(0), help: "the number of the first program (default 0)" },
    mode: {
      value: "MODE",
      kind: oneOf(...modes),
      help:
        "fast (default): the cpu device on one thread; deterministic: on two, without fused instructions; webgpu",
    },
  },
});
const seed = values.number("seed") ?? 1, start = values.number("start") ?? 0;
const mode = (values.text("mode") ?? "fast") as FuzzMode;
const most = values.number("programs") ?? Infinity;
const minutes = values.number("minutes") ?? (most === Infinity ? 1 : Infinity);

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
