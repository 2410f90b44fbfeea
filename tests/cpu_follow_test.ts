/** The cpu device's arithmetic is said whole, read back, and followed without a measurement. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { arithmeticText, readArithmetic } from "../src/backends/cpu/arithmetic.ts";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import { workerProductsSource } from "../src/backends/cpu/blas.ts";
import { type Reach, usualReach } from "../src/backends/cpu/choice.ts";
import type { BlasCandidates, NativeBlas } from "../src/backends/cpu/platform.ts";
import { libraryAt } from "../src/backends/cpu/pool_code.ts";
import { Generator } from "../src/core/random.ts";
import { testPlatform } from "./_cpu_platform.ts";

const random = new Generator(17);

/** Any reach. */
function someReach(): Reach {
  const least = (): number => 2 ** random.integer(0, 25);
  return {
    leastRows: least(),
    leastRowsTransposed: least(),
    leastWork: least(),
    leastQuantizedRows: random.integer(0, 2) ? least() : Infinity,
  };
}

/** A library that must not be called: nothing is measured here. */
const library = (title: string): NativeBlas => ({
  title,
  name: `${title} 1.0, some kernels (lib${title}.so)`,
  bgemm: null,
  addressOf: () => 0,
  threadSource: "() => null",
  sgemm() {
    throw new Error(`${title} was measured`);
  },
});

describe("the cpu device's arithmetic", () => {
  it("is read back as it was said, every part of it", () => {
    for (let round = 0; round < 200; round++) {
      const name =
        ["oneDNN 2.6.3, AVX-512 BF16, OpenMP (libdnnl.so.2)", "a by b, large ones (x) by y"][round % 2];
      const said = { own: "products added without rounding", library: { name, reach: someReach() } };
      assertEquals(readArithmetic(arithmeticText(said)), said);
    }
    const alone = { own: "products rounded before they are added", library: null };
    assertEquals(readArithmetic(arithmeticText(alone)), alone);
  });

  it("is another wherever one bound of what a library multiplies is another", () => {
    for (const key of Object.keys(usualReach) as (keyof Reach)[]) {
      const [one, other] = [3, 4].map((n) =>
        arithmeticText({ own: "x", library: { name: "y", reach: { ...usualReach, [key]: n } } })
      );
      assertStrictEquals(one === other, false, key);
    }
  });

  it("is followed where its library is there, whatever was chosen or is open, and nothing is measured", () => {
    const libraries = ["one", "other"].map(library);
    for (let round = 0; round < 20; round++) {
      const known = random.integer(0, 3);
      const candidates: BlasCandidates = {
        recall: () =>
          known === 2 ? null : {
            choice: { ...someReach(), library: libraries[known].title, why: "measured" },
            table: [],
            library: libraries[known],
          },
        open: () => libraries,
        remember: () => {
          throw new Error("it is no choice of this machine's");
        },
      };
      const backend = new CpuBackend({
        platform: { ...testPlatform(), openBlas: () => candidates },
        threads: 1,
      });
      // Deterministic mode apart, what rounds is the runtime's: it is read off a device that has no library.
      const { arithmetic: own } = new CpuBackend({ threads: 1 }), epoch = backend.engine.epoch;
      for (let turn = 0; turn < 4; turn++) {
        const wanted = random.integer(0, 3);
        const text = arithmeticText({
          own,
          library: wanted === 2 ? null : { name: libraries[wanted].name, reach: someReach() },
        });
        backend.follow(text);
        assertStrictEquals(backend.arithmetic, text);
        // What cannot be followed changes nothing.
        for (
          const not of [
            arithmeticText({ own, library: { name: "a third", reach: someReach() } }),
            arithmeticText({ own: "otherwise", library: { name: libraries[0].name, reach: someReach() } }),
            "nonsense",
          ]
        ) {
          backend.follow(not);
          assertStrictEquals(backend.arithmetic, text);
        }
      }
      assertStrictEquals(backend.engine.epoch > epoch, true, "what was captured goes on with other kernels");
    }
  });

  it("stays what the environment names", () => {
    const named = library("named");
    const backend = new CpuBackend({ platform: { ...testPlatform(), openBlas: () => named }, threads: 1 });
    const { own, library: used } = readArithmetic(backend.arithmetic);
    for (const other of [null, { name: "another", reach: someReach() }]) {
      backend.follow(arithmeticText({ own, library: other }));
      assertStrictEquals(backend.engine.blas.name, named.name);
      assertEquals(readArithmetic(backend.arithmetic).library, used);
    }
  });
});

describe("a worker's products", () => {
  it("are by the library that the main thread went on with", () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
    const { sgemm } = (0, eval)(`(memory) => (${workerProductsSource})`)(memory);
    const called: string[] = ((globalThis as Record<string, unknown>).calledHere = []);
    const product = (): number => sgemm(0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1);
    assertStrictEquals(product(), 0);
    ["first", "second", "first"].forEach((name, i) => {
      const at = 65_536 + 1024 * i;
      const text = new TextEncoder().encode(`() => ({ sgemm: () => globalThis.calledHere.push("${name}") })`);
      new Uint8Array(memory.buffer).set(text, at + 16);
      new Uint32Array(memory.buffer)[at / 4 + 2] = text.length;
      Atomics.store(new Int32Array(memory.buffer), libraryAt >> 2, at);
      assertStrictEquals(product() + product(), 2);
    });
    assertEquals(called, ["first", "first", "second", "second", "first", "first"]);
  });
});
