/** What a message quotes of a file is bounded, however long the file says it. */
import { assert, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { FormatError, readNpy } from "../mod.ts";
import { formatShape } from "../src/core/shape.ts";
import { listed } from "../src/core/show.ts";
import { checkConversion } from "../src/files/convert.ts";
import { familyOf } from "../src/models/registry.ts";
import { splitPattern } from "../src/text/oniguruma.ts";

/** A .npy file with a head that says this shape. */
function npy(shape: string): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`{'descr': '<f4', 'fortran_order': False, 'shape': (${shape}), }`);
  const out = new Uint8Array(12 + head.length);
  out.set([0x93, 78, 85, 77, 80, 89, 2, 0]);
  new DataView(out.buffer).setUint32(8, head.length, true);
  out.set(head, 12);
  return out;
}

/** No message is longer. */
const most = 600;

describe("messages about what files say", () => {
  it("show a few entries of a long list and how many there are", () => {
    assertStrictEquals(listed([1, 2, 3]), "1, 2, 3");
    assertStrictEquals(listed([1, 2, 3], 2), "1, 2, … 3 in all");
    assertStrictEquals(formatShape([2, 3]), "[2, 3]");
    const long = formatShape(new Array(30_000).fill(7));
    assertMatch(long, /^\[7, 7, .*… 30000 in all\]$/);
    assert(long.length < 100);
  });

  it("are short, whatever the file", async () => {
    for (const dims of [33, 1000, 20_000]) {
      const { message } = await assertRejects(() => readNpy(npy("1,".repeat(dims))), FormatError);
      assert(message.includes(`${dims} in all`) && message.length < most, message.slice(0, 200));
    }
    const long = "x".repeat(20_000), list = new Array(20_000).fill(3);
    for (
      const fails of [
        () => familyOf(long, "config.json"),
        () => familyOf(list, "config.json"),
        () => splitPattern(`\\p{${long}}`),
        () => checkConversion("f32", "q8", list, "w"),
      ]
    ) {
      const { message } = assertThrows(fails, Error);
      assert(message.length < 2 * most, `${message.length}: ${message.slice(0, 200)}`);
    }
  });
});
