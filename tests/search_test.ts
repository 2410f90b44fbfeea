/**
 * Searching: spaces, and the ways to choose a point. Nothing is trained here; `sweep_test.ts` does that.
 */
import { assert, assertAlmostEquals, assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import { promotion, type RungResult, rungSteps } from "../src/search/asha.ts";
import { choose, searchers, type Verdict } from "../src/search/choose.ts";
import { evolution, mutated } from "../src/search/evolution.ts";
import {
  allPoints,
  cellOf,
  type Dimension,
  keyOf,
  levels,
  type Point,
  sizeOfSpace,
  type Space,
  valueAt,
} from "../src/search/space.ts";
import type { Trial } from "../src/search/trial.ts";
import { width } from "./_width.ts";

/** A dimension of any kind. */
function anyDimension(random: Generator): Dimension {
  const which = random.integer(0, 4), n = random.integer(1, 7);
  if (which === 0) {
    return {
      kind: "choice",
      values: Array.from({ length: n }, (_, i) => i === 0 ? true : `v${i}`),
    };
  }
  if (which === 1) return { kind: "list", values: Array.from({ length: n }, (_, i) => i * i - 3) };
  const log = random.uniform() < 0.5, step = random.uniform() < 0.5 ? random.integer(1, 5) : null;
  const from = step === null ? 10 ** (-4 * random.uniform()) : random.integer(1, 20);
  if (step === null) {
    // Some are so narrow that their values are one number, or two.
    const wide = [50, 50, 50, 1e-3, 1e-6, 0][random.integer(0, 6)];
    return { kind: "range", from, to: from * (1 + wide * random.uniform()), step, log };
  }
  const to = from + random.integer(0, 40), scale = [1, 0.1, 0.01][random.integer(0, 3)];
  const scaled = (x: number): number => Number((x * scale).toPrecision(12));
  return { kind: "range", from: scaled(from), to: scaled(to), step: scaled(step), log };
}

const open = (parameters: Point): Verdict => ({ parameters });

/** Losses of a search by a function of a point. */
function search(
  method: string,
  space: Space,
  f: (point: Point) => number,
  count: number,
  seed: number,
): number[] {
  const trials: Trial[] = [];
  for (let trial = 0; trial < count; trial++) {
    const { parameters } = choose(method, space, trials, trial, seed, open);
    if (!parameters) break;
    trials.push({ trial, parameters, loss: f(parameters) });
  }
  return trials.map(({ loss }) => loss!);
}

const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1];

describe("a space", () => {
  it("lays its values over the unit interval, each where it is found again", () => {
    const random = new Generator(1);
    for (let i = 0; i < width(400, 100); i++) {
      const dimension = anyDimension(random), n = levels(dimension), seen = new Set();
      let end = 0;
      for (const value of n === Infinity ? [] : [...allPoints({ x: dimension })].map(({ x }) => x)) {
        const [low, high] = cellOf(dimension, value)!;
        assertAlmostEquals(low, end, 1e-9);
        assertStrictEquals(valueAt(dimension, (low + high) / 2), value, JSON.stringify(dimension));
        seen.add(value);
        end = high;
      }
      if (n !== Infinity) assertEquals([seen.size, Math.round(end * 1e9) / 1e9], [n, 1]);
      for (let k = 0; k < 20; k++) {
        const u = random.uniform(), value = valueAt(dimension, u), [low, high] = cellOf(dimension, value)!;
        // Four digits are kept, which are few where a range is narrow.
        const isNarrow = dimension.kind === "range" && dimension.to < 1.01 * dimension.from;
        const slack = n === Infinity ? isNarrow ? 1 : 0.05 : 1e-9;
        assert(u >= low - slack && u <= high + slack, `${JSON.stringify(dimension)} ${u} ${String(value)}`);
      }
      assertStrictEquals(cellOf(dimension, "none"), null);
      if (dimension.kind === "range") {
        for (const u of [0, 0.5, 1]) {
          assert((valueAt(dimension, u) as number) <= dimension.to, JSON.stringify(dimension));
        }
      }
    }
  });

  it("changes a value to another, and leaves a narrow one, too", () => {
    const random = new Generator(2);
    for (let i = 0; i < 600; i++) {
      const dimension = anyDimension(random);
      if (levels(dimension) < 2) continue;
      const value = valueAt(dimension, random.uniform()), next = mutated(dimension, value, random);
      assert(next !== value && cellOf(dimension, next), JSON.stringify(dimension));
    }
  });
});

