/**
 * How the command reads its arguments, what its help says, and what it answers to a call that is wrong.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Command, help, inFlags, parse, UsageError } from "../cli/command.ts";
import { number, oneOf, whole } from "../src/core/kinds.ts";
import { commands } from "../cli/commands/mod.ts";
import { formatBytes, formatSeconds } from "../cli/output.ts";
import { splitText } from "../cli/text.ts";
import { version } from "../cli/version.ts";
import { call, fails, output } from "./_command.ts";
import { repository } from "./_data.ts";

const sample: Command = {
  name: "sample",
  usage: "[TEXT]",
  summary: "Does nothing.",
  positionals: [0, 1],
  options: {
    count: { short: "n", value: "N", kind: whole(0, 9), help: "a whole number" },
    rate: { value: "R", kind: number(), help: "any number" },
    kind: { value: "K", kind: oneOf("one", "two"), help: "one or the other" },
    stop: { value: "TEXT", multiple: true, help: "again for more" },
    quiet: { help: "a flag" },
  },
  run: () => Promise.resolve(),
};

function wrong(args: string[], pattern: RegExp): void {
  {
    const e = assertThrows(() => parse(sample, args), Error);

    assert(e instanceof UsageError, String(e));

    assertMatch(e.message, pattern);
  }
}

describe("arguments", () => {
  it("become values", () => {
    const { values, positionals } = parse(sample, [
      "-n",
      "3",
      "--rate=-0.5",
      "text",
      "--stop",
      "a",
      "--stop",
      "b",
      "--quiet",
    ]);
    assertEquals(positionals, ["text"]);
    assertEquals([values.number("count"), values.number("rate"), values.texts("stop")], [3, -0.5, [
      "a",
      "b",
    ]]);
    assertEquals([values.flag("quiet"), values.flag("json"), values.has("kind")], [true, false, false]);
    assertStrictEquals(parse(sample, ["--rate", "-2e-3"]).values.number("rate"), -0.002);
    assertEquals(parse(sample, ["--", "--quiet"]).positionals, ["--quiet"]);
    assertEquals(parse(sample, ["-"]).positionals, ["-"]);
  });

  it("that are wrong are named", () => {
    wrong(["--cuont", "3"], /sample has no option --cuont; did you mean --count\?/);
    wrong(["--cuont=3"], /no option --cuont;/);
    wrong(["-x"], /no option -x/);
    wrong(["-n"], /^--count needs a value: --count N, or --count=N where that begins with a dash$/);
    wrong(["--stop", "-x"], /^--stop needs a value/);
    // One letter of the short form, or the first of one option alone.
    wrong(["--n", "3"], /no option --n; did you mean -n, --count\?/);
    wrong(["-q"], /no option -q; did you mean --quiet\?/);
    wrong(["--cnt", "3"], /did you mean --count\?/);
    wrong(["-n", "a"], /--count is a whole number from 0 to 9, not "a"/);
    wrong(["-n", "10"], /from 0 to 9, not "10"/);
    wrong(["--count", "-1"], /from 0 to 9, not "-1"/);
    wrong(["-n", "1.5"], /whole number/);
    wrong(["-n", ""], /whole number/);
    wrong(["--rate", "Infinity"], /--rate is a number, not "Infinity"/);
    wrong(["--kind", "three"], /--kind is "one" or "two", not "three"/);
    wrong(["--quiet=1"], /^--quiet takes no value; leave it away$/);
    wrong(["a", "b"], /usage: ferrotype sample \[TEXT\]; found "a" "b"/);
  });
});

describe("what the library says of its options", () => {
  const flags = { "num-beams": {}, "cache-dtype": {}, "seed": {}, "stop": {}, "temperature": {} };
  const more = { "lora": {}, "lora-targets": {} }, calls = { "lora-targets": "targets" };
  const command = { ...sample, options: { ...flags, ...more } as unknown as Command["options"], calls };

  it("is said of the command's flags", () => {
    for (
      const [library, expected] of [
        ["generate: numBeams: 3 excludes numBeams", "sample: --num-beams 3 excludes --num-beams"],
        ["CausalLM.load: seed is 3", "sample: --seed is 3"],
        // A file is named as it is.
        ["config.json: seed is 3", "config.json: --seed is 3"],
        ["cacheDType is q9; did you mean cacheDType?", "--cache-dtype is q9; did you mean --cache-dtype?"],
        [
          "temperature acts only when sampling, which temperature: 0.5 is",
          "--temperature acts only when sampling, which --temperature 0.5 is",
        ],
        ["seed is 1.5, expected a whole number", "--seed is 1.5, expected a whole number"],
        // Words of a sentence, names of other things, and flags that are flags already.
        ["the seed of the run, the stop sign", "the seed of the run, the stop sign"],
        ["myNumBeams, numBeamsToo and x-numBeams", "myNumBeams, numBeamsToo and x-numBeams"],
        ["--seed is 3", "--seed is 3"],
        // What begins with the name of an option, and no function's.
        ["numBeams: 3 rows are too few", "sample: --num-beams: 3 rows are too few"],
        ['stop: "a" is none', 'sample: --stop: "a" is none'],
        ["randomSeed is 3", "randomSeed is 3"],
        // An option of a function called as a flag is, and a word that the library calls otherwise.
        [
          'lora: targets has "q", which no layer is called',
          'sample: --lora-targets has "q", which no layer is called',
        ],
        ["lora: the model has no layers", "sample: --lora: the model has no layers"],
      ]
    ) assertStrictEquals(inFlags(library, command), expected);
  });

  it("is said so by the command", async () => {
    for (
      const [args, message] of [
        [
          ["--temperature", "0", "--top-k", "5"],
          /--top-k acts only when sampling, which --temperature 0 excludes/,
        ],
        [["--num-beams", "3", "--top-p", "0.5", "--temperature", "0"], /--top-p acts only when sampling/],
      ] as const
    ) await fails(2, ["generate", "A", "-n", "1", ...args], message);
  });
});

describe("an option that takes one value", () => {
  it("is refused by name where it is given twice, in every command and task", () => {
    for (const command of [...commands, sample]) {
      for (const [name, { value, multiple, short }] of Object.entries(command.options)) {
        if (value === undefined || multiple) continue;
        const forms = [[`--${name}=1`, `--${name}`, "2"], [`--${name}`, "1", `--${name}=2`]];
        if (short) forms.push([`-${short}`, "1", `--${name}`, "2"], [`-${short}1`, `-${short}2`]);
        for (const args of forms) {
          const { message } = assertThrows(() => parse(command, args), UsageError);
          assertStrictEquals(message, `--${name} is given twice, as "1" and "2"; give it once`, command.name);
        }
      }
    }
    // Behind -- are plain arguments, and a flag says the same each time.
    parse(sample, ["--quiet", "--quiet", "-n", "1", "--", "-n2"]);
  });

  it("and one that takes many are refused by name where the same value is given twice", () => {
    const many: string[] = [];
    for (const command of [...commands, sample]) {
      for (const [name, { value, multiple, kind }] of Object.entries(command.options)) {
        if (value === undefined) continue;
        if (multiple) many.push(name);
        const one = String(kind?.choices?.[0] ?? "1");
        for (
          const args of [[`--${name}=${one}`, `--${name}`, one], [`--${name}`, one, "a", `--${name}=${one}`]]
        ) {
          const { message } = assertThrows(() => parse(command, args), UsageError);
          assertStrictEquals(message, `--${name} is given twice as "${one}"; give it once`, command.name);
        }
      }
    }
    for (const name of ["keep", "ignore", "missing", "stop", "decimal"]) assert(many.includes(name), name);
    assertEquals(parse(sample, ["--stop", "a", "--stop", "b", "--", "a"]).values.texts("stop"), ["a", "b"]);
  });

  it("is refused where a row or a column is given it twice", async () => {
    for (
      const [args, pattern] of [
        [["tabular", "predict", "m", "a=1", "b=2", "a=3"], /the row gives "a" twice; give it once/],
        [["tabular", "explain", "m", "a=1", "a=1"], /the row gives "a" twice/],
        [["tabular", "predict", "m", '{"a": "a\\": ", "b": 2, "\\u0061": 1}'], /the row gives "a" twice/],
        [
          ["tabular", "train", "x", "-o", "m", "--decimal", ",", "--decimal", "."],
          /--decimal is given twice/,
        ],
        [
          ["tabular", "train", "x", "-o", "m", "--kind", "a=date", "--kind", "a=numeric"],
          /--kind is given twice for column "a"; give it once/,
        ],
      ] as const
    ) await fails(2, args, pattern);
  });
});

describe("help", () => {
  it("of each command names every option and what it does", () => {
    for (const command of commands) {
      const text = help(command);
      assertMatch(text, new RegExp(`^ferrotype ${command.name}`));
      for (const [name, option] of Object.entries(command.options)) {
        assert(
          text.includes(`--${name}${option.value ? ` ${option.value}` : ""}`),
          `${command.name} --${name}`,
        );
        assert(text.includes(option.help), `${command.name} --${name}`);
        const left = `${option.short ? `-${option.short}, ` : "    "}--${name}`;
        const line = text.split("\n").find((one) => one.slice(2).startsWith(`${left} `)) ?? "";
        for (const choice of option.kind?.choices ?? []) {
          assertMatch(line, new RegExp(`(?<![\\w-])${choice}(?![\\w-])`), `${command.name} --${name}`);
        }
      }
      // What is always refused is not offered.
      assertStrictEquals(/^ +--json\b/m.test(text), command.noJson === undefined, command.name);
      assert(text.includes("--verbose") && text.includes("--help"));
      assert(
        parse(command, ["--help"]).values.flag("help"),
        `${command.name} --help needs no other argument`,
      );
    }
  });

  it("of a family tells its commands, however it is asked for", async () => {
    const families = new Set(
      commands.filter(({ name }) => name.includes(" ")).map(({ name }) => name.split(" ")[0]),
    );
    assertEquals([...families], ["tokenizer", "tabular"]);
    for (const family of families) {
      const text = await output([family, "--help"]);
      for (const { name, summary } of commands) {
        assertStrictEquals(text.includes(`  ${name} `), name.startsWith(`${family} `), name);
        if (name.startsWith(`${family} `)) assert(text.includes(summary), name);
      }
      for (const args of [[family, "-h"], [family, "help"], ["help", family]]) {
        assertStrictEquals(await output(args), text, args.join(" "));
      }
      for (const args of [[family, "--help", "--json"], ["help", family, "--json"]]) {
        await fails(2, args, /--json has no effect because --help is text/);
      }
      await fails(2, [family], new RegExp(`"${family}" needs one of: ${family} `));
      assertStrictEquals((await call([family, "trian", "--help"])).code, 2);
    }
    assertMatch(await output(["tabular", "help", "train"]), /^ferrotype tabular train CSV/);
  });

  it("and the version stand alone, and are found by other names", async () => {
    for (const args of [["-v"], ["-V"], ["version"], ["--vers"]]) {
      await fails(2, args, /there is no (command|option) ".*"; did you mean "?--version"?\?/);
    }
    assertStrictEquals(await output(["--help", "chat"]), await output(["chat", "--help"]));
    for (const args of [["help", "--json"], ["--help", "--json"], ["-h", "--json"]]) {
      await fails(2, args, /--json has no effect because --help is text/);
    }
    await fails(2, ["--help", "--foo"], /--help stands alone; leave --foo out/);
    await fails(2, ["--version", "generate"], /--version stands alone; leave generate out/);
    for (const shell of ["bash", "fish"]) {
      const script = await output(["completions", shell]),
        chat = script.split("\n").filter((line) => /chat/.test(line));
      assert(chat.some((line) => /verbose/.test(line)) && !chat.some((line) => /json/.test(line)), shell);
    }
  });

  it("and the package agree on the version", () => {
    for (const file of ["package.json", "deno.json"]) {
      assertStrictEquals(JSON.parse(readFileSync(join(repository, file), "utf8")).version, version);
    }
  });
});

it("numbers and texts for people", () => {
  assertEquals([0, 999, 1234, 56_789_000, 3e12].map(formatBytes), [
    "0 bytes",
    "999 bytes",
    "1.23 kB",
    "56.8 MB",
    "3.00 TB",
  ]);
  assertEquals([0.4, 59, 61, 3725].map(formatSeconds), ["0 s", "59 s", "1 min 01 s", "1 h 02 min"]);
  assertEquals(splitText("abcdefghij", 0.3), ["abcdefg", "hij"]);
  assertEquals(splitText("abc", 0), ["abc", ""]);
  assertEquals(splitText("abc", 1), ["", "abc"]);
  assertEquals(splitText("a😀", 0.34), ["a", "😀"]);
});
