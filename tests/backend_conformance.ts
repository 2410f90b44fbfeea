/**
 * What every device must do, at the level of the contract: one suite for all of them.
 *
 * Results are held against formulas written down here from the definitions, against core functions, or (for programs
 * made at random) against the reference device. Shapes include none, one, tails of vectors and five axes; layouts are
 * offset, permuted, stepped, reversed and broadcast; the space between elements of an output must stay untouched.
 */
import { after, before, describe } from "node:test";
import type { Backend } from "../src/backends/contract.ts";
import { Workbench } from "./_views.ts";
import { elementwise } from "./conformance/elementwise.ts";
import { matmul } from "./conformance/matmul.ts";
import { memory } from "./conformance/memory.ts";
import { pick } from "./conformance/pick.ts";
import { reduce } from "./conformance/reduce.ts";
import type { ConformanceOptions, Part } from "./conformance/suite.ts";

const parts: Readonly<Record<string, Part>> = { memory, elementwise, reduce, matmul, pick };

/** Declares the suite for the device that `create` makes. */
export function conformance(name: string, create: () => Backend, options: ConformanceOptions = {}): void {
  describe(`${name} conforms`, () => {
    const backend = create();
    before(() => options.ready?.(backend));
    after(() => options.close?.(backend));
    for (const [title, part] of Object.entries(parts)) {
      describe(
        title,
        () =>
          part((seed) => new Workbench(backend, seed), {
            tolerance: options.tolerance ?? 4,
            subnormals: options.subnormals ?? true,
            roundedQuotients: options.roundedQuotients ?? true,
          }),
      );
    }
  });
}
