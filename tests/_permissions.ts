/**
 * What `docs/permissions.md` says each command needs of Deno: it runs with these flags and `--no-prompt`, and with one flag
 * less it says in a sentence what it lacks.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "./_suite.ts";
import { commands } from "../cli/commands/mod.ts";
import { npyBytes } from "../src/files/npy.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { output } from "./_command.ts";
import { repository } from "./_data.ts";
import { FakeHub } from "./_hub.ts";
import { inFewFiles } from "./_program.ts";
import { byteModel, post } from "./_serve.ts";

/** Rows of the page's table: a command and its flags. */
const rows = new Map(
  [
    ...readFileSync(join(repository, "docs/permissions.md"), "utf8").matchAll(
      /^\| `([a-z ]+)` +\| (.*?) *\|$/gm,
    ),
  ]
    .map((
      [, command, flags],
    ) => [command, [...flags.matchAll(/`(--allow-[^`]+)`/g)].map(([, flag]) => flag)]),
);

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

const folder = realpathSync(mkdtempSync(join(tmpdir(), "ferrotype-permissions-")));
const text = join(folder, "text.txt"), table = join(folder, "table.csv"), model = join(folder, "model");
const requests = join(folder, "requests.jsonl");
const out = join(folder, "out"), cache = join(folder, "cache"), tabular = join(folder, "table.safetensors");
let outs = 0;
const hub = new FakeHub();

/** Runs the command, which lies there, on Deno with these flags alone. `asked` is called with the address that it prints. */
function run(
  file: string,
  flags: readonly string[],
  args: readonly string[],
  asked?: (url: string) => Promise<void>,
): Promise<Ended> {
  // By way of a shell: on Deno a child that is seen to be Deno is given all that its parent may do.
  const words = ["run", "--no-prompt", "--no-check", ...flags, file, ...args];
  const line = [process.execPath, ...words].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = spawn("sh", ["-c", `exec ${line}`], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", HF_HOME: cache, HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: "" },
  });
  const ended: Ended = { code: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    ended.stdout += piece;
    const url = /at (http:\S+)\n/.exec(ended.stdout)?.[1];
    if (url && asked) void asked(url).finally(() => process.kill(child.pid as number, "SIGTERM"));
  });
  child.stderr.setEncoding("utf8").on("data", (piece: string) => ended.stderr += piece);
  child.stdin.on("error", () => {});
  child.stdin.end("ROMEO:\n");
  return new Promise((resolve) => child.on("close", (code) => resolve({ ...ended, code })));
}

/** How each is called; each time `OUT` is the name of a file or folder that is not there yet. */
const calls: Record<string, string[]> = {
  generate: ["ROMEO:", "-n", "3", "--model", model],
  chat: ["-n", "3", "--model", model],
  logits: ["--model", model, "--prompt-ids", "1,2"],
  eval: [text, "--model", model],
  explain: ["--model", model],
  tokenize: ["abc", "--model", model],
  train: [
    text,
    "-o",
    "OUT",
    ..."--steps 1 --n-layer 1 --n-head 1 --n-embd 8 --block-size 8 --vocab-size 0 --batch-size 2".split(" "),
  ],
  sweep: [
    ...[text, "-o", "OUT", "--search", "lr=0.1", "--trials", "1"],
    ..."--steps 1 --n-layer 1 --n-head 1 --n-embd 8 --block-size 8 --batch-size 2".split(" "),
  ],
  "tokenizer train": [text, "-o", "OUT", "--vocab-size", "270"],
  inspect: [join(model, "model.safetensors")],
  run: [join(model, "linear.onnx"), "--input", `x=@${join(model, "x.npy")}`],
  convert: [model, "OUT", "--dtype", "f16"],
  prune: [model, "OUT", "--sparsity", "0.5"],
  distill: [
    model,
    model,
    text,
    "-o",
    "OUT",
    ..."--steps 1 --block-size 8 --batch-size 1 --val-fraction 0.02".split(" "),
  ],
  "tabular train": [table, "-o", "OUT.safetensors", "--target", "y", "--model", "linear"],
  "tabular predict": [tabular, "a=3", "b=4"],
  "tabular inspect": [tabular],
  "tabular explain": [tabular],
  pull: ["org/small"],
  list: [],
  rm: ["org/small"],
  serve: ["--port", "0", "--model", model],
  batch: [requests, "-o", "OUT", "--model", model],
  doctor: [],
  bench: ["--small", "--rounds", "1"],
  completions: ["bash"],
};

/** Declares the tests of these commands; the rest of the page's where `mine` says so. */
export function testPermissions(mine: (command: string) => boolean): void {
  describe("permissions", { skip: runtimeName() !== "deno" && "only Deno has permissions" }, () => {
    before(async () => {
      await hub.start();
      for (const made of [out, cache]) mkdirSync(made);
      // It is read a hundred times, so it is small.
      using small = byteModel(256);
      await small.save(model);
      writeFileSync(
        requests,
        '{"custom_id":"a","url":"/v1/completions","body":{"prompt":"a","max_tokens":2}}\n',
      );
      cpSync(join(repository, "tests/data/onnx/linear.onnx"), join(model, "linear.onnx"));
      writeFileSync(join(model, "x.npy"), npyBytes("f32", [1, 2], Float32Array.of(1, 2)));
      writeFileSync(text, "First Citizen: hear me speak.\n".repeat(60));
      writeFileSync(
        table,
        `a,b,y\n${Array.from({ length: 60 }, (_, i) => `${i},${i * 7 % 13},${i % 2}`).join("\n")}\n`,
      );
      await output(["tabular", "train", table, "-o", tabular, "--target", "y"]);
      hub.push("org/small", {
        "config.json": readFileSync(join(model, "config.json")),
        "model.safetensors": readFileSync(join(model, "model.safetensors")),
        "tokenizer.json": readFileSync(join(model, "tokenizer.json")),
      });
    });
    after(async () => {
      await hub.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    const names: Record<string, string> = {
      MODEL: model,
      TEXT: text,
      REQUESTS: requests,
      // What is read and written lies in one folder here.
      FOLDER: out,
      TABLE: folder,
      CACHE: cache,
      HOST: "127.0.0.1",
    };
    const given = (flag: string): string =>
      flag.replace(
        /=.*/,
        (values) => "=" + values.slice(1).split(",").map((name) => names[name] ?? name).join(","),
      );

    it("are told for every command", () => {
      assertEquals([...rows.keys()].sort(), commands.map(({ name }) => name).sort());
      assertEquals(Object.keys(calls).sort(), [...rows.keys()].sort());
    });

    for (const [command, flags] of rows) {
      if (!mine(command)) continue;
      it(`of ${command} are enough, and none is too many`, async () => {
        const own = flags.map(given);
        const args = (): string[] => [
          ...command.split(" "),
          ...(calls[command] ?? []).map((word) => word.replace(/^OUT/, join(out, `${outs++}`))),
        ];
        if (command === "pull") {
          own[own.findIndex((flag) => flag.startsWith("--allow-net"))] = "--allow-net=127.0.0.1,localhost";
        }
        const asked = command !== "serve" ? undefined : async (url: string): Promise<void> => {
          const body = JSON.stringify({ prompt: "A", max_tokens: 2, guided_regex: "[a-z]{2}" });
          const response = await fetch(`${url}/completions`, { ...post, body });
          assertStrictEquals(response.status, 200, await response.text());
        };
        const source = join(repository, "cli/main.ts"), quick = await inFewFiles("cli/main.ts");
        const enough = run(source, own, args(), asked).then(({ code, stdout, stderr }) => {
          assertStrictEquals(code, 0, `${own.join(" ")}: ${stderr}`);
          assert(stdout.length > 0 || stderr.length > 0);
        });
        await Promise.all([
          enough,
          ...own.map(async (left) => {
            // What is refused is so wherever the command lies: the many start in half the time.
            const less = await run(quick, own.filter((flag) => flag !== left), args());
            assertStrictEquals(less.code, 1, `without ${left}: ${less.stdout}`);
            assertMatch(less.stderr, /(^|\n)ferrotype: [^\n]*--allow-[a-z]+[^\n]*\n$/, `without ${left}`);
          }),
        ]);
      });
    }
  });
}
