/**
 * The examples in the README, in the documentation and in the comments of the sources run, and links lead somewhere.
 *
 * A block with imports, and any of a page, runs as it stands. A comment's block without them is a fragment: it gets whatever
 * it names of `mod.ts`, and from the table below what it takes for granted. A fragment that names anything else fails here.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { buildSite, linkSources, writeReference } from "../docs/build.ts";
import * as ferrotype from "../mod.ts";
import { familyNames } from "../src/models/registry.ts";
import { repository } from "./_data.ts";
import { promises, table } from "./promises.ts";
import { after, before, describe, it } from "./_suite.ts";

/** What the fragments of a file take for granted. */
const given: Record<string, string> = {
  "src/ops/attention.ts": "const [batch, heads, time, width] = [2, 3, 5, 4];\n" +
    "const [q, k, v] = [1, 2, 3].map((seed) => randn([batch, heads, time, width], { seed }));",
  "src/ops/einsum.ts": "const q = randn([2, 3, 5, 4]), k = randn([2, 3, 6, 4]), matrix = randn([4, 4]);",
  "src/ops/index.ts": "const logits = randn([2, 3, 5]);",
  "src/ops/losses.ts":
    "const vocabSize = 7, model = new GPT2({ vocabSize, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 2 });\n" +
    "const ids = randint(7, [2, 5]), next = randint(7, [2, 5]);",
  "src/ops/transforms/checkpoint.ts":
    "const ln = new nn.LayerNorm(4), mlp = new nn.MLP([4, 8, 4]), x = randn([2, 4]);",
  "src/ops/transforms/loops.ts": "const w = randn([3]), batch = randn([5, 3]);",
  "src/ops/views.ts": "const x = randn([3, 4, 5]);",
  "src/runtime/examples/open.ts":
    'const file = new TextEncoder().encode(`{"prompt": "the cat", "completion": " sat"}\\n`.repeat(20)), steps = 1;\n' +
    'const model = await GPT2.load("web/models/shakespeare", { dtype: "f32" });\n' +
    "const optimizer = new optim.AdamW(model.parameters());",
  "src/runtime/summary_writer.ts":
    'const folder = (await import("node:url")).fileURLToPath(new URL("./board/", import.meta.url));',
  "src/runtime/text_model.ts":
    'const { cp, writeFile } = await import("node:fs/promises"), chatty = new URL("./chatty/", import.meta.url);\n' +
    'await cp("web/models/shakespeare", chatty, { recursive: true });\n' +
    'await writeFile(new URL("chat_template.jinja", chatty), "{% for m in messages %}{{ m.content }}\\n{% endfor %}");\n' +
    "const model = await GPT2.load(chatty), print = console.log;",
  "src/tensor/capture/compile.ts": "const model = new nn.Linear(3, 2), batch = randn([4, 3]);\n" +
    "const optimizer = new optim.AdamW(model.parameters());",
  "src/tensor/lifetime.ts": "const model = new nn.Linear(3, 2), ids = randn([4, 3]), target = randn([4, 2]);",
  "src/train/trainer.ts":
    'const model = await GPT2.load("web/models/shakespeare"), folder = new URL("./averaged/", import.meta.url);\n' +
    "const run = async (f: () => Promise<void>) => await f(), trainer = { averaged: run, quantized: run };",
  "src/tensor/tape.ts": "const model = new nn.Linear(3, 2), x = randn([4, 3]), y = randint(2, [4]);",
};

/** Fragments that show the inside of a kernel or a whole run; they make sense where they stand. */
const insides = /^src\/(backends|tabular|landscape)\//;

interface Block {
  file: string;
  line: number;
  code: string;
  /** What the page says that it prints. */
  prints: string | null;
}

