/**
 * What the network is told of a point: its place, or functions of it that make some borders straight.
 *
 * @module
 */

/** A function of a place. */
interface Feature {
  /** How it is written. */
  readonly label: string;
  /** From a place on the plane, from -1 to 1. */
  readonly value: (x: number, y: number) => number;
}

/** The features by name. */
export const features = {
  x: { label: "x", value: (x) => x },
  y: { label: "y", value: (_x, y) => y },
  xx: { label: "x²", value: (x) => x * x },
  yy: { label: "y²", value: (_x, y) => y * y },
  xy: { label: "x·y", value: (x, y) => x * y },
  sx: { label: "sin 6x", value: (x) => Math.sin(6 * x) },
  sy: { label: "sin 6y", value: (_x, y) => Math.sin(6 * y) },
} as const satisfies Record<string, Feature>;

/** The name of a feature. */
export type FeatureName = keyof typeof features;

/** Their names, in the order in which they enter the network. */
export const featureNames = Object.keys(features) as readonly FeatureName[];

/** The features of places (x and y in turn): one row a place, [places, names]. */
export function featureRows(places: Float32Array, names: readonly FeatureName[]): Float32Array {
  const count = places.length / 2, rows = new Float32Array(count * names.length);
  for (let i = 0; i < count; i++) {
    for (const [k, name] of names.entries()) {
      rows[i * names.length + k] = features[name].value(places[2 * i], places[2 * i + 1]);
    }
  }
  return rows;
}
