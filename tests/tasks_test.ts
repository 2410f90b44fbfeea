/**
 * The tasks of the repository tell what they take, and refuse what they do not know, before they do or install anything.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ferrotype } from "./_command.ts";
import { repository } from "./_data.ts";
import { isFull } from "./_width.ts";

const read = (file: string) => JSON.parse(readFileSync(join(repository, file), "utf8"));
const tasks = read("deno.json").tasks as Record<string, string>;
const files = Object.fromEntries(
  Object.entries(tasks).map(([name, line]) => [name, /(\S+\.ts)/.exec(line)![1]]),
);
const run = (file: string, args: string[]) => ferrotype(args, { file: join(repository, file) });

/** Calls that cannot be understood: a task, its arguments, and what is said of them. */
const wrong: [task: string, args: string[], message: RegExp][] = [
  ["fuzz", ["--minutes", "soon"], /^fuzz: --minutes is a number from 0, not "soon"$/m],
  ["fuzz", ["--seed", "-1"], /^fuzz: --seed is a whole number from 0, not "-1"$/m],
  ["fuzz", ["--mode", "fats"], /^fuzz: --mode is "fast", "deterministic" or "webgpu", not "fats"$/m],
  ["serve", ["--port", "65536"], /^serve: --port is a whole number from 0 to 65535, not "65536"$/m],
  ["bench", ["--only", "matmul,decod"], /^bench: --only is names .*decode.*, not "matmul,decod"$/m],
  ["bench", ["--rivals", "--no-rivals"], /^bench: --rivals has no effect because/m],
  ["compressed", ["a", "--steps", "no"], /^compressed: --steps is /m],
  ["tabular:ten", ["--sets", "irish"], /^tabular:ten: --sets is names .*iris.*, not "irish"$/m],
  ["test", ["--runtime", "nodejs"], /^test: --runtime is names .*node.*, not "nodejs"$/m],
  ["ok", ["--checks", "--jobs", "2"], /^ok: --jobs has no effect because --checks runs no test/m],
  ["ok", ["--checks", "gpt2"], /^ok: gpt2 has no effect because --checks runs no test/m],
  ["train:bundled", ["--setps", "3"], /^train:bundled has no option --setps; did you mean --steps\?$/m],
  ["generate", ["a", "b"], /^usage: /m],
];

describe("tasks", () => {
  it("are scripts of package.json, too", () => {
    const { scripts } = read("package.json") as { scripts: Record<string, string> };
    for (const [name, file] of Object.entries(files)) assert(scripts[name]?.includes(` ${file}`), name);
    assertEquals(Object.keys(scripts).filter((name) => !Object.hasOwn(files, name)), []);
  });

  for (const [name, file] of Object.entries(files)) {
    it(`${name} tells its options, and refuses others`, async () => {
      const refused = await run(file, ["--no-such"]);
      assertStrictEquals(refused.code, 2, refused.stdout + refused.stderr);
      assertStrictEquals(refused.stdout, "");
      assertMatch(refused.stderr, new RegExp(`^(${name}:? .*--no-such|usage: ${name})`));
      // That a task starts and reads its options is tried everywhere; what it then says is the same everywhere.
      if (!isFull) return;
      const told = await run(file, ["--help"]);
      assertStrictEquals(told.code, 0, told.stderr);
      assertMatch(told.stdout + told.stderr, new RegExp(`^(deno task|usage:) ${name}\\b`));
    });
  }

  it("refuse values that their options do not have", async () => {
    if (!isFull) return;
    for (const [name, args, message] of wrong) {
      const { code, stdout, stderr } = await run(files[name], args);
      assertStrictEquals(code, 2, `${name} ${args.join(" ")}: ${stdout}${stderr}`);
      assertStrictEquals(stdout, "");
      assertMatch(stderr, message);
    }
  });
});
