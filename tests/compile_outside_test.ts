/**
 * A gradient taken outside of a compiled function is that of the function: whatever it draws, changes or closes over, and
 * whatever happened between. And a run that fails leaves what the function would have changed only afterwards.
 */
import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { it } from "node:test";
import * as F from "../mod.ts";
import { compile, type DeviceName, grad, jvp, keep, manualSeed, optim, type Tensor, tensor } from "../mod.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
/** Makes what it is given a program, or leaves it. */
type Way = (f: Any) => Any;

/** Everything that a case leaves, or what it throws. */
async function trail(run: (c: Way) => unknown, c: Way): Promise<unknown> {
  manualSeed(5);
  try {
    const left = [run(c)].flat(3) as (Tensor | number)[];
    const values = await Promise.all(left.map((t) => typeof t === "number" ? [t] : numbersOf(t)));
    return [...values, [F.randomState().offset]];
  } catch (error) {
    return (error as Error).message;
  }
}

function gradients(device: DeviceName): Record<string, (c: Way) => unknown> {
  const v = (...values: number[]): Tensor => tensor(values, { device });
  const p = (): Tensor => keep(v(1, -2, 3)).requiresGrad_();
  const back = (f: (p: Tensor) => Any, c: Way): Tensor[] => {
    const leaf = p(), compiled = c(f), found: Tensor[] = [];
    for (let i = 0; i < 3; i++) {
      const y = [compiled(leaf)].flat() as Tensor[];
      y.reduce((a, b) => a.add(b)).backward();
      found.push(...y.map((t) => t.detach()), leaf.grad!.clone());
    }
    return found;
  };
  const cube = (x: Tensor): Tensor => x.mul(x).mul(x).sum(),
    sine = (x: Tensor): Tensor => x.sin().mul(x.sum());
  const ones = (x: Tensor): Tensor => F.ones(x.shape, { device });
  return {
    "dropout": (c) => back((p) => F.dropout(p, 0.5).sum(), c),
    "numbers drawn one by one": (c) => back((p) => p.mul(F.randint(-9, 9, [3], { device })).sum(), c),
    "noise in two results": (c) =>
      back((p) => {
        const noise = p.mul(F.rand([3], { device }));
        return [noise.sum(), noise.square().sum()];
      }, c),
    "noise in checkpoints": (c) => {
      const noisy = F.checkpoint(c((p: Tensor) => F.dropout(p, 0.4).mul(F.randint(-9, 9, [3], { device }))));
      const twice = F.checkpoint((p: Tensor) => noisy(noisy(p).add(F.rand([3], { device }))));
      const inside = c((p: Tensor) => grad((p: Tensor) => twice(p).sum())(p));
      return [...back((p) => twice(p).sum(), c), inside(p()), inside(p())];
    },
    "a state that is changed": (c) => {
      const s = keep(v(0, 0, 0));
      const of = (p: Tensor): Tensor => {
        F.copyInto(s.add(1), s);
        return p.mul(s.clone()).sum();
      };
      return [...back(of, c), s];
    },
    "an optimizer's step": (c) => {
      const q = p(), o = new optim.Adam([q], { lr: 0.1 });
      const of = (p: Tensor): Tensor => {
        q.square().sum().backward();
        o.step();
        o.zeroGrad();
        return p.mul(q.detach().clone()).sum();
      };
      return [...back(of, c), q.detach(), ...o.stateDict().state.map((s) => s!.step)];
    },
    "second derivatives": (c) => {
      const f = c(cube), x = v(1, 2, -3);
      return [
        grad((x: Tensor) => (grad(f)(x) as Tensor).sum())(x),
        F.hessian(f)(x),
        F.jacobian(grad(f))(x),
        jvp(grad(f), [x], [ones(x)]),
        grad((x: Tensor) => jvp(c(sine), [x], [ones(x)])[1].sum())(x),
      ];
    },
    "arguments disposed": (c) => {
      const leaf = p(), h = leaf.mul(2), x = v(1, 2, 3);
      const y = c((h: Tensor, x: Tensor) => h.square().mul(x).sum())(h, x);
      for (const t of [h, x]) t.dispose();
      y.backward();
      return leaf.grad;
    },
    "a list of arguments that changes": (c) => {
      const leaf = p(), batch = { x: v(1, 2, 3) };
      const y = c((p: Tensor, { x }: { x: Tensor }) => p.mul(x).sum())(leaf, batch);
      batch.x = v(7, 7, 7);
      y.backward();
      return leaf.grad;
    },
  };
}

