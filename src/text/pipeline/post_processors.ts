/**
 * What a tokenizer.json puts around the ids of a text: templates, and the pair of tokens that BERT and RoBERTa have.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { show } from "../../core/show.ts";
import { type Part, type PartList, partsOf } from "./parts.ts";

/** Ids that stand there, and null for the text's own. */
export type Around = readonly (number | null)[];

function pairOf(part: Part, name: string): number {
  const [, id] = part[name] as unknown[] ?? [];
  if (typeof id === "number" && Number.isInteger(id) && id >= 0) return id;
  throw new FormatError(`"${name}" of ${show(part.type)} in tokenizer.json should be a token and its id`);
}

const pair = (part: Part): Around => [pairOf(part, "cls"), null, pairOf(part, "sep")];

function template(part: Part): Around {
  const tokens = (part.special_tokens ?? {}) as Record<string, Part>;
  return (part.single as Part[] ?? []).flatMap((entry): (number | null)[] => {
    if (entry.Sequence !== undefined) return (entry.Sequence as Part).id === "B" ? [] : [null];
    const name = (entry.SpecialToken as Part | undefined)?.id;
    const ids = typeof name === "string" && Object.hasOwn(tokens, name) ? tokens[name]?.ids : undefined;
    if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids;
    throw new FormatError(
      `"special_tokens" of TemplateProcessing in tokenizer.json has no ids for ${show(name)}`,
    );
  });
}

const makers: Readonly<Record<string, (part: Part) => Around>> = {
  BertProcessing: pair,
  // It moves offsets, which nobody asks for here.
  ByteLevel: () => [null],
  RobertaProcessing: pair,
  TemplateProcessing: template,
};

const list: PartList = { name: "post_processor", inner: "processors", known: makers };

/**
 * What stands around a text.
 * @throws {FormatError} for a processor that is not known.
 */
export function aroundOf(value: unknown): Around {
  return partsOf(value, list).map((part) => makers[part.type](part)).reduce<Around>(
    (inner, outer) => outer.flatMap((id) => id === null ? inner : [id]),
    [null],
  );
}
