/**
 * Lines of one height over a mesh: where a level cuts a triangle there is a piece of line, and it lies on the triangle.
 *
 * @module
 */

/**
 * The lines at `levels` − 1 heights between 0 and 1. `mesh` has six numbers a corner, of which the first three are its place;
 * `side` corners a row, each cell cut into two triangles from its lower right to its upper left corner. Gives x, y, z of points, two
 * a piece.
 */
export function contourLines(mesh: Float32Array, side: number, levels: number): number[] {
  const lines: number[] = [];
  const cut = (a: number, b: number, level: number): void => {
    const [from, to] = [mesh[6 * a + 2], mesh[6 * b + 2]], t = (level - from) / (to - from);
    for (let c = 0; c < 2; c++) lines.push(mesh[6 * a + c] + t * (mesh[6 * b + c] - mesh[6 * a + c]));
    lines.push(level);
  };
  const triangle = (...corners: readonly [number, number, number]): void => {
    const heights = corners.map((k) => mesh[6 * k + 2]),
      least = Math.min(...heights),
      most = Math.max(...heights);
    if (!(most > least)) return; // flat, or not finite
    for (let k = Math.max(1, Math.ceil(least * levels)); k < levels && k / levels <= most; k++) {
      const level = k / levels, before = lines.length;
      for (let e = 0; e < 3; e++) {
        const a = corners[e], b = corners[(e + 1) % 3], isAbove = heights[e] >= level;
        if (isAbove !== heights[(e + 1) % 3] >= level) cut(a, b, level);
      }
      // A level that touches a corner alone cuts nothing.
      if (lines.length - before !== 6) lines.length = before;
    }
  };
  for (let j = 0; j < side - 1; j++) {
    for (let i = 0; i < side - 1; i++) {
      const k = j * side + i;
      triangle(k, k + 1, k + side);
      triangle(k + 1, k + side + 1, k + side);
    }
  }
  return lines;
}