eachDevice((device) => {
  it("a gradient from outside is that of the function", async () => {
    for (const [name, run] of Object.entries(gradients(device))) {
      const expected = await trail(run, (f) => f) as number[][];
      const found = await trail(run, (f) => compile(f)) as number[][];
      assertStrictEquals(found.length, expected.length, `${name}: ${expected} and ${found}`);
      expected.forEach((values, i) => assertClose(found[i], values, `${name}, ${i}`));
    }
  });

  it("what it needs and was changed since is refused", async () => {
    const v = (...values: number[]): Tensor => tensor(values, { device });
    const cases: Record<string, (p: Tensor) => Tensor> = {
      "an argument": (p) => {
        const x = v(1, 2), y = compile((p: Tensor, x: Tensor) => p.mul(x).sum())(p, x);
        F.copyInto(v(9, 9), x);
        return y;
      },
      "a tensor that it closes over": (p) => {
        const s = keep(v(1, 2)), y = compile((p: Tensor) => p.mul(s).sum())(p);
        F.copyInto(v(9, 9), s);
        return y;
      },
      "a mode": (p) => {
        const layer = new F.nn.Dropout(0.5);
        layer.eval();
        const y = compile((p: Tensor) => layer.forward(p).sum())(p);
        layer.train();
        return y;
      },
    };
    for (const [name, run] of Object.entries(cases)) {
      const p = keep(v(1, 2)).requiresGrad_();
      let said = "";
      try {
        run(p).backward();
      } catch (error) {
        said = (error as Error).message;
      }
      assertMatch(said, /was changed (in place|since).*take the gradient/, name);
      assertStrictEquals(p.grad, null, name);
      assertEquals(await numbersOf(p), [1, 2]);
    }
  });

  it("a run that fails leaves what comes after the failure as it was", async () => {
    const f = (w: World, ids: Tensor, lr: number): Tensor => {
      w.bias.square().sum().backward();
      w.optimizer.step({ lr });
      w.optimizer.zeroGrad();
      const rows = F.embedding(ids.mul(1), w.table).mul(w.bias), noise = F.rand([2], { device });
      const loss = rows.add(noise).square().sum();
      loss.backward();
      F.copyInto(w.count.add(1), w.count);
      w.optimizer.step({ lr });
      w.optimizer.zeroGrad();
      return loss.detach();
    };
    type World = ReturnType<typeof world>;
    const world = () => {
      const table = keep(tensor([[1, 2], [3, 4], [5, 6.5]], { device })).requiresGrad_(),
        bias = keep(tensor([1, 2], { device })).requiresGrad_(),
        count = keep(tensor([0], { device }));
      return { table, bias, count, optimizer: new optim.AdamW([table, bias], { lr: 0.1 }) };
    };
    const runs = async (compiled: boolean): Promise<unknown[]> => {
      manualSeed(3);
      const w = world(), found: unknown[] = [];
      const one = (ids: Tensor, lr: number): Tensor => f(w, ids, lr), run = compiled ? compile(one) : one;
      for (const [i, ids] of [[0, 1], [1, 2], [0, 7], [2, 2], [-9, 0], [1, 1], [1, 7], [1, 0]].entries()) {
        try {
          found.push(await numbersOf(run(tensor(ids, { dtype: "i32", device }), 0.1 / (i + 1))));
        } catch (error) {
          assertMatch((error as Error).message, /(id|index) \S+ is/);
          found.push("failed");
        }
        for (const t of [w.table, w.bias, w.count]) found.push(await numbersOf(t));
        found.push(w.optimizer.stateDict().state.map((s) => s?.step ?? 0), [F.randomState().offset]);
        found.push([w.optimizer.lr]);
      }
      return found;
    };
    const expected = await runs(false), found = await runs(true);
    assertStrictEquals(expected.filter((x) => x === "failed").length, 3);
    expected.forEach((values, i) => {
      if (typeof values === "string") assertEquals(found[i], values);
      else assertClose(found[i] as number[], values as number[], `entry ${i}`, { rtol: 1e-4 });
    });
  });
});
