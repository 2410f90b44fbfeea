import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Local } from "../src/backends/cpu/assembler/mod.ts";
import { type Emit, Engine, importThreadScratch } from "../src/backends/cpu/engine.ts";
import { Heap } from "../src/backends/cpu/heap.ts";
import { DeviceError, OptionError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { patience, until } from "./_wait.ts";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** out[i] = factor * sqrt(i), over floats. */
const roots = (factor: number): Emit => (m) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const i = f.local("i32"), out = f.local("i32");
  f.get(args);
  f.load("i32.load");
  f.set(out);
  f.forRange(i, begin, end, 1, () => {
    f.get(out);
    f.get(i);
    f.i32(4);
    f.op("i32.mul");
    f.op("i32.add");
    f.get(i);
    f.op("f32.convert_i32_s");
    f.op("f32.sqrt");
    f.f32(factor);
    f.op("f32.mul");
    f.store("f32.store");
  });
};

/** out[i] += 1, over i32. */
const count: Emit = (m) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const i = f.local("i32"), at = f.local("i32");
  f.forRange(i, begin, end, 1, () => {
    f.get(args);
    f.load("i32.load");
    f.get(i);
    f.i32(4);
    f.op("i32.mul");
    f.op("i32.add");
    f.tee(at);
    f.get(at);
    f.load("i32.load");
    f.i32(1);
    f.op("i32.add");
    f.store("i32.store");
  });
};

/** Traps when it comes to item `args[1]`. */
const trap: Emit = (m) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const i = f.local("i32");
  f.forRange(i, begin, end, 1, () => {
    f.get(i);
    f.get(args);
    f.load("i32.load", 4);
    f.op("i32.eq");
    f.if(() => f.unreachable());
  });
};

function rootsBytes(engine: Engine, factor: number, n: number, grain: number): Uint8Array {
  const out = engine.heap.allocate(4 * n);
  const kernel = engine.kernel(`roots ${factor}`, roots(factor));
  engine.u32[engine.args >>> 2] = out;
  engine.run(kernel, n, grain);
  const bytes = engine.u8.slice(out, out + 4 * n);
  engine.heap.release(out);
  return bytes;
}

/** Waits until all workers are in their loop. */
async function settled(engine: Engine, threads: number): Promise<void> {
  assertStrictEquals(await engine.ready(patience), threads, engine.threadProblem ?? "");
}

describe("cpu heap", () => {
  for (const shared of [true, false]) {
    it(`hands out blocks that never overlap, and merges them again (${shared ? "shared" : "not shared"})`, () => {
      const heap = new Heap(64, { shared });
      const generator = new Generator(7);
      const live = new Map<number, { bytes: number; mark: number }>();
      let bytes = 0;
      for (let step = 0; step < 6000; step++) {
        if (live.size > 0 && generator.uniform() < 0.48) {
          const pointer = [...live.keys()][generator.integer(0, live.size)];
          const block = live.get(pointer)!;
          for (const at of [0, block.bytes - 1]) assertStrictEquals(heap.u8[pointer + at], block.mark);
          heap.release(pointer);
          live.delete(pointer);
          bytes -= block.bytes;
        } else {
          const size = Math.ceil(2 ** (generator.uniform() * 17));
          const pointer = heap.allocate(size);
          assertStrictEquals(pointer % 64, 0);
          assertStrictEquals(heap.sizeOf(pointer), size);
          const mark = step & 255;
          heap.u8.fill(mark, pointer, pointer + size);
          live.set(pointer, { bytes: size, mark });
          bytes += size;
        }
        assertStrictEquals(heap.bytes, bytes);
        assertStrictEquals(heap.buffers, live.size);
      }
      const spans = [...live].map(([pointer, { bytes }]) => [pointer, pointer + bytes]).sort((a, b) =>
        a[0] - b[0]
      );
      for (let i = 1; i < spans.length; i++) assert(spans[i][0] >= spans[i - 1][1] + 64);
      for (const [pointer, { bytes, mark }] of live) {
        assert(heap.u8.subarray(pointer, pointer + bytes).every((byte) => byte === mark));
        heap.release(pointer);
      }
      const blocks = [...heap.blocks()];
      assertStrictEquals(blocks.length, 1, "all free blocks are one again");
      assert(blocks[0].free);
      assertStrictEquals(heap.bytes, 0);
      assertStrictEquals(heap.buffers, 0);
    });
  }

  it("gives the same memory again to the same sequence of requests", () => {
    const heap = new Heap(64);
    const step = () => {
      const pointers = [1000, 70000, 64, 300000].map((n) => heap.allocate(n));
      const scratch = heap.scratch(5000);
      heap.release(scratch);
      pointers.forEach((pointer) => heap.release(pointer));
      return [...pointers, scratch];
    };
    const first = step();
    const capacity = heap.capacity;
    for (let i = 0; i < 100; i++) assertEquals(step(), first);
    assertStrictEquals(heap.capacity, capacity);
    assertStrictEquals(heap.temporaries, 0);
  });

  it("keeps contents when it grows, above 2 GiB too", () => {
    const heap = new Heap(64);
    const low = heap.allocate(4000);
    heap.f32[low / 4 + 999] = 42;
    const large = heap.allocate(2.2e9);
    const high = heap.allocate(1e6);
    assert(high > 2 ** 31);
    heap.f32[high / 4] = 1.5;
    assertStrictEquals(heap.f32[low / 4 + 999], 42);
    assertStrictEquals(new Float32Array(heap.memory.buffer, high, 1)[0], 1.5);
    assertStrictEquals(heap.bytes, 4000 + 2.2e9 + 1e6);
    for (const pointer of [low, large, high]) heap.release(pointer);
    assertStrictEquals([...heap.blocks()].length, 1);
  });

  it("says what was asked for and what is live when there is no room, and goes on", () => {
    const heap = new Heap(64, { maximum: 4 << 20 });
    const half = heap.allocate(2 << 20);
    assertMatch(
      assertThrows(() => heap.allocate(3 << 20), DeviceError).message,
      /3145728 bytes: 2097152 bytes in 1 buffer are live/,
    );
    assertThrows(() => heap.allocate(1e12), DeviceError);
    assertThrows(() => heap.allocate(-1), DeviceError);
    assertThrows(() => heap.allocate(NaN), DeviceError);
    heap.release(half);
    heap.release(heap.allocate(3 << 20));
    assertStrictEquals(heap.bytes, 0);
  });

  it("notices a block that is released twice, or is none", () => {
    const heap = new Heap(64);
    const a = heap.allocate(100), b = heap.allocate(100);
    heap.release(a);
    assertThrows(() => heap.release(a), DeviceError);
    assertThrows(() => heap.release(b + 64), DeviceError);
    heap.release(b);
    assertThrows(() => heap.release(b), DeviceError);
  });
});

