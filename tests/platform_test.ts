import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { FerrotypeError } from "../src/core/errors.ts";
import {
  canBlock,
  directoryOf,
  environment,
  exists,
  hardwareConcurrency,
  homeDirectory,
  isDirectory,
  joinPath,
  makeDir,
  openLibrary,
  readDir,
  readFile,
  readTextFile,
  remove,
  requestGpuAdapter,
  residentMemory,
  runtimeName,
  runtimeVersion,
  sharedMemoryReason,
  spawnWorker,
  stat,
  writeFileAtomic,
} from "../src/platform/platform.ts";
import { repository } from "./_data.ts";
import { after, before, describe, it } from "./_suite.ts";
import { patience } from "./_wait.ts";

/** 300 kB in which every position shows. */
const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8) * 13) & 255);

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-platform-"));
  writeFileSync(join(folder, "content.bin"), content);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program in a process of its own, on Deno with no permission but those given; `p` is the platform. */
function runProgram(name: string, text: string, permissions: string[] = []) {
  const platform = pathToFileURL(join(repository, "src/platform/platform.ts")).href;
  const program = join(folder, name);
  writeFileSync(program, `import * as p from ${JSON.stringify(platform)};\n${text}`);
  const deno = ["run", "--no-prompt", "--no-check", "--no-config", ...permissions];
  const args = [...(runtimeName() === "deno" ? deno : []), program];
  // Deno's node:child_process adds -A where it sees Deno's path among the arguments, so it is kept out of sight.
  return spawnSync("sh", ["-c", 'exec "$RUNTIME" "$@"', "sh", ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, RUNTIME: process.execPath },
    timeout: patience,
  });
}

describe("files", () => {
  it("writes all kinds of content", async () => {
    const path = join(folder, "written.bin");
    async function* pieces() {
      yield content.subarray(0, 1000);
      await Promise.resolve();
      yield content.subarray(1000);
    }
    const heap = new Uint8Array(new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true }).buffer);
    heap.set(content);
    for (
      const what of [
        content,
        [content.subarray(0, 7), content.subarray(7)],
        pieces(),
        heap.subarray(0, content.length),
        async (sink: { write(bytes: Uint8Array): Promise<void> }) => {
          await sink.write(content.subarray(0, 10));
          await sink.write(content.subarray(10));
        },
      ]
    ) {
      await writeFileAtomic(path, what);
      assertEquals(await readFile(path), content);
    }
    await writeFileAtomic(path, "naïve text");
    assertStrictEquals(await readTextFile(path), "naïve text");
    await writeFileAtomic(path, Uint8Array.of(0xff));
    await assertRejects(() => readTextFile(path), Error, "not UTF-8");
  });
  it("keeps the old file when writing fails", async () => {
    const place = join(folder, "kept");
    await makeDir(place);
    const path = join(place, "file");
    await writeFileAtomic(path, "old");
    await assertRejects(() =>
      writeFileAtomic(path, async (sink) => {
        await sink.write(content);
        assertStrictEquals(readdirSync(place).length, 2, "the new file grows beside the old one");
        throw new RangeError("no more");
      }), RangeError);
    assertStrictEquals(await readTextFile(path), "old");
    assertEquals(readdirSync(place), ["file"]);
    assertMatch(
      String(await assertRejects(() => writeFileAtomic(join(folder, "nowhere", "file"), "new"))),
      /Cannot write .*no such file/,
    );
  });
  it("makes, lists, looks at and removes folders", async () => {
    const place = join(folder, "a", "b");
    await makeDir(place);
    await makeDir(place);
    await writeFileAtomic(joinPath(place, "two"), "22");
    await makeDir(joinPath(place, "one"));
    assertEquals(await readDir(place), [
      { name: "one", isFile: false, isDirectory: true, isLink: false },
      { name: "two", isFile: true, isDirectory: false, isLink: false },
    ]);
    assertStrictEquals((await stat(joinPath(place, "two")))?.size, 2);
    assertStrictEquals(
      (await stat(joinPath(place, "two")))!.modified,
      statSync(joinPath(place, "two")).mtimeMs,
    );
    assertStrictEquals(await stat(joinPath(place, "three")), null);
    assertStrictEquals(await stat(joinPath(joinPath(place, "two"), "x")), null);
    assertStrictEquals(await exists(place), true);
    assertStrictEquals(await isDirectory(place), true);
    assertStrictEquals(await isDirectory(joinPath(place, "two")), false);
    await remove(place);
    await remove(place);
    assertStrictEquals(await exists(place), false);
    await assertRejects(() => readDir(place), Error, "Cannot list");
    await assertRejects(() => readFile(place), FerrotypeError);
  });
  it("joins and takes apart paths and URLs", () => {
    assertStrictEquals(joinPath(join("a", "b"), "c"), join("a", "b", "c"));
    assertStrictEquals(joinPath("https://host/models/x", "c.json"), "https://host/models/x/c.json");
    assertStrictEquals(joinPath(pathToFileURL(folder), "c"), join(folder, "c"));
    assertStrictEquals(directoryOf(join("a", "b", "c")), join("a", "b"));
    assertStrictEquals(directoryOf("https://host/models/x/c.json"), "https://host/models/x");
  });
});

