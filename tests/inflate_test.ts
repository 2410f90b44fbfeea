/** What is packed by deflate is unpacked in one place, in small pieces, and never beyond the size that was said. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { constants, deflateRawSync } from "node:zlib";
import { FormatError, readNpz } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { inflated } from "../src/files/inflate.ts";
import { unzip, zip } from "../src/files/zip.ts";
import { repository } from "./_data.ts";

/** What deflate makes of `bytes`. */
const pack = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(deflateRawSync(bytes));

/** Packed bytes that count what is taken of them. */
function counting(bytes: Uint8Array<ArrayBuffer>): { packed: Uint8Array<ArrayBuffer>; taken: () => number } {
  let taken = 0;
  const packed = Uint8Array.from(bytes);
  packed.slice = (from, to) => {
    const piece = Uint8Array.prototype.slice.call(packed, from, to) as Uint8Array<ArrayBuffer>;
    taken += piece.length;
    return piece;
  };
  return { packed, taken: () => taken };
}

/** An archive of one entry that deflate packed, and is said to have `size` bytes. */
function archive(name: string, body: Uint8Array<ArrayBuffer>, size: number): Blob {
  const pieces = zip([{ name, bytes: body }]);
  const [head, , list] = pieces.map((piece) => new DataView(piece.buffer));
  head.setUint16(8, 8, true);
  list.setUint16(10, 8, true);
  list.setUint32(24, size, true);
  return new Blob(pieces);
}

describe("unpacking", () => {
  it("gives back what was packed, whatever its size, and nothing where the size said is another", async () => {
    const random = new Generator(41), next = () => random.uniform();
    for (let round = 0; round < 40; round++) {
      const size = Math.floor(next() * 3 ** Math.floor(next() * 12)), kinds = 1 + Math.floor(next() * 256);
      const bytes = Uint8Array.from({ length: size }, () => next() * kinds), packed = pack(bytes);
      assertEquals(await inflated(packed, size), bytes);
      assertEquals(await inflated(new Blob([packed]), size), bytes);
      assertStrictEquals(await inflated(packed, size + 1), null);
      if (!size) continue;
      assertStrictEquals(await inflated(packed, Math.floor(next() * size)), null);
      assertStrictEquals(await inflated(packed.slice(0, packed.length >> 1), size), null);
    }
  });

  it("takes no more than a few pieces of a bomb, however large it is", async () => {
    // 400 MB of zeros are 400 kB: fed at once, a runtime may hold all of them before anyone sees their number.
    const block = deflateRawSync(new Uint8Array(1e6), { finishFlush: constants.Z_SYNC_FLUSH });
    const bomb = Uint8Array.from(Buffer.concat(Array.from({ length: 400 }, () => block)));
    for (const size of [0, 1, 100, 65_536]) {
      const { packed, taken } = counting(bomb);
      assertStrictEquals(await inflated(packed, size), null);
      assert(taken() <= 10 << 14, `${size} bytes said: ${taken()} of ${bomb.length} taken`);
    }
    await assertRejects(
      async () => await readNpz(archive("a.npy", bomb, 100)),
      FormatError,
      '"a.npy" in it is damaged',
    );
    await assertRejects(
      async () => await unzip(archive("a", bomb, 100)),
      Error,
      "does not have the 100 bytes",
    );
  });

  it("happens in one file of the package", () => {
    const found: string[] = [];
    for (const folder of ["src", "cli", "web"]) {
      for (const path of readdirSync(join(repository, folder), { recursive: true }) as string[]) {
        if (!path.endsWith(".ts") || path.includes("dist")) continue;
        const text = readFileSync(join(repository, folder, path), "utf8");
        if (/DecompressionStream|(inflate|gunzip|unzip|brotliDecompress)(Raw)?Sync/.test(text)) {
          found.push(join(folder, path).replaceAll("\\", "/"));
        }
      }
    }
    assertEquals(found, ["src/files/inflate.ts"]);
  });
});
