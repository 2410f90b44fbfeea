/**
 * Comparisons, truth, and what changes the type of elements.
 *
 * @module
 */
import { type DType, isFloat } from "../../core/dtype.ts";
import { FormatError } from "../../core/errors.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { toNumbers } from "../../tensor/mod.ts";
import type { Call, Operator, OperatorTable } from "../call.ts";
import { heldAs, narrowRange, type OnnxType, smallFloatValues, typeOfCode } from "../types.ts";
import { elements, tensorOf, textsOf, type TextValue, type Value, valueOf, wrap } from "../values.ts";
import { ordered } from "./math.ts";
import { spelled } from "./spelled.ts";

const compared = (since: readonly number[], apply: (a: Tensor, b: Tensor) => Tensor): Operator => ({
  since,
  noGradient: "truth",
  run: (c) => valueOf(ordered(c, [c.t(0), oldPlace(c)], apply)),
});

/** The second operand as opsets before 7 placed it. */
function oldPlace(c: Call): Tensor {
  const a = c.t(0), b = c.t(1);
  if (c.opset >= 7 || !c.said("axis")) return b;
  const rest = a.shape.length - c.axis("axis", 0, a.shape.length) - b.shape.length;
  return rest > 0 ? f.reshape(b, [...b.shape, ...new Array<number>(rest).fill(1)]) : b;
}

const truth = (since: readonly number[], apply: (a: Tensor, b: Tensor) => Tensor): Operator => ({
  since,
  noGradient: "truth",
  run: (c) => valueOf(apply(c.t(0), oldPlace(c))),
});

/** Texts are equal where their places are. */
const equal: Operator = spelled({
  since: [1, 7, 11, 13, 19],
  noGradient: "truth",
  run: (c) => valueOf(f.eq(c.t(0), oldPlace(c))),
}, []);

const choose: Operator = spelled({
  since: [9, 16],
  run: (c) => valueOf(f.where(c.t(0), c.t(1), c.t(2)), c.type(1)),
});

/** A float as NumPy writes it: the fewest digits that give it back. */
function floatText(value: number, type: OnnxType): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "INF" : "-INF";
  let text = String(value);
  if (type === "float") {
    for (let digits = 1; digits < 10; digits++) {
      text = value.toPrecision(digits);
      if (Math.fround(Number(text)) === value) break;
    }
    text = String(Number(text));
  }
  return text;
}

async function asTexts(value: Value): Promise<TextValue> {
  if (value.kind === "texts") return value;
  if (value.kind !== "tensor") throw new FormatError("Cast: only tensors become texts");
  const { tensor, type } = value, data = await elements(tensor);
  if (isFloat(tensor.dtype)) {
    return textsOf(tensor.shape, Array.from(toNumbers(data, tensor.dtype), (v) => floatText(v, type)));
  }
  const unsigned = type === "uint64";
  return textsOf(
    tensor.shape,
    Array.from(data as ArrayLike<number | bigint>, (v) => {
      if (type === "bool") return v ? "True" : "False";
      return String(unsigned ? BigInt.asUintN(64, BigInt(v)) : v);
    }),
  );
}

function numberOf(text: string): number {
  const plain = text.trim().toLowerCase();
  if (/^[+-]?inf(inity)?$/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  if (plain === "nan") return NaN;
  const value = Number(plain);
  if (plain === "" || Number.isNaN(value)) throw new FormatError(`Cast: the text "${text}" is no number`);
  return value;
}

/** x rounded to the values of a small float type, ties to the even one. */
async function roundSmall(x: Tensor, type: OnnxType, saturate: boolean): Promise<Float32Array> {
  const table = smallFloatValues(type) as Float32Array, half = table.length / 2;
  const positive = Array.from(table.subarray(0, half)).map((v, bits) => ({ v, bits }))
    .filter(({ v }) => !Number.isNaN(v) && Number.isFinite(v)).sort((a, b) => a.v - b.v);
  const top = positive[positive.length - 1], largest = top.v, hasInfinity = table.includes(Infinity);
  const step = largest - positive[positive.length - 2].v;
  const data = toNumbers(await elements(x), x.dtype);
  return Float32Array.from(data, (value) => {
    if (Number.isNaN(value)) return NaN;
    const size = Math.abs(value), sign = value < 0 || Object.is(value, -0) ? -1 : 1;
    const bound = largest + step / 2;
    // Half way beyond the largest, the even one of both is the largest or is none.
    if (size > bound || size === Infinity || size === bound && top.bits % 2 === 1) {
      if (saturate || type === "float4e2m1") return sign * largest;
      return hasInfinity ? sign * Infinity : NaN;
    }
    let low = 0, high = positive.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (positive[middle].v <= size) low = middle;
      else high = middle;
    }
    const down = size - positive[low].v, up = positive[high].v - size;
    const nearest = down < up || (down === up && positive[low].bits % 2 === 0) ? low : high;
    return sign * positive[size >= positive[high].v ? high : nearest].v;
  });
}

