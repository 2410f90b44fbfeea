/**
 * What a line of fine-tuning data may be, in the forms that Hugging Face's `trl` reads.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { demandList, demandObject, type JsonObject, parseJson } from "../../core/json.ts";
import { show } from "../../core/show.ts";

/** A message of a conversation. */
export interface ExampleMessage {
  readonly role: string;
  readonly content: string;
  readonly [field: string]: unknown;
}

/** A text, or the turns of a conversation. */
export type ExamplePart = string | readonly ExampleMessage[];

/**
 * One example: a text to learn, a completion to learn behind a prompt, a conversation whose answers are learned, or two answers
 * of which one is preferred.
 */
export type ExampleRecord =
  | { readonly kind: "text"; readonly text: string }
  | {
    readonly kind: "completion";
    readonly prompt: ExamplePart;
    readonly completion: ExamplePart;
    readonly tools?: readonly object[];
  }
  | {
    readonly kind: "chat";
    readonly messages: readonly ExampleMessage[];
    readonly tools?: readonly object[];
  }
  | {
    readonly kind: "preference";
    readonly prompt: ExamplePart;
    readonly chosen: ExamplePart;
    readonly rejected: ExamplePart;
    readonly tools?: readonly object[];
  };

/** What each kind is written with. */
const forms = {
  text: ["text"],
  completion: ["prompt", "completion"],
  chat: ["messages"],
  preference: ["prompt", "chosen", "rejected"],
} as const;

const written = (kind: keyof typeof forms): string =>
  `{${forms[kind].map((name) => `"${name}"`).join(", ")}}`;

/** What is said: a text, or parts that are texts. Who only calls tools says nothing. */
function contentIn(content: unknown, isCalling: boolean, where: string): string {
  if (typeof content === "string") return content;
  if (isCalling && (content ?? null) === null) return "";
  const parts = Array.isArray(content) ? content as ({ type?: unknown; text?: unknown } | null)[] : null;
  if (parts?.every((part) => part?.type === "text" && typeof part.text === "string")) {
    return parts.map((part) => part!.text).join("");
  }
  throw new FormatError(
    `${where}.content is ${show(content)}, expected a text, or a list of parts of type "text"`,
  );
}

/** A call with its arguments as values, where they are written as JSON in a text: templates write them as they see fit. */
function callIn(call: unknown, where: string): unknown {
  const called = (call as { function?: { arguments?: unknown } } | null)?.function, given = called?.arguments;
  if (typeof given !== "string") return call;
  const name = `${where}.function.arguments`;
  const value = given.trim() === "" ? {} : demandObject(parseJson(given, name, { values: 1_000_000 }), name);
  return { ...call as object, function: { ...called, arguments: value } };
}

/** The messages in `field`, as the server gives them to templates, too. */
function messagesIn(value: unknown, where: string, field: string): readonly ExampleMessage[] {
  const list = demandList(value, `${where}: ${field}`);
  if (!list.length) throw new FormatError(`${where}: ${field} is an empty list, expected messages`);
  return list.map((item, i): ExampleMessage => {
    const name = `${where}: ${field}[${i}]`,
      message = demandObject(item, name),
      { role, tool_calls: calls } = message;
    if (typeof role !== "string" || role === "") {
      throw new FormatError(`${name}.role is ${show(role)}, expected who speaks, such as "user"`);
    }
    const list = (calls ?? null) === null ? null : demandList(calls, `${name}.tool_calls`);
    const isCalling = list !== null && list.length > 0, content = contentIn(message.content, isCalling, name);
    const called = isCalling
      ? { tool_calls: list.map((call, k) => callIn(call, `${name}.tool_calls[${k}]`)) }
      : {};
    return { ...message, role, content, ...called };
  });
}

function partIn(value: JsonObject, field: string, where: string): ExamplePart {
  const part = value[field];
  if (Array.isArray(part)) return messagesIn(part, where, field);
  if (typeof part === "string") return part;
  throw new FormatError(`${where}: ${field} is ${show(part)}, expected a text or a list of messages`);
}

function toolsIn({ tools }: JsonObject, where: string): { tools?: readonly object[] } {
  if (tools === undefined || tools === null) return {};
  demandList(tools, `${where}: tools`).forEach((tool, i) => demandObject(tool, `${where}: tools[${i}]`));
  return { tools: tools as object[] };
}

/**
 * The example in the value of a line, of one of `kinds`. Other fields say nothing to training and are left alone.
 * @throws {FormatError} naming what is not as it should be.
 */
export function recordIn(
  value: JsonObject,
  where: string,
  kinds: readonly ExampleRecord["kind"][],
): ExampleRecord {
  const found = kinds.filter((kind) => forms[kind].every((name) => Object.hasOwn(value, name)));
  if (found.length !== 1) {
    const names = Object.keys(value).slice(0, 10).map((name) => `"${name}"`).join(", ");
    throw new FormatError(
      found.length
        ? `${where} is ${found.map(written).join(" and ")} at once; keep one of them`
        : `${where} has ${names || "no fields"}, expected ${kinds.map(written).join(", or ")}`,
    );
  }
  const [kind] = found;
  if (kind === "text") {
    if (typeof value.text !== "string" || value.text === "") {
      throw new FormatError(`${where}: text is ${show(value.text)}, expected a text with something in it`);
    }
    return { kind, text: value.text };
  }
  const tools = toolsIn(value, where);
  if (kind === "chat") return { kind, messages: messagesIn(value.messages, where, "messages"), ...tools };
  const parts = Object.fromEntries(forms[kind].map((name) => [name, partIn(value, name, where)]));
  const [first, ...others] = Object.entries(parts);
  for (const [name, part] of others) {
    if (typeof part !== typeof first[1]) {
      throw new FormatError(
        `${where}: prompt is ${
          typeof first[1] === "string" ? "a text" : "a list of messages"
        } and ${name} is ` +
          `${typeof part === "string" ? "a text" : "a list"}; write both in one way`,
      );
    }
    if (part === "") throw new FormatError(`${where}: ${name} is "", expected something to learn`);
  }
  if (typeof first[1] === "string" && "tools" in tools) {
    throw new FormatError(`${where}: tools go with messages, and prompt is a text; leave them out`);
  }
  return { kind, ...parts, ...tools } as unknown as ExampleRecord;
}
