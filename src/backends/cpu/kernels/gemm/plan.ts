/**
 * What a product looks like once shapes and strides are read: one matrix of each operand, and at most two leading axes.
 *
 * Leading axes that lie one behind the other are merged, and where b repeats along the last of them it joins the rows:
 * [batch, time, in] · [in, out] is one product of batch·time rows. Everything here writes into records that are made
 * once, so a call allocates nothing.
 *
 * @module
 */
import { byteSize, type DType } from "../../../../core/dtype.ts";
import type { View } from "../../../contract.ts";
import { addressOf } from "../../buffer.ts";

/** An operand, in bytes. */
export interface Operand {
  /** Address of its first element. */
  address: number;
  /** Its element type, and the bytes of an element. */
  dtype: DType;
  bytes: number;
  /** Bytes from row to row, and from column to column. */
  row: number;
  column: number;
  /** Bytes from step to step along each leading axis, the outermost first; 0 where it repeats. */
  readonly leading: number[];
}

function operand(): Operand {
  return { address: 0, dtype: "f32", bytes: 4, row: 0, column: 0, leading: [] };
}

/** A product: `out[m, n] = Σk a[m, k] · b[k, n]`, repeated over the leading axes. */
export class Product {
  /** Rows, columns, and length of the sums. */
  rows = 0;
  columns = 0;
  depth = 0;
  /** Sizes of the leading axes, the outermost first. */
  readonly sizes: number[] = [];
  readonly a: Operand = operand();
  readonly b: Operand = operand();
  readonly out: Operand = operand();
  /** Operands of the epilogue; the first `inputCount` are in use. */
  readonly inputs: Operand[] = [];
  inputCount = 0;

  /** Reads the arguments of a call. Gives false when there is nothing to compute. */
  read(a: View, b: View, out: View, inputs: readonly View[]): boolean {
    const rank = out.shape.length;
    this.rows = out.shape[rank - 2];
    this.columns = out.shape[rank - 1];
    this.depth = a.shape[rank - 1];
    this.inputCount = inputs.length;
    while (this.inputs.length < inputs.length) this.inputs.push(operand());
    readOperand(this.a, a);
    readOperand(this.b, b);
    readOperand(this.out, out);
    for (let i = 0; i < inputs.length; i++) readOperand(this.inputs[i], inputs[i]);
    this.sizes.length = 0;
    for (let axis = 0; axis < rank - 2; axis++) {
      const size = out.shape[axis];
      if (size === 0) return false;
      if (size === 1) continue;
      const last = this.sizes.length - 1;
      if (
        last >= 0 && follows(this.a, a, axis, size) && follows(this.b, b, axis, size) &&
        follows(this.out, out, axis, size) && this.#inputsFollow(inputs, axis, size)
      ) {
        this.sizes[last] *= size;
        this.#setLeading(last, axis, a, b, out, inputs);
      } else {
        this.sizes.push(size);
        this.#setLeading(last + 1, axis, a, b, out, inputs);
      }
    }
    if (this.rows === 0 || this.columns === 0) return false;
    this.#joinRows();
    // Where there is one column, any step between columns is right: take that of neighbours.
    if (this.columns === 1) {
      this.b.column = this.b.bytes;
      this.out.column = this.out.bytes;
      for (let i = 0; i < inputs.length; i++) this.inputs[i].column = this.inputs[i].bytes;
    }
    return true;
  }

  /** Exchanges the roles of a and b: outᵀ = bᵀ · aᵀ. */
  transpose(): void {
    const { a, b, rows } = this;
    this.rows = this.columns;
    this.columns = rows;
    exchange(a, b);
    flip(a);
    flip(b);
    flip(this.out);
    for (let i = 0; i < this.inputCount; i++) flip(this.inputs[i]);
    this.#joinRows();
  }

  /** The number of matrices. */
  get matrices(): number {
    let count = 1;
    for (let i = 0; i < this.sizes.length; i++) count *= this.sizes[i];
    return count;
  }

  #setLeading(at: number, axis: number, a: View, b: View, out: View, inputs: readonly View[]): void {
    this.a.leading[at] = a.strides[axis] * this.a.bytes;
    this.b.leading[at] = b.strides[axis] * this.b.bytes;
    this.out.leading[at] = out.strides[axis] * this.out.bytes;
    for (let i = 0; i < inputs.length; i++) {
      this.inputs[i].leading[at] = inputs[i].strides[axis] * this.inputs[i].bytes;
    }
  }

  #inputsFollow(inputs: readonly View[], axis: number, size: number): boolean {
    for (let i = 0; i < inputs.length; i++) if (!follows(this.inputs[i], inputs[i], axis, size)) return false;
    return true;
  }

  /** Joins the last leading axis to the rows where b repeats along it and the others run on evenly. */
  #joinRows(): void {
    const { a, b, out, inputs, sizes } = this;
    const last = sizes.length - 1;
    if (last < 0 || b.leading[last] !== 0) return;
    if (!joins(a, last, this.rows) || !joins(out, last, this.rows)) return;
    for (let i = 0; i < this.inputCount; i++) if (!joins(inputs[i], last, this.rows)) return;
    if (this.rows === 1) {
      a.row = a.leading[last];
      out.row = out.leading[last];
      for (let i = 0; i < this.inputCount; i++) inputs[i].row = inputs[i].leading[last];
    }
    this.rows *= sizes[last];
    sizes.pop();
  }
}

function readOperand(to: Operand, view: View): void {
  const rank = view.shape.length;
  to.dtype = view.dtype;
  to.bytes = byteSize(view.dtype, 1);
  to.address = addressOf(view);
  to.row = view.strides[rank - 2] * to.bytes;
  to.column = view.strides[rank - 1] * to.bytes;
  to.leading.length = 0;
}

/** Whether `axis` of the view continues the last leading axis read so far. */
function follows(operand: Operand, view: View, axis: number, size: number): boolean {
  return operand.leading[operand.leading.length - 1] === view.strides[axis] * operand.bytes * size;
}

function joins(operand: Operand, last: number, rows: number): boolean {
  return rows === 1 || operand.leading[last] === rows * operand.row;
}

function exchange(a: Operand, b: Operand): void {
  const { address, dtype, bytes, row, column } = a;
  a.address = b.address;
  a.dtype = b.dtype;
  a.bytes = b.bytes;
  a.row = b.row;
  a.column = b.column;
  b.address = address;
  b.dtype = dtype;
  b.bytes = bytes;
  b.row = row;
  b.column = column;
  const length = a.leading.length;
  for (let i = 0; i < length; i++) {
    const x = a.leading[i];
    a.leading[i] = b.leading[i];
    b.leading[i] = x;
  }
}

function flip(operand: Operand): void {
  const { row } = operand;
  operand.row = operand.column;
  operand.column = row;
}
