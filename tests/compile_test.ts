/**
 * What a compiled function promises: traced once per form of its arguments, numbers that are no constants, state changed in
 * place, nothing silently wrong, and no memory taken once it runs.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import {
  CaptureError,
  compile,
  crossEntropy,
  dropout,
  embedding,
  full,
  Generator,
  grad,
  keep,
  manualSeed,
  matmul,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  OptionError,
  rand,
  randint,
  randn,
  randomState,
  setRandomState,
  ShapeError,
  sum,
  type Tensor,
  tensor,
  tidy,
  useDeterministicAlgorithms,
  valueAndGrad,
  zeros,
} from "../mod.ts";
import { backendOf } from "../src/tensor/mod.ts";
import { isScopeOpen } from "../src/tensor/scopes.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";

/** The message of the CaptureError that `f` throws. */
function refusal(f: () => unknown): string {
  return assertThrows(f, CaptureError).message;
}

describe("compile", () => {
  it("traces once for each form of the arguments, whatever the numbers", async () => {
    using f = compile((x: Tensor, k: number) => x.mul(k).add(1).sum());
    for (const k of [2, -1, 0, 1, 0.5, NaN, 1e30]) {
      const value = await f(tensor([1, 2]), k).item();
      assert(
        Object.is(value, Math.fround(3 * k + 2)) || Math.abs(value / (3 * k + 2) - 1) < 1e-6,
        `${k}: ${value}`,
      );
    }
    assertStrictEquals(f.traces, 1);
    assertStrictEquals(await f(tensor([1, 2, 3]), 2).item(), 15);
    assertStrictEquals(f.traces, 2);
    assertStrictEquals(await f(tensor([1, 2], { dtype: "i32" }), 2).item(), 8);
    assertStrictEquals(f.traces, 3);
    assertStrictEquals(await f(tensor([3, 4]), 1).item(), 9);
    assertStrictEquals(f.traces, 3);
  });

  it("gives what the function gives where JavaScript looks at a number", async () => {
    const functions: ((x: Tensor, k: number) => Tensor)[] = [
      (x, k) => x.mul(k > 0 ? 2 : 3),
      (x, k) => k ? x.add(1) : x.sub(1),
      (x, k) => k === 0 ? x.neg() : x.mul(k),
      (x, k) => x.mul(k * k - 1),
      (x, k) => x.slice([0, Math.max(1, Math.min(2, Math.round(Math.abs(k))))]),
      (x, k) => x.mul(Number.isNaN(Number(k)) ? 7 : 1),
      (x, k) => full([Math.abs(k) > 1 ? 2 : 1], k).add(x.sum()),
      (x, k) => x.mul(tensor([k, 1, k + 1])),
    ];
    for (const [i, f] of functions.entries()) {
      using compiled = compile(f);
      const x = tensor([1, -2, 3]);
      for (const k of [1, 0, 2, -1, 0, 0.25, 1, 2]) {
        assertClose(await numbersOf(compiled(x, k)), await numbersOf(f(x, k)), `function ${i} of ${k}`);
      }
    }
  });

  it("gives what the function gives where JavaScript tells numbers apart without asking for their value", async () => {
    const table = new Map([[3, 10], [0.25, 20]]);
    const chosen = (k: number): number => k === 7 ? 2 : 3;
    const functions: ((x: Tensor, k: number) => Tensor)[] = [
      (x, k) => k === 3 ? x.mul(2) : x.add(k),
      (x, k) => k !== 0.25 ? x.mul(k) : x.neg(),
      (x, k) => x.mul(chosen(k)).add(k),
      (x, k) => x.mul(table.get(k) ?? 1),
      (x, k) => x.add([2, 7].includes(k) ? 1 : 2).mul(k),
      (x, k) => x.mul([2, 7].indexOf(k)),
      (x, k) => x.mul(Object.is(k, 7) ? 5 : 6),
      (x, k) => x.mul(typeof k === "number" ? 5 : 6),
      (x, k) => x.mul(Number.isInteger(k) ? 5 : 6),
      (x, k) => x.mul(new Set([k]).has(3) ? 5 : 6),
      (x, k) => {
        switch (k) {
          case 3:
            return x.mul(k);
          case 7:
            return x.neg();
          default:
            return x;
        }
      },
    ];
    const random = new Generator(3), numbers = [2, 3, 7, 0.25, 0, 1, -1, 5];
    for (const [i, f] of functions.entries()) {
      // As an argument, and within one.
      using one = compile(f);
      using two = compile((x: Tensor, { k }: { k: number }) => f(x, k));
      const x = tensor([1, -2, 3]);
      for (let round = 0; round < 16; round++) {
        const k = numbers[random.integer(0, numbers.length)], expected = await numbersOf(f(x, k));
        assertClose(await numbersOf(one(x, k)), expected, `function ${i} of ${k}`);
        assertClose(await numbersOf(two(x, { k })), expected, `function ${i} of { k: ${k} }`);
      }
    }
  });

  it("runs a function that hands its numbers on to operations once, however many numbers come", async () => {
    let runs = 0;
    using f = compile((x: Tensor, k: number, n: number) => {
      runs++;
      return x.mul(k).add(n).sub(k);
    });
    for (let i = 2; i < 40; i++) {
      assertClose(await numbersOf(f(tensor([1, 2]), i, 0.5 + i)), [i + 0.5, 2 * i + 0.5], `${i}`);
    }
    assertStrictEquals(runs, 1);
    // One whose text does not show it is looked through again, and shares one program all the same, also with what is folded.
    let looks = 0;
    const scaled = (x: Tensor, k: number): Tensor => {
      looks++;
      return x.mul(k).add(ones([1]).mul(4).div(2));
    };
    using h = compile((x: Tensor, k: number) => scaled(x, k));
    for (let i = 2; i < 12; i++) assertClose(await numbersOf(h(tensor([1]), i)), [i + 2], `${i}`);
    assertEquals([looks > 9, h.traces], [true, 1]);
    // One that compares has a program for each number that makes a difference; the others share one.
    using g = compile((x: Tensor, k: number) => k === 5 ? x.neg() : x.mul(k));
    for (let i = 2; i < 40; i++) {
      assertClose(await numbersOf(g(tensor([3]), i)), [i === 5 ? -3 : 3 * i], `${i}`);
    }
    assertStrictEquals(g.traces, 2);
  });

  it("takes and gives lists and objects, and what is neither tensor nor number as it is", async () => {
    using f = compile((batch: { x: Tensor; more: Tensor[] }, mode: string, k: number) => ({
      list: [batch.x.mul(k), ...batch.more.map((t) => t.add(1))],
      mode,
      k,
      nothing: null,
    }));
    for (const mode of ["a", "b", "a"]) {
      const { list, mode: given, k, nothing } = f(
        { x: tensor([2]), more: [tensor([1]), tensor([5])] },
        mode,
        3,
      );
      assertEquals(await Promise.all(list.map((t) => t.item())), [6, 2, 6]);
      assertEquals([given, k, nothing], [mode, 3, null]);
    }
    assertStrictEquals(f.traces, 2);
  });

  it("knows objects that are no trees by what they hold, and refuses what cannot be looked at", async () => {
    class Batch {
      x = tensor([1, 2]);
      scale = 2;
      runs = 0;
    }
    const own = new Batch(), f = compile((b: Batch) => (b.runs++, b.x.mul(b.scale).add(b.runs)));
    assertEquals(await numbersOf(f(own)), [3, 5]);
    own.x = tensor([5, 6]);
    assertEquals(await numbersOf(f(own)), [12, 14]);
    own.scale = 3;
    assertEquals(await numbersOf(f(own)), [18, 21]);
    const contents = [new Map(), new Set(), new Date(), new Float32Array(1), new ArrayBuffer(8)];
    for (const held of contents) {
      assertMatch(
        refusal(() => compile((_: unknown) => own.x)(held)),
        new RegExp(`is a ${held.constructor.name}, whose .* pass`),
      );
    }
  });

  it("tells trees apart whatever their names", () => {
    const names = compile((tree: unknown) => JSON.stringify(tree));
    const trees = [
      { a: "s", b: "s" },
      { "a:ob": "s" },
      { "a1:b": "s" },
      ["s"],
      { "": "s" },
      { a: { b: "s" } },
      {
        "1:b": {},
      },
      [[], "s"],
      { a: 1 },
      { "a:n": [] },
      {},
      [],
    ];
    for (const tree of [...trees, ...trees.toReversed()]) {
      assertStrictEquals(names(tree), JSON.stringify(tree));
    }
  });

  it("gives tensors of their own", async () => {
    using f = compile((x: Tensor) => x.mul(2));
    const results = [1, 2, 3, 4, 5].map((k) => f(tensor([k, k])));
    for (const [i, t] of results.entries()) assertEquals(await t.toArray(), [2 * (i + 1), 2 * (i + 1)]);
    const large = compile((x: Tensor) => x.mul(2)), y = rand([40_000]);
    const first = large(y), second = large(y.add(1));
    assertStrictEquals(await second.sub(first).mean().item(), 2);
    large.dispose();
  });

  it("reads parts of arguments wherever they lie, and tensors that share memory", async () => {
    using f = compile((x: Tensor, y: Tensor) => x.add(y.mul(10)));
    const all = tensor([[1, 2], [3, 4], [5, 6]]);
    for (let i = 0; i < 3; i++) {
      assertEquals(await f(all.slice(i), tensor([1, 1])).toArray(), [11 + 2 * i, 12 + 2 * i]);
    }
    assertStrictEquals(f.traces, 1);
    assertEquals(await f(all.slice(0), all.slice(1)).toArray(), [31, 42]);
    assertEquals(await f(all.slice(2), all.slice(2)).toArray(), [55, 66]);
    const x = tensor([1, 2]);
    assertEquals(await f(x, x).toArray(), [11, 22]);
  });

  it("reads what it closes over as it is now, and notices what is exchanged or gone", async () => {
    const layer = new nn.Linear(2, 1, { bias: false }), x = tensor([[1, 2]]);
    using f = compile((x: Tensor) => layer.forward(x).sum().detach());
    const set = (a: number, b: number): void => {
      layer.loadStateDict({ weight: tensor([[a, b]]) });
    };
    set(1, 1);
    assertStrictEquals(await f(x).item(), 3);
    set(10, 1);
    assertStrictEquals(await f(x).item(), 12);
    assertStrictEquals(f.traces, 1);
    const old = layer.weight;
    layer.weight = new nn.Linear(2, 1).weight;
    set(5, 5);
    assertStrictEquals(await f(x).item(), 15);
    assertStrictEquals(f.traces, 2);
    old.dispose();
    let w = keep(tensor([2, 3]));
    using g = compile(() => w.sum());
    assertStrictEquals(await g().item(), 5);
    w.dispose();
    w = keep(tensor([7, 7]));
    assertStrictEquals(await g().item(), 14);
    w.dispose();
    assertMatch(assertThrows(() => g(), Error).message, /disposed/);
  });

  it("follows train and eval", async () => {
    const layer = new nn.Dropout(0.5), x = full([64], 1);
    using f = compile((x: Tensor) => layer.forward(x).mean());
    layer.eval();
    assertStrictEquals(await f(x).item(), 1);
    layer.train();
    manualSeed(1);
    const dropped = await f(x).item();
    manualSeed(1);
    assertStrictEquals(dropped, await layer.forward(x).mean().item());
    layer.eval();
    assertStrictEquals(await f(x).item(), 1);
    assertStrictEquals(f.traces, 2);
  });

  it("follows parameters that are frozen, and a learning rate that is asked for", async () => {
    const make = (): { layers: nn.Linear[]; optimizer: optim.SGD } => {
      const layers = [1, 2].map((seed) => {
        manualSeed(seed);
        return new nn.Linear(3, 3);
      });
      const all = layers.flatMap((layer) => layer.parameters());
      return { layers, optimizer: new optim.SGD(all, { lr: 0.1, momentum: 0.9 }) };
    };
    const found: number[][][] = [];
    for (const isCompiled of [false, true]) {
      const { layers: [a, b], optimizer } = make(), x = randn([4, 3], { seed: 3 }), list: number[][] = [];
      const f = (x: Tensor): [Tensor, number] => {
        const loss = b.forward(a.forward(x).tanh()).square().mean();
        loss.backward();
        const before = x.sum().mul(optimizer.lr);
        optimizer.step({ lr: 0.2 });
        optimizer.zeroGrad();
        return [before, optimizer.lr];
      };
      const step = isCompiled ? compile(f) : f;
      for (
        const [isFrozen, lr] of [[false, 0.1], [true, 0.3], [true, 0.4], [false, 0.5], [true, 0.1]] as const
      ) {
        for (const p of a.parameters()) p.requiresGrad_(!isFrozen);
        optimizer.lr = lr;
        const [scaled, last] = step(x);
        list.push(await numbersOf(scaled), [last, optimizer.lr]);
        for (const p of optimizer.paramGroups[0].params) list.push(await numbersOf(p));
      }
      if (isCompiled) assertStrictEquals((step as { traces?: number }).traces, 2);
      found.push(list);
    }
    found[0].forEach((values, i) => assertClose(found[1][i], values, `entry ${i}`, { atol: 1e-5 }));
    const { optimizer } = make();
    assertMatch(
      refusal(() => compile((x: Tensor) => x.mul(optimizer.lr * 2))(randn([2]))),
      /differs from run to run/,
    );
  });

  it("keeps the programs of a few forms, and says when there are too many", () => {
    const notes: string[] = [], { warn } = console;
    console.warn = (text: string) => notes.push(text);
    try {
      using f = compile(function widening(x: Tensor) {
        return x.mul(2);
      });
      for (let n = 1; n <= 20; n++) f(zeros([n]));
      assertStrictEquals(f.traces, 20);
    } finally {
      console.warn = warn;
    }
    assertStrictEquals(notes.length, 1);
    assertMatch(notes[0], /widening was traced 16 times/);
  });
});

