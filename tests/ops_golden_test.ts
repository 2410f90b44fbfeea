/** The recorded PyTorch results for operations, forward and backward, on each device. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DeviceName } from "../src/backends/contract.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import {
  type Case,
  cases,
  dtypes,
  type Inputs,
  missing,
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
  assert.equal(outputs.length, c.outputs.length);
  for (const [k, expected] of c.outputs.entries()) {
    assert.deepEqual(outputs[k].shape, expected.shape);
    assert.equal(outputs[k].dtype, dtypes[expected.dtype]);
    assertClose(await numbersOf(outputs[k]), numbers(expected), `output ${k}`, tolerance);
  }
  if (!c.grads || !c.grad_outputs) return;
  outputs.forEach((y, k) =>
    y.backward(place((c.grad_outputs as Recorded[])[k], device), { retainGraph: true })
  );
  for (const [name, expected] of Object.entries(c.grads)) {
    const { grad } = inputs[name];
    assert.ok(grad, `${name} has no gradient`);
    assert.deepEqual(grad.shape, expected.shape);
    assertClose(await numbersOf(grad), numbers(expected), `gradient of ${name}`, tolerance);
  }
}

describe("recorded results of operations", { skip: missing }, () => {
  it("are 178 cases of 76 operations, each known here", () => {
    assert.equal(cases.length, 178);
    assert.deepEqual([...new Set(cases.map((c) => c.op))].sort(), Object.keys(runs).sort());
  });
  eachDevice((device) => {
    for (const c of cases) it(c.name, () => check(c, device));
  }, onWebGpu);
});
