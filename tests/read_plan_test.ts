/**
 * Read plans: many tensors in few reads, decided before anything is read.
 *
 * @module
 */
import { assertEquals, assertRejects, assertStrictEquals, assertThrows, fail } from "@std/assert";
import { describe, it } from "node:test";
import { FormatError, OptionError } from "../src/core/errors.ts";
import { planReads, readSafetensors, type TensorInfo } from "../src/files/mod.ts";
import { f32, open, save } from "./_safetensors.ts";
import { memorySource } from "./_sources.ts";

describe("read plans", () => {
  const info = (name: string, begin: number, end: number, file = "f"): TensorInfo => (
    { name, dtype: "u8", diskDType: "U8", shape: [end - begin], file, begin, end, byteLength: end - begin }
  );

  it("merge neighbours and bridge small gaps, not large ones", () => {
    const plan = planReads(
      [info("d", 500, 600), info("a", 0, 100), info("b", 100, 150), info("c", 160, 200)],
      { maxGap: 10 },
    );
    assertEquals(
      plan.ranges.map(({ begin, end, tensors }) => [begin, end, tensors.map(({ name }) => name).join("")]),
      [
        [0, 200, "abc"],
        [500, 600, "d"],
      ],
    );
    assertEquals([plan.bytes, plan.wasted], [300, 10]);
    assertStrictEquals(planReads([info("a", 0, 1), info("b", 12, 13)], { maxGap: 10 }).ranges.length, 2);
  });

  it("keep to the largest read, except for a larger tensor", () => {
    const plan = planReads([
      info("a", 0, 60),
      info("b", 60, 100),
      info("c", 100, 110),
      info("big", 110, 400),
      info("e", 400, 410),
    ], {
      maxBytes: 100,
    });
    assertEquals(plan.ranges.map(({ begin, end }) => [begin, end]), [[0, 100], [100, 110], [110, 400], [
      400,
      410,
    ]]);
  });

  it("read a tensor once, keep files apart, and can be printed", () => {
    const a = info("a", 0, 10), b = info("b", 10, 20, "g");
    const plan = planReads([b, a, a]);
    assertEquals(plan.ranges.map(({ file }) => file), ["g", "f"]);
    assertStrictEquals(
      `${plan}`,
      "g 10-20 (10 bytes): 1 tensor, b\nf 0-10 (10 bytes): 1 tensor, a\n2 reads, 20 bytes, 0 of them between tensors",
    );
    assertStrictEquals(planReads([]).bytes, 0);
  });

  it("run: a hundred tensors in one read, each with its own bytes", async () => {
    const tensors = Array.from(
      { length: 100 },
      (_, i) => f32(`t${String(i).padStart(2, "0")}`, [2], [i, -i]),
    );
    const source = memorySource(await save(tensors)), file = await readSafetensors(source);
    const progress: number[] = [];
    let count = 0;
    for await (
      const { info, bytes } of file.read(file.plan(), {
        onProgress: ({ loaded, total }) => progress.push(loaded / total),
      })
    ) {
      assertEquals([...new Float32Array(bytes.slice().buffer)], [count, -count]);
      assertStrictEquals(info.name, tensors[count++].name);
    }
    assertStrictEquals(count, 100);
    assertEquals(progress, [1]);
    assertStrictEquals(source.reads.length, 3);
    const some = file.plan(["t00", "t99"], { maxGap: 0 });
    assertStrictEquals(some.ranges.length, 2);
    assertThrows(() => file.plan(["nothing"]), FormatError);
  });

  it("stop when asked, and when nobody listens any more", async () => {
    const bytes = await save([f32("a", [1], [1]), f32("b", [1], [2]), f32("c", [1], [3])]);
    const file = await open(bytes), plan = file.plan(file.names, { maxBytes: 4 });
    assertStrictEquals(plan.ranges.length, 3);
    const stop = new AbortController();
    assertStrictEquals(
      (await assertRejects(async () => {
        for await (const { info } of file.read(plan, { signal: stop.signal })) {
          assertStrictEquals(info.name, "a");
          stop.abort();
        }
      }, Error)).name,
      "CancelledError",
    );
    for await (const { info } of file.read(plan)) {
      assertStrictEquals(info.name, "a");
      break;
    }
    await assertRejects(async () => {
      for await (const { info } of file.read(planReads([info0]))) fail(info.name);
    }, OptionError);
  });
  const info0 = info("a", 0, 1, "elsewhere");
});
