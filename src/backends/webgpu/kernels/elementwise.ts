/**
 * Elementwise programs, one invocation an element. See `Backend.elementwise`.
 *
 * @module
 */
import { isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import { sizeOf } from "../../../core/shape.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu } from "../gpu.ts";
import { load, store } from "../wgsl/elements.ts";
import {
  bind,
  coalesce,
  overElements,
  placeParams,
  places,
  placeWords,
  source,
  withFunctions,
} from "../wgsl/module.ts";
import { inParts } from "../windows.ts";
import { programCode, scalarParams, scalarWords } from "../wgsl/program.ts";

/** Computes every output element from the input elements beside it. */
export function elementwise(
  gpu: Gpu,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  if (sizeOf(outputs[0].shape) === 0) return;
  const written = outputs.find(({ dtype }) => isQuantized(dtype));
  if (written) {
    throw new DTypeError(
      `the webgpu device writes no ${written.dtype}; quantised weights are made by .to({ dtype }) and when a file is read`,
    );
  }
  const n = inputs.length;
  const firstLong = (shape: readonly number[]): number => shape.findIndex((size) => size > 1);
  inParts(
    gpu,
    [...inputs, ...outputs],
    firstLong,
    (views) => whole(gpu, program, views.slice(0, n), scalars, views.slice(n)),
  );
}

function whole(
  gpu: Gpu,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const count = sizeOf(outputs[0].shape), views = [...inputs, ...outputs], bindings = bind(inputs, outputs);
  const walk = coalesce(outputs[0].shape, views), rank = walk.shape.length;
  const dtypes = views.map((view) => view.dtype);
  const first = 2, after = first + placeWords(rank, views.length);
  const kernel = gpu.kernel(`elementwise ${program.key} ${dtypes} ${rank} ${bindings.key}`, () => {
    const loads = inputs.map((_, k) => {
      const text = load(bindings.of[k], dtypes[k], `at${k}`, program.type);
      return `let x${k} = ${text};`;
    });
    const code = programCode(program, inputs.map((_, k) => `x${k}`), after);
    const stores = outputs.map((_, k) => {
      const at = inputs.length + k;
      return store(bindings.of[at], dtypes[at], `at${at}`, code.outputs[k], program.type);
    });
    const body = [places(rank, views.length, "i", first, "at"), ...loads, code.statements, ...stores];
    const all = withFunctions(overElements(body.join("\n  ")));
    return source(bindings, all, after + program.scalars * scalarWords(program.type));
  });
  const params = [
    count,
    ...placeParams(walk.shape, walk.views),
    ...scalarParams(program.type, scalars, floatBits),
  ];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
