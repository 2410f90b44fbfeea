/**
 * Every recorded case of an operation, forward and backward, as a compiled function: several times on the same memory
 * with other numbers in between, so that nothing that was done in JavaScript once can pass for the program.
 */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { holdCollection } from "./_collection.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { compile, copyInto, memory, type Tensor, tidy } from "../mod.ts";
import { assertClose, eachDevice, numbersOf, type Tolerance } from "./_devices.ts";
import {
  type Case,
  cases,
  type Inputs,
  numbers,
  place,
  type Recorded,
  runs as operations,
  tolerances,
} from "./_ops_golden.ts";
import { onWebGpu } from "./_webgpu.ts";

/** Outputs, then gradients by name, of one case. */
function computed(c: Case, inputs: Inputs, from: readonly Tensor[]): Tensor[] {
  const own: Inputs = {};
  for (const [name, t] of Object.entries(inputs)) {
    own[name] = c.grads?.[name] === undefined ? t : t.detach().requiresGrad_();
  }
  const result = operations[c.op](own, c.attrs), outputs = Array.isArray(result) ? result : [result];
  if (!c.grads) return outputs.map((y) => y.detach());
  outputs.forEach((y, k) => y.backward(from[k], { retainGraph: true }));
  return [...outputs.map((y) => y.detach()), ...Object.keys(c.grads).map((name) => own[name].grad!.detach())];
}

async function check(c: Case, device: DeviceName, optimize: boolean): Promise<void> {
  const recorded = [...Object.values(c.inputs), ...c.grads ? c.grad_outputs ?? [] : []];
  // The same values in the opposite order are other values that are allowed in the same places.
  const reversed = recorded.map((r): Recorded => ({ ...r, data: [...r.data].reverse() }));
  const names = Object.keys(c.inputs), tolerance = tolerances[c.name] ?? {};
  const split = (all: readonly Tensor[]): [Inputs, Tensor[]] => [
    Object.fromEntries(names.map((name, i) => [name, all[i]])),
    all.slice(names.length),
  ];
  const held = recorded.map((r) => place(r, device)), other = reversed.map((r) => place(r, device));
  const given = recorded.map((r) => place(r, device));
  const expected = [...c.outputs, ...Object.values(c.grads ?? {})].map(numbers);
  const eager = tidy(() => computed(c, ...split(other)));
  const expectedOther = await Promise.all(eager.map(numbersOf));
  using f = compile((inputs: Inputs, from: readonly Tensor[]) => computed(c, inputs, from), { optimize });
  const near = (actual: number[], wanted: number[], what: string, loose: Tolerance): void =>
    assertClose(actual, wanted, what, loose);
  const runs: Promise<number[][]>[] = [];
  for (let run = 0; run < 6; run++) {
    (run % 2 === 1 ? other : given).forEach((t, i) => copyInto(t, held[i]));
    const results = f(...split(held));
    runs.push(Promise.all(results.map(numbersOf)));
    for (const t of results) t.dispose();
  }
  for (const [run, found] of (await Promise.all(runs)).entries()) {
    for (const [k, values] of found.entries()) {
      if (run % 2 === 1) {
        near(values, expectedOther[k], `run ${run}, result ${k}`, { atol: 1e-5, rtol: 1e-4 });
      } else near(values, expected[k], `run ${run}, result ${k}`, tolerance);
    }
  }
  assertStrictEquals(f.traces, 1);
  for (const t of [...held, ...other, ...given, ...eager]) t.dispose();
}

describe("compiled: recorded results of operations", () => {
  eachDevice((device) => {
    for (const c of cases) it(c.name, () => check(c, device, true));
    it("takes no memory that it does not give back", async () => {
      using _still = holdCollection();
      const before = memory()[device];
      for (const c of cases.filter((_, i) => i % 9 === 0)) await check(c, device, true);
      assertEquals(memory()[device], before);
    });
  }, onWebGpu);
});
