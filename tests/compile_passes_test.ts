/** Each pass on a function made for it: what is left, and that it gives what the function gives. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  attentionStep,
  compile,
  copyInto,
  full,
  GPT2,
  jvp,
  keep,
  linear,
  matmul,
  noGrad,
  optim,
  randint,
  randn,
  type Tensor,
  tensor,
  transpose,
  zeros,
} from "../mod.ts";
import type { Backend, View } from "../src/backends/contract.ts";
import { eachView, operations } from "../src/backends/operations.ts";
import { Generator } from "../src/core/random.ts";
import { asSoonAsPossible } from "../src/tensor/capture/passes/early.ts";
import { type Step, Value } from "../src/tensor/capture/value.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

/** The steps of each run of `f` as lines, after it was found to give the same as eagerly, three times. */
async function stepsOf(f: (...x: Tensor[]) => Tensor, ...x: Tensor[]): Promise<string[]> {
  const expected = await numbersOf(f(...x));
  using compiled = compile(f);
  using plain = compile(f, { optimize: false });
  for (let i = 0; i < 3; i++) {
    assertClose(await numbersOf(compiled(...x)), expected, "compiled", { atol: 1e-5, rtol: 1e-4 });
    assertEquals(await numbersOf(plain(...x)), expected);
  }
  const lines = compiled.plan(...x).split("\n"),
    at = lines.findIndex((line) => line.startsWith("done in each run"));
  return lines.slice(at + 1, -1).map((line) => line.trim());
}

/** What a pass made of so many steps. */
function effect(plan: string, pass: string): [before: number, after: number] {
  const [, before, after] = new RegExp(`^${pass}: (\\d+) -> (\\d+)`, "m").exec(plan)!;
  return [Number(before), Number(after)];
}

const x = randn([6, 8], { seed: 1 }), w = randn([8, 5], { seed: 2 }), row = randn([8], { seed: 3 });