describe("what cannot be compiled", () => {
  const x = tensor([1, 2, 3]);
  it("names itself and what to do", () => {
    assertMatch(
      refusal(() => compile((x: Tensor) => (x.sum().item(), x))(x)),
      /reading values .* read it outside/,
    );
    assertMatch(refusal(() => compile(async (x: Tensor) => await x.data())(x)), /reading values/);
    assertMatch(refusal(() => compile((_: Tensor) => Promise.resolve(1))(x)), /only synchronous functions/);
    assertMatch(refusal(() => compile((x: Tensor) => x.to({ device: "reference" }))(x)), /another device/);
    const source = new Generator(1);
    assertMatch(refusal(() => compile((x: Tensor) => x.mul(source.uniform()))(x)), /drawn .*once/);
    assertMatch(
      refusal(() => compile((_: Float32Array) => x)(new Float32Array(2))),
      /Float32Array, whose numbers .* pass a tensor/,
    );
    let leaked: Tensor | null = null;
    const leak = compile((x: Tensor) => {
      leaked = keep(x.mul(2));
      return leaked.sum();
    });
    assertMatch(refusal(() => leak(x)), /keeps a tensor that mul made/);
    assertMatch(refusal(() => leaked!.add(1)), /no memory/);
    leaked!.dispose();
    const circle: unknown[] = [x];
    circle.push(circle);
    class Pair {
      readonly y: Tensor;
      constructor(y: Tensor) {
        this.y = y;
      }
    }
    assertMatch(refusal(() => compile((_: unknown) => x)(circle)), /an argument .* or itself/);
    assertMatch(refusal(() => compile((_: Tensor) => circle)(x)), /or itself/);
    const asked: [f: (x: Tensor) => unknown, says: RegExp][] = [
      [function* (x: Tensor) {
        yield x.mul(2);
      }, /gives an iterator/],
      [async function* (x: Tensor) {
        yield await x.data();
      }, /gives an iterator/],
      [(x) => new Pair(x.mul(2)), /a Pair that holds a tensor it made: give tensors in lists/],
      [(x) => [randomState(), x], /randomState .* ask for it outside/],
      [(x) => (useDeterministicAlgorithms(true), x.mul(2)), /useDeterministicAlgorithms .* call it before/],
    ];
    for (const [f, says] of asked) assertMatch(refusal(() => compile(f)(x)), says);
    assertMatch(refusal(() => compile(3 as never)), /takes a function/);
    assertThrows(() => compile((x: Tensor) => x, { optimise: false } as never), OptionError, "optimize");
  });

  it("leaves no scope open behind a promise", async () => {
    const promises: ((x: Tensor) => unknown)[] = [
      () => Promise.resolve(1),
      async (x) => await x.data(),
      () => new Promise(() => {}),
    ];
    for (const f of promises) {
      refusal(() => compile(f)(x));
      const made = x.mul(2);
      await Promise.resolve();
      assertEquals(await made.toArray(), [2, 4, 6]);
    }
    assert(!isScopeOpen());
  });

  it("is a gradient taken outside, or through what is outside", async () => {
    const w = keep(tensor([1, 2, 3], { requiresGrad: true }));
    using f = compile((x: Tensor) => x.mul(w).sum());
    assertMatch(refusal(() => f(x).backward()), /call backward inside/);
    assertStrictEquals(await f(x).item(), 14);
    const y = w.mul(2);
    using g = compile((x: Tensor) => {
      x.mul(y).sum().backward();
      return x;
    });
    assertMatch(refusal(() => g(x)), /mul, which was done outside/);
    using h = compile((y: Tensor) => {
      y.sum().backward();
      return y.sum().detach();
    });
    assertMatch(refusal(() => h(y)), /through an argument/);
    // Refused, nothing is left behind.
    assertStrictEquals(w.grad, null);
    y.sum().backward();
    assertEquals(await w.grad!.toArray(), [2, 2, 2]);
    w.dispose();
  });

  it("leaves errors of the function itself as they are, and can be called again", async () => {
    let bad = true;
    using f = compile((x: Tensor) => {
      if (bad) throw new RangeError("mine");
      return x.add(1);
    });
    assertThrows(() => f(x), RangeError);
    assertThrows(() => compile((x: Tensor) => x.matmul(zeros([2, 2])))(x), ShapeError);
    bad = false;
    assertEquals(await f(x).toArray(), [2, 3, 4]);
  });
});

