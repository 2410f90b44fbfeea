/**
 * The command with models of every kind: from folders and GGUFs, trained anew, trained on, and served.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CausalLM } from "../mod.ts";
import { json, output } from "./_command.ts";
import { dataPath, readDataJson } from "./_data.ts";
import { inFolder } from "./_gpt2.ts";

const of = (name: string): string => dataPath("families", name);

interface Golden {
  prompts: { single: { ids: number[][]; last_logits: number[][] } };
  greedy: { ids: number[] };
}

describe("the command, with a model of any family", () => {
  for (
    const [family, file] of [["qwen3", "qwen3"], ["gpt_neox", "gpt_neox.gguf"], ["llama3", "llama3.gguf"]]
  ) {
    it(`${file}: generates, gives logits, explains itself`, async () => {
      const { prompts, greedy } = readDataJson<Golden>("families", family, "golden.json");
      const prompt = ["--model", of(file), "--prompt-ids", prompts.single.ids[0].join()];
      const made = await json<{ ids: number[]; dtype: string }>(
        ["generate", ...prompt, "--temperature", "0", "-n", String(greedy.ids.length), "--json"],
      );
      assertEquals(made.ids, greedy.ids);
      assertStrictEquals(made.dtype, "f32");
      const { last } = await json<{ last: number[] }>(["logits", ...prompt, "--json"]);
      const expected = prompts.single.last_logits[0];
      assert(last.every((value, i) => Math.abs(value - expected[i]) < 4e-5));
      assert((await output(["explain", "--model", of(file)])).includes("attentionStep"));
      assert((await output(["explain", "--train", "--model", of(file), "--block-size", "8"])).length > 1000);
    });
  }

  it("trains one, goes on, and trains on from what came of it", async () => {
    await inFolder(async (folder) => {
      const text = join(folder, "text.txt"), one = join(folder, "one"), two = join(folder, "two");
      writeFileSync(text, "to be or not to be, that is the question.\n".repeat(80));
      const sizes = ["--n-layer", "1", "--n-head", "2", "--n-embd", "32", "--block-size", "16"];
      const rest = ["--batch-size", "4", "--steps", "12", "--quiet", "--json"];
      const train = ["train", text, "-o", one, "--family", "gemma2", ...sizes, ...rest];
      const begun = await json<{ step: number }>([...train, "--stop-after", "5"]);
      assertStrictEquals(begun.step, 5);
      const { loss } = await json<{ loss: number }>([...train, "--resume"]);
      const config = JSON.parse(readFileSync(join(one, "config.json"), "utf8"));
      assertStrictEquals(config.model_type, "gemma2");
      const tuned = await json<{ loss: number }>([
        "train",
        text,
        "-o",
        two,
        "--init",
        one,
        "--lr",
        "0.01",
        ...rest,
      ]);
      assert(tuned.loss < loss, `${tuned.loss} after ${loss}`);
      using model = await CausalLM.load(two);
      assertStrictEquals(model.family, "gemma2");
      assertStrictEquals((await model.complete("to be", { maxNewTokens: 5 })).length, 5);
      const found = await json<{ perplexity: number }>(["eval", text, "--model", two, "--json"]);
      assert(found.perplexity > 1 && found.perplexity < 30);
    });
  });
});
