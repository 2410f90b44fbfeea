/**
 * Formats made to hurt: each is followed, or refused in one sentence, in work and memory that are bounded, and never in one
 * piece.
 */
import { assert, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { before, describe, it } from "node:test";
import { type BpeTokenizer, formatLimits, OptionError } from "../mod.ts";
import { finish, Slicer, type Steps } from "../src/core/steps.ts";
import { turn } from "../src/core/turn.ts";
import type { GrammarConstraint } from "../src/generate/constraint/constraint.ts";
import {
  constraintSteps,
  keptBytes,
  type ResponseFormat,
  vocabularyOf,
} from "../src/generate/constraint/mod.ts";
import { Dice, manyTexts, randomPattern, tokenizerOf } from "./_constraint.ts";
import { width } from "./_width.ts";

/**
 * The most units that may pass between two looks at the rest of the world: a slice, and one step that goes beyond. A slice of
 * the event loop is 20,000, so this is a small part of it.
 */
const mostAtOnce = 24_000, slice = 1000;

/** How many entries of tables, sets and lists are touched for each unit that is charged, at most. */
const mostTouched = 6;

const tables: readonly [object, string][] = [
  [Map.prototype, "get"],
  [Map.prototype, "set"],
  [Set.prototype, "add"],
  [Array.prototype, "push"],
];

/** Calls of what every loop here does, from now on until the end. */
function counting(): { count(): number } & Disposable {
  let count = 0;
  const before = tables.map(([object, name]) => (object as Record<string, unknown>)[name]);
  tables.forEach(([object, name], i) => {
    const own = before[i] as (...args: unknown[]) => unknown;
    (object as Record<string, unknown>)[name] = function (this: unknown, ...args: unknown[]) {
      count++;
      return own.apply(this, args);
    };
  });
  return {
    count: () => count,
    [Symbol.dispose]: () =>
      tables.forEach(([object, name], i) => (object as Record<string, unknown>)[name] = before[i]),
  };
}

const schemaFormat = (schema: unknown): ResponseFormat => ({ type: "json_schema", schema });
const pattern = (text: string): ResponseFormat => ({ type: "regex", pattern: text });

interface Followed {
  text: string;
  /** The most units between two looks. */
  most: number;
  units: number;
  /** The most entries that were touched for a unit, of pieces in which that is many. */
  touched: number;
  error: string | null;
}

describe("hostile formats", () => {
  let tokenizer: BpeTokenizer;
  before(() => {
    tokenizer = tokenizerOf(manyTexts(new Dice(1), 6000));
    finish(vocabularyOf(tokenizer));
  });

  /** Prepares a format and makes a text of it, and counts. Errors are OptionErrors of one sentence. */
  function follow(format: ResponseFormat, tokens: number, seed = 1): Followed {
    const dice = new Dice(seed), made: Followed = { text: "", most: 0, units: 0, touched: 0, error: null };
    using touches = counting();
    let before = 0;
    const count = (units: number): void => {
      made.units += units;
      made.most = Math.max(made.most, units);
      const touched = touches.count() - before;
      if (touched > 1000) made.touched = Math.max(made.touched, touched / units);
      before = touches.count();
    };
    const counted = <T>(steps: Steps<T>): T => {
      for (;;) {
        const step = steps.next();
        if (step.done) return step.value;
        count(step.value);
      }
    };
    try {
      const constraint = counted(constraintSteps(tokenizer, format)) as GrammarConstraint;
      const follower = constraint.follow(tokens, []), ids: number[] = [];
      for (let i = 0; i < tokens; i++) {
        for (;;) {
          const allowance = { units: slice }, isKnown = follower.advance(ids, allowance);
          count(slice - allowance.units);
          if (isKnown) break;
        }
        if (follower.isOver(ids)) break;
        const logits = Float32Array.from({ length: tokenizer.vocabSize }, () => dice.uniform());
        follower.apply(ids, logits);
        before = touches.count();
        let best = 0;
        for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
        assert(logits[best] > -Infinity, "something is always allowed");
        ids.push(best);
      }
      made.text = tokenizer.decode(ids);
    } catch (error) {
      assert(error instanceof OptionError, `${error} ${(error as Error).stack}`);
      assert(error.message.length < 500 && !error.message.includes("\n"), error.message.slice(0, 1000));
      made.error = error.message;
    }
    return made;
  }

  const properties = (n: number, more = {}): unknown => ({
    type: "object",
    properties: Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, { type: "null" }])),
    ...more,
  });
  let deep: unknown = { type: "integer" };
  for (let i = 0; i < 100_000; i++) deep = { items: deep };
  const chain: Record<string, unknown> = { d2000: { type: "null" } };
  for (let i = 0; i < 2000; i++) chain[`d${i}`] = { type: "array", items: { $ref: `#/$defs/d${i + 1}` } };
  const dense: Record<string, unknown> = {};
  for (let i = 0; i < 300; i++) {
    dense[`d${i}`] = {
      anyOf: Array.from({ length: 8 }, (_, k) => ({ $ref: `#/$defs/d${(i * 7 + k * 31) % 300}` })),
    };
  }
  (dense.d5 as { anyOf: unknown[] }).anyOf.push({ type: "integer" });

  /** What each gives: a text of this form, or an error that says this. */
  const hostile: Record<string, [format: ResponseFormat, expected: RegExp]> = {
    "maxItems: 1e9": [
      schemaFormat({ type: "array", items: { type: "integer" }, maxItems: 1e9 }),
      /^\[.*\]$/s,
    ],
    "maxItems: 1e9 of anything": [schemaFormat({ maxItems: 1e9 }), /^\[.*\]$/s],
    "minItems: 1e9": [
      schemaFormat({ type: "array", minItems: 1e9 }),
      /shortest allowed text takes up to 2000000001 tokens/,
    ],
    "minItems: 9": [
      schemaFormat({ type: "array", items: { type: "boolean" }, minItems: 9 }),
      /^\[((true|false)(, ?|\])){9}/,
    ],
    "maxLength: 1e9": [schemaFormat({ type: "string", maxLength: 1e9 }), /^".*"$/s],
    "minLength: 1e9": [
      schemaFormat({ type: "string", minLength: 1e9 }),
      /shortest allowed text takes up to 1000000002 tokens/,
    ],
    "lists of lists of 1e9": [
      schemaFormat({
        type: "array",
        maxItems: 1e9,
        items: { type: "array", maxItems: 1e9, items: { type: "string", maxLength: 1e9 } },
      }),
      /^\[.*\]$/s,
    ],
    "(a{1000}){1000}": [pattern("(a{1000}){1000}"), /shortest allowed text takes up to 1000000 tokens/],
    "(a{0,1000}){0,1000}": [pattern("(a{0,1000}){0,1000}"), /^a*$/],
    "((a|aa){1,1000}b?){1,1000}": [pattern("((a|aa){1,1000}b?){1,1000}"), /^[ab]+$/],
    "((a{0,9}){0,9}){0,9}…": [pattern("(".repeat(60) + "a" + "{0,9})".repeat(60)), /^a*$/],
    "(((a*)*)*)*b": [pattern("(".repeat(50) + "a*" + ")*".repeat(50) + "b"), /^a*b$/],
    "many ways": [
      pattern(`(${Array.from({ length: 300 }, (_, i) => `[a-z]{${i}}x`).join("|")})`),
      /^[a-z]+$/,
    ],
    "ways without end": [pattern("(.*a.{400}){1,9}"), /./],
    "hundreds of optional repeats": [
      pattern(Array.from({ length: 500 }, (_, i) => `(x${i}?){0,${i + 2}}`).join("")),
      /^[x\d]*$/,
    ],
    "a long class": [
      pattern(`[${Array.from({ length: 3000 }, (_, i) => String.fromCharCode(0x4e00 + 2 * i)).join("")}]`),
      /a class has 3000 ranges/,
    ],
    "many classes": [pattern("[^a-z\\d\\s]".repeat(1000) + "?"), /shortest allowed text takes/],
    "a long pattern": [pattern("a".repeat(20_000)), /20000 characters, and 16384 may be/],
    "5,000 groups": [pattern("(".repeat(5000) + "a" + ")".repeat(5000)), /more than 200 deep/],
    "a{99999999999}": [pattern("a{0,99999999999}"), /at most 1000000000 times/],
    "15,000 properties": [schemaFormat(properties(15_000)), /more than 131072 characters/],
    "4,000 properties": [schemaFormat(properties(4000)), /more than 2048 ways/],
    "1,000 properties": [schemaFormat(properties(1000)), /^\{.*\}$/],
    "4,000 required properties": [
      schemaFormat(properties(3000, { required: Array.from({ length: 3000 }, (_, i) => `p${i}`) })),
      /shortest allowed text/,
    ],
    "a name of 60,000 characters": [
      schemaFormat({ properties: { ["x".repeat(60_000)]: true }, required: ["x".repeat(60_000)] }),
      /shortest allowed text/,
    ],
    "an unknown keyword of 100,000 characters": [
      schemaFormat({ type: "string", ["x".repeat(100_000)]: true }),
      /cannot be followed for string/,
    ],
    "references in a ring": [
      schemaFormat({ $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } }),
      /^responseFormat: no text is ever whole, as #\/\$defs\/(a, #\/\$defs\/b|b, #\/\$defs\/a) always need each other/,
    ],
    "a ring of one": [
      schemaFormat({
        $ref: "#/$defs/a",
        $defs: { a: { type: "array", minItems: 1, items: { $ref: "#/$defs/a" } } },
      }),
      /as #\/\$defs\/a always needs itself once more/,
    ],
    "nothing": [pattern("a[]"), /allows no text at all/],
    "a reference to itself": [schemaFormat({ anyOf: [{ $ref: "#" }, { type: "null" }] }), /^null$/],
    "references through lists and objects": [
      schemaFormat({
        $ref: "#/$defs/a",
        $defs: {
          a: { anyOf: [{ $ref: "#/$defs/b" }, { type: "array", items: { $ref: "#/$defs/a" } }] },
          b: { anyOf: [{ $ref: "#/$defs/a" }, { type: "object", properties: { x: { $ref: "#/$defs/b" } } }] },
        },
      }),
      /^[[{].*[\]}]$/,
    ],
    "a chain of 2,000 references": [schemaFormat({ $ref: "#/$defs/d0", $defs: chain }), /^\[.*\]$/],
    "references everywhere": [schemaFormat({ $ref: "#/$defs/d0", $defs: dense }), /^-?\d+$/],
    "100,000 deep": [schemaFormat(deep), /more than 100 deep/],
    "5,000 texts": [
      schemaFormat({ enum: Array.from({ length: 5000 }, (_, i) => `value ${i * 7919 % 5000}`) }),
      /^"value \d+"$/,
    ],
    "texts that are each other's beginnings": [
      schemaFormat({ enum: Array.from({ length: 400 }, (_, i) => "a".repeat(i)) }),
      /^"a*"$/,
    ],
    "a choice of all tokens of a schema": [
      schemaFormat({ anyOf: Array.from({ length: 2000 }, (_, i) => ({ const: i, title: "x" })) }),
      /^\d+$/,
    ],
    "numbers in thousands of ways": [
      schemaFormat({
        anyOf: Array.from({ length: 500 }, (_, i) => ({ type: "number", minimum: i, multipleOf: 0.05 })),
      }),
      /^\d|0 tokens took \d+ steps/,
    ],
    "the deepest nests": [
      pattern("(".repeat(190) + "(a|aa|aaa|b)" + "{1,99})".repeat(190)),
      /./,
    ],
    "numbers of all sizes": [
      schemaFormat({
        type: "array",
        items: { type: "number", multipleOf: 0.05, minimum: -1e9 },
        minItems: 4,
        maxItems: 4,
      }),
      /^\[.*\]$/,
    ],
    "a multiple without end": [schemaFormat({ type: "number", multipleOf: 5e-324 }), /there is no number/],
    "bounds beyond all": [
      schemaFormat({ type: "integer", minimum: 1e300, maximum: 1e301 }),
      /there is no whole number/,
    ],
  };
  for (const [name, [format, expected]] of Object.entries(hostile)) {
    it(name, () => {
      const { text, most, touched, error } = follow(format, 60);
      assertMatch(error ?? text, expected);
      assert(most <= mostAtOnce, `${most} units at once`);
      assert(touched <= mostTouched, `${touched} entries for each unit that is charged`);
      assert(keptBytes() <= formatLimits.keptBytes + 3 * formatLimits.bytes, `${keptBytes()} bytes`);
    });
  }

  it("of every kind that a seed gives", () => {
    const dice = new Dice(2), big = (): number => dice.pick([0, 1, 2, 50, 1000, 1e6, 1e9]);
    const hostileSchema = (depth: number): unknown => {
      const least = dice.uniform() < 0.8 ? 0 : big(), inner = (): unknown => hostileSchema(depth - 1);
      switch (dice.below(depth > 0 ? 7 : 3)) {
        case 0:
          return { type: "string", minLength: least, maxLength: least + big() };
        case 1:
          return { type: "string", pattern: hostilePattern(3) };
        case 2:
          return { $ref: `#/$defs/${dice.below(20)}` };
        case 3:
          return { type: "array", items: inner(), minItems: least, maxItems: least + big() };
        case 4:
          return { anyOf: Array.from({ length: 1 + dice.below(8) }, inner) };
        case 5:
          return {
            type: "object",
            properties: Object.fromEntries(
              Array.from({ length: dice.below(40) }, (_, i) => [`${"n".repeat(dice.below(9))}${i}`, inner()]),
            ),
          };
        default:
          return { type: "object", additionalProperties: inner() };
      }
    };
    const hostilePattern = (depth: number): string => {
      const inner = randomPattern(dice, 2, 50),
        count = dice.pick(["*", "+", "{0,1000}", "{1,1000000}", "{3}", "{1000}", "?"]);
      return depth === 0 ? inner : `(?:${hostilePattern(depth - 1)}${dice.pick(["", "|"])}${inner})${count}`;
    };
    for (let i = 0; i < width(40, 20); i++) {
      const format = i % 3
        ? schemaFormat({
          ...hostileSchema(3) as object,
          $defs: Object.fromEntries(Array.from({ length: 20 }, (_, k) => [k, hostileSchema(2)])),
        })
        : pattern(hostilePattern(4));
      const { most, units, touched } = follow(format, 12, i);
      assert(touched <= mostTouched, `${touched} entries for each unit: ${JSON.stringify(format)}`);
      assert(most <= mostAtOnce, `${most} units at once: ${JSON.stringify(format)}`);
      // Each token may go through the vocabulary so often, and no more.
      assert(
        units < (12 + formatLimits.ahead) * formatLimits.walks * 50_000,
        `${units} units: ${JSON.stringify(format)}`,
      );
    }
    assert(keptBytes() <= formatLimits.keptBytes + 3 * formatLimits.bytes, `${keptBytes()} bytes`);
  });

  it("of hundreds of ways that stay open are refused after a few walks, whatever they are made of", () => {
    const walk = finish(vocabularyOf(tokenizer)).byte.length + 20_000;
    const branches = (of: (i: number) => string): ResponseFormat =>
      pattern(Array.from({ length: 300 }, (_, i) => of(i + 1)).join("|"));
    const formats = {
      ".*c.{i}": branches((i) => `.*c.{${i}}`),
      "nested counts": branches((i) => `(.{1,${i + 1}}c.{${i}}){1,9}`),
      "classes and counts": branches((i) => `[^a-z\\u00e9]*\\w{${i}}`),
      "one end": pattern(`(${Array.from({ length: 1000 }, (_, i) => `p${i}suffix`).join("|")})*`),
      "1,000 patterns": schemaFormat({
        anyOf: Array.from({ length: 1000 }, (_, i) => ({ type: "string", pattern: `.*c.{${i}}` })),
      }),
      "1,000 objects": schemaFormat({
        anyOf: Array.from({ length: 1000 }, (_, i) => properties(1, { title: `${i}` })),
      }),
    };
    const errors: string[] = [];
    for (const [name, format] of Object.entries(formats)) {
      const { units, most, error } = follow(format, 12);
      if (error) errors.push(`${name}: ${error}`);
      assert(
        units <= (12 + formatLimits.ahead) * formatLimits.walks * walk + 1e6,
        `${name}: ${units} units, a walk is ${walk}`,
      );
      assert(most <= mostAtOnce, `${name}: ${most} units at once`);
    }
    const said = errors.join("\n");
    assertMatch(said, /^\.\*c\.\{i\}: .* make the format less ambiguous$/m);
    assertMatch(said, /^1,000 patterns: .* more than 2048 ways/m);
    const began = /^nested counts: responseFormat: (\d+) tokens? took (\d+) steps/m.exec(said);
    assert(
      began &&
        Number(began[2]) <= (Number(began[1]) + formatLimits.ahead) * formatLimits.walks * walk + mostAtOnce,
      said,
    );
  });

  it("are refused by what is wrong with them, and keep nothing", () => {
    const before = keptBytes();
    for (
      const bad of [pattern("("), schemaFormat({ type: "x" }), { type: "x" } as never, pattern(5 as never)]
    ) {
      assertThrows(() => finish(constraintSteps(tokenizer, bad)), OptionError);
    }
    assertStrictEquals(keptBytes(), before);
  });

  it("read a vocabulary together that nobody has read yet, whoever leaves meanwhile", () => {
    const texts = [...manyTexts(new Dice(3), 500)];
    const steps = (count: number): number => {
      const own = tokenizerOf(texts), all = Array.from({ length: count }, () => vocabularyOf(own));
      let units = 0;
      for (let turns = 0;; turns++) {
        // The first of several leaves in the middle.
        const one = all[turns % all.length], next = one.next();
        if (turns === 100 && all.length > 1) all.shift()!.return(undefined as never);
        if (!next.done) units += next.value;
        else {
          assert(all.every((other) => other === one || finish(other) === next.value));
          return units;
        }
      }
    };
    assertStrictEquals(steps(7), steps(1));
  });

  it("of one vocabulary share it, and masks that are equal", () => {
    const vocabulary = finish(vocabularyOf(tokenizer)), masks = new Set<Uint32Array>();
    let asked = 0;
    for (let i = 0; i < 35; i++) {
      const constraint = finish(
        constraintSteps(
          tokenizer,
          schemaFormat({
            type: "object",
            properties: { [`name${i}`]: { type: "string" } },
            required: [`name${i}`],
          }),
        ),
      )!;
      assertStrictEquals(constraint.vocabulary, vocabulary);
      const follower = constraint.follow(400, []), ids = tokenizer.encode(`{"name${i}":"some words`);
      follower.advance([], { units: Infinity });
      const text: number[] = [];
      for (const id of ids) {
        text.push(id);
        follower.advance(text);
        masks.add(follower.allowed!);
        asked++;
      }
    }
    // Inside of a string the same may come, whatever the string is called.
    assert(asked > 500 && masks.size < 80, `${masks.size} masks of ${asked}`);
    const each = vocabulary.size / 8;
    assert(keptBytes() < 35 * (100_000 + 60 * each), `${keptBytes()} bytes`);
  });
});

