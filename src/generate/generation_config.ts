/**
 * A model's own options of generation: to and from the value of its `generation_config.json`.
 *
 * @module
 */
import { nearest } from "../core/nearest.ts";
import { aliases, type FieldName, fields, refused, silentFields, unfelt } from "./fields.ts";
import { demandHonoured, valueOf } from "./given.ts";
import type { GenerateOptions } from "./options.ts";

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/**
 * The options in a `generation_config.json`. What changes no token is passed over, whatever it says: notes of other
 * programs, how much memory they take, what they tell besides.
 *
 * @throws {OptionError} for a field of Hugging Face that changes tokens and cannot be honoured, or a value it cannot have.
 */
export function generationDefaults(json: unknown, where = "generation_config.json"): GenerateOptions {
  if (typeof json !== "object" || json === null) return {};
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const plain = camel(name), own = Object.hasOwn(aliases, plain) ? aliases[plain] : plain;
    if (value === null || silentFields.includes(plain)) continue;
    if (!(Object.hasOwn(refused, plain) && refused[plain].besides)) demandHonoured(plain, value, where);
    if (!Object.hasOwn(fields, own)) continue;
    valueOf(own as FieldName, value, where);
    found[own] = value;
  }
  // Files often carry both; the number of new tokens is the one that holds.
  if (found.maxNewTokens !== undefined) delete found.maxLength;
  return found as GenerateOptions;
}

/**
 * Names in a `generation_config.json` that nobody knows, though one is near: slips, of which Hugging Face says nothing. Given
 * with that name, both as such files spell them. Other names are notes of other programs.
 */
export function slipsIn(json: unknown): [name: string, meant: string][] {
  if (typeof json !== "object" || json === null) return [];
  const known = [fields, aliases, refused, unfelt].flatMap((table) => Object.keys(table)).concat(
    silentFields,
  );
  return Object.keys(json).flatMap((name): [string, string][] => {
    if (known.includes(camel(name))) return [];
    const meant = nearest(camel(name), known);
    return meant === undefined ? [] : [[name, snake(meant)]];
  });
}

/** The entries of a `generation_config.json` for the options in `defaults`. */
export function generationJson(defaults: GenerateOptions): Record<string, unknown> {
  const given = (Object.keys(fields) as FieldName[]).filter((name) => defaults[name] !== undefined);
  return Object.fromEntries(given.map((name) => {
    return [
      name === "stop" ? "stop_strings" : snake(name),
      defaults[name],
    ];
  }));
}
