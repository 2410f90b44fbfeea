/**
 * Formats, for who may not need them: grammars and automata are a large part of generation, and few texts follow one.
 *
 * The library as a whole has them from the beginning ({@link knowFormats}, in `runtime/formats.ts`). A page that takes a part of it
 * fetches them with the first text that follows a format.
 *
 * @module
 */
import { slicer } from "../../core/steps.ts";
import type { Tokenizer } from "../../text/mod.ts";
import type { Constraint, ResponseFormat } from "./format.ts";

/** What of generation's options is about formats. */
interface Formatted {
  responseFormat: ResponseFormat | undefined;
  constraint?: Constraint | null;
}

/** Gives options whose format is ready for a tokenizer. */
type Constrain = <T extends Formatted>(options: T, tokenizer: Tokenizer | null) => T;

let known: Constrain | null = null;

/** From now on formats are there without waiting. */
export function knowFormats(constrain: Constrain): void {
  known = constrain;
}

/** Options whose format, if they have one, is ready for a tokenizer; as they are where formats are not known yet. */
export function constrained<T extends Formatted>(options: T, tokenizer: Tokenizer | null): T {
  return options.responseFormat && known ? known(options, tokenizer) : options;
}

/** The same in slices, so that other work goes on; and waits for what is not known yet. */
export async function constrainedSoon<T extends Formatted>(
  options: T,
  tokenizer: Tokenizer | null,
  signal?: AbortSignal,
): Promise<T> {
  if (!options.responseFormat) return options;
  const { constrained, constrainedSteps } = await import("./mod.ts");
  if (!known) knowFormats(constrained);
  return await slicer.run(constrainedSteps(options, tokenizer), signal);
}
