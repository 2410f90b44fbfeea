/**
 * Random numbers from the core's stream. See `Backend.random`.
 *
 * @module
 */
import { philox, toNormal, toUniform } from "../../../core/random.ts";
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { elementsOf } from "../memory.ts";

/** Fills `out` (contiguous) from word `offset` of the stream `seed` on. */
export function random(kind: "uniform" | "normal", seed: number, offset: number, out: View): void {
  const x = elementsOf(out), words = new Uint32Array(4), make = kind === "uniform" ? toUniform : toNormal;
  const count = sizeOf(out.shape);
  for (let i = 0; i < count; i++) {
    const word = offset + i;
    if (i === 0 || word % 4 === 0) philox(seed, Math.floor(word / 4), words);
    x[out.offset + i] = make(words[word % 4]);
  }
}
