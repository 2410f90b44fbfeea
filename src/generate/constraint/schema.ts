/**
 * JSON Schema as a grammar: every text of the grammar is JSON that the schema accepts.
 *
 * Not every JSON that the schema accepts is in the grammar: objects have the properties that the schema names, in its order,
 * and spaces stand only behind commas and colons. Keywords that a grammar cannot hold are refused by name.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import {
  choice,
  complement,
  type Grammar,
  intersection,
  literal,
  optional,
  type Part,
  type Range,
  repeat,
  rule,
  sequence,
  set,
} from "./grammar.ts";
import { integers } from "./integers.ts";
import { parsePattern } from "./pattern.ts";

type Schema = Readonly<Record<string, unknown>>;

/** Keywords that say nothing about what is allowed. */
const silent = [
  "$schema",
  "$id",
  "$comment",
  "$anchor",
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
  "$defs",
  "definitions",
  "strict",
  "name",
];
const known: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  number: [],
  boolean: [],
  null: [],
};
const formats: Readonly<Record<string, string>> = {
  date: "(19|20)\\d\\d-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])",
  time: "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\dZ",
  "date-time": "(19|20)\\d\\d-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\dZ",
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
};

// Quotation mark, backslash and control characters stand in a text as escapes.
const escaped: readonly [number, string][] = [
  [34, '\\"'],
  [92, "\\\\"],
  [8, "\\b"],
  [12, "\\f"],
  [10, "\\n"],
  [13, "\\r"],
  [9, "\\t"],
];
const plain: Range[] = complement([[0, 31], [34, 34], [92, 92]]);
const space = optional(literal(" "));

/** One character of a string, as JSON writes it. */
function character(ranges: readonly Range[]): Part {
  const escapes = escaped.filter(([code]) => ranges.some(([from, to]) => code >= from && code <= to));
  const parts: Part[] = escapes.map(([, text]) => literal(text)), open = intersection(ranges, plain);
  if (open.length) parts.unshift(set(...open));
  return choice(...parts);
}

/** The same grammar with every character as JSON writes it. */
function inString(part: Part): Part {
  switch (part.kind) {
    case "set":
      return character(part.ranges);
    case "sequence":
    case "choice":
      return { kind: part.kind, parts: part.parts.map(inString) };
    case "repeat":
      return { ...part, part: inString(part.part) };
    case "rule":
      return part;
  }
}

const quoted = (inner: Part): Part => sequence(literal('"'), inner, literal('"'));
const anyString = quoted(repeat(character([[0, 0x10ffff]]), 0, Infinity));

/** Items with commas between them, from `least` to `most`. */
function list(item: Part, least: number, most: number): Part {
  if (most === 0) return sequence();
  const more = repeat(sequence(literal(","), space, item), Math.max(0, least - 1), most - 1),
    some = sequence(item, more);
  return least > 0 ? some : optional(some);
}

