/**
 * Texts kept to patterns and schemas: every one matches, parses and validates, however it was drawn.
 */
import { assert, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type GenerateOptions, GPT2, OptionError, resolveOptions } from "../mod.ts";
import { finish } from "../src/core/steps.ts";
import { grammarOf } from "../src/generate/constraint/mod.ts";
import { numbers } from "../src/generate/constraint/numbers.ts";
import { parsePattern } from "../src/generate/constraint/pattern.ts";
import { utf8Ranges } from "../src/generate/constraint/utf8.ts";
import { accepts, ofPart, ofPattern, ofSchema } from "./_constraint.ts";
import { dataPath, repository } from "./_data.ts";
import { width } from "./_width.ts";

describe("patterns", () => {
  it("accept what JavaScript's own accept", () => {
    const texts = [
      "",
      "a",
      "b",
      "ab",
      "aab",
      "abab",
      "a1",
      "12",
      "2024-02-30",
      "é",
      "日本",
      "𝄞",
      "a b",
      "a-b",
      "\n",
      "\\",
      "x.y",
      "AZ_9",
    ];
    for (
      const pattern of [
        "a*b?",
        "(a|b)+",
        "[a-c]{2,3}",
        "\\d{2}",
        "\\d{4}-\\d\\d-\\d\\d",
        ".",
        ".*",
        "[^a]",
        "\\w+",
        "\\S+\\s\\S+",
        "a(?:b|1)",
        "[\\w.-]+",
        "^x\\.y$",
        "[^\\x00-\\x7f]+",
        "\\u00e9",
        "",
        "(ab){2}",
        "a{0}",
        "a+?b",
        "[\\-a]+",
        "\\u{1D11E}",
      ]
    ) {
      const own = ofPattern(pattern), theirs = new RegExp(`^(?:${pattern})$`, "u");
      for (const text of texts) {
        assertStrictEquals(accepts(own, text), theirs.test(text), `/${pattern}/ on ${JSON.stringify(text)}`);
      }
    }
  });

  it("are refused where they cannot be followed", () => {
    for (
      const pattern of [
        "(?=a)",
        "(?<n>a)",
        "\\bx",
        "\\1",
        "a**",
        "*",
        "(",
        ")",
        "[",
        "a^b",
        "a{3,2}",
        "[z-a]",
      ]
    ) {
      assertThrows(() => parsePattern(pattern), OptionError, undefined, pattern);
    }
  });

  it("know every character in bytes", () => {
    for (
      const [from, to] of [[0, 0x10ffff], [0x70, 0x900], [0xfff0, 0x10010], [0x7ff, 0x800], [
        0x20ac,
        0x20ac,
      ]] as const
    ) {
      const sequences = utf8Ranges([from, to]);
      for (let code = 0; code <= 0x10ffff; code += code < 0x3000 ? 7 : 977) {
        if (code >= 0xd800 && code <= 0xdfff) continue;
        const bytes = new TextEncoder().encode(String.fromCodePoint(code));
        const found = sequences.some((s) =>
          s.length === bytes.length && s.every(([a, b], i) => bytes[i] >= a && bytes[i] <= b)
        );
        assertStrictEquals(found, code >= from && code <= to, `${code} in ${from}…${to}`);
      }
    }
  });
});

describe("whole numbers", () => {
  it("from one to another, and no others", () => {
    for (
      const [low, high] of [[0, 9], [7, 123], [-5, 5], [-120, -7], [99, 1001], [0, 0], [-3, -3], [10, 10]]
    ) {
      const own = ofPart(
        numbers({ low, high, aboveLow: false, belowHigh: false, multiple: null, whole: true })!,
      );
      for (let n = -1300; n <= 1300; n++) {
        assertStrictEquals(
          accepts(own, String(n)),
          n >= low && n <= high,
          `${n} in ${low}…${high}`,
        );
      }
      for (const text of ["", "-", "00", "01", "-0", "1.0"]) {
        assertStrictEquals(
          accepts(own, text),
          false,
          text,
        );
      }
    }
  });
});

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 8 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    tags: { type: "array", items: { enum: ["a", "b", 3, null] }, minItems: 1, maxItems: 3 },
    born: { type: "string", format: "date" },
    size: { type: "number" },
    id: { type: "string", pattern: "[A-F]{2}\\d" },
    ok: { type: ["boolean", "null"] },
  },
  required: ["name", "tags", "ok"],
  additionalProperties: false,
};
const tree = {
  $defs: {
    node: {
      type: "object",
      properties: { v: { type: "integer" }, next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } },
      required: ["v", "next"],
    },
  },
  $ref: "#/$defs/node",
};

