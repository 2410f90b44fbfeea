/**
 * Blocks whose scale is NaN or infinite: refused where they are read, as kernels take scales for numbers.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { FormatError, openSafetensors } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { type GgufType, ggufTypes, openGgufFile, planGguf } from "../src/files/gguf/mod.ts";
import { collectBytes, planSafetensors } from "../src/files/mod.ts";
import { openBytes } from "../src/platform/platform.ts";
import { describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

/** Bytes at random, in which one number of 16 bits of 32 is NaN or infinite. */
const noise = (random: Generator, count: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: count }, () => random.integer(0, 256));

/** The first block of `size` values with one that is none; -1 where all are numbers. */
function firstWrong(values: Float32Array, size: number): number {
  const at = values.findIndex((x) => !Number.isFinite(x));
  return at < 0 ? -1 : Math.floor(at / size);
}

const floats = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

describe("scales of blocks that are no numbers", { skip: asksNothing }, () => {
  // MXFP4's scales are powers of two, which kernels take as they are.
  const types = (Object.keys(ggufTypes) as GgufType[]).filter((type) =>
    ggufTypes[type].values > 1 && type !== "MXFP4"
  );
  for (const type of types) {
    it(`are refused in ${type} of a GGUF with the first of their values, and read as NaN where numbers are asked for`, async () => {
      const random = new Generator(type.length + ggufTypes[type].id),
        { values, bytes, dtype } = ggufTypes[type];
      let refused = 0;
      for (let round = 0; round < 60; round++) {
        const rows = random.integer(1, 4), blocks = noise(random, 2 * rows * bytes);
        const plan = planGguf(
          [{ name: "a.weight", type, shape: [rows, 2 * values], bytes: () => blocks }],
          {},
        );
        const parts: Uint8Array<ArrayBuffer>[] = [];
        for await (const part of plan.chunks()) parts.push(part.slice());
        const file = openBytes(new Uint8Array(await new Blob(parts).arrayBuffer()), "x.gguf");
        const view = (await openGgufFile(file)).view("a.weight");
        const wrong = firstWrong(floats(await view.read("f32")), values);
        const held = type === "Q5_0" || type === "IQ4_NL" ? [dtype!, "q8" as const] : [dtype!];
        for (const own of held) {
          if (wrong < 0) {
            assertEquals((await view.read(own)).length > 0, true);
            continue;
          }
          refused++;
          const { message } = await assertRejects(() => view.read(own), FormatError);
          const block = own === "q8" ? 32 : values, from = wrong * block;
          assertMatch(
            message,
            new RegExp(
              `^tensor "a.weight" of x.gguf: the scale of values ${from} to ${
                from + block - 1
              } is (NaN|-?Infinity), expected`,
            ),
          );
        }
        // The bytes as they are stored are anyone's.
        assertEquals((await view.bytes()).length, blocks.length);
      }
      assert(refused > 3, String(refused));
    });
  }

  for (const dtype of ["q8", "q4"] as const) {
    it(`are refused in ${dtype} of safetensors, in rows and as a tensor`, async () => {
      const random = new Generator(dtype.length), bytes = { q8: 34, q4: 18 }[dtype];
      let refused = 0;
      for (let round = 0; round < 60; round++) {
        const blocks = noise(random, 6 * bytes);
        const { files } = planSafetensors([{
          name: "w",
          dtype,
          shape: [3, 64],
          bytes: () => blocks,
        }]);
        const file = await openSafetensors(await collectBytes(files[0])), view = file.view("w");
        const wrong = firstWrong(floats(await view.read("f32")), 32);
        if (wrong < 0) {
          using t = await file.tensor("w");
          assertEquals(t.dtype, dtype);
          continue;
        }
        refused++;
        const { message } = await assertRejects(() => file.tensor("w"), FormatError);
        assert(message.includes(`the scale of values ${32 * wrong} to ${32 * wrong + 31} is`), message);
        const row = wrong >> 1;
        if (row > 0) await view.rows(0, row).read(dtype);
        const part = await assertRejects(() => view.rows(row, 3).read(dtype), FormatError);
        assertEquals(part.message, message);
      }
      assert(refused > 3, String(refused));
    });
  }
});
