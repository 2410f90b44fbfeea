import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { commands } from "../cli/commands/mod.ts";
import { loaders } from "../cli/commands/table.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

describe("the start of the command", () => {
  it("finds every command by its name", async () => {
    assertEquals([...loaders.keys()], commands.map(({ name }) => name));
    for (const command of commands) assertStrictEquals(await loaders.get(command.name)!(), command);
  });

  // Node says which modules it loads; the others load the same.
  const skip = runtimeName() === "node" ? false : "only Node tells which modules it loads";

  /** The files of the package that a call of the command loads. */
  function loaded(...args: string[]): string[] {
    const hook = `import { registerHooks } from "node:module";
      const seen = [];
      registerHooks({ load(url, context, next) { seen.push(url); return next(url, context); } });
      process.on("exit", () => process.stderr.write("loaded " + JSON.stringify(seen) + "\\n"));`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(hook)}`, "cli/main.ts", ...args],
      { cwd: repository, encoding: "utf8" },
    );
    assertStrictEquals(status, 0, stderr);
    const all = JSON.parse(/^loaded (.*)$/m.exec(stderr)![1]) as string[];
    const own = all.flatMap((url) => /\/((?:src|cli)\/.*|mod\.ts)$/.exec(url)?.[1] ?? []);
    assert(own.includes("cli/main.ts"), stderr);
    return own;
  }

  it("loads for one text only what speaks", { skip }, () => {
    const files = loaded("generate", "ROMEO:", "-n", "2");
    const needless = [
      "mod.ts",
      ...[
        "onnx",
        "tabular",
        "train",
        "optim",
        "landscape",
        "distributed",
        "backends/webgpu",
        "backends/reference",
      ]
        .map((room) => `src/${room}/`),
      ...["serve", "batch"].map((room) => `cli/${room}/`),
    ];
    for (const file of files) for (const room of needless) assert(!file.startsWith(room), file);
    assertEquals(files.filter((file) => file.startsWith("cli/commands/")).sort(), [
      "cli/commands/generate.ts",
      "cli/commands/table.ts",
    ]);
    // A budget: what is added to it should be what a text needs.
    assert(files.length <= 512, `${files.length} files`);
  });

  it("loads nothing of the library to tell its version", { skip }, () => {
    const files = loaded("--version");
    for (const file of files) assert(/^(cli|src\/core|src\/platform)\//.test(file), file);
  });
});
