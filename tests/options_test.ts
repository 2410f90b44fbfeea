/**
 * The one mechanism that checks options: what it refuses, what it says, and the guesses it makes.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { OptionError } from "../src/core/errors.ts";
import * as kinds from "../src/core/kinds.ts";
import { hint, nearest } from "../src/core/nearest.ts";
import { byDefault, checkOptions, type Idle, type OptionTable, required } from "../src/core/options.ts";
import { show } from "../src/core/show.ts";

interface Sample {
  steps: number;
  rate?: number;
  schedule?: "constant" | "cosine";
  minRate?: number;
  requiresGrad?: boolean;
}

const table: OptionTable<Sample> = {
  steps: required(kinds.whole(1)),
  rate: byDefault(0.1, kinds.number({ above: 0, to: 1 })),
  schedule: kinds.oneOf("constant", "cosine"),
  minRate: kinds.number({ from: 0 }),
  requiresGrad: kinds.flag,
};

const idle: readonly Idle<Sample>[] = [{
  option: "minRate",
  when: ({ schedule }) => schedule === "constant",
  because: ({ schedule }) => `schedule is ${schedule}`,
  unless: 0,
}];

const check = (given: unknown): Sample => checkOptions("sample", given as Sample, table, idle);

function refused(given: unknown, message: string): void {
  const error = assertThrows(() => check(given), OptionError);
  assertEquals(error.message, message);
}

describe("options", () => {
  it("that are right are given back", () => {
    const given = { steps: 3, rate: 1 };
    assertStrictEquals(check(given), given);
  });

  it("that are undefined were not given", () => {
    const kept = check({ steps: 3, rate: undefined, schedule: "constant", minRate: undefined });
    assertEquals(Object.keys(kept), ["steps", "schedule"]);
    refused({ steps: undefined }, "sample: steps is missing, expected a whole number from 1");
    refused(undefined, "sample: steps is missing, expected a whole number from 1");
  });

  it("of no known name are refused with the nearest one, or with all where none is near", () => {
    refused(
      { steps: 1, requires_grad: true },
      `sample: there is no option "requires_grad"; did you mean "requiresGrad"?`,
    );
    refused(
      { steps: 1, min: 0 },
      `sample: there is no option "min"; there are "steps", "rate", "schedule", "minRate", "requiresGrad"`,
    );
    refused(
      { steps: 1, toString: 0 },
      `sample: there is no option "toString"; there are "steps", "rate", "schedule", "minRate", "requiresGrad"`,
    );
    refused(
      JSON.parse(`{ "steps": 1, "__proto__": 0 }`),
      `sample: there is no option "__proto__"; there are "steps", "rate", "schedule", "minRate", "requiresGrad"`,
    );
    refused({ steps: 1, ratte: undefined }, `sample: there is no option "ratte"; did you mean "rate"?`);
    refused(
      Object.assign(Object.create({ stepz: 2 }), { steps: 1 }),
      `sample: there is no option "stepz"; did you mean "steps"?`,
    );
  });

  it("of another kind are shown beside what was expected", () => {
    refused({ steps: 0 }, "sample: steps is 0, expected a whole number from 1");
    refused({ steps: 1, rate: NaN }, "sample: rate is NaN, expected a number above 0 up to 1");
    refused({ steps: 1, rate: null }, "sample: rate is null, expected a number above 0 up to 1");
    refused(
      { steps: 1, schedule: "linear" },
      `sample: schedule is "linear", expected "constant" or "cosine"`,
    );
    refused({ steps: 1, requiresGrad: 1 }, "sample: requiresGrad is 1, expected true or false");
  });

  it("without effect are refused with the reason, unless their value is what happens anyway", () => {
    refused(
      { steps: 1, schedule: "constant", minRate: 0.1 },
      "sample: minRate has no effect because schedule is constant; leave it out",
    );
    assertEquals(check({ steps: 1, schedule: "constant", minRate: 0 }).minRate, 0);
    assertEquals(check({ steps: 1, schedule: "cosine", minRate: 0.1 }).minRate, 0.1);
  });

  it("are an object", () => {
    for (
      const [given, shown] of [[5, "5"], ["f32", `"f32"`], [null, "null"], [[1], "[1]"], [
        () => 1,
        "a function",
      ]]
    ) {
      refused(given, `sample: the options are ${shown}, expected an object with steps, rate, schedule …`);
    }
    refused(
      new Float32Array(3),
      "sample: the options are a Float32Array, expected an object with options by name",
    );
    refused(
      new Map([["steps", 2]]),
      "sample: the options are a Map, expected an object with options by name",
    );
    class Layer {
      weight = 1;
    }
    refused(new Layer(), "sample: the options are a Layer, expected an object with options by name");
  });
});

describe("kinds", () => {
  it("say what they accept", () => {
    const { number, whole, either, orNull, listOf, text, oneOf } = kinds;
    assertEquals(
      [
        number(),
        number({ from: 0 }),
        number({ from: 0, to: 1 }),
        number({ above: 0 }),
        number({ from: 0, below: 1 }),
        number({ to: 2 }),
        number({ below: 2 }),
        whole(),
        whole(1, 5),
        orNull(whole(0)),
        either(text, whole()),
        oneOf("a", "b", null),
      ].map(({ expected }) => expected),
      [
        "a number",
        "a number from 0",
        "a number from 0 to 1",
        "a number above 0",
        "a number from 0 and below 1",
        "a number up to 2",
        "a number below 2",
        "a whole number",
        "a whole number from 1 to 5",
        "a whole number from 0, or null",
        "a text or a whole number",
        `"a", "b" or null`,
      ],
    );
    const accepted = (of: kinds.Kind, ...values: unknown[]): boolean[] => values.map((v) => of.accepts(v));
    assertEquals(accepted(number({ above: 0, below: 1 }), 0, 1, 0.5, NaN, "0.5", null), [
      false,
      false,
      true,
      false,
      false,
      false,
    ]);
    assertEquals(accepted(whole(0, 3), 0, 3, 4, 1.5, 1n, -1, 2 ** 53), [
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    assertEquals(accepted(listOf(whole(0), "ids"), [], [1], [1.5], "1", new Int32Array(1)), [
      true,
      true,
      false,
      false,
      false,
    ]);
    assertEquals(accepted(kinds.abortSignal, new AbortController().signal, new AbortController(), null), [
      true,
      false,
      false,
    ]);
    assertEquals(accepted(kinds.like("a file", "read"), { read: 1 }, {}, null, 5), [
      true,
      false,
      false,
      false,
    ]);
  });

  it("read texts of a command line", () => {
    const read = (of: kinds.Kind, raw: string): unknown => {
      const value = of.read ? of.read(raw) : raw;
      return of.accepts(value) ? value : undefined;
    };
    assertEquals(
      ["5", "5.0", "1e3", "", " ", "a", "0x10", "1.5"].map((raw) => read(kinds.whole(), raw)),
      [5, 5, 1000, undefined, undefined, undefined, 16, undefined],
    );
    assertStrictEquals(read(kinds.oneOf("f32", "f16"), "f32"), "f32");
  });
});

describe("values in messages", () => {
  it("are short and never mistaken for others", () => {
    const given: [unknown, string][] = [
      [NaN, "NaN"],
      [-Infinity, "-Infinity"],
      [-0, "-0"],
      [5n, "5n"],
      ["a\n", `"a\\n"`],
      ["x".repeat(1000), `"${"x".repeat(60)}"… (1000 characters)`],
      [undefined, "undefined"],
      [() => 1, "a function"],
      [class Layer {}, "the class Layer"],
      [Array.from({ length: 1000 }, (_, i) => i), "[0, 1, 2, 3, 4, … 1000 in all]"],
      [[[[1]]], "[[a list of 1]]"],
      [{ a: { b: NaN } }, "{ a: { b: NaN } }"],
      [{}, "{}"],
      [new Map(), "a Map"],
      [new Error("x"), "an Error"],
      [Object.create(null), "{}"],
      [Symbol("x"), "Symbol(x)"],
    ];
    for (const [value, shown] of given) assertStrictEquals(show(value), shown);
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    assert(show(circle).length < 100);
  });
});

describe("guesses", () => {
  const names = [
    "dtype",
    "device",
    "clipNorm",
    "requiresGrad",
    "maxNewTokens",
    "learningRate",
    "numBeams",
    "delimiter",
    "model",
    "temperature",
    "prompt",
  ];

  it("are made where a name is near", () => {
    const near: [string, string][] = [
      ["dtyp", "dtype"],
      ["dytpe", "dtype"],
      ["DTYPE", "dtype"],
      ["clip", "clipNorm"],
      ["requires_grad", "requiresGrad"],
      ["requiresGradient", "requiresGrad"],
      ["max_tokens", "maxNewTokens"],
      ["max-new-tokens", "maxNewTokens"],
      ["lr", "learningRate"],
      ["beams", "numBeams"],
      ["delimitr", "delimiter"],
    ];
    for (const [word, name] of near) assertStrictEquals(nearest(word, names), name, word);
  });

  it("are not made where none is", () => {
    for (
      const word of ["prompt_cache_key", "verbosity", "x", "", "foo", "safety_identifier", "d".repeat(1e6)]
    ) {
      assertStrictEquals(nearest(word, names), undefined, word.slice(0, 20));
    }
    // What is not shared is another word, however much is shared.
    const fields = ["cache_prompt", "reasoning_format", "penalty_last_n", "maxNewTokens", "minLength"];
    for (const word of ["safe_prompt", "encoding_format", "penalty_alpha", "maxOldTokens", "minWidth"]) {
      assertStrictEquals(nearest(word, fields), undefined, word);
    }
    for (const [i, word] of ["cach_prompt", "reasonin_format", "penalty_lst_n", "maxTokens"].entries()) {
      assertStrictEquals(nearest(word, fields), fields[i], word);
    }
    assertStrictEquals(hint("foo", ["a", "b"], (name) => `--${name}`), "; there are --a, --b");
    assertStrictEquals(hint("foo", Array.from({ length: 50 }, (_, i) => `name${i}`)), "");
    assertStrictEquals(hint("foo", []), "");
  });
});
