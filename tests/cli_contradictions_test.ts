/**
 * Options that contradict one another, or the data that they are given with, are refused by every command that takes them.
 */
import { assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { inFlags, memoryInFlags } from "../cli/command.ts";
import { call, fails } from "./_command.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
const at = (name: string): string => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

describe("ways to read a table", () => {
  const rows = Array.from(
    { length: 12 },
    (_, i) => `${i % 3}.5,${i % 2 ? "yes" : "no"},0${1 + i % 9}/02/2021`,
  );
  writeFileSync(
    at("no-dates.csv"),
    `a,b\n${rows.map((row) => row.split(",").slice(0, 2).join(",")).join("\n")}\n`,
  );
  writeFileSync(at("texts.csv"), `b\n${rows.map((row) => row.split(",")[1]).join("\n")}\n`);
  writeFileSync(at("dates.csv"), `a,b,d\n${rows.join("\n")}\n`);

  it("are refused where no column is such", async () => {
    for (
      const [file, args, message] of [
        [
          "no-dates.csv",
          ["--date-order", "day-first"],
          /--date-order has no effect because no column of no-dates.csv/,
        ],
        ["no-dates.csv", ["--date-order", "a=day-first"], /--date-order has no effect on column "a" because/],
        [
          "texts.csv",
          ["--decimal", ","],
          /--decimal has no effect because no column of texts.csv holds numbers/,
        ],
        ["texts.csv", ["--thousands", "none"], /--thousands has no effect because no column/],
        ["dates.csv", ["--decimal", "b=,"], /--decimal has no effect on column "b" because/],
        [
          "dates.csv",
          ["--ignore", "b", "--kind", "b=categorical"],
          /--ignore names column "b", and another option/,
        ],
      ] as const
    ) await fails(2, ["tabular", "inspect", at(file), "--explain-csv", ...args], message);
    for (const args of [["--date-order", "day-first"], ["--date-order", "d=day-first"], ["--decimal", "."]]) {
      assertStrictEquals(
        (await call(["tabular", "inspect", at("dates.csv"), "--explain-csv", ...args])).code,
        0,
      );
    }
  });

  it("and columns that are taken and left out are refused", async () => {
    for (
      const [args, message] of [
        [["--target", "a", "--ignore", "a"], /--target is "a", which --ignore leaves out/],
        [["--keep", "b", "--ignore", "b"], /--keep "b" and --ignore "b" exclude each other/],
        [["--keep", "a", "--target", "a"], /--keep "a" has no effect because it is the target/],
      ] as const
    ) await fails(2, ["tabular", "train", at("dates.csv"), "-o", at("m"), ...args], message);
  });
});

describe("what the library would say of a command's call", () => {
  it("is said of its flags, before anything is done", async () => {
    writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
    const sizes = ["--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--steps", "1"];
    const train = ["train", at("t.txt"), "-o", at("run"), ...sizes];
    const calls: [string[], RegExp][] = [
      [
        [...train, "--family", "llama", "--n-kv-head", "3"],
        /train: --n-kv-head is 3, expected a divisor of --n-head 2/,
      ],
      [["logits", "--prompt-ids", "1", "--loss"], /logits: --loss needs at least 2 tokens/],
      [
        ["explain", "--train", "--block-size", "9999"],
        /explain: --block-size is 9999, expected at most the 128 /,
      ],
      [["tokenize", "--decode", "1,,2"], /--decode are whole numbers such as 15,27,3; "" is not one/],
      [["generate", "--prompt-ids", "1,"], /--prompt-ids are whole numbers such as 15,27,3; "" is not one/],
    ];
    for (const [args, message] of calls) await fails(2, args, message);
  });

  it("has the command's words for what a program would set", () => {
    const command = { name: "generate", options: { temperature: { help: "" }, "prompt-ids": { help: "" } } };
    const told = (message: string): string => inFlags(message, command as never);
    assertStrictEquals(
      told("this model has no tokenizer, so prompts are token ids; set model.tokenizer to give text"),
      "this model has no tokenizer, and texts cannot be read; give --prompt-ids, or a model with one",
    );
    assertStrictEquals(
      told(
        "generate: seed has no effect because nothing is drawn; it belongs to doSample: true; leave it out",
      ),
      "generate: seed has no effect because nothing is drawn; leave it out, or give --temperature above 0 to draw",
    );
    const sizes =
      "CausalLM.fromSizes: a GPT-2 of these sizes has more than 256 parameters, expected at most 250, " +
      "which cpu can hold; take a smaller width";
    assertStrictEquals(
      memoryInFlags(sizes, true, "train"),
      "train: a GPT-2 of these sizes has more than 256 parameters, expected at most 250, which --max-memory allows on cpu; " +
        "allow more, take a smaller width",
    );
    assertStrictEquals(memoryInFlags(sizes, false, "train"), sizes.replace("CausalLM.fromSizes", "train"));
  });
});
