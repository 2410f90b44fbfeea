/**
 * How a row of the table is applied to tensors and numbers, and how tensors change their dtype.
 *
 * Shapes broadcast as in NumPy, dtypes promote as in PyTorch, the gradient is the row's derivative. A row is prepared
 * once for each pattern of tensors and numbers.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { type DType, fitsRange, isDType, isFloat, isK, rangeError, rangeOf } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { show } from "../core/show.ts";
import { fixed, isNumber } from "../core/number.ts";
import { type Expr, input, scalar } from "../expr/nodes.ts";
import { table } from "../expr/table.ts";
import { activeCapture, type Applied, demandDType, demandNonzero, prepare } from "../tensor/mod.ts";
import {
  apply,
  computeType,
  copy,
  demandTensor,
  type Operand,
  promoteOperands,
  quantized,
  record,
} from "./bridge.ts";
import type { Tensor } from "./tensor.ts";

/** For each row its prepared forms, by the bits that say which operands are tensors. */
const prepared = new Map<string, Applied[]>();

function prepareRow(name: string, operands: readonly Operand[]): Applied {
  const entry = table[name], positions: number[] = [], leaves: Expr[] = [];
  let scalars = 0;
  operands.forEach((x, i) => {
    if (isNumber(x)) return leaves.push(scalar(scalars++));
    positions.push(i);
    return leaves.push(input(positions.length - 1));
  });
  const inputs = positions.length, result = input(inputs);
  return prepare(
    name,
    entry.formula(...leaves),
    inputs,
    scalars,
    (index) => entry.derivative(leaves, result)[positions[index]] ?? null,
  );
}

/** Applies row `name` in the compute type of `dtype`; the result is of that dtype, or bool where the row says so. */
export function rowIn(dtype: DType, name: string, ...operands: Operand[]): Tensor {
  let forms = prepared.get(name);
  if (!forms) prepared.set(name, forms = []);
  const tensors: Tensor[] = [], scalars: number[] = [];
  let pattern = 0;
  for (let i = 0; i < operands.length; i++) {
    const x = operands[i];
    if (isNumber(x)) scalars.push(x);
    else {
      tensors.push(x);
      pattern |= 1 << i;
    }
  }
  const applied = forms[pattern] ??= prepareRow(name, operands);
  return apply(applied, tensors, scalars, computeType(dtype), table[name].result === "bool" ? "bool" : dtype);
}

/**
 * Checks the numbers that meet integers: what is to be stored in `dtype` is one of its own. A comparison asks no more than
 * that it can be computed.
 * @throws {DTypeError} naming number and dtype, and for a division by 0.
 */
function demandNumbers(name: string, dtype: DType, operands: readonly Operand[]): void {
  const type = table[name].result === "bool" ? computeType(dtype) as DType : dtype;
  for (const x of operands) {
    if (typeof x === "number" && !fitsRange(x, type)) throw rangeError(`${name}: an operand`, x, type);
  }
  const last = operands[operands.length - 1];
  if (last === 0 && divides.has(name)) {
    throw new DTypeError(
      `${name}: integers have no quotient by 0; convert ${dtype} with .to({ dtype: "f32" })`,
    );
  }
  if (name === "pow" && typeof last === "number" && last < 0) {
    throw new DTypeError(
      `pow: integers have no powers of ${last}; convert ${dtype} with .to({ dtype: "f32" })`,
    );
  }
}

const divides: ReadonlySet<string> = new Set(["floorDivide", "remainder", "fmod"]);

/**
 * Bounds of a clamp as integers of `dtype` have them: one beyond all of them bounds nothing.
 * @throws {DTypeError} for a least number above all of them, or a greatest one below: nothing lies there.
 */
function boundsIn(name: string, dtype: DType, [x, ...bounds]: readonly Operand[]): Operand[] {
  const range = rangeOf(dtype);
  if (!range) return [x, ...bounds];
  const [least, greatest] = range.map(Number);
  return [
    x,
    ...bounds.map((bound, i) => {
      if (typeof bound !== "number") return bound;
      const isLeast = name === "clampMin" || name === "clamp" && i === 0;
      if (isLeast ? bound > greatest : bound < least) throw rangeError(`${name}: a bound`, bound, dtype);
      // The greatest i64 is no double: the largest one below it is.
      return Math.min(Math.max(bound, least), dtype === "i64" ? 2 ** 63 - 1024 : greatest);
    }),
  ];
}

/**
 * Applies row `name` of the table. Operands follow the row's arguments.
 * @throws {DTypeError} for a number that the integers it meets do not hold.
 */
export function row(name: string, ...operands: Operand[]): Tensor {
  const dtype = promoteOperands(name, operands);
  if (isFloat(dtype)) return rowIn(dtype, name, ...operands);
  if (table[name].result === "float") return rowIn("f32", name, ...operands);
  // Whether integers hold a number is asked of the number itself, in a program too.
  const own = operands.map((x) => isNumber(x) ? fixed(x) : x);
  if (name.startsWith("clamp")) return rowIn(dtype, name, ...boundsIn(name, dtype, own));
  demandNumbers(name, dtype, own);
  if (divides.has(name)) demandNonzeros(name, own[1]);
  return rowIn(dtype, name, ...own);
}

/**
 * Checks a divisor of integers, where it can be seen at once.
 * @throws {DTypeError} when it has a 0.
 */
function demandNonzeros(name: string, divisor: Operand): void {
  if (isNumber(divisor) || !divisor.size) return;
  const capture = activeCapture(), { backend } = divisor;
  if (capture) capture.lookAtDivisor(name, backend, divisor);
  else if (backend.mapped) demandNonzero(name, backend, divisor);
}

/**
 * x in another dtype; x itself when it is of that dtype. Floats become integers by cutting the fraction and staying in
 * range; anything but 0 becomes true. Between floats the gradient is converted back. A matrix becomes q8 or q4 when its
 * last dim is a multiple of 32.
 *
 * @throws {DTypeError} for what is no dtype, and tensors that q8 and q4 do not hold.
 * @category Elementwise operations
 */
export function toDType(x: Tensor, dtype: DType): Tensor {
  demandNoMore(arguments, 2, "toDType");
  demandTensor("toDType", x);
  if (x.dtype === dtype) return x;
  if (!isDType(dtype)) {
    throw new DTypeError(`toDType: ${show(dtype)} is no dtype; there are f32 f16 bf16 i64 i32 u8 bool q8 q4`);
  }
  if (isK(dtype)) {
    throw new DTypeError(
      `toDType: nothing becomes ${dtype} but in a file, by saveGguf or \`ferrotype convert\`; use q8 or q4`,
    );
  }
  if (dtype === "q8" || dtype === "q4") return quantized(x, dtype);
  demandDType(dtype, x.backend);
  const own = x.dtype, out = copy(x, dtype, "to");
  return isFloat(own) && isFloat(dtype) ? record("to", out, [x], [], (g) => [toDType(g, own)]) : out;
}

/**
 * `f` of x in f32 when x is f16 or bf16, converted back: for operations of several steps, which would lose digits or
 * overflow between them. Other dtypes go to `f` as they are.
 */
export function inFloat32(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  demandTensor("to f32", x);
  const own = x.dtype;
  return own === "f16" || own === "bf16" ? toDType(f(toDType(x, "f32")), own) : f(x);
}
