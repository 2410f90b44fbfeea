/**
 * The text of an answer, in slices: one may hold the vectors, or the log-probabilities, of hundreds of texts.
 *
 * @module
 */
import type { Steps } from "../../src/core/steps.ts";

/** How deep lists and objects are walked into: as deep as the tokens of an answer stand. */
const deepest = 5;
/** Units that a number or a character of text costs, about. */
const oneEntry = 4;

const isObject = (x: unknown): x is Record<string, unknown> | readonly unknown[] =>
  typeof x === "object" && x !== null;

/** `JSON.stringify(value)` of plain values, in steps that are small where what is written is not in one long list of numbers. */
export function* jsonSteps(value: unknown, depth = 0): Steps<string> {
  if (!isObject(value) || depth === deepest || (Array.isArray(value) && !isObject(value[0]))) {
    const text = JSON.stringify(value) ?? "null";
    yield Array.isArray(value) ? oneEntry * (1 + value.length) : 1 + (text.length >> 3);
    return text;
  }
  const parts: string[] = [];
  if (Array.isArray(value)) {
    for (const one of value) parts.push(yield* jsonSteps(one, depth + 1));
    return `[${parts.join(",")}]`;
  }
  for (const [name, one] of Object.entries(value)) {
    if (one !== undefined) parts.push(`${JSON.stringify(name)}:${yield* jsonSteps(one, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}
