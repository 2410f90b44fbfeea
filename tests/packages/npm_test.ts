/**
 * The npm form, packed, installed in a fresh project and run there: on Deno, Bun, and Node 24 and later, by import and by the
 * command.
 */
import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { repository } from "../_data.ts";
import { after, before, describe, it } from "../_suite.ts";
import { linkedFrom, linksIn } from "../../tools/links.ts";
import { output, packed, Project, run, type Runner, runners, skip } from "./_consumer.ts";

/** What a user's program may do: tensors, gradients, a model from files, text; and what it says where a package is missing. */
const program = `
import { GPT2, loadChatTemplate, loadTokenizer, readCsv, tensor } from "@ferrotype/ferrotype";
import { fileURLToPath } from "node:url";

const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
x.matmul(x).sum().backward();
const folder = fileURLToPath(new URL("web/models/shakespeare/", import.meta.resolve("@ferrotype/ferrotype")));
const model = await GPT2.load(folder);
const text = await model.complete("ROMEO:", { maxNewTokens: 12, seed: 1, temperature: 0.8 });
const tell = (promise) => promise.then(() => "done", (error) => error.constructor.name + ": " + error.message);
console.log(JSON.stringify({
  gradient: await x.grad.toArray(),
  text,
  csv: await tell(readCsv(new Blob(["a,b\\n1,2\\n"]))),
  tokenizer: await tell(loadTokenizer("wordpiece", { engine: "huggingface" })),
  chat: await tell(loadChatTemplate("chat")),
}));
`;

interface Told {
  gradient: number[][];
  text: string;
  csv: string;
  tokenizer: string;
  chat: string;
}

const files = {
  "program.mjs": program,
  "wordpiece/tokenizer.json": JSON.stringify({
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: null,
    decoder: null,
    model: {
      type: "WordPiece",
      vocab: { a: 0, b: 1, "[UNK]": 2 },
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
    },
  }),
  "chat/tokenizer_config.json": JSON.stringify({ chat_template: "{{ messages[0].content }}" }),
};

const optional = ["@huggingface/tokenizers", "@huggingface/jinja"];

