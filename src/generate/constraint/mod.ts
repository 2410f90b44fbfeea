/**
 * Texts that follow a pattern or a JSON Schema, token by token.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { Tokenizer } from "../../text/mod.ts";
import type { Grammar } from "./grammar.ts";
import { Constraint } from "./mask.ts";
import { parsePattern } from "./pattern.ts";
import { schemaGrammar } from "./schema.ts";

export { Constraint };

/** What a text must be. */
export type ResponseFormat =
  /** Anything. */
  | { readonly type: "text" }
  /** A JSON object. */
  | { readonly type: "json_object" }
  /** JSON that a schema accepts; `schema`, or `json_schema.schema` as in OpenAI's API. */
  | {
    readonly type: "json_schema";
    readonly schema?: unknown;
    readonly json_schema?: { readonly schema?: unknown };
  }
  /** What a regular expression matches as a whole. */
  | { readonly type: "regex"; readonly pattern: string };

/** The grammar of a format, or null where anything goes. @throws {OptionError} for a format that is none. */
export function grammarOf(format: ResponseFormat): Grammar | null {
  switch (format?.type) {
    case "text":
      return null;
    case "json_object":
      return schemaGrammar({ type: "object" });
    case "json_schema":
      return schemaGrammar(format.schema ?? format.json_schema?.schema ?? true);
    case "regex":
      if (typeof format.pattern !== "string") throw new OptionError("responseFormat: pattern is a text");
      return new Map([["start", parsePattern(format.pattern)]]);
    default:
      throw new OptionError(
        `responseFormat: type is ${
          JSON.stringify((format as { type?: unknown })?.type)
        }, expected "text", "json_object", ` +
          `"json_schema" or "regex"`,
      );
  }
}

const made = new WeakMap<Tokenizer, Map<string, Constraint>>();
const mostKept = 32;

/** A format's constraint for a tokenizer; those that were made last are kept. */
export function constraintOf(tokenizer: Tokenizer, format: ResponseFormat): Constraint | null {
  const grammar = grammarOf(format);
  if (grammar === null) return null;
  let kept = made.get(tokenizer);
  if (!kept) made.set(tokenizer, kept = new Map());
  const key = JSON.stringify(format);
  let found = kept.get(key);
  if (!found) {
    found = new Constraint(tokenizer, grammar);
    if (kept.size >= mostKept) kept.delete(kept.keys().next().value as string);
    kept.set(key, found);
  }
  return found;
}

/** Options whose format, if they have one, is ready for a tokenizer. */
export function constrained<
  T extends { responseFormat: ResponseFormat | undefined; constraint?: Constraint | null },
>(
  options: T,
  tokenizer: Tokenizer | null,
): T {
  if (!options.responseFormat || options.constraint !== undefined || tokenizer === null) return options;
  return { ...options, constraint: constraintOf(tokenizer, options.responseFormat) };
}