class Translator {
  readonly rules = new Map<string, Part>();
  readonly #root: unknown;
  #count = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  fail(where: string, message: string): never {
    throw new OptionError(`responseFormat: the schema at ${where || "/"}: ${message}`);
  }

  /** The rule of the part of the schema that a reference names. */
  #reference(reference: unknown, where: string): Part {
    if (typeof reference !== "string" || !reference.startsWith("#")) {
      this.fail(where, `$ref ${JSON.stringify(reference)} is not within the schema`);
    }
    const name = `ref ${reference}`;
    if (!this.rules.has(name)) {
      let found: unknown = this.#root;
      for (const key of reference.slice(1).split("/").slice(1)) {
        const plainKey = decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~");
        found = typeof found === "object" && found !== null ? (found as Schema)[plainKey] : undefined;
      }
      if (found === undefined) this.fail(where, `there is no ${reference}`);
      this.rules.set(name, sequence());
      this.rules.set(name, this.value(found, reference.slice(1)));
    }
    return rule(name);
  }

  /** Any JSON value. */
  #any(): Part {
    if (!this.rules.has("any")) {
      this.rules.set("any", sequence());
      const any = rule("any");
      this.rules.set(
        "any",
        choice(
          anyString,
          this.#number(),
          literal("true"),
          literal("false"),
          literal("null"),
          sequence(literal("["), list(any, 0, Infinity), literal("]")),
          sequence(
            literal("{"),
            list(sequence(anyString, literal(":"), space, any), 0, Infinity),
            literal("}"),
          ),
        ),
      );
    }
    return rule("any");
  }

  #number(): Part {
    const digits = (least: number, most: number): Part => repeat(set([48, 57]), least, most);
    return sequence(
      integers(-Infinity, Infinity),
      optional(sequence(literal("."), digits(1, 10))),
      optional(
        sequence(
          choice(literal("e"), literal("E")),
          optional(choice(literal("+"), literal("-"))),
          digits(1, 2),
        ),
      ),
    );
  }

  /** A schema at a place. */
  value(schema: unknown, where: string): Part {
    if (schema === true) return this.#any();
    if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
      this.fail(where, `${JSON.stringify(schema)} is no schema that any value meets`);
    }
    const own = schema as Schema, keys = Object.keys(own).filter((key) => !silent.includes(key));
    const alone = (name: string): void => {
      const others = keys.filter((key) => key !== name && !(name !== "$ref" && key === "type"));
      if (others.length) this.fail(where, `${others.join(", ")} beside ${name} cannot be followed`);
    };
    if ("$ref" in own) {
      alone("$ref");
      return this.#reference(own.$ref, where);
    }
    if ("const" in own) {
      alone("const");
      return literal(JSON.stringify(own.const));
    }
    if ("enum" in own) {
      alone("enum");
      if (!Array.isArray(own.enum) || !own.enum.length) {
        this.fail(where, "enum is a list of at least one value");
      }
      return choice(...own.enum.map((value) => literal(JSON.stringify(value))));
    }
    for (const name of ["anyOf", "oneOf", "allOf"]) {
      if (!(name in own)) continue;
      alone(name);
      const branches = own[name];
      if (!Array.isArray(branches) || !branches.length) {
        this.fail(where, `${name} is a list of at least one schema`);
      }
      if (name === "allOf" && branches.length > 1) {
        this.fail(where, "allOf of several schemas cannot be followed");
      }
      if (name === "oneOf" && !areApart(branches)) {
        this.fail(
          where,
          "oneOf is followed only where its branches have different types or constants; use anyOf",
        );
      }
      return choice(...branches.map((branch, i) => this.value(branch, `${where}/${name}/${i}`)));
    }
    const types = own.type === undefined
      ? this.#guess(keys)
      : Array.isArray(own.type)
      ? own.type
      : [own.type];
    if (types === null) return this.#any();
    const allowed = types.flatMap((type) =>
      known[type as string] ?? this.fail(where, `there is no type ${JSON.stringify(type)}`)
    );
    const other = keys.find((key) => key !== "type" && !allowed.includes(key));
    if (other !== undefined) this.fail(where, `${other} cannot be followed for ${types.join(", ")}`);
    return choice(...types.map((type) => this.#typed(type as string, own, where)));
  }

  #guess(keys: readonly string[]): string[] | null {
    if (!keys.length) return null;
    return Object.keys(known).filter((type) => keys.some((key) => known[type].includes(key))).slice(0, 1);
  }

  #typed(type: string, schema: Schema, where: string): Part {
    const count = (name: string, otherwise: number): number => {
      const value = schema[name] ?? otherwise;
      if (typeof value !== "number" || value < 0 || (value !== Infinity && !Number.isInteger(value))) {
        this.fail(where, `${name} is a whole number from 0, not ${JSON.stringify(value)}`);
      }
      return value;
    };
    switch (type) {
      case "object":
        return this.#object(schema, where);
      case "array": {
        const least = count("minItems", 0), most = count("maxItems", Infinity);
        if (most < least) this.fail(where, `maxItems ${most} is less than minItems ${least}`);
        const item = this.value(schema.items ?? true, `${where}/items`);
        return sequence(literal("["), list(item, least, most), literal("]"));
      }
      case "string": {
        const { pattern, format } = schema;
        if (format !== undefined && !Object.hasOwn(formats, format as string)) {
          this.fail(where, `format ${JSON.stringify(format)} is none of ${Object.keys(formats).join(", ")}`);
        }
        const text = pattern ?? (format === undefined ? undefined : formats[format as string]);
        if (text === undefined) {
          const least = count("minLength", 0), most = count("maxLength", Infinity);
          if (most < least) this.fail(where, `maxLength ${most} is less than minLength ${least}`);
          return quoted(repeat(character([[0, 0x10ffff]]), least, most));
        }
        if (
          schema.minLength !== undefined || schema.maxLength !== undefined ||
          (pattern !== undefined && format !== undefined)
        ) {
          this.fail(
            where,
            "pattern, format and lengths cannot be followed together; put the length into the pattern",
          );
        }
        if (typeof text !== "string") this.fail(where, "pattern is a text");
        return quoted(inString(parsePattern(text)));
      }
      case "integer": {
        const bound = (name: string, otherwise: number): number => {
          const value = schema[name] ?? otherwise;
          if (typeof value !== "number") {
            this.fail(where, `${name} is a number, not ${JSON.stringify(value)}`);
          }
          return value;
        };
        const low = Math.max(
          Math.ceil(bound("minimum", -Infinity)),
          Math.floor(bound("exclusiveMinimum", -Infinity)) + 1,
        );
        const high = Math.min(
          Math.floor(bound("maximum", Infinity)),
          Math.ceil(bound("exclusiveMaximum", Infinity)) - 1,
        );
        if (high < low) this.fail(where, `there is no whole number from ${low} to ${high}`);
        return integers(low, high);
      }
      case "number":
        return this.#number();
      case "boolean":
        return choice(literal("true"), literal("false"));
      default:
        return literal("null");
    }
  }

  /** Properties in the order of the schema; those that are not required may be left out. */
  #object(schema: Schema, where: string): Part {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (typeof properties !== "object" || properties === null) {
      this.fail(where, "properties is an object of schemas");
    }
    if (!Array.isArray(required)) this.fail(where, "required is a list of names");
    const names = Object.keys(properties);
    const unknown = required.find((name) => !names.includes(name as string));
    if (unknown !== undefined) {
      this.fail(where, `the required property ${JSON.stringify(unknown)} is not in properties`);
    }
    if (!names.length) {
      if (additionalProperties === false) return literal("{}");
      const member = sequence(
        anyString,
        literal(":"),
        space,
        this.value(additionalProperties ?? true, `${where}/additionalProperties`),
      );
      return sequence(literal("{"), list(member, 0, Infinity), literal("}"));
    }
    const id = this.#count++,
      members = names.map((name) =>
        sequence(
          literal(JSON.stringify(name)),
          literal(":"),
          space,
          this.value((properties as Schema)[name], `${where}/properties/${name}`),
        )
      );
    // The rest from property i on, with or without something before it: each a rule, since they share their ends.
    const rest = (i: number, first: boolean): Part =>
      i === names.length ? sequence() : rule(`object ${id} ${i} ${first}`);
    for (let i = names.length - 1; i >= 0; i--) {
      for (const first of [true, false]) {
        const here = sequence(
          first ? sequence() : sequence(literal(","), space),
          members[i],
          rest(i + 1, false),
        );
        const parts = required.includes(names[i]) ? [here] : [here, rest(i + 1, first)];
        this.rules.set(`object ${id} ${i} ${first}`, choice(...parts));
      }
    }
    return sequence(literal("{"), rest(0, true), literal("}"));
  }
}

/** Whether no value can meet two of the schemas: they have different types, or different constants. */
function areApart(branches: readonly unknown[]): boolean {
  const signs = branches.map((branch) => {
    const { type, const: constant } = (branch ?? {}) as Schema;
    return constant !== undefined
      ? `const ${JSON.stringify(constant)}`
      : typeof type === "string"
      ? type
      : null;
  });
  const plainSigns = signs.filter((sign) => sign !== null);
  const mixed = plainSigns.some((sign) => sign.startsWith("const ")) &&
    plainSigns.some((sign) => !sign.startsWith("const "));
  const numbers = plainSigns.includes("integer") && plainSigns.includes("number");
  return plainSigns.length === signs.length && new Set(plainSigns).size === signs.length && !mixed &&
    !numbers;
}

/** The grammar of the JSON that a schema accepts. @throws {OptionError} for a keyword that cannot be followed. */
export function schemaGrammar(schema: unknown): Grammar {
  const translator = new Translator(schema);
  const start = translator.value(schema, "");
  translator.rules.set("start", start);
  return translator.rules;
}
