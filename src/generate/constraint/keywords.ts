/**
 * Keywords of JSON Schema: which say nothing, which may stand beside a type, and what tells one schema from another.
 *
 * @module
 */

/** A schema that is an object. */
export type Schema = Readonly<Record<string, unknown>>;

/** Keywords that say nothing about what is allowed. */
export const silent = new Set([
  "$schema",
  "$id",
  "$comment",
  "$anchor",
  "$vocabulary",
  "title",
  "description",
  "default",
  "example",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
  "$defs",
  "definitions",
  "strict",
  "name",
  "discriminator",
  "contentMediaType",
  "contentEncoding",
  "contentSchema",
  "xml",
  "externalDocs",
]);

/** Keywords with a value that asks for nothing. */
export const neutral: Readonly<Record<string, (value: unknown) => boolean>> = {
  uniqueItems: (value) => value === false,
  minProperties: (value) => value === 0,
  minContains: (value) => value === 0,
  nullable: (value) => value === false,
  patternProperties: isEmpty,
  dependentRequired: isEmpty,
  dependentSchemas: isEmpty,
  propertyNames: (value) => value === true || (isObject(value) && Object.entries(value).every(isStringType)),
  unevaluatedProperties: (value) => typeof value === "boolean",
  unevaluatedItems: (value) => typeof value === "boolean",
};

/** Keywords by the type that they belong to. */
export const known: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "maxProperties"],
  array: ["items", "prefixItems", "additionalItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"],
  boolean: [],
  null: [],
};

/** Formats of numbers, which say how programs store them. */
export const numberFormats = ["int32", "int64", "float", "double", "decimal"];

function isStringType([name, value]: [string, unknown]): boolean {
  return name === "type" && value === "string";
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Whether a value is an object of JSON. */
export function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is of a type of JSON Schema. */
export function isOf(value: unknown, type: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    case "string":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "boolean":
      return typeof value === "boolean";
    default:
      return false;
  }
}

/** What tells a schema from others: its constant, or its type; null where there is neither. */
export function signOf(schema: Schema | null): string | null {
  if (schema === null) return null;
  const { type, const: constant } = schema;
  const only = constant ??
    (Array.isArray(schema.enum) && schema.enum.length === 1 ? schema.enum[0] : undefined);
  if (only !== undefined) return `const ${JSON.stringify(only)}`;
  return typeof type === "string" ? type : null;
}

/** Whether signs are all there, and no value can have two of them. */
export function areDifferent(signs: readonly (string | null)[]): boolean {
  const constants = signs.filter((sign) => sign?.startsWith("const ")).length;
  const numbersBoth = signs.includes("integer") && signs.includes("number");
  return signs.every((sign) => sign !== null) && new Set(signs).size === signs.length && !numbersBoth &&
    (constants === 0 || constants === signs.length);
}
