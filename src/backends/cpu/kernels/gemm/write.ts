/**
 * Filling the argument block; what lies where is in `arguments.ts`.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { Engine } from "../../engine.ts";
import { storeScalars } from "../expression.ts";
import * as arg from "./arguments.ts";
import type { Operand, Product } from "./plan.ts";

/** One word. */
export function write(engine: Engine, args: number, at: number, value: number): void {
  engine.i32[(args + at) >>> 2] = value;
}

/** One operand. */
export function writeOperand(engine: Engine, at: number, { sizes }: Product, operand: Operand): void {
  const { i32 } = engine;
  const word = at >>> 2, last = sizes.length - 1;
  i32[word] = operand.address;
  i32[word + 1] = operand.row;
  i32[word + 2] = operand.column;
  i32[word + 3] = last >= 0 ? operand.leading[last] : 0;
  i32[word + 4] = last >= 1 ? operand.leading[last - 1] : 0;
}

/** Sizes and operands. */
export function writeProduct(engine: Engine, args: number, product: Product): void {
  const { sizes } = product;
  write(engine, args, arg.rowsArg, product.rows);
  write(engine, args, arg.columnsArg, product.columns);
  write(engine, args, arg.depthArg, product.depth);
  write(engine, args, arg.innerArg, sizes.length > 0 ? sizes[sizes.length - 1] : 1);
  writeOperand(engine, args + arg.aArg, product, product.a);
  writeOperand(engine, args + arg.bArg, product, product.b);
  writeOperand(engine, args + arg.outArg, product, product.out);
}

/** Operands and scalars of the epilogue. */
export function writeEpilogue(
  engine: Engine,
  product: Product,
  program: Program | null,
  scalars: readonly number[],
): void {
  const { args } = engine;
  for (let i = 0; i < product.inputCount; i++) {
    writeOperand(engine, args + arg.inputsArg + i * arg.operandBytes, product, product.inputs[i]);
  }
  if (program) storeScalars(engine, program.type, scalars, args + arg.scalarsArg);
}

/** Where the packed matrices of an operand are, `bytes` each. */
export function writePacked(
  engine: Engine,
  at: number,
  { sizes }: Product,
  { leading }: Operand,
  packed: number,
  bytes: number,
): void {
  const last = sizes.length - 1, inner = last >= 0 && leading[last] !== 0;
  write(engine, engine.args, at, packed);
  write(engine, engine.args, at + 12, inner ? bytes : 0);
  write(
    engine,
    engine.args,
    at + 16,
    last >= 1 && leading[last - 1] !== 0 ? (inner ? sizes[last] : 1) * bytes : 0,
  );
}
