/**
 * What a line of fine-tuning data may be, in the forms that Hugging Face's `trl` reads.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { demandList, demandObject, type JsonObject } from "../../core/json.ts";
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

/** The messages in `field`. */
function messagesIn(value: unknown, where: string, field: string): readonly ExampleMessage[] {
  const list = demandList(value, `${where}: ${field}`);
  if (!list.length) throw new FormatError(`${where}: ${field} is an empty list, expected messages`);
  list.forEach((item, i) => {
    const name = `${where}: ${field}[${i}]`, { role } = demandObject(item, name);
    if (typeof role === "string" && role !== "") return;
    throw new FormatError(`${name}.role is ${show(role)}, expected who speaks, such as "user"`);
  });
  return list as ExampleMessage[];
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
