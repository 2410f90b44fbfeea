/**
 * `setMaxMemory`: what goes beyond is refused before any of it is taken, on every device, also for what an operation needs while
 * it runs; what is alive stays.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { DeviceError, getMaxMemory, memory, OptionError, setMaxMemory } from "../mod.ts";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { memoryInFlags } from "../cli/command.ts";
import { call, fails, ferrotype } from "./_command.ts";
import { repository } from "./_data.ts";
import { eachDevice, numbersOf } from "./_devices.ts";
import { describe, it } from "./_suite.ts";
import { onWebGpu } from "./_webgpu.ts";

const MiB = 2 ** 20;
after(() => setMaxMemory(Infinity));

eachDevice((device) => {
  it("takes no more than it may", async () => {
    // The reference device fills tensors one number at a time, so it has few of them.
    const random = new Generator(5), unit = device === "reference" ? MiB / 8 : MiB;
    for (let round = 0; round < 8; round++) {
      // The cpu device has its heap already, and grows it by a quarter at a time.
      const most = (64 + random.integer(0, 64)) * unit, kept: F.Tensor[] = [];
      setMaxMemory(most);
      assertStrictEquals(getMaxMemory(), most);
      const error = assertThrows(() => {
        for (;;) kept.push(F.full([random.integer(1, 4 * unit)], 1 + kept.length, { device }));
      }, DeviceError);
      const { bytes } = memory()[device];
      for (const [i, t] of kept.entries()) {
        using first = t.slice([0, 1]);
        assertEquals(await numbersOf(first), [1 + i]);
        t.dispose();
      }
      assert(error.message.includes("cannot allocate"), error.message);
      assert(bytes <= most, `${bytes} of ${most}`);
      // Nothing of what was refused is left, and there is room again.
      F.zeros([unit], { device }).dispose();
    }
    setMaxMemory(Infinity);
  });
}, onWebGpu);

describe("setMaxMemory", () => {
  it("bounds the heap of the cpu device, and what lies outside of it", () => {
    const cpu = new CpuBackend({ maximum: 256 * MiB }), { heap } = cpu.engine;
    cpu.maxMemory = 40 * MiB;
    assertThrows(() => cpu.allocate(41 * MiB), DeviceError, "cannot allocate");
    const taken: ReturnType<CpuBackend["allocate"]>[] = [];
    assertThrows(() => {
      for (;;) taken.push(cpu.allocate(3 * MiB));
    }, DeviceError);
    assert(taken.length >= 8 && heap.capacity <= 40 * MiB, `${taken.length} ${heap.capacity}`);
    // For work, too.
    assertThrows(() => heap.scratch(20 * MiB), DeviceError);
    // Less than is taken: what is there stays, and nothing comes to it.
    cpu.maxMemory = MiB;
    assertThrows(() => cpu.allocate(1), DeviceError);
    cpu.release(taken.pop()!);
    assertStrictEquals(cpu.memory().buffers, taken.length);
    cpu.maxMemory = Infinity;
    cpu.allocate(100 * MiB);
    assertStrictEquals(heap.limit, 256 * MiB);
  });

  it("leaves a device's own bound", () => {
    const reference = createReferenceBackend(1000);
    assertThrows(() => reference.allocate(1001), DeviceError, "1000");
    reference.release(reference.allocate(1000));
  });

  it("takes a number of bytes", async () => {
    for (const bytes of [0, -1, NaN, "1", null]) {
      assertThrows(() => setMaxMemory(bytes as number), OptionError, "setMaxMemory");
    }
    assertStrictEquals(getMaxMemory(), Infinity);
    await fails(
      2,
      ["generate", "A", "--max-memory", "much"],
      /--max-memory is a size such as 500MB or 2GB, not "much"/,
    );
    await fails(2, ["generate", "A", "--max-memory", "0"], /--max-memory is a size/);
  });

  it("is an option of commands that compute", async () => {
    // The bound is met by the device's own, or by the heap of the cpu device; whoever calls the command has the flag alone.
    for (const most of [["1KB"], ["6MB"], ["1MB", "--device", "reference"]]) {
      const args = ["generate", "A", "--max-memory", ...most];
      // A heap that has grown stays, so a small one is a new process's.
      const run = most[0] === "6MB" ? ferrotype : call;
      await fails(
        1,
        args,
        /: cannot allocate (?!.*(?:tidy|dispose)).*[;,] (or )?allow more with --max-memory\n$/,
        run,
      );
      setMaxMemory(Infinity);
    }
  });

  it("is told by a device without a bound of the command in the command's words", () => {
    // Every message about memory that a backend has, as it stands in the sources.
    const backends = join(repository, "src", "backends"), found: string[] = [];
    for (const file of readdirSync(backends, { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue;
      const text = readFileSync(join(backends, file), "utf8");
      for (const [thrown] of text.matchAll(/new DeviceError\((?:[^;"'`]|"[^"]*"|'[^']*'|`[^`]*`)*\);/g)) {
        const said = thrown.replaceAll(/[`"] \+\s*[`"]/g, "");
        if (/setMaxMemory|dispose tensors/.test(said)) found.push(said);
      }
    }
    assert(found.length >= 3, found.join());
    for (const message of found) {
      for (const bounds of [false, true]) {
        const said = memoryInFlags(message, bounds, "train");
        assert(!/setMaxMemory|tidy|dispose/.test(said), said);
        assertStrictEquals(said.includes("--max-memory"), bounds, said);
      }
    }
  });
});
