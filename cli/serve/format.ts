/**
 * What an answer must be, in the words of OpenAI, vLLM, llama.cpp and Ollama: one of them becomes the library's
 * `responseFormat`.
 *
 * @module
 */
import type { GenerateOptions } from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { checkNames, isNothing, isObject } from "./nested.ts";
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

/** The fields of a `response_format`, by its type. */
const typed: Readonly<Record<string, readonly string[]>> = {
  text: ["type"],
  json_object: ["type", "schema"],
  json_schema: ["type", "json_schema", "schema"],
  regex: ["type", "pattern"],
};

/** OpenAI's own field, with those of its types that other servers have. */
function ownFormat(given: Body): Format {
  const { type, json_schema: named = null } = given;
  const refuse = (message: string): never => {
    throw new Problem(400, message, "response_format");
  };
  if (typeof type !== "string" || !Object.hasOwn(typed, type)) {
    refuse(
      `response_format${
        type === undefined ? " has no type" : `.type is ${show(type)}`
      }, expected "text", "json_object", "json_schema" or "regex"`,
    );
  }
  const other = Object.keys(given).find((name) =>
    !typed[type as string].includes(name) && !isNothing(given[name]) &&
    Object.values(typed).some((names) => names.includes(name))
  );
  if (other) refuse(`response_format.${other} means nothing beside type ${show(type)}; leave one out`);
  checkNames("response_format", given, typed[type as string]);
  const isEmpty = named === null
    ? (given.schema ?? null) === null
    : isObject(named) && (named.schema ?? given.schema ?? null) === null;
  if (type === "json_schema" && isEmpty) {
    refuse(
      'response_format of type "json_schema" has no schema, expected json_schema: { name, schema }; any object is type "json_object"',
    );
  }
  if (named === null && type === "json_schema") return { type, schema: given.schema };
  if (named !== null) {
    if (!isObject(named)) refuse(`response_format.json_schema is ${show(named)}, expected an object`);
    const { name = null, description = null, strict = null, schema = null } = named as Body;
    checkNames("response_format.json_schema", named as Body, ["name", "description", "strict", "schema"]);
    for (const [word, value] of [["name", name], ["description", description]] as const) {
      if (value !== null && typeof value !== "string") {
        refuse(`response_format.json_schema.${word} is ${show(value)}, expected a text`);
      }
    }
    if (strict !== null && typeof strict !== "boolean") {
      refuse(`response_format.json_schema.strict is ${show(strict)}, expected true or false`);
    }
    if (schema !== null && (given.schema ?? null) !== null) {
      refuse("response_format.schema and response_format.json_schema.schema both say what it is; give one");
    }
    return { type: "json_schema", schema: schema ?? given.schema };
  }
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => !isNothing(value)),
  ) as unknown as Format;
}

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

/**
 * The format that a request asks for, and the field that does; null where anything goes.
 *
 * @throws {Problem} where it asks for two, or says that anything goes beside what it asks for.
 */
export function formatOf(body: Body): { readonly name: string; readonly format: Format } | null {
  const found: [name: string, format: Format][] = [];
  const take = (name: string, read: (value: never) => Format): void => {
    const value = body[name];
    if (value !== undefined && value !== null) found.push([name, read(value as never)]);
  };
  take("response_format", ownFormat);
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
  if (real.length === 0) return null;
  const [name, format] = real[0], free = found.find(([, { type }]) => type === "text");
  if (free) {
    throw new Problem(
      400,
      `${free[0]} says that the text may be anything, and ${name} what it must be; leave one out`,
      free[0],
    );
  }
  return { name, format };
}
