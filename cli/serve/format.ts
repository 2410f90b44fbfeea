/**
 * What an answer must be, in the words of OpenAI, vLLM, llama.cpp and Ollama: one of them becomes the library's
 * `responseFormat`.
 *
 * @module
 */
import type { GenerateOptions } from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { Problem } from "./problem.ts";
import type { Body } from "./unhonoured.ts";

type Format = NonNullable<GenerateOptions["responseFormat"]>;

const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

function schemaFormat(name: string, given: unknown): Format {
  if (typeof given !== "string") return { type: "json_schema", schema: given };
  try {
    return { type: "json_schema", schema: JSON.parse(given) };
  } catch {
    throw new Problem(400, `${name} is ${show(given)}, which is no JSON`, name);
  }
}

const choiceFormat = (texts: readonly string[]): Format => ({
  type: "regex",
  pattern: texts.map(escape).join("|"),
});

function structured(given: Body): Format {
  const names = Object.keys(given).filter((name) => given[name] !== null && given[name] !== undefined);
  const kinds = names.filter((name) => ["json", "regex", "choice", "json_object"].includes(name));
  const { json, regex, choice } = given, [kind] = kinds, name = `structured_outputs.${kind}`;
  const other = names.find((one) =>
    !kinds.includes(one) && given[one] !== false && one !== "backend" && one !== "_backend"
  );
  if (kinds.length !== 1 || other !== undefined) {
    throw new Problem(
      400,
      `structured_outputs has ${show(names)}, expected one of json, regex, choice and json_object`,
      "structured_outputs",
    );
  }
  if (kind === "json") return schemaFormat(name, json);
  if (kind === "json_object") return { type: "json_object" };
  if (kind === "regex" && typeof regex === "string") return { type: "regex", pattern: regex };
  if (
    kind === "choice" && Array.isArray(choice) && choice.length > 0 && choice.length <= 1000 &&
    choice.every((one) => typeof one === "string" && one)
  ) return choiceFormat(choice);
  throw new Problem(
    400,
    `${name} is ${show(given[kind])}, expected ${kind === "regex" ? "a text" : "a list of 1 to 1000 texts"}`,
    "structured_outputs",
  );
}

/** The format that a request asks for; undefined where anything goes. @throws {Problem} where it asks for two. */
export function formatOf(body: Body): Format | undefined {
  const found: [name: string, format: Format][] = [];
  const take = (name: string, read: (value: never) => Format): void => {
    const value = body[name];
    if (value !== undefined && value !== null) found.push([name, read(value as never)]);
  };
  take("response_format", (value: Format) => value);
  take("guided_json", (value: unknown) => schemaFormat("guided_json", value));
  take("guided_regex", (pattern: string) => ({ type: "regex", pattern }));
  take("guided_choice", choiceFormat);
  take("structured_outputs", structured);
  take("json_schema", (value: unknown) => schemaFormat("json_schema", value));
  take(
    "format",
    (value: unknown) => value === "json" ? { type: "json_object" } : { type: "json_schema", schema: value },
  );
  const real = found.filter(([, format]) => format.type !== "text");
  if (real.length > 1) {
    const names = real.map(([name]) => name);
    throw new Problem(400, `${names.join(" and ")} both say what the text must be; give one`, names[1]);
  }
  return (real[0] ?? found[0])?.[1];
}
