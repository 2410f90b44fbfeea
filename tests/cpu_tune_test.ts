import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { createCpuBackend } from "../src/backends/cpu/backend.ts";
import { cases, type Choice, choose, ownName, type Speeds } from "../src/backends/cpu/choice.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import type { BlasCandidates, NativeBlas, Remembered } from "../src/backends/cpu/platform.ts";
import { tune } from "../src/backends/cpu/tune.ts";
import { fromBf16, toBf16 } from "../src/core/half.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { read, view } from "./_matmul.ts";

/** What a library does wrong. */
type Fault = "none" | "bf16" | "skips zeros" | "adds to C";

/** An engine, libraries written here that work on its heap, and a clock that they and our kernels move. */
class Machine {
  readonly engine: Engine;
  milliseconds = 0;
  opened = 0;
  readonly kept: [Choice, readonly Speeds[]][] = [];

  constructor(libraries: readonly [title: string, cost: number, fault?: Fault][], known?: Remembered) {
    const candidates: BlasCandidates = {
      recall: () => known ?? null,
      open: () => {
        this.opened++;
        return libraries.map((one) => this.library(...one));
      },
      remember: (choice, table) => this.kept.push([choice, table]),
    };
    this.engine = new Engine({ platform: { ...testPlatform(), openBlas: () => candidates }, threads: 1 });
    const { run } = this.engine;
    this.engine.run = (...values) => {
      this.milliseconds += 0.1;
      run.apply(this.engine, values);
    };
  }

  now = (): number => this.milliseconds;

  /** A library that takes `cost` milliseconds longer for a product than our kernels do. */
  library(title: string, cost: number, fault: Fault = "none"): NativeBlas {
    let calls = 0;
    return {
      title,
      name: `${title} 1.0 (here)`,
      bgemm: null,
      addressOf: () => 0,
      threadSource: "() => null",
      sgemm: (ta, tb, m, n, k, a, lda, b, ldb, c, ldc) => {
        this.milliseconds += cost;
        // First its numbers are looked at; then it is only timed.
        if (++calls > 4) return;
        const { f32 } = this.engine,
          round = (x: number): number => fault === "bf16" ? fromBf16(toBf16(x)) : x;
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            let sum = fault === "adds to C" ? f32[c / 4 + i * ldc + j] : 0;
            for (let l = 0; l < k; l++) {
              const x = round(f32[a / 4 + (ta ? l * lda + i : i * lda + l)]);
              const y = round(f32[b / 4 + (tb ? j * ldb + l : l * ldb + j)]);
              if (fault !== "skips zeros" || x !== 0) sum += x * y;
            }
            f32[c / 4 + i * ldc + j] = sum;
          }
        }
      },
    };
  }

  tune(): void {
    assert(this.engine.blas.isOpen);
    tune(this.engine, this.now);
  }
}

const quick = -0.06, slow = 0.2;

