/**
 * Threads of the cpu device that end when nobody asked them to: results are right, others take their place, and a job
 * whose piece went with one is an error instead of a wait without end.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import process from "node:process";
import { describe, it } from "node:test";
import type { FunctionBuilder } from "../src/backends/cpu/assembler/mod.ts";
import { type Emit, Engine, importThreadScratch } from "../src/backends/cpu/engine.ts";
import type { CpuPlatform, CpuWorker } from "../src/backends/cpu/platform.ts";
import { DeviceError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { patience, until } from "./_wait.ts";

/** A thread of this runtime. */
interface RawWorker {
  terminate(): Promise<number>;
  on(event: "exit", listener: () => void): void;
}

type RawConstructor = new (...args: unknown[]) => RawWorker;
const module_ = process.getBuiltinModule("node:worker_threads") as unknown as { Worker: RawConstructor };

/** A platform whose threads can be taken hold of behind the pool's back, and which runs `before` in each of them first. */
function hostilePlatform(before = ""): CpuPlatform & { started: number; raw: RawWorker[]; ended: number } {
  const inner = testPlatform();
  const platform = {
    ...inner,
    started: 0,
    ended: 0,
    raw: [] as RawWorker[],
    spawnWorker(
      source: string,
      data: unknown,
      onError: (error: unknown) => void,
      onEnd: () => void,
    ): CpuWorker {
      platform.started++;
      const { Worker } = module_;
      module_.Worker = class extends Worker {
        constructor(...args: unknown[]) {
          super(...args);
          platform.raw.push(this);
          this.on("exit", () => platform.ended++);
        }
      };
      try {
        return inner.spawnWorker!(`(data) => { ${before} return (${source})(data); }`, data, onError, onEnd);
      } finally {
        module_.Worker = Worker;
      }
    },
  };
  return platform;
}

const standStill = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);";

/** out[i] += i + 1 after some turns of a loop, over i32; `elsewhere` is emitted for threads other than the first. */
const work = (first: number, elsewhere?: (f: FunctionBuilder, sgemm: () => void) => void): Emit => (m) => {
  const scratch = importThreadScratch(m);
  const thirteen = [
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "f32",
    "i32",
    "i32",
    "i32",
    "i32",
    "f32",
    "i32",
  ];
  const sgemm = m.importFunction("env", "sgemm", [...thirteen, "i32"] as never, []);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params, i = f.local("i32"), at = f.local("i32"), turn = f.local("i32");
  if (elsewhere) {
    f.globalGet(scratch);
    f.i32(first | 0);
    f.op("i32.ne");
    f.if(() =>
      elsewhere(f, () => {
        [...thirteen, "i32"].forEach((type) => type === "f32" ? f.f32(0) : f.i32(0));
        f.call(sgemm);
      })
    );
  }
  f.forRange(i, begin, end, 1, () => {
    f.forRange(turn, 0, 200, 1, () => {
      f.get(args);
      f.load("i32.load");
      f.get(i);
      f.i32(4);
      f.op("i32.mul");
      f.op("i32.add");
      f.set(at);
    });
    f.get(at);
    f.get(at);
    f.load("i32.load");
    f.get(i);
    f.i32(1);
    f.op("i32.add");
    f.op("i32.add");
    f.store("i32.store");
  });
};

const items = 64;

/** One job on `engine`; gives what it wrote. */
function results(engine: Engine, key: string, emit: Emit): number[] {
  const kernel = engine.kernel(key, emit), out = engine.heap.allocate(4 * items);
  engine.i32.fill(0, out >>> 2, (out >>> 2) + items);
  engine.u32[engine.args >>> 2] = out;
  try {
    engine.run(kernel, items, 1);
    return [...engine.i32.subarray(out >>> 2, (out >>> 2) + items)];
  } finally {
    engine.heap.release(out);
  }
}

const expected = Array.from({ length: items }, (_, i) => i + 1);
const plain = (engine: Engine): number[] => results(engine, "work", work(0));