describe("compiled gradients and state", () => {
  eachDevice((device) => {
    it("do a training step as it is done eagerly, with any optimizer", async () => {
      const optimizers: ((p: Tensor[]) => optim.Optimizer)[] = [
        (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9 }) as never,
        (p) => new optim.Adam(p, { lr: 0.01 }) as never,
        (p) => new optim.AdamW(p, { lr: 0.01, amsgrad: true }) as never,
        (p) => new optim.RMSprop(p, { lr: 0.01 }) as never,
        (p) => new optim.Adagrad(p, { lr: 0.1 }) as never,
      ];
      for (const make of optimizers) {
        const losses: number[][] = [];
        for (const isCompiled of [false, true]) {
          manualSeed(4);
          const net = new nn.Sequential(
            new nn.Linear(5, 8, { device }),
            new nn.GELU(),
            new nn.Dropout(0.2),
            new nn.Linear(8, 3, { device }),
          );
          const optimizer = make(net.parameters()), list: number[] = [];
          const step = (x: Tensor, y: Tensor, lr: number): Tensor => {
            const loss = crossEntropy(net.forward(x), y);
            loss.backward();
            optim.clipGradNorm(net.parameters(), 1);
            optimizer.step({ lr });
            optimizer.zeroGrad();
            return loss.detach();
          };
          const compiled = compile(step);
          const f = isCompiled ? compiled : (...args: [Tensor, Tensor, number]) => tidy(() => step(...args));
          for (let i = 0; i < 6; i++) {
            const x = randn([4, 5], { seed: i, device }), y = randint(3, [4], { seed: i + 50, device });
            list.push(await f(x, y, 0.1 / (i + 1)).item());
          }
          assertStrictEquals(compiled.traces, isCompiled ? 1 : 0);
          assertStrictEquals(optimizer.lr, 0.1 / 6);
          assertEquals(optimizer.stateDict().state.map((s) => s?.step), [6, 6, 6, 6]);
          for (const p of net.parameters()) list.push(...await numbersOf(p));
          losses.push(list);
          compiled.dispose();
          optimizer.dispose();
          net.dispose();
        }
        assertClose(losses[1], losses[0], "losses and parameters", { atol: 1e-5, rtol: 1e-4 });
      }
    });
  });

  it("gather in leaves over several calls, and are seen outside", async () => {
    const w = keep(tensor([1, 2], { requiresGrad: true }));
    using f = compile((x: Tensor) => {
      x.mul(w).sum().backward();
      return x;
    });
    for (let i = 1; i <= 5; i++) {
      f(tensor([i, 1]));
      assertEquals(await w.grad!.toArray(), [i * (i + 1) / 2, i]);
    }
    assertStrictEquals(f.traces, 2);
    const held = w.grad!.detach();
    f(tensor([1, 1]));
    assertEquals(await w.grad!.toArray(), [16, 6]);
    assertEquals(await held.toArray(), [15, 5]);
    w.grad = null;
    f(tensor([1, 1]));
    assertEquals(await w.grad!.toArray(), [1, 1]);
    const x = tensor([3], { requiresGrad: true });
    using g = compile((x: Tensor) => x.square().sum().backward());
    g(x);
    g(x);
    assertEquals(await x.grad!.toArray(), [12]);
    w.dispose();
  });

  it("are those of grad, inside and around", async () => {
    const f = (x: Tensor, w: Tensor): Tensor => x.matmul(w).tanh().square().sum();
    const x = randn([3, 4], { seed: 1 }), w = randn([4, 2], { seed: 2 });
    const expected = await numbersOf(grad(f)(x, w)), byW = await numbersOf(grad(f, { argnums: 1 })(x, w));
    using inside = compile(grad(f));
    using inner = compile(f);
    for (let i = 0; i < 4; i++) {
      assertClose(await numbersOf(inside(x, w)), expected, "compile(grad(f))");
      assertClose(await numbersOf(grad(inner)(x, w)), expected, "grad(compile(f))");
      const [value, slope] = valueAndGrad(inner, { argnums: 1 })(x, w);
      assertClose(await numbersOf(slope as Tensor), byW, "by the second argument");
      assertClose([await value.item()], [await f(x, w).item()], "value");
    }
    using second = compile((x: Tensor) =>
      grad((x: Tensor) => sum(grad((x: Tensor) => x.pow(3).sum())(x)))(x)
    );
    assertClose(await numbersOf(second(tensor([1, 2]))), [6, 12], "second derivative");
    const leaf = tensor([1, 2], { requiresGrad: true });
    using square = compile((x: Tensor) => x.square().sum());
    square(leaf).mul(3).backward();
    assertEquals(await leaf.grad!.toArray(), [6, 12]);
    // One in the other is one program.
    using outer = compile((x: Tensor) => square(x).add(1));
    assertStrictEquals(await outer(tensor([1, 2])).item(), 6);
  });

  it("change caches in place, and say so to the tape", async () => {
    const cache = keep(zeros([4])), w = keep(tensor([1], { requiresGrad: true }));
    using f = compile((x: Tensor, at: number) => {
      const place = full([1], at, { dtype: "i32" });
      noGrad(() => cache.add(0)).dispose();
      return cache.scatter(0, place, x);
    });
    assertEquals(await f(tensor([9]), 2).toArray(), [0, 0, 9, 0]);
    assertEquals(await f(tensor([8]), 3).toArray(), [0, 0, 0, 8]);
    assertStrictEquals(f.traces, 1);
    const y = w.mul(cache.slice([0, 1]));
    const { copyInto } = await import("../mod.ts");
    using g = compile((x: Tensor) => {
      copyInto(x, cache);
      return cache.sum();
    });
    assertStrictEquals(await g(tensor([1, 2, 3, 4])).item(), 10);
    assertEquals(await cache.toArray(), [1, 2, 3, 4]);
    assertMatch(assertThrows(() => y.backward(), Error).message, /changed in place/);
    cache.dispose();
    w.dispose();
  });
});

