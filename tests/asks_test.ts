/** What a test asks of its runtime is read from it, so that nothing which a runtime does itself is tried on another in its place. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { asks, asksOf, tries, triesOf } from "./_asks.ts";
import { repository } from "./_data.ts";

const of = (...lines: string[]): string | null => asksOf("one_test.ts", lines.join("\n"));

describe("what a test asks of its runtime", () => {
  it("is nothing where it computes, from recorded results and in folders of its own", () => {
    assertEquals(of(), null);
    assertEquals(
      of(
        'import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";',
        'import { tmpdir } from "node:os";',
        'import { describe, it } from "node:test";',
        'import { tensor } from "../mod.ts";',
        'import { dataPath } from "./_data.ts";',
        'import { call, fails } from "./_command.ts";',
        'import type { Server } from "node:http";',
        "// await fetch(url) is said, not done",
      ),
      null,
    );
  });

  it("is processes, sockets, threads, the disk's own, its collector, its globals, its hub and its server", () => {
    for (
      const [line, said] of [
        ['import { spawn } from "node:child_process";', "node:child_process"],
        ['import {\n  readFileSync,\n  statSync as stat,\n} from "node:fs";', "statSync of node:fs"],
        ['import { createServer } from "node:http";', "node:http"],
        ['import { freemem } from "node:os";', "freemem of node:os"],
        ['import { ferrotype, output } from "./_command.ts";', "ferrotype of ./_command.ts"],
        ['import { collector } from "./_collection.ts";', "collector of ./_collection.ts"],
        [
          'import { openFile, type ByteSource } from "../src/platform/platform.ts";',
          "openFile of ../src/platform",
        ],
        ['import { openRepository } from "../src/hub/mod.ts";', "../src/hub/mod.ts"],
        ['import { startServer } from "../cli/serve/server.ts";', "../cli/serve/server.ts"],
        ['export { post } from "./_serve.ts";', "../cli/serve/server.ts"],
        ['import "node:worker_threads";', "node:worker_threads"],
        ["await setThreads(2);", "setThreads"],
        ["const answer = await fetch(url);", "fetch"],
        ["new Worker(url);", "Worker"],
        ["Deno.pid", "Deno"],
      ]
    ) {
      assert(of(line)?.startsWith(said), `${line}: ${of(line)}`);
    }
  });

  it("is found in the tests that there are", () => {
    const files = readdirSync(join(repository, "tests"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith("_test.ts") && !file.includes("node_modules"));
    for (const file of files) {
      const text = readFileSync(join(repository, "tests", file), "utf8");
      const plain =
        /^import (?!type)[^;]*"(node:(?:child_process|http|worker_threads)|\.\/_(?:serve|hub|mpi|dies)\.ts)"/m;
      if (plain.test(text)) assert(asks(file) !== null, `${file} asks for nothing?`);
    }
    for (const file of ["platform", "write_files", "cpu_threads", "serve", "hub", "memory", "cli", "soak"]) {
      assertMatch(asks(`${file}_test.ts`) ?? "", /./, file);
    }
    for (const file of ["choice", "ops_golden", "text", "tabular_metrics"]) {
      assertEquals(asks(`${file}_test.ts`), null, file);
    }
  });
});

describe("what a test tries that its engine makes", () => {
  const of = (...lines: string[]): string | null => triesOf(lines.join("\n"));

  it("is kernels, formulas, bits and patterns, and nothing in a program that only follows its own text", () => {
    for (
      const from of [
        "../src/backends/cpu/kernels/matmul.ts",
        "../src/expr/table.ts",
        "../src/core/half.ts",
        "../src/text/split.ts",
        "_devices.ts",
        "fuzz/device.ts",
      ]
    ) {
      assertEquals(of(`import {\n  a,\n} from "${from.startsWith(".") ? from : `./${from}`}";`), from);
    }
    assertEquals(
      of('import { readCsv } from "../mod.ts";', 'import type { View } from "../src/backends/contract.ts";'),
      null,
    );
    // Every step of a whole model is a kernel that is tried by itself.
    const whole = 'import { tinyGpt2 } from "./_gpt2.ts";';
    assertEquals(of(whole, 'import { eachDevice } from "./_devices.ts";'), null);
    assertEquals(
      of(whole, 'import { createCpuBackend } from "../src/backends/cpu/backend.ts";'),
      "../src/backends/cpu/backend.ts",
    );
  });

  it("is found in every file of a backend, of operations, of compiled functions and of texts", () => {
    const files = readdirSync(join(repository, "tests")).filter((file) =>
      /^(assembler|autograd|backend_(?!webgpu)|cpu|expr|ops|text|tokenizers)_?.*_test\.ts$/.test(file) &&
      asks(file) === null
    );
    assert(files.length > 30, `only ${files.length} files`);
    assertEquals(files.filter((file) => tries(file) === null), []);
    for (const file of ["options", "search", "onnx_test", "generate_beam", "tabular_metrics"]) {
      assertEquals(tries(`${file.replace(/_test$/, "")}_test.ts`), null, file);
    }
  });
});
