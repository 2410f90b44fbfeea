/**
 * What loading and saving say of a file that does not quite fit, for models of every family: heads for other tasks, and
 * matrices without whole blocks.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { join } from "node:path";
import {
  CausalLM,
  convertToGguf,
  copySafetensors,
  FormatError,
  manualSeed,
  memory,
  noGrad,
  openGguf,
  openSafetensors,
  randn,
  saveGguf,
  saveSafetensors,
  type Tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { familyNames } from "../src/models/registry.ts";
import { inFolder } from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";

const device = "cpu" as const, ids = [3, 14, 15, 9, 26, 5];

async function logitsOf(model: CausalLM): Promise<Float32Array> {
  using logits = noGrad(() => model.forward([ids]));
  return await logits.data() as Float32Array;
}

/** Names of heads for other tasks, as transformers, TRL and Medusa write them. */
const heads = [
  "score.weight",
  "classifier.dense.weight",
  "qa_outputs.bias",
  "v_head.summary.weight",
  "multiple_choice_head.summary.weight",
  "medusa_head.0.1.weight",
];

/** Adds tensors of random shapes to the file at `path`. */
async function add(path: string, names: readonly string[], random: Generator): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  {
    await using file = await openSafetensors(path);
    for (const name of file.names) tensors[name] = await file.tensor(name, { device });
  }
  for (const name of names) {
    tensors[name] = randn([1 + random.integer(0, 3), 8].slice(random.integer(0, 2)), { device });
  }
  await saveSafetensors(path, tensors);
  for (const t of Object.values(tensors)) t.dispose();
}

describe("a file with more than its model", () => {
  familyNames.forEach((family, i) => {
    it(`${family}: heads for other tasks are told of and left out; what is inside the network is refused`, async () => {
      const random = new Generator(31 + i);
      manualSeed(i);
      const sizes = { vocabSize: 40, contextLength: 32, width: 32, layers: 2, heads: 2 };
      using model = await CausalLM.fromSizes(family, { ...sizes, endTokenId: 0 }, { device });
      model.eval();
      const known = await logitsOf(model);
      await inFolder(async (folder) => {
        await model.save(folder);
        const path = join(folder, "model.safetensors"),
          extra = heads.filter(() => random.integer(0, 2) === 0);
        extra.push("score.bias");
        await add(path, extra, random);
        const told: string[] = [],
          load = () => CausalLM.load(folder, { device, onWarning: (message) => void told.push(message) });
        {
          using again = await load();
          // Laid out for reading, the weights of an output are summed up in another order.
          (await logitsOf(again)).forEach((x, i) => assertAlmostEquals(x, known[i], 1e-6));
        }
        assertStrictEquals(told.length, 1, told.join("\n"));
        assertMatch(told[0], /also holds .*is no part of .*not used$/);
        assert(extra.slice(0, 5).sort().some((name) => told[0].includes(name)));
        // A bias that the network has not would change what it computes.
        const inside = Object.keys(model.stateDict()).filter((name) =>
          /layers?\.0|h\.0/.test(name) && name.endsWith("weight")
        );
        await add(path, [`${inside[random.integer(0, inside.length)].replace(/weight$/, "")}extra`], random);
        await assertRejects(load, FormatError, "unexpected");
      });
    });
  });

  it("a GGUF's are too", async () => {
    const random = new Generator(5);
    manualSeed(3);
    const sizes = { vocabSize: 40, contextLength: 32, width: 32, layers: 1, heads: 2 };
    using model = await CausalLM.fromSizes("qwen2", { ...sizes, endTokenId: 0 }, { device });
    const known = await logitsOf(model.eval() as CausalLM);
    await inFolder(async (folder) => {
      const path = join(folder, "model.gguf"), more = join(folder, "more.gguf"), told: string[] = [];
      await model.save(join(folder, "model"));
      await add(join(folder, "model", "model.safetensors"), ["score.weight"], random);
      const onWarning = (message: string): void => void told.push(message);
      await convertToGguf(join(folder, "model"), path, { onWarning });
      assertMatch(told.shift()!, /score\.weight .*not used$/);
      told.length = 0;
      for (const name of ["cls.output.weight", "blk.0.attn_q_norm.weight"]) {
        await using file = await openGguf(path);
        const tensors: Record<string, Tensor> = { [name]: randn([16], { device }) };
        for (const own of file.names) tensors[own] = await file.tensor(own, { device });
        await saveGguf(more, tensors, { metadata: file.notes });
        for (const t of Object.values(tensors)) t.dispose();
        const load = () => CausalLM.load(more, { device, onWarning });
        if (name.startsWith("blk.")) await assertRejects(load, FormatError, name);
        else {
          using again = await load();
          assertEquals(await logitsOf(again), known);
          assertStrictEquals(told.length, 1);
          assertMatch(told[0], /cls\.output\.weight \[16\], which is no part of Qwen 2/);
        }
      }
    });
  });
});

