/**
 * Examples as token ids, each with whether it is to be learned.
 *
 * A text is encoded as a whole, as the model will read it; where a part of it begins is told by how far the ids of what stands
 * before it go along (as `trl` does it), so a token across the border belongs to the later part.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { Tokenizer } from "../../text/mod.ts";
import type { EncodedExample } from "../../train/examples/batch.ts";
import type { EncodedPreference } from "../../train/examples/preferences.ts";
import type { ExamplePart, ExampleRecord } from "../../train/examples/record.ts";
import type { ChatTemplate } from "../chat_template.ts";
import { markAnswers, markCompletion, type Marked } from "./regions.ts";

/** What encodes examples. */
export interface Encoder {
  readonly tokenizer: Tokenizer;
  /** Null where the model came with none. */
  readonly template: ChatTemplate | null;
  /** Whether all of an example is learned. */
  readonly trainOnPrompt: boolean;
}

/**
 * The template of the model.
 * @throws {OptionError} where there is none.
 */
function demandTemplate({ template }: Encoder, where: string): ChatTemplate {
  if (template) return template;
  throw new OptionError(
    `${where} has messages, and the model came with no chat template to write them with; write texts, or give chatTemplate`,
  );
}

/** Whether the messages of an example are written by a template, which says itself where a text begins and ends. */
const isChat = (record: ExampleRecord): boolean =>
  record.kind === "chat" || (record.kind !== "text" && typeof record.prompt !== "string");

/** The ids of a marked text. */
export function encodeMarked(
  { tokenizer, trainOnPrompt }: Encoder,
  { text, learned }: Marked,
  chat: boolean,
): EncodedExample {
  const encode = (part: string): number[] => tokenizer.encode(part, chat ? { addSpecialTokens: false } : {});
  const ids = encode(text), counts = new Array<0 | 1>(ids.length).fill(trainOnPrompt ? 1 : 0);
  const indexOf = (place: number): number => {
    if (place === text.length) return ids.length;
    const before = place > 0 ? encode(text.slice(0, place)) : [];
    let n = 0;
    while (n < before.length && before[n] === ids[n]) n++;
    return n;
  };
  for (const [start, end] of trainOnPrompt ? [] : learned) counts.fill(1, indexOf(start), indexOf(end));
  const last = tokenizer.eosTokenId;
  // A template ends its turns itself.
  if (!chat && last !== undefined && ids.at(-1) !== last) {
    ids.push(last);
    counts.push(1);
  }
  return { ids, counts };
}

/** The ids of an example that is no preference. */
export function encodeExample(
  encoder: Encoder,
  record: Exclude<ExampleRecord, { kind: "preference" }>,
  where: string,
): EncodedExample {
  return encodeMarked(encoder, marked(encoder, record, where), isChat(record));
}

function marked(
  encoder: Encoder,
  record: Exclude<ExampleRecord, { kind: "preference" }>,
  where: string,
): Marked {
  if (record.kind === "text") return { text: record.text, learned: [[0, record.text.length]] };
  const template = (): ChatTemplate => demandTemplate(encoder, where);
  if (record.kind === "completion") {
    return markCompletion(record.prompt, record.completion, record.tools, template, where);
  }
  if (!encoder.trainOnPrompt) return markAnswers(template(), record.messages, record.tools, where);
  const tools = record.tools ? { tools: record.tools } : {};
  return { text: template()(record.messages, { ...tools, addGenerationPrompt: false }), learned: [] };
}

/** A pair of answers. */
export type PreferenceRecord = Extract<ExampleRecord, { kind: "preference" }>;

/** The ids of both answers behind their prompt; of each the answer counts. */
export function encodePreference(
  encoder: Encoder,
  record: PreferenceRecord,
  where: string,
): EncodedPreference {
  const { prompt, tools } = record, template = (): ChatTemplate => demandTemplate(encoder, where);
  const answer = (part: ExamplePart): EncodedExample =>
    encodeMarked(encoder, markCompletion(prompt, part, tools, template, where), isChat(record));
  return { chosen: answer(record.chosen), rejected: answer(record.rejected) };
}
