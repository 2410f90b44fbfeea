/**
 * A reduction in passes: what is reduced is cut into parts of a fixed size, whose results are reduced again. So the
 * number of threads changes nothing, and the error of a sum grows with the logarithm of its length.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import { input, type Program } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import type { Engine } from "../engine.ts";
import { headWords, words } from "./arguments.ts";
import { isHeavy, storeScalars } from "./expression.ts";
import type { Fold } from "./folds.ts";
import { Layout } from "./layout.ts";
import { chooseReduction } from "./reduce_kernels.ts";
import { elementBytes, type Stored } from "./spans.ts";

/** Elements in one part, about. */
const partElements = 16384;

/** Results of one line that are collected together: what fits the first cache with room to spare. */
const lineElements = 4096;

/** Rows of at most so many elements are short. */
const shortRow = 256;

/** The dtype that stores a compute type. */
export function storedAs(type: Program["type"]): "f32" | "i32" | "i64" {
  return type === "i64" ? "i64" : type === "i32" ? "i32" : "f32";
}

/** The element itself. */
export function identityProgram(type: Program["type"]): Program {
  return identities[type] ??= makeProgram(type, [input(0)]);
}

const identities: Partial<Record<Program["type"], Program>> = {};

const layout = new Layout();
const stored: Stored[] = [];

/**
 * Folds along `axes`, none of them empty. With `positions`, the program's last input is not a view: it counts along
 * the one axis.
 */
export function reduceInPasses(
  engine: Engine,
  fold: Fold,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  positions: boolean,
): void {
  // The output as a view of the inputs' shape.
  const strides = output.strides.slice();
  for (let i = 0; i < axes.length; i++) strides[axes[i]] = 0;
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  const { buffer, dtype, offset } = output;
  layout.describe(inputs, [{ buffer, dtype, offset, shape, strides }], leading(inputs), positions);
  stored.length = 0;
  for (const { dtype } of inputs) stored.push(dtype);
  if (positions) {
    // It takes the output's place among the operands, and the output comes after it.
    const place = inputs.length;
    layout.operands++;
    layout.addresses[place + 1] = layout.addresses[place];
    layout.addresses[place] = 0;
    for (let axis = 0; axis < layout.rank; axis++) {
      const step = layout.step(place, axis);
      layout.setStep(place + 1, axis, step);
      layout.setStep(place, axis, step === 0 && layout.sizes[axis] > 1 ? 1 : 0);
    }
    stored.push("position");
  }
  let current = program, numbers = scalars, scratch = 0;
  for (;;) {
    const before = scratch;
    scratch = pass(engine, fold, current, numbers, output.dtype);
    if (before !== 0) engine.heap.release(before);
    if (scratch === 0) return;
    current = identityProgram(program.type);
    numbers = [];
    stored.length = 1;
    stored[0] = storedAs(program.type);
  }
}

/** The input whose order in memory counts: the one with the fewest steps of 0. */
function leading(inputs: readonly View[]): number {
  let best = 0, least = Infinity;
  for (let k = 0; k < inputs.length; k++) {
    const { shape, strides } = inputs[k];
    let zeros = 0;
    for (let d = 0; d < shape.length; d++) if (strides[d] === 0 && shape[d] !== 1) zeros++;
    if (zeros < least) {
      least = zeros;
      best = k;
    }
  }
  return best;
}

/** Orders the axes of the layout; how many reduced ones follow the inner axis, plus 64 when that is reduced itself. */
function arrange(inOrder: boolean): number {
  const { sizes, rank } = layout, out = layout.operands - 1;
  let longest = -1;
  const rows = layout.step(out, 0) === 0;
  // A short inner axis costs more per row than elements gathered one by one along a long axis of the other kind.
  const short = rows ? 16 : 8;
  // Where order counts, a row is summed as it is when it is alone.
  for (let axis = 1; axis < rank && sizes[0] < short && !(rows && inOrder); axis++) {
    if ((layout.step(out, axis) === 0) === rows || sizes[axis] < 4 * sizes[0] || sizes[axis] < 16) continue;
    if (longest < 0 || sizes[axis] > sizes[longest]) longest = axis;
  }
  if (longest > 0) layout.move(longest, 0);
  let reduced = 0;
  for (let axis = 1; axis < rank; axis++) {
    if (layout.step(out, axis) === 0) layout.move(axis, 1 + reduced++);
  }
  return reduced + (layout.step(out, 0) === 0 ? 64 : 0);
}

/**
 * One reduction of what the layout describes, the output last. When that takes several parts, their results are left
 * in scratch memory, whose address is given, and the layout describes what is still to do; else 0 is given.
 */
