/**
 * Loads and stores between what tensors store (f32, f16, bf16, i32, i64, u8, bool) and the lanes in which programs
 * compute (four of f32 or i32, two of i64); `convert.ts` says how elements are converted.
 *
 * Neighbours are moved as whole vectors; elements at any other step, and the one to three that are left at the end of
 * a row, lane by lane: nothing outside a view is ever touched, and a lane holds the same bits either way.
 *
 * @module
 */
import { byteSize, type DType } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { Local } from "../assembler/mod.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";
import { emitFromStored, emitScalarLoad, emitScalarStore, emitToStored } from "./convert.ts";

/** The bytes from one element to the next: a number, or a local of i32. */
export type Step = Local | number;

type ComputeType = Program["type"];

const lanesOf = (type: ComputeType): number => type === "i64" ? 2 : 4;

/** Whether elements pass through scalars: where one of the types is i64 and the other is not. */
function isScalar(dtype: DType, type: ComputeType): boolean {
  return (dtype === "i64") !== (type === "i64");
}

const loadLane = {
  1: "v128.load8_lane",
  2: "v128.load16_lane",
  4: "v128.load32_lane",
  8: "v128.load64_lane",
} as const;
const storeLane = {
  1: "v128.store8_lane",
  2: "v128.store16_lane",
  4: "v128.store32_lane",
  8: "v128.store64_lane",
} as const;

type Size = keyof typeof loadLane;

const sizeOf = (dtype: DType): Size => byteSize(dtype, 1) as Size;

/** Runs `emit` for each lane, with the address of its element; lanes from `count` on are skipped at run time. */
function forLanes(
  w: VectorWriter,
  lanes: number,
  address: Local,
  offset: number,
  step: Step,
  count: Local | null,
  emit: (lane: number, address: Local, offset: number) => void,
): void {
  const { f } = w;
  let from = address;
  if (typeof step !== "number") {
    from = f.local("i32");
    f.set(from, address);
  }
  const one = (lane: number): void => {
    if (typeof step !== "number" && lane > 0) f.increment(from, step);
    emit(lane, from, typeof step === "number" ? offset + lane * step : offset);
  };
  const from1 = (lane: number): void => {
    if (lane === lanes) return;
    if (count === null) {
      one(lane);
      return from1(lane + 1);
    }
    f.push(count.op("gt_u", lane));
    f.if(() => {
      one(lane);
      from1(lane + 1);
    });
  };
  one(0);
  from1(1);
}

/** `width` vectors of neighbours from `address + offset` on. */
export function emitLoad(
  w: VectorWriter,
  dtype: DType,
  type: ComputeType,
  address: Local,
  offset: number = 0,
): Vectors {
  const size = sizeOf(dtype), bytes = size * lanesOf(type);
  if (isScalar(dtype, type)) {
    return w.each((i) => {
      w.f.get(emitLoadLanes(w.withWidth(1), dtype, type, address, offset + i * bytes, size, null)[0]);
    });
  }
  const raw = w.each((i) => {
    w.f.get(address);
    if (size >= 4) w.f.load("v128.load", offset + i * bytes, size);
    else if (size === 2) w.f.load("v128.load16x4_u", offset + i * bytes, size);
    else {
      w.f.load("v128.load32_zero", offset + i * bytes, size);
      w.f.op("i16x8.extend_low_i8x16_u");
      w.f.op("i32x4.extend_low_i16x8_u");
    }
  });
  return type === "i64" ? raw : emitFromStored(w, dtype, type as "f32" | "i32", raw);
}

/** One element in all lanes of all vectors. */
export function emitLoadSplat(
  w: VectorWriter,
  dtype: DType,
  type: ComputeType,
  address: Local,
  offset: number = 0,
): Vectors {
  const one = w.withWidth(1);
  const raw = one.each(() => emitSplat(one, dtype, type, address, offset));
  if (type === "i64" || dtype === "i64") return w.repeat(raw[0]);
  return w.repeat(emitFromStored(one, dtype, type as "f32" | "i32", raw)[0]);
}

