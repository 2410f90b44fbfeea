/** Functions of functions: against finite differences and formulas, one in another, and compiled. */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  checkpoint,
  compile,
  customGradient,
  dropout,
  DTypeError,
  FerrotypeError,
  grad,
  hessian,
  jacobian,
  jvp,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  OptionError,
  rand,
  randint,
  randn,
  scan,
  ShapeError,
  sum,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
  vmap,
  zeros,
} from "../mod.ts";
import { assertClose, numbersOf } from "./_devices.ts";

const reference = { device: "reference", dtype: "f64" } as const;
const f64 = (shape: number[], seed: number): Tensor =>
  tidy(() => randn(shape, { seed, device: "reference" }).to({ dtype: "f64" }));

/** A function with products, norms and powers, of two arguments. */
const f = (x: Tensor, w: Tensor): Tensor => x.matmul(w).tanh().mul(x.sum(-1, true)).softmax(-1);

/** (f(x + h v) − f(x − h v)) / 2h. */
async function slope(f: (x: Tensor) => Tensor, x: Tensor, v: Tensor, h = 1e-5): Promise<number[]> {
  const [up, down] = [await numbersOf(f(x.add(v.mul(h)))), await numbersOf(f(x.sub(v.mul(h))))];
  return up.map((y, i) => (y - down[i]) / (2 * h));
}

describe("jvp", () => {
  it("is the slope along a direction, for any arguments", async () => {
    const x = f64([3, 4], 1), w = f64([4, 2], 2), v = f64([3, 4], 3), u = f64([4, 2], 4);
    const [value, along] = jvp(f, [x, w], [v, zeros([4, 2], reference)]);
    assertClose(await numbersOf(value), await numbersOf(f(x, w)), "value");
    assertClose(await numbersOf(along), await slope((x) => f(x, w), x, v), "along x", {
      atol: 1e-8,
      rtol: 1e-6,
    });
    const both = jvp(f, [x, w], [v, u])[1], byW = jvp((w) => f(x, w), [w], [u])[1];
    assertClose(await numbersOf(both), await numbersOf(along.add(byW)), "along both", { atol: 1e-10 });
    assertThrows(() => jvp(f, [x], [w]), ShapeError);
    assertEquals(await numbersOf(jvp(() => zeros([2]), [x], [v])[1]), [0, 0]);
  });

  it("is differentiated, and nests", async () => {
    const x = f64([3], 5), v = f64([3], 6), g = (x: Tensor): Tensor => x.sin().mul(x).sum();
    const along = (x: Tensor): Tensor => jvp(g, [x], [v])[1];
    assertClose(await numbersOf(grad(along)(x)), await numbersOf(jvp(grad(g), [x], [v])[1]), "H v", {
      atol: 1e-10,
    });
    const second = jvp(along, [x], [v])[1], h = hessian(g)(x);
    assertClose(await numbersOf(second), await numbersOf(v.matmul(h).matmul(v)), "v H v", { atol: 1e-10 });
  });
});

describe("jacobian and hessian", () => {
  it("have the shapes and numbers of all derivatives", async () => {
    const x = f64([2, 3], 7),
      w = f64([3, 2], 8),
      j = jacobian(f)(x, w),
      byW = jacobian(f, { argnums: 1 })(x, w);
    assertEquals(j.shape, [2, 2, 2, 3]);
    assertEquals(byW.shape, [2, 2, 3, 2]);
    for (let k = 0; k < 6; k++) {
      const unit = tensor(Array.from({ length: 6 }, (_, i) => Number(i === k)), {
        ...reference,
        shape: [2, 3],
      });
      const column = await numbersOf(j.reshape(4, 6).select(1, k));
      assertClose(column, await slope((x) => f(x, w), x, unit), `column ${k}`, { atol: 1e-8, rtol: 1e-6 });
    }
    const a = f64([3, 3], 9), g = (x: Tensor): Tensor => x.matmul(a).matmul(x).add(x.pow(3).sum());
    const v = f64([3], 10), h = hessian(g)(v);
    const expected = tidy(() => {
      const diagonal = zeros([3, 3], reference).add(tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]], reference)).mul(
        v.mul(6),
      );
      return a.add(a.transpose(0, 1)).add(diagonal);
    });
    assertClose(await numbersOf(h), await numbersOf(expected), "hessian", { atol: 1e-10 });
    assertMatch(assertThrows(() => jacobian(f, { argnums: 2 })(x, w), Error).message, /argument 2/);
    assertEquals(
      await numbersOf(jacobian((x: Tensor) => zeros([2], reference).add(x.detach().sum()))(v)),
      [
        0,
        0,
        0,
        0,
        0,
        0,
      ],
    );
    // Differentiated again.
    const third = grad((x: Tensor) => sum(hessian((x: Tensor) => x.pow(3).sum())(x)))(v);
    assertClose(await numbersOf(third), [6, 6, 6], "third derivatives", { atol: 1e-10 });
  });
});