describe("cpu engine", () => {
  it("compiles once per key and mode", () => {
    const engine = new Engine();
    let emitted = 0;
    const seen: boolean[] = [];
    const emit: Emit = (m, context) => {
      emitted++;
      seen.push(context.fma);
      count(m, context);
    };
    const kernel = engine.kernel("count", emit);
    assertStrictEquals(engine.kernel("count", emit), kernel);
    const fma = engine.context.fma;
    engine.deterministic = true;
    assertEquals([engine.context.fma, engine.context.relaxed], [false, false]);
    assertNotStrictEquals(engine.kernel("count", emit), kernel);
    engine.deterministic = false;
    assertStrictEquals(engine.kernel("count", emit), kernel);
    assertStrictEquals(emitted, 2);
    assertEquals(seen, [fma, false]);
    assertStrictEquals(new Engine({ deterministic: true }).context.fma, false);
  });

  it("works without shared memory, on one thread, and says why", () => {
    const platform = testPlatform();
    const engine = new Engine({ shared: false, platform });
    assertStrictEquals(engine.threads, 1);
    assertMatch(engine.threadProblem ?? "", /not shared/);
    assertEquals(rootsBytes(engine, 2, 10000, 10), rootsBytes(new Engine(), 2, 10000, 10));
    assertStrictEquals(platform.started, 0);
    assertThrows(() => new Engine({ shared: false, platform, threads: 2 }), DeviceError);
    assertThrows(() => new Engine({ platform, threads: 0 }), OptionError);
    assertThrows(() => new Engine({ platform, threads: 1.5 }), OptionError);
  });

  it("goes on alone when workers cannot be started", async () => {
    const platform = testPlatform({ broken: true });
    const engine = new Engine({ platform, threads: 3 });
    assertEquals(rootsBytes(engine, 3, 10000, 10), rootsBytes(new Engine(), 3, 10000, 10));
    assertStrictEquals(await engine.ready(1000), 1);
    assertMatch(engine.threadProblem ?? "", /no threads today/);
    assertStrictEquals(platform.started, 1);
  });

  for (const canBlock of [true, false]) {
    it(`gives the same bytes on 1, 2 and 3 threads (this thread may ${canBlock ? "" : "not "}block)`, async () => {
      const engine = new Engine({ platform: testPlatform({ canBlock }), threads: 1 });
      const expected = rootsBytes(engine, 0.3, 100003, 64);
      for (const threads of [2, 3, 1, 2]) {
        engine.threads = threads;
        for (let i = 0; i < 3; i++) assertEquals(rootsBytes(engine, 0.3, 100003, 64), expected);
        await settled(engine, threads);
        for (let i = 0; i < 20; i++) assertEquals(rootsBytes(engine, 0.3, 100003, 64), expected);
        // A kernel that workers have not seen.
        assertStrictEquals(rootsBytes(engine, 1000 + threads, 5000, 1).length, 20000);
      }
      engine.dispose();
      assertStrictEquals(engine.threads, 1);
      assertEquals(rootsBytes(engine, 0.3, 100003, 64), expected);
    });
  }

  it("does every item of 100,000 small jobs exactly once", async () => {
    const engine = new Engine({ platform: testPlatform(), threads: 2 });
    await settled(engine, 2);
    const kernel = engine.kernel("count", count);
    const items = 16;
    const out = engine.heap.allocate(4 * items);
    engine.i32.fill(0, out / 4, out / 4 + items);
    engine.u32[engine.args >>> 2] = out;
    const jobs = 100000;
    for (let i = 0; i < jobs; i++) engine.run(kernel, items, i % 2 ? 8 : 1);
    assertEquals([...engine.i32.subarray(out / 4, out / 4 + items)], new Array(items).fill(jobs));
    engine.dispose();
  });

  it("lets every thread do a part of a large job", async () => {
    const engine = new Engine({ platform: testPlatform(), threads: 2 });
    await settled(engine, 2);
    // out[i] = the thread's scratch address, after some thousand turns of a loop.
    const kernel = engine.kernel("who", (m) => {
      const scratch = importThreadScratch(m);
      const f = m.function("run", { params: ["i32", "i32", "i32"] });
      const [args, begin, end] = f.params;
      const i = f.local("i32"), turn = f.local("i32");
      f.forRange(i, begin, end, 1, () => {
        f.forRange(turn, 0, 5000, 1, () => {
          f.get(args);
          f.load("i32.load");
          f.get(i);
          f.i32(4);
          f.op("i32.mul");
          f.op("i32.add");
          f.globalGet(scratch);
          f.store("i32.store");
        });
      });
    });
    const out = engine.heap.allocate(4 * 64);
    engine.u32[engine.args >>> 2] = out;
    const who = new Set<number>();
    await until(() => {
      engine.run(kernel, 64, 1);
      for (const address of engine.u32.subarray(out / 4, out / 4 + 64)) who.add(address);
      return who.size === 2;
    }, "a part for the second thread");
    engine.dispose();
  });

  it("wakes workers that sleep", async () => {
    const engine = new Engine({ platform: testPlatform(), threads: 2 });
    await settled(engine, 2);
    const kernel = engine.kernel("count", count);
    const out = engine.heap.allocate(8);
    engine.i32.fill(0, out / 4, out / 4 + 2);
    engine.u32[engine.args >>> 2] = out;
    for (let i = 0; i < 30; i++) {
      await pause(3);
      engine.run(kernel, 2, 1);
    }
    assertEquals([...engine.i32.subarray(out / 4, out / 4 + 2)], [30, 30]);
    engine.dispose();
  });

  it("gives each thread scratch memory of its own, and lets the memory grow while workers live", async () => {
    const engine = new Engine({ platform: testPlatform(), threads: 3 });
    await settled(engine, 3);
    // Copies each item's value through the thread's scratch, with a copy of many bytes in between.
    const kernel = engine.kernel("through scratch", (m) => {
      const scratch = importThreadScratch(m);
      const f = m.function("run", { params: ["i32", "i32", "i32"] });
      const [args, begin, end] = f.params;
      const i = f.local("i32"), at = f.local("i32");
      const slot = (to: Local): void => {
        f.get(args);
        f.load("i32.load");
        f.get(i);
        f.i32(16384);
        f.op("i32.mul");
        f.op("i32.add");
        f.set(to);
      };
      f.forRange(i, begin, end, 1, () => {
        slot(at);
        f.globalGet(scratch);
        f.get(i);
        f.i32(16384);
        f.op("memory.fill");
        f.get(at);
        f.globalGet(scratch);
        f.i32(16384);
        f.op("memory.copy");
      });
    });
    for (let round = 0; round < 6; round++) {
      const items = 200 + 100 * round;
      const out = engine.heap.allocate(items * 16384 + (40 << 20) * round);
      engine.u32[engine.args >>> 2] = out;
      engine.u8.fill(255, out, out + items * 16384);
      engine.run(kernel, items, 2);
      for (let i = 0; i < items; i++) {
        for (const at of [0, 8191, 16383]) assertStrictEquals(engine.u8[out + i * 16384 + at], i & 255);
      }
    }
    engine.dispose();
  });

  it("reports a trap, on whatever thread, and goes on", async () => {
    const engine = new Engine({ platform: testPlatform(), threads: 2 });
    await settled(engine, 2);
    const kernel = engine.kernel("trap", trap);
    for (const item of [0, 999999, 500000, 130000]) {
      engine.i32[(engine.args >>> 2) + 1] = item;
      assertThrows(() => engine.run(kernel, 1000000, 1000));
    }
    engine.i32[(engine.args >>> 2) + 1] = -1;
    engine.run(kernel, 1000000, 1000);
    assertEquals(rootsBytes(engine, 5, 50000, 10), rootsBytes(new Engine(), 5, 50000, 10));
    assertStrictEquals(await engine.ready(), 2);
    engine.dispose();
  });

  it("ends with the program although workers sleep", () => {
    const script = fileURLToPath(new URL("./_cpu_exit.ts", import.meta.url));
    const deno = (process.versions as Record<string, string | undefined>).deno !== undefined;
    const result = spawnSync(process.execPath, [...(deno ? ["run", "-A"] : []), script], {
      encoding: "utf8",
      timeout: patience,
    });
    assertStrictEquals(result.status, 0, `status ${result.status}: ${result.stderr}`);
    assertMatch(result.stdout, /2 threads/);
  });
});
