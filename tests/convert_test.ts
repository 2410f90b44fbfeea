/**
 * Conversions between dtypes, against one-number-at-a-time arithmetic, and quantised blocks, against their definition.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { byteSize, type DType } from "../src/core/dtype.ts";
import { DTypeError, ShapeError } from "../src/core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { Generator } from "../src/core/random.ts";
import {
  convertBytes,
  dequantizeQ4,
  dequantizeQ8,
  type FileDType,
  quantizeQ4,
  quantizeQ8,
} from "../src/files/mod.ts";

const sources = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"] as const;
const targets = ["f64", "f32", "f16", "bf16", "i64", "i32", "u8", "bool"] as const;
type Source = typeof sources[number];

const width: Record<Source, number> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
};
const isWhole = (dtype: FileDType): boolean => /^[iu]|^bool/.test(dtype);

/** Writes one number, by the definition of a cast in PyTorch. */
function put(view: DataView, dtype: Source, at: number, value: number | bigint): void {
  const n = Number(value),
    whole = typeof value === "bigint" ? value : BigInt(Number.isFinite(n) ? Math.trunc(n) : 0);
  const o = at * width[dtype];
  if (dtype === "f64") view.setFloat64(o, n, true);
  else if (dtype === "f32") view.setFloat32(o, n, true);
  else if (dtype === "f16") view.setUint16(o, toF16(Math.fround(n)), true);
  else if (dtype === "bf16") view.setUint16(o, toBf16(Math.fround(n)), true);
  else if (dtype === "i64") view.setBigInt64(o, BigInt.asIntN(64, whole), true);
  else if (dtype === "i32") view.setInt32(o, Number(BigInt.asIntN(32, whole)), true);
  else if (dtype === "i16") view.setInt16(o, Number(BigInt.asIntN(16, whole)), true);
  else if (dtype === "i8") view.setInt8(o, Number(BigInt.asIntN(8, whole)));
  else if (dtype === "u8") view.setUint8(o, Number(BigInt.asUintN(8, whole)));
  else view.setUint8(o, n !== 0 ? 1 : 0);
}

function get(view: DataView, dtype: Source, at: number): number | bigint {
  const o = at * width[dtype];
  if (dtype === "f64") return view.getFloat64(o, true);
  if (dtype === "f32") return view.getFloat32(o, true);
  if (dtype === "f16") return fromF16(view.getUint16(o, true));
  if (dtype === "bf16") return fromBf16(view.getUint16(o, true));
  if (dtype === "i64") return view.getBigInt64(o, true);
  if (dtype === "i32") return view.getInt32(o, true);
  if (dtype === "i16") return view.getInt16(o, true);
  if (dtype === "i8") return view.getInt8(o);
  return view.getUint8(o);
}

/** Numbers of all sizes and kinds that `dtype` can hold and every target has a defined answer for. */
function samples(dtype: Source, count: number): Uint8Array<ArrayBuffer> {
  const random = new Generator(11),
    out = new Uint8Array(count * width[dtype]),
    view = new DataView(out.buffer);
  const special = [
    0,
    1,
    -1,
    0.5,
    1.5,
    -2.5,
    255,
    256,
    -129,
    65504,
    65519.99,
    65520,
    2 ** -14,
    2 ** -24,
    2 ** -25,
    3e-8,
    2 ** 31 - 1,
    -(2 ** 31),
    123456.789,
  ];
  for (let i = 0; i < count; i++) {
    const value = i < special.length ? special[i] : random.normal() * 2 ** random.integer(-30, 31);
    put(view, dtype, i, dtype === "bool" ? random.integer(0, 2) : isWhole(dtype) ? Math.trunc(value) : value);
  }
  if (dtype === "i64") {
    view.setBigInt64(64, 2n ** 40n + 7n, true);
    view.setBigInt64(72, -(2n ** 40n) - 7n, true);
    view.setBigInt64(80, -(2n ** 32n), true);
  }
  return out;
}

