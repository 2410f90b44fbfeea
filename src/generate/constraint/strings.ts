/**
 * Texts of a schema: by length, by pattern, by format, or by several of these at once.
 *
 * @module
 */
import { nearest } from "../../core/nearest.ts";
import { show } from "../../core/show.ts";
import type { Steps } from "../../core/steps.ts";
import { formats } from "./formats.ts";
import { type Part, repeat } from "./grammar.ts";
import { anyCharacter, anyString, inString, quoted } from "./json.ts";
import { parsePattern } from "./pattern.ts";

/** A string with a pattern, a format and lengths; what is undefined or without end asks for nothing. */
export function* stringPart(
  pattern: unknown,
  format: unknown,
  least: number,
  most: number,
  fail: (message: string) => never,
): Steps<Part> {
  const parts: Part[] = [];
  if (pattern !== undefined) {
    if (typeof pattern !== "string") fail(`pattern is a text, not ${show(pattern)}`);
    yield pattern.length;
    parts.push(inString(parsePattern(pattern)));
  }
  if (format !== undefined) {
    if (typeof format !== "string" || !Object.hasOwn(formats, format)) {
      const names = Object.keys(formats),
        guess = typeof format === "string" ? nearest(format, names) : undefined;
      fail(
        `format ${show(format)} is none of ${names.join(", ")}${
          guess === undefined ? "" : `; did you mean "${guess}"?`
        }`,
      );
    }
    parts.push(inString(parsePattern(formats[format])));
  }
  if (!parts.length && least === 0 && most === Infinity) return anyString;
  if (least > 0 || most < Infinity) parts.push(repeat(anyCharacter, least, most));
  if (parts.length > 1) {
    fail("pattern, format and lengths cannot be followed together; put the length into the pattern");
  }
  return quoted(parts[0]);
}
