/**
 * The body of a request as an object: bounded before it is parsed.
 *
 * @module
 */
import { Problem } from "./problem.ts";
import type { Body } from "./unhonoured.ts";

/** How deep lists and objects may stand in a body, how many values it may have, and how many names of fields. */
export const mostDeep = 128, mostValues = 262_144, mostNames = 32_768;
/** How many fields a request may have of its own. */
const mostFields = 512;

const quote = 34, comma = 44, colon = 58, backslash = 92;

/** @throws {Problem} for JSON that is too deep or has too many values, whatever else is in it. */
function checkSize(text: string): void {
  let depth = 0, values = 0, names = 0, fields = 0, inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === backslash) i++;
      else if (code === quote) inString = false;
    } else if (code === quote) inString = true;
    else if (code === 91 || code === 123) {
      if (++depth > mostDeep) {
        throw new Problem(400, `the body's lists and objects stand in each other more than ${mostDeep} deep`);
      }
      values++;
    } else if (code === 93 || code === 125) depth--;
    else if (code === comma || code === colon) {
      values++;
      if (code !== colon) continue;
      names++;
      if (depth === 1) fields++;
    }
  }
  if (fields > mostFields) throw new Problem(400, `the request has more than ${mostFields} fields`);
  if (names > mostNames) {
    throw new Problem(400, `the body's objects have more than ${mostNames} fields together`);
  }
  if (values > mostValues) throw new Problem(400, `the body has more than ${mostValues} values`);
}

/** A body as an object. @throws {Problem} for what is none. */
export function parseBody(text: string): Body {
  checkSize(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(400, `the body is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Problem(400, "the body is a JSON object");
  }
  return value as Body;
}

/**
 * The seed that a body has, as a number that generators take. From 0 to 2^53 - 1 it is itself; other numbers of 64 bits, whose
 * digits a double does not hold, are read from the text and mixed into such a one.
 *
 * @throws {Problem} for one that is not of 64 bits.
 */
export function seedOf(text: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  const written = [...text.matchAll(/"seed"\s*:\s*(-?\d+)(?![\d.eE])/g)].map(([, digits]) => digits)
    .findLast((digits) => Number(digits) === value);
  const whole = BigInt(written ?? value);
  // JavaScript writes the ends of the range, which its doubles hold no nearer, as ±9223372036854776000.
  if (written !== String(value) && whole !== BigInt.asIntN(64, whole)) {
    throw new Problem(400, `seed is ${whole}, expected a whole number of 64 bits, from -2^63 to 2^63 - 1`);
  }
  // Splitmix64 (Steele, Lea, Flood 2014).
  const mix = (x: bigint, shift: bigint, by: bigint): bigint => BigInt.asUintN(64, (x ^ (x >> shift)) * by);
  let bits = BigInt.asUintN(64, whole);
  bits = mix(mix(bits, 30n, 0xbf58476d1ce4e5b9n), 27n, 0x94d049bb133111ebn);
  return Number((bits ^ (bits >> 31n)) >> 11n);
}