describe("compiled random numbers", () => {
  it("are drawn anew in each run, in the order of the function, and used or not", async () => {
    const f = (x: Tensor): Tensor[] => {
      rand([7]); // drawn, though nobody wants it
      return [dropout(x, 0.5), randn([3]), randint(100, [5]), rand([2], { seed: 9 })];
    };
    using compiled = compile(f);
    const x = full([6], 1), runs: number[][][] = [];
    for (const g of [f, compiled]) {
      manualSeed(12);
      const run: number[][] = [];
      for (let i = 0; i < 5; i++) for (const t of g(x)) run.push(await numbersOf(t));
      runs.push(run);
    }
    assertEquals(runs[1], runs[0]);
    assertNotEquals(runs[1][1], runs[1][5]);
    assertStrictEquals(compiled.traces, 1);
  });

  it("begin where the function says, in each run", async () => {
    manualSeed(4);
    const state = randomState();
    const f = (x: Tensor, seed: number): Tensor[] => {
      const first = rand([2]);
      manualSeed(seed);
      const second = rand([2]);
      setRandomState(state);
      return [x.add(first), second, randint(1000, [2])];
    };
    using compiled = compile(f);
    const runs: number[][][] = [];
    for (const g of [f, compiled]) {
      manualSeed(12);
      const run: number[][] = [];
      for (const seed of [5, 6, 6, 7, 8, 5]) {
        for (const t of g(zeros([2]), seed)) run.push(await numbersOf(t));
      }
      runs.push([...run, [randomState().seed, randomState().offset]]);
    }
    assertEquals(runs[1], runs[0]);
  });
});

