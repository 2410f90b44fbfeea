/**
 * How much a format may ask for.
 *
 * @module
 */

/**
 * The limits of a `responseFormat`; what goes beyond one is an OptionError.
 *
 * @category Generation
 */
export const formatLimits = {
  /** Characters of the format as JSON. */
  characters: 131_072,
  /** How deep lists and objects may stand in it. */
  depth: 100,
  /** Characters of a pattern. */
  patternCharacters: 16_384,
  /** How deep groups may stand in a pattern. */
  patternDepth: 200,
  /** Ranges of a class of characters. */
  ranges: 1024,
  /** The largest number of repetitions with an end; they are counted, not written out. */
  repetitions: 1e9,
  /** Parts of the grammar that it becomes: nodes, what follows them, states of bytes, and what leads from one to another. */
  parts: 200_000,
  /** Ways in which a text may go on at one place. */
  ways: 2048,
  /** How often a text may go through the whole vocabulary for each of its tokens and `ahead` more, on average. */
  walks: 16,
  /** For so many tokens a text may work before it has any: its first places are new, and most that follow are known. */
  ahead: 8,
  /** Bytes of memory at which what was found out about one format is forgotten. */
  bytes: 8 * 2 ** 20,
  /** Formats that are kept for who asks again, and bytes of memory that they may take together. */
  kept: 32,
  keptBytes: 64 * 2 ** 20,
} as const;
