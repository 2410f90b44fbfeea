/**
 * A signal may come while the machine's library multiplies: nothing is lost and nothing is broken by it.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import process from "node:process";
import { runtimeName } from "../src/platform/platform.ts";
import { openLibraries } from "../src/runtime/blas.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

/** Has a process multiply, and sends it signals until it ends. Gives its last line, and how it ended. */
function bombarded(title: string): Promise<string> {
  const run = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : process.execArgv;
  const child = spawn(process.execPath, [...run, "tests/_multiply.ts"], {
    cwd: repository,
    env: { ...process.env, FERROTYPE_BLAS: title },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "", errors = "", timer: ReturnType<typeof setInterval> | undefined;
  child.stderr.on("data", (chunk) => errors += chunk);
  child.stdout.on("data", (chunk) => {
    output += chunk;
    if (output.includes("ready")) timer ??= setInterval(send, 1);
  });
  // Deno's `child.kill` sends but one.
  const send = (): void => {
    try {
      process.kill(child.pid!, "SIGUSR2");
    } catch {
      clearInterval(timer); // It has ended.
    }
  };
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearInterval(timer);
      const last = output.trim().split("\n").at(-1);
      resolve(`${last}, ended with ${status ?? signal}${status === 0 ? "" : `: ${errors.slice(-400)}`}`);
    });
  });
}

const libraries = process.platform === "win32" ? [] : openLibraries();

describe("signals while a library multiplies", () => {
  for (const { title } of width(libraries, libraries.slice(0, 1))) {
    it(`leave ${title}'s products and the heap as they were`, async () => {
      assertEquals(await bombarded(title), "handled true, wrong 0, ended with 0");
    });
  }

  it("are tried where there is a library", {
    skip: libraries.length > 0 ? false : "there is no library, or there are no signals",
  }, () => assert(libraries.every(({ title }) => title !== "")));
});
