/**
 * Texts that follow a pattern or a JSON Schema, token by token.
 *
 * What a format allows is found out as texts go, in work that is counted: nothing is as large as the number of texts that it
 * allows, and what is kept is bounded for each format and for all together.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { hint } from "../../core/nearest.ts";
import { show } from "../../core/show.ts";
import { finish, type Steps } from "../../core/steps.ts";
import type { Tokenizer } from "../../text/mod.ts";
import { GrammarConstraint } from "./constraint.ts";
import type { Constraint, ResponseFormat } from "./format.ts";
import type { Grammar } from "./grammar.ts";
import { formatLimits } from "./limits.ts";
import { patternSteps } from "./pattern.ts";
import { schemaGrammar } from "./schema.ts";
import { Vocabulary } from "./vocabulary.ts";

export type { ResponseFormat };

/** The fields of each type of a format. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  text: ["type"],
  json_object: ["type", "schema"],
  json_schema: ["type", "schema", "json_schema"],
  regex: ["type", "pattern"],
};
/** Those of OpenAI's `json_schema`. */
const schemaFields = ["name", "description", "strict", "schema"];

/** @throws {OptionError} for a field that a format of its type has not. */
function checkFields(format: ResponseFormat): void {
  const check = (path: string, given: object, names: readonly string[]): void => {
    for (const [name, value] of Object.entries(given)) {
      if (value === undefined || value === null || names.includes(name)) continue;
      throw new OptionError(
        `responseFormat: there is no ${path}${show(name).slice(1, -1)} of type ${show(format.type)}${
          hint(name, names)
        }`,
      );
    }
  };
  check("", format, fieldsOf[format.type]);
  const named = format.type === "json_schema" ? format.json_schema ?? null : null;
  if (named === null) return;
  if (typeof named !== "object" || Array.isArray(named)) {
    throw new OptionError(`responseFormat: json_schema is ${show(named)}, expected { schema }`);
  }
  check("json_schema.", named, schemaFields);
  if (named.schema !== undefined && (format as { schema?: unknown }).schema !== undefined) {
    throw new OptionError("responseFormat: schema and json_schema.schema both say what JSON it is; give one");
  }
}

/** @throws {OptionError} where there is none: a slip, which would let any JSON pass. */
function schemaOf({ schema, json_schema: named }: ResponseFormat & { type: "json_schema" }): unknown {
  const found = schema ?? named?.schema ?? null;
  if (found !== null) return found;
  throw new OptionError(
    'responseFormat: of type "json_schema" has no schema; give one, or type "json_object" for any object',
  );
}

/**
 * The grammar of a format, or null where anything goes.
 * @throws {OptionError} for a format that is none.
 */
export function* grammarOf(format: ResponseFormat): Steps<Grammar | null> {
  if (Object.hasOwn(fieldsOf, format?.type)) checkFields(format);
  switch (format?.type) {
    case "text":
      return null;
    case "json_object":
      return yield* schemaGrammar(format.schema ?? { type: "object" });
    case "json_schema":
      return yield* schemaGrammar(schemaOf(format));
    case "regex":
      if (typeof format.pattern !== "string") throw new OptionError("responseFormat: pattern is a text");
      return new Map([["start", yield* patternSteps(format.pattern)]]);
    default:
      throw new OptionError(
        `responseFormat: type is ${
          JSON.stringify((format as { type?: unknown })?.type)
        }, expected "text", "json_object", ` +
          `"json_schema" or "regex"`,
      );
  }
}

const vocabularies = new WeakMap<Tokenizer, Vocabulary>();
const reading = new WeakMap<Tokenizer, Steps<Vocabulary>>();

/** The tokens of a tokenizer as a tree; read once, by all together who ask for it meanwhile. */
export function* vocabularyOf(tokenizer: Tokenizer): Steps<Vocabulary> {
  for (;;) {
    const found = vocabularies.get(tokenizer);
    if (found) return found;
    const steps = reading.get(tokenizer) ?? Vocabulary.of(tokenizer);
    reading.set(tokenizer, steps);
    let isOpen = false;
    try {
      const step = steps.next();
      if (step.done) vocabularies.set(tokenizer, step.value);
      else {
        isOpen = true;
        yield step.value;
      }
    } finally {
      // What failed is begun anew.
      if (!isOpen) reading.delete(tokenizer);
    }
  }
}

// By the vocabulary's tokenizer and the format as a text; the one that was asked for last is at the end.
const kept: {
  readonly tokenizer: WeakRef<Tokenizer>;
  readonly key: string;
  readonly constraint: GrammarConstraint;
}[] = [];

/** About how many bytes of memory the formats take that are kept. */
export function keptBytes(): number {
  return kept.reduce((sum, { key, constraint }) => sum + 2 * key.length + constraint.bytes, 0);
}

/** A format's constraint for a tokenizer; those that were asked for last are kept. */
export function* constraintSteps(
  tokenizer: Tokenizer,
  format: ResponseFormat,
): Steps<GrammarConstraint | null> {
  yield* checkSize(format);
  const key = JSON.stringify(format);
  yield key.length >> 5;
  const at = kept.findIndex((one) => one.key === key && one.tokenizer.deref() === tokenizer);
  if (at >= 0) {
    kept.push(...kept.splice(at, 1));
    return kept[kept.length - 1].constraint;
  }
  const grammar = yield* grammarOf(format);
  if (grammar === null) return null;
  const constraint = yield* GrammarConstraint.of(yield* vocabularyOf(tokenizer), grammar);
  kept.push({ tokenizer: new WeakRef(tokenizer), key, constraint });
  while (kept.length > 1 && (kept.length > formatLimits.kept || keptBytes() > formatLimits.keptBytes)) {
    kept.shift();
  }
  return constraint;
}

const { characters: mostCharacters, depth: mostDeep } = formatLimits;

/** @throws {OptionError} for a format that is larger than any that is followed, before anything else is done with it. */
function* checkSize(format: unknown): Steps<void> {
  let characters = 0, units = 0;
  const open: [value: unknown, depth: number][] = [[format, 0]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [value, depth] = next, before = open.length;
    if (depth > mostDeep) {
      throw new OptionError(
        `responseFormat: lists and objects stand in each other more than ${mostDeep} deep`,
      );
    }
    characters += typeof value === "string" ? value.length + 2 : 1;
    if (Array.isArray(value)) {
      characters += 4 * value.length;
      // One that is longer is not looked into.
      for (let i = 0; i < value.length && characters <= mostCharacters; i++) open.push([value[i], depth + 1]);
    } else if (typeof value === "object" && value !== null) {
      for (const name in value) {
        characters += name.length + 3;
        open.push([(value as Record<string, unknown>)[name], depth + 1]);
      }
    }
    units += 1 + open.length - before;
    if (characters > mostCharacters) {
      throw new OptionError(`responseFormat: more than ${mostCharacters} characters; make it smaller`);
    }
    if (units < 1000) continue;
    yield units;
    units = 0;
  }
  yield units;
}

interface Formatted {
  responseFormat: ResponseFormat | undefined;
  constraint?: Constraint | null;
}

/** Options whose format, if they have one, is ready for a tokenizer; in steps. */
export function* constrainedSteps<T extends Formatted>(options: T, tokenizer: Tokenizer | null): Steps<T> {
  if (!options.responseFormat || options.constraint !== undefined || tokenizer === null) return options;
  return { ...options, constraint: yield* constraintSteps(tokenizer, options.responseFormat) };
}

/** The same at once. */
export function constrained<T extends Formatted>(options: T, tokenizer: Tokenizer | null): T {
  return finish(constrainedSteps(options, tokenizer));
}
