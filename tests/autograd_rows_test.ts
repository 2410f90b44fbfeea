/**
 * Every row of the table of elementwise operations: its first and second derivatives against finite differences,
 * alone, with numbers for operands, and where operands broadcast.
 */
import { assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { table } from "../src/expr/table.ts";
import * as F from "../src/ops/mod.ts";
import { row } from "../src/ops/row.ts";
import type { Tensor } from "../src/ops/mod.ts";
import { backwardKinds } from "./_row_domains.ts";
import { checkTwice, uneven } from "./_gradients.ts";

describe("derivatives of the table's rows", () => {
  for (const [name, entry] of Object.entries(table)) {
    const { ranges, scalars, differentiable } = backwardKinds(name, entry);
    if (!differentiable.includes(true)) {
      it(`${name} has none`, () => {
        const x = ranges.map(([low, high], i) => uneven([3], low, high, i + 1).requiresGrad_());
        assertStrictEquals(row(name, ...x, ...scalars).requiresGrad, false);
      });
      continue;
    }
    it(name, async () => {
      const x = ranges.map(([low, high], i) => uneven([2, 2], low, high, i + 1));
      const free = differentiable.map((yes, i) => yes ? i : -1).filter((i) => i >= 0);
      const run = (operands: Tensor[]) => (...changed: Tensor[]): Tensor =>
        row(name, ...operands.map((t, i) => free.includes(i) ? changed[free.indexOf(i)] : t), ...scalars);
      await checkTwice(run(x), free.map((i) => x[i]));
      if (x.length < 2) return;
      // Numbers in place of tensors, one at a time.
      for (const i of free) {
        const one = (t: Tensor): Tensor =>
          row(name, ...x.map((_, k) => k === i ? t : (ranges[k][0] + 0.3)), ...scalars);
        await checkTwice(one, [x[i]]);
      }
      // Operands that are stretched: [2, 1], [2] and one number.
      const shapes = [[2, 1], [2], []];
      const mixed = ranges.map(([low, high], i) => uneven(shapes[i], low, high, i + 4));
      await checkTwice(run(mixed), free.map((i) => mixed[i]));
    });
  }

  it("each row is a function of its name, except the forms that one function chooses among", () => {
    const chosen = ["geluTanh", "clampMin", "clampMax"];
    for (const name of Object.keys(table)) assertStrictEquals(name in F, !chosen.includes(name), name);
  });
});