describe("threads that end", () => {
  it("through their handle, asleep or awake, just before jobs: results are right, and others take their place", async () => {
    for (const seed of [1, 2]) {
      const random = new Generator(seed), platform = hostilePlatform();
      const engine = new Engine({ platform, threads: 3 });
      assertStrictEquals(await engine.ready(patience), 3, engine.threadProblem ?? "");
      let ended = 0;
      for (let round = 0; round < 24; round++) {
        // Threads that just worked still look for more; those that wait a little sleep.
        if (random.uniform() < 0.5) await new Promise((resolve) => setTimeout(resolve, 3));
        for (let i = random.integer(0, 4); i > 0; i--) assertEquals(plain(engine), expected);
        if (random.uniform() < 0.6) {
          void platform.raw.splice(random.integer(0, 2), 1)[0].terminate();
          ended++;
        }
        if (random.uniform() < 0.3) await until(() => platform.ended >= ended, "the end of the threads");
        for (let i = random.integer(1, 5); i > 0; i--) assertEquals(plain(engine), expected);
        assertStrictEquals(await engine.ready(patience), 3, engine.threadProblem ?? "");
      }
      assert(ended > 5);
      assertStrictEquals(platform.started, 2 + ended);
      engine.dispose();
      assertEquals(plain(engine), expected);
    }
  });

  it("by themselves while they wait for work: others take their place", async () => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    // The clock is read by threads that have nothing to do.
    const platform = hostilePlatform(
      `const clock = performance, own = clock.now.bind(clock), end = process.exit.bind(process);
      clock.now = () => {
        if (Atomics.compareExchange(data.flag, 0, 1, 0) === 1) { end(0); for (;;); }
        return own();
      };`,
    );
    const spawn = platform.spawnWorker!;
    const engine = new Engine({
      threads: 2,
      platform: {
        ...platform,
        spawnWorker: (source, data, ...heard) => spawn(source, { ...data as object, flag }, ...heard),
      },
    });
    assertStrictEquals(await engine.ready(patience), 2, engine.threadProblem ?? "");
    for (let round = 1; round <= 3; round++) {
      Atomics.store(flag, 0, 1);
      await until(() => {
        assertEquals(plain(engine), expected);
        return platform.ended === round;
      }, "the end of a thread that waited");
      assertStrictEquals(await engine.ready(patience), 2, engine.threadProblem ?? "");
      assertEquals(plain(engine), expected);
    }
    engine.dispose();
  });

  for (
    const [what, die] of [
      // Some runtimes end a thread only when the thread that started it looks, which waits for the job.
      ["ends", `process.exit(0); ${standStill}`],
      ["stands still", standStill],
    ]
  ) {
    it(`one that ${what} in the middle of a job makes the job an error, and the next one is right`, async () => {
      const platform = hostilePlatform(
        `const Instance = WebAssembly.Instance;
        WebAssembly.Instance = function (module, imports) {
          imports.env.sgemm = () => { ${die} };
          return new Instance(module, imports);
        };`,
      );
      const engine = new Engine({ platform, threads: 2 });
      assertStrictEquals(await engine.ready(patience), 2, engine.threadProblem ?? "");
      // One item is done by this thread: it tells its own scratch memory.
      const whose = engine.kernel("whose", (m) => {
        const scratch = importThreadScratch(m), f = m.function("run", { params: ["i32", "i32", "i32"] });
        f.get(f.params[0]);
        f.globalGet(scratch);
        f.store("i32.store");
      });
      engine.run(whose, 1, 1);
      const first = engine.u32[engine.args >>> 2];
      const fatal = work(first, (_f, sgemm) => sgemm());
      await until(() => {
        try {
          // Where this thread does all of it, it is right.
          assertEquals(results(engine, "fatal", fatal), expected);
          return false;
        } catch (error) {
          assert(error instanceof DeviceError, String(error));
          assertMatch(
            error.message,
            /^cpu: a worker thread ended in the middle of a job, whose result is lost; another/,
          );
          return true;
        }
      }, "a job that the worker takes a part of");
      for (let i = 0; i < 20; i++) assertEquals(plain(engine), expected);
      assertStrictEquals(await engine.ready(patience), 2, engine.threadProblem ?? "");
      assertStrictEquals(platform.started, 2);
      for (let i = 0; i < 20; i++) assertEquals(plain(engine), expected);
      engine.dispose();
    });
  }

  it("at once, whenever they are started: the engine gives up after 64, says so, and goes on alone", async () => {
    const platform = hostilePlatform("process.exit(0); for (;;);");
    const engine = new Engine({ platform, threads: 3 });
    assertStrictEquals(await engine.ready(patience), 1);
    assertMatch(
      engine.threadProblem ?? "",
      /^64 worker threads ended without being asked to; no more are started$/,
    );
    assert(platform.started >= 64 && platform.started < 70, `${platform.started}`);
    assertEquals(plain(engine), expected);
    engine.threads = 1;
    engine.threads = 2;
    assertEquals(plain(engine), expected);
    engine.dispose();
  });

  it("that are asked to leave no trace: threads may come and go", async () => {
    const platform = hostilePlatform(),
      engine = new Engine({ platform, threads: 1 }),
      random = new Generator(5);
    for (let round = 0; round < 12; round++) {
      const threads = random.integer(1, 5);
      engine.threads = threads;
      for (let i = random.integer(0, 4); i > 0; i--) assertEquals(plain(engine), expected);
      if (random.uniform() < 0.5) assertStrictEquals(await engine.ready(patience), threads);
      assertEquals(plain(engine), expected);
    }
    engine.dispose();
    assertStrictEquals(engine.threadProblem, null);
    assertThrows(() => engine.threads = 0);
  });
});
