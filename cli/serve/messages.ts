/**
 * Messages of a conversation, as templates want them: texts, and the calls and answers of tools.
 *
 * @module
 */
import type { ChatMessage } from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { checkNames, isObject } from "./nested.ts";
import { Problem } from "./problem.ts";
import type { Body as Fields } from "./unhonoured.ts";

function fail(message: string): never {
  throw new Problem(400, message, "messages");
}

/** Fields of a message; the last two change nothing of what is said. */
const names = [
  "role",
  "content",
  "name",
  "reasoning_content",
  "tool_calls",
  "tool_call_id",
  "id",
  "cache_control",
];
/** Fields of a part of one, and of a call. */
const partNames = ["type", "text", "cache_control"], callNames = ["id", "index", "type", "function"];

/** The most calls of a message. */
const mostCalls = 128;

/** Calls with their arguments as values, which templates write as they see fit. */
function readCalls(calls: unknown, where: string): object[] {
  if (!Array.isArray(calls) || calls.length > mostCalls) {
    fail(`${where}.tool_calls is a list of up to ${mostCalls} calls, not ${show(calls)}`);
  }
  return calls.map((call: unknown, i) => {
    const { id, type = "function", function: called } = isObject(call) ? call : {} as Fields;
    const { name, arguments: given = {} } = isObject(called) ? called : {} as Fields;
    if (typeof name !== "string" || (id !== undefined && typeof id !== "string") || type !== "function") {
      fail(`${where}.tool_calls[${i}] is { id, type: "function", function: { name, arguments } }`);
    }
    checkNames(`${where}.tool_calls[${i}]`, call as Fields, callNames);
    checkNames(`${where}.tool_calls[${i}].function`, called as Fields, ["name", "arguments"]);
    let value = given;
    if (typeof given === "string") {
      try {
        value = given.trim() === "" ? {} : JSON.parse(given);
      } catch {
        fail(
          `${where}.tool_calls[${i}].function.arguments is ${show(given)}, expected a JSON object as text`,
        );
      }
    }
    if (!isObject(value)) {
      fail(`${where}.tool_calls[${i}].function.arguments is ${show(given)}, expected a JSON object as text`);
    }
    return { ...id === undefined ? {} : { id }, type: "function", function: { name, arguments: value } };
  });
}

/** The message at a place. @throws {Problem} for what is none. */
export function readMessage(message: unknown, i: number): ChatMessage {
  const where = `messages[${i}]`, fields = isObject(message) ? message : {};
  const { role, content, tool_calls: calls = null, tool_call_id: id = null } = fields;
  const parts = Array.isArray(content) ? content as { type?: unknown; text?: unknown }[] : null;
  const words = parts?.every((part) => part?.type === "text" && typeof part.text === "string")
    ? parts.map(({ text }) => text).join("")
    : content;
  // Who only calls tools says nothing.
  const isCalling = role === "assistant" && Array.isArray(calls) && calls.length > 0;
  const said = isCalling ? words ?? "" : words;
  if (typeof role !== "string" || typeof said !== "string") {
    fail(`${where} has a role and a content, both of them texts`);
  }
  checkNames(where, fields, names);
  parts?.forEach((part, k) => checkNames(`${where}.content[${k}]`, part as Fields, partNames));
  if (calls !== null && role !== "assistant") fail(`${where}.tool_calls belong to the role "assistant"`);
  if (id !== null && typeof id !== "string") fail(`${where}.tool_call_id is ${show(id)}, expected a text`);
  const out: ChatMessage = { role, content: said };
  for (const name of ["name", "reasoning_content"]) {
    const value = fields[name] ?? null;
    if (value === null) continue;
    if (typeof value !== "string") fail(`${where}.${name} is ${show(value)}, expected a text`);
    out[name] = value;
  }
  if (isCalling) out.tool_calls = readCalls(calls, where);
  if (id !== null) out.tool_call_id = id;
  return out;
}
