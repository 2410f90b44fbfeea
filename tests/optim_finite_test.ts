/**
 * Gradients that are no numbers: every optimizer names parameter and step before a parameter is touched; a compiled step with
 * the next read of a value.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { FerrotypeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { Linear, type Module, Sequential } from "../src/nn/mod.ts";
import { mul, sum, type Tensor, tensor } from "../src/ops/mod.ts";
import * as optim from "../src/optim/mod.ts";
import { compile } from "../src/tensor/mod.ts";
import { eachDevice } from "./_devices.ts";
import { describe, it } from "./_suite.ts";

type Make = new (params: Iterable<Tensor>) => optim.Optimizer;
/** Every optimizer there is, also those that come later. */
const makers = Object.entries(optim).filter(([, value]) =>
  typeof value === "function" && value.prototype instanceof optim.Optimizer
) as [string, Make][];
const bad = [NaN, Infinity, -Infinity];

eachDevice((device) => {
  const make = () => new Sequential(new Linear(3, 4, { device }), new Linear(4, 2, { device }));
  const below = (random: Generator, n: number): number => Math.floor(random.uniform() * n);

  /** Gives `model` gradients, one element of one of them `value`; gives that one's name. */
  function fill(model: Module, random: Generator, value: number): string {
    const params = model.namedParameters(), which = below(random, params.length);
    params.forEach(([, p], i) => {
      const numbers = Array.from({ length: p.size }, () => random.uniform() - 0.5);
      if (i === which) numbers[below(random, p.size)] = value;
      p.grad = tensor(numbers, { device }).reshape(p.shape);
    });
    return params[which][0];
  }
  const valuesOf = (model: Module) => Promise.all(model.parameters().map((p) => p.toArray()));

  for (const [name, Maker] of makers) {
    it(`${name} names the parameter and the step, and changes nothing`, async () => {
      const random = new Generator(20261);
      for (let round = 0; round < 6; round++) {
        const model = make(), optimizer = new Maker(model.parameters());
        for (let i = 0; i < round; i++) fill(model, random, 1), optimizer.step();
        const before = await valuesOf(model), fault = fill(model, random, bad[round % 3]);
        const said = round % 3 ? "an infinity" : "NaN";
        const error = assertThrows(() => optimizer.step(), FerrotypeError);
        assertMatch(
          error.message,
          new RegExp(
            `^${name}: the gradient of "${fault}" \\[.*\\] has ${said} at step ${round + 1}; nothing was`,
          ),
        );
        assertEquals(await valuesOf(model), before);
        // Left out, the run goes on.
        fill(model, random, 1);
        optimizer.step();
        assertEquals(optimizer.stateDict().state.map((s) => s?.step), Array(4).fill(round + 1));
      }
    });

    it(`${name} in a compiled function: the next read says so, once`, async () => {
      const random = new Generator(77), shape = [2, 3];
      for (const value of bad) {
        const p = tensor([[1, 2, 3], [4, 5, 6]], { device, requiresGrad: true });
        const optimizer = new Maker([p]);
        const step = compile((x: Tensor) => {
          p.grad = null;
          const loss = sum(mul(p, x));
          loss.backward();
          optimizer.step();
          return loss.detach();
        });
        const at = 1 + below(random, 4);
        for (let i = 1; i < 6; i++) {
          const x = Array.from({ length: 6 }, () => random.uniform());
          if (i === at) x[below(random, 6)] = value;
          step(tensor(x, { device }).reshape(shape));
        }
        const error = await assertRejects(() => p.data(), FerrotypeError);
        assertMatch(
          error.message,
          new RegExp(`^${name}: the gradient of parameter 0 \\[2, 3\\] was not finite at step ${at},`),
        );
        await p.data();
        optimizer.dispose();
      }
    });
  }

  it("clipGradNorm names the parameter, and leaves all gradients as they are", async () => {
    const random = new Generator(5);
    for (let round = 0; round < 12; round++) {
      const model = make(), fault = fill(model, random, bad[round % 3]);
      const before = await Promise.all(model.parameters().map((p) => p.grad!.data()));
      const error = assertThrows(() => optim.clipGradNorm(model.parameters(), 1), FerrotypeError);
      assertMatch(error.message, new RegExp(`^clipGradNorm: the gradient of "${fault}" `));
      assert(!error.message.includes("clip gradients"), "who clips is not told to");
      assertEquals(await Promise.all(model.parameters().map((p) => p.grad!.data())), before);
    }
  });

  it("a norm beyond f32 is an error, not gradients of 0; large gradients that are finite are stepped", () => {
    const model = make(), random = new Generator(6);
    fill(model, random, 1e30);
    assertMatch(
      assertThrows(() => optim.clipGradNorm(model.parameters(), 1), FerrotypeError).message,
      /the norm of the gradients is beyond f32/,
    );
    new optim.SGD(model.parameters()).step();
  });

  it("after clipping the step looks no second time, but at what was written since", () => {
    const model = make(), random = new Generator(7), optimizer = new optim.SGD(model.parameters());
    fill(model, random, 3);
    optim.clipGradNorm(model.parameters(), 1);
    model.parameters()[2].grad = tensor([[NaN]], { device }).expand(model.parameters()[2].shape).mul(1);
    assertThrows(() => optimizer.step(), FerrotypeError, "has NaN");
  });
});

describe("optimizers", () => {
  it("are all tried", () => assert(makers.length >= 5));
});