describe("convertBytes", () => {
  for (const from of sources) {
    it(`${from} to every dtype, at every alignment`, () => {
      const count = 4096 + 777, bytes = samples(from, count), view = new DataView(bytes.buffer);
      for (const to of targets) {
        const expected = new Uint8Array(byteSize(to, count)), wanted = new DataView(expected.buffer);
        for (let i = 0; i < count; i++) put(wanted, to, i, get(view, from, i));
        for (const [inShift, outShift] of [[0, 0], [1, 0], [0, 1], [3, 5]]) {
          const x = new Uint8Array(bytes.byteLength + inShift).subarray(inShift);
          x.set(bytes);
          const y = new Uint8Array(expected.byteLength + outShift).subarray(outShift);
          convertBytes(from, to, x, y);
          const wrong = y.findIndex((byte, i) => byte !== expected[i]);
          const at = Math.floor(wrong / byteSize(to, 1));
          assertStrictEquals(
            wrong,
            -1,
            `${from} to ${to}, shifts ${inShift} ${outShift}: ${get(view, from, Math.max(at, 0))} at ${at}`,
          );
        }
      }
    });
  }

  it("every f16 and bf16 pattern survives the way to f32 and back", () => {
    const all = new Uint16Array(65536).map((_, i) => i), bytes = new Uint8Array(all.buffer);
    const wide = new Uint8Array(65536 * 4),
      back = new Uint8Array(65536 * 2),
      values = new Float32Array(wide.buffer);
    for (const [dtype, one] of [["f16", fromF16], ["bf16", fromBf16]] as const) {
      convertBytes(dtype, "f32", bytes, wide);
      values.forEach((value, i) => assert(Object.is(value, one(i)), `${dtype} ${i}`));
      convertBytes("f32", dtype, wide, back);
      new Uint16Array(back.buffer).forEach((h, i) => {
        if (values[i] === values[i]) assertStrictEquals(h, i);
        else assert(Number.isNaN(one(h)), `NaN ${i} became ${h}`);
      });
    }
  });

  it("rounds infinities, NaN and ties as the one-number conversions do", () => {
    const x = Float32Array.of(
      Infinity,
      -Infinity,
      NaN,
      1e10,
      -1e10,
      65519.996,
      65520,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      2 ** -25,
      2 ** -25 * 1.001,
      3.3895e38,
      -0,
    );
    for (const [dtype, one] of [["f16", toF16], ["bf16", toBf16]] as const) {
      const out = new Uint8Array(x.length * 2);
      convertBytes("f32", dtype, new Uint8Array(x.buffer), out);
      assertEquals([...new Uint16Array(out.buffer)], [...x].map(one));
    }
  });

  it("works on shared memory and copies equal dtypes", () => {
    const x = new Float32Array(new SharedArrayBuffer(16)), y = new Uint8Array(new SharedArrayBuffer(8));
    x.set([1, 2, -3, 0.5]);
    convertBytes("f32", "bf16", new Uint8Array(x.buffer), y);
    assertEquals([...new Uint16Array(y.buffer)].map(fromBf16), [1, 2, -3, 0.5]);
    const copy = new Uint8Array(8);
    convertBytes("bf16", "bf16", y, copy);
    assertEquals([...copy], [...y]);
  });

  it("refuses dtypes without arithmetic and lengths that do not match", () => {
    for (const from of ["u16", "u32", "u64", "f8_e4m3", "c64", "f4"] as const) {
      assertThrows(() => convertBytes(from, "f32", new Uint8Array(8), new Uint8Array(8)), DTypeError);
    }
    assertThrows(() => convertBytes("f32", "f16", new Uint8Array(8), new Uint8Array(5)), ShapeError);
    assertThrows(() => convertBytes("f32", "f16", new Uint8Array(7), new Uint8Array(4)), ShapeError);
    assertThrows(() => convertBytes("f32", "q8", new Uint8Array(16), new Uint8Array(34)), DTypeError);
    convertBytes("f32", "i64", new Uint8Array(0), new Uint8Array(0));
  });

  it("reaches q8 and q4 from every floating-point dtype, and back", () => {
    const random = new Generator(5), x = new Float32Array(4096 + 64).map(() => random.normal());
    for (const q of ["q8", "q4"] as const) {
      const blocks = new Uint8Array(byteSize(q, x.length));
      convertBytes("f32", q, new Uint8Array(x.buffer), blocks);
      const values = new Float32Array(x.length);
      (q === "q8" ? dequantizeQ8 : dequantizeQ4)(blocks, values);
      for (const to of ["f64", "f32", "f16", "bf16", "i32"] as DType[]) {
        const direct = new Uint8Array(byteSize(to, x.length)), twice = new Uint8Array(byteSize(to, x.length));
        convertBytes(q, to, blocks, direct);
        convertBytes("f32", to, new Uint8Array(values.buffer), twice);
        assertEquals(direct, twice, `${q} to ${to}`);
      }
      const half = new Uint8Array(x.length * 2),
        again = new Uint8Array(x.length * 4),
        a = blocks.slice(),
        b = blocks.slice();
      convertBytes("f32", "bf16", new Uint8Array(x.buffer), half);
      convertBytes("bf16", "f32", half, again);
      convertBytes("bf16", q, half, a);
      convertBytes("f32", q, again, b);
      assertEquals(a, b, `bf16 to ${q}`);
    }
  });
});

