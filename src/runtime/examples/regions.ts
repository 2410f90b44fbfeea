/**
 * An example as a text, and the parts of it that are to be learned, in characters: the answers of a conversation are found in what
 * the model's template makes of it.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import type { ExampleMessage, ExamplePart } from "../../train/examples/record.ts";
import type { ChatTemplate } from "../chat_template.ts";

/** A part of a text, from one character to before another. */
export type Region = readonly [start: number, end: number];

/** A text, with the parts that are to be learned, in order. */
export interface Marked {
  readonly text: string;
  readonly learned: readonly Region[];
}

/** No text has it: Unicode leaves its meaning to whoever uses it. */
const mark = "\ue0f3\ue0f4";

function commonLength(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** Where the content of message `at` stands in the text of `messages`, and what stands behind it; null where it is not found. */
function contentIn(
  write: (messages: readonly ExampleMessage[]) => string,
  messages: readonly ExampleMessage[],
  at: number,
): { region: Region; behind: string } | null {
  const text = write(messages);
  const other = write(messages.map((message, i) => i === at ? { ...message, content: mark } : message));
  const place = other.indexOf(mark);
  if (place < 0 || !text.startsWith(other.slice(0, place))) return null;
  const behind = other.slice(place + mark.length);
  return text.endsWith(behind) && text.length >= place + behind.length
    ? { region: [place, text.length - behind.length], behind }
    : null;
}

/**
 * The answers in a conversation: what the template writes behind where it would have asked for each, to the end of its turn. Where
 * it writes earlier answers otherwise than the last one (Qwen3 leaves their thoughts out), their contents.
 *
 * @throws {FormatError} where an answer is not found in the text.
 */
export function markAnswers(
  template: ChatTemplate,
  messages: readonly ExampleMessage[],
  tools: readonly object[] | undefined,
  where: string,
  isLearned: (message: ExampleMessage, i: number) => boolean = ({ role }) => role === "assistant",
): Marked {
  const given = tools ? { tools } : {};
  const write = (list: readonly ExampleMessage[], addGenerationPrompt = false): string =>
    template(list, { ...given, addGenerationPrompt });
  const text = write(messages), learned: Region[] = [];
  messages.forEach((message, i) => {
    if (!isLearned(message, i)) return;
    const region = answerIn(write, messages, i, text);
    const before = learned.at(-1)?.[1] ?? 0;
    if (!region || region[0] < before) {
      throw new FormatError(
        `${where}: what the chat template writes for messages[${i}] is not found in the conversation; learn from the whole with ` +
          `trainOnPrompt`,
      );
    }
    if (region[1] > region[0]) learned.push(region);
  });
  return { text, learned };
}

function answerIn(
  write: (messages: readonly ExampleMessage[], addGenerationPrompt?: boolean) => string,
  messages: readonly ExampleMessage[],
  i: number,
  text: string,
): Region | null {
  const asked = i > 0 ? write(messages.slice(0, i), true) : null, upTo = messages.slice(0, i + 1);
  const answered = write(upTo);
  if (asked !== null && text.startsWith(answered) && answered.startsWith(asked)) {
    return [asked.length, answered.length];
  }
  const found = contentIn(write, messages, i), alone = contentIn(write, upTo, i);
  if (!found || !alone) return null;
  // What ends the turn belongs to it, as far as it stands behind the answer here as well.
  const [start, end] = found.region, turn = commonLength(alone.behind, text.slice(end));
  return [start, turn === alone.behind.length ? end + turn : end];
}

/** A prompt and what follows it: texts, or turns of a conversation. */
export function markCompletion(
  prompt: ExamplePart,
  completion: ExamplePart,
  tools: readonly object[] | undefined,
  template: () => ChatTemplate,
  where: string,
): Marked {
  if (typeof prompt === "string") {
    const text = prompt + completion;
    return { text, learned: [[prompt.length, text.length]] };
  }
  const turns = [...prompt, ...completion as readonly ExampleMessage[]];
  return markAnswers(
    template(),
    turns,
    tools,
    where,
    ({ role }, i) => i >= prompt.length && role === "assistant",
  );
}