/** `(func (export "wait") …)`: sleeps in `memory.atomic.wait32` at address 0 for as long as it holds 0. */
const sleeper = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 9, 1, 1, 101, 1, 109, 2, 3, 1, 16, 3, 2, 1, 0],
  ...[7, 8, 1, 4, 119, 97, 105, 116, 0, 0, 10, 15, 1, 13, 0, 65, 0, 65, 0, 66, 127, 0xfe, 1, 2, 0, 26, 11],
);

describe("workers", () => {
  it("talk, share memory, and run a compiled module", async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const module = new WebAssembly.Module(sleeper);
    const { promise: answer, resolve: heard, reject: fail } = Promise.withResolvers<unknown>();
    const worker = spawnWorker(
      `({ memory, module }, port) => {
        const words = new Int32Array(memory.buffer);
        const { wait } = new WebAssembly.Instance(module, { e: { m: memory } }).exports;
        port.onMessage((factor) => {
          wait();
          port.postMessage({ answer: factor * words[0] });
        });
      }`,
      { memory, module },
      (error) => fail(error),
    );
    worker.ref();
    worker.onMessage(() => fail("this listener was replaced"));
    worker.onMessage((message) => heard(message));
    worker.postMessage(6);
    const words = new Int32Array(memory.buffer);
    await new Promise((resolve) => setTimeout(resolve, 20));
    Atomics.store(words, 0, 7);
    Atomics.notify(words, 0);
    assertEquals(await answer, { answer: 42 });
    worker.terminate();
  });
  it("begin while the caller is busy", () => {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const worker = spawnWorker("(words) => { Atomics.store(words, 0, 1); Atomics.notify(words, 0); }", words);
    assertNotStrictEquals(Atomics.wait(words, 0, 0, patience), "timed-out");
    worker.terminate();
  });
  it("report what they throw", async () => {
    const errors: unknown[] = [];
    for (const source of ["() => { throw new RangeError('too much'); }", "() => { syntax error }"]) {
      await new Promise<void>((resolve) => {
        const worker = spawnWorker(source, null, (error) => {
          errors.push(error);
          resolve();
        });
        worker.ref();
      });
    }
    assertMatch(String((errors[0] as Error).message), /too much/);
    assertStrictEquals(errors.length, 2);
  });
  it("do not keep the program alive while they sleep", () => {
    const { stdout, stderr, signal } = runProgram(
      "sleepers.ts",
      `const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
      const module = new WebAssembly.Module(new Uint8Array([${sleeper}]));
      const words = new Int32Array(memory.buffer);
      const source = \`({ memory, module }) => {
        Atomics.add(new Int32Array(memory.buffer), 1, 1);
        Atomics.notify(new Int32Array(memory.buffer), 1);
        new WebAssembly.Instance(module, { e: { m: memory } }).exports.wait();
      }\`;
      for (let i = 0; i < 3; i++) p.spawnWorker(source, { memory, module });
      for (let up = 0; up < 3; up = Atomics.load(words, 1)) Atomics.wait(words, 1, up, 5000);
      console.log("done");`,
    );
    assertStrictEquals(stdout, "done\n", stderr);
    assertStrictEquals(signal, null);
  });
});

