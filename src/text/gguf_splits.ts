/**
 * How GGUF's `tokenizer.ggml.pre` cuts a text before byte-level BPE: a name stands for the expressions that the tokenizer.json
 * of a family of models has. The names are those of llama.cpp's `llama-vocab.cpp`.
 *
 * @module
 */
import { gpt2Pattern } from "./white_space.ts";

const r = String.raw;

const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const word = r`[^\r\n\p{L}\p{N}]?\p{L}+`;
const lines = r`\s*[\r\n]+`, spaces = r`\s+(?!\S)|\s+`, blank = `${lines}|${spaces}`;
const behind = r` ?[^\s\p{L}\p{N}]+[\r\n]*|${blank}`;
const threeDigits = r`\p{N}{1,3}`, digit = r`\p{N}`;
const llama3 = `${contractions}|${word}|${threeDigits}|${behind}`;
const qwen2 = `${contractions}|${word}|${digit}|${behind}`;
const qwen35 =
  r`${contractions}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${blank}`;

/** Words by case, as GPT-4o has them, with what an expression may stand behind each. */
function cased(after: string, numbers: string, begin = "", not = ""): string {
  const upper = r`${not}[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, lower = r`${not}[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  const [u, l] = not === "" ? [upper, lower] : [`(?:${upper})`, `(?:${lower})`],
    first = r`[^\r\n\p{L}\p{N}]?`;
  return r`${begin}${first}${u}*${l}+${after}|${first}${u}+${l}*${after}|${numbers}| ?[^\s\p{L}\p{N}]+${
    not === "" ? r`[\r\n/]*` : r`[\r\n]*`
  }|${blank}`;
}

const o200k = cased(`${contractions}?`, threeDigits), tekken = cased("", digit);
const han = r`\p{Script=Han}`;
const kimi = cased(`${contractions}?`, threeDigits, `${han}+|`, `(?!${han})`);

/** CJK letters, and words that a sign may begin, of DeepSeek 3. */
const eastern = r`[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+`;
const signedWord =
  r`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_${"`"}{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+`;
const deepseek3 = r`${signedWord}[\r\n]*|${blank}`;

/** Letters of alphabets with two cases, as DeepSeek's first tokenizer lists them. */
const deepseekLetters: string =
  r`A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af` +
  r`\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-` +
  r`\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90` +
  r`-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d` +
  r`\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-` +
  r`\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4` +
  r`\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d` +
  r`\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4` +
  r`\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e` +
  r`\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}` +
  r`\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-` +
  r`\u{118df}\u{1e900}-\u{1e943}`;
const deepseekEastern = r`[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+`;

const falcon = [r`[\p{P}$+<=>^~|${"`"}]+`, gpt2Pattern, "[0-9][0-9][0-9]"];
const plain = [r`[\p{P}$+<=>^~|]+`, gpt2Pattern, r`\p{N}+`, "[0-9][0-9][0-9]"];
const digits = [digit, gpt2Pattern];
const bloom = r` ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+`;
/** Digits by threes from the right: a run of them, then what is over at its front. */
const threesFromTheRight = [r`\p{N}+`, r`^\p{N}{1,2}(?=(?:\p{N}{3})+$)|^\p{N}{3}|\p{N}{3}`];

/** The expressions for each kind, one after the other. */
export const ggufSplits: Readonly<Record<string, readonly string[]>> = {
  "default": plain,
  "gpt-2": [gpt2Pattern],
  "phi-2": [gpt2Pattern],
  "gpt-neox": [gpt2Pattern],
  "olmo": [gpt2Pattern],
  "mpt": [gpt2Pattern],
  "jais": [gpt2Pattern],
  "trillion": [gpt2Pattern],
  "granite-docling": [gpt2Pattern],
  "jina-es": [gpt2Pattern],
  "jina-de": [gpt2Pattern],
  "jina-v1-en": [gpt2Pattern],
  "jina-v2-es": [gpt2Pattern],
  "jina-v2-de": [gpt2Pattern],
  "jina-v2-code": [gpt2Pattern],
  "roberta-bpe": [gpt2Pattern],
  "gigachat": [gpt2Pattern],
  "a.x-4.0": [gpt2Pattern],
  "mellum": [gpt2Pattern],
  "modern-bert": [gpt2Pattern],
  "exaone4": [gpt2Pattern],
  "llama3": [llama3],
  "llama-v3": [llama3],
  "llama-bpe": [llama3],
  "smaug-bpe": [llama3],
  "dbrx": [llama3],
  "falcon3": [llama3],
  "falcon-h1": [llama3],
  "pixtral": [llama3],
  "midm-2.0": [llama3],
  "lfm2": [llama3],
  "jina-v5-nano": [llama3],
  "glm4": [llama3],
  "chatglm-bpe": [llama3],
  "jais-2": [
    r`${contractions}|${word}|${threeDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${lines}|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`,
  ],
  "minicpm5": [threeDigits, r`${contractions}|${word}|\p{N}+|${behind}`],
  "qwen2": [qwen2],
  "stablelm2": [qwen2],
  "deepseek-r1-qwen": [qwen2],
  "megrez": [qwen2],
  "kormo": [qwen2],
  "f2llmv2": [qwen2],
  "hunyuan": [qwen2],
  "solar-open": [qwen2],
  "grok-2": [qwen2],
  "ufakzeka": [`${word}|${digit}|${behind}`],
  "laguna": [r`[^\n]+|[\n]+`, qwen2],
  "qwen35": [qwen35],
  "seed-coder": [r`${contractions}|${word}|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|${blank}`],
  "bailingmoe": [
    r`'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|${word}|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|${spaces}`,
  ],
  "exaone-moe": [
    r`${contractions}|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|${spaces}`,
  ],
  "smollm": digits,
  "starcoder": digits,
  "refact": digits,
  "command-r": digits,
  "codeshell": digits,
  "exaone": digits,
  "minerva-7b": digits,
  "mellum2": digits,
  "falcon": falcon,
  "bloom": [bloom],
  "gpt3-finnish": [bloom],
  "poro-chat": [bloom],
  "viking": [bloom, digit],
  "deepseek-llm": [
    r`[\r\n]`,
    `\\s?[${deepseekLetters}]+`,
    r`\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+`,
    r`\s+$`,
    deepseekEastern,
    r`\p{N}+`,
  ],
  "deepseek-coder": [r`[\r\n]`, r`\s?\p{L}+`, r`\s?\p{P}+`, deepseekEastern, digit],
  "deepseek-v3": [threeDigits, eastern, deepseek3],
  "hunyuan-dense": [threeDigits, eastern, deepseek3],
  "joyai-llm": [threeDigits, eastern, deepseek3],
  "hy_v4": [threeDigits, eastern, deepseek3],
  "spark2_5": [threeDigits, eastern, r`${signedWord}|[\r\n]|${spaces}`, digit],
  "youtu": [
    r`[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+`,
    cased(`${contractions}?`, digit),
  ],
  "afmoe": [
    ...threesFromTheRight,
    r`[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+`,
    deepseek3,
  ],
  "superbpe": threesFromTheRight,
  "gpt-4o": [o200k],
  "llama4": [o200k],
  "kanana2": [o200k],
  "talkie": [o200k],
  "minimax-m2": [o200k],
  "granite-embed-multi-97m": [o200k],
  "tekken": [tekken],
  "kimi-k2": [kimi],
  "chameleon": [
    "<sentinel:[0-9]+>",
    "(?:IMGIMG)(?:(?:A|B|C|D|E|F|G|H|I){1,4})Z",
    r`[\t\n]|    |  `,
    digit,
    r`[\p{P}!-/:-@\[-${"`"}{-~]`,
    gpt2Pattern,
  ],
};

/** Kinds of Llama 3 and those that go its way in all. */
const asLlama3 = [
  "llama3",
  "llama-v3",
  "llama-bpe",
  "falcon3",
  "falcon-h1",
  "pixtral",
  "midm-2.0",
  "lfm2",
  "jina-v5-nano",
];

/** Kinds whose tokens count before any merge. */
export const ignoresMerges: ReadonlySet<string> = new Set([
  ...asLlama3,
  "minicpm5",
  "youtu",
  "tekken",
  "granite-embed-multi-97m",
]);

/** Kinds whose texts begin with a token for that, unless the file says otherwise. */
export const beginsTexts: ReadonlySet<string> = new Set([...asLlama3, "tekken", "chameleon"]);