describe("the measurement of libraries", () => {
  it("chooses the quickest, keeps the choice, and gives all memory back", () => {
    const machine = new Machine([["slow", slow], ["quick", quick], ["even", 0]]), { engine } = machine;
    const { temporaries, epoch } = { temporaries: engine.heap.temporaries, epoch: engine.epoch };
    assertMatch(engine.blas.problem!, /nothing was multiplied yet/);
    machine.tune();
    assertStrictEquals(engine.blas.name, "quick 1.0 (here)");
    assertMatch(engine.blas.why!, /^quick gives/);
    assertStrictEquals(engine.heap.temporaries, temporaries);
    assert(engine.epoch > epoch, "what was captured goes on with other kernels");
    assertStrictEquals(machine.kept.length, 1);
    const [choice, table] = machine.kept[0];
    assertEquals(table.map(({ name }) => name), [ownName, "slow", "quick", "even"]);
    assertEquals(choice, choose(table));
    assertEquals(engine.blas.table, table);
    assertStrictEquals(engine.blas.isOpen, false);
  });

  it("goes on without a library where ours are quicker", () => {
    const machine = new Machine([["slow", slow], ["slower", 2 * slow]]), { engine } = machine;
    machine.tune();
    assertStrictEquals(engine.blas.name, null);
    assertMatch(engine.blas.problem!, /our own kernels give .*slow gives/);
    assertStrictEquals(machine.kept[0][0].library, null);
    assertStrictEquals(machine.kept[0][1].length, 3);
  });

  it("refuses a library whose numbers are not right, however quick", () => {
    for (
      const [fault, why] of [
        ["bf16", /not exact/],
        ["adds to C", /not exact/],
        ["skips zeros", /does not pass on NaN/],
      ] as const
    ) {
      const machine = new Machine([["wrong", quick, fault], ["right", quick / 2]]);
      machine.tune();
      assertStrictEquals(machine.engine.blas.name, "right 1.0 (here)", fault);
      assertMatch(machine.engine.blas.table[1].refused!, why);
      const alone = new Machine([["wrong", quick, fault]]);
      alone.tune();
      assertStrictEquals(alone.engine.blas.name, null, fault);
    }
  });

  it("stops when it took too long, tries again later, and not for ever", () => {
    const machine = new Machine([["endless", 1e6]]), { blas } = machine.engine;
    let rounds = 0;
    for (; blas.isOpen; rounds++) {
      assert(rounds < 10);
      machine.tune();
      assertStrictEquals(blas.available, false);
    }
    assert(rounds > 1);
    assertStrictEquals(machine.kept.length, 0, "nothing is kept of what is not known");
  });

  it("uses what is known without opening anything else", () => {
    const table: Speeds[] = [{ name: ownName, speeds: cases.map(() => 60) }, {
      name: "known",
      speeds: cases.map(() => 90),
    }];
    for (const none of [false, true]) {
      const choice = { ...choose(table), ...(none ? { library: null, why: "ours are quicker" } : {}) };
      const library = none ? null : new Machine([]).library("known", 0);
      const machine = new Machine([["other", quick]], { choice, table, library });
      const { blas } = machine.engine;
      assertStrictEquals(blas.available, !none);
      assertEquals([blas.isOpen, blas.isDue, machine.opened, machine.kept.length], [false, false, 0, 0]);
      assertEquals(blas.table, table);
      assertStrictEquals(blas.problem, none ? "ours are quicker" : null);
    }
  });

  it("measures nothing in deterministic mode, nor while work is captured", () => {
    const machine = new Machine([["quick", quick]]), { engine } = machine;
    engine.deterministic = true;
    machine.tune();
    engine.deterministic = false;
    engine.capture(() => machine.tune());
    assertEquals([machine.opened, engine.blas.isOpen], [0, true]);
  });
});

describe("when libraries are measured", () => {
  /** A device with one library, and what multiplies squares on it. */
  function device(): {
    opened: () => number;
    square: (side: number, rows?: number) => void;
    due: () => boolean;
  } {
    let opened = 0;
    const candidates: BlasCandidates = { recall: () => null, open: () => (opened++, []), remember: () => {} };
    const backend = createCpuBackend({
      platform: { ...testPlatform(), openBlas: () => candidates },
      threads: 1,
    });
    const { engine } = backend;
    const made = new Map<string, View[]>();
    const square = (side: number, rows = side): void => {
      const key = `${side} ${rows}`;
      const views = made.get(key) ??
        [[rows, side], [side, side], [rows, side]].map((shape) => view(engine, "f32", shape, () => 1));
      made.set(key, views);
      const [a, b, out] = views;
      backend.matmul(a, b, out);
      assertStrictEquals(read(engine, out)[0], side);
    };
    return { opened: () => opened, square, due: () => engine.blas.isDue };
  }

  it("is after much work, and not for little", () => {
    const { opened, square, due } = device();
    for (let i = 0; i < 50; i++) square(64);
    square(256, 1); // a decoding step's, which no library takes
    assertEquals([opened(), due()], [0, false]);
    for (let work = 0; !due(); work += 512 ** 3) {
      assert(work <= 2 ** 31, "never due");
      square(512);
    }
    assertStrictEquals(opened(), 0);
    square(8);
    assertEquals([opened(), due()], [1, false]);
  });
});
