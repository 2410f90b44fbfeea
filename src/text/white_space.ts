/**
 * White space put right at the door to `@huggingface/tokenizers`.
 *
 * A tokenizer.json means Unicode White_Space where it says `\s`, `strip` or "whitespace". In parts of that package
 * these are JavaScript's `\s` and `trim`, which lack U+0085 and have U+FEFF; its `Whitespace` even takes `\w` to be
 * ASCII. Its regular expressions from the file are right, though, so the parts that are wrong are rewritten as such
 * expressions before the package sees them.
 *
 * @module
 */

type Part = Record<string, unknown>;

/** GPT-2's splitting pattern, as a tokenizer.json writes it. */
export const gpt2Pattern: string = String
  .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const punctuation = String.raw`\p{P}\u0021-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u007E`;

function isPart(value: unknown): value is Part {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function replace(expression: string, content: string): Part {
  return { type: "Replace", pattern: { Regex: expression }, content };
}

/** Cuts into the matches of an expression, and leaves out what lies between. */
function matches(expression: string): Part {
  return { type: "Split", pattern: { Regex: expression }, behavior: "Removed", invert: true };
}

function mapParts(value: unknown, map: (part: Part) => unknown): unknown {
  return Array.isArray(value) ? value.map((part) => isPart(part) ? map(part) : part) : value;
}

function preTokenizer(part: Part): Part {
  switch (part.type) {
    case "Sequence":
      return { ...part, pretokenizers: mapParts(part.pretokenizers, preTokenizer) };
    case "ByteLevel": {
      if (part.use_regex === false) return part;
      const bytes = { ...part, use_regex: false, add_prefix_space: false };
      const split = { type: "Split", pattern: { Regex: gpt2Pattern }, behavior: "Isolated", invert: false };
      const prefix = part.add_prefix_space === true ? [replace(String.raw`\A(?! )`, " ")] : [];
      return { type: "Sequence", pretokenizers: [...prefix, split, bytes] };
    }
    case "Whitespace":
      return matches(String.raw`\w+|[^\w\s]+`);
    case "WhitespaceSplit":
      return matches(String.raw`\S+`);
    case "BertPreTokenizer":
      return matches(String.raw`[^\s${punctuation}]+|[${punctuation}]`);
    default:
      return part;
  }
}

function normalizer(part: Part): Part {
  if (part.type === "Sequence") return { ...part, normalizers: mapParts(part.normalizers, normalizer) };
  if (part.type !== "Strip") return part;
  const normalizers: Part[] = [];
  if (part.strip_left === true) normalizers.push(replace(String.raw`\A\s+`, ""));
  // Only from where white space begins: from inside of it each way to its end would be gone anew.
  if (part.strip_right === true) normalizers.push(replace(String.raw`(?<!\s)\s+\z`, ""));
  return { type: "Sequence", normalizers };
}

/** The same tokenizer.json with its white space spelled out. */
export function withUnicodeWhiteSpace(json: Record<string, unknown>): Record<string, unknown> {
  const result = { ...json };
  if (isPart(json.pre_tokenizer)) result.pre_tokenizer = preTokenizer(json.pre_tokenizer);
  if (isPart(json.normalizer)) result.normalizer = normalizer(json.normalizer);
  return result;
}
