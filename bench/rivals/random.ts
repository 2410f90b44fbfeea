/**
 * Numbers to compute with.
 *
 * @module
 */

/** `count` numbers in -0.5 … 0.5. */
export function random(count: number): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = Math.random() - 0.5;
  return numbers;
}

/** The ids that every prompt of the benches consists of. */
export function promptIds(count: number, vocabSize: number = 50257): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabSize);
}
