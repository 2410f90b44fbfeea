/**
 * Older files of a tokenizer as the tokenizer.json that `transformers` makes of them: vocab.json with merges.txt for byte-level
 * BPE, vocab.txt for BERT's WordPiece. Which it is the class in tokenizer_config.json says, or the kind of model.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import type { JsonObject } from "../core/json.ts";
import { show } from "../core/show.ts";
import { mergesIn } from "./merges.ts";
import type { TokenName, TokenSettings, TokenText } from "./special_tokens.ts";

/** How a class of tokenizers has its texts. */
export type Manner = "gpt2" | "qwen2" | "roberta" | "bert" | "llama" | "gemma" | "t5" | "sentencepiece";

const classes: Readonly<Record<Manner, readonly string[]>> = {
  gpt2: ["GPT2", "GPTNeoX", "CodeGen", "GPTNeoXJapanese", "OPT"],
  qwen2: ["Qwen2"],
  roberta: ["Roberta", "Bart", "LED", "Longformer", "Blenderbot"],
  bert: [
    "Bert",
    "DistilBert",
    "Electra",
    "LayoutLM",
    "MobileBert",
    "ConvBert",
    "SqueezeBert",
    "DPR",
    "Lxmert",
    "RetriBert",
  ],
  llama: ["Llama", "CodeLlama"],
  gemma: ["Gemma"],
  t5: ["T5"],
  sentencepiece: [],
};

/** Kinds of models, where no class is named. */
const modelTypes: Readonly<Record<string, Manner>> = {
  qwen2: "qwen2",
  qwen3: "qwen2",
  roberta: "roberta",
  bart: "roberta",
  gemma: "gemma",
  gemma2: "gemma",
  gemma3_text: "gemma",
  t5: "t5",
};

/** Classes that leave all to the file. */
const general = ["PreTrained", "Tokenizers"];

/** The class of a tokenizer without what all of their names have. */
function className(config: JsonObject): string | null {
  const name = config.tokenizer_class;
  if (typeof name !== "string") return null;
  const short = name.replace(/(?:Tokenizer(?:Fast)?|Backend)$/, "");
  return general.includes(short) || short === "" ? null : short;
}

/**
 * How texts are had by the class that the configuration names, one of `allowed`, or the kind of model, or `fallback`.
 *
 * @throws {FormatError} for a class that has them another way than any of these.
 */
export function mannerOf(
  config: JsonObject,
  modelType: unknown,
  allowed: readonly Manner[],
  fallback: Manner,
  files: string,
): Manner {
  const name = className(config);
  if (name === null) {
    const found = typeof modelType === "string" && Object.hasOwn(modelTypes, modelType)
      ? modelTypes[modelType]
      : undefined;
    return found && allowed.includes(found) ? found : fallback;
  }
  const found = allowed.find((manner) => classes[manner].includes(name));
  if (found) return found;
  const known = allowed.flatMap((manner) => classes[manner]).map((short) => `${short}Tokenizer`);
  throw new FormatError(
    `tokenizer_class is ${show(config.tokenizer_class)}, and ${files} are read for ${known.join(", ")}; ` +
      "a tokenizer.json says all of it: save the tokenizer with transformers to have one",
  );
}

/** Whether the class begins texts with their token unless told otherwise. */
export function beginsTexts(config: JsonObject): boolean {
  const name = className(config);
  return name !== null && [...classes.llama, ...classes.gemma].includes(name);
}

