/**
 * Who takes part in the race of small GPTs, and how fast.
 *
 * @module
 */

/** Who there is, and the learning rate of each: found by trying rates a factor of about 3 apart on the rhyme. */
export const realRates = {
  sgd: 1,
  momentum: 0.3,
  rmsprop: 0.003,
  adam: 0.01,
  adamw: 0.01,
  lion: 0.003,
  muon: 0.01,
} as const;

/** Its name. */
export type RealName = keyof typeof realRates;

/** A learning rate for everyone who takes part. */
export type RealRates = Readonly<Record<RealName, number>>;
