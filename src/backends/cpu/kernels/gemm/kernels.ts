/**
 * The kernels of matrix multiplication by what they are specialised for: dtypes, layouts, and the epilogue.
 *
 * The engine caches kernels by a text. Making that text costs more than a small product, so there is a table of
 * numbers before it.
 *
 * @module
 */
import type { DType } from "../../../../core/dtype.ts";
import type { Program } from "../../../../expr/nodes.ts";
import type { Emit, Engine, Kernel, KernelContext } from "../../engine.ts";
import type { ColumnLayout, OperandForm } from "./finish.ts";
import { emitGemm, rowAccess } from "./gemm.ts";
import { emitGemv } from "./gemv.ts";
import type { Arithmetic, Source } from "./load.ts";
import type { StripLayout } from "./pack.ts";
import type { Operand, Product } from "./plan.ts";

const dtypeCodes: Readonly<Partial<Record<DType, number>>> = {
  f32: 0,
  f16: 1,
  bf16: 2,
  i32: 3,
  i64: 4,
  u8: 5,
  bool: 6,
  q8: 7,
  q4: 8,
  q6k: 9,
  q5k: 10,
  q4k: 11,
  q3k: 12,
  q2k: 13,
  iq4xs: 14,
  q51: 15,
  q50: 16,
  q41: 17,
  iq4nl: 18,
  mxfp4: 19,
};
const layoutCodes = { lanes: 0, k: 1, any: 2, unit: 0, zero: 1 } as const;
const dtypeCount = 20, forms = dtypeCount * 3;
const mostCoded = 5; // inputs of an epilogue that fit into the number

type Table = Map<string, Map<number, Kernel>>;

/** One table for each mode of an engine. */
const tables = new WeakMap<Engine, readonly [Table, Table]>();

/** How a lies in memory, in strips of rows. */
export function rowLayout(product: Product): StripLayout {
  const { a } = product;
  return a.column === a.bytes || product.depth === 1 ? "k" : a.row === a.bytes ? "lanes" : "any";
}

/** How b lies in memory, in panels of columns. */
export function panelLayout(product: Product): StripLayout {
  const { b } = product;
  return b.column === b.bytes ? "lanes" : b.row === b.bytes || product.depth === 1 ? "k" : "any";
}

/** How an output, or an operand of an epilogue, runs along columns. */
function columnLayout(operand: Operand): ColumnLayout {
  return operand.column === operand.bytes ? "unit" : operand.column === 0 ? "zero" : "any";
}

function formCode(operand: Operand): number {
  return (dtypeCodes[operand.dtype] ?? 0) * 3 + layoutCodes[columnLayout(operand)];
}

/** An operand as kernels are told of it. */
export function formOf(operand: Operand): OperandForm {
  return { dtype: operand.dtype, layout: columnLayout(operand) };
}

/** Whether the rows of a are what kernels that read them in order take: f32 or i32 with k contiguous. */
export function isReady({ a, depth }: Product): boolean {
  return a.bytes === 4 && (a.column === 4 || depth === 1);
}

/** What is multiplied in a product. */
export function arithmeticOf(product: Product): Arithmetic {
  return product.a.dtype === "i32" ? "i32" : "f32";
}

/** Chooses what emits the kernel for a product; `rows` as in {@link kernelFor}. */
export type Choose = (
  context: KernelContext,
  product: Product,
  program: Program | null,
  inputs: readonly OperandForm[],
  rows: number,
) => Emit;

/**
 * The kernel for a product: blocked when `rows` is 0, else the streaming one for that many rows (of which there is just
 * one kind, for one row, where b is quantised). Weights in blocks `choose` their own.
 */
export function kernelFor(
  engine: Engine,
  product: Product,
  program: Program | null,
  rows: number,
  choose: Choose = emitter,
): Kernel {
  let pair = tables.get(engine);
  if (pair === undefined) tables.set(engine, pair = [new Map(), new Map()]);
  const table = pair[engine.deterministic ? 1 : 0];
  let own = table.get(program?.key ?? "");
  if (own === undefined) table.set(program?.key ?? "", own = new Map());
  const { a, b, out, inputs, inputCount } = product;
  let code = rows * 4 + (dtypeCodes[a.dtype] ?? 0);
  code = code * 3 + layoutCodes[rowLayout(product)];
  code = code * dtypeCount + (dtypeCodes[b.dtype] ?? 0);
  code = code * 3 + layoutCodes[panelLayout(product)];
  code = code * forms + formCode(out);
  if (inputCount > mostCoded) return compile(engine, product, program, rows, `${code}`, choose);
  for (let i = 0; i < inputCount; i++) code = code * forms + formCode(inputs[i]);
  let kernel = own.get(code);
  if (kernel === undefined) {
    own.set(code, kernel = compile(engine, product, program, rows, `${code}`, choose));
  }
  return kernel;
}

function compile(
  engine: Engine,
  product: Product,
  program: Program | null,
  rows: number,
  code: string,
  choose: Choose,
): Kernel {
  const inputs = product.inputs.slice(0, product.inputCount).map(formOf);
  const forms = inputs.map(({ dtype, layout }) => `${dtype} ${layout}`).join(", ");
  const key = `matmul ${code}; ${program?.key ?? "no epilogue"} (${forms})`;
  return engine.kernel(key, choose(engine.context, product, program, inputs, rows));
}

function emitter(
  { fusedMadd }: KernelContext,
  product: Product,
  program: Program | null,
  inputs: readonly OperandForm[],
  rows: number,
): Emit {
  const arithmetic = arithmeticOf(product);
  const a = product.a.dtype as Source, b = product.b.dtype as Source;
  const aLayout = rowLayout(product), bLayout = panelLayout(product);
  const common = { arithmetic, a, b, out: formOf(product.out), program, inputs };
  if (rows > 0 && bLayout !== "any") {
    return (m, context) => emitGemv(m, context, { ...common, rows, bLayout });
  }
  const access = rowAccess(fusedMadd, arithmetic, a, aLayout);
  return (m, context) => emitGemm(m, context, { ...common, access, aLayout, bLayout });
}
