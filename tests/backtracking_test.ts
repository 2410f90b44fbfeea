/**
 * Expressions that might never end, against a matcher that counts its steps.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import { endlessReason } from "../src/text/backtracking.ts";
import { type ExpressionNode, parseExpression } from "../src/text/expression_syntax.ts";
import { width } from "./_width.ts";

const ones = new Map<string, boolean>();

/** Whether an expression of one character is this one; asked a million times. */
function isOne(source: string, character: string): boolean {
  const key = `${character}${source}`;
  let is = ones.get(key);
  if (is === undefined) ones.set(key, is = new RegExp(`^(?:${source})$`, "us").test(character));
  return is;
}

/** How many steps a backtracking engine takes to look for an expression in a text; at most `most`. */
function steps(node: ExpressionNode, text: string, most: number): number {
  let count = 0;
  const match = (node: ExpressionNode, at: number, then: (at: number) => boolean): boolean => {
    if (++count > most) throw new RangeError("too many");
    switch (node.kind) {
      case "character":
        return at < text.length && isOne(node.source, text[at]) && then(at + 1);
      case "assertion":
        if (node.inner) return match(node.inner, at, () => true) && then(at);
        return at === text.length && then(at);
      case "choice":
        return node.parts.some((part) => match(part, at, then));
      case "sequence": {
        const from = (i: number, at: number): boolean =>
          i === node.parts.length ? then(at) : match(node.parts[i], at, (to) => from(i + 1, to));
        return from(0, at);
      }
      case "repeat": {
        const again = (times: number, at: number): boolean =>
          (times < node.most &&
            match(node.part, at, (to) => (to > at || times < node.least) && again(times + 1, to))) ||
          (times >= node.least && then(at));
        return again(0, at);
      }
    }
  };
  try {
    for (let start = 0; start <= text.length && !match(node, start, () => true); start++);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return count;
}

/** An expression over a, b and c. */
function someExpression(random: Generator, depth: number): string {
  const atom = (): string =>
    depth > 0 && random.uniform() < 0.6
      ? `(${someExpression(random, depth - 1)})`
      : ["a", "b", "c", "[ab]", "[^c]", "."][random.integer(0, 6)];
  const repeated = (): string =>
    atom() + ["", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"][random.integer(0, 9)];
  const sequence = (): string => Array.from({ length: random.integer(1, 4) }, repeated).join("");
  return Array.from({ length: random.uniform() < 0.3 ? 2 : 1 }, sequence).join("|");
}

describe("an expression", () => {
  it("that is let through takes no more than a few powers of the length, at random", () => {
    const random = new Generator(17);
    let safe = 0, refused = 0, deserved = 0;
    const rounds = width(500, 120);
    for (let round = 0; round < rounds; round++) {
      const source = someExpression(random, 1) + (random.uniform() < 0.7 ? "$" : ""),
        reason = endlessReason(source);
      const node = parseExpression(source), most = 20_000;
      const worst = (length: number): number =>
        Math.max(
          ...["a", "b", "ab", "ba"].map((word) =>
            steps(node, `${word.repeat(length).slice(0, length)}c!`, most)
          ),
        );
      const short = worst(12), long = worst(24);
      if (reason === null) {
        safe++;
        // Twice the length may take eight times as long, for the few starts and the ends that are tried at each.
        assert(long <= 12 * short + 500, `${source}: ${short} steps, then ${long}`);
      } else {
        refused++;
        if (long > 6 * short + 100) deserved++;
      }
    }
    assert(
      safe > 0.3 * rounds && refused > 0.3 * rounds && deserved > rounds / 50,
      `${safe} safe, ${refused} refused, ${deserved} deserved it`,
    );
  });

  it("of a real tokenizer is let through", () => {
    for (
      const source of [
        String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
        String
          .raw`(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
        String
          .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'s|'t)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'s|'t)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
        String
          .raw`[\p{P}\p{S}][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
        String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
        String.raw`(?<=\d)(?=(\d{3})+(?!\d))`,
        String.raw`(\[[^\]]+\]|Br?|Cl?|N|O|\(|\)|=|#|>>?|\$|[0-9]{2}|[0-9])`,
        String.raw` {2,}`,
        String.raw`(?<!\s)\s+(?![\s\S])`,
        String.raw`(?:ab|cd)+e`,
        String.raw`(a+)+`,
      ]
    ) assertStrictEquals(endlessReason(source), null, source);
  });

  it("that is known to never end is refused, with the reason", () => {
    const cases: [string, RegExp][] = [
      ["(a+)+$", /exponentially/],
      [String.raw`(\s*)*x`, /exponentially/],
      ["(a|aa)+$", /exponentially/],
      ["(?:ab|a|b)*c", /exponentially/],
      [String.raw`(\w+\s?)*;`, /exponentially/],
      ["(x+x+)+y", /exponentially/],
      ["(a?){30}a{30}", /exponentially/],
      ["(?=(a+)+b)c", /exponentially/],
      ["^(([a-z])+.)+[A-Z]([a-z])+$", /exponentially/],
      ["(a{1,1000}){1,1000}b", /exponentially/],
      [String.raw`\s*\s*\s*x`, /a power of its length/],
      [".*.*=.*", /a power of its length/],
      [String.raw`(a*)\1`, /refers back/],
      ["(", /\( has no \)/],
      ["a{2", /not expected/],
      ["(".repeat(200) + ")".repeat(200), /nested too deep/],
      [`(?:${"a?".repeat(6000)})b`, /too (long|complicated)/],
    ];
    for (const [source, reason] of cases) {
      assertMatch(endlessReason(source) ?? "none", reason, source.slice(0, 40));
    }
    assertEquals(endlessReason(""), null);
  });
});