describe("vmap", () => {
  it("takes no more examples than can be run one by one", () => {
    let runs = 0;
    const f = vmap((x: Tensor) => (runs++, x));
    for (const count of [2 ** 20 + 1, 3e7, 2 ** 33, 1e12]) {
      assertThrows(() => f(tensor([1]).expand([count])), ShapeError, `there are ${count} examples`);
    }
    assertStrictEquals(runs, 0);
  });

  it("applies along any dims, of trees, and stacks", async () => {
    const a = randn([4, 3, 2], { seed: 1 }), b = randn([2], { seed: 2 });
    const one = (p: { x: Tensor }, b: Tensor): { y: Tensor; all: Tensor[] } => ({
      y: p.x.matmul(b),
      all: [p.x.sum()],
    });
    const { y, all } = vmap(one, { inDims: [0, null] })({ x: a }, b);
    assertClose(await numbersOf(y), await numbersOf(a.matmul(b)), "y");
    assertClose(await numbersOf(all[0]), await numbersOf(a.sum([1, 2])), "sums");
    const across = vmap((x: Tensor) => x.softmax(-1), { inDims: 1, outDims: -1 })(a);
    assertClose(await numbersOf(across), await numbersOf(a.softmax(-1).permute([0, 2, 1])), "across");
    const pairs = vmap((x: Tensor) => vmap((y: Tensor) => x.dot(y))(b.reshape(1, 2).expand([3, 2])))(
      randn([5, 2], { seed: 3 }),
    );
    assertEquals(pairs.shape, [5, 3]);
    assertMatch(
      assertThrows(() => vmap((x: Tensor, y: Tensor) => x.add(y))(zeros([2]), zeros([3])), Error).message,
      /argument 1 has 3/,
    );
    assertMatch(assertThrows(() => vmap((x: Tensor) => x)(zeros([])), Error).message, /has no dim 0/);
    assertThrows(() => vmap((x: Tensor) => x, { inDims: [0, 0] })(zeros([2])), OptionError);
    assertMatch(assertThrows(() => vmap((k: number) => zeros([k]))(2), Error).message, /no example/);
  });

  it("gives gradients of single examples, and is differentiated", async () => {
    const w = randn([3], { seed: 4 }), x = randn([5, 3], { seed: 5 });
    const loss = (w: Tensor, x: Tensor): Tensor => w.mul(x).sum().tanh();
    const each = vmap(grad(loss), { inDims: [null, 0] })(w, x);
    for (let i = 0; i < 5; i++) {
      assertClose(
        await numbersOf(each.select(0, i)),
        await numbersOf(grad(loss)(w, x.select(0, i))),
        `example ${i}`,
      );
    }
    const whole = grad((w: Tensor) => vmap(loss, { inDims: [null, 0] })(w, x).sum())(w);
    assertClose(await numbersOf(whole), await numbersOf(each.sum(0)), "sum", { atol: 1e-5 });
  });
});

