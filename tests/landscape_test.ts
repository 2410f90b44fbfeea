/** The surfaces' gradients, their minima, and steps that are the optimizers' own. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
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
          assert(Math.abs(gx - sx) <= 1e-3 + 1e-5 * Math.abs(sx), `∂x at ${x}, ${y}: ${gx} against ${sx}`);
          assert(Math.abs(gy - sy) <= 1e-3 + 1e-5 * Math.abs(sy), `∂y at ${x}, ${y}: ${gy} against ${sy}`);
        }
      }
      for (const [x, y] of surface.minima) {
        surface.gradient(x, y, out);
        assert(Math.hypot(...out) < 1e-9, `level at ${x}, ${y}: ${out}`);
        assert(Math.abs(surface.value(x, y) - (name === "goldsteinPrice" ? 3 : 0)) < 1e-12);
      }
    });
  }
});

describe("step2d", () => {
  const lr = 0.01;
  const makers: Record<
    Exclude<Optimizer2d, "lion" | "muon">,
    (p: ReturnType<typeof tensor>) => optim.Optimizer
  > = {
    sgd: (p) => new optim.SGD([p], { lr }),
    momentum: (p) => new optim.SGD([p], { lr, momentum: 0.9 }),
    rmsprop: (p) => new optim.RMSprop([p], { lr }),
    adam: (p) => new optim.Adam([p], { lr }),
    adamw: (p) => new optim.AdamW([p], { lr }),
  };
  for (
    const [name, make] of Object.entries(makers) as [
      keyof typeof makers,
      (typeof makers)[keyof typeof makers],
    ][]
  ) {
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
        assert(
          Math.abs(px - state[0]) < 1e-9 && Math.abs(py - state[1]) < 1e-9,
          `step ${i}: ${px}, ${py} against ${state}`,
        );
      }
    });
  }

  it("lion steps by signs, as in algorithm 2 of its paper", () => {
    const surface = landscapes.himmelblau, state = state2d(-0.5, -1), g = new Float64Array(2);
    const p = [-0.5, -1], m = [0, 0], decay = 0.05;
    for (let step = 0; step < 50; step++) {
      surface.gradient(p[0], p[1], g);
      for (let i = 0; i < 2; i++) {
        const update = Math.sign(0.9 * m[i] + 0.1 * g[i]);
        m[i] = 0.99 * m[i] + 0.01 * g[i];
        p[i] -= lr * (update + decay * p[i]);
      }
      step2d("lion", surface, state, { lr, weightDecay: decay });
      assert(Math.abs(p[0] - state[0]) < 1e-12 && Math.abs(p[1] - state[1]) < 1e-12, `step ${step}`);
    }
  });

  it("muon steps as the matrix rule does for a matrix of shape [1, 2]", async () => {
    const surface = landscapes.himmelblau, state = state2d(-0.5, -1), g = new Float64Array(2);
    const p = [-0.5, -1], buffer = [0, 0], momentum = 0.95;
    for (let step = 0; step < 30; step++) {
      surface.gradient(p[0], p[1], g);
      for (let i = 0; i < 2; i++) buffer[i] += (1 - momentum) * (g[i] - buffer[i]);
      const nesterov = [0, 1].map((i) => g[i] + momentum * (buffer[i] - g[i]));
      let x = tensor([nesterov], { dtype: "f64", device: "reference" });
      x = x.div(Math.max(Math.hypot(...nesterov), 1e-7));
      for (let k = 0; k < 5; k++) {
        const gram = x.matmul(x.transpose(0, 1));
        x = x.mul(3.4445).add(gram.mul(-4.775).add(gram.matmul(gram).mul(2.0315)).matmul(x));
      }
      const update = await x.data();
      for (let i = 0; i < 2; i++) p[i] = p[i] * (1 - lr * 0.1) - lr * Number(update[i]);
      step2d("muon", surface, state, { lr });
      assert(Math.abs(p[0] - state[0]) < 1e-9 && Math.abs(p[1] - state[1]) < 1e-9, `step ${step}`);
    }
  });

  it("muon stays where the surface is level", () => {
    const state = state2d(0, 0);
    step2d("muon", landscapes.bowl, state, { lr });
    assertEquals([...state.subarray(0, 4)].map(Math.abs), [0, 0, 0, 0]);
  });

  it("refuses an optimizer that does not exist", () => {
    assertMatch(
      String(assertThrows(() => step2d("lbfgs" as Optimizer2d, landscapes.bowl, state2d(1, 1), { lr }))),
      /lbfgs.*none of/,
    );
  });
});
