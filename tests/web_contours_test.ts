/** The contour lines of the race's 3-D view lie on its mesh, at their heights, and close or end at its border. */
import { assert, assertEquals } from "@std/assert";
import { contourLines } from "../web/race/contours.ts";
import { numbersFrom } from "./_random_program.ts";
import { describe, it } from "./_suite.ts";

const side = 13, levels = 8;

/** A mesh with heights from 0 to 1. */
function meshOf(height: (u: number, v: number) => number): Float32Array {
  const mesh = new Float32Array(6 * side * side);
  for (let k = 0; k < side * side; k++) {
    const u = (k % side) / (side - 1), v = Math.floor(k / side) / (side - 1);
    mesh.set([2 * u - 1, 2 * v - 1, height(u, v)], 6 * k);
  }
  return mesh;
}

describe("contour lines", () => {
  it("of random hills lie at their levels; each end is another's, or at the border", () => {
    const random = numbersFrom(7);
    for (let round = 0; round < 20; round++) {
      const [a, b, c] = [6 * random(), 6 * random(), 6 * random()];
      const lines = contourLines(
        meshOf((u, v) => 0.5 + 0.49 * Math.sin(a + 5 * u) * Math.cos(b + (3 + c) * v)),
        side,
        levels,
      );
      assert(lines.length > 0 && lines.length % 6 === 0);
      const ends = new Map<string, number>();
      for (let k = 0; k < lines.length; k += 3) {
        const [x, y, z] = lines.slice(k, k + 3), name = [x, y, z].map((n) => n.toFixed(6)).join();
        assert(Number.isInteger(z * levels) && Math.abs(x) <= 1 && Math.abs(y) <= 1, name);
        ends.set(name, (ends.get(name) ?? 0) + 1);
      }
      for (const [name, count] of ends) {
        const [x, y] = name.split(",").map(Number), isBorder = Math.max(Math.abs(x), Math.abs(y)) > 1 - 1e-6;
        assert(isBorder || count % 2 === 0, `${name} ends alone`);
      }
    }
  });

  it("of a plane are straight; of what is flat or not finite there are none", () => {
    const lines = contourLines(meshOf((u) => u), side, levels);
    for (let k = 0; k < lines.length; k += 3) assert(Math.abs((lines[k] + 1) / 2 - lines[k + 2]) < 1e-6);
    assertEquals(new Set(lines.filter((_, k) => k % 3 === 2)).size, levels - 1);
    assertEquals(contourLines(meshOf(() => 0.5), side, levels), []);
    assertEquals(contourLines(meshOf(() => NaN), side, levels), []);
  });
});