describe("functions of functions", () => {
  it("name what is no tensor, and what is of another form or shape", () => {
    const x = tensor([1, 2, 3]), id = (t: Tensor): Tensor => t;
    const wrong = [undefined, null, 3, "s", true, {}, [], [x], () => x] as never[];
    for (const w of wrong) {
      const gives = (_: Tensor): never => w;
      const calls: (() => unknown)[] = [
        ...[grad, valueAndGrad, jacobian, hessian, checkpoint].flatMap((of) => [
          () => of(gives)(x),
          () => of(id)(w),
        ]),
        () => noGrad(() => checkpoint(gives)(x)),
        () => jvp(gives, [x], [x]),
        () => jvp(id, [w], [x]),
        () => customGradient(gives, id)(x),
        () => customGradient(id, id)(w),
      ];
      for (const call of calls) {
        assertMatch(
          assertThrows(call, DTypeError).message,
          /^\w+: (what f gives|argument 0|a primal|an argument) is/,
        );
      }
      if (w !== null && w !== wrong[7]) {
        const leaf = tensor([1], { requiresGrad: true });
        assertThrows(() => customGradient(id, gives)(leaf).backward(), FerrotypeError, "backward");
      }
      assertThrows(() => scan(() => w, x, x), OptionError, "the next state and a result");
    }
    for (const dtype of ["i32", "i64", "u8", "bool"] as const) {
      const whole = zeros([2], { dtype }), sum = (t: Tensor): Tensor => t.sum();
      for (const  of of[grad, valueAndGrad, jacobian, hessian]) {
        assertMatch(
          assertThrows(() => of(sum)(whole), DTypeError).message,
          new RegExp(`argument 0 is ${dtype}`),
        );
      }
    }
    const leaf = tensor([1, 2], { requiresGrad: true });
    for (const shape of [[], [1], [3], [2, 1], [1, 2]]) {
      assertThrows(() => customGradient(id, () => zeros(shape))(leaf).sum().backward(), ShapeError, "shape");
    }
    let k = 0;
    assertThrows(() => vmap((x: Tensor) => k++ ? [x] : [x, x])(x), ShapeError, "another form at 1 than at 0");
    k = 0;
    assertThrows(() => vmap((x: Tensor) => [x, k++])(x), DTypeError, "gives 0 at 0 and 1 at 1");
    assertThrows(() => scan((c: Tensor, y: Tensor) => [c, [y, k++]], x, x), DTypeError, "only tensors");
  });
});

describe("scan", () => {
  it("carries a state of any form, and its gradient", async () => {
    const [total, sums] = scan((c: Tensor, x: Tensor) => [c.add(x), c.add(x)], zeros([]), tensor([1, 2, 3]));
    assertStrictEquals(await total.item(), 6);
    assertEquals(await sums.toArray(), [1, 3, 6]);
    const w = randn([3, 3], { seed: 6 }), xs = randn([4, 3], { seed: 7 });
    const rnn = (w: Tensor): Tensor =>
      scan((c: { h: Tensor }, x: Tensor) => [{ h: c.h.matmul(w).add(x).tanh() }, c.h.sum()], {
        h: zeros([3]),
      }, xs)[0].h.sum();
    const byHand = (w: Tensor): Tensor => {
      let h = zeros([3]);
      for (let i = 0; i < 4; i++) h = h.matmul(w).add(xs.select(0, i)).tanh();
      return h.sum();
    };
    assertClose(await numbersOf(grad(rnn)(w)), await numbersOf(grad(byHand)(w)), "gradient");
    using compiled = compile(grad(rnn));
    for (let i = 0; i < 3; i++) {
      assertClose(await numbersOf(compiled(w)), await numbersOf(grad(byHand)(w)), "compiled");
    }
    assertThrows(() => scan((c: Tensor, _: Tensor) => [c, c], zeros([]), zeros([0, 2])), ShapeError);
    assertThrows(
      () => scan((c: Tensor, _: Tensor[]) => [c, c], zeros([]), [zeros([2]), zeros([3])]),
      ShapeError,
    );
  });
});

describe("customGradient", () => {
  it("is what backward gives, and no more", async () => {
    const rounded = customGradient((x: Tensor) => x.round(), (g) => g.mul(2));
    const [value, slope] = valueAndGrad((x: Tensor) => rounded(x).mul(3).sum())(tensor([0.4, 1.6]));
    assertStrictEquals(await value.item(), 6);
    assertEquals(await numbersOf(slope as Tensor), [6, 6]);
    const product = customGradient(
      (x: Tensor, y: Tensor) => x.mul(y),
      (g, [x, y], output) => [g.mul(y).add(output.mul(0)), g.mul(x)],
    );
    const x = f64([3], 11), y = f64([3], 12);
    const plain = (x: Tensor): Tensor => grad((x: Tensor) => x.mul(y).mul(x).sum())(x).sum();
    const own = (x: Tensor): Tensor => grad((x: Tensor) => product(product(x, y), x).sum())(x).sum();
    assertClose(await numbersOf(grad(own)(x)), await numbersOf(grad(plain)(x)), "second derivative", {
      atol: 1e-10,
    });
    const wrong = customGradient((x: Tensor, y: Tensor) => x.add(y), (g) => g);
    assertMatch(
      assertThrows(() => grad((x: Tensor) => wrong(x, y).sum())(x), Error).message,
      /1 gradient for 2 inputs/,
    );
    const nothing = customGradient((x: Tensor) => x, () => null);
    assertEquals(await numbersOf(grad((x: Tensor) => nothing(x).sum())(tensor([1, 2]))), [0, 0]);
    using compiled = compile((x: Tensor) => grad((x: Tensor) => rounded(x).sum())(x));
    for (let i = 0; i < 3; i++) assertEquals(await numbersOf(compiled(tensor([i, 1]))), [2, 2]);
  });
});

