/**
 * JSON Schema as a grammar: every text of the grammar is JSON that the schema accepts.
 *
 * Not every JSON that the schema accepts is in the grammar: objects have the properties that the schema names, in its order,
 * and spaces stand only behind commas and colons. Keywords that a grammar cannot hold are refused by name, unless their value
 * asks for nothing.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { hint } from "../../core/nearest.ts";
import { counted, show } from "../../core/show.ts";
import type { Steps } from "../../core/steps.ts";
import { choice, type Grammar, literal, optional, type Part, repeat, rule, sequence } from "./grammar.ts";
import { anyString, anyValue, list, member, space } from "./json.ts";
import {
  areDifferent,
  isObject,
  isOf,
  known,
  neutral,
  numberFormats,
  type Schema,
  signOf,
  silent,
} from "./keywords.ts";
import { anyNumber, numbers } from "./numbers.ts";
import { stringPart } from "./strings.ts";

class Translator {
  readonly rules = new Map<string, Part>();
  readonly #root: unknown;
  /** References whose schemas are still to be translated. */
  readonly #open: { name: string; reference: string }[] = [];

  constructor(root: unknown) {
    this.#root = root;
  }

  fail(where: string, message: string): never {
    const place = where.length > 200 ? `${where.slice(0, 200)}…` : where;
    throw new OptionError(`responseFormat: the schema at ${place || "/"}: ${message}`);
  }

  *translate(): Steps<Grammar> {
    this.rules.set("start", yield* this.value(this.#root, ""));
    for (let next = this.#open.pop(); next; next = this.#open.pop()) {
      const { name, reference } = next;
      this.rules.set(name, yield* this.value(this.#find(reference, ""), reference.slice(1)));
    }
    return this.rules;
  }

  /** The part of the schema that a reference names. */
  #find(reference: unknown, where: string): unknown {
    if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) {
      this.fail(where, `$ref ${show(reference)} is not within the schema; it begins with #/`);
    }
    let found: unknown = this.#root;
    for (const key of reference.slice(1).split("/").slice(1)) {
      let plain = key;
      try {
        plain = decodeURIComponent(key);
      } catch {
        // A % that stands for itself.
      }
      plain = plain.replaceAll("~1", "/").replaceAll("~0", "~");
      found = typeof found === "object" && found !== null && Object.hasOwn(found, plain)
        ? (found as Schema)[plain]
        : undefined;
    }
    if (found === undefined) this.fail(where, `there is no ${show(reference)}`);
    return found;
  }

  #reference(reference: unknown, where: string): Part {
    this.#find(reference, where);
    const name = `ref ${reference}`;
    if (!this.rules.has(name)) {
      this.rules.set(name, sequence());
      this.#open.push({ name, reference: reference as string });
    }
    return rule(name);
  }

  /** Any JSON value. */
  #any(): Part {
    if (!this.rules.has("any")) this.rules.set("any", anyValue(rule("any")));
    return rule("any");
  }

  /** A schema at a place. */
  *value(schema: unknown, where: string): Steps<Part> {
    yield 4;
    if (schema === true) return this.#any();
    if (!isObject(schema)) this.fail(where, `${show(schema)} is no schema that any value meets`);
    const keys = Object.keys(schema).filter((key) =>
      schema[key] !== undefined && !silent.has(key) && !key.startsWith("x-") &&
      !(Object.hasOwn(neutral, key) && neutral[key](schema[key]))
    );
    if (schema.nullable === true) {
      const { nullable: _, ...rest } = schema;
      return choice(yield* this.value(rest, where), literal("null"));
    }
    const alone = (name: string, ...beside: string[]): void => {
      const others = keys.filter((key) => key !== name && !beside.includes(key));
      if (others.length) this.fail(where, `${show(others.join(", "))} beside ${name} cannot be followed`);
    };
    if (keys.includes("$ref")) {
      alone("$ref");
      return this.#reference(schema.$ref, where);
    }
    if (keys.includes("const")) {
      alone("const", "type");
      return this.#constants([schema.const], schema.type, where);
    }
    if (keys.includes("enum")) {
      alone("enum", "type");
      if (!Array.isArray(schema.enum) || !schema.enum.length) {
        this.fail(where, "enum is a list of at least one value");
      }
      const found = this.#constants(schema.enum, schema.type, where);
      yield 2 * schema.enum.length;
      return found;
    }
    for (const name of ["anyOf", "oneOf", "allOf"]) {
      if (!keys.includes(name)) continue;
      alone(name, ...this.#branchType(schema, name) ? ["type"] : []);
      return yield* this.#branches(schema[name], name, where);
    }
    const types = schema.type === undefined
      ? this.#guess(keys)
      : Array.isArray(schema.type)
      ? schema.type
      : [schema.type];
    if (types === null) return this.#any();
    const allowed = types.flatMap((type) =>
      typeof type === "string" && Object.hasOwn(known, type) ? known[type] : this.fail(
        where,
        `there is no type ${show(type)}${typeof type === "string" ? hint(type, Object.keys(known)) : ""}`,
      )
    );
    if (!types.length) this.fail(where, "type is a name or a list of at least one");
    const other = keys.find((key) => key !== "type" && !allowed.includes(key));
    if (other !== undefined) {
      this.fail(where, `${show(other).slice(1, -1)} cannot be followed for ${types.join(", ")}`);
    }
    const parts: Part[] = [];
    for (const type of new Set(types as string[])) parts.push(yield* this.#typed(type, schema, where));
    return choice(...parts);
  }

  /** Whether `type` beside branches says nothing that they do not say themselves. */
  #branchType({ type, ...schema }: Schema, name: string): boolean {
    const branches = schema[name];
    return Array.isArray(branches) &&
      branches.every((branch) => isObject(branch) && (branch.type === type || "$ref" in branch));
  }

  #guess(keys: readonly string[]): string[] | null {
    if (!keys.length) return null;
    return Object.keys(known).filter((type) => keys.some((key) => known[type].includes(key))).slice(0, 1);
  }

  #constants(values: readonly unknown[], type: unknown, where: string): Part {
    const types = type === undefined ? null : Array.isArray(type) ? type : [type];
    const kept = values.filter((value) => types === null || types.some((name) => isOf(value, name)));
    if (!kept.length) this.fail(where, `no value is of type ${show(type)}`);
    return choice(...kept.map((value) => literal(JSON.stringify(value))));
  }

  *#branches(branches: unknown, name: string, where: string): Steps<Part> {
    if (!Array.isArray(branches) || !branches.length) {
      this.fail(where, `${name} is a list of at least one schema`);
    }
    if (name === "allOf" && branches.length > 1) {
      this.fail(where, "allOf of several schemas cannot be followed");
    }
    if (name === "oneOf" && !this.#areApart(branches)) {
      this.fail(
        where,
        "oneOf is followed only where its branches have different types or constants, or a required property with different constants; use anyOf",
      );
    }
    const parts: Part[] = [];
    for (const [i, branch] of branches.entries()) {
      parts.push(yield* this.value(branch, `${where}/${name}/${i}`));
    }
    const found = choice(...parts);
    yield 2 * parts.length;
    return found;
  }

  /** Whether no value can meet two of the schemas. */
  #areApart(branches: readonly unknown[]): boolean {
    const found = branches.map((branch) => this.#resolve(branch)), plain = found.map(signOf);
    if (areDifferent(plain)) return true;
    if (!found.every((schema) => schema?.type === "object")) return false;
    // A union told apart by one property.
    const [first] = found, required = Array.isArray(first?.required) ? first.required : [];
    return required.slice(0, 100).some((name) =>
      areDifferent(found.map((schema) => {
        const properties = schema?.properties;
        if (
          !Array.isArray(schema?.required) || !schema.required.includes(name) || !isObject(properties)
        ) return null;
        const own = Object.hasOwn(properties, name) ? this.#resolve(properties[name]) : null;
        const sign = signOf(own);
        return sign?.startsWith("const ") ? sign : null;
      }))
    );
  }

  /** A schema, or the one that it refers to. */
  #resolve(schema: unknown): Schema | null {
    let here = schema;
    for (let i = 0; i < 16 && isObject(here) && typeof here.$ref === "string"; i++) {
      here = this.#find(here.$ref, "");
    }
    return isObject(here) ? here : null;
  }

  *#typed(type: string, schema: Schema, where: string): Steps<Part> {
    switch (type) {
      case "object":
        return yield* this.#object(schema, where);
      case "array":
        return yield* this.#array(schema, where);
      case "string": {
        const least = this.#count(schema, "minLength", 0, where),
          most = this.#count(schema, "maxLength", Infinity, where);
        if (most < least) this.fail(where, `maxLength ${most} is less than minLength ${least}`);
        return yield* stringPart(
          schema.pattern,
          schema.format,
          least,
          most,
          (message) => this.fail(where, message),
        );
      }
      case "integer":
      case "number":
        return this.#number(type === "integer", schema, where);
      case "boolean":
        return choice(literal("true"), literal("false"));
      default:
        return literal("null");
    }
  }

  #count(schema: Schema, name: string, otherwise: number, where: string): number {
    const value = schema[name] ?? otherwise;
    if (typeof value !== "number" || value < 0 || (value !== Infinity && !Number.isInteger(value))) {
      this.fail(where, `${name} is a whole number from 0, not ${show(value)}`);
    }
    return value;
  }

  #number(whole: boolean, schema: Schema, where: string): Part {
    const format = schema.format;
    if (format !== undefined && !numberFormats.includes(format as string)) {
      this.fail(where, `format ${show(format)} of a number is none of ${numberFormats.join(", ")}`);
    }
    const bound = (name: string, otherwise: number): number => {
      const value = schema[name] ?? otherwise;
      if (typeof value !== "number" || (schema[name] !== undefined && !Number.isFinite(value))) {
        this.fail(where, `${name} is a number, not ${show(value)}`);
      }
      return value;
    };
    const isNarrow = whole && format === "int32";
    const lows = [bound("minimum", isNarrow ? -(2 ** 31) : -Infinity), bound("exclusiveMinimum", -Infinity)],
      highs = [bound("maximum", isNarrow ? 2 ** 31 - 1 : Infinity), bound("exclusiveMaximum", Infinity)];
    const multiple = schema.multipleOf === undefined ? null : bound("multipleOf", 1);
    if (multiple !== null && !(multiple > 0)) {
      this.fail(where, `multipleOf is a number above 0, not ${multiple}`);
    }
    const low = Math.max(...lows), high = Math.min(...highs);
    if (low === -Infinity && high === Infinity && multiple === null) return anyNumber(whole);
    const found = numbers({
      low,
      high,
      aboveLow: lows[1] === low,
      belowHigh: highs[1] === high,
      multiple,
      whole,
    });
    if (!found) {
      this.fail(
        where,
        `there is no ${whole ? "whole " : ""}number from ${low} to ${high}` +
          `${multiple === null ? "" : ` that is a multiple of ${multiple}`} with at most 15 digits`,
      );
    }
    return found;
  }

  /** Items: first those with schemas of their own, then any number of others. */
  *#array(schema: Schema, where: string): Steps<Part> {
    const least = this.#count(schema, "minItems", 0, where),
      most = this.#count(schema, "maxItems", Infinity, where);
    if (most < least) this.fail(where, `maxItems ${most} is less than minItems ${least}`);
    const isTuple = Array.isArray(schema.items), first = isTuple ? schema.items : schema.prefixItems ?? [];
    if (!Array.isArray(first)) this.fail(where, "prefixItems is a list of schemas");
    const others = isTuple ? schema.additionalItems ?? true : schema.items ?? true;
    const parts: Part[] = [];
    for (const [i, one] of first.slice(0, Math.min(first.length, most)).entries()) {
      parts.push(yield* this.value(one, `${where}/${isTuple ? "items" : "prefixItems"}/${i}`));
    }
    const count = parts.length, room = others === false ? count : most;
    if (room < least) {
      this.fail(where, `minItems ${least} is more than the ${counted(count, "item")} there are`);
    }
    const item = room > count ? yield* this.value(others, `${where}/items`) : sequence();
    if (!count) return sequence(literal("["), list(item, least, room), literal("]"));
    let rest = repeat(sequence(literal(","), space, item), Math.max(0, least - count), room - count);
    for (let i = count - 1; i >= 0; i--) {
      const here = sequence(i ? literal(",") : sequence(), i ? space : sequence(), parts[i], rest);
      rest = i < least ? here : optional(here);
    }
    return sequence(literal("["), rest, literal("]"));
  }

  /** Properties in the order of the schema; those that are not required may be left out. */
  *#object(schema: Schema, where: string): Steps<Part> {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isObject(properties)) this.fail(where, "properties is an object of schemas");
    if (!Array.isArray(required)) this.fail(where, "required is a list of names");
    const names = Object.keys(properties), needed = new Set<unknown>(required);
    const most = this.#count(schema, "maxProperties", Infinity, where);
    yield names.length + required.length;
    for (const name of needed) {
      if (typeof name !== "string" || !Object.hasOwn(properties, name)) {
        this.fail(where, `the required property ${show(name)} is not in properties`);
      }
    }
    if (!names.length) {
      if (additionalProperties === false) return literal("{}");
      const value = yield* this.value(additionalProperties ?? true, `${where}/additionalProperties`);
      return sequence(literal("{"), list(member(anyString, value), 0, most), literal("}"));
    }
    if (most < names.length) {
      if (most < needed.size) {
        this.fail(where, `maxProperties ${most} is less than the ${needed.size} required ones`);
      }
      this.fail(
        where,
        `maxProperties ${most} beside ${counted(names.length, "property", "properties")} cannot be followed`,
      );
    }
    // From property i on, after others or as the first.
    let after: Part = sequence(), first: Part = sequence();
    const comma = sequence(literal(","), space), parts: Part[] = [];
    for (const name of names) {
      parts.push(
        member(
          literal(JSON.stringify(name)),
          yield* this.value(properties[name], `${where}/properties/${name}`),
        ),
      );
    }
    for (let i = names.length - 1; i >= 0; i--) {
      const here = sequence(parts[i], after), isNeeded = needed.has(names[i]);
      first = isNeeded ? here : choice(here, first);
      after = isNeeded ? sequence(comma, here) : choice(sequence(comma, here), after);
      yield 1;
    }
    return sequence(literal("{"), first, literal("}"));
  }
}

/** The grammar of the JSON that a schema accepts. @throws {OptionError} for a keyword that cannot be followed. */
export function schemaGrammar(schema: unknown): Steps<Grammar> {
  return new Translator(schema).translate();
}
