/**
 * What the hub's tests share: a hub that runs while a file's tests do, a repository on it, an empty cache, ways to
 * fetch and to fail.
 *
 * @module
 */
import { assert, assertMatch, assertRejects } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach } from "node:test";
import { pathToFileURL } from "node:url";
import { HubError } from "../src/core/errors.ts";
import { type HubOptions, openRepository } from "../src/hub/mod.ts";
import { repository } from "./_data.ts";
import { type Asked, bytesOf, FakeHub, type Fault } from "./_hub.ts";

/** The hub. */
export const hub: FakeHub = new FakeHub();
/** The repository that is on it, its file of weights, its other file. */
export const name = "org/model", file = "model.safetensors", config = '{"model_type":"gpt2"}\n';
/** The bytes of {@link file}, and where half of them end. */
export const weights: Uint8Array = bytesOf(600_000), half = 300_000;
/** The folder of the cache, and the repository's commit. */
export let cache = "", commit = "";

/** Has every test of the calling file begin with that repository, and with nothing in the cache. */
export function useHub(): void {
  before(() => hub.start());
  after(() => hub.stop());
  beforeEach(() => {
    hub.reset();
    hub.repositories.clear();
    cache = mkdtempSync(join(tmpdir(), "ferrotype-hub-"));
    commit = hub.push(name, { "config.json": config, [file]: weights });
  });
  afterEach(() => rmSync(cache, { recursive: true, force: true }));
}

/** A path in the repository's folder in the cache. */
export function at(...parts: string[]): string {
  return join(cache, "models--org--model", ...parts);
}

/** Options for this hub and this cache. */
export function options(more: HubOptions = {}): HubOptions {
  return { endpoint: hub.endpoint, cacheDir: cache, token: "", offline: false, retryDelay: 0.01, ...more };
}

/** A file of the repository, opened anew. */
export async function fetchFile(path = file, more: HubOptions = {}): Promise<Uint8Array | null> {
  const opened = await openRepository(name, options(more));
  const source = await opened.open(path);
  if (source === null) return null;
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** Checks that it fails with a HubError of one line that matches; gives its message. */
export async function fails(work: Promise<unknown>, ...patterns: RegExp[]): Promise<string> {
  let message = "";
  {
    const error = await assertRejects(() => work, Error);

    assert(error instanceof HubError, String((error as Error).stack));

    message = error.message;

    for (const pattern of patterns) assertMatch(message, pattern);

    assert(!message.includes("\n"), "one line");
  }
  return message;
}

/** Faults for the first requests that `which` picks, one each. */
export function inOrder(which: (asked: Asked) => boolean, ...faults: Fault[]): void {
  hub.fault = (asked) => which(asked) ? faults.shift() : undefined;
}

/** Whether a request went to the storage server. */
export const toStorage = (asked: Asked): boolean => asked.server === "storage";

/** A process, and how it ended. */
interface Program {
  readonly child: ChildProcess;
  readonly end: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>;
}

/** Runs a module in a process of its own, with `hub` being the room under test. */
export function program(text: string, env: Record<string, string> = {}, permissions = ["-A"]): Program {
  const path = join(cache, `program-${Math.random().toString(36).slice(2)}.ts`);
  const room = pathToFileURL(join(repository, "src/hub/mod.ts")).href;
  writeFileSync(path, `import * as hub from ${JSON.stringify(room)};\n${text}`);
  const runtime = "Deno" in globalThis
    ? ["run", "--no-check", "--no-prompt", `--config=${join(repository, "deno.json")}`, ...permissions]
    : [];
  const settled = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache, HF_TOKEN: "", HF_HUB_OFFLINE: "" };
  // Deno's node:child_process adds -A where it sees Deno's path among the arguments, so it is kept out of sight.
  const child = spawn("sh", ["-c", 'exec "$RUNTIME" "$@"', "sh", ...runtime, path], {
    env: { ...process.env, ...settled, ...env, RUNTIME: process.execPath },
  });
  const ended = { code: null as number | null, signal: null as string | null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => ended.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => ended.stderr += text);
  const end = new Promise<typeof ended>((resolve) =>
    child.on("close", (code, signal) => resolve({ ...ended, code, signal }))
  );
  return { child, end };
}

/** The text of a program that fetches {@link file}. */
export const fetchAll: string = `
  const opened = await hub.openRepository(${JSON.stringify(name)});
  const source = await opened.open(${JSON.stringify(file)});
  console.log(source.size);
  await source.close();
`;
