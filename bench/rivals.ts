/**
 * The rivals: each a process of its own (`rivals/host.ts`), so that none can disturb another's memory, threads or life, and
 * each runs on the runtime it was made for. They are installed on request (`--install`); what is missing is named.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here: string = dirname(fileURLToPath(import.meta.url));
const folder: string = join(here, "rivals");
/** Where packages may lie: those that are installed here, and those that the tests are judged by, which are the same versions. */
const modules: readonly string[] = [folder, join(here, "../tests/rivals")].map((at) =>
  join(at, "node_modules")
);

/** The folder of packages that has this one; null where none does. */
export function rivalModules(name: string): string | null {
  const isThere = (at: string): boolean => {
    const file = join(at, name, "package.json");
    // A package may stand in for one that is of no use there, under its name.
    return existsSync(file) && JSON.parse(readFileSync(file, "utf8")).name === name;
  };
  return modules.find(isThere) ?? null;
}

/** Something that a rival does, again and again. */
export interface RivalJob {
  /** The rival's name. */
  readonly name: string;
  /** Gets ready; gives the reason when it cannot. */
  prepare(): Promise<string | null>;
  /** Seconds of one run, in about `milliseconds` of runs. */
  seconds(milliseconds: number): Promise<number>;
}

/** Why no rival was measured in a run without them. */
export const leftOut = "rivals were left out (--no-rivals, --quick)";

/** A file in `rivals/`, and the package it needs (none: it needs only this repository). */
interface RivalKind {
  readonly file: string;
  readonly needs: string | null;
  /** What runs it. Default: Node. */
  readonly runtime?: "deno";
}

const kinds: Readonly<Record<string, RivalKind>> = {
  "onnxruntime-node": { file: "onnxruntime.ts", needs: "onnxruntime-node" },
  "onnxruntime-web": { file: "onnxruntime.ts", needs: "onnxruntime-web" },
  "jax-js": { file: "jax.ts", needs: "@jax-js/jax" },
  // Node has no WebGPU of its own.
  "jax-js on WebGPU": { file: "jax.ts", needs: "@jax-js/jax", runtime: "deno" },
  "tfjs-wasm": { file: "tfjs.ts", needs: "@tensorflow/tfjs-backend-wasm" },
  "llama.cpp": { file: "llama.ts", needs: "node-llama-cpp" },
  wllama: { file: "wllama.ts", needs: "@wllama/wllama" },
  "tiktoken": { file: "tokenizers.ts", needs: "tiktoken" },
  "gpt-tokenizer": { file: "tokenizers.ts", needs: "gpt-tokenizer" },
  "@huggingface/tokenizers": { file: "tokenizers.ts", needs: "@huggingface/tokenizers" },
  "the library alone": { file: "library.ts", needs: null },
};

/** Installs them all. */
export function installRivals(): void {
  const { status } = spawnSync(
    "npm",
    ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"],
    { stdio: "inherit" },
  );
  if (status !== 0) throw new Error("npm could not install the rivals");
}

/** Name and version of what is installed. */
export function rivalVersions(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, { needs }] of Object.entries(kinds)) {
    const at = needs && rivalModules(needs);
    if (at) found[name] = JSON.parse(readFileSync(join(at, needs, "package.json"), "utf8")).version;
  }
  return found;
}

/** A Node that runs TypeScript as it is: this process, one installed here, or one on the path. */
function findNode(): string | null {
  const isNode = typeof (globalThis as { Deno?: unknown; Bun?: unknown }).Deno === "undefined" &&
    typeof (globalThis as { Bun?: unknown }).Bun === "undefined";
  const root = dirname(here);
  for (
    const path of [
      ...(isNode ? [process.execPath] : []),
      join(root, "tests/runtimes/node_modules/.bin/node"),
      join(root, "node_modules/.bin/node"),
      "node",
    ]
  ) {
    const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
    if (status === 0 && Number(/^v(\d+)/.exec(stdout)?.[1]) >= 24) return path;
  }
  return null;
}

