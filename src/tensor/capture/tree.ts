/**
 * Arguments and results as trees: tensors and numbers at the ends of lists and plain objects.
 *
 * @module
 */
import { CaptureError } from "../../core/errors.ts";
import { isDynamic } from "../../core/number.ts";
import { TensorBase } from "../base.ts";

/** What hangs at the ends of a tree. */
export type Leaf = unknown;

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Deeper ones hold themselves, most likely. */
const mostDeep = 200;

function demandShallow(depth: number, what: string): void {
  if (depth <= mostDeep) return;
  throw new CaptureError(
    `${what} holds lists and objects ${mostDeep} deep, or itself: give tensors in a tree without circles`,
  );
}

/** The leaves of `value`, in order; `shape` gets what tells its form. Errors begin with `what`. */
export function leavesOf(value: unknown, leaves: Leaf[], shape: string[], what: string, depth = 0): void {
  demandShallow(depth, what);
  if (Array.isArray(value)) {
    shape.push("[");
    for (const item of value) leavesOf(item, leaves, shape, what, depth + 1);
    shape.push("]");
  } else if (typeof value === "object" && value !== null && !isDynamic(value) && isPlain(value)) {
    shape.push("{");
    for (const [name, item] of Object.entries(value)) {
      // With its length, as names may hold anything.
      shape.push(`${name.length}:${name}`);
      leavesOf(item, leaves, shape, what, depth + 1);
    }
    shape.push("}");
  } else {
    shape.push(value instanceof TensorBase ? "t" : typeof value === "number" ? "n" : "o");
    leaves.push(value);
  }
}

/** A tree like `value` with `change` of each leaf. */
export function mapTree(value: unknown, change: (leaf: Leaf) => unknown, depth = 0): unknown {
  demandShallow(depth, "a tree of tensors");
  if (Array.isArray(value)) return value.map((item) => mapTree(item, change, depth + 1));
  if (
    typeof value === "object" && value !== null && !isDynamic(value) && !(value instanceof TensorBase) &&
    isPlain(value)
  ) {
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, mapTree(item, change, depth + 1)]),
    );
  }
  return change(value);
}