describe("widths that fill no blocks", () => {
  for (const family of ["gpt2", "llama", "phi3", "gpt_neox"]) {
    it(`${family}: which matrices stay as they were is said in one line, loading, saving and copying`, async () => {
      manualSeed(9);
      const sizes = { vocabSize: 40, contextLength: 32, width: 48, layers: 2, heads: 2, endTokenId: 0 };
      using model = await CausalLM.fromSizes(family, sizes, { device });
      await inFolder(async (folder) => {
        const told: string[] = [], onWarning = (message: string): void => void told.push(message);
        const expectOne = (): void => {
          assertStrictEquals(told.length, 1, told.join("\n"));
          assertMatch(
            told.pop()!,
            /: \S+(?: and \d+ more)? stays? f32 under q[48]: sums run over \d+ values, and blocks have 32$/,
          );
        };
        await model.save(folder, { onWarning });
        assertEquals(told, []);
        for (const dtype of ["q8", "q4"] as const) {
          using held = await CausalLM.load(folder, { device, dtype, onWarning });
          expectOne();
          const count = held.parameters().filter((p) => p.dtype === dtype).length;
          await held.save(join(folder, dtype), { onWarning, dtype });
          expectOne();
          using again = await CausalLM.load(join(folder, dtype), { device, onWarning });
          assertStrictEquals(again.parameters().filter((p) => p.dtype === dtype).length, count);
          assertEquals(told, []);
          await using file = await openSafetensors(join(folder, "model.safetensors"));
          await copySafetensors(file, join(folder, "copy.safetensors"), { dtype, onWarning });
          expectOne();
        }
      });
    });
  }
});

describe("what a GGUF's weights take", () => {
  // Rows of 288 fill no blocks of 256: as Q4_K they are Q5_0 in the file, as those of Qwen 2 of 0.5 billion are.
  const sizes = { vocabSize: 4096, contextLength: 8192, width: 288, layers: 2, heads: 9, endTokenId: 0 };
  const held = (): number => memory().cpu?.bytes ?? 0;
  for (const family of ["llama", "qwen2", "phi3"]) {
    for (const dtype of ["q8_0", "q4_0", "q4_k", "q6_k", "f16"] as const) {
      it(`${family} in ${dtype}: what they take in the file, once, and the positions that are in use`, async () => {
        await inFolder(async (folder) => {
          const path = join(folder, "model.gguf"), onWarning = (): void => {};
          {
            manualSeed(4);
            using made = await CausalLM.fromSizes(family, sizes, { device });
            await made.save(join(folder, "model"));
          }
          await convertToGguf(join(folder, "model"), path, { dtype, onWarning });
          let stored = 0;
          {
            await using file = await openGguf(path);
            for (const name of file.names) stored += file.info(name).byteLength;
          }
          const before = held();
          using model = await CausalLM.load(path, { device, onWarning });
          const taken = held() - before;
          assert(taken <= 1.05 * stored, `${taken} bytes for weights that take ${stored} in the file`);
          await model.completion([1, 2, 3, 4, 5], { maxNewTokens: 4, doSample: false, eosTokenId: [] });
          // A cache of all 8192 positions would take 4 MiB a layer at least.
          const kept = held() - before - taken;
          assert(kept <= 2 ** 20, `${kept} bytes are kept after a completion of nine positions`);
        });
      });
    }
  }
});
