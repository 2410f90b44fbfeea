import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { Engine } from "../src/backends/cpu/engine.ts";
import { Heap, muchMemory } from "../src/backends/cpu/heap.ts";
import {
  adviseHugePages,
  hugePagesReason,
  hugePagesSetting,
  nativeLibraryReason,
  openLibrary,
  system,
} from "../src/platform/platform.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { describe, it } from "./_suite.ts";

describe("huge pages", () => {
  /** An engine that asks `answer` for them, and what it asked for: bytes of memory, each time. */
  function engineWith(answer: string | null): { engine: Engine; asked: number[] } {
    const asked: number[] = [];
    const engine = new Engine({
      threads: 1,
      platform: { ...testPlatform(), adviseHugePages: (memory) => (asked.push(memory.length), answer) },
    });
    return { engine, asked };
  }

  it("are asked for when the memory is large, each time it grows, before it is used", () => {
    const { engine, asked } = engineWith(null), { heap } = engine;
    heap.allocate(8 << 20);
    assertEquals(asked, [], "little memory");
    heap.allocate(muchMemory);
    assertEquals(asked, [heap.capacity]);
    assertStrictEquals(heap.u8.length, heap.capacity);
    heap.allocate(muchMemory);
    assertEquals(asked.length, 2);
    assertStrictEquals(asked[1], heap.capacity);
    assertStrictEquals(engine.hugePagesProblem, null);
    assertStrictEquals(heap.check(), null);
  });

  it("are asked for no more once they were refused", () => {
    const { engine, asked } = engineWith("none today");
    for (let i = 0; i < 3; i++) engine.heap.allocate(muchMemory);
    assertStrictEquals(asked.length, 1);
    assertStrictEquals(engine.hugePagesProblem, "none today");
  });

  const reason = hugePagesReason();
  it("come from the system", { skip: reason ?? false }, () => {
    const heap = new Heap(64), told: (string | null)[] = [];
    heap.onGrow = (memory) => told.push(adviseHugePages(memory));
    heap.allocate(muchMemory);
    assertEquals(told, [null]);
    // What the kernel knows of the part of memory that the address lies in: "hg" is "huge pages were asked for".
    const opened = openLibrary(["libc.so.6", "libc.so"], { madvise: { parameters: [], result: "i32" } });
    assert(opened.library, opened.reason ?? "");
    const at = opened.library.addressOf(heap.u8) + (32 << 20);
    let inside = false, flags = "";
    for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
      const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
      if (range) inside = parseInt(range[1], 16) <= at && at < parseInt(range[2], 16);
      else if (inside && line.startsWith("VmFlags:")) flags = line;
    }
    assert(/ hg( |$)/.test(flags.trimEnd()), flags);
  });

  it("say why there are none", () => {
    const { platform } = system(), library = nativeLibraryReason();
    if (platform !== "linux") assert(reason!.startsWith(platform));
    else if (library !== null) assertStrictEquals(reason, library);
    else assertStrictEquals(reason !== null, hugePagesSetting() === "never");
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    assertStrictEquals(adviseHugePages(new Uint8Array(memory.buffer)), reason);
  });
});
