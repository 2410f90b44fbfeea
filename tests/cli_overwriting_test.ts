/**
 * Nothing that is there is lost in silence: every command that writes says what it replaced of its own, and refuses the rest.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { commands } from "../cli/commands/mod.ts";
import { call, fails } from "./_command.ts";
import { UsageError } from "../cli/command.ts";
import { placeOf } from "../cli/place.ts";
import { openModel } from "../cli/tabular.ts";
import { FormatError, saveNpy, tensor } from "../mod.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
const at = (...names: string[]): string => join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));

writeFileSync(
  at("t.csv"),
  `a,b,y\n${Array.from({ length: 40 }, (_, i) => `${i % 7},${i % 3},${i / 8}`).join("\n")}\n`,
);
await saveNpy(at("x.npy"), tensor([[1, 2]]));
writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
const sizes = "--block-size 4 --n-layer 1 --n-head 1 --n-embd 4 --batch-size 1 --threads 1".split(
  " ",
);

/** Each command that writes a file: the call, and what it writes. */
const writers: readonly [args: readonly string[], written: string][] = [
  [["tabular", "train", at("t.csv"), "-o", at("m.st"), "--model", "linear", "--folds", "0"], at("m.st")],
  [["tabular", "predict", at("m.st"), "--csv", at("t.csv"), "-o", at("p.csv")], at("p.csv")],
  [["tabular", "inspect", at("m.st"), "--onnx", at("m.onnx")], at("m.onnx")],
  [
    ["run", at("m.onnx"), "--input", `numeric=@${at("x.npy")}`, "--output", `value=${at("y.npy")}`],
    at("y.npy"),
  ],
  [["tokenizer", "train", at("t.txt"), "-o", at("k"), "--vocab-size", "260"], at("k", "tokenizer.json")],
];