describe("the npm form", { skip }, () => {
  let bare: Project, full: Project;
  const all: Runner[] = skip ? [] : runners();
  before(async () => {
    bare = await Project.make(files);
    full = await Project.make(files, [...optional, "hono", "@hono/node-server"]);
  });
  after(() => {
    bare?.[Symbol.dispose]();
    full?.[Symbol.dispose]();
  });

  it("holds scripts, declarations, source maps, the command (in few files too), the bundled model and the pages that README names, and nothing else", async () => {
    const root = bare.path("node_modules/@ferrotype/ferrotype");
    const names = readdirSync(root, { recursive: true, encoding: "utf8" })
      .map((name) => name.replaceAll("\\", "/")).filter((name) => statSync(join(root, name)).isFile());
    const odd = names.filter((name) =>
      !/^(mod|src\/.*|cli\/.*)\.(js|js\.map|d\.ts)$/.test(name) &&
      !/^bin\/\w+\.js$/.test(name) && !/^web\/models\/shakespeare\/[\w.]+\.(json|safetensors)$/.test(name)
    );
    const pages = await linkedFrom("README.md", "CHANGELOG.md");
    assertEquals(odd.sort(), [...new Set(["LICENSE", "bin.js", "package.json", ...pages])].sort());
    const dead: string[] = [];
    let links = 0;
    for (const page of pages.filter((name) => name.endsWith(".md"))) {
      const named = linksIn(page, readFileSync(join(root, page), "utf8"));
      links += named.length;
      dead.push(...named.filter((link) => !existsSync(join(root, link))).map((link) => `${page}: ${link}`));
    }
    assertEquals(dead, []);
    assert(links > 60, "pages have their links");
    const lesson = readFileSync(join(root, "examples/01_tensor.ts"), "utf8");
    assertMatch(lesson, /from "@ferrotype\/ferrotype";/);
    for (const name of names.filter((name) => name.endsWith(".js"))) {
      const text = readFileSync(join(root, name), "utf8");
      assertNotMatch(text, /(from|import\()\s*"\.[^"]*\.ts"/, name);
      if (/^bin(\/\w+)?\.js$/.test(name) || name === "src/hub/package_browser.js") continue;
      for (const ending of ["js.map", "d.ts"]) assert(names.includes(name.replace(/js$/, ending)), name);
    }
    const map = JSON.parse(readFileSync(join(root, "src/ops/matmul.js.map"), "utf8"));
    const source = readFileSync(join(repository, "src/ops/matmul.ts"), "utf8");
    assertEquals(map.sources, ["matmul.ts"]);
    assertEquals(map.sourcesContent[0].replace(/\.js";$/gm, '.ts";'), source);
    for (const name of names) {
      if (/\.(js|map|ts|json)$/.test(name)) {
        assert(!readFileSync(join(root, name), "utf8").includes(repository), name);
      }
    }
    // The model is most of it.
    assert(statSync(await packed()).size < 8 << 20);
  });

  it("brings no other package along", () => {
    assertEquals(readdirSync(bare.path("node_modules")).filter((name) => !name.startsWith(".")), [
      "@ferrotype",
    ]);
    assertEquals(readdirSync(bare.path("node_modules/@ferrotype")), ["ferrotype"]);
  });

  it("is not kept in the repository", async () => {
    const told = await run("git", ["check-ignore", "npm/mod.js"], { cwd: repository });
    if (existsSync(join(repository, ".git"))) assertEquals(told.stdout, "npm/mod.js\n");
  });

  const told = new Map<string, Told>();
  for (const { name, program, args } of all) {
    it(`runs on ${name}`, async () => {
      const at = { cwd: bare.folder };
      const result = JSON.parse(await output(program, [...args, "program.mjs"], at)) as Told;
      told.set(name, result);
      assertEquals([result.gradient, result.csv], [[[7, 11], [9, 13]], "done"]);
      for (const [what, package_] of [["tokenizer", 0], ["chat", 1]] as const) {
        const missing = new RegExp(
          `^FerrotypeError: .* needs the package ${optional[package_]}, .*"npm install ${
            optional[package_]
          }"`,
        );
        assertMatch(result[what], missing);
      }
    });

    it(`finds optional packages that are installed, on ${name}`, async () => {
      const result = JSON.parse(
        await output(program, [...args, "program.mjs"], { cwd: full.folder }),
      ) as Told;
      assertEquals([result.csv, result.tokenizer, result.chat], ["done", "done", "done"]);
    });
  }

  it("writes the same text on all of them", () => {
    const texts = new Set([...told.values()].map(({ text }) => text));
    assertEquals([told.size, texts.size], [all.length, 1], JSON.stringify([...texts]));
  });

  for (const { name, program } of all.filter(({ name }) => name.startsWith("node"))) {
    it(`has the command by npx, on ${name}`, async () => {
      const at = { cwd: bare.folder, path: dirname(program) };
      const args = ["--offline", "ferrotype", "generate", "ROMEO:", "-n", "12", "--seed", "1", "--json"];
      const { text, model } = JSON.parse(await output("npx", [...args, "--temperature", "0.8"], at));
      assertEquals([text, model], [told.get(name)!.text, "bundled"]);
      const command = "node_modules/.bin/ferrotype";
      const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
      assertEquals((await output(command, ["--version"], at)).trim(), version);
      const missing = await run(command, ["serve"], at);
      assertEquals([missing.code, missing.stdout], [1, ""]);
      assertMatch(
        missing.stderr,
        /^ferrotype: serving needs the packages hono and @hono\/node-server, [^\n]*\n$/,
      );
      assertEquals((await run(command, ["no-such-command"], at)).code, 2);
    });
  }

  it("has its face in ./cli, too", async () => {
    bare.write({
      "command.mjs":
        'import { main } from "@ferrotype/ferrotype/cli";\nconsole.log(await main(["--version"]));\n',
    });
    for (const { program, args } of all) {
      assertMatch(
        await output(program, [...args, "command.mjs"], { cwd: bare.folder }),
        /^\d+\.\d+\.\d+\s*0\n$/,
      );
    }
  });
});