/** Tokens that a class has where no file names them. */
export const defaultTokens: Readonly<Record<Manner, Partial<Readonly<Record<TokenName, TokenText>>>>> =
  (() => {
    const plain = (content: string): TokenText => ({
      content,
      special: true,
      normalized: false,
      isPlain: true,
    });
    const end = plain("<|endoftext|>");
    const gpt2 = { bos_token: end, eos_token: end, unk_token: end };
    const pieces = { bos_token: plain("<s>"), eos_token: plain("</s>"), unk_token: plain("<unk>") };
    return {
      gpt2,
      qwen2: { eos_token: end, unk_token: end, pad_token: end },
      roberta: {
        ...pieces,
        sep_token: plain("</s>"),
        cls_token: plain("<s>"),
        pad_token: plain("<pad>"),
        mask_token: { ...plain("<mask>"), lstrip: true },
      },
      bert: {
        unk_token: plain("[UNK]"),
        sep_token: plain("[SEP]"),
        pad_token: plain("[PAD]"),
        cls_token: plain("[CLS]"),
        mask_token: plain("[MASK]"),
      },
      llama: pieces,
      gemma: {
        bos_token: plain("<bos>"),
        eos_token: plain("<eos>"),
        unk_token: plain("<unk>"),
        pad_token: plain("<pad>"),
      },
      t5: { eos_token: plain("</s>"), unk_token: plain("<unk>"), pad_token: plain("<pad>") },
      sentencepiece: {},
    };
  })();

const qwen2Pattern = String
  .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The processor that puts one of each kind around a text; ids may be given twice. */
export function around(
  before: readonly (readonly [token: string, id: number])[],
  after: readonly (readonly [token: string, id: number])[],
): JsonObject {
  const put = (list: typeof before, type_id: number) =>
    list.map(([id]) => ({ SpecialToken: { id, type_id } }));
  const text = (
    id: "A" | "B",
    type_id: number,
  ) => [...put(before, type_id), { Sequence: { id, type_id } }, ...put(after, type_id)];
  return {
    type: "TemplateProcessing",
    single: text("A", 0),
    pair: [...text("A", 0), ...text("B", 1)],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}

/**
 * The id of one of the special tokens.
 * @throws {FormatError} when it is not named, or not there.
 */
export function idIn(
  vocab: ReadonlyMap<string, number>,
  { named }: TokenSettings,
  name: TokenName,
  fallback?: TokenText,
): readonly [token: string, id: number] {
  const content = named.get(name)?.content ?? fallback?.content,
    id = content === undefined ? undefined : vocab.get(content);
  if (content !== undefined && id !== undefined) return [content, id];
  throw new FormatError(
    content === undefined
      ? `texts are put between tokens, and ${name} is not named in tokenizer_config.json`
      : `${name} is ${show(content)}, which is no token`,
  );
}

/** The tokenizer.json of a vocab.json and merges.txt. */
export function pairJson(
  manner: Manner,
  vocab: ReadonlyMap<string, number>,
  merges: string,
  settings: TokenSettings,
): JsonObject {
  const { config } = settings, prefixed = config.add_prefix_space === true;
  const byteLevel = { type: "ByteLevel", add_prefix_space: prefixed, trim_offsets: true, use_regex: true };
  const { sep_token: sep, cls_token: cls } = defaultTokens.roberta;
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: manner === "qwen2" ? { type: "NFC" } : null,
    pre_tokenizer: manner === "qwen2"
      ? {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: qwen2Pattern }, behavior: "Isolated", invert: false },
          { ...byteLevel, use_regex: false },
        ],
      }
      : byteLevel,
    post_processor: manner === "roberta"
      ? {
        type: "RobertaProcessing",
        sep: idIn(vocab, settings, "sep_token", sep),
        cls: idIn(vocab, settings, "cls_token", cls),
        trim_offsets: true,
        add_prefix_space: prefixed,
      }
      : { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(vocab),
      merges: mergesIn(merges),
    },
  };
}

/** The tokenizer.json of a vocab.txt: a token a line. */
export function wordsJson(text: string, settings: TokenSettings): JsonObject {
  const lines = text.split("\n").map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
  if (lines.at(-1) === "") lines.pop();
  const vocab = new Map(lines.map((token, id) => [token, id])),
    { config } = settings,
    { bert } = defaultTokens;
  const token = (name: TokenName) => idIn(vocab, settings, name, bert[name]);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: typeof config.strip_accents === "boolean" ? config.strip_accents : null,
      lowercase: config.do_lower_case !== false,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: around([token("cls_token")], [token("sep_token")]),
    decoder: { type: "WordPiece", prefix: "##", cleanup: false },
    model: {
      type: "WordPiece",
      unk_token: token("unk_token")[0],
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
}
