/**
 * A short fingerprint of numbers, to tell whether two processes have the same ones. It keeps nobody out who wants in.
 *
 * @module
 */

/** FNV-1a over the low 32 bits of each value. */
export function hashOf(values: ArrayLike<number>): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((v >>> shift) & 255), 0x01000193);
  }
  return hash >>> 0;
}
