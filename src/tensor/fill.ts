/**
 * The plainest ways to fill new memory: one value everywhere, a copy, a conversion. Nothing here is recorded.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { demandTensor } from "./kinds.ts";
import type { Backend } from "../backends/contract.ts";
import { byteSize, type DType, fitsRange, quantBlock, rangeError } from "../core/dtype.ts";
import { DeviceError, DTypeError, ShapeError } from "../core/errors.ts";
import { type DynamicNumber, isDynamic } from "../core/number.ts";
import { quantizeQ8 } from "../core/quantize.ts";
import { formatShape, sameShape, type Shape } from "../core/shape.ts";
import { binary, input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { alias, empty, type TensorBase } from "./base.ts";
import { activeCapture } from "./capture/gate.ts";
import { computeType } from "./expression.ts";

// The same expression objects every time, so that the programs are made once.
const value = scalar(0), element = input(0), sum = binary("add", element, input(1));

/**
 * Checks that `dtype` holds `value`.
 * @throws {DTypeError} where a whole number is out of its range, or a finite one would be stored as infinite.
 */
export function demandFits(value: number, dtype: DType, what: string): void {
  if (isDynamic(value)) {
    // A number of the run is asked for in each.
    const number = value as unknown as DynamicNumber;
    return activeCapture()?.eachRun(() => demandFits(number.current, dtype, what));
  }
  if (!fitsRange(value, dtype)) throw rangeError(`${what}: the value`, value, dtype);
}

/**
 * A new tensor full of `number`.
 * @throws {DTypeError} when `dtype` does not hold it.
 */
export function filled(
  shape: Shape,
  number: number,
  dtype: DType,
  backend: Backend,
  madeBy = "full",
): TensorBase {
  demandFits(number, dtype, madeBy);
  const out = empty(shape, dtype, backend, madeBy);
  const fill = program(computeType(dtype), [value], { inputs: 0, scalars: 1 });
  if (out.size) backend.elementwise(fill, [], [number], [out]);
  return out;
}

/**
 * Writes the elements of `source`, converted, over those of `target` (which may be a view of a larger tensor), in
 * place and without a gradient. What the tape kept of target's memory counts as changed. A q8 target takes whole blocks
 * of 32 along its last axis.
 * @throws {ShapeError} when the shapes differ.
 * @throws {DeviceError} when the devices do, or a device cannot write q8.
 * @throws {DTypeError} for what is no tensor.
 * @category Tensors
 */
export function copyInto(source: TensorBase, target: TensorBase): void {
  demandNoMore(arguments, 2, "copyInto");
  demandTensor("copyInto", source, "source");
  demandTensor("copyInto", target, "target");
  if (!sameShape(source.shape, target.shape)) {
    throw new ShapeError(`copyInto: ${formatShape(source.shape)} does not fill ${formatShape(target.shape)}`);
  }
  if (source.backend !== target.backend) {
    throw new DeviceError(
      `copyInto: from "${source.device}" to "${target.device}"; move one with .to({ device })`,
    );
  }
  target.storage.version++;
  if (!source.size) return;
  if (target.dtype === "q8") return quantizeInto(source, target);
  const identity = program(computeType(source.dtype), [element], { inputs: 1, scalars: 0 });
  source.backend.elementwise(identity, [source], [], [target]);
}

function quantizeInto(source: TensorBase, target: TensorBase): void {
  const { backend, shape, strides } = target, rank = shape.length, width = shape[rank - 1];
  const isWhole = (elements: number): boolean => elements % quantBlock === 0;
  if (rank < 1 || rank > 4 || strides[rank - 1] !== 1 || ![width, target.offset].every(isWhole)) {
    throw new DTypeError(
      `copyInto: q8 is written in whole blocks of ${quantBlock} along the last dim of up to 4, not ${
        formatShape(shape)
      }`,
    );
  }
  const { quantize } = backend.kernels;
  if (!quantize && !backend.mapped) {
    throw new DeviceError(`copyInto: the "${backend.name}" device does not write q8; use f16 there`);
  }
  const isReadable = source.dtype === "f32" &&
    (quantize ? source.strides[rank - 1] === 1 : source.isContiguous);
  const from = isReadable ? source : copy(source, "f32");
  if (quantize) quantize(from, target);
  else {
    const values = backend.mapped!(from.buffer), blocks = backend.mapped!(target.buffer);
    const x = new Float32Array(values.buffer, values.byteOffset + 4 * from.offset, from.size);
    for (let row = 0; row * width < x.length; row++) {
      let at = target.offset;
      for (let d = rank - 2, left = row; d >= 0; left = Math.floor(left / shape[d]), d--) {
        at += left % shape[d] * strides[d];
      }
      const start = byteSize("q8", at);
      quantizeQ8(
        x.subarray(row * width, (row + 1) * width),
        blocks.subarray(start, start + byteSize("q8", width)),
      );
    }
  }
  if (from !== source) from.dispose();
}

/** Adds `source` to `target`, a view of the same shape, in place. */
export function addInto(source: TensorBase, target: TensorBase): void {
  target.storage.version++;
  if (!target.size) return;
  const add = program(computeType(target.dtype), [sum], { inputs: 2, scalars: 0 });
  target.backend.elementwise(add, [target, source], [], [target]);
}

/** A contiguous copy, in another dtype when one is given. */
export function copy(t: TensorBase, dtype: DType = t.dtype, madeBy = "copy"): TensorBase {
  const out = empty(t.shape, dtype, t.backend, madeBy);
  copyInto(t, out);
  return out;
}

/** A copy whose elements lie in memory as those of `t`, so that both are walked in one order. */
export function copyLaid(t: TensorBase, dtype: DType = t.dtype, madeBy = "copy"): TensorBase {
  const [rows, columns] = t.shape, isTurned = t.shape.length === 2 && t.strides[0] === 1 && !t.isContiguous;
  if (!isTurned) return copy(t, dtype, madeBy);
  const turned = alias(t, [columns, rows], [t.strides[1], 1]), own = copy(turned, dtype, madeBy);
  const out = alias(own, t.shape, [1, rows]);
  turned.dispose();
  own.dispose();
  return out;
}