/** Pushes a stored element in all lanes: converted already where it passes through a scalar. */
function emitSplat(w: VectorWriter, dtype: DType, type: ComputeType, address: Local, offset: number): void {
  const { f } = w, size = sizeOf(dtype);
  if (isScalar(dtype, type)) {
    emitScalarLoad(w, dtype, type, address, offset);
    return f.op(type === "i64" ? "i64x2.splat" : type === "f32" ? "f32x4.splat" : "i32x4.splat");
  }
  f.get(address);
  if (size === 8) f.load("v128.load64_splat", offset);
  else if (size === 4) f.load("v128.load32_splat", offset);
  else {
    f.load(size === 2 ? "i32.load16_u" : "i32.load8_u", offset);
    f.op("i32x4.splat");
  }
}

/** One vector of elements `step` bytes apart. Lanes from `count` on (when not null, 1 or more) repeat the first element. */
export function emitLoadLanes(
  w: VectorWriter,
  dtype: DType,
  type: ComputeType,
  address: Local,
  offset: number,
  step: Step,
  count: Local | null,
): Vectors {
  const { f } = w, one = w.withWidth(1), size = sizeOf(dtype), scalar = isScalar(dtype, type);
  const raw = one.fresh();
  forLanes(w, lanesOf(type), address, offset, step, count, (lane, at, where) => {
    if (lane === 0) emitSplat(one, dtype, type, at, where);
    else if (scalar) {
      f.get(raw[0]);
      emitScalarLoad(one, dtype, type, at, where);
      f.lane(
        type === "i64" ? "i64x2.replace_lane" : type === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane",
        lane,
      );
    } else {
      // The splat of the first element left zeros above elements of 1 and 2 bytes.
      f.push(at, raw[0]);
      f.laneMemory(loadLane[size], type === "i64" ? lane : lane * 4 / size, where);
    }
    f.set(raw[0]);
  });
  return type === "i64" || scalar ? raw : emitFromStored(one, dtype, type as "f32" | "i32", raw);
}

/** Stores `width` vectors to neighbours from `address + offset` on. */
export function emitStore(
  w: VectorWriter,
  dtype: DType,
  type: ComputeType,
  x: Vectors,
  address: Local,
  offset: number = 0,
): void {
  const { f } = w, size = sizeOf(dtype), bytes = size * lanesOf(type);
  if (isScalar(dtype, type)) {
    x.forEach((vector, i) => emitStoreLanes(w, dtype, type, vector, address, offset + i * bytes, size, null));
    return;
  }
  const stored = type === "i64" ? x : emitToStored(w, dtype, type as "f32" | "i32", x);
  stored.forEach((vector, i) => {
    f.push(address, vector);
    if (size >= 4) return f.store("v128.store", offset + i * bytes, size);
    f.op("i16x8.narrow_i32x4_u", vector);
    if (size === 2) return f.laneMemory("v128.store64_lane", 0, offset + i * bytes, size);
    const words = f.local("v128");
    f.tee(words);
    f.op("i8x16.narrow_i16x8_u", words);
    f.laneMemory("v128.store32_lane", 0, offset + i * bytes, size);
  });
}

/** Stores one vector to elements `step` bytes apart: all lanes, or the first `count` (1 or more). */
export function emitStoreLanes(
  w: VectorWriter,
  dtype: DType,
  type: ComputeType,
  x: Local,
  address: Local,
  offset: number,
  step: Step,
  count: Local | null,
): void {
  const { f } = w, one = w.withWidth(1), size = sizeOf(dtype), scalar = isScalar(dtype, type);
  const stored = type === "i64" || scalar ? x : emitToStored(one, dtype, type as "f32" | "i32", [x])[0];
  forLanes(w, lanesOf(type), address, offset, step, count, (lane, at, where) => {
    if (scalar) return emitScalarStore(one, dtype, type, stored, lane, at, where);
    f.push(at, stored);
    f.laneMemory(storeLane[size], type === "i64" ? lane : lane * 4 / size, where);
  });
}
