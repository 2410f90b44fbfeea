/**
 * `ferrotype tokenize` and `ferrotype tokenizer train`.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { BpeTokenizer, CharTokenizer, loadTokenizer, type Tokenizer, tokenizerConfig } from "../../mod.ts";
import { exists, joinPath, writeFiles } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { bundledModel, parseIds } from "../model.ts";
import { counted, LiveLine, note, print, printJson } from "../output.ts";
import { demandFolder, forceHelp, letters, placeOf } from "../place.ts";
import { readText } from "../text.ts";
import { vocabularySize } from "../train_options.ts";

/** Writes tokenizer.json and tokenizer_config.json into `dir`, both or neither. */
export async function saveTokenizer(tokenizer: Tokenizer, dir: string): Promise<void> {
  await writeFiles(dir, [
    { name: "tokenizer.json", content: `${JSON.stringify(tokenizer.toJSON(), null, 1)}\n` },
    { name: "tokenizer_config.json", content: `${JSON.stringify(tokenizerConfig(tokenizer), null, 2)}\n` },
  ]);
}

/** Ids of a text, or the text of ids. */
export const tokenize: Command = {
  name: "tokenize",
  usage: "[TEXT] [options]",
  summary: "Prints the token ids of TEXT (or of standard input).",
  positionals: [0, 1],
  options: {
    model: { value: "DIR|REPO", help: "where the tokenizer is (default: the bundled model)" },
    decode: { value: "1,2,3", help: "print the text of these ids instead" },
    "no-special": { help: "treat special tokens such as <|endoftext|> as ordinary text" },
  },
  idle: [{ option: "no-special", when: ({ decode }) => decode !== undefined, because: "--decode reads ids" }],
  async run(values, positionals) {
    if (values.has("decode") && positionals.length) {
      throw new UsageError("tokenize: give a TEXT or the ids of --decode, not both");
    }
    const tokenizer = await loadTokenizer(values.text("model") ?? bundledModel);
    const back = values.text("decode");
    if (back !== undefined) {
      const ids = parseIds(back, "decode"), text = tokenizer.decode(ids);
      const unknown = ids.filter((id) => id >= tokenizer.vocabSize);
      if (unknown.length) {
        await note(
          `the tokenizer has no token ${unknown.join(", ")}, so ${
            unknown.length === 1 ? "it is" : "they are"
          } left out; its tokens go from 0 to ${tokenizer.vocabSize - 1}`,
        );
      }
      return values.flag("json") ? await printJson({ ids, text }) : await print(text);
    }
    const text = positionals.length ? positionals[0] : await readText("-");
    const ids = tokenizer.encode(text, { splitSpecialTokens: values.flag("no-special") });
    if (values.flag("json")) {
      return await printJson({ ids, tokens: ids.map((id) => tokenizer.decode([id])), count: ids.length });
    }
    await print(ids.join(","));
  },
};

/** Whether a tokenizer_config.json says no more than one that is written with a new tokenizer. */
function isPlain(head: Uint8Array): boolean {
  try {
    const names = Object.keys(JSON.parse(new TextDecoder().decode(head)));
    return names.every((name) => plainFields.includes(name));
  } catch {
    return false;
  }
}

/** Fields of tokenizer_config.json that a new tokenizer has. */
const plainFields = [
  "tokenizer_class",
  "clean_up_tokenization_spaces",
  "added_tokens_decoder",
  "eos_token",
  "unk_token",
];

/** A tokenizer from a text. */
export const tokenizerTrain: Command = {
  name: "tokenizer train",
  usage: "TEXTFILE -o DIR [options]",
  summary: "Learns a byte-level BPE from a text and writes a Hugging Face tokenizer.json.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (default: tokenizer)" },
    "vocab-size": {
      value: "N",
      kind: vocabularySize,
      help: "how many tokens, bytes included; 0: characters (default 4096)",
    },
    "min-frequency": {
      value: "N",
      kind: whole(1),
      help: "a pair must occur this often to be merged (default 2)",
    },
    force: { help: forceHelp },
  },
  idle: [{
    option: "min-frequency",
    when: (given) => given["vocab-size"] === 0,
    because: "a tokenizer of characters (--vocab-size 0) has no pairs",
  }],
  async run(values, positionals) {
    const text = await readText(positionals[0]), out = values.text("out") ?? "tokenizer";
    if (text === "") {
      throw new UsageError(`tokenizer train: ${positionals[0]} is empty; there is nothing to learn`);
    }
    const force = values.flag("force");
    for (const [file, what] of [["config.json", "model"], ["training.json", "run"]]) {
      if (force || !await exists(joinPath(out, file))) continue;
      throw new UsageError(
        `tokenizer train: ${out} holds a ${what}, which reads texts with its own tokenizer; give --force to replace that, ` +
          "or name another folder with -o",
      );
    }
    const wrote = await placeOf(
      "tokenizer train",
      String(joinPath(out, "tokenizer.json")),
      force,
      {
        what: "no tokenizer that this command wrote",
        // Others indent by two.
        is: (head) => /^\{\n "/.test(letters(head, 8)),
      },
    );
    await demandFolder("tokenizer train", out, force, {
      replaces: (name) => name === "tokenizer_config.json",
      is: (_, head) => isPlain(head),
    });
    const size = values.number("vocab-size") ?? 4096, line = new LiveLine();
    const tokenizer = size === 0 ? CharTokenizer.from(text) : BpeTokenizer.train(text, {
      vocabSize: size,
      minFrequency: values.number("min-frequency") ?? 2,
      onProgress: ({ phase, done, total }) =>
        void line.show(`${phase === "count" ? "counting words" : "merging"} ${done} of ${total}`),
    });
    await line.end();
    await saveTokenizer(tokenizer, out);
    const used = tokenizer.encode(text).length;
    if (values.flag("json")) {
      return await printJson({ out, vocab_size: tokenizer.vocabSize, tokens: used, characters: text.length });
    }
    const each = (text.length / Math.max(1, used)).toFixed(2);
    await note(
      `${wrote} ${out}/tokenizer.json: ${
        counted(tokenizer.vocabSize, "token")
      }; ${each} characters a token on this text`,
    );
  },
};