describe("a compiled function's memory", () => {
  it("is planned once, below what eager takes, and given back", async () => {
    const net = new nn.Sequential(new nn.Linear(16, 32), new nn.GELU(), new nn.Linear(32, 16));
    const optimizer = new optim.AdamW(net.parameters(), { lr: 1e-3 });
    const before = memory().cpu, x = randn([8, 16]), held = memory().cpu;
    const step = compile((x: Tensor, lr: number) => {
      const loss = net.forward(x).sub(x).square().mean();
      loss.backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
      return loss.detach();
    });
    for (let i = 0; i < 5; i++) step(x, 1e-3).dispose();
    const backend = backendOf("cpu"), allocate = backend.allocate.bind(backend), steady = memory().cpu;
    let taken = 0;
    backend.allocate = (bytes) => {
      taken++;
      return allocate(bytes);
    };
    for (let i = 0; i < 5; i++) step(x, 1e-3 / (i + 1)).dispose();
    delete (backend as { allocate?: unknown }).allocate;
    assertStrictEquals(taken, 0);
    assertEquals(memory().cpu, steady);
    const plan = step.plan(x, 1e-3);
    assertMatch(plan, /memory: .* as asked for .* no plan takes less than/);
    step.dispose();
    optimizer.dispose();
    assertEquals(memory().cpu, held);
    await Promise.resolve();
    x.dispose();
    assertEquals(memory().cpu, before);
    net.dispose();
  });

  it("is not touched by plan(), which computes nothing", async () => {
    const w = keep(tensor([1, 2], { requiresGrad: true })), optimizer = new optim.SGD([w], { lr: 1 });
    using step = compile((x: Tensor, lr: number) => {
      w.mul(x).sum().backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
    });
    const text = step.plan(tensor([1, 1]), 0.5);
    assertMatch(text, /asked for: \d+ operations/);
    assertMatch(text, /elementwise chains: \d+ -> \d+/);
    assertMatch(text, /done in each run/);
    assertEquals(await w.toArray(), [1, 2]);
    assertStrictEquals(w.grad, null);
    step(tensor([1, 1]), 0.5);
    assertEquals(await w.toArray(), [0.5, 1.5]);
    assertStrictEquals(step.traces, 1);
    w.dispose();
  });
});

describe("a compiled index out of range", () => {
  eachDevice((device) => {
    it("is an error in every run, and the next run is right again", async () => {
      const table = keep(tensor([[1, 2], [3, 4]], { device }));
      using f = compile((ids: Tensor) => embedding(ids, table));
      for (let i = 0; i < 6; i++) {
        assertEquals(await f(tensor([1, 0], { dtype: "i32", device })).toArray(), [[3, 4], [1, 2]]);
        assertThrows(() => f(tensor([0, 2], { dtype: "i32", device })), ShapeError);
      }
      assertStrictEquals(f.traces, 1);
      table.dispose();
    });
  });
});

describe("programs", () => {
  it("take what they read of large arguments without a copy", async () => {
    using f = compile((x: Tensor, y: Tensor) => matmul(x, y).add(1).relu());
    const x = randn([160, 160], { seed: 1 }), y = randn([160, 160], { seed: 2 });
    const expected = await numbersOf(matmul(x, y).add(1).relu());
    for (let i = 0; i < 3; i++) {
      assertClose(await numbersOf(f(x, y)), expected, "product", { atol: 1e-4, rtol: 1e-4 });
    }
    assertMatch(f.plan(x, y), /done in each run: 1 operation/);
  });
});
