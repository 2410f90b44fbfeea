import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { check, checkReason } from "../bench/check.ts";

describe("speed", { skip: checkReason() ?? false }, () => {
  it("of kernels stays above floors beside this machine's own limits", () => {
    const slow = (): string[] =>
      check().filter(({ share, least }) => share < least).map(({ name, share, least }) =>
        `${name}: ${(100 * share).toFixed(1)} % of the limit, not ${100 * least} %`
      );
    // A machine that is busy with something else is given a second chance.
    const first = slow();
    assert.deepEqual(first.length === 0 ? first : slow(), []);
  });
});
