/**
 * Compiled decoding steps: the bits of ordinary ones, whatever happens in between, and no memory kept or taken.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { after, describe, it } from "node:test";
import { holdCollection } from "./_collection.ts";
import {
  type DType,
  GPT2,
  type GPT2Cache,
  manualSeed,
  memory,
  noGrad,
  randn,
  setThreads,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { parameter } from "../src/nn/mod.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import { getThreads } from "../src/runtime/devices.ts";
import { inFolder } from "./_gpt2.ts";

const before = getThreads();
after(() => setThreads(before));

/** A small model as files give it. */
async function load(dtype: DType): Promise<GPT2> {
  return await inFolder(async (folder) => {
    manualSeed(5);
    const sizes = { nLayer: 2, nEmbd: 64, nHead: 2, nPositions: 40, vocabSize: 90, eosTokenId: null };
    const made = noGrad(() => new GPT2(sizes));
    await made.save(folder);
    made.dispose();
    return await GPT2.load(folder, { dtype, device: "cpu" });
  });
}

/** Logits of one more token: as a compiled step, or on a device that captures nothing. */
async function step(model: GPT2, cache: GPT2Cache, id: number, compiled: boolean): Promise<Float32Array> {
  const backend = cpuBackend() as { capture?: unknown };
  if (!compiled) backend.capture = undefined;
  const logits = noGrad(() => model.forward([[id]], { cache, lastOnly: true }));
  if (!compiled) delete backend.capture;
  const values = await logits.data() as Float32Array;
  logits.dispose();
  return values;
}

describe("compiled steps", () => {
  for (const dtype of ["f32", "bf16", "q8", "q4"] as const) {
    it(`have the bits of ordinary ones, in ${dtype}, on any number of threads and after changes`, async () => {
      const model = await load(dtype), caches = [model.createCache(1, 40), model.createCache(1, 40)];
      const compare = async (id: number): Promise<void> => {
        const [known, found] = [
          await step(model, caches[0], id, false),
          await step(model, caches[1], id, true),
        ];
        assertEquals(found, known);
        assertStrictEquals(caches[0].length, caches[1].length);
      };
      for (let id = 0; id < 6; id++) await compare(id);
      assert(caches[1].steps.size === 1, "nothing was compiled");
      assert(caches[0].steps.size === 0);
      for (const threads of [1, 2, 3]) {
        setThreads(threads);
        await cpuBackend().engine.ready();
        for (let id = 0; id < 3; id++) await compare(id);
      }
      useDeterministicAlgorithms(true);
      for (let id = 0; id < 3; id++) await compare(id);
      useDeterministicAlgorithms(false);
      // Rows of quantised weights are put back where they are read.
      for (const p of model.parameters()) {
        await tidy(() => p.strides.at(-1) === 1 ? p : p.transpose(0, 1)).data();
      }
      for (let id = 0; id < 3; id++) await compare(id);
      caches[1].truncate(4);
      caches[0].truncate(4);
      for (let id = 0; id < 3; id++) await compare(id + 20);
      const old = model.ln_f.weight;
      model.ln_f.weight = parameter(randn([64]));
      for (let id = 0; id < 3; id++) await compare(id);
      old.dispose();
      for (const cache of caches) cache.dispose();
      model.dispose();
    });
  }

  it("of several texts have the bits of each alone", async () => {
    const model = await load("f32");
    const caches = Array.from({ length: 3 }, () => model.createCache(1, 40)),
      alone = model.createCache(1, 40);
    const text = [3, 8, 1, 70, 22, 5];
    for (const [i, cache] of caches.entries()) {
      noGrad(() => model.forward([text.slice(0, i + 2)], { cache, lastOnly: true })).dispose();
    }
    for (let i = 0; i < 4; i++) {
      const logits = noGrad(() => model.forward([[i], [i + 1], [i + 2]], { cache: caches }));
      const rows = await logits.data() as Float32Array;
      logits.dispose();
      alone.truncate(0);
      noGrad(() => model.forward([text.slice(0, 3)], { cache: alone, lastOnly: true })).dispose();
      let row = new Float32Array(0);
      for (let j = 0; j <= i; j++) row = await step(model, alone, j + 1, false) as Float32Array<ArrayBuffer>;
      assertEquals(rows.slice(90, 180), row);
    }
    assert(caches.every(({ steps }) => steps.size === 1));
    caches[1].dispose();
    assert(caches.every(({ steps }) => steps.size === 0));
    for (const cache of [caches[0], caches[2], alone]) cache.dispose();
    model.dispose();
  });

  it("keep nothing when their cache goes, and take no memory", async () => {
    const model = await load("f32"), { heap } = cpuBackend().engine;
    const free = (): number => {
      let bytes = 0;
      for (const block of heap.blocks()) if (block.free) bytes += block.bytes;
      return bytes - heap.capacity;
    };
    using _still = holdCollection();
    const use = async (): Promise<void> => {
      const cache = model.createCache(1, 40);
      for (let id = 0; id < 5; id++) await step(model, cache, id, true);
      const allocate = heap.allocate.bind(heap), taken: number[] = [];
      heap.allocate = (bytes) => {
        taken.push(bytes);
        return allocate(bytes);
      };
      const held = memory().cpu;
      for (let id = 0; id < 5; id++) await step(model, cache, id, true);
      heap.allocate = allocate;
      assertEquals(taken, []);
      assertEquals(memory().cpu, held);
      // Logits that somebody holds stay what they are.
      const logits = [50, 60, 70].map((id) => noGrad(() => model.forward([[id]], { cache, lastOnly: true })));
      cache.truncate(cache.length - 3);
      for (const [i, id] of [50, 60, 70].entries()) {
        assertEquals(await logits[i].data(), await step(model, cache, id, true));
        logits[i].dispose();
      }
      cache.dispose();
    };
    await use();
    const between = free();
    for (let i = 0; i < 3; i++) await use();
    assertStrictEquals(free(), between);
    model.dispose();
  });
});
