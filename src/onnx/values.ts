/**
 * What flows along the edges of a graph: tensors with the type that the graph gives them, texts, lists, nothing.
 *
 * @module
 */
import type { DataArray, DType } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { formatShape, type Shape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { add, remainder, sub, type Tensor, tensor } from "../ops/mod.ts";
import { backendOf, fromData, readNow } from "../tensor/mod.ts";
import type { DeviceName } from "../backends/contract.ts";
import { heldAs, narrowRange, type OnnxType, typeOfDType } from "./types.ts";

/** A tensor and its element type in the graph. */
export interface TensorValue {
  readonly kind: "tensor";
  readonly type: OnnxType;
  readonly tensor: Tensor;
}

/**
 * Texts in the shape of a tensor, row-major.
 *
 * @category ONNX
 */
export interface OnnxStrings {
  /** Sizes of the dims; [] for one text. */
  readonly shape: Shape;
  /** The texts, row-major. */
  readonly data: readonly string[];
}

/** Texts. */
export interface TextValue extends OnnxStrings {
  readonly kind: "texts";
}

/** A list of values of one type. */
export interface SequenceValue {
  readonly kind: "sequence";
  readonly items: readonly Value[];
}

/** An optional that holds nothing. */
export interface NothingValue {
  readonly kind: "nothing";
}

/** A value of a graph. */
export type Value = TensorValue | TextValue | SequenceValue | NothingValue;

/** The optional that holds nothing. */
export const nothing: NothingValue = { kind: "nothing" };

/** A tensor as a value; its type is what its dtype is by itself unless one is given. */
export function valueOf(tensor: Tensor, type: OnnxType = typeOfDType(tensor.dtype)): TensorValue {
  return { kind: "tensor", type, tensor };
}

/** Texts as a value. */
export function textsOf(shape: Shape, data: readonly string[]): TextValue {
  return { kind: "texts", shape, data };
}

/** Every tensor in a value. */
export function* tensorsOf(value: Value): Generator<Tensor> {
  if (value.kind === "tensor") yield value.tensor;
  else if (value.kind === "sequence") { for (const item of value.items) yield* tensorsOf(item); }
}

/** Puts an integer result back into the range of its type, as its bits would be. */
export function wrap(x: Tensor, type: OnnxType): Tensor {
  const range = narrowRange(type);
  if (!range) return x;
  const count = range[1] - range[0] + 1;
  return add(remainder(sub(x, range[0]), count), range[0]);
}

/** The device on which a type is held, where the others are on `device`. */
export function deviceFor(type: OnnxType, device: DeviceName): DeviceName {
  return heldAs(type) === "f64" ? "reference" : device;
}

/** Numbers as a tensor of an ONNX type. */
export function tensorOf(
  values: ArrayLike<number | bigint>,
  shape: Shape,
  type: OnnxType,
  device: DeviceName,
): TensorValue {
  const dtype = heldAs(type) as DType;
  return valueOf(
    tensor(Array.from(values), { dtype, shape, device: deviceFor(type, device) } as never),
    type,
  );
}

/** An array of the dtype that holds `type`, as a tensor. */
export function tensorOn(data: DataArray, shape: Shape, type: OnnxType, device: DeviceName): TensorValue {
  const held = fromData(data, shape, heldAs(type) as DType, backendOf(deviceFor(type, device)));
  return valueOf(held as Tensor, type);
}

/** The elements of a tensor as numbers or bigints, at once where the device can. */
export async function elements(t: Tensor): Promise<DataArray> {
  return readNow(t) ?? await t.data();
}

/** For messages: "float [2, 3]". */
export function describe(value: Value): string {
  if (value.kind === "tensor") return `${value.type} ${formatShape(value.tensor.shape)}`;
  if (value.kind === "texts") return `string ${formatShape(value.shape)}`;
  return value.kind === "sequence" ? `a sequence of ${value.items.length}` : "nothing";
}

/** Checks texts that a caller gives. */
export function checkTexts(given: OnnxStrings, name: string): TextValue {
  if (given.data.length !== sizeOf(given.shape)) {
    throw new DTypeError(
      `${name}: ${counted(given.data.length, "text")} cannot fill ${formatShape(given.shape)}`,
    );
  }
  return textsOf(given.shape, given.data);
}
