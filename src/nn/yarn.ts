/**
 * What YaRN multiplies attention by (Peng et al. 2023, section 3.4).
 *
 * @module
 */

/** What cosines and sines are multiplied by, where nothing else is said. */
export function yarnAttention(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