describe("checkpoint", () => {
  it("has the gradients of the function, by arguments and parameters, random numbers included", async () => {
    const layer = new nn.Sequential(new nn.Linear(6, 24), new nn.GELU(), new nn.Linear(24, 6));
    const block = (x: Tensor, k: Tensor): Tensor => {
      const noise = rand(x.shape).add(randint(3, [6]));
      return dropout(layer.forward(x), 0.3).mul(k).add(noise.mul(x));
    };
    const found: number[][][] = [];
    for (const f of [block, checkpoint(block)]) {
      for (const isCompiled of [false, true]) {
        const run = (x: Tensor, k: Tensor): Tensor[] => {
          const [value, grads] = valueAndGrad((x: Tensor, k: Tensor) => f(f(x, k), k).square().sum(), {
            argnums: [0, 1],
          })(x, k);
          return [value, ...grads as Tensor[]].map((t) => t.detach());
        };
        const byLeaves = (x: Tensor, k: Tensor): Tensor[] => {
          f(f(x, k), k).square().sum().backward();
          const grads = layer.parameters().map((p) => p.grad!.clone());
          layer.zeroGrad();
          return grads;
        };
        using a = compile(run), b = compile(byLeaves);
        manualSeed(3);
        const x = randn([5, 6], { seed: 1 }), k = randn([6], { seed: 2 }), list: number[][] = [];
        for (let i = 0; i < 4; i++) {
          for (const t of isCompiled ? a(x, k) : tidy(() => run(x, k))) list.push(await numbersOf(t));
          for (const t of isCompiled ? b(x, k) : tidy(() => byLeaves(x, k))) list.push(await numbersOf(t));
        }
        found.push(list);
      }
    }
    for (const [i, list] of found.entries()) {
      list.forEach((values, j) =>
        assertClose(values, found[0][j], `way ${i}, ${j}`, { atol: 1e-4, rtol: 1e-4 })
      );
    }
    layer.dispose();
  });

  it("is differentiated twice", async () => {
    const g = (x: Tensor): Tensor => x.sin().mul(x), x = f64([3], 13);
    const twice = (f: (x: Tensor) => Tensor) =>
      grad((x: Tensor) => grad((x: Tensor) => f(f(x)).sum())(x).square().sum())(x);
    assertClose(await numbersOf(twice(checkpoint(g))), await numbersOf(twice(g)), "second derivative", {
      atol: 1e-10,
    });
  });

  it("keeps less memory, eagerly and compiled", () => {
    const w = keep(randn([64, 64], { seed: 1 }).requiresGrad_());
    const deep = (x: Tensor): Tensor => x.matmul(w).tanh().mul(2).sigmoid().exp().tanh().square();
    const light = checkpoint(deep), x = randn([64, 64], { seed: 2 });
    const held = (f: (x: Tensor) => Tensor): number => {
      const before = memory().cpu.bytes;
      return tidy(() => {
        let y = f(x);
        for (let i = 0; i < 4; i++) {
          const next = f(y);
          y = next;
        }
        const bytes = memory().cpu.bytes - before;
        y.sum().backward();
        w.grad = null;
        return bytes;
      });
    };
    const kept = held(deep), less = held(light);
    assert(less < kept / 2, `${less} of ${kept} bytes`);
    const places = (f: (x: Tensor) => Tensor): number => {
      using step = compile((x: Tensor) => {
        let y = x;
        for (let i = 0; i < 6; i++) y = f(y);
        y.sum().backward();
        const slope = w.grad!.clone();
        w.grad = null;
        return slope;
      });
      const line = step.plan(x).split("\n").at(-1)!, [, number, unit] = /memory: ([\d.]+) (\w+)/.exec(line)!;
      return Number(number) * (unit === "MiB" ? 1024 : 1);
    };
    assert(places(light) < 0.8 * places(deep), `${places(light)} of ${places(deep)} KiB`);
    assertStrictEquals(noGrad(() => light(x)).requiresGrad, false);
    w.dispose();
  });
});
