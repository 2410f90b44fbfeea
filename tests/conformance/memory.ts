/** Memory: what is put in comes out, and is counted. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { it } from "node:test";
import type { Part } from "./suite.ts";

/** Memory. */
export const memory: Part = (open) => {
  it("keeps bytes, whole and in part", async () => {
    const { backend } = open();
    const buffer = backend.allocate(100), bytes = Uint8Array.from({ length: 100 }, (_, i) => i * 3);
    backend.upload(buffer, 0, bytes);
    backend.upload(buffer, 10, Uint8Array.of(1, 2, 3));
    const expected = Uint8Array.from(bytes);
    expected.set([1, 2, 3], 10);
    assertEquals([...await backend.download(buffer, 0, 100)], [...expected]);
    assertEquals([...await backend.download(buffer, 9, 5)], [...expected.subarray(9, 14)]);
    if (backend.mapped) {
      const mapped = backend.mapped(buffer);
      assertEquals([...mapped], [...expected]);
      mapped[99] = 77;
      assertEquals([...await backend.download(buffer, 99, 1)], [77]);
    }
    backend.release(buffer);
  });

  it("a download is a copy of its own", async () => {
    const { backend } = open();
    const buffer = backend.allocate(8);
    backend.upload(buffer, 0, new Uint8Array(8));
    const first = await backend.download(buffer, 0, 8);
    backend.upload(buffer, 0, new Uint8Array(8).fill(9));
    assertEquals([...first], [0, 0, 0, 0, 0, 0, 0, 0]);
    backend.release(buffer);
  });

  it("counts buffers and bytes", () => {
    const { backend } = open();
    const before = backend.memory();
    const buffers = [10, 4096, 100_000, 0].map((n) => backend.allocate(n));
    const now = backend.memory();
    assertStrictEquals(now.buffers - before.buffers, 4);
    assert(now.bytes - before.bytes >= 104_106 && now.bytes - before.bytes < 110_000);
    for (const buffer of buffers) backend.release(buffer);
    assertEquals(backend.memory(), before);
  });
};
