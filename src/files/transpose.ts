/**
 * A matrix's rows made columns.
 *
 * @module
 */

/**
 * Writes the transpose of `x`, `rows` rows of `columns` numbers, to `out`. Sixteen columns go together: one line of the
 * cache then serves as many.
 */
export function transposeMatrix(x: Float32Array, rows: number, columns: number, out: Float32Array): void {
  const strip = 16;
  for (let first = 0; first < columns; first += strip) {
    const end = Math.min(first + strip, columns);
    for (let row = 0; row < rows; row++) {
      for (let column = first, at = row * columns + first; column < end; column++, at++) {
        out[column * rows + row] = x[at];
      }
    }
  }
}
