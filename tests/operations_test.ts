/**
 * The table of operations says what devices do: every kernel has a row, what an operation writes is of the shapes that
 * its row gives, and memory that it only reads stays as it was.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { createCpuBackend } from "../src/backends/cpu/backend.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import {
  callProblem,
  eachView,
  intercept,
  operations,
  operationsOf,
  withViews,
} from "../src/backends/operations.ts";
import { backendOf, installBackend } from "../src/tensor/mod.ts";
import { cases, place, runs } from "./_ops_golden.ts";
import "./_devices.ts";

describe("the table of operations", () => {
  it("has a row for everything that a device can do", () => {
    const { kernels } = createCpuBackend(), names = operationsOf(createCpuBackend()).map(({ name }) => name);
    for (const name of Object.keys(kernels)) {
      // What is asked before a call is none.
      if (["attentionDTypes", "packedBytes", "fitsMatmulRows"].includes(name)) continue;
      assert(names.includes(name as never), `${name} has no row`);
    }
    assertStrictEquals(operationsOf(createReferenceBackend()).length, 8);
  });

  it("finds views in lists and epilogues, and replaces them", () => {
    const view = (id: number) =>
      ({ buffer: { byteLength: id }, dtype: "f32", shape: [1], strides: [1], offset: 0 }) as const;
    const matmul = operations.get("matmul")!;
    const args = [view(1), view(2), view(3), { program: null, inputs: [view(4)], scalars: [] }];
    const seen: string[] = [];
    eachView(matmul, args, ({ buffer }, role) => seen.push(`${role} ${buffer.byteLength}`));
    assertEquals(seen, ["reads 1", "reads 2", "writes 3", "reads 4"]);
    const moved = withViews(matmul, args, (v) => ({ ...v, offset: v.buffer.byteLength }));
    const offsets: number[] = [];
    eachView(matmul, moved, ({ offset }) => offsets.push(offset));
    assertEquals(offsets, [1, 2, 3, 4]);
    assertMatch(callProblem(matmul, [view(1), view(2), { ...view(3), shape: [7] }])!, /writes \[7\]/);
    const gather = operations.get("gather")!, index = { ...view(5), dtype: "i32" };
    assertStrictEquals(callProblem(gather, [view(1), 0, index, view(2)]), null);
    assertMatch(
      callProblem(gather, [view(1), 0, view(5), view(2)])!,
      /gather takes index as i32 or i64, not f32/,
    );
    assertMatch(callProblem(gather, [view(1), 0, index, index])!, /gather takes out as f32, not i32/);
  });

  for (const device of ["reference", "cpu"] as const) {
    it(`is what ${device} does in every recorded case`, () => {
      const before = backendOf(device),
        backend = device === "cpu" ? createCpuBackend() : createReferenceBackend();
      const seen = new Set<string>();
      intercept(backend, (operation, args, run) => {
        seen.add(operation.name);
        assertStrictEquals(callProblem(operation, args), null);
        const written = new Set<unknown>(), read = new Map<unknown, Uint8Array>();
        eachView(operation, args, ({ buffer }, role) => role !== "reads" && written.add(buffer));
        eachView(operation, args, ({ buffer }) => {
          if (!written.has(buffer)) read.set(buffer, backend.mapped!(buffer).slice());
        });
        run();
        for (const [buffer, bytes] of read) {
          assertEquals(
            backend.mapped!(buffer as never).slice(),
            bytes,
            `${operation.name} wrote what it reads`,
          );
        }
      });
      installBackend(backend);
      try {
        for (const c of cases) {
          const entries = Object.entries(c.inputs).map(([name, given]) =>
            [name, place(given, device, c.grads?.[name] !== undefined)] as const
          );
          const result = runs[c.op](Object.fromEntries(entries), c.attrs);
          for (const [k, y] of [result].flat().entries()) {
            if (c.grads && c.grad_outputs) {
              y.backward(place(c.grad_outputs[k], device), { retainGraph: true });
            }
          }
        }
      } finally {
        installBackend(before);
      }
      const least = device === "cpu"
        ? ["softmax", "layerNorm", "layerNormBackward", "attention", "crossEntropy"]
        : [];
      for (const name of ["elementwise", "reduce", "matmul", "gather", "scatter", "cumsum", ...least]) {
        assert(seen.has(name), `${name} was not seen`);
      }
    });
  }
});
