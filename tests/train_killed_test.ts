/**
 * `ferrotype train` killed at any moment and taken up again gives the model of a run that went through, byte for byte: before its
 * folder says anything, before the first checkpoint, in the middle of one, while the model is written; whatever was drawn before.
 */
import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import { rand } from "../mod.ts";
import { output } from "./_command.ts";
import { runDying } from "./_dies.ts";
import { inFewFiles } from "./_program.ts";
import { width } from "./_width.ts";

const seed = Number(process.env.FERROTYPE_SEED ?? 17);
const times = Number(process.env.FERROTYPE_KILLS ?? width(2, 1));

let folder = "", text = "";
const common = ["--block-size", "8", "--batch-size", "2", "--threads", "1", "--quiet", "--dropout", "0.1"];
const shape = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8"];
const initial = (): string[] => ["--init", join(folder, "initial")];
/** Kinds of runs. Each draws something: weights, an adapter, dropout, batches. */
const kinds: Record<string, () => string[]> = {
  "afresh": () => [...shape, ...common],
  "another family, with a vocabulary":
    () => [...shape, ...common, "--family", "llama", "--vocab-size", "260"],
  "from a model": () => [...initial(), ...common],
  "an adapter": () => [...initial(), "--lora", "2", ...common.slice(0, -2)],
};

/** What is in a model's folder but for the log, whose speeds are the clock's. The order of keys in JSON does not count. */
function contents(out: string): Record<string, unknown> {
  return Object.fromEntries(
    readdirSync(out).filter((name) => name !== "checkpoints" && name !== "log.jsonl").sort().map((name) => {
      const bytes = readFileSync(join(out, name));
      return [
        name,
        name.endsWith(".json")
          ? JSON.parse(bytes.toString())
          : createHash("sha256").update(bytes).digest("hex"),
      ];
    }),
  );
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-killed-"));
  text = join(folder, "text.txt");
  writeFileSync(text, "the cat sat on the mat. a dog ran to it. ".repeat(20));
  const args = ["train", text, "-o", join(folder, "initial"), ...shape, ...common, "--steps", "1"];
  await output(args);
  const settings = join(folder, "initial", "generation_config.json");
  writeFileSync(settings, JSON.stringify({ ...JSON.parse(readFileSync(settings, "utf8")), top_k: 7 }));
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe("a training run that is killed", () => {
  for (const [i, [name, options]] of Object.entries(kinds).entries()) {
    it(`goes on to the same model: ${name}, ${times} times`, async () => {
      const random = new Generator(seed + i), steps = ["--steps", "4", "--save-every", "2", "--seed", "3"];
      const begin = (
        out: string,
      ): string[] => ["train", text, "-o", join(folder, out), ...options(), ...steps];
      await output(begin(`whole-${i}`));
      const expected = contents(join(folder, `whole-${i}`));
      const goOn = async (out: string, when: string): Promise<void> => {
        // What was drawn in this process before is nothing to the run.
        rand([1 + random.integer(0, 9)]);
        await output(["train", text, "-o", out, "--resume", "--threads", "1", "--quiet"]);
        assertEquals(contents(out), expected, when);
      };
      // As it is between the settings and the first checkpoint.
      const early = join(folder, `early-${i}`);
      cpSync(join(folder, `whole-${i}`), early, {
        recursive: true,
        filter: (path) => !/model\.safetensors|step-|config\.json|log\.jsonl/.test(path.slice(folder.length)),
      });
      await goOn(early, "before its first checkpoint");
      for (let killed = 0, calls = 60; killed < times;) {
        const name = `killed-${i}-${killed}`, out = join(folder, name), at = 1 + random.integer(0, calls);
        const made = await runDying(await inFewFiles("tests/_killed_command.ts"), [
          String(at),
          ...begin(name),
        ]);
        if (made !== null) {
          calls = made;
          rmSync(out, { recursive: true, force: true });
          continue;
        }
        killed++;
        // Before its settings are there, nothing was begun.
        if (!existsSync(join(out, "training.json"))) await output(begin(name));
        else await goOn(out, `killed at call ${at}`);
      }
    });
  }
});
