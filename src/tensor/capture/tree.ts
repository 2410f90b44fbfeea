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

/** The leaves of `value`, in order; `shape` gets what tells its form. */
export function leavesOf(value: unknown, leaves: Leaf[], shape: string[]): void {
  if (Array.isArray(value)) {
    shape.push("[");
    for (const item of value) leavesOf(item, leaves, shape);
    shape.push("]");
  } else if (typeof value === "object" && value !== null && !isDynamic(value) && isPlain(value)) {
    shape.push("{");
    for (const [name, item] of Object.entries(value)) {
      shape.push(`${name}:`);
      leavesOf(item, leaves, shape);
    }
    shape.push("}");
  } else {
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      throw new CaptureError(
        `compile: an argument is a ${value.constructor.name}, whose numbers would stay those of the first call: pass a tensor of it`,
      );
    }
    shape.push(value instanceof TensorBase ? "t" : typeof value === "number" ? "n" : "o");
    leaves.push(value);
  }
}

/** A tree like `value` with `change` of each leaf. */
export function mapTree(value: unknown, change: (leaf: Leaf) => unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => mapTree(item, change));
  if (
    typeof value === "object" && value !== null && !isDynamic(value) && !(value instanceof TensorBase) &&
    isPlain(value)
  ) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapTree(item, change)]));
  }
  return change(value);
}
