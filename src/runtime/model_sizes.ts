/**
 * How large a model would be, told without making it.
 *
 * @module
 */
import { sizeOf } from "../core/shape.ts";
import type { Family, ModelSizes } from "../models/family.ts";
import { familyOf } from "../models/registry.ts";

/**
 * Numbers that the parameters of a model of these sizes hold.
 * @throws {FormatError} for a family that is not known, and sizes that do not go together.
 */
export function countParameters(type: string, sizes: ModelSizes, where: string): number {
  const family = familyOf(type, where) as Family<object>, config = family.parse(family.sized(sizes), where);
  const expected = family.expected(config);
  let count = 0;
  for (const name of expected.names()) count += sizeOf(expected.shape(name)!);
  return count;
}