describe("a search", () => {
  it("tries each point that may be tried once, and ends", () => {
    const space: Space = {
      a: { kind: "list", values: [1, 2, 3] },
      b: { kind: "choice", values: ["x", "y"] },
      c: { kind: "range", from: 2, to: 8, step: 2, log: true },
    };
    assertStrictEquals(sizeOfSpace(space), 24);
    for (const method of Object.keys(searchers)) {
      const trials: Trial[] = [], why = new Set<string>();
      // b has no effect beside a = 3; a = 1 with c = 8 cannot be.
      const judge = (point: Point): Verdict => {
        if (point.a === 1 && point.c === 8) return { refused: "too large" };
        const { b, ...rest } = point;
        return { parameters: point.a === 3 ? rest : { ...rest, b } };
      };
      while (true) {
        const { parameters, refused } = choose(method, space, trials, trials.length, 5, judge);
        for (const one of refused) why.add(keyOf(one.parameters));
        if (!parameters) break;
        trials.push({
          trial: trials.length,
          parameters,
          loss: trials.length % 3 ? Number(parameters.c) : null,
        });
      }
      assertStrictEquals(trials.length, 6 + 8 + 4, method);
      assertStrictEquals(new Set(trials.map(({ parameters }) => keyOf(parameters))).size, 18, method);
      assertStrictEquals(why.size, 2, method);
    }
  });

  it("is the same for the same seed and trials, and another for another", () => {
    const space: Space = { x: { kind: "range", from: 0, to: 1, step: null, log: false } };
    for (const method of Object.keys(searchers)) {
      const run = (seed: number): number[] =>
        search(method, space, ({ x }) => (Number(x) - 0.3) ** 2, 20, seed);
      assertEquals(run(3), run(3));
      assert(run(3).join() !== run(4).join());
    }
  });

  it("finds more than chance does where it learns from trials", () => {
    // A valley in the logarithm of a rate, deeper for one choice and a middle size, with a slope that goes along with it.
    const space: Space = {
      lr: { kind: "range", from: 1e-5, to: 1, step: null, log: true },
      size: { kind: "list", values: [16, 32, 64, 128, 256] },
      way: { kind: "choice", values: ["a", "b", "c", "d"] },
      rate: { kind: "range", from: 0, to: 0.5, step: null, log: false },
    };
    const f = ({ lr, size, way, rate }: Point): number =>
      (Math.log10(Number(lr)) + 2.5 + Number(rate)) ** 2 + (Math.log2(Number(size)) - 6) ** 2 / 4 +
      (way === "c" ? 0 : 0.5) + 4 * (Number(rate) - 0.2) ** 2;
    const seeds = Array.from({ length: width(21, 9) }, (_, i) => i);
    const best = (method: string): number =>
      median(seeds.map((seed) => Math.min(...search(method, space, f, 60, seed))));
    const chance = best("random");
    for (const method of ["tpe", "evolution"]) {
      assert(best(method) < 0.6 * chance, `${method} ${best(method)}, random ${chance}`);
    }
  });

  it("takes a failed trial for the worst, and learns from none but what went well", () => {
    const space: Space = { x: { kind: "range", from: 0, to: 1, step: null, log: false } };
    for (const method of ["tpe", "evolution"]) {
      const failing = search(method, space, ({ x }) => Number(x) < 0.5 ? Infinity : Number(x), 60, 1);
      const late = failing.slice(30).filter((loss) => loss === Infinity).length;
      assert(late < 15, `${method}: ${late} of 30 failed`);
      assert(search(method, space, () => Infinity, 30, 1).length === 30, method);
    }
  });
});

describe("evolution", () => {
  it("has the living be the last ones: who is older than they are has no children, however good", () => {
    const space: Space = {
      x: { kind: "range", from: 0, to: 1, step: null, log: false },
      y: { kind: "choice", values: ["a", "b"] },
    };
    const trials: Trial[] = Array.from({ length: 40 }, (_, trial) => ({
      trial,
      parameters: { x: trial / 40, y: "a" },
      loss: trial < 20 ? 0 : 1 + trial,
    }));
    let crossed = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { parents, parameters } = evolution(space, trials, new Generator(seed));
      assert(parents.every((parent) => parent >= 28), parents.join());
      if (parents.length === 2) crossed++;
      // One setting changed, the other is a parent's.
      const from = parents.map((parent) => trials[parent].parameters.x);
      assert(from.includes(parameters.x) || parameters.y === "a");
    }
    assert(crossed > 20 && crossed < 120, String(crossed));
  });
});

describe("successive halving", () => {
  it("has rungs that are an eta apart, the last being the whole", () => {
    assertEquals(rungSteps(1, 27, 3), [1, 3, 9, 27]);
    assertEquals(rungSteps(5, 100, 3), [11, 33, 100]);
    assertEquals(rungSteps(101, 100, 3), [100]);
    assertEquals(rungSteps(1, 1, 2), [1]);
    assertEquals(rungSteps(1, 5, 2), [1, 2, 3, 5]);
  });

  it("takes up a trial once at each rung, the best first, and no more than one in eta", () => {
    const random = new Generator(7);
    for (const eta of [2, 3, 4]) {
      const results: RungResult[] = [], quality = Array.from({ length: 64 }, () => random.uniform());
      for (let trial = 0; trial < 64;) {
        const next = promotion(results, results, 4, eta);
        if (next) {
          const below = results.filter(({ rung }) => rung === next.rung - 1).toSorted((a, b) =>
            a.loss - b.loss
          );
          const place = below.findIndex((r) => r.trial === next.trial);
          assert(place >= 0 && place < Math.floor(below.length / eta));
          assert(!results.some((r) => r.trial === next.trial && r.rung === next.rung));
        }
        const { trial: one, rung } = next ?? { trial: trial++, rung: 0 };
        results.push({ trial: one, rung, loss: quality[one] / (rung + 1) });
      }
      assert(results.some(({ rung }) => rung === 3));
      // What runs is not taken up again, nor what failed, nor what is another's.
      const failed = [0, 1, 2, 3].map((trial) => ({ trial, rung: 0, loss: Infinity }));
      assertStrictEquals(promotion(failed, failed, 2, 2), null);
      const some = [0, 1, 2, 3].map((trial) => ({ trial, rung: 0, loss: trial }));
      assertEquals(promotion(some, some, 2, 2), { trial: 0, rung: 1 });
      assertEquals(promotion(some, [...some, { trial: 0, rung: 1 }], 2, 2), { trial: 1, rung: 1 });
      assertEquals(promotion(some, some, 2, 2, (trial) => trial % 2 === 1), { trial: 1, rung: 1 });
    }
  });
});
