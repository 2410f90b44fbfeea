/**
 * The server of the load test: `ferrotype serve` in a process of its own, and the memory it takes.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { BpeTokenizer } from "../../mod.ts";
import { runtimeName } from "../../src/platform/platform.ts";
import { byteSymbols } from "../../src/text/bytes.ts";
import { gpt2Folder } from "../gpt2.ts";

/** A folder with a GPT-2 124M of random weights, and a vocabulary of as many tokens: every byte, and pairs of them. */
export async function gpt2WithTokenizer(): Promise<string> {
  const folder = await gpt2Folder(), vocab: Record<string, number> = {}, merges: [string, string][] = [];
  byteSymbols.forEach((symbol, id) => vocab[symbol] = id);
  for (let pair = 0; pair < 50257 - 256; pair++) {
    const a = byteSymbols[pair >> 8], b = byteSymbols[pair & 255];
    vocab[a + b] = 256 + pair;
    merges.push([a, b]);
  }
  writeFileSync(
    join(folder, "tokenizer.json"),
    JSON.stringify(new BpeTokenizer({ vocab, merges }).toJSON()),
  );
  return folder;
}

/** A running `ferrotype serve`. */
export class ServerProcess {
  /** Its address, with `/v1`. */
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** Starts it on a free port of loopback, on this runtime; `options` are further words of the command. */
  static start(options: readonly string[]): Promise<ServerProcess> {
    const before = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : process.execArgv;
    const file = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
    const child = spawn(process.execPath, [...before, file, "serve", "--json", "--port", "0", ...options], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    return new Promise((resolve, reject) => {
      child.on("error", reject).on("exit", (code) => reject(new Error(`ferrotype serve ended with ${code}`)));
      child.stdout?.setEncoding("utf8").once("data", (line: string) => {
        resolve(new ServerProcess((JSON.parse(line) as { url: string }).url, child));
      });
    });
  }

  /** Bytes of memory that are resident. */
  memory(): number {
    const { pid } = this.#child;
    if (process.platform === "linux") {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    }
    return 1024 * Number(spawnSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }).stdout);
  }

  /** Asks it to end, as Ctrl-C does; gives its exit status. */
  stop(): Promise<number | null> {
    const ended = new Promise<number | null>((resolve) => {
      this.#child.removeAllListeners("exit").on("exit", (code) => resolve(code));
    });
    process.kill(this.#child.pid as number, "SIGINT");
    return ended;
  }
}
