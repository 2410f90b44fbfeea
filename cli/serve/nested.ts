/**
 * Objects inside of a request, read as strictly as the request itself: what is not known of them is refused by its path.
 *
 * @module
 */
import { hint } from "../../src/core/nearest.ts";
import { show } from "../../src/core/show.ts";
import { Problem } from "./problem.ts";
import type { Body } from "./unhonoured.ts";

/** Whether it is an object with fields. */
export const isObject = (x: unknown): x is Body => typeof x === "object" && x !== null && !Array.isArray(x);

/** Whether a value says nothing, whatever it is said of: null, and lists and objects of nothing. */
export const isNothing = (value: unknown): boolean =>
  value === undefined || (typeof value === "object" && (value === null || Object.keys(value).length === 0));

/**
 * Checks that an object, or the request of a route, has no other fields than `names`, besides those that say nothing.
 *
 * @throws {Problem} naming the path of one that it has; the parameter is what the path begins with.
 */
export function checkNames(path: string, given: Body, names: readonly string[]): void {
  for (const [name, value] of Object.entries(given)) {
    if (names.includes(name) || isNothing(value)) continue;
    const short = show(name).slice(1, -1);
    const isRoute = path.startsWith("/"), where = isRoute ? show(name) : `${path}.${short}`;
    throw new Problem(
      400,
      `there is no field ${where}${hint(name, names)}`,
      isRoute ? short : /^\w+/.exec(path)?.[0] ?? path,
    );
  }
}
