/**
 * The attention of a decoding step: one new position for each of several texts, each with keys and values of its own.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { attentionRows } from "./attention_rows.ts";
import { demandTensor, demandTensors } from "./bridge.ts";
import type { Tensor } from "./tensor.ts";
import { slice } from "./views.ts";

/**
 * Writes the key and value of row i of `qkv` [rows, 3, heads, width] at position `lengths[i]` of `keys[i]` and `values[i]`
 * ([1, heads, capacity, width], in place), and gives what its query finds among all positions up to that one:
 * [rows, heads, width]. Has no gradient. `lengths` may be a tensor, i32 [rows]: then they are read where they are, by a
 * program too, and whoever gives them sees to it that they are below the capacity.
 *
 * @throws {ShapeError} for lists of unequal length, or a text without room for a position.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function attentionStep(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[] | Tensor,
): Tensor {
  demandNoMore(arguments, 4, "attentionStep");
  demandTensor("attentionStep", qkv, "qkv");
  demandTensors("attentionStep", keys, "keys");
  demandTensors("attentionStep", values, "values");
  if (!Array.isArray(lengths)) demandTensor("attentionStep", lengths, "lengths, which are no list,");
  const [rows] = qkv.shape;
  const known = Array.isArray(lengths) ? lengths as readonly number[] : null,
    count = known ? known.length : (lengths as Tensor).size;
  if (qkv.shape.length !== 4 || keys.length !== rows || values.length !== rows || count !== rows) {
    throw new ShapeError(
      `attentionStep: qkv ${
        formatShape(qkv.shape)
      } is [rows, 3, heads, width], with keys, values and a length for each row`,
    );
  }
  known?.forEach((length, i) => {
    if (Number.isInteger(length) && length >= 0 && length < keys[i].shape[2]) return;
    throw new ShapeError(
      `attentionStep: text ${i} has ${counted(length, "position")}, and its cache holds ${keys[i].shape[2]}`,
    );
  });
  const [q, k, v] = [0, 1, 2].map((i) => slice(qkv, null, i));
  return attentionRows(q, k, v, keys, values, lengths);
}