/** The blocks of TypeScript in a file. */
function blocksOf(file: string): Block[] {
  const text = readFileSync(join(repository, file), "utf8");
  return [...text.matchAll(/^(?: *\* )?```ts\n([\s\S]*?)^ *(?:\* )?```/gm)].map((found) => ({
    file,
    line: text.slice(0, found.index).split("\n").length,
    prints: /^\s*prints\s*```text\n([\s\S]*?)```/.exec(text.slice(found.index + found[0].length))?.[1] ??
      null,
    code: file.endsWith(".md") ? found[1] : found[1].replaceAll(/^ *\* ?/gm, ""),
  }));
}

/** `expression; // value`: what the comment says is held against what comes out. */
const claim =
  /^((?!const |let |using |await using |console\.|\/\/).*); \/\/ (\[.*\]|-?[\d.]+|true|false|"[^"]*")$/gm;

/** Throws unless `actual`, a tensor's values with four decimals, is what the example says. */
async function show(actual: unknown, expected: unknown): Promise<void> {
  const rounded = (x: unknown): unknown =>
    Array.isArray(x) ? x.map(rounded) : typeof x === "number" ? Math.round(x * 1e4) / 1e4 + 0 : x;
  const value = actual instanceof ferrotype.Tensor ? await actual.toArray() : actual;
  assertEquals(rounded(value), expected);
}

/** The block as a module that runs from anywhere. */
function moduleOf(block: Block): string {
  const { file } = block;
  const code = block.code.replaceAll(claim, "await globalThis.claim($1, $2);");
  const library = pathToFileURL(join(repository, "mod.ts")).href;
  // What a page shows is copied from there, and is whole.
  if (/^import /m.test(code) || file.endsWith(".md")) {
    const near = pathToFileURL(`${dirname(join(repository, file))}/`).href;
    return code.replaceAll('"@ferrotype/ferrotype"', `"${library}"`).replaceAll('from "./', `from "${near}`);
  }
  const body = `${given[file] ?? ""}\n${code}`;
  const declared = [...code.matchAll(/\b(?:const|let|using|function|class)\s+(\w+)/g)].map(([, name]) =>
    name
  );
  const names = Object.keys(ferrotype).filter((name) =>
    new RegExp(`\\b${name}\\b`).test(body) && !declared.includes(name)
  );
  // A line of the table gives way to a declaration of the fragment's own.
  const lines = (given[file] ?? "").split("\n").filter((line) =>
    !declared.includes(/^const (\w+)/.exec(line)?.[1] ?? "")
  );
  return `import { ${names.join(", ")} } from "${library}";\n${lines.join("\n")}\n${code}`;
}

const sources = [
  "mod.ts",
  ...["src", "cli"].flatMap((room) =>
    readdirSync(join(repository, room), { recursive: true, encoding: "utf8" })
      .map((name) => `${room}/${name.replaceAll("\\", "/")}`)
      .filter((name) => name.endsWith(".ts"))
  ).sort(),
];
const pages = readdirSync(join(repository, "docs"), { recursive: true, encoding: "utf8" })
  .map((name) => `docs/${name.replaceAll("\\", "/")}`)
  .filter((name) => name.endsWith(".md") && !name.startsWith("docs/site/")).sort();
const blocks = ["README.md", "CONTRIBUTING.md", ...pages, ...sources].flatMap(blocksOf);
const bundled = existsSync(join(repository, "web", "models", "shakespeare", "model.safetensors"));

