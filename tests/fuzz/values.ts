/** Random shapes, dtypes and values: small and ordinary ones mostly, and the ends of everything now and then. */
import type { DType } from "../../src/core/dtype.ts";
import type { Dice } from "./dice.ts";

/** One of `list`. */
export function oneOf<T>(random: Dice, list: readonly T[]): T {
  return list[random.integer(0, list.length)];
}

/** Whether something happens that has this probability. */
export function chance(random: Dice, probability: number): boolean {
  return random.uniform() < probability;
}

/** Sizes of up to `rank` axes, with at most some thousand elements; now and then one is 0. */
export function randomShape(random: Dice, rank: number = 4): number[] {
  const shape: number[] = [];
  let room = chance(random, 0.02) ? 70_000 : chance(random, 0.1) ? 4000 : 400;
  for (let d = random.integer(0, rank + 1); d > 0; d--) {
    const most = Math.max(1, Math.min(room, chance(random, 0.15) ? room : 9));
    const n = chance(random, 0.05) ? 0 : random.integer(1, most + 1);
    shape.push(n);
    room = Math.floor(room / Math.max(1, n));
  }
  return shape;
}

/** The dtypes that programs compute in. */
export const fuzzDTypes: readonly DType[] = ["f32", "f16", "bf16", "i32", "i64", "u8", "bool"];

/** f32 half of the time, else any. */
export function randomDType(random: Dice): DType {
  return chance(random, 0.5) ? "f32" : oneOf(random, fuzzDTypes);
}

const edges: Readonly<Partial<Record<DType, readonly number[]>>> = {
  f32: [
    NaN,
    Infinity,
    -Infinity,
    0,
    -0,
    2 ** -149,
    -(2 ** -126),
    3.4028234663852886e38,
    -3.4028234663852886e38,
    1e9,
    1e-30,
  ],
  f16: [NaN, Infinity, -Infinity, 0, -0, 2 ** -24, 65504, -65504],
  bf16: [NaN, Infinity, -Infinity, 0, -0, 2 ** -133, 3.3895313892515355e38],
  i32: [2147483647, -2147483648, 0, -1, 65536],
  i64: [2 ** 53, -(2 ** 53), 0, -1, 2 ** 32, -(2 ** 40)],
  u8: [255, 0, 128],
};

/** How wild the numbers of a leaf are: tame ones only, many that are equal, or the ends of the format too. */
export type Mood = "tame" | "equal" | "wild";

/** A number such as `dtype` may hold. */
export function randomValue(random: Dice, dtype: DType, mood: Mood): number {
  if (mood === "wild" && chance(random, 0.3)) return oneOf(random, edges[dtype] ?? [0, 1]);
  if (mood === "equal") return dtype === "bool" ? random.integer(0, 2) : random.integer(0, 3);
  switch (dtype) {
    case "bool":
      return random.integer(0, 2);
    case "u8":
      return random.integer(0, 20);
    case "i32":
    case "i64":
      return random.integer(-20, 21);
    default:
      return Math.fround(random.normal() * oneOf(random, [0.1, 1, 1, 3]));
  }
}
