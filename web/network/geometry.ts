/**
 * Where the diagram puts neurons and weights, and which of them lies under the pointer.
 *
 * @module
 */

/** A neuron: layer 0 is what enters. */
export interface Spot {
  readonly layer: number;
  readonly index: number;
}

/** A number that can be changed; `from` -1 is the bias. `layer` counts from 0, the first that has weights. */
export interface WeightPlace {
  readonly layer: number;
  readonly to: number;
  readonly from: number;
}

/** How many neurons each layer has, and the room there is for them. */
export interface Room {
  readonly counts: readonly number[];
  readonly width: number;
  readonly height: number;
}

const margin = 22;

/** The side of a neuron's square. */
export function sizeIn({ counts, height, width }: Room): number {
  return Math.max(
    12,
    Math.min(40, (height - 2 * margin) / Math.max(...counts) - 14, width / counts.length / 2),
  );
}

/** The middle of a neuron's square. */
export function placeOf({ counts, width, height }: Room, layer: number, index: number): [number, number] {
  const count = counts[layer], gap = Math.min(60, (height - 2 * margin) / count);
  const left = 74, right = 34;
  return [
    left + (width - left - right) * layer / (counts.length - 1),
    height / 2 + (index - (count - 1) / 2) * gap,
  ];
}

/** The two ends and the middle of the line of a weight. */
export function ends(room: Room, { layer, to, from }: WeightPlace): [number, number, number, number] {
  const [x0, y0] = placeOf(room, layer, from),
    [x1, y1] = placeOf(room, layer + 1, to),
    half = sizeIn(room) / 2;
  return [x0 + half, y0, x1 - half, y1];
}

/** A point of the line, `t` of the way. */
export function along(
  [x0, y0, x1, y1]: readonly [number, number, number, number],
  t: number,
): [number, number] {
  // The Bézier curve whose two handles lie in the middle, at the height of either end.
  const s = 1 - t, middle = (x0 + x1) / 2, a = s * s * s, b = 3 * s * s * t, c = 3 * s * t * t, d = t * t * t;
  return [a * x0 + (b + c) * middle + d * x1, (a + b) * y0 + (c + d) * y1];
}

/** The neuron at a place; null beside them. */
export function neuronAt(room: Room, x: number, y: number): Spot | null {
  const half = sizeIn(room) / 2 + 3;
  for (const [layer, count] of room.counts.entries()) {
    for (let index = 0; index < count; index++) {
      const [nx, ny] = placeOf(room, layer, index);
      if (Math.abs(x - nx) <= half && Math.abs(y - ny) <= half) return { layer, index };
    }
  }
  return null;
}

/** The weight whose line is nearest, within a few pixels; null beside them. */
export function weightAt(room: Room, x: number, y: number): WeightPlace | null {
  let best: WeightPlace | null = null, nearest = 36;
  for (let layer = 0; layer < room.counts.length - 1; layer++) {
    for (let to = 0; to < room.counts[layer + 1]; to++) {
      for (let from = 0; from < room.counts[layer]; from++) {
        const line = ends(room, { layer, to, from });
        if (x < line[0] || x > line[2]) continue;
        for (let k = 0; k <= 24; k++) {
          const [lx, ly] = along(line, k / 24), distance = (lx - x) ** 2 + (ly - y) ** 2;
          if (distance < nearest) {
            nearest = distance;
            best = { layer, to, from };
          }
        }
      }
    }
  }
  return best;
}
