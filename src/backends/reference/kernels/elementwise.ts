/**
 * Elementwise programs, one element at a time. See `Backend.elementwise`.
 *
 * @module
 */
import type { Program } from "../../../expr/nodes.ts";
import type { View } from "../../contract.ts";
import { inLane, type Lane } from "../lane.ts";
import { walk } from "../walk.ts";

/** Computes every output element from the input elements beside it. */
export function elementwise(
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  inLane(program.type, (lane) => run(lane, program, inputs, scalars, outputs));
}

function run<T>(
  lane: Lane<T>,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const evaluate = lane.compile(program);
  const reads = inputs.map((view) => lane.read(view)), writes = outputs.map((view) => lane.write(view));
  const views = [...inputs, ...outputs], values: T[] = [], results: T[] = [], first = inputs.length;
  walk(outputs[0].shape, views.map((v) => v.offset), views.map((v) => v.strides), (at) => {
    for (let i = 0; i < first; i++) values[i] = reads[i](at[i]);
    evaluate(values, scalars, results);
    for (let k = 0; k < writes.length; k++) writes[k](at[first + k], results[k]);
  });
}