function pass(
  engine: Engine,
  fold: Fold,
  program: Program,
  scalars: readonly number[],
  target: DType,
): number {
  const arranged = arrange(engine.deterministic), inRows = arranged >= 64, reduced = arranged % 64;
  const { sizes, rank } = layout, out = layout.operands - 1, size = sizes[0];
  let rows = 1, kept = 1;
  for (let axis = 1; axis < rank; axis++) {
    if (axis <= reduced) rows *= sizes[axis];
    else kept *= sizes[axis];
  }
  let chunk = size, chunks = 1, rowsPerItem = rows, parts = 1;
  if (inRows) {
    if (size > 2 * partElements) {
      chunk = partElements;
      chunks = Math.ceil(size / chunk);
      rowsPerItem = 1;
    } else rowsPerItem = Math.min(rows, Math.max(1, Math.floor(partElements / size)));
    parts = chunks * Math.ceil(rows / rowsPerItem);
  } else {
    if (size > 2 * lineElements) {
      chunk = lineElements;
      chunks = Math.ceil(size / chunk);
    }
    // Few enough that the sum of one part is exact to some bits, enough that parts are little work beside the rows.
    rowsPerItem = Math.min(rows, size <= shortRow ? 256 : 96);
    parts = Math.ceil(rows / rowsPerItem);
  }
  const type = storedAs(program.type), bytes = elementBytes(type);
  // Columns collect in memory of the compute type, so results of another dtype need a line of their own.
  const converts = !inRows && parts === 1 && target !== type;
  const line = inRows ? 1 : size;
  const scratch = parts > 1 || converts ? engine.heap.scratch(kept * parts * line * bytes) : 0;
  const collects = scratch !== 0 ? type : target;
  const { kernel, args } = chooseReduction(engine, layout, {
    fold,
    program,
    inRows,
    reduced,
    short: size <= shortRow,
    stored,
    collects,
    inScratch: scratch !== 0,
    converts: converts ? target : null,
  });
  const u32 = engine.u32, base = engine.args >>> 2;
  u32[base + words.size] = size;
  u32[base + words.chunk] = chunk;
  u32[base + words.chunks] = chunks;
  u32[base + words.rowsPerItem] = rowsPerItem;
  u32[base + words.rows] = rows;
  u32[base + words.parts] = parts;
  u32[base + words.partStep] = line * bytes;
  let at = base + headWords;
  for (let axis = 1; axis < rank; axis++) u32[at++] = sizes[axis];
  for (let k = 0; k <= out; k++) {
    if (k === out && scratch !== 0) {
      u32[at++] = scratch;
      u32[at++] = inRows ? 0 : bytes;
      let step = parts * line * bytes;
      for (let axis = 1; axis < rank; axis++) {
        u32[at++] = axis <= reduced ? 0 : step;
        if (axis > reduced) step *= sizes[axis];
      }
      if (!converts) break;
    }
    u32[at++] = layout.addresses[k];
    for (let axis = 0; axis < rank; axis++) u32[at++] = layout.step(k, axis);
  }
  if (scalars.length > 0) storeScalars(engine, program.type, scalars, engine.args + args.scalars);
  const perItem = chunk * rowsPerItem, grain = isHeavy(program) ? partElements / 4 : 2 * partElements;
  engine.run(kernel, kept * parts * (inRows ? 1 : chunks), Math.max(1, Math.floor(grain / perItem)));
  if (parts > 1) {
    follow(inRows, reduced, parts, scratch, bytes);
    return scratch;
  }
  if (scratch !== 0) engine.heap.release(scratch);
  return 0;
}

/** Makes the layout describe the results of parts, still to be reduced: [parts, kept …] or [line, parts, kept …]. */
function follow(inRows: boolean, reduced: number, parts: number, scratch: number, bytes: number): void {
  const { sizes, rank } = layout, out = layout.operands - 1;
  const outer = inRows ? 1 : 2, line = inRows ? 1 : sizes[0];
  layout.addresses[0] = scratch;
  const address = layout.addresses[out];
  // Steps of the output are read before they are overwritten: it moves to place 1, and axes move to the front.
  const lineStep = inRows ? 0 : layout.step(out, 0);
  for (let axis = 1 + reduced, to = outer; axis < rank; axis++, to++) {
    keptSizes[to] = sizes[axis];
    keptSteps[to] = layout.step(out, axis);
  }
  const newRank = outer + rank - 1 - reduced;
  let step = parts * line * bytes;
  for (let axis = outer; axis < newRank; axis++) {
    sizes[axis] = keptSizes[axis];
    layout.setStep(0, axis, step);
    layout.setStep(1, axis, keptSteps[axis]);
    step *= sizes[axis];
  }
  sizes[outer - 1] = parts;
  layout.setStep(0, outer - 1, line * bytes);
  layout.setStep(1, outer - 1, 0);
  if (!inRows) {
    layout.setStep(0, 0, bytes);
    layout.setStep(1, 0, lineStep);
  }
  layout.addresses[1] = address;
  layout.operands = 2;
  layout.rank = newRank;
}

const keptSizes = new Int32Array(64), keptSteps = new Int32Array(64);