describe("work in slices", () => {
  it("is done for all who wait in turns, none of them longer than a slice", async () => {
    const slicer = new Slicer({ units: 100 }), order: string[] = [];
    const work = function* (name: string, steps: number): Steps<string> {
      for (let i = 0; i < steps; i++) {
        order.push(name);
        yield 50;
      }
      return name;
    };
    let turns = 0, isDone = false;
    const clock = (async () => {
      for (; !isDone; turns++) await turn();
    })();
    const found = await Promise.all([
      slicer.run(work("a", 10)),
      slicer.run(work("b", 2)),
      slicer.run(work("c", 3)),
    ]);
    isDone = true;
    await clock;
    assert(found.join() === "a,b,c" && slicer.largest <= 150, `${slicer.largest}`);
    assert(turns >= 5, "others have their turns");
    // The long one does not keep the short ones.
    assert(
      order.lastIndexOf("b") < order.lastIndexOf("a") && order.lastIndexOf("c") < order.lastIndexOf("a"),
      order.join(),
    );
  });

  it("is cut by the clock where units take long", async () => {
    let time = 0, turns = 0, isDone = false;
    const slicer = new Slicer({ units: 1000, milliseconds: 5, now: () => time });
    const slow = function* (): Steps<void> {
      for (let i = 0; i < 20; i++) {
        time += 3;
        yield 1;
      }
    };
    const clock = (async () => {
      for (; !isDone; turns++) await turn();
    })();
    await slicer.run(slow());
    isDone = true;
    await clock;
    // Two of them are longer than five.
    assert(slicer.largest <= 2 && turns >= 10, `${slicer.largest} units, ${turns} turns`);
  });

  it("ends with what it throws, and when it is no longer wanted", async () => {
    const slicer = new Slicer({ units: 10 }), controller = new AbortController();
    const endless = function* (): Steps<void> {
      for (;;) yield 10;
    };
    const failing = function* (): Steps<void> {
      yield 10;
      throw new OptionError("no");
    };
    const one = slicer.run(endless(), controller.signal), other = slicer.run(failing());
    const errors = Promise.allSettled([one, other]);
    await turn();
    controller.abort();
    const [first, second] = await errors;
    assertStrictEquals((first as PromiseRejectedResult).reason.name, "CancelledError");
    assertStrictEquals((second as PromiseRejectedResult).reason.message, "no");
    assertStrictEquals(slicer.waiting, 0);
  });
});