describe("schemas", () => {
  it("accept what they should, and nothing else", () => {
    const automaton = ofSchema(person);
    assert(accepts(automaton, '{"name":"Ann","tags":["a"],"ok":true}'));
    assert(accepts(automaton, '{"name": "A\\"\\n", "age": 150, "tags": [3, null], "id": "AB7", "ok": null}'));
    for (
      const text of [
        "{}",
        '{"name":"","tags":["a"],"ok":true}',
        '{"name":"Ann","age":151,"tags":["a"],"ok":true}',
        '{"name":"Ann","tags":[],"ok":true}',
        '{"name":"Ann","tags":["c"],"ok":true}',
        '{"name":"Ann","tags":["a"],"ok":true,}',
        '{"name":"Ann","tags":["a"],"ok":true,"more":1}',
        '{"name":"Ann","tags":["a"],"ok":0}',
      ]
    ) assertStrictEquals(accepts(automaton, text), false, text);
    const linked = ofSchema(tree);
    assert(accepts(linked, '{"v":1,"next":{"v":-2,"next":null}}'));
    assertStrictEquals(accepts(linked, '{"v":1,"next":{"v":-2}}'), false);
    const any = ofSchema(true);
    for (const text of ['{"a":[1,2.5,-3e8,{"b":null}]}', '"x"', "true"]) assert(accepts(any, text), text);
    for (const text of ["{", "[1,]", "01", "tru"]) assertStrictEquals(accepts(any, text), false, text);
  });

  it("name the keyword that cannot be followed, and where", () => {
    for (
      const [schema, message] of [
        [{ type: "string", minimum: 3 }, /at \/: minimum cannot be followed for string/],
        [
          { type: "object", properties: { a: { type: "array", uniqueItems: true } } },
          /\/properties\/a: uniqueItems/,
        ],
        [{ allOf: [{}, {}] }, /allOf of several/],
        [{ oneOf: [{ type: "string" }, { type: "string" }] }, /use anyOf/],
        [{ type: "text" }, /there is no type "text"/],
        [{ $ref: "#/nothing" }, /there is no "#\/nothing"/],
        [{ type: "integer", minimum: 5, maximum: 4 }, /no whole number from 5 to 4/],
        [
          { type: "number", minimum: 0.1, maximum: 0.2, multipleOf: 0.25 },
          /no number from 0.1 to 0.2 that is a multiple/,
        ],
        [{ type: "object", required: ["x"] }, /required property "x" is not in properties/],
        [{ type: "string", format: "e-mail" }, /format "e-mail" is none of .*did you mean "email"/],
        [false, /no schema that any value meets/],
      ] as const
    ) {
      assertMatch(
        assertThrows(() => finish(grammarOf({ type: "json_schema", schema })), OptionError).message,
        message,
        JSON.stringify(schema),
      );
    }
  });
});

describe("constrained generation", () => {
  it(`matches for ${width(200, 40)} seeds on the bundled model`, async () => {
    using model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const pattern = "(O|Ah), my (good|sweet) [a-z]{2,9}(, (and|or) [a-z]+)*[.!?]";
    const whole = new RegExp(`^(?:${pattern})$`);
    for (let seed = 0; seed < width(200, 40); seed++) {
      const { text, ids } = await model.completion("ROMEO:\n", {
        responseFormat: { type: "regex", pattern },
        maxNewTokens: 30 + seed % 40,
        temperature: 1 + seed % 3,
        topK: 0,
        seed,
      });
      assertMatch(text, whole);
      assert(ids.length <= 30 + seed % 40);
    }
    const greedy = await model.complete("ROMEO:\n", {
      responseFormat: { type: "regex", pattern },
      maxNewTokens: 60,
    });
    assertMatch(greedy, whole);
    const tight: GenerateOptions = {
      responseFormat: { type: "regex", pattern: "[a-z]{20}" },
      maxNewTokens: 10,
    };
    await assertRejects(
      () => model.complete("A", tight),
      Error,
      "shortest allowed text takes up to 20 tokens, and maxNewTokens is 10",
    );
    for (
      const [format, message] of [
        [{ type: "json_object", foo: 1 }, 'there is no foo of type "json_object"'],
        [{ type: "text", schema: {} }, 'there is no schema of type "text"'],
        [{ type: "regex", patern: "a" }, 'there is no patern of type "regex"; did you mean "pattern"?'],
        [{ type: "json_schema", json_schema: { name: "x", bar: 3 } }, "there is no json_schema.bar of type"],
        [{ type: "json_schema", json_schema: [] }, "json_schema is [], expected { schema }"],
        [
          { type: "json_schema", schema: true, json_schema: { schema: {} } },
          "both say what JSON it is; give one",
        ],
      ] as [object, string][]
    ) {
      const options = { responseFormat: format } as GenerateOptions;
      await assertRejects(() => model.complete("A", options), OptionError, message);
    }
    await assertRejects(
      () => model.complete("A", { responseFormat: { type: "json_object" } }),
      Error,
      "tokenizer lacks characters",
    );
    await assertRejects(
      () => model.complete("A", { ...tight, numBeams: 2 }),
      Error,
      "leave it or numBeams out",
    );
  });

  it(
    "parses and validates for 200 seeds, alone and in batches",
    async () => {
      using model = await GPT2.load(dataPath("gpt2-tiny"));
      // deno-lint-ignore no-explicit-any
      const ajv = new (Ajv2020 as any)({ strict: false, formats: { date: /^\d{4}-\d\d-\d\d$/ } });
      for (const schema of [person, tree, { type: "object", properties: { any: true }, required: ["any"] }]) {
        const validate = ajv.compile(schema);
        for (let seed = 0; seed < width(70, 20); seed++) {
          // The tiny model knows nothing of JSON, so the budget is what closes its texts.
          const text = await model.complete([1, 2], {
            responseFormat: { type: "json_schema", schema },
            maxNewTokens: 40 + seed % 20,
            temperature: 1.5,
            topK: 0,
            seed,
          });
          assert(validate(JSON.parse(text)), `${text}: ${JSON.stringify(validate.errors)}`);
        }
      }
      const results = await model.completeBatch([[1], [2], [3, 4]], {
        responseFormat: { type: "json_schema", schema: person },
        maxNewTokens: 50,
        doSample: true,
        seed: 3,
      });
      for (const { text } of results) JSON.parse(text);
    },
  );

  it("needs a tokenizer, and a format that is one", () => {
    assertThrows(
      () => finish(grammarOf({ type: "yaml" } as never)),
      Error,
      'expected "text", "json_object", "json_schema" or "regex"',
    );
    assertStrictEquals(finish(grammarOf({ type: "text" })), null);
    assertStrictEquals(resolveOptions({ responseFormat: { type: "text" } }).responseFormat?.type, "text");
  });
});
