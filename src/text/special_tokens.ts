/**
 * The special and added tokens of a tokenizer's folder, from the files that say them: tokenizer_config.json, and, where that has
 * no `added_tokens_decoder`, the older special_tokens_map.json and added_tokens.json. As the fast tokenizers of `transformers`
 * have it: such a token is the one of its text in the vocabulary, or a new one behind all others.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { demand, demandObject, type JsonObject } from "../core/json.ts";
import { kind, someText } from "../core/kinds.ts";
import { show } from "../core/show.ts";
import type { AddedToken } from "./added_tokens.ts";
import { maxId } from "./vocabulary.ts";

/** The values of the files beside a vocabulary; null for those that are not there. */
export interface TokenFiles {
  /** tokenizer_config.json. */
  readonly config?: unknown;
  /** special_tokens_map.json. */
  readonly specialTokensMap?: unknown;
  /** added_tokens.json. */
  readonly addedTokens?: unknown;
}

/** A token that has no id yet. */
export type TokenText = Omit<AddedToken, "id"> & { readonly isPlain?: boolean };

/** Names of tokens with a part of their own. */
export const tokenNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

/** One of {@link tokenNames}. */
export type TokenName = typeof tokenNames[number];

/** What the files say of tokens. */
export interface TokenSettings {
  readonly config: JsonObject;
  readonly named: ReadonlyMap<TokenName, TokenText>;
  /** Tokens to add, in their order. */
  readonly tokens: readonly TokenText[];
}

const tokenKind = kind(
  "a text, or an object with it as content",
  (x) => typeof x === "string" || typeof (x as { content?: unknown } | null)?.content === "string",
);

/** A token as the files write it: its text, or an object with what else is to be known. */
function tokenOf(value: unknown, where: string, isSpecial: boolean): TokenText {
  const given = demand<string | JsonObject>(value, tokenKind, where);
  if (typeof given === "string") return { content: given, special: true, normalized: false, isPlain: true };
  const special = isSpecial || given.special === true;
  return {
    content: given.content as string,
    special,
    singleWord: given.single_word === true,
    lstrip: given.lstrip === true,
    rstrip: given.rstrip === true,
    normalized: given.normalized === undefined || given.normalized === null
      ? !special
      : given.normalized === true,
  };
}

/** Tokens without a name of their own: a list, or an object by names of somebody's choice. */
function extraTokens(from: JsonObject, file: string): TokenText[] {
  const out: TokenText[] = [];
  for (const field of ["additional_special_tokens", "extra_special_tokens"]) {
    const value = from[field], where = `${file}: ${field}`;
    if (value === undefined || value === null) continue;
    const list = Array.isArray(value) ? value : Object.values(demandObject(value, where));
    for (const [i, token] of list.entries()) out.push(tokenOf(token, `${where}, entry ${i},`, true));
  }
  return out;
}

function namedTokens(from: JsonObject, file: string): Map<TokenName, TokenText> {
  const out = new Map<TokenName, TokenText>();
  for (const name of tokenNames) {
    const value = from[name];
    if (value !== undefined && value !== null) out.set(name, tokenOf(value, `${file}: ${name}`, true));
  }
  return out;
}

const idKind = kind(
  `an id from 0 to ${maxId}`,
  (x) => Number.isInteger(x) && (x as number) >= 0 && (x as number) <= maxId,
);

/** `added_tokens_decoder`: tokens by id. */
function fromDecoder(value: unknown, file: string): [id: number, token: TokenText][] {
  const where = `${file}: added_tokens_decoder`;
  return Object.entries(demandObject(value, where)).map(([key, token]) => {
    const id = demand<number>(/^\d+$/.test(key) ? Number(key) : key, idKind, `a key of ${where}`);
    return [id, tokenOf(demandObject(token, `${where}, ${key},`), `${where}, ${key},`, false)];
  });
}

/** added_tokens.json: ids by text. */
function fromOlder(
  value: unknown,
  file: string,
  special: ReadonlySet<string>,
): [id: number, token: TokenText][] {
  return Object.entries(demandObject(value, file)).map(([content, given]) => {
    const id = demand<number>(given, idKind, `${file}: the id of ${show(content)}`),
      isSpecial = special.has(content);
    return [id, {
      content: demand<string>(content, someText, file),
      special: isSpecial,
      normalized: !isSpecial,
    }];
  });
}

/**
 * Reads what the files say.
 * @throws {FormatError} for what they cannot mean.
 */
export function tokenSettings(files: TokenFiles, where: string): TokenSettings {
  const file = (name: string): string => `${where}/${name}`;
  const config = demandObject(files.config ?? {}, file("tokenizer_config.json"));
  let named = namedTokens(config, file("tokenizer_config.json"));
  let extra = extraTokens(config, file("tokenizer_config.json")), byId: [number, TokenText][] = [];
  if (config.added_tokens_decoder !== undefined && config.added_tokens_decoder !== null) {
    byId = fromDecoder(config.added_tokens_decoder, file("tokenizer_config.json"));
  } else {
    const map = demandObject(files.specialTokensMap ?? {}, file("special_tokens_map.json"));
    named = new Map([...named, ...namedTokens(map, file("special_tokens_map.json"))]);
    const own = new Set(extra.map(({ content }) => content));
    extra = [
      ...extra,
      ...extraTokens(map, file("special_tokens_map.json")).filter(({ content }) => !own.has(content)),
    ];
    const special = new Set([...named.values(), ...extra].map(({ content }) => content));
    if (files.addedTokens !== undefined && files.addedTokens !== null) {
      byId = fromOlder(files.addedTokens, file("added_tokens.json"), special);
    }
  }
  const decoder = new Map(byId.map(([, token]) => [token.content, token]));
  const names = new Set([...named.values()].map(({ content }) => content));
  const tokens = [
    ...byId.sort(([a], [b]) => a - b).map(([, token]) =>
      names.has(token.content) ? { ...token, special: true } : token
    ),
    // What is only named, by its text, is what the list has of it.
    ...[...named.values(), ...extra].filter(({ content, isPlain }) => !(isPlain && decoder.has(content))),
  ];
  return { config, named, tokens };
}

/**
 * Adds tokens to those that there are. `idOf` finds a text in the vocabulary, which has `size` entries. A token that is only
 * named stays as it is where it is known.
 */
export function withTokens(
  known: readonly AddedToken[],
  tokens: readonly TokenText[],
  idOf: (content: string) => number | undefined,
  size: number,
): AddedToken[] {
  const all = new Map(known.map((token) => [token.content, token]));
  const largest = known.reduce((most, { id }) => Math.max(most, id), -1);
  let next = Math.max(size, largest + 1);
  for (const { isPlain = false, ...token } of tokens) {
    if (token.content === "") continue;
    const old = all.get(token.content);
    if (old && isPlain) all.set(token.content, { ...old, special: true });
    else all.set(token.content, { ...token, id: old?.id ?? idOf(token.content) ?? next++ });
  }
  if (next > maxId) throw new FormatError(`there are more than ${maxId} tokens`);
  return [...all.values()].sort((a, b) => a.id - b.id);
}