describe("quantised blocks", () => {
  it("q8: an f16 scale of max / 127, then bytes rounded half away from zero", () => {
    const x = new Float32Array(32);
    x.set([127, -127, 1, -1, 0.5, -0.5, 1.5, -1.5, 0.49, -0.49, 63.7]);
    const q = new Uint8Array(34);
    quantizeQ8(x, q);
    assertStrictEquals(q[0] | q[1] << 8, toF16(1));
    assertEquals([...new Int8Array(q.buffer, 2, 11)], [127, -127, 1, -1, 1, -1, 2, -2, 0, 0, 64]);
  });

  it("q4: an f16 scale of extreme / -8, nibbles j and j + 16 in one byte", () => {
    const x = new Float32Array(32);
    x.set([-8, 7, 8, 0, 3.4, 3.6, -7.6], 0);
    x.set([1, -1, 2, -2], 16);
    const q = new Uint8Array(18);
    quantizeQ4(x, q);
    assertStrictEquals(q[0] | q[1] << 8, toF16(1));
    const low = [...q.subarray(2)].map((byte) => (byte & 15) - 8),
      high = [...q.subarray(2)].map((byte) => (byte >> 4) - 8);
    assertEquals(low.slice(0, 8), [-8, 7, 7, 0, 3, 4, -8, 0]);
    assertEquals(high.slice(0, 5), [1, -1, 2, -2, 0]);
    // With a positive extreme the scale is negative, and the extreme is still hit exactly.
    quantizeQ4(x.map((value) => -value), q);
    assertStrictEquals(fromF16(q[0] | q[1] << 8), -1);
    const back = new Float32Array(32);
    dequantizeQ4(q, back);
    assertStrictEquals(back[0], 8);
  });

  it("errors stay within the step, over ten magnitudes", () => {
    const random = new Generator(9), n = 32 * 200, x = new Float32Array(n);
    for (let i = 0; i < n; i++) x[i] = random.normal() * 2 ** (Math.floor(i / 32) % 20 - 10);
    const q8 = new Uint8Array(n / 32 * 34),
      q4 = new Uint8Array(n / 32 * 18),
      y8 = new Float32Array(n),
      y4 = new Float32Array(n);
    quantizeQ8(x, q8);
    quantizeQ4(x, q4);
    dequantizeQ8(q8, y8);
    dequantizeQ4(q4, y4);
    for (let block = 0; block < n; block += 32) {
      const largest = Math.max(...x.subarray(block, block + 32).map(Math.abs));
      for (let i = block; i < block + 32; i++) {
        // Half a step, and what rounding the scale to f16 moves the value by.
        assert(Math.abs(y8[i] - x[i]) <= largest * (0.5 / 127 + 2 ** -10), `q8 ${x[i]} became ${y8[i]}`);
        assert(Math.abs(y4[i] - x[i]) <= largest * (1 / 8 + 2 ** -10), `q4 ${x[i]} became ${y4[i]}`);
      }
    }
    // Blocks that were decoded encode to themselves.
    const again8 = q8.slice().fill(0), again4 = q4.slice().fill(0);
    quantizeQ8(y8, again8);
    quantizeQ4(y4, again4);
    assertEquals(again8, q8);
    assertEquals(again4, q4);
  });

  it("zeros and numbers too small for an f16 scale become zero; NaN and overflow are refused", () => {
    for (
      const [quantize, dequantize, size, limit] of [[quantizeQ8, dequantizeQ8, 34, 65504 * 127], [
        quantizeQ4,
        dequantizeQ4,
        18,
        65504 * 8,
      ]] as const
    ) {
      const q = new Uint8Array(size), y = new Float32Array(32);
      for (const value of [0, 1e-45, 1e-40, -1e-12]) {
        quantize(new Float32Array(32).fill(value), q);
        dequantize(q, y);
        assert(y.every((v) => v === 0), `${value} became ${y[0]}`);
      }
      quantize(new Float32Array(32).fill(limit), q);
      dequantize(q, y);
      assertStrictEquals(y[0], limit);
      for (const bad of [NaN, Infinity, -Infinity, limit * 1.001]) {
        for (const at of [0, 31]) {
          const x = new Float32Array(64);
          x[32 + at] = bad;
          assertThrows(
            () => quantize(x, new Uint8Array(2 * size)),
            Error,
            "values 32 to 63 hold NaN or a magnitude above",
          );
        }
      }
      assertThrows(() => quantize(new Float32Array(31), q), ShapeError);
      assertThrows(() => dequantize(q, new Float32Array(64)), ShapeError);
    }
  });
});
