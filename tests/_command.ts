/**
 * Runs the command: in a process of its own, on the runtime that runs the test, or, where that would tell no more,
 * by a call of its main function, which is much quicker.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import process from "node:process";
import { main } from "../cli/main.ts";
import { redirectOutput } from "../cli/output.ts";
import { nodeCache, repository } from "./_data.ts";
import { inFewFiles } from "./_program.ts";

/** How a process ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Options of a call. */
export interface CallOptions {
  /** What it reads from standard input. */
  input?: string;
  /** Where it runs. Default: the repository. */
  cwd?: string;
  /** Called when it has started. */
  started?: (child: ChildProcessWithoutNullStreams) => void;
  /** The file to run instead of the command, made of few files: it starts in half the time. */
  file?: string;
}

/** Runs `ferrotype …args` to its end. */
export async function ferrotype(args: readonly string[], options: CallOptions = {}): Promise<Ended> {
  const before = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const file = options.file ?? await inFewFiles("cli/main.ts");
  const child = spawn(process.execPath, [...before, file, ...args], {
    cwd: options.cwd ?? repository,
    env: { NODE_COMPILE_CACHE: nodeCache, ...process.env, NO_COLOR: "1" },
  });
  const ended: Ended = { code: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => ended.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => ended.stderr += text);
  // A process that does not read its input may be gone before all is written.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  options.started?.(child);
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...ended, code }));
  });
}

/** Sends Ctrl-C. By number, because under Deno a child that was sent it by `kill()` counts as killed, whatever it did. */
export function interrupt(child: ChildProcessWithoutNullStreams): void {
  process.kill(child.pid as number, "SIGINT");
}

/** Does what the process would do, in this one. One call at a time. */
export async function call(args: readonly string[]): Promise<Ended> {
  const ended: Ended = { code: null, stdout: "", stderr: "" };
  const restore = redirectOutput((stream, text) => {
    ended[stream] += text;
    return Promise.resolve(true);
  });
  try {
    ended.code = await main(args);
  } finally {
    restore();
  }
  return ended;
}

type Runner = (args: readonly string[]) => Promise<Ended>;

/** The standard output of a good end. */
export async function output(args: readonly string[], run: Runner = call): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  assertStrictEquals(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** With `--json`: one object on one line of standard output, and nothing else there. */
export async function json<T>(args: readonly string[], run: Runner = call): Promise<T> {
  const text = await output([...args, "--json"], run);
  assertMatch(text, /^\{[^\n]*\}\n$/);
  return JSON.parse(text) as T;
}

/** Checks that it fails with `code` and one line on standard error, nothing on standard output. */
export async function fails(
  code: number,
  args: readonly string[],
  pattern: RegExp,
  run: Runner = call,
): Promise<void> {
  const ended = await run(args);
  assertMatch(ended.stderr, /^ferrotype: [^\n]+\n$/);
  assertMatch(ended.stderr, pattern);
  assertEquals([ended.code, ended.stdout], [code, ""]);
}