describe("the example", () => {
  let folder = "";
  const logged: unknown[][] = [], log = console.log, cwd = process.cwd();
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
    // Examples name the bundled model as one does in the repository.
    process.chdir(repository);
    Object.assign(globalThis, { claim: show });
    console.log = (...values: unknown[]) => void logged.push(values);
  });
  after(() => {
    console.log = log;
    process.chdir(cwd);
    rmSync(folder, { recursive: true, force: true });
  });

  blocks.forEach((block, i) => {
    const { file, line, code, prints } = block;
    if (insides.test(file) && !/^import /m.test(code)) return;
    const needsModel = /web\/models\/shakespeare/.test(`${code}${given[file] ?? ""}`) ||
      file === "src/runtime/safetensors.ts";
    const skip = needsModel && !bundled ? "the bundled model is not there" : false;
    it(`at ${file}:${line} runs`, { skip }, async () => {
      mkdirSync(folder, { recursive: true });
      const path = join(folder, `example${i}.ts`);
      writeFileSync(
        path,
        moduleOf(block).replaceAll('"model.safetensors"', '"web/models/shakespeare/model.safetensors"'),
      );
      logged.length = 0;
      await import(pathToFileURL(path).href);
      if (prints !== null) assertEquals(`${logged.map((values) => values.join(" ")).join("\n")}\n`, prints);
      if (file !== "README.md") return;
      // The README says what the first line prints.
      assertEquals(logged[0], [[[7, 11], [9, 13]]]);
      assert(logged.length > 3);
    });
  });

  it("of ten lines has ten", () => {
    const [{ code }] = blocks.filter(({ file }) => file === "README.md");
    assertStrictEquals(code.trim().split("\n").filter((line) => line.trim() !== "").length, 10);
  });

  it("is there at all", () => {
    assert(blocks.filter(({ file }) => file === "README.md").length >= 1);
    assert(blocks.length > 10);
    assert(blocks.some(({ prints }) => prints !== null));
  });
});

describe("the documentation", () => {
  it("becomes a site whose links lead somewhere", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-site-"));
    try {
      assert(await buildSite(folder) > pages.length);
      // As `deno doc` writes it, which names the disk that it read.
      mkdirSync(join(folder, "api/~"), { recursive: true });
      const source = pathToFileURL(join(repository, "src/core/shape.ts")).href.replaceAll("/", "&#x2F;");
      writeFileSync(join(folder, "api/~/Shape.html"), `<a href="${source}">source</a>`);
      linkSources(folder);
      const [, link] = /href="([^"]*)"/.exec(readFileSync(join(folder, "api/~/Shape.html"), "utf8"))!;
      assertMatch(readFileSync(join(folder, "api/~", link), "utf8"), /export type Shape/);
      if (!("Deno" in globalThis)) return;
      assert(writeReference(folder, process.execPath) > 600);
      const reference = readFileSync(join(folder, "reference.html"), "utf8");
      assertMatch(reference, /<h2 id="losses">Losses<\/h2>[^]*<a href="api\/~\/crossEntropy.html">/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("promises only what there are tests for", () => {
    for (const { tests } of promises) {
      for (const file of tests) {
        assert(existsSync(join(repository, "tests", file)), `there is no tests/${file}`);
      }
    }
    assert(table(() => "").split("\n").length === promises.length + 2);
    assertMatch(
      readFileSync(join(repository, "docs", "promises.md"), "utf8"),
      /<!-- promises -->[\s\S]*<!-- \/promises -->/,
    );
  });

  it("names every family that is read, and their number", () => {
    for (const file of ["README.md", "docs/files.md", "docs/guides/load-a-model.md"]) {
      const text = readFileSync(join(repository, file), "utf8");
      for (const name of familyNames) assert(text.includes(`\`${name}\``), `${file} does not name ${name}`);
    }
    const counts = [
      ...readFileSync(join(repository, "README.md"), "utf8").matchAll(/(\d+) (?:model )?families/g),
    ];
    assert(counts.length > 0);
    for (const [, count] of counts) assertStrictEquals(Number(count), familyNames.length);
  });

  it("links only to what is published beside it", () => {
    const { include } = JSON.parse(readFileSync(join(repository, "deno.json"), "utf8")).publish as {
      include: string[];
    };
    for (const file of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ...pages]) {
      const text = readFileSync(join(repository, file), "utf8");
      for (const [, href] of text.matchAll(/\]\((?![a-z]+:|#)([^)#]+)/g)) {
        const target = posix.normalize(posix.join(posix.dirname(file), href));
        assert(
          include.some((part) => target.startsWith(part)),
          `${file} links to ${href}, which is not published`,
        );
      }
    }
  });
});