describe("native libraries", () => {
  const symbols = {
    memcpy: { parameters: ["pointer", "pointer", "i64"], result: "address" },
    memset: { parameters: ["address", "i32", "address"], result: "void" },
    abs: { parameters: ["i32"], result: "i32" },
    llabs: { parameters: ["i64"], result: "i64" },
  } as const;
  const names = process.platform === "darwin" ? ["libSystem.dylib"] : ["no-such-library.so", "libc.so.6"];
  const probe = openLibrary(names, { abs: symbols.abs });
  probe.library?.close();
  const skip = probe.reason ?? false;

  it("are called with views of shared WebAssembly memory and with addresses", { skip }, () => {
    const { library } = openLibrary(names, symbols);
    assert(library);
    const heap = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true });
    const from = new Uint8Array(heap.buffer, 24, 8), to = new Uint8Array(heap.buffer, 1001, 8);
    from.set([1, 2, 3, 4, 5, 6, 7, 8]);
    const { memcpy, memset, abs, llabs } = library.functions;
    const start = library.addressOf(new Uint8Array(heap.buffer));
    assertStrictEquals(memcpy(to, from, 5), start + 1001);
    assertEquals([...to], [1, 2, 3, 4, 5, 0, 0, 0]);
    memset(library.addressOf(to) + 1, 9, 3);
    assertEquals([...to], [1, 9, 9, 9, 5, 0, 0, 0]);
    heap.grow(2);
    assertStrictEquals(library.addressOf(new Uint8Array(heap.buffer)), start);
    assertStrictEquals(abs(-3), 3);
    assertStrictEquals(llabs(-3n), 3n);
    library.close();
  });
  it("say why there is none", () => {
    const missing = openLibrary(["no-such-library.so"], { f: { parameters: [], result: "void" } });
    assertStrictEquals(missing.library, null);
    assertMatch(missing.reason, probe.library === null ? /./ : /no-such-library\.so: /);
    if (probe.library !== null) {
      const lacking = openLibrary(names, { noSuchSymbol: { parameters: [], result: "void" } });
      assertMatch(lacking.reason ?? "", /noSuchSymbol/);
    }
  });
});

describe("the machine", () => {
  it("is known", () => {
    assertMatch(runtimeVersion(), /^\d+\.\d+\.\d+/);
    assert(["deno", "bun", "node"].includes(runtimeName()));
    assert(hardwareConcurrency() >= 1);
    assertStrictEquals(canBlock(), true);
    assertStrictEquals(sharedMemoryReason(), null);
    assert(residentMemory()! > 1e6);
    assertStrictEquals(environment("PATH"), process.env.PATH);
    assertStrictEquals(environment("FERROTYPE_NO_SUCH_VARIABLE"), undefined);
    assert(homeDirectory());
  });
  it("has a GPU, or a reason for none", async () => {
    const { adapter, reason } = await requestGpuAdapter();
    if (adapter === null) assert(reason.length > 10);
    else assert(adapter.limits.maxBufferSize! > 0);
  });
  it("hears an interrupt", { skip: process.platform === "win32" ? "no signals on Windows" : false }, () => {
    const { stdout, stderr, signal } = runProgram(
      "interrupt.ts",
      `const { kill, pid } = await import("node:process");
      const alive = setTimeout(() => {}, ${patience});
      const stop = p.onInterrupt(() => {
        console.log("heard");
        clearTimeout(alive);
        stop();
      });
      kill(pid, "SIGINT");`,
      ["-A"],
    );
    assertStrictEquals(stdout, "heard\n", stderr);
    assertStrictEquals(signal, null);
  });
  it("ends when nothing but listening for an interrupt is left", () => {
    assertStrictEquals(
      runProgram("listen.ts", "p.onInterrupt(() => {}); console.log('end');").stdout,
      "end\n",
    );
  });
  it("is not asked for anything by an import or by questions", {
    skip: runtimeName() === "deno" ? false : "only Deno has permissions",
  }, () => {
    const { stdout, stderr } = runProgram(
      "asks.ts",
      `console.log(JSON.stringify([p.environment("HOME") ?? null, p.homeDirectory() ?? null, p.cpuModel() ?? null,
        p.totalMemory() ?? null, p.openLibrary(["libc.so.6"], {}).reason, p.isTerminal("stdout"), p.canBlock()]));`,
    );
    assertStrictEquals(stdout, '[null,null,null,null,"Deno was not given --allow-ffi",false,true]\n', stderr);
  });
});