/** A value as another type. */
export function castTo(c: Call, value: Value, type: OnnxType, saturate = true): Value | Promise<Value> {
  const { device } = c.around;
  if (type === "string") return asTexts(value);
  if (value.kind === "texts") {
    const isFloatTarget = isFloat(heldAs(type) as DType);
    const numbers = value.data.map((text) => isFloatTarget ? numberOf(text) : BigInt(text.trim()));
    return tensorOf(numbers, value.shape, type, device);
  }
  if (value.kind !== "tensor") throw c.fail("only tensors are cast");
  const x = value.tensor;
  if (smallFloatValues(type)) {
    return roundSmall(x, type, saturate).then((list) =>
      valueOf(f.tensor(list, { shape: x.shape, device }), type)
    );
  }
  if (heldAs(type) === "f64" && x.device !== "reference") {
    if (x.backend.mapped) return castTensor(x.to({ device: "reference" }), value.type, type);
    return x.data().then((data) =>
      castTensor(f.tensor(data, { dtype: x.dtype, shape: x.shape, device: "reference" }), value.type, type)
    );
  }
  return castTensor(x, value.type, type);
}

function castTensor(x: Tensor, from: OnnxType, type: OnnxType): Value {
  const dtype = heldAs(type) as DType;
  if (from === "uint64" && isFloat(dtype)) {
    const wide = f.toDType(x, dtype === "f64" ? "f64" : "f32");
    return valueOf(f.toDType(f.where(f.lt(x, 0), f.add(wide, 2 ** 64), wide), dtype), type);
  }
  if (isFloat(x.dtype) && !isFloat(dtype) && dtype !== "bool") {
    // Through the widest integers, so that what a narrow type does not hold is cut to its bits.
    return valueOf(f.toDType(wrap(f.toDType(x, dtype === "u8" ? "i32" : dtype), type), dtype), type);
  }
  return valueOf(f.toDType(wrapTo(x, dtype, type), dtype), type);
}

/** Integers cut to the bits of a narrower type before they are held in it. */
function wrapTo(x: Tensor, dtype: DType, type: OnnxType): Tensor {
  if (x.dtype === "bool" || isFloat(x.dtype) || isFloat(dtype) || dtype === "bool") return x;
  if (x.dtype === dtype && !narrowRange(type)) return x;
  if (type === "uint8") return f.remainder(x, 256);
  if (type === "int32" && x.dtype === "i64") {
    return f.sub(f.remainder(f.add(x, 2 ** 31), 2 ** 32), 2 ** 31);
  }
  // What holds the range of the type holds what it is taken from, too.
  const isWider = dtype === "i64" || x.dtype === "u8";
  return wrap(isWider ? f.toDType(x, dtype) : x, type);
}

function typeAttribute(c: Call, name: string): OnnxType {
  const code = c.int(name, 0), type = typeOfCode(code);
  if (type === undefined) throw c.fail(`${name} is the element type ${code}, which is not held here`);
  return type;
}

/** The element type of a value. */
function elementType(value: Value): OnnxType {
  return value.kind === "tensor" ? value.type : "string";
}

const cast: Operator = {
  since: [1, 6, 9, 13, 19, 21, 23, 24],
  waits: true,
  run: (c) => {
    // Opsets before 6 name the type.
    const type = c.opset < 6 ? c.text("to", "FLOAT").toLowerCase() as OnnxType : typeAttribute(c, "to");
    return castTo(c, c.value(0), type, c.int("saturate", 1) !== 0);
  },
};

/** The operators. */
export const logic: OperatorTable = {
  Equal: equal,
  Greater: compared([1, 7, 9, 13], f.gt),
  GreaterOrEqual: compared([12, 16], f.ge),
  Less: compared([1, 7, 9, 13], f.lt),
  LessOrEqual: compared([12, 16], f.le),
  And: truth([1, 7], f.logicalAnd),
  Or: truth([1, 7], f.logicalOr),
  Xor: truth([1, 7], f.logicalXor),
  Not: { since: [1], noGradient: "truth", run: (c) => valueOf(f.logicalNot(c.t(0))) },
  Where: choose,
  Cast: cast,
  CastLike: {
    since: [15, 19, 21, 23, 24],
    waits: true,
    run: (c) => castTo(c, c.value(0), elementType(c.value(1)), c.int("saturate", 1) !== 0),
  },
};
