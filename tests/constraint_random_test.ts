/**
 * What texts a format allows, held against others who know: random patterns against JavaScript's own expressions, random
 * numbers against arithmetic, random schemas against a validator, formats against parsers, and every mask of a text against
 * one token after the other.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { isIPv4, isIPv6 } from "node:net";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { OptionError } from "../mod.ts";
import { finish } from "../src/core/steps.ts";
import { Arena, type PlaceSet } from "../src/generate/constraint/arena.ts";
import { GrammarConstraint } from "../src/generate/constraint/constraint.ts";
import { formats } from "../src/generate/constraint/formats.ts";
import { vocabularyOf } from "../src/generate/constraint/mod.ts";
import { Network } from "../src/generate/constraint/network.ts";
import { numbers } from "../src/generate/constraint/numbers.ts";
import { parsePattern } from "../src/generate/constraint/pattern.ts";
import {
  accepts,
  after,
  Dice,
  ofPart,
  ofPattern,
  ofSchema,
  randomPattern,
  tokenizerOf,
} from "./_constraint.ts";
import { width } from "./_width.ts";

/** A text of the grammar, drawn byte by byte; it turns to the end after about `length` bytes. */
function draw(arena: Arena, dice: Dice, length: number): string {
  const bytes: number[] = [];
  let set = arena.start();
  for (;;) {
    const hurry = bytes.length > length, next: [number, PlaceSet][] = [];
    for (let byte = 0; byte < 256; byte++) {
      const to = arena.step(set, byte);
      if (to && to.missing < Infinity && (!hurry || to.missing < set.missing)) next.push([byte, to]);
    }
    if (set.missing === 0 && (hurry || next.length === 0 || dice.uniform() < 0.1)) break;
    assert(next.length > 0, `nothing follows ${new TextDecoder().decode(Uint8Array.from(bytes))}`);
    const [byte, to] = dice.pick(next);
    bytes.push(byte);
    set = to;
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
}

describe("random patterns", () => {
  it("allow the texts that JavaScript's own match, and no others", () => {
    const dice = new Dice(1), alphabet = ["a", "b", "a", "b", "c", "1", "é", "\n"];
    for (let i = 0; i < width(700, 400); i++) {
      const pattern = randomPattern(dice, 3),
        own = ofPattern(pattern),
        theirs = new RegExp(`^(?:${pattern})$`, "u");
      for (let k = 0; k < 20; k++) {
        const text = dice.text(alphabet, 7);
        assertStrictEquals(accepts(own, text), theirs.test(text), `/${pattern}/ on ${JSON.stringify(text)}`);
      }
      for (let k = 0; k < 3 && own.start().missing < Infinity; k++) {
        const text = draw(own, dice, 6);
        assert(theirs.test(text), `/${pattern}/ made ${JSON.stringify(text)}`);
      }
    }
  });

  it("know how much is missing: a byte can always make it one less", () => {
    const dice = new Dice(2);
    for (let i = 0; i < width(200, 100); i++) {
      const pattern = randomPattern(dice, 4, 30), own = ofPattern(pattern);
      let set: PlaceSet | null = after(own, dice.text(["a", "b", "1"], 5));
      while (set !== null && set.missing > 0 && set.missing < Infinity) {
        const { missing } = set;
        let next: PlaceSet | null = null;
        for (let byte = 0; byte < 256 && next === null; byte++) {
          const to = own.step(set, byte);
          assert(to === null || to.missing >= missing - 1, pattern);
          if (to?.missing === missing - 1) next = to;
        }
        assert(next !== null, `/${pattern}/ stands still with ${missing} missing`);
        set = next;
      }
    }
  });

  it("count as they say, up to a thousand million", () => {
    for (
      const [pattern, texts] of [
        ["(?:ab{2}){2,3}", { abbabb: true, abbabbabb: true, abb: false, abbabbabbabb: false }],
        ["a{1000000000}", { a: false }],
        ["(?:a{1000}){1000}", { a: false }],
        ["(?:(?:a|ab){0,999999999}c){2}", { cc: true, aabcabac: true, aab: false, ccc: false }],
      ] as [string, Record<string, boolean>][]
    ) {
      for (const [text, is] of Object.entries(texts)) {
        assertStrictEquals(accepts(ofPattern(pattern), text), is, `${pattern} ${text}`);
      }
    }
    assertStrictEquals(ofPattern("(?:a{1000}){1000}").start().missing, 1e6);
    assertStrictEquals(ofPattern("(?:[ab]{1000}c){0,1000}d").start().missing, 1);
    assertStrictEquals(ofPattern("(?:[ab]{1000}c){1000,1000000}d").start().missing, 1001 * 1000 + 1);
  });
});

describe("random numbers", () => {
  it("lie between their bounds, are multiples, and none is left out", () => {
    const dice = new Dice(3);
    for (let i = 0; i < width(350, 200); i++) {
      const whole = dice.uniform() < 0.4, decimals = dice.below(4);
      const value = (): number =>
        Math.round((dice.uniform() - 0.5) * 10 ** (1 + dice.below(4) + decimals)) / 10 ** decimals;
      const [low, high] = [
        dice.uniform() < 0.3 ? -Infinity : value(),
        dice.uniform() < 0.3 ? Infinity : value(),
      ].sort((a, b) => a - b);
      const aboveLow = dice.uniform() < 0.4, belowHigh = dice.uniform() < 0.4;
      const multiple = dice.pick([null, null, null, 1, 2, 3, 5, 7, 10, 12, 0.5, 0.25, 0.1, 0.01, 1.5, 100]);
      const asked = { low, high, aboveLow, belowHigh, multiple, whole }, part = numbers(asked);
      const isOne = (x: number): boolean =>
        (aboveLow ? x > low : x >= low) && (belowHigh ? x < high : x <= high) &&
        (!whole || Number.isInteger(x)) &&
        (multiple === null || Math.abs(x / multiple - Math.round(x / multiple)) < 1e-7);
      const most = whole ? 0 : multiple === null ? 4 : (String(multiple).split(".")[1] ?? "").length;
      const own = part ? ofPart(part) : null;
      for (let k = 0; k < 30; k++) {
        let x = dice.uniform() < 0.5 ? value() : dice.below(2000) - 1000;
        if (multiple && dice.uniform() < 0.7) x = Math.round(Math.round(x / multiple) * multiple * 1e6) / 1e6;
        const text = String(x),
          expected = isOne(x) && text !== "-0" && (text.split(".")[1] ?? "").length <= most;
        if (text.includes("e")) continue;
        const found = own !== null && accepts(own, text);
        // More decimals than these may be allowed or not.
        if ((text.split(".")[1] ?? "").length <= most || found) {
          assertStrictEquals(found, expected || (found && isOne(x)), `${text} ${JSON.stringify(asked)}`);
        }
      }
      if (!own) continue;
      for (let k = 0; k < 5; k++) {
        const text = draw(own, dice, dice.below(12));
        assert(isOne(Number(text)) && JSON.parse(text) === Number(text), `${text} ${JSON.stringify(asked)}`);
      }
    }
  });
});

describe("formats", () => {
  const isDate = (text: string): boolean =>
    /^\d{4}-\d\d-\d\d$/.test(text) && new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);
  const checks: Record<string, (text: string) => boolean> = {
    date: isDate,
    time: (text) => /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/.test(text),
    "date-time": (text) =>
      isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(text)) && text[10] === "T" && text.endsWith("Z"),
    // RFC 3339, appendix A.
    duration: (text) =>
      /^P(?!$)(\d+W|(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)?(T(?=\d)(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))?)$/
        .test(text),
    // The expression of HTML, a dot in the domain, and the lengths of RFC 5321.
    email: (text) =>
      /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+$/
        .test(text) && !/\.\.|^\.|\.@/.test(text) && text.indexOf("@") <= 64 && text.length <= 254,
    hostname: (text) =>
      text.length <= 253 &&
      text.split(".").every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label)),
    ipv4: isIPv4,
    ipv6: isIPv6,
    uuid: (text) => /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text),
    uri: (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
  };

  it("are what parsers take for them", () => {
    assertEquals(Object.keys(formats).sort(), Object.keys(checks).sort());
    for (const [format, isOne] of Object.entries(checks)) {
      const own = ofSchema({ type: "string", format }), dice = new Dice(4);
      for (let i = 0; i < 60; i++) {
        const text = JSON.parse(draw(own, dice, dice.below(60)));
        assert(isOne(text), `${format}: ${text}`);
      }
    }
  });

  it("leave out nothing that one would miss", () => {
    for (
      const [format, texts] of Object.entries({
        date: ["2024-02-29", "1999-12-31", "2000-02-29"],
        "date-time": ["2024-02-29T23:59:59Z", "2024-01-31T00:00:00.123Z"],
        time: ["12:30:00Z", "12:30:00.5+02:00"],
        duration: ["P1D", "PT15M", "P3Y6M4DT12H30M5S", "P4W"],
        email: ["ann@example.com", "Ann.Lee+x@mail.example.co", "a_b-c@x-y.org"],
        hostname: ["localhost", "a.b-c.example"],
        ipv4: ["127.0.0.1", "255.255.255.0"],
        ipv6: ["::1", "::", "2001:db8::ff00:42:8329", "fe80:0:0:0:0:0:0:1"],
        uuid: ["123e4567-e89b-42d3-a456-426614174000"],
        uri: ["https://example.com/a/b?x=1", "http://localhost:8080/"],
      })
    ) {
      for (const text of texts) {
        assert(accepts(ofSchema({ type: "string", format }), JSON.stringify(text)), `${format} ${text}`);
      }
    }
  });
});

