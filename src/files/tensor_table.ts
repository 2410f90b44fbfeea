/**
 * What a file says of its tensors, whatever its format: their names, and a description of each when it is asked for.
 *
 * @module
 */
import type { TensorInfo } from "./view.ts";

/** Tensors by name. */
export interface TensorTable {
  /** How many there are. */
  readonly size: number;
  /** Their names, in the order of their bytes. */
  names(): string[];
  /** What the file says of one; undefined when there is none of this name. */
  find(name: string): TensorInfo | undefined;
}
