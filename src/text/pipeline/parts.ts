/**
 * The parts of a tokenizer.json: each says its type, and a Sequence holds others.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { show } from "../../core/show.ts";
import { demandEnding } from "../backtracking.ts";
import { splitPattern } from "../oniguruma.ts";

/** A part's fields. */
export type Part = Readonly<Record<string, unknown>>;

/** Parts of one kind. */
export interface PartList {
  /** Where they stand in the file. */
  readonly name: string;
  /** Where a Sequence has them. */
  readonly inner: string;
  /** Those that are read here. */
  readonly known: Readonly<Record<string, unknown>>;
}

/** A part that names its type. */
export type TypedPart = Part & { readonly type: string };

/**
 * The parts in their order, Sequences taken apart.
 * @throws {FormatError} for one that is not known.
 */
export function partsOf(value: unknown, list: PartList): TypedPart[] {
  if (value === null || value === undefined) return [];
  const { type, [list.inner]: inner } = value as Part;
  if (type === "Sequence") return (inner as unknown[] ?? []).flatMap((part) => partsOf(part, list));
  if (typeof type === "string" && Object.hasOwn(list.known, type)) return [value as TypedPart];
  throw new FormatError(
    `"${list.name}" of tokenizer.json has the type ${show(type)}; read are ${
      Object.keys(list.known).join(", ")
    }`,
  );
}

/**
 * The expression of a part's pattern.
 * @throws {FormatError} for one that might never end.
 */
export function expressionIn(part: Part): RegExp {
  const expression = splitPattern(textIn((part.pattern ?? {}) as Part, "Regex"));
  demandEnding(expression);
  return expression;
}

/**
 * The whole number in a field, from 0 on.
 * @throws {FormatError} when it is none.
 */
export function countIn(part: Part, name: string, fallback: number): number {
  const value = part[name] ?? fallback;
  if (Number.isSafeInteger(value) && value as number >= 0) return value as number;
  throw new FormatError(
    `"${name}" of ${show(part.type)} in tokenizer.json should be a whole number and is ${show(value)}`,
  );
}

/**
 * The text in a field.
 * @throws {FormatError} when there is none.
 */
export function textIn(part: Part, name: string, fallback?: string): string {
  const value = part[name] ?? fallback;
  if (typeof value === "string") return value;
  throw new FormatError(
    `"${name}" of ${show(part.type)} in tokenizer.json should be a text and is ${show(part[name])}`,
  );
}
