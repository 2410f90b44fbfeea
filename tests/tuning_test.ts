import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { cases, choose, ownName, type Speeds } from "../src/backends/cpu/choice.ts";
import { Generator } from "../src/core/random.ts";
import { cpuModel, runtimeName } from "../src/platform/platform.ts";
import {
  fileText,
  mostTuningBytes,
  parseEntries,
  rememberChoice,
  rememberedChoice,
  tuningPath,
} from "../src/runtime/tuning.ts";
import { repository } from "./_data.ts";
import { after, before, beforeEach, describe, it } from "./_suite.ts";

const table: Speeds[] = [
  { name: ownName, speeds: cases.map(() => 55.5) },
  { name: "oneDNN", speeds: cases.map((_, i) => 110 + i) },
  { name: "BLIS", speeds: cases.map(() => 0), refused: "it does not pass on NaN and Infinity" },
];
const choice = choose(table);
const variable = process.platform === "win32" ? "LOCALAPPDATA" : "XDG_CACHE_HOME";
const skip = cpuModel() ? false : "the processor has no name here";

describe("what is kept of a measurement", { skip }, () => {
  let folder = "";
  const saved = { ...process.env };
  before(() => folder = mkdtempSync(join(tmpdir(), "ferrotype-tuning-")));
  after(() => {
    rmSync(folder, { recursive: true });
    for (const name of [variable, "OPENBLAS_CORETYPE", "FERROTYPE_TUNE"]) {
      if (saved[name] === undefined) delete process.env[name];
      else process.env[name] = saved[name];
    }
  });
  beforeEach(() => {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    process.env[variable] = join(folder, "caches");
    delete process.env.OPENBLAS_CORETYPE;
    delete process.env.FERROTYPE_TUNE;
  });

  it("is found by the next process, in one small file and no other", () => {
    assertStrictEquals(rememberedChoice(), null);
    rememberChoice(choice, table);
    const known = rememberedChoice()!, path = tuningPath()!;
    assertEquals([known.choice, known.table], [choice, table]);
    assertEquals(readdirSync(dirname(path)), ["products.json"]);
    assert(readFileSync(path).length <= mostTuningBytes);
    // Where no library is faster, that is known too.
    const none = choose([table[0], table[2]]);
    rememberChoice(none, [table[0], table[2]]);
    assertEquals(rememberedChoice()!.choice, none);
  });

  it("is not of use where something is different", () => {
    rememberChoice(choice, table);
    process.env.OPENBLAS_CORETYPE = "Haswell";
    assertStrictEquals(rememberedChoice(), null);
    rememberChoice({ ...choice, why: "other kernels" }, table);
    assertStrictEquals(rememberedChoice()!.choice.why, "other kernels");
    delete process.env.OPENBLAS_CORETYPE;
    assertStrictEquals(rememberedChoice()!.choice.why, choice.why);
    process.env.FERROTYPE_TUNE = "again";
    assertStrictEquals(rememberedChoice(), null);
  });

  it("is passed over when the file is not whole, and written anew", () => {
    rememberChoice(choice, table);
    const path = tuningPath()!, whole = readFileSync(path, "utf8"), random = new Generator(4);
    const broken = ["", "{", "null", "[]", "7", '{"entries":7}', '{"entries":[null,7,{}]}', "x".repeat(5000)];
    for (let i = 0; i < 200; i++) {
      const at = Math.floor(random.uniform() * whole.length), length = Math.floor(random.uniform() * 40);
      broken.push(whole.slice(0, at));
      broken.push(whole.slice(0, at) + whole.slice(at + 1 + length));
      broken.push(whole.slice(0, at) + String.fromCharCode(32 + 90 * random.uniform()) + whole.slice(at + 1));
    }
    for (const text of broken) {
      for (const entry of parseEntries(text)) {
        // What is taken can be used: a library that was measured, speeds and limits that are numbers.
        const { library, leastRows, leastWork, leastQuantizedRows } = entry.choice;
        assert(library === null || entry.table.some(({ name }) => name === library), text);
        for (const least of [leastRows, leastWork, leastQuantizedRows]) assert(least >= 1, text);
        for (const { speeds } of entry.table) assertStrictEquals(speeds.length, cases.length, text);
      }
    }
    for (const text of broken.slice(0, 8)) {
      writeFileSync(path, text);
      assertStrictEquals(rememberedChoice(), null, text.slice(0, 40));
      rememberChoice(choice, table);
      assertEquals(rememberedChoice()!.choice, choice);
    }
  });

  it("is no more than there is room for, the latest first", () => {
    const entries = Array.from({ length: 40 }, (_, i) => ({ key: `machine ${i}`, choice, table }));
    const text = fileText(entries)!;
    assert(new TextEncoder().encode(text).length <= mostTuningBytes);
    const kept = parseEntries(text);
    assert(kept.length > 1 && kept.length < 40);
    kept.forEach((entry, i) => assertEquals(entry, entries[i]));
    assertStrictEquals(fileText([{ key: "m", choice: { ...choice, why: "x".repeat(9000) }, table }]), null);
  });

  it("is nothing where nothing may be written", () => {
    // A file lies where the folder would be.
    writeFileSync(process.env[variable]!, "");
    rememberChoice(choice, table);
    assertStrictEquals(rememberedChoice(), null);
    assertStrictEquals(readFileSync(process.env[variable]!, "utf8"), "");
  });

  it(
    "is neither read nor written without permission, and nobody is asked",
    { skip: runtimeName() === "deno" ? false : "only Deno has permissions" },
    () => {
      const code = `
        import { rememberChoice, rememberedChoice } from "./src/runtime/tuning.ts";
        rememberChoice(${JSON.stringify({ ...choice })}, ${JSON.stringify(table)});
        console.log(JSON.stringify(rememberedChoice()));`;
      for (
        const [permissions, kept] of [
          [["--allow-env=NOTHING"], false],
          [["--allow-env", "--allow-sys"], false],
          [["--allow-env", "--allow-sys", "--allow-read"], false],
          [["--allow-env", "--allow-sys", `--allow-write=${folder}`], false],
          [["--allow-env", "--allow-sys", `--allow-write=${folder}`, "--allow-read"], true],
        ] as const
      ) {
        const { stdout, stderr, status } = spawnSync(
          process.execPath,
          ["run", "--no-check", ...permissions, "-"],
          { cwd: repository, input: code, encoding: "utf8" },
        );
        assertStrictEquals(status, 0, stderr);
        assertStrictEquals(stderr, "");
        assertStrictEquals(stdout.trim() !== "null", kept, permissions.join(" "));
        // Deno has its own cache in the same folder.
        assertStrictEquals(
          existsSync(join(process.env[variable]!, "ferrotype")),
          kept,
          permissions.join(" "),
        );
      }
    },
  );
});
