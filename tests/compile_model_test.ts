/**
 * GPT-2 as a compiled function, against what was recorded from PyTorch: logits, gradients, steps of AdamW; several times, on
 * the same memory with other ids in between.
 */
import { assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { compile, copyInto, keep, manualSeed, noGrad, optim, type Tensor, tensor, tidy } from "../mod.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { assertNear, type GoldenParameter, loadTiny, readGolden, smallModel } from "./_gpt2.ts";
import { onWebGpu } from "./_webgpu.ts";

function assertParameter(values: number[], expected: GoldenParameter, tolerance: number, what: string): void {
  assertNear(values.slice(0, 8), expected.first8, tolerance, what);
  const norm = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  assertClose([norm], [expected.l2], `l2 of ${what}`, { atol: tolerance, rtol: tolerance });
}

describe("compiled: GPT-2 against PyTorch", () => {
  const golden = readGolden();

  eachDevice((device) => {
    const idsOf = (ids: number[][]): Tensor => keep(tensor(ids, { dtype: "i32", device }));

    it("gives the recorded logits", async () => {
      using model = await loadTiny({ device });
      using f = compile((ids: Tensor) => noGrad(() => model.forward(ids)));
      const right = idsOf(golden.prompts.single.ids), held = idsOf([[1, 2, 3, 4, 5, 6, 7]]);
      for (let i = 0; i < 5; i++) {
        f(held).dispose();
        const logits = tidy(() => (copyInto(right, held), f(held)));
        assertNear(await numbersOf(logits), golden.full_logits.logits.flat(2), 1e-4, `logits of run ${i}`);
        logits.dispose();
        copyInto(tidy(() => keep(right.add(13 + i).remainder(512).to({ dtype: "i32" }))), held);
      }
      assertStrictEquals(f.traces, 1);
      using lists = compile((ids: number[][]) => noGrad(() => model.forward(ids)));
      for (const ids of [[[5, 1, 2]], golden.prompts.single.ids]) {
        assertClose(
          await numbersOf(lists(ids)),
          await numbersOf(noGrad(() => model.forward(ids))),
          "of lists",
          { atol: 1e-4 },
        );
      }
      assertMatch(assertThrows(() => lists([[1, 2, 512]]), Error).message, /token id 512 is outside/);
    });

    it("gives the recorded loss and gradients", async () => {
      using model = await loadTiny({ device });
      using f = compile((ids: Tensor) => {
        const loss = model.loss(ids);
        loss.backward();
        return loss.detach();
      });
      const ids = idsOf(golden.prompts.batch.ids);
      for (let i = 0; i < 4; i++) {
        model.zeroGrad();
        assertNear([await f(ids).item()], [golden.loss.value], 1e-5, "loss");
        for (const [name, p] of model.namedParameters()) {
          assertParameter(await numbersOf(p.grad!), golden.loss.grads[name], 1e-5, `gradient of ${name}`);
        }
      }
      assertStrictEquals(f.traces, 1);
    });

    it("takes the recorded steps of AdamW", async () => {
      using model = await loadTiny({ device });
      using optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
      const ids = idsOf(golden.prompts.batch.ids), losses: number[] = [];
      const { loss_before, loss_after_step, params_after } = golden.training;
      using step = compile((ids: Tensor, lr: number) => {
        const loss = model.loss(ids);
        loss.backward();
        optimizer.step({ lr });
        optimizer.zeroGrad();
        return loss.detach();
      });
      for (let i = 0; i < loss_after_step.length; i++) losses.push(await step(ids, 1e-3).item());
      losses.push(await noGrad(() => model.loss(ids)).item());
      assertNear(losses, [loss_before, ...loss_after_step], 1e-5, "losses");
      for (const [name, p] of model.namedParameters()) {
        // The key bias has a true gradient of zero, so Adam makes small steps of what rounding leaves.
        const loose = name.endsWith("c_attn.bias");
        if (loose) assertNear((await numbersOf(p)).slice(0, 8), params_after[name].first8, 2e-5, name);
        assertParameter(await numbersOf(p), params_after[name], loose ? 3e-3 : 2e-5, name);
      }
      assertStrictEquals(step.traces, 1);
    });
  }, onWebGpu);
});

describe("compiled: a GPT-2 with dropout", () => {
  it("trains as eagerly, number for number where kernels leave no room", async () => {
    const losses: number[][] = [];
    for (const isCompiled of [false, true]) {
      manualSeed(8);
      using model = smallModel({ residPdrop: 0.1, embdPdrop: 0.1, attnPdrop: 0.1 });
      using optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
      const step = (ids: Tensor): Tensor => {
        const loss = model.loss(ids);
        loss.backward();
        optim.clipGradNorm(model.parameters(), 1);
        optimizer.step();
        optimizer.zeroGrad();
        return loss.detach();
      };
      using compiled = compile(step);
      const list: number[] = [],
        ids = tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]], { dtype: "i32" });
      for (let i = 0; i < 6; i++) {
        list.push(await (isCompiled ? compiled : (ids: Tensor) => tidy(() => step(ids)))(ids).item());
      }
      losses.push(list);
    }
    assertClose(losses[1], losses[0], "losses", { atol: 1e-5, rtol: 1e-5 });
  });
});