describe("what is there already", () => {
  it("is replaced and said where the command wrote it, else refused without --force", async () => {
    for (const [args, file] of writers) {
      const [first, again] = [await call(args), await call(args)];
      assertStrictEquals(first.code, 0, first.stderr);
      assertStrictEquals(again.code, 0, again.stderr);
      const said = new RegExp(`\\breplaced ${file.replaceAll(/[.\\]/g, "\\$&")}\\b`);
      assertStrictEquals(said.test(first.stderr), false, first.stderr);
      assertMatch(again.stderr, said);
      writeFileSync(file, "something else\n");
      await fails(2, args, /is there already and is no .*; give --force to replace it, or name another/);
      assertStrictEquals(readFileSync(file, "utf8"), "something else\n");
      const forced = await call([...args, "--force"]);
      assertStrictEquals(forced.code, 0, forced.stderr);
      assertMatch(forced.stderr, said);
    }
  });

  it("is refused where it is a run or a model, and with --force another is trained in its place", async () => {
    const begin = (seed: string, steps: string, ...more: string[]): string[] => [
      ...["train", at("t.txt"), "-o", at("run"), ...sizes, "--seed", seed, "--steps", steps],
      ...more,
    ];
    assertStrictEquals((await call(begin("1", "5"))).code, 0);
    await fails(
      2,
      begin("2", "1"),
      /holds a run already; go on with --resume, give --force to begin another in its place/,
    );
    const forced = await call(begin("2", "1", "--force"));
    assertStrictEquals(forced.code, 0, forced.stderr);
    assertMatch(forced.stderr, /replacing the run in/);
    assertStrictEquals(JSON.parse(readFileSync(at("run", "training.json"), "utf8")).seed, 2);
    // Among checkpoints, which are removed, nothing else is.
    writeFileSync(at("run", "checkpoints", "notes.txt"), "mine");
    await fails(
      2,
      begin("3", "1", "--force"),
      /notes.txt is there, where checkpoints would be removed, and is no/,
    );
    assertStrictEquals(readFileSync(at("run", "checkpoints", "notes.txt"), "utf8"), "mine");
    rmSync(at("run", "checkpoints", "notes.txt"));
    // The older run's checkpoints, which went further, are not taken for this one's.
    const resumed = await call([
      "train",
      at("t.txt"),
      "-o",
      at("run"),
      "--resume",
      "--json",
      "--threads",
      "1",
    ]);
    assertStrictEquals(JSON.parse(resumed.stdout).step, 1);
  });

  it("is not taken the place of by a file that a model would be read from instead", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-beside-"));
    try {
      const { what, is } = { what: "another", is: () => false };
      for (
        const [file, beside] of [
          ["model.safetensors", "model.safetensors.index.json"],
          ["tokenizer.json", "vocab.json"],
        ]
      ) {
        const path = join(folder, file);
        assertStrictEquals(await placeOf("tabular train", path, false, { what, is }), "wrote");
        writeFileSync(join(folder, beside), "{}");
        const error = await assertRejects(
          () => placeOf("tabular train", path, false, { what, is }),
          UsageError,
        );
        assertMatch(error.message, /would be read in place of .*, and the model in .*; give --force/);
        assertStrictEquals(error.message.includes(join(folder, beside)), true);
        assertStrictEquals(await placeOf("tabular train", path, true, { what, is }), "wrote");
        assertStrictEquals(
          await placeOf("tabular train", join(folder, "x.bin"), false, { what, is }),
          "wrote",
        );
      }
      const csv = join(folder, "x.csv");
      writeFileSync(csv, "a,b\n1,2\n");
      const message = await assertRejects(() => openModel(csv), FormatError);
      assertMatch(message.message, /is a text and no model; tabular inspect --explain-csv/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("is refused in a folder, whichever of its files a command would replace", async () => {
    const requests = at("requests.jsonl");
    writeFileSync(
      requests,
      `${
        JSON.stringify({
          custom_id: "a",
          method: "POST",
          url: "/v1/completions",
          body: { prompt: "RO", max_tokens: 1 },
        })
      }\n`,
    );
    const fills: readonly [to: (out: string) => string[], force: boolean][] = [
      [(out) => ["train", at("t.txt"), "-o", out, ...sizes, "--steps", "1"], true],
      [
        (out) => ["train", at("t.txt"), "-o", out, "--init", at("fill0"), "--lora", "1", "--steps", "1"],
        true,
      ],
      [(out) => ["tokenizer", "train", at("t.txt"), "-o", out, "--vocab-size", "258"], true],
      [(out) => ["convert", at("fill0"), out, "--shard-size", "1KB"], true],
      [(out) => ["batch", requests, "-o", out, "--model", at("fill0")], false],
    ];
    for (const [i, [to, hasForce]] of fills.entries()) {
      const filled = at(`fill${i}`), made = await call(to(filled));
      assertStrictEquals(made.code, 0, made.stderr);
      const names = readdirSync(filled).filter((name) => name !== "checkpoints");
      assert(names.length > 1 || !hasForce);
      for (const name of names) {
        const out = at(`foreign${i}${name}`), file = join(out, name);
        mkdirSync(out);
        writeFileSync(file, "something else\n");
        await fails(2, to(out), hasForce ? /; give --force / : /name another folder/);
        assertEquals([readdirSync(out), readFileSync(file, "utf8")], [[name], "something else\n"]);
      }
      if (!hasForce) continue;
      mkdirSync(at(`forced${i}`));
      for (const name of names) writeFileSync(at(`forced${i}`, name), "something else\n");
      const forced = await call([...to(at(`forced${i}`)), "--force"]);
      assertStrictEquals(forced.code, 0, forced.stderr);
    }
    // A run that ended before its first checkpoint is in nobody's way.
    const begun = at("begun");
    mkdirSync(begun);
    for (const name of ["training.json", "log.jsonl"]) {
      writeFileSync(join(begun, name), readFileSync(at("fill0", name)));
    }
    const anew = await call(fills[0][0](begun));
    assertStrictEquals(anew.code, 0, anew.stderr);
    assertMatch(anew.stderr, /^replacing the run in .*, which has no checkpoint$/m);
    await fails(2, fills[2][0](at("fill0")), /holds a model, which reads texts with its own tokenizer/);
  });

  it("is spoken of in the help of every command that has --force", () => {
    for (const { name, options } of commands) {
      const writes = ["out", "onnx", "output"].some((flag) => flag in options) ||
        ["convert", "prune"].includes(name);
      if (name === "batch" || name === "eval") continue; // What its folder holds is gone on with.
      assertStrictEquals("force" in options, writes, name);
      if (writes) assertMatch(options.force.help, /without it/, name);
    }
  });
});

describe("limits of a run", () => {
  it("that it never reaches are said in a line each, and those that it does are not", async () => {
    const cases: [args: string, ...RegExp[]][] = [
      [
        "--steps 2 --save-every 100 --eval-every 100",
        /^--save-every 100: the run has 2 steps, so it is saved at its end alone$/,
        /^--eval-every 100: .* judged at its end alone$/,
      ],
      ["--steps 1 --save-every 1", /^--save-every 1: the run has 1 step, so it is saved at its end alone$/],
      [
        "--steps 3 --eval-every 1 --patience 2",
        /^--patience 2: the run has 3 steps and 3 evaluations, so it cannot end early;/,
      ],
      ["--steps 3 --save-every 2 --eval-every 1 --patience 1"],
    ];
    for (const [i, [args, ...patterns]] of cases.entries()) {
      const ended = await call([
        "train",
        at("t.txt"),
        "-o",
        at(`limits${i}`),
        ...sizes,
        "--quiet",
        ...args.split(" "),
      ]);
      assertStrictEquals(ended.code, 0, ended.stderr);
      const said = ended.stderr.split("\n").filter((line) => line.startsWith("--"));
      assertStrictEquals(said.length, patterns.length, ended.stderr);
      patterns.forEach((pattern, k) => assertMatch(said[k], pattern));
    }
  });

  it("are refused where they contradict its steps and its rate", async () => {
    for (
      const [args, message] of [
        ["--min-lr 1 --lr 0.1", /--min-lr is 1, expected at most the 0.1 of --lr/],
        ["--warmup 3", /--warmup is 3, expected at most the 2 of --steps/],
        ["--n-kv-head 2", /^ferrotype: train: gpt2 has as many .*; leave --n-kv-head 2 out/m],
      ] as const
    ) {
      await fails(2, [
        "train",
        at("t.txt"),
        "-o",
        at("never"),
        "--block-size",
        "4",
        "--steps",
        "2",
        ...args.split(" "),
      ], message);
    }
  });
});
