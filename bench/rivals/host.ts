/**
 * A rival's process: `node host.ts FILE RIVAL MODULES`. Reads questions from standard input, one JSON object a line:
 * `{ id, task, options }` prepares, `{ id, milliseconds }` runs for about that long and answers with the seconds of one run.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** What a rival's file exports: it makes a function that does the work once. When that gives a number, it is the seconds that count. */
export type Prepare = (
  rival: string,
  task: string,
  // deno-lint-ignore no-explicit-any -- each task has its own options, written and read in this folder
  options: any,
  modules: string,
) => Promise<() => unknown>;

const [file, rival, modules] = process.argv.slice(2);
const { prepare } = await import(`./${file}`) as { prepare: Prepare };
const jobs = new Map<number, () => unknown>();

async function secondsOf(run: () => unknown, milliseconds: number): Promise<number> {
  const all: number[] = [];
  const until = performance.now() + milliseconds;
  do {
    const start = performance.now(), given = await run();
    all.push(typeof given === "number" ? given : (performance.now() - start) / 1e3);
  } while (performance.now() < until);
  return all.sort((a, b) => a - b)[all.length >> 1];
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, task, options, milliseconds } = JSON.parse(line);
  let answer: { seconds?: number; error?: string } = {};
  try {
    if (task !== undefined) {
      const run = await prepare(rival, task, options, modules);
      for (let i = 0; i < 2; i++) await run();
      jobs.set(id, run);
    } else answer = { seconds: await secondsOf(jobs.get(id)!, milliseconds) };
  } catch (error) {
    answer = { error: String((error as Error).message ?? error).split("\n")[0].slice(0, 200) };
  }
  process.stdout.write(`\x01${JSON.stringify(answer)}\n`);
}
process.exit(0);
