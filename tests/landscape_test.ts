/** The surfaces' gradients, their minima, and steps that are the optimizers' own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { landscapes, optim, type Optimizer2d, state2d, step2d, tensor } from "../mod.ts";

describe("landscapes", () => {
  for (const [name, surface] of Object.entries(landscapes)) {
    it(`${name}: the gradient is the slope, and minima are where it is level`, () => {
      const out = new Float64Array(2), h = 1e-6;
      const [x0, x1, y0, y1] = surface.domain;
      for (let i = 0; i <= 8; i++) {
        for (let j = 0; j <= 8; j++) {
          const x = x0 + (x1 - x0) * i / 8, y = y0 + (y1 - y0) * j / 8;
          surface.gradient(x, y, out);
          const [gx, gy] = out;
          const sx = (surface.value(x + h, y) - surface.value(x - h, y)) / (2 * h);
          const sy = (surface.value(x, y + h) - surface.value(x, y - h)) / (2 * h);
          assert.ok(Math.abs(gx - sx) <= 1e-3 + 1e-5 * Math.abs(sx), `∂x at ${x}, ${y}: ${gx} against ${sx}`);
          assert.ok(Math.abs(gy - sy) <= 1e-3 + 1e-5 * Math.abs(sy), `∂y at ${x}, ${y}: ${gy} against ${sy}`);
        }
      }
      for (const [x, y] of surface.minima) {
        surface.gradient(x, y, out);
        assert.ok(Math.hypot(...out) < 1e-9, `level at ${x}, ${y}: ${out}`);
        assert.ok(Math.abs(surface.value(x, y)) < 1e-12);
      }
    });
  }
});

describe("step2d", () => {
  const lr = 0.01;
  type Known = Exclude<Optimizer2d, "lion" | "muon">;
  const makers: Record<Known, (p: ReturnType<typeof tensor>) => optim.Optimizer> = {
    sgd: (p) => new optim.SGD([p], { lr }),
    momentum: (p) => new optim.SGD([p], { lr, momentum: 0.9 }),
    rmsprop: (p) => new optim.RMSprop([p], { lr }),
    adam: (p) => new optim.Adam([p], { lr }),
    adamw: (p) => new optim.AdamW([p], { lr }),
  };
  for (const [name, make] of Object.entries(makers) as [Known, (typeof makers)[Known]][]) {
    it(`${name} steps as the optimizer of that name`, async () => {
      const surface = landscapes.himmelblau, state = state2d(-0.5, -1), out = new Float64Array(2);
      const point = tensor([-0.5, -1], { dtype: "f64", device: "reference", requiresGrad: true });
      const optimizer = make(point);
      for (let i = 0; i < 50; i++) {
        const [x, y] = await point.data() as Float64Array;
        surface.gradient(x, y, out);
        point.grad = tensor([...out], { dtype: "f64", device: "reference" });
        optimizer.step();
        step2d(name, surface, state, { lr });
        const [px, py] = await point.data() as Float64Array;
        assert.ok(
          Math.abs(px - state[0]) < 1e-9 && Math.abs(py - state[1]) < 1e-9,
          `step ${i}: ${px}, ${py} against ${state}`,
        );
      }
    });
  }

  it("lion and muon step as their papers say", () => {
    const surface = landscapes.himmelblau, out = new Float64Array(2);
    const lion = state2d(-0.5, -1), muon = state2d(-0.5, -1);
    let [x, y] = [-0.5, -1], m = [0, 0];
    for (let i = 0; i < 20; i++) {
      surface.gradient(x, y, out);
      const g = [...out], direction = g.map((v, k) => Math.sign(0.9 * m[k] + 0.1 * v));
      [x, y] = [x, y].map((v, k) => v - lr * (direction[k] + 0.1 * v));
      m = m.map((v, k) => 0.99 * v + 0.01 * g[k]);
      step2d("lion", surface, lion, { lr, weightDecay: 0.1 });
      assert.ok(Math.abs(x - lion[0]) < 1e-12 && Math.abs(y - lion[1]) < 1e-12, `lion, step ${i}`);
    }
    [x, y] = [-0.5, -1];
    m = [0, 0];
    for (let i = 0; i < 20; i++) {
      surface.gradient(x, y, out);
      const g = [...out];
      m = m.map((v, k) => 0.95 * v + g[k]);
      const update = g.map((v, k) => v + 0.95 * m[k]), length = Math.hypot(...update);
      [x, y] = [x, y].map((v, k) => v - lr * update[k] / length);
      step2d("muon", surface, muon, { lr });
      assert.ok(Math.abs(x - muon[0]) < 1e-9 && Math.abs(y - muon[1]) < 1e-9, `muon, step ${i}`);
    }
  });

  it("refuses an optimizer that does not exist", () => {
    assert.throws(
      () => step2d("lbfgs" as Optimizer2d, landscapes.bowl, state2d(1, 1), { lr }),
      /lbfgs.*none of/,
    );
  });
});
