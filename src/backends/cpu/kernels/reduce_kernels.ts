/**
 * Which reduction kernel runs: chosen by the fold, the program, the dtypes, and how the operands lie.
 *
 * @module
 */
import { type DType, dtypes } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { Engine, Kernel } from "../engine.ts";
import { Arguments, type OperandKind } from "./arguments.ts";
import { type Fold, folds } from "./folds.ts";
import { KernelTable } from "./kernel_table.ts";
import type { Layout } from "./layout.ts";
import { emitReduceColumns } from "./reduce_columns.ts";
import { emitReduceRows, type ReduceKernelKind } from "./reduce_rows.ts";
import { elementBytes, type Pattern, type Stored } from "./spans.ts";

/** A kernel and where it finds its arguments. */
export interface Reduction {
  /** The kernel. */
  readonly kernel: Kernel;
  /** The places of its arguments. */
  readonly args: Arguments;
}

/** What is to be reduced, beside the layout. */
export interface ReductionKind {
  /** How elements are brought together. */
  readonly fold: Fold;
  /** What is computed of the operands first. */
  readonly program: Program;
  /** Whether the inner axis is reduced. */
  readonly inRows: boolean;
  /** Outer axes that are reduced. */
  readonly reduced: number;
  /** Whether rows are short; see {@link ReduceKernelKind}. */
  readonly short: boolean;
  /** What the operands store. */
  readonly stored: readonly Stored[];
  /** The dtype in which results are collected. */
  readonly collects: DType;
  /** Whether they are collected in scratch memory, in order. */
  readonly inScratch: boolean;
  /** The dtype to which collected lines are converted at the end; null for none. */
  readonly converts: DType | null;
}

const table = new KernelTable<Reduction>();
const patterns: readonly Pattern[] = ["same", "next", "apart"];
const codes = new Map<Stored, number>([...dtypes, "position" as const].map((dtype, code) => [dtype, code]));

/** How an operand lies along the inner axis, as a place in `patterns`. */
function patternOf(layout: Layout, k: number, dtype: Stored): number {
  const step = layout.step(k, 0);
  return step === 0 ? 0 : step === elementBytes(dtype) ? 1 : 2;
}

/** The kernel for `kind` over what `layout` describes, whose last operand is the output. */
export function chooseReduction(engine: Engine, layout: Layout, kind: ReductionKind): Reduction {
  const { stored, collects, converts, inRows } = kind, out = layout.operands - 1;
  const line = inRows ? 0 : kind.inScratch ? 1 : patternOf(layout, out, collects);
  const converted = converts === null ? 0 : patternOf(layout, out, converts);
  let key: number | string = folds.indexOf(kind.fold) * 4 + (inRows ? 2 : 0) + (kind.short ? 1 : 0);
  key = ((key * 32 + kind.reduced) * 32 + layout.rank) * 16 + (codes.get(collects) as number);
  key = ((key * 4 + line) * 16 + (converts === null ? 15 : codes.get(converts) as number)) * 4 + converted;
  for (let k = 0; k < stored.length; k++) {
    const code = (codes.get(stored[k]) as number) * 4 + patternOf(layout, k, stored[k]);
    // Three operands of six bits fit an exact number beside the thirty bits before them.
    key = k < 3 ? (key as number) * 64 + code : `${key},${code}`;
  }
  const made = table.of(engine, kind.program);
  let reduction = made.get(key);
  if (reduction === undefined) made.set(key, reduction = build(engine, layout, kind, line, converted, key));
  return reduction;
}

function build(
  engine: Engine,
  layout: Layout,
  kind: ReductionKind,
  line: number,
  converted: number,
  key: number | string,
): Reduction {
  const { fold, program, reduced, short, stored, collects, converts, inRows } = kind;
  const operand = (dtype: Stored, pattern: number): OperandKind => ({
    dtype,
    pattern: patterns[pattern],
    column: false,
  });
  const outputs = [operand(collects, line)];
  if (converts !== null) outputs.push(operand(converts, converted));
  const inputs = stored.map((dtype, k) => operand(dtype, patternOf(layout, k, dtype)));
  const made: ReduceKernelKind = { program, fold, reduced, short, inputs, outputs, outer: layout.rank - 1 };
  const emit = inRows ? emitReduceRows : emitReduceColumns;
  const kernel = engine.kernel(`reduce ${program.key} ${key}`, (m, context) => emit(m, context, made));
  return { kernel, args: new Arguments(made) };
}
