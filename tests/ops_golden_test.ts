/** The recorded PyTorch results for operations, forward and backward, on each device. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { DeviceName } from "../src/backends/contract.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import {
  type Case,
  cases,
  dtypes,
  type Inputs,
  numbers,
  place,
  type Recorded,
  runs,
  tolerances,
} from "./_ops_golden.ts";
import { onWebGpu } from "./_webgpu.ts";

async function check(c: Case, device: DeviceName): Promise<void> {
  const inputs: Inputs = {};
  for (const [name, recorded] of Object.entries(c.inputs)) {
    inputs[name] = place(recorded, device, c.grads?.[name] !== undefined);
  }
  const result = runs[c.op](inputs, c.attrs), outputs = Array.isArray(result) ? result : [result];
  const tolerance = tolerances[c.name] ?? {};
  assertStrictEquals(outputs.length, c.outputs.length);
  for (const [k, expected] of c.outputs.entries()) {
    assertEquals(outputs[k].shape, expected.shape);
    assertStrictEquals(outputs[k].dtype, dtypes[expected.dtype]);
    assertClose(await numbersOf(outputs[k]), numbers(expected), `output ${k}`, tolerance);
  }
  if (!c.grads || !c.grad_outputs) return;
  outputs.forEach((y, k) =>
    y.backward(place((c.grad_outputs as Recorded[])[k], device), { retainGraph: true })
  );
  for (const [name, expected] of Object.entries(c.grads)) {
    const { grad } = inputs[name];
    assert(grad, `${name} has no gradient`);
    assertEquals(grad.shape, expected.shape);
    assertClose(await numbersOf(grad), numbers(expected), `gradient of ${name}`, tolerance);
  }
}

describe("recorded results of operations", () => {
  it("are 178 cases of 76 operations, each known here", () => {
    assertStrictEquals(cases.length, 178);
    assertEquals([...new Set(cases.map((c) => c.op))].sort(), Object.keys(runs).sort());
  });
  eachDevice((device) => {
    for (const c of cases) it(c.name, () => check(c, device));
  }, onWebGpu);
});
