import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { runtimeName } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";

describe("serve, under load", () => {
  it("gives 32 clients at once what each gets alone, without an error", () => {
    const run = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : [];
    const words = "bench/serve_load.ts --json --seconds 2 --tokens 16 --rounds 1 --turn 0.3".split(" ");
    const { stdout, stderr, status } = spawnSync(process.execPath, [...run, ...words], {
      cwd: repository,
      encoding: "utf8",
    });
    assertStrictEquals(status, 0, stderr);
    const found = JSON.parse(stdout);
    assertEquals([found.clients, found.errors, found.exit_status], [32, 0, 0], stdout);
    // Each client had an answer at least, and it was compared with what the request gave alone.
    assert(found.requests >= 32, stdout);
    assert(found.tokens_per_second > 0 && found.eight_to_one > 0, stdout);
    const { p50, p99 } = found.first_token_ms;
    assert(p50 > 0 && p50 <= p99, stdout);
    assert(found.memory.late > 10e6, stdout);
  });
});