/** This process's Deno, the one installed here, or one on the path. */
function findDeno(): string | null {
  const isDeno = typeof (globalThis as { Deno?: unknown }).Deno !== "undefined";
  const own = isDeno ? [process.execPath] : [];
  for (const path of [...own, join(dirname(here), "tests/runtimes/node_modules/.bin/deno"), "deno"]) {
    if (spawnSync(path, ["--version"]).status === 0) return path;
  }
  return null;
}

/** A process that runs one rival. */
class Host {
  #child: ChildProcess;
  #waiting: ((answer: { seconds?: number; error?: string }) => void)[] = [];
  #errors = "";

  constructor(path: string, { file, runtime }: RivalKind, rival: string, modules: string) {
    const flags = runtime === "deno" ? ["run", "-A", "--no-check", "--quiet"] : ["--no-warnings"];
    this.#child = spawn(path, [...flags, join(folder, "host.ts"), file, rival, modules], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stderr!.on("data", (text) => this.#errors = (this.#errors + text).slice(-2000));
    this.#child.on("close", () => {
      const last = this.#errors.trim().split("\n").findLast((line) => /error/i.test(line)) ?? "";
      for (const answer of this.#waiting.splice(0)) answer({ error: `it ended: ${last.slice(0, 200)}` });
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      // Libraries may print what they like; answers begin with a mark.
      if (line.startsWith("\x01")) this.#waiting.shift()?.(JSON.parse(line.slice(1)));
    });
  }

  async ask(question: unknown): Promise<number> {
    const { seconds, error } = await new Promise<{ seconds?: number; error?: string }>((resolve) => {
      if (this.#child.exitCode !== null) return resolve({ error: "it ended" });
      this.#waiting.push(resolve);
      this.#child.stdin!.write(`${JSON.stringify(question)}\n`);
    });
    if (error !== undefined) throw new Error(error);
    return seconds ?? 0;
  }

  end(): void {
    // A rival may have processes of its own to end.
    this.#child.kill("SIGTERM");
  }
}

/** All rivals of a run. */
export class Rivals {
  readonly #on: boolean;
  readonly #hosts = new Map<string, Host>();
  #node: string | null | undefined;
  #next = 0;

  /** With `on` false every rival is missing. */
  constructor(on: boolean) {
    this.#on = on;
  }

  /** A job `task` of a rival. `label` is its name in the table, where one rival stands there more than once. */
  job(name: string, task: string, options: Record<string, unknown>, label: string = name): RivalJob {
    const id = this.#next++;
    let host: Host | null = null;
    return {
      name: label,
      prepare: async () => {
        const kind = kinds[name];
        if (!this.#on && kind.needs) return leftOut;
        const at = kind.needs === null ? modules[0] : rivalModules(kind.needs);
        if (at === null) {
          return `${kind.needs} is not installed (--install)`;
        }
        const path = kind.runtime === "deno" ? findDeno() : this.#node ??= findNode();
        if (path === null) return `it runs on ${kind.runtime ?? "Node ≥ 24"}, which was not found`;
        host = this.#hosts.get(name) ?? null;
        if (!host) this.#hosts.set(name, host = new Host(path, kind, name, at));
        try {
          await host.ask({ id, task, options });
          return null;
        } catch (error) {
          return (error as Error).message;
        }
      },
      seconds: async (milliseconds) => {
        const seconds = await host!.ask({ id, milliseconds });
        // Thread pools spin for a moment after their work.
        await new Promise((resolve) => setTimeout(resolve, 20));
        return seconds;
      },
    };
  }

  /** Ends all of them, which gives their memory back; a new job starts its rival again. */
  endAll(): void {
    for (const host of this.#hosts.values()) host.end();
    this.#hosts.clear();
  }
}
