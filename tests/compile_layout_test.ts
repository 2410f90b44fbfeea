/** Weights that products read packed: what is packed, that it is packed once, and never of yesterday's weights. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  compile,
  copyInto,
  crossEntropy,
  keep,
  matmul,
  memory,
  nn,
  noGrad,
  optim,
  randint,
  randn,
  type Tensor,
  tensor,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import { backendOf } from "../src/tensor/mod.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { width } from "./_width.ts";

/** How often the device packs while `f` runs. */
function packsIn(f: () => void): number {
  const kernels = backendOf("cpu").kernels as Record<string, unknown>, own = kernels.pack as () => void;
  let count = 0;
  kernels.pack = (...args: []) => (count++, own(...args));
  try {
    f();
  } finally {
    kernels.pack = own;
  }
  return count;
}

const lineOf = (plan: string): string =>
  plan.split("\n").find((line) => line.startsWith("done when")) ?? "none";

describe("weights in order", () => {
  // What a library multiplies is not packed by us.
  const { blas } = cpuBackend().engine;
  beforeEach(() => void (blas.enabled = false));
  afterEach(() => void (blas.enabled = true));

  it("are packed once, counted, and given back", async () => {
    const net = new nn.Sequential(new nn.Linear(48, 100), new nn.GELU(), new nn.Linear(100, 24));
    const x = randn([64, 48], { seed: 1 }), before = memory().cpu.bytes;
    const f = compile((x: Tensor) => net.forward(x));
    const plan = noGrad(() => f.plan(x));
    assertMatch(lineOf(plan), /2 operations, 28\.9 KiB beside/);
    assertMatch(plan, /#\d+ f32\[4992\] = pack\(@\d+ f32\[48, 100\]\)/);
    assertMatch(plan, /weights in order: \d+ -> \d+/);
    using eager = noGrad(() => net.forward(x));
    const expected = await numbersOf(eager);
    eager.dispose();
    const count = packsIn(() => {
      for (let i = 0; i < 5; i++) noGrad(() => f(x)).dispose();
    });
    assertStrictEquals(count, 2);
    const found = noGrad(() => f(x));
    assertEquals(await numbersOf(found), expected);
    found.dispose();
    assert(memory().cpu.bytes >= before + 4 * (4992 + 2400));
    f.dispose();
    assertStrictEquals(memory().cpu.bytes, before);
  });

  it("are packed again when anything changed them: a copy, an optimizer, another program", async () => {
    const w = keep(randn([20, 32], { seed: 2 })).requiresGrad_(), x = randn([40, 32], { seed: 3 });
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    using f = compile((x: Tensor) => matmul(x, w.transpose(0, 1)));
    using train = compile((x: Tensor, lr: number) => {
      matmul(x, w.transpose(0, 1)).square().mean().backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
    });
    const agree = async (what: string): Promise<void> => {
      const expected = await numbersOf(noGrad(() => matmul(x, w.transpose(0, 1))));
      assertEquals(await numbersOf(noGrad(() => f(x))), expected, what);
    };
    await agree("at first");
    noGrad(() => copyInto(randn([20, 32], { seed: 4 }), w));
    await agree("after a copy");
    noGrad(() => copyInto(tensor([7]).expand([3, 5]), w.slice([2, 5], [1, 6])));
    await agree("after a copy into a part");
    matmul(x, w.transpose(0, 1)).square().mean().backward();
    optimizer.step();
    optimizer.zeroGrad();
    await agree("after a step");
    for (let i = 1; i < 4; i++) {
      train(x, 0.1 * i);
      await agree("after a compiled step");
    }
    assertStrictEquals(lineOf(noGrad(() => f.plan(x))) !== "none", true);
    // The step itself writes to it, and so reads it as it is.
    assertStrictEquals(lineOf(train.plan(x, 0.1)), "none");
    w.dispose();
  });

  it("serve a training step whose lower layers are frozen", async () => {
    const make = (): { run: (x: Tensor, y: Tensor, lr: number) => Tensor; all: Tensor[]; frozen: Tensor } => {
      const frozen = keep(randn([40, 32], { seed: 5 }).mul(0.1)),
        head = keep(randn([32, 6], { seed: 6 }).mul(0.1));
      head.requiresGrad_();
      const optimizer = new optim.AdamW([head], { lr: 0.01 });
      return {
        all: [frozen, head],
        frozen,
        run: (x, y, lr) => {
          const loss = crossEntropy(x.matmul(frozen).relu().matmul(head), y);
          loss.backward();
          optimizer.step({ lr });
          optimizer.zeroGrad();
          return loss.detach();
        },
      };
    };
    const a = make(), b = make(), y = randint(6, [48], { seed: 7 });
    using step = compile(a.run);
    assertMatch(lineOf(step.plan(randn([48, 40], { seed: 8 }), y, 0.01)), /1 operation,/);
    for (let i = 0; i < 6; i++) {
      // The frozen layer is exchanged in place between steps.
      if (i % 2) {
        for (const { frozen } of [a, b]) copyInto(randn([40, 32], { seed: 20 + i }).mul(0.1), frozen);
      }
      const x = randn([48, 40], { seed: 10 + i });
      assertClose(await numbersOf(step(x, y, 0.01)), await numbersOf(b.run(x, y, 0.01)), `loss ${i}`, {
        rtol: 1e-5,
      });
    }
    assertClose(await numbersOf(a.all[1]), await numbersOf(b.all[1]), "the head", { atol: 1e-5, rtol: 1e-4 });
    for (const t of [...a.all, ...b.all]) t.dispose();
  });

  it("are read as they are while all sums are to be in one order", async () => {
    const w = keep(randn([24, 20], { seed: 30 })), x = randn([40, 24], { seed: 31 });
    using f = compile((x: Tensor) => matmul(x, w).add(1));
    assertMatch(lineOf(f.plan(x)), /1 operation,/);
    for (let i = 0; i < 3; i++) f(x).dispose();
    useDeterministicAlgorithms(true);
    try {
      const expected = await numbersOf(matmul(x, w).add(1));
      for (let i = 0; i < 3; i++) assertEquals(await numbersOf(f(x)), expected);
      using g = compile((x: Tensor) => matmul(x, w).add(1));
      assertStrictEquals(lineOf(g.plan(x)), "none");
    } finally {
      useDeterministicAlgorithms(false);
    }
    w.dispose();
  });

  it("give what they give unpacked, bit for bit, in shapes, strides and dtypes made at random", async () => {
    let packed = 0;
    for (let seed = 0; seed < width(120, 40); seed++) {
      const random = new Generator(seed), at = (n: number): number => random.integer(0, n);
      const [k, n] = [1 + at(90), 1 + at(90)], lead = [[], [3], [2, 2], [1, 2, 3]][at(4)], m = 1 + at(70);
      const dtype = (["f32", "f32", "bf16", "f16"] as const)[at(4)];
      const whole = keep(randn([n + 3, k + 2], { seed }).to({ dtype })),
        part = whole.slice([1, n + 1], [0, k]);
      const w = at(2) ? part.transpose(0, 1) : keep(randn([k, n], { seed }).to({ dtype }));
      const x = randn([...lead, m, k], { seed: seed + 1 }),
        bias = at(2) ? randn([n], { seed: seed + 2 }) : null;
      const given = at(4) === 0 ? randn([...lead, k, m], { seed }).transpose(-2, -1) : x;
      const more = at(3) === 0 ? randn([...lead, m, n], { seed: seed + 3 }) : null;
      const f = (x: Tensor): Tensor => {
        const y = matmul(x, w), z = bias ? y.add(bias) : y;
        return more ? z.tanh().add(more) : z;
      };
      using compiled = compile(f);
      using plain = compile(f, { optimize: false });
      if (lineOf(compiled.plan(given)) !== "none") packed++;
      const expected = await numbersOf(plain(given));
      for (let i = 0; i < 2; i++) {
        assertClose(await numbersOf(compiled(given)), expected, `case ${seed}`, { atol: 1e-6, rtol: 1e-6 });
      }
    }
    assert(packed > width(40, 10), `only ${packed} are packed`);
  });
});