/** A random schema of what can be followed. */
function randomSchema(dice: Dice, depth: number): unknown {
  const inner = (): unknown => randomSchema(dice, depth - 1);
  const some = (n: number): number => 1 + dice.below(n);
  switch (dice.below(depth > 0 ? 13 : 8)) {
    case 0: {
      const least = dice.below(6);
      return { type: "string", minLength: least, maxLength: least + dice.below(40) };
    }
    case 1:
      return { type: "string", pattern: `^${randomPattern(dice, 2)}$` };
    case 2: {
      const low = dice.below(2000) - 1000;
      return {
        type: "integer",
        minimum: low,
        maximum: low + 20 + dice.below(9000),
        multipleOf: dice.pick([1, 1, 2, 5]),
      };
    }
    case 3:
      return {
        type: "number",
        exclusiveMinimum: dice.below(100) / 4,
        ...dice.pick([{}, { maximum: 1e6 }, { multipleOf: 0.5 }]),
      };
    case 4:
      return { type: dice.pick(["boolean", "null", "integer", "number", "string", ["boolean", "null"]]) };
    case 5:
      return {
        enum: Array.from({ length: some(5) }, (_, i) => dice.pick([i, `v${i}"\\`, null, [i], { a: i }])),
      };
    case 6:
      return { const: dice.pick(["x\n", 3, { a: [1, "b"] }, null]) };
    case 7:
      return { type: "string", format: dice.pick(Object.keys(formats)) };
    case 8:
    case 9: {
      const names = [...new Set(Array.from({ length: some(5) }, () => dice.text([...'abé"\\ '], 5)))];
      return {
        type: "object",
        properties: Object.fromEntries(names.map((name) => [name, inner()])),
        required: names.filter(() => dice.uniform() < 0.5),
        ...dice.pick([{}, { additionalProperties: false }, { title: "T", description: "d" }]),
      };
    }
    case 10: {
      const least = dice.below(3);
      return { type: "array", items: inner(), minItems: least, maxItems: least + dice.pick([0, 1, 5, 1e9]) };
    }
    case 11:
      return {
        type: "array",
        prefixItems: [inner(), inner()],
        minItems: dice.below(3),
        items: dice.pick([false, { type: "integer" }]),
      };
    default:
      return { anyOf: [inner(), inner()] };
  }
}

