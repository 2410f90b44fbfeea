/**
 * Native libraries on a Node that has no `node:ffi`: what the package koffi gives is what the other runtimes have.
 */
import { assertAlmostEquals, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { repository } from "../_data.ts";
import { mpiRuns } from "../_mpi.ts";
import { after, before, describe, it } from "../_suite.ts";
import { type Ended, run, skip as noTools, tools } from "./_consumer.ts";

const skip = noTools ||
  (existsSync(join(repository, "node_modules/koffi")) ? false : "koffi is not installed (npm ci)");
const node = join(tools, "node24/bin/node");
const mpi = mpiRuns.find(({ skip }) => skip === false);

describe(
  "Node 24 with koffi",
  { skip: skip || (process.platform !== "linux" && "it looks for libc.so.6") },
  () => {
    let folder = "";
    const at = (name: string): string => join(folder, name);
    before(() => {
      folder = mkdtempSync(join(tmpdir(), "ferrotype-koffi-"));
      writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
    });
    after(() => rmSync(folder, { recursive: true, force: true }));
    const good = (ended: Ended): Ended => {
      assertStrictEquals(ended.code, 0, ended.stderr);
      return ended;
    };

    it("passes views, numbers and addresses, also of shared memory and in another thread, and says what is not there", async () => {
      const platform = JSON.stringify(pathToFileURL(join(repository, "src/platform/platform.ts")).href);
      writeFileSync(
        at("libc.mjs"),
        `import { openLibrary } from ${platform};
import { Worker } from "node:worker_threads";
const { library } = openLibrary(["libnone.so", "libc.so.6"], {
  memcpy: { parameters: ["pointer", "address", "i64"], result: "address" },
  abs: { parameters: ["i32"], result: "i32" },
  labs: { parameters: ["i64"], result: "i64" },
  getenv: { parameters: ["pointer"], result: "address" },
  time: { parameters: ["pointer"], result: "i64" },
});
const libm = openLibrary(["libm.so.6"], {
  fabsf: { parameters: ["f32"], result: "f32" },
  pow: { parameters: ["f64", "f64"], result: "f64" },
}).library;
const memory = new WebAssembly.Memory({ initial: 1, maximum: 3, shared: true });
const from = new Uint8Array([9, 1, 2, 3]).subarray(1), to = new Uint8Array(memory.buffer, 100, 3);
const address = library.functions.memcpy(to, library.addressOf(from), 3);
const f = library.functions, before = library.addressOf(to);
memory.grow(1);
const thread = new Worker("const call = (" + library.functionSource("labs") +
  ")(); require('node:worker_threads').parentPort.postMessage(String(call(-(2n ** 40n))));", { eval: true });
console.log(JSON.stringify({
  bytes: [...to], same: address === before, after: library.addressOf(new Uint8Array(memory.buffer, 100, 3)) === before,
  abs: f.abs(-7), labs: String(f.labs(-(2n ** 53n) - 1n)), none: f.getenv(new TextEncoder().encode("NOT THERE\\0")),
  time: typeof f.time(null), fabsf: libm.functions.fabsf(-0.1), pow: libm.functions.pow(2, 0.5),
  thread: await new Promise((resolve) => thread.on("message", resolve)),
  missing: openLibrary(["libc.so.6"], { none_such: { parameters: [], result: "void" } }).reason,
  absent: openLibrary(["libnone.so"], {}).reason,
}));
`,
      );
      const { stdout } = good(await run(node, [at("libc.mjs")], { cwd: folder }));
      const { missing, absent, ...found } = JSON.parse(stdout);
      assertEquals(found, {
        ...{
          bytes: [1, 2, 3],
          same: true,
          after: true,
          abs: 7,
          labs: "9007199254740993",
          none: 0,
          time: "bigint",
        },
        ...{ fabsf: Math.fround(0.1), pow: Math.SQRT2, thread: "1099511627776" },
      });
      assertMatch(missing, /libc\.so\.6: .*none_such/);
      assertMatch(absent, /^libnone\.so: /);
    });

    it(
      "trains on two ranks, with the losses of one process",
      { skip: mpi ? false : mpiRuns[0].skip },
      async () => {
        const train = (out: string): string[] => [
          ...[
            join(repository, "cli/main.ts"),
            "train",
            at("t.txt"),
            "-o",
            at(out),
            "--steps",
            "10",
            "--batch-size",
            "4",
          ],
          ..."--block-size 8 --n-layer 1 --n-head 1 --n-embd 8 --threads 1".split(" "),
        ];
        const env = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
        const two = good(
          await run(mpi!.command, [...mpi!.options, "-n", "2", node, ...train("two")], { cwd: folder, env }),
        );
        assertMatch(two.stderr, /2 ranks/);
        good(await run(node, train("one"), { cwd: folder }));
        const losses = (out: string): number[] =>
          readFileSync(at(`${out}/log.jsonl`), "utf8").trim().split("\n").flatMap((line) =>
            JSON.parse(line).loss ?? []
          );
        const one = losses("one");
        losses("two").forEach((loss, i) => assertAlmostEquals(loss, one[i], 1e-5));
      },
    );
  },
);
