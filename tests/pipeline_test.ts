/**
 * One model over several ranks, a part of its layers on each: the tokens are those of one process, whatever the family and the way to
 * generate, and each rank reads its own weights alone.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dealLayers } from "../src/distributed/pipeline.ts";
import { CausalLM, manualSeed } from "../mod.ts";
import { output } from "./_command.ts";
import { dataPath, repository } from "./_data.ts";
import { mpiRuns, onRanks } from "./_mpi.ts";
import { type Found, look } from "./_pipeline.ts";
import { inFewFiles } from "./_program.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing, width } from "./_width.ts";

const run = mpiRuns.find(({ skip }) => skip === false), skip = run ? false : mpiRuns[0].skip;
const bundled = join(repository, "web/models/shakespeare");

describe("layers", () => {
  it("are dealt out whole, in order, as evenly as they go", () => {
    assertEquals(dealLayers(7, 3), [[0, 3], [3, 5], [5, 7]]);
    for (let layers = 1; layers < 40; layers++) {
      for (let ranks = 1; ranks <= layers; ranks++) {
        const all = dealLayers(layers, ranks), sizes = all.map(([from, to]) => to - from);
        assertEquals(all.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i)), [
          ...Array(layers).keys(),
        ]);
        assert(Math.max(...sizes) - Math.min(...sizes) <= 1 && Math.min(...sizes) > 0);
      }
    }
  });
});

describe("a model over ranks", { skip }, () => {
  let folder = "", folders: string[] = [], alone: Found[];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-pipeline-"));
    // Families that differ in layers, norms, windows, states, and in whether the output layer is the embeddings.
    const recorded = width(["gemma3", "gpt_neox", "phi3"], ["qwen3"]);
    folders = [...recorded.map((name) => dataPath("families", name)), bundled];
    manualSeed(5);
    for (const family of width(["lfm2", "qwen3_next", "llama"], ["lfm2"])) {
      const sizes = { vocabSize: 64, contextLength: 64, width: 32, layers: 8, heads: 2 };
      using model = await CausalLM.fromSizes(family, sizes);
      await model.save(join(folder, family));
      folders.push(join(folder, family));
    }
    alone = await look(folders);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const over = async (ranks: number, what: readonly string[]): Promise<Found[][]> => {
    const out = join(folder, "found");
    const { code, stderr } = await onRanks(run!, ranks, await inFewFiles("tests/_pipeline.ts"), [
      JSON.stringify(what),
      out,
    ]);
    assertStrictEquals(code, 0, stderr);
    return Array.from(
      { length: ranks },
      (_, rank) => JSON.parse(readFileSync(`${out}.${rank}.json`, "utf8")),
    );
  };

  it("gives the tokens of one process on two ranks, of which each reads and holds its own part", async () => {
    const found = await over(2, folders);
    folders.forEach((name, i) => {
      const [first, last] = found.map((rank) => rank[i]), whole = alone[i];
      for (const part of [first, last]) {
        assertEquals(part.ids, whole.ids, name);
        assertEquals([part.programs, whole.programs], [1, 1], `${name}: a step is one program on each rank`);
        assertMatch(part.refused, /^loss: the layers of this model are on several ranks/);
        assert(part.parameters < 0.7 * whole.parameters && part.bytes < 0.7 * whole.bytes, name);
      }
      // Nothing is left out, and nothing but a table that both ends need is there twice.
      assert(first.parameters + last.parameters >= whole.parameters, name);
      assert(first.bytes + last.bytes >= whole.bytes, name);
    });
    assertStrictEquals(alone[0].refused, "");
  });

  it("gives them on three, one of which has neither end", { skip: asksNothing }, async () => {
    const names = folders.slice(-4).filter((name) => !/lfm2|qwen3_next/.test(name)),
      found = await over(3, names);
    names.forEach((name, i) => {
      for (const rank of found) assertEquals(rank[i].ids, alone[folders.indexOf(name)].ids, name);
      const [, { parameters }] = found.map((rank) => rank[i]);
      assert(parameters < 0.4 * alone[folders.indexOf(name)].parameters, name);
    });
  });

  it("is what generate does under a launcher: rank 0 prints what one process prints, or why not", async () => {
    const main = await inFewFiles("cli/main.ts"), args = ["generate", "ROMEO:", "-n", "8"];
    const ways = [
      ["--temperature", "0.9", "--seed", "4"],
      // Where nothing is drawn there is no seed, whoever says so.
      ["--num-beams", "2"],
      ...width([
        ["--temperature", "0"],
        ["--penalty-alpha", "0.6", "--top-k", "4"],
        ["--model", withBeams()],
      ], []),
    ];
    for (const way of ways) {
      const one = await output([...args, ...way]), two = await onRanks(run!, 2, main, [...args, ...way]);
      assertEquals([two.code, two.stdout], [0, one], `${way}: ${two.stderr}`);
    }
    const bad: [string[], RegExp][] = [
      [["--max-time", "9"], /generate: --max-time ends ranks at different tokens; leave it out\n/],
      ...width<[string[], RegExp][]>([
        [
          ["--lora", "x"],
          /generate: --lora: adapters are not split .*model\.mergeAdapter\(\) and model\.save\(DIR\)\n/,
        ],
        [["--device", "webgpu"], /generate: --device webgpu: layers are split over ranks on the cpu alone; /],
        [["--model", join(folder, "nowhere")], /rank 0 on .*nowhere" is neither a folder/],
        [["--seed", "3", "--num-beams", "2"], /--seed has no effect because nothing is drawn/],
        [
          ["--model", dataPath("families", "phi3-longrope")],
          /this Phi-3 computes depends on more.*start one\n/,
        ],
        [
          ["--model", missingLayer()],
          /does not hold the GPT-2 from layer 3 on, which is 0 here, that .*missing: h\.1\./,
        ],
      ], []),
    ];
    await Promise.all(bad.map(async ([more, says]) => {
      const { code, stdout, stderr } = await onRanks(run!, 2, main, [...args.slice(0, 2), ...more]);
      assert(code !== 0 && stdout === "", stdout);
      assertMatch(stderr, says);
      assertEquals(stderr.match(/^ferrotype: /gm)?.length, 1, stderr);
    }));
  });

  /** A model whose own file asks for beams. */
  function withBeams(): string {
    const path = join(folder, "beams");
    cpSync(bundled, path, { recursive: true });
    writeFileSync(join(path, "generation_config.json"), JSON.stringify({ num_beams: 3 }));
    return path;
  }

  /** A model whose config.json has a layer more than its weights. */
  function missingLayer(): string {
    const path = join(folder, "missing");
    cpSync(bundled, path, { recursive: true });
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, n_layer: config.n_layer + 1 }));
    return path;
  }
});
