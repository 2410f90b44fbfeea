/**
 * Elementwise programs over strided views.
 *
 * The operands' axes are brought together and as few as possible (`layout.ts`); the kernel is chosen by the program,
 * the dtypes, how each operand lies along the inner axis, and the number of axes; sizes, strides and addresses are
 * arguments. Work is cut into items of some thousand elements: rows together when they are short, pieces of a row when
 * it is long. What is read across the memory order goes through `transposed.ts`.
 *
 * @module
 */
import { type DType, dtypes } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { View } from "../../contract.ts";
import type { Engine, Kernel } from "../engine.ts";
import { Arguments, headWords, type KernelKind, type OperandKind, words } from "./arguments.ts";
import { anyQuantized, blockKernels } from "./blocks.ts";
import { isHeavy, storeScalars } from "./expression.ts";
import { KernelTable } from "./kernel_table.ts";
import { Layout } from "./layout.ts";
import { emitRows } from "./rows.ts";
import type { Pattern } from "./spans.ts";
import { emitTransposed, tileColumns, tileRows } from "./transposed.ts";

/** Elements that one item has, about. */
const itemElements = 8192;

interface Choice {
  readonly kernel: Kernel;
  readonly kind: KernelKind;
  readonly layout: Arguments;
  readonly transposed: boolean;
  readonly grain: number;
}

const table = new KernelTable<Choice>();
const layout = new Layout();
const patterns: readonly Pattern[] = ["same", "next", "apart"];
const dtypeCodes = new Map<DType, number>(dtypes.map((dtype, code) => [dtype, code]));

/** Puts the axes in the best order for the inner loop; whether a transposed kernel should run. */
function arrange(type: Program["type"], inputs: number): boolean {
  const { sizes, rank } = layout;
  if (rank === 1) return false;
  if (type !== "i64" && sizes[0] >= 4) {
    for (let k = 0; k < inputs; k++) {
      const step = layout.step(k, 0), bytes = elementBytes[k];
      if (step === 0 || step === bytes) continue;
      for (let axis = 1; axis < rank; axis++) {
        if (sizes[axis] < 4 || layout.step(k, axis) !== bytes) continue;
        // The results must be neighbours, since tiles are stored in whole vectors.
        for (let y = inputs; y < layout.operands; y++) {
          if (layout.step(y, 0) !== elementBytes[y]) return false;
        }
        layout.move(axis, 1);
        return true;
      }
    }
  }
  // Very short rows cost more than elements that are gathered one by one.
  let longest = 0;
  for (let axis = 1; axis < rank; axis++) if (sizes[axis] > sizes[longest]) longest = axis;
  if (sizes[0] < 8 && sizes[longest] >= 4 * sizes[0]) layout.swap(0, longest);
  return false;
}

const elementBytes = new Int32Array(64);
const bytesOf: Readonly<Record<string, number>> = { i64: 8, f32: 4, i32: 4, f16: 2, bf16: 2, u8: 1, bool: 1 };

/** How an operand lies along the inner axis, as a place in `patterns`. */
function patternCode(k: number): number {
  const step = layout.step(k, 0);
  return step === 0 ? 0 : step === elementBytes[k] ? 1 : 2;
}

function choose(engine: Engine, program: Program, inputs: readonly View[], outputs: readonly View[]): Choice {
  const transposed = arrange(program.type, inputs.length);
  const kernels = table.of(engine, program);
  let key: number | string = layout.rank * 2 + (transposed ? 1 : 0);
  for (let k = 0; k < layout.operands; k++) {
    const dtype = k < inputs.length ? inputs[k].dtype : outputs[k - inputs.length].dtype;
    const column = transposed && layout.step(k, 1) === elementBytes[k] && patternCode(k) === 2;
    const code = (dtypeCodes.get(dtype) as number) * 8 + patternCode(k) * 2 + (column ? 1 : 0);
    // Seven bits each: up to six operands fit an exact number.
    key = k < 6 ? (key as number) * 128 + code : `${key},${code}`;
  }
  let choice = kernels.get(key);
  if (choice === undefined) {
    kernels.set(key, choice = build(engine, program, inputs, outputs, transposed, String(key)));
  }
  return choice;
}

function build(
  engine: Engine,
  program: Program,
  inputs: readonly View[],
  outputs: readonly View[],
  transposed: boolean,
  key: string,
): Choice {
  const describe = (view: View, k: number): OperandKind => ({
    dtype: view.dtype,
    pattern: patterns[patternCode(k)],
    column: transposed && layout.step(k, 1) === elementBytes[k] && patternCode(k) === 2,
  });
  const kind: KernelKind = {
    program,
    inputs: inputs.map(describe),
    outputs: outputs.map((view, k) => describe(view, inputs.length + k)),
    outer: layout.rank - 1,
  };
  const emit = transposed ? emitTransposed : emitRows;
  const kernel = engine.kernel(`elementwise ${program.key} ${key}`, (m, context) => emit(m, context, kind));
  const heavy = isHeavy(program);
  const grain = transposed ? (heavy ? 8 : 32) : heavy ? 1 : 4;
  return { kernel, kind, layout: new Arguments(kind), transposed, grain };
}

/** See {@link Backend.elementwise} in `contract.ts`. */
export function elementwise(
  engine: Engine,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  layout.describe(inputs, outputs, inputs.length);
  if (layout.count === 0) return;
  if (anyQuantized(inputs) || anyQuantized(outputs)) {
    return blockKernels().withFloats(
      engine,
      inputs,
      outputs,
      (floats) => elementwise(engine, program, floats, scalars, outputs),
    );
  }
  for (let k = 0; k < layout.operands; k++) {
    elementBytes[k] = bytesOf[k < inputs.length ? inputs[k].dtype : outputs[k - inputs.length].dtype];
  }
  const choice = choose(engine, program, inputs, outputs);
  const { outer } = choice.layout, { sizes } = layout;
  const u32 = engine.u32, base = engine.args >>> 2;
  let at = base + headWords, rows = 1;
  for (let axis = 0; axis < outer; axis++) {
    u32[at++] = sizes[axis + 1];
    rows *= sizes[axis + 1];
  }
  for (let k = 0; k < layout.operands; k++) {
    u32[at++] = layout.addresses[k];
    for (let axis = 0; axis <= outer; axis++) u32[at++] = layout.step(k, axis);
  }
  if (scalars.length > 0) storeScalars(engine, program.type, scalars, engine.args + choice.layout.scalars);
  const size = sizes[0];
  u32[base + words.size] = size;
  if (choice.transposed) {
    const down = Math.ceil(sizes[1] / tileRows), across = Math.ceil(size / tileColumns);
    u32[base + words.chunk] = down;
    u32[base + words.chunks] = across;
    return engine.run(choice.kernel, (rows / sizes[1]) * down * across, choice.grain);
  }
  const whole = size <= 2 * itemElements;
  const chunks = whole ? 1 : Math.ceil(size / itemElements);
  const rowsPerItem = whole ? Math.max(1, Math.floor(itemElements / size)) : 1;
  u32[base + words.chunk] = whole ? size : itemElements;
  u32[base + words.chunks] = chunks;
  u32[base + words.rowsPerItem] = rowsPerItem;
  u32[base + words.rows] = rows;
  engine.run(choice.kernel, Math.ceil(rows / rowsPerItem) * chunks, choice.grain);
}
