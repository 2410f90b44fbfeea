/**
 * Some rounds of `deno task soak`, on every runtime, the most on Deno: counts of what is left, and no clock. That it can fail is tested, too.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, it } from "node:test";
import { soak, trends } from "./soak/soak.ts";
import type { Usage } from "./soak/usage.ts";
import { zeros } from "../mod.ts";
import { width } from "./_width.ts";

describe("an accelerated day", () => {
  it("leaves no buffer, no descriptor and no thread, and tells of those that are left", async () => {
    const clean = width(3, 1), descriptors: number[] = [], tensors = [zeros([3])];
    const { work, samples, left, workersStarted } = await soak(11, {
      goesOn: (done) => done <= clean,
      onRound(done) {
        if (done !== clean) return;
        descriptors.push(openSync(fileURLToPath(import.meta.url), "r"));
        tensors.push(zeros([3]));
      },
    });
    for (const descriptor of descriptors) closeSync(descriptor);
    for (const t of tensors) t.dispose();
    const [before] = samples, known = before.descriptors !== null;
    assertEquals(left, [
      `after round ${clean + 1}: ${before.buffers + 1} buffers instead of ${before.buffers}, ` +
      `${before.bytes + 12} bytes instead of ${before.bytes}` +
      (known ? `, ${before.descriptors! + 1} descriptors instead of ${before.descriptors}` : ""),
    ]);
    assertStrictEquals(samples.length, clean + 1);
    assert(work.tokens > 100 && work.steps > 10 && work.requests > 20 * clean, JSON.stringify(work));
    assert(workersStarted > 0, "no thread was started");
    for (const { workers } of samples) assertStrictEquals(workers, 0);
  });
});

describe("memory that the system counts", () => {
  const samples = (resident: (i: number) => number): Usage[] =>
    Array.from({ length: 40 }, (_, i) => ({
      buffers: 0,
      bytes: 0,
      descriptors: null,
      workers: 0,
      heap: 3e7,
      resident: resident(i),
    }));
  const grows = (resident: (i: number) => number): boolean =>
    trends(samples(resident)).some(({ isGrowing }) => isGrowing);

  it("grows where its trend does, whatever it scatters", () => {
    const scatter = (i: number): number => 4e6 * Math.sin(i * i);
    assert(!grows((i) => 2e8 + scatter(i)));
    assert(!grows((i) => 2e8 + scatter(i) + (i < 8 ? 1e7 * i : 8e7)), "what warms up");
    assert(!grows((i) => 2e8 - 1e6 * i + scatter(i)));
    assert(grows((i) => 2e8 + 5e5 * i + scatter(i)));
    assert(!grows((i) => i < 30 ? 2e8 : 2.5e8), "a step is no trend");
  });
});