describe("passes", () => {
  it("leave out what nobody reads", async () => {
    assertStrictEquals((await stepsOf((x) => (x.exp().sum(), x.add(1)), x)).length, 1);
  });

  it("put constants into expressions, and do once what follows from them", async () => {
    const [line] = await stepsOf((x) => x.mul(full([6, 8], 2)).add(full([8], 0.5)), x);
    assertMatch(line, /add\(mul\(\$0, 2\), 0\.5\) {2}over \$0 f32\[6, 8\]$/);
    using f = compile((x: Tensor) => x.add(tensor([1, 2, 3, 4, 5, 6, 7, 8]).exp()));
    assertMatch(f.plan(x), /done once: \d/);
    assertClose(
      await numbersOf(f(zeros([6, 8])).select(0, 0)),
      [1, 2, 3, 4, 5, 6, 7, 8].map(Math.exp),
      "once",
    );
    const [cube] = await stepsOf((x) => x.pow(3), x);
    assertMatch(cube, /mul\(mul\(\$0, \$0\), \$0\)/);
  });

  it("compute once what is asked for twice, unless it changed meanwhile", async () => {
    using f = compile((x: Tensor, w: Tensor) => matmul(x, w).sum().add(matmul(x, w).max()));
    const [before, after] = effect(f.plan(x, w), "common subexpressions");
    assertStrictEquals(before - after, 1);
    const state = keep(tensor([1, 2]));
    using g = compile((x: Tensor) => {
      const first = state.mul(2).sum();
      copyInto(x, state);
      return first.add(state.mul(2).sum());
    });
    assertStrictEquals(await g(tensor([10, 10])).item(), 46);
    assertStrictEquals(await g(tensor([0, 0])).item(), 40);
    state.dispose();
  });

  it("read transposed copies in the product, and reshaped ones where they are", async () => {
    const lines = await stepsOf((x, w) => matmul(x, transpose(transpose(w, 0, 1).contiguous(), 0, 1)), x, w);
    assertStrictEquals(lines.length, 1);
    // What is changed between copy and use is copied.
    const state = keep(randn([2, 3], { seed: 4 }));
    using f = compile((x: Tensor) => {
      const before = transpose(state, 0, 1).contiguous();
      copyInto(x, state);
      return before.matmul(state);
    });
    for (let i = 0; i < 3; i++) {
      const old = state.clone(), next = randn([2, 3], { seed: 10 + i });
      assertClose(
        await numbersOf(f(next)),
        await numbersOf(old.transpose(0, 1).matmul(next)),
        "before and after",
      );
    }
    state.dispose();
  });

  it("make one kernel of a chain, with two outputs where both are wanted", async () => {
    assertStrictEquals(
      (await stepsOf((x, row) => x.mul(row).add(1).tanh().sub(x).square(), x, row)).length,
      1,
    );
    using f = compile((x: Tensor) => {
      const y = x.exp(), z = y.add(1).sqrt();
      return [y, z];
    });
    const plan = f.plan(x);
    assertMatch(plan, /done in each run: 1 operation\n {2}%\d+ f32\[6, 8\], %\d+ f32\[6, 8\] = exp/);
    const [y, z] = f(x);
    assertClose(await numbersOf(z), await numbersOf(y.add(1).sqrt()), "both");
    // Rounding to fewer bits on the way is kept.
    const narrow = (x: Tensor): Tensor => x.to({ dtype: "bf16" }).mul(3).to({ dtype: "f32" }).add(1e-3);
    using rounded = compile(narrow);
    assertEquals(await numbersOf(rounded(x)), await numbersOf(narrow(x)));
  });

  it("give no place away that the same kernel changes in place", async () => {
    const f = (x: Tensor): Tensor => x.sub(x.mean()).sigmoid();
    const along = (f: (x: Tensor) => Tensor) => (x: Tensor): Tensor => jvp(f, [x], [x.tanh()])[1];
    const expected = await numbersOf(along(along(f))(x));
    using twice = compile(along(along(f)));
    assertClose(await numbersOf(twice(x)), expected, "slope of a slope", { atol: 1e-6 });
  });

  it("compute inside a reduction, and as it or a product is stored", async () => {
    const [inside, ...none] = await stepsOf((x) => x.square().sum(-1).add(1e-5).sqrt(), x);
    assertMatch(inside, /reduce\(.*of mul\(\$0, \$0\).*then sqrt\(add\(it/);
    assertStrictEquals(none.length, 0);
    const lines = await stepsOf((x, w) => matmul(x, w).mul(0.5).tanh().add(1), x, w);
    assertStrictEquals(lines.length, 1);
    assertMatch(lines[0], /matmul\(.*then add\(tanh\(mul\(it, 0\.5\)\), 1\)/);
  });

  it("leave a reduction's results in a dtype that holds them until it is done with them", async () => {
    const rows = tensor([[1, 2], [-Infinity, -Infinity], [300.7, -1]]);
    const functions: ((x: Tensor) => Tensor)[] = [
      (x) => x.amax(-1).gt(-Infinity),
      (x) => x.amin(-1).isfinite(),
      (x) => x.clamp(-9).sum(-1).gt(250),
      (x) => x.clamp(-9).sum(-1).mul(0.3).to({ dtype: "i32" }),
      (x) => x.clamp(-9).mean(-1).mul(100.3).to({ dtype: "bf16" }),
      (x) => x.clamp(-9).prod(-1).mul(1e-3).to({ dtype: "f16" }),
    ];
    for (const [i, f] of functions.entries()) {
      using compiled = compile(f);
      assertEquals(await numbersOf(compiled(rows)), await numbersOf(f(rows)), `function ${i}`);
    }
  });

  it("repeat what is cheap: a layer norm in primitives reads its rows and stores nothing between", async () => {
    const lines = await stepsOf(
      (x, row) => {
        const centred = x.sub(x.mean(-1, true));
        return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(row).add(row);
      },
      x,
      row,
    );
    assertStrictEquals(lines.length, 3);
  });

  it("change parameters behind their gradients, and compute again what waits for the way back", async () => {
    const make = (): { ws: Tensor[]; run: (x: Tensor, lr: number) => Tensor } => {
      const ws = [1, 2, 3, 4].map((seed) => keep(randn([128, 128], { seed }).mul(0.1)).requiresGrad_());
      const optimizer = new optim.SGD(ws, { lr: 0.1 });
      return {
        ws,
        run: (x, lr) => {
          let y = x;
          for (const w of ws) y = matmul(y, w).gelu();
          const loss = y.square().mean();
          loss.backward();
          optimizer.step({ lr });
          optimizer.zeroGrad();
          return loss.detach();
        },
      };
    };
    const a = make(), b = make(), x = randn([256, 128], { seed: 9 });
    using step = compile(a.run);
    const plan = step.plan(x, 0.1),
      number = (what: string): number => {
        const [, n, unit] = new RegExp(`${what} ([\\d.]+) (\\w+)`).exec(plan)!;
        return Number(n) * (unit === "MiB" ? 1024 : 1);
      };
    assert(number("memory:") <= 0.75 * number("as asked for"), plan.split("\n").at(-1)!);
    const [before, after] = effect(plan, "computed again");
    assert(after > before);
    for (let i = 0; i < 4; i++) {
      assertClose([await step(x, 0.5).item()], [await b.run(x, 0.5).item()], `loss ${i}`, { rtol: 1e-4 });
    }
    for (const [i, w] of a.ws.entries()) {
      assertClose(await numbersOf(w), await numbersOf(b.ws[i]), `parameter ${i}`, { atol: 1e-5, rtol: 1e-3 });
    }
    for (const w of [...a.ws, ...b.ws]) w.dispose();
  });
});

describe("as soon as possible", () => {
  it("keeps the order of all that has to do with one another, in programs made at random", () => {
    const backend = {} as Backend, elementwise = operations.get("elementwise")!;
    let moved = 0;
    for (let seed = 0; seed < 300; seed++) {
      const random = new Generator(seed), at = (n: number): number => random.integer(0, n);
      const values = Array.from(
        { length: 7 },
        (_, i) => new Value(i, backend, 64, i < 3 ? { kind: "temporary" } : { kind: "argument", index: i }),
      );
      const view = (): View => {
        const buffer = values[at(7)], offset = at(12), length = 1 + at(16 - offset);
        return { buffer, dtype: "f32", shape: [length], strides: [1], offset };
      };
      const steps = Array.from({ length: 4 + at(30) }, (_, i): Step => ({
        backend,
        operation: elementwise,
        args: [null, [view(), view()].slice(at(3)), [], [view(), view()].slice(at(2))],
        region: 0,
        at: i,
      }));
      const ordered = asSoonAsPossible(steps), place = new Map(ordered.map((step, i) => [step, i]));
      assertStrictEquals(place.size, steps.length);
      const partsOf = (step: Step) => {
        const found: { value: unknown; from: number; to: number; writes: boolean }[] = [];
        eachView(
          step.operation,
          step.args,
          ({ buffer, offset, shape }, role) =>
            found.push({ value: buffer, from: offset, to: offset + shape[0], writes: role !== "reads" }),
        );
        return found;
      };
      steps.forEach((a, i) =>
        steps.slice(i + 1).forEach((b) => {
          const touches = partsOf(a).some((x) =>
            partsOf(b).some((y) =>
              x.value === y.value && (x.writes || y.writes) && x.from < y.to && y.from < x.to
            )
          );
          if (touches) assert(place.get(a)! < place.get(b)!, `program ${seed}`);
          else if (place.get(a)! > place.get(b)!) moved++;
        })
      );
    }
    assert(moved > 1000);
  });
});

describe("what follows a product", () => {
  const after: Readonly<Record<string, (y: Tensor, b: Tensor, r: Tensor) => Tensor>> = {
    "a bias": (y, b) => y.add(b),
    "a bias and GELU": (y, b) => y.add(b).gelu(),
    "a bias and GELU by tanh": (y, b) => y.add(b).gelu({ approximate: "tanh" }),
    "a bias and SiLU": (y, b) => y.add(b).silu(),
    "a bias and ReLU": (y, b) => y.add(b).relu(),
    "a scale and a residual": (y, _, r) => y.mul(0.3).add(r),
    "a bias and a residual": (y, b, r) => r.add(y.add(b)),
    "a gate": (y, b, r) => y.add(b).sigmoid().mul(r),
    "all of them, and more": (y, b, r) => y.mul(0.5).add(b).silu().add(r).tanh().mul(b).clamp(-0.5, 0.5),
  };
  eachDevice((device) => {
    // A shader takes long to compile.
    const some = (name: string): boolean => device !== "webgpu" || /GELU$|more/.test(name);
    for (const [name, f] of Object.entries(after).filter(([name]) => some(name))) {
      it(`is computed as it is stored: ${name}`, async () => {
        const b = randn([24], { seed: 2, device }), r = randn([3, 20, 24], { seed: 3, device });
        const x = randn([3, 20, 32], { seed: 4, device }), w = randn([24, 32], { seed: 5, device });
        const forms: Record<string, (x: Tensor, w: Tensor, b: Tensor, r: Tensor) => Tensor> = {
          "a product": (x, w, b, r) => f(matmul(x, w.transpose(0, 1)), b, r),
          "a product of one row": (x, w, b, r) =>
            f(matmul(x.slice([0, 1], [0, 1]), w.transpose(0, 1)), b, r.slice([0, 1], [0, 1])),
          "one that is copied in another order": (x, w, b, r) =>
            f(matmul(x, w.transpose(0, 1)).transpose(0, 1).contiguous().transpose(0, 1), b, r),
        };
        for (const [form, run] of Object.entries(forms)) {
          const lines = await stepsOf(run, x, w, b, r);
          if (form.startsWith("one that")) continue;
          assertStrictEquals(lines.length, 1, lines.join("\n"));
          assertMatch(lines[0], /matmul\(.*then /);
        }
        // Where the way back wants what was there before, it is kept.
        const loss = (x: Tensor, w: Tensor, b: Tensor, r: Tensor): Tensor[] => {
          const own = [x, w, b].map((t) => t.detach().requiresGrad_(true)), [y, v, c] = own;
          f(matmul(y, v.transpose(0, 1)), c, r).square().sum().backward();
          return own.map((t) => t.grad ? t.grad.mul(1) : t.detach().mul(0));
        };
        using compiled = compile(loss);
        const expected = loss(x, w, b, r), found = compiled(x, w, b, r);
        for (const [i, g] of expected.entries()) {
          assertClose(await numbersOf(found[i]), await numbersOf(g), `gradient ${i}`, {
            atol: 1e-3,
            rtol: 1e-3,
          });
        }
      });
    }
  }, onWebGpu);

  it("is computed with quantised weights as well", async () => {
    const x = randn([5, 64], { seed: 6 }), b = randn([32], { seed: 7 });
    for (const dtype of ["q8", "q4"] as const) {
      const w = keep(randn([32, 64], { seed: 8 }).to({ dtype })),
        run = (x: Tensor, b: Tensor): Tensor => linear(x, w, null).add(b).gelu().add(b);
      using f = compile(run);
      assertClose(await numbersOf(f(x, b)), await numbersOf(run(x, b)), dtype, { atol: 1e-4, rtol: 1e-3 });
      assertMatch(f.plan(x, b), /done in each run: 1 operation\n {2}%\d+ f32\[5, 32\] = matmul\(.*then /);
      w.dispose();
    }
  });
});

describe("memory of a training step", () => {
  it("is what a part of the way there and one gradient take, not all gradients", () => {
    const model = new GPT2({
      vocabSize: 100,
      nPositions: 32,
      nEmbd: 64,
      nLayer: 6,
      nHead: 2,
      attnPdrop: 0,
      embdPdrop: 0,
      residPdrop: 0,
    });
    const optimizer = new optim.AdamW(model.parameters());
    using step = compile((ids: Tensor, lr: number) => {
      const loss = model.loss(ids);
      loss.backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
      return loss.detach();
    });
    const share = (batch: number): number => {
      const line = step.plan(randint(100, [batch, 32]), 1e-3).split("\n").at(-1)!;
      const [, now, unit, eager] = /^memory: ([\d.]+) (MiB|KiB) .*as asked for ([\d.]+) MiB/.exec(line)!;
      return Number(now) / (unit === "KiB" ? 1024 : 1) / Number(eager);
    };
    assert(share(12) <= 0.7, `${share(12)} of a batch of 12`);
    assert(share(1) <= 0.75, `${share(1)} of a batch of 1, where gradients are most of it`);
    optimizer.dispose();
    model.dispose();
  });
});

describe("a decoding step whose positions are on the device", () => {
  eachDevice((device) => {
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      it(`does what one with known positions does, in ${dtype}`, async () => {
        const make = (): Tensor[] => [0, 1].map(() => keep(zeros([1, 2, 8, 32], { dtype, device })));
        const [k1, v1, k2, v2] = [make(), make(), make(), make()],
          places = keep(zeros([2], { dtype: "i32", device }));
        using f = compile((qkv: Tensor) => noGrad(() => attentionStep(qkv, k2, v2, places)));
        for (let i = 0; i < 5; i++) {
          const qkv = randn([2, 3, 2, 32], { seed: i, device }), lengths = [i, i + 2];
          copyInto(tensor(lengths, { dtype: "i32", device }), places);
          const known = attentionStep(qkv, k1, v1, lengths), found = f(qkv);
          assertClose(await numbersOf(found), await numbersOf(known), `step ${i}`, {
            atol: 1e-5,
            rtol: 1e-4,
          });
        }
        assertStrictEquals(f.traces, 1);
        for (const [i, k] of k1.entries()) assertEquals(await numbersOf(k2[i]), await numbersOf(k));
        for (const t of [...k1, ...v1, ...k2, ...v2, places]) t.dispose();
      });
    }
  }, onWebGpu);
});
