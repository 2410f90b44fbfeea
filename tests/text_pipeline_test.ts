/**
 * A tokenizer.json of any kind: sixty files made at random, of all kinds of parts, give the ids and texts that the Rust
 * library of Hugging Face gives.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { FormatError } from "../src/core/errors.ts";
import { tokenizerFromJson } from "../src/text/mod.ts";
import { dataPath } from "./_data.ts";
import { describe, it } from "./_suite.ts";
import { streamed } from "./_text.ts";

interface Case {
  readonly json: Record<string, unknown>;
  /** Text, ids (null: an error), ids without special tokens, decoded, decoded without special tokens. */
  readonly lines: readonly (readonly [string, number[] | null, number[]?, string?, string?])[];
}

const word = (vocab: string[], more: object): Record<string, unknown> => ({
  model: {
    type: "WordLevel",
    unk_token: "?",
    vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
  },
  ...more,
});

describe("a tokenizer.json", () => {
  it("of random parts gives the ids and texts of Hugging Face", async () => {
    const cases = readFileSync(dataPath("tokenizers", "cases.jsonl"), "utf8").trim().split("\n")
      .map((line): Case => JSON.parse(line));
    let compared = 0;
    for (const { json, lines } of cases) {
      const tokenizer = await tokenizerFromJson(json), { model: _, ...parts } = json;
      for (const [text, ids, plain, decoded, shown] of lines) {
        const where = `${JSON.stringify(text)} by ${JSON.stringify(parts)}`;
        if (ids === null) {
          assertThrows(() => tokenizer.encode(text), FormatError, "unknown", where);
          continue;
        }
        assertEquals(tokenizer.encode(text), ids, where);
        assertEquals(tokenizer.encode(text, { addSpecialTokens: false }), plain, where);
        compared++;
        // That library writes added tokens that are normalized in their normalized form, and then skips none of them.
        if (decoded === undefined) continue;
        assertStrictEquals(tokenizer.decode(ids), decoded, where);
        assertStrictEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), shown, where);
        assertStrictEquals(streamed(tokenizer, ids).join(""), decoded, where);
        for (let cut = 1; cut < Math.min(ids.length, 6); cut++) {
          const before = tokenizer.decode(ids.slice(0, cut)),
            stream = tokenizer.stream({ after: ids.slice(0, cut) });
          // Where a decoder writes what came before anew, or half a character stands there, there is no rest.
          if (!decoded.startsWith(before) || before.endsWith("\ufffd")) continue;
          const rest: string = ids.slice(cut).map((id) => stream.push(id)).join("") + stream.flush();
          assertStrictEquals(before + rest, decoded, `${where}, from ${cut} on`);
        }
      }
      assertEquals((tokenizer.toJSON() as typeof json).normalizer, json.normalizer);
    }
    assert(compared > 300, `${compared}`);
  });

  it("keeps truncation and padding, and does neither unasked", async () => {
    const json = word(["a", "?"], {
      truncation: { max_length: 2, strategy: "LongestFirst", stride: 0, direction: "Right" },
      padding: { strategy: { Fixed: 8 }, pad_id: 1, pad_token: "?" },
      pre_tokenizer: { type: "WhitespaceSplit" },
    });
    const tokenizer = await tokenizerFromJson(json);
    assertEquals(tokenizer.encode("a a a"), [0, 0, 0]);
    assertEquals(tokenizer.toJSON(), json);
  });

  it("that would make a text far longer, or never end, is refused", async () => {
    const bad: [object, string][] = [
      [
        { normalizer: { type: "Replace", pattern: { String: "a" }, content: "a".repeat(5000) } },
        "times longer",
      ],
      [{ normalizer: { type: "Replace", pattern: { Regex: "(a+)+b" }, content: "" } }, "might never end"],
      [
        { pre_tokenizer: { type: "Split", pattern: { Regex: "(a|a)*b" }, behavior: "Isolated" } },
        "might never end",
      ],
      [{ pre_tokenizer: { type: "Split", pattern: { Regex: "a" }, behavior: "Odd" } }, '"behavior"'],
      [{ pre_tokenizer: { type: "Metaspace", replacement: "_", prepend_scheme: "odd" } }, '"prepend_scheme"'],
      [{ pre_tokenizer: { type: "UnicodeScripts" } }, "UnicodeScripts"],
      [{ normalizer: { type: "Precompiled", precompiled_charsmap: "!" } }, "base64"],
      [{ normalizer: { type: "Precompiled", precompiled_charsmap: "AAAA" } }, "precompiled_charsmap"],
      [{ post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "x" } }] } }, "no ids"],
      [{ post_processor: { type: "BertProcessing", sep: ["x"], cls: ["x", 0] } }, '"sep"'],
    ];
    for (const [parts, message] of bad) {
      await assertRejects(() => tokenizerFromJson(word(["a", "?"], parts)), FormatError, message);
    }
  });
});