describe("random schemas", () => {
  it("have texts that a validator accepts", () => {
    const dice = new Dice(5);
    // deno-lint-ignore no-explicit-any
    const ajv = new (Ajv2020 as any)({ strict: false, validateFormats: false, multipleOfPrecision: 6 });
    let made = 0;
    for (let i = 0; i < width(130, 60); i++) {
      const schema = randomSchema(dice, 3);
      let own: Arena;
      try {
        own = ofSchema(schema);
        if (own.start().missing === Infinity) continue;
      } catch (error) {
        assert(error instanceof OptionError, `${JSON.stringify(schema)}: ${error}`);
        continue;
      }
      const validate = ajv.compile(schema);
      for (let k = 0; k < 4; k++) {
        const text = draw(own, dice, dice.below(80));
        made++;
        assert(
          validate(JSON.parse(text)),
          `${JSON.stringify(schema)} made ${text}: ${JSON.stringify(validate.errors)}`,
        );
      }
    }
    assert(made > width(300, 140), `${made} texts`);
  });
});

describe("masks", () => {
  it("of every place are those tokens that lead on and leave no more than there is room for", () => {
    const dice = new Dice(6), alphabet = ["a", "b", "c", "1", "é", " "];
    for (let i = 0; i < 40; i++) {
      const tokenizer = tokenizerOf(
        Array.from({ length: 200 }, (_, k) => "a" + dice.text(alphabet, k % 20 ? 3 : 11)),
      );
      const vocabulary = finish(vocabularyOf(tokenizer)), end = 7;
      const grammar = new Map([["start", parsePattern(randomPattern(dice, 4, 40))]]);
      const constraint = finish(GrammarConstraint.of(vocabulary, grammar));
      // Another automaton for the same, in which nothing is too far away to be told apart.
      const plain = new Arena(finish(Network.of(grammar, () => true)), 1e9);
      for (let run = 0; run < 3; run++) {
        const most = constraint.least + dice.below(50), text: number[] = [3];
        if (most > 1500) continue;
        const follower = constraint.follow(most, [end]);
        let set = plain.start();
        for (let made = 0; made < most; made++) {
          while (!follower.advance(text, { units: 1 + dice.below(400) }));
          const logits = new Float32Array(tokenizer.vocabSize + 3);
          follower.apply(text, logits);
          const expected = new Set<number>(set.missing === 0 ? [end] : []);
          for (let id = 0; id < vocabulary.size; id++) {
            let to: PlaceSet | null = id === end ? null : set;
            for (const byte of vocabulary.bytes(id) ?? []) to &&= plain.step(to, byte);
            if (to && to.missing <= most - made - 1) expected.add(id);
          }
          const found = new Set([...logits.keys()].filter((id) => logits[id] > -Infinity));
          assertEquals(found, expected, `after ${text}`);
          const isOver = set.missing === 0 && [...expected].every((id) => id === end);
          assertStrictEquals(follower.isOver(text), isOver);
          if (isOver) break;
          const next = dice.pick([...found]);
          text.push(next);
          if (next === end) break;
          for (const byte of vocabulary.bytes(next)!) set = plain.step(set, byte)!;
        }
        assertStrictEquals(set.missing, 0, "a text is whole in the end");
      }
    }
  });
});
