/**
 * The lessons in `examples/` run and show what they say.
 */
import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ferrotype } from "./_command.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";
import { findRuntimes, runtimeKinds } from "./_runtimes.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

/** What each lesson must show. */
const lessons: Record<string, RegExp[]> = {
  "01_tensor.ts": [/^Tensor \[2, 3\] f32 on cpu$/m, /bytes bf16 12$/m, /left by tidy 1 buffer/],
  "02_gradients.ts": [/\[ 2, 4, 6 \]/, /at 2: 8 \[ 12 \] \[ 12 \]/, /['"]3\.000['"], ['"]-1\.000['"]/],
  "03_train_mlp.ts": [
    /^0 xor 0: 0\.0\d; 0 xor 1: (0\.9\d|1\.00); 1 xor 0: (0\.9\d|1\.00); 1 xor 1: 0\.0\d$/m,
  ],
  "04_safetensors.ts": [
    /^read to open: \d{3} bytes$/m,
    /^ten rows: 40 bytes$/m,
    /lesson\.safetensors\.index\.json/,
  ],
  "05_train_gpt.ts": [/^step 200: loss 0\.[01]\d\d$/m, /^Jack and Jill went up the hill/m],
  "06_generate_options.ts": [/^56 positions computed for 57 tokens$/m, /^5 pieces, then CancelledError$/m],
  "generate.ts": [/^ROMEO:[\s\S]{400}\n$/],
};
const needsModel = ["06_generate_options.ts", "generate.ts"];
const bundled = existsSync(join(repository, "web", "models", "shakespeare", "model.safetensors"));

const node = runtimeName() === "node";

async function show(name: string, args: string[] = []): Promise<string> {
  const { code, stdout, stderr } = await ferrotype(args, { file: join(repository, "examples", name) });
  assertStrictEquals(code, 0, stderr);
  return stdout;
}

describe("the lesson", () => {
  for (const [name, patterns] of Object.entries(lessons).slice(0, width(Infinity, 4))) {
    const skip = needsModel.includes(name) && !bundled ? "the bundled model is not there" : false;
    it(`${name} shows what it says`, { skip }, async () => {
      const text = await show(name);
      for (const pattern of patterns) assertMatch(text, pattern);
    });
  }

  const { found } = node ? findRuntimes(runtimeKinds, false) : { found: [] };
  const alone = !bundled
    ? "the bundled model is not there"
    : !node
    ? "Node compares the runtimes"
    : found.length < 2
    ? "there is one runtime only"
    : false;
  it("generate.ts prints the same text on every runtime", { skip: alone }, async () => {
    const texts = await Promise.all(found.map(({ kind, path }) => {
      const file = join(repository, "examples", "generate.ts"),
        before = kind.name === "deno" ? ["run", "-A"] : [];
      return promisify(execFile)(path, [...before, file, "JULIET:"]);
    }));
    for (const { stdout } of texts) assertStrictEquals(stdout, texts[0].stdout);
    assertMatch(texts[0].stdout, /^JULIET:[\s\S]{400}\n$/);
  });

  it("has a test, whichever it is", () => {
    assertEquals(readdirSync(join(repository, "examples")).sort(), Object.keys(lessons).sort());
  });
});
