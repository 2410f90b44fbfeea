/**
 * Counts in messages: one thing is not "1 things".
 */
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { FerrotypeError, GPT2, nn, rand, ShapeError, tensor } from "../mod.ts";
import { expectedOf, orNull, whole } from "../src/core/kinds.ts";
import { counted, nounOf } from "../src/core/show.ts";
import { repository } from "./_data.ts";

/** What is counted somewhere in a message. */
const things =
  "arguments axes bytes caches cells characters classes columns dims elements entries examples factors files folds gradients heads " +
  "ids inputs items layers lines numbers operands outputs pairs parameters parts positions predictions probabilities prompts " +
  "properties ranges ranks reads rows seconds shares sides steps targets tensors terms texts threads tokens values windows";

/** Numbers that are more than one by their meaning: limits, blocks, what was found to be more. */
const isMany =
  /^(most|longest|largest|least|deepest|fewest|max|limit|formatLimits|quantBlock|blockBytes|2 \*\* |usual$|speed$|each$|place\()/;
/** Kinds and names of things rather than numbers of them. */
const isKind = /^(dtype|(column|demanded)\.kind|step\.operation\.name|read\(.*)$/;

describe("counts", () => {
  it("have the word for one or for many", () => {
    for (const [n, said] of [[0, "0 axes"], [1, "1 axis"], [2, "2 axes"], [1n, "1 axis"]] as const) {
      assertEquals(counted(n, "axis", "axes"), said);
    }
    assertEquals([0, 1, 2].map((n) => nounOf(n, "row")), ["rows", "row", "rows"]);
  });

  it("are written so in every message of the library and of the command", () => {
    const behind = new RegExp(
      `\\$\\{([^{}\`$]*)\\}(?: different| special| other)? (${things.replaceAll(" ", "|")})\\b(?!/)`,
      "g",
    );
    const found: string[] = [];
    for (const room of ["src", "cli"]) {
      for (const name of readdirSync(join(repository, room), { recursive: true })) {
        if (!String(name).endsWith(".ts")) continue;
        const source = readFileSync(join(repository, room, String(name)), "utf8");
        for (const { 0: text, 1: raw, index } of source.matchAll(behind)) {
          const expression = raw.trim();
          if (
            isMany.test(expression) || isKind.test(expression) ||
            /\btoLocaleString\(/.test(raw) && room === "src"
          ) continue;
          // Names of batches are compared with those that older checkpoints note.
          if (
            source.slice(0, index).endsWith("describe: () => `") ||
            /SHA-256/.test(source.slice(index, index + 60))
          ) continue;
          found.push(`${room}/${name}: ${text}`);
        }
      }
    }
    assertEquals(found, [], "numbers whose noun is written by hand; use counted(n, noun)");
  });

  it("that no double holds are told the limit, and no other value is", () => {
    const { expected } = whole(0);
    for (const value of [2 ** 53, 2 ** 60, -(2 ** 60), "1152921504606846976"]) {
      assertEquals(expectedOf(whole(0), value), "a whole number from 0 up to 2^53 - 1");
    }
    assertEquals(expectedOf(orNull(whole(1)), 2 ** 60), "a whole number from 1 up to 2^53 - 1, or null");
    for (const value of [-1, 1.5, "x", "", Infinity, null]) {
      assertEquals(expectedOf(whole(0), value), expected);
    }
    assertEquals(expectedOf(whole(0, 9), 2 ** 60), "a whole number from 0 to 9");
    for (const make of [() => rand([2], { seed: 2 ** 60 }), () => new nn.Linear(2 ** 60, 1)]) {
      assertThrows(make, FerrotypeError, "2^53 - 1");
    }
  });

  it("are those of one in messages that meet it", async () => {
    const one = tensor([1]);
    assertThrows(
      () => tensor(new Float32Array(1)).reshape(-1, 2),
      ShapeError,
      "1 element cannot fill [-1, 2]",
    );
    assertThrows(() => one.reshape(2), ShapeError, "[2] has 2 elements, the tensor has 1");
    assertThrows(() => one.sum(1), ShapeError, "for a tensor of 1 dimension");
    assertThrows(() => one.topk(2), ShapeError, "dim -1 has 1 element");
    const model = new GPT2({ vocabSize: 4, nPositions: 1, nEmbd: 4, nLayer: 1, nHead: 1 });
    const error = await assertRejects(() => model.complete([1, 2, 3], { maxNewTokens: 1 }));
    assertMatch(String(error), /3 tokens.* 1\b(?! positions)/);
  });
});

describe("names that a message could mean", () => {
  it("are told once: by hint(), or in the sentence before it", () => {
    const found: string[] = [];
    for (const folder of ["src", "cli"]) {
      for (const file of readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })) {
        if (!file.endsWith(".ts")) continue;
        const text = readFileSync(join(repository, folder, file), "utf8");
        for (const [twice] of text.matchAll(/\.join\(", "\)(?:[^`;]|; [a-z])*\bhint\(/g)) {
          found.push(`${folder}/${file}: ${twice}`);
        }
      }
    }
    assertEquals(found, []);
  });
});
