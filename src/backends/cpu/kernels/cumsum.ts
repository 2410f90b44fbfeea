/**
 * Running sums: sequential along one axis, so they are plain TypeScript over the heap.
 *
 * Floats are summed in double precision and rounded as they are stored; integers wrap.
 *
 * @module
 */
import { type DType, isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../../../core/half.ts";
import { contiguousStrides, sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";

/** Running sums of x along `axis`; see `Backend.cumsum`. */
export function cumsum(engine: Engine, x: View, axis: number, out: View): void {
  const length = x.shape[axis] ?? 1;
  if (sizeOf(x.shape) === 0) return;
  engine.refuseCapture();
  const lines = x.shape.filter((_, d) => d !== axis);
  const from = x.strides.filter((_, d) => d !== axis);
  const outStrides = contiguousStrides(out.shape);
  const to = outStrides.filter((_, d) => d !== axis);
  const step = x.strides[axis] ?? 0, outStep = outStrides[axis] ?? 0;
  const line = lineOf(engine, x.dtype, out.dtype);
  const position = lines.map(() => 0);
  for (let n = sizeOf(lines); n > 0; n--) {
    let a = x.offset, b = out.offset;
    for (let d = 0; d < position.length; d++) a += position[d] * from[d], b += position[d] * to[d];
    line(addressOf(x, a), step, addressOf(out, b), outStep, length);
    for (let d = position.length - 1; d >= 0 && ++position[d] === lines[d]; d--) position[d] = 0;
  }
}

type Line = (from: number, step: number, to: number, outStep: number, length: number) => void;

function lineOf(engine: Engine, input: DType, output: DType): Line {
  const { f32, u16, i32, u8, i64 } = engine;
  if (input === "f32" && output === "f32") return floats(f32, 4, same, f32, 4, same);
  if (output === "i64") {
    const read: (at: number) => bigint = input === "i64"
      ? (at) => i64[at]
      : input === "i32"
      ? (at) => BigInt(i32[at])
      : (at) => BigInt(u8[at]);
    const width = input === "i64" ? 8 : input === "i32" ? 4 : 1;
    return (from, step, to, outStep, length) => {
      let sum = 0n;
      for (let i = 0, a = from / width, b = to / 8; i < length; i++, a += step, b += outStep) {
        sum += read(a);
        i64[b] = sum;
      }
    };
  }
  const source = {
    f32: [f32, 4, same],
    f16: [u16, 2, fromF16],
    bf16: [u16, 2, fromBf16],
    i32: [i32, 4, same],
  } as const;
  const target = {
    f32: [f32, 4, same],
    f16: [u16, 2, toF16],
    bf16: [u16, 2, toBf16],
    i32: [i32, 4, same],
  } as const;
  const [a, aw, read] = input in source ? source[input as keyof typeof source] : [u8, 1, same] as const;
  const [b, bw, write] = output in target ? target[output as keyof typeof target] : [u8, 1, same] as const;
  if (input === "i64" || isQuantized(input)) {
    throw new DTypeError(`cumsum: sums of ${input} are not stored as ${output}`);
  }
  return floats(a, aw, read, b, bw, write);
}

const same = (x: number): number => x;

type Numbers = Float32Array | Uint16Array | Int32Array | Uint8Array;

function floats(
  a: Numbers,
  aw: number,
  read: (x: number) => number,
  b: Numbers,
  bw: number,
  write: (x: number) => number,
): Line {
  return (from, step, to, outStep, length) => {
    let sum = 0;
    for (let i = 0, p = from / aw, q = to / bw; i < length; i++, p += step, q += outStep) {
      sum += read(a[p]);
      b[q] = write(sum);
    }
  };
}
