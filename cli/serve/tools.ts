/**
 * The tools of a request, and whether one must be called.
 *
 * With `tool_choice: "auto"` the model calls them as it was trained to. Where a call is demanded the answer is kept to the JSON
 * of one, as vLLM does.
 *
 * @module
 */
import type { GenerateOptions } from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { checkNames, isObject } from "./nested.ts";
import { Problem } from "./problem.ts";
import type { Body } from "./unhonoured.ts";

type Format = NonNullable<GenerateOptions["responseFormat"]>;

/** What a request says of tools. */
export interface Tools {
  /** For the template. */
  readonly list: readonly object[];
  readonly names: readonly string[];
  /** What an answer must be that has to call one. */
  readonly format: Format | null;
  /** The most calls of an answer. */
  readonly most: number;
}

interface Tool {
  readonly name: string;
  readonly parameters: unknown;
  readonly strict: boolean;
  readonly given: object;
}

function fail(param: string, message: string): never {
  throw new Problem(400, message, param);
}

function readTool(given: unknown, i: number): Tool {
  const where = `tools[${i}]`, { type, function: own } = isObject(given) ? given : {} as Body;
  if (type !== "function" || !isObject(own)) {
    fail("tools", `${where} is ${show(given)}, expected { type: "function", function: { name, … } }`);
  }
  checkNames(where, given as Body, ["type", "function"]);
  // Templates read what a function gives back, too.
  checkNames(`${where}.function`, own, ["name", "description", "parameters", "strict", "return"]);
  const { name, description, parameters = null, strict = null } = own;
  if (typeof name !== "string" || !/^[\w.-]{1,128}$/.test(name)) {
    fail("tools", `${where}.function.name is ${show(name)}, expected 1 to 128 letters, digits, _, - and .`);
  }
  if (description !== undefined && description !== null && typeof description !== "string") {
    fail("tools", `${where}.function.description is ${show(description)}, expected a text`);
  }
  if (parameters !== null && !isObject(parameters)) {
    fail("tools", `${where}.function.parameters is ${show(parameters)}, expected a JSON Schema`);
  }
  if (strict !== null && typeof strict !== "boolean") {
    fail("tools", `${where}.function.strict is ${show(strict)}, expected true or false`);
  }
  return { name, parameters, strict: strict === true, given: given as object };
}

/** A schema whose references begin at `root` of another. */
function rooted(schema: unknown, root: string): unknown {
  if (Array.isArray(schema)) return schema.map((one) => rooted(one, root));
  if (!isObject(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === "$ref" && typeof value === "string" && /^#(\/|$)/.test(value)
        ? `#${root}${value.slice(1)}`
        : rooted(value, root),
    ]),
  );
}

/** The JSON of one call of one of these. */
function callFormat(tools: readonly Tool[]): Format {
  const anyOf = tools.map(({ name, parameters }, i) => ({
    type: "object",
    properties: {
      name: { const: name },
      arguments: parameters === null
        ? { type: "object", properties: {}, additionalProperties: false }
        : rooted(parameters, `/anyOf/${i}/properties/arguments`),
    },
    required: ["name", "arguments"],
    additionalProperties: false,
  }));
  return { type: "json_schema", schema: { anyOf } };
}

/** What the body says of tools; null where the model is not to know of any. @throws {Problem} */
export function readTools(body: Body): Tools | null {
  const tools = (body.tools as unknown[] | undefined ?? []).map(readTool), { tool_choice: choice } = body;
  const same = tools.find(({ name }, i) => tools.some((other, k) => k < i && other.name === name));
  if (same) fail("tools", `tools has two of the name ${show(same.name)}`);
  if (tools.length === 0) {
    if (choice === undefined || choice === "none" || choice === "auto") return null;
    fail("tool_choice", `tool_choice cannot be honoured: there are no tools`);
  }
  if (choice === "none") return null;
  const wanted = isObject(choice) ? (choice.function as Body | undefined)?.name : undefined;
  if (isObject(choice) && (choice.type !== "function" || !tools.some(({ name }) => name === wanted))) {
    fail(
      "tool_choice",
      `tool_choice is ${show(choice)}, expected { type: "function", function: { name } } with one of ${
        tools.map(({ name }) => name).slice(0, 20).join(", ")
      }`,
    );
  }
  if (isObject(choice)) {
    checkNames("tool_choice", choice, ["type", "function"]);
    checkNames("tool_choice.function", choice.function as Body, ["name"]);
  }
  const isDemanded = isObject(choice) || choice === "required";
  const strict = tools.findIndex(({ strict }) => strict);
  if (!isDemanded && strict >= 0) {
    fail(
      "tools",
      `tools[${strict}].function.strict cannot be honoured: what the model writes of its own accord is not kept to a schema; ` +
        'leave strict out, or give tool_choice "required"',
    );
  }
  return {
    list: tools.map(({ given }) => given),
    names: tools.map(({ name }) => name),
    format: isDemanded
      ? callFormat(isObject(choice) ? tools.filter(({ name }) => name === wanted) : tools)
      : null,
    most: body.parallel_tool_calls === false ? 1 : Infinity,
  };
}
