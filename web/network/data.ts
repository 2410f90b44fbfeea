/**
 * Points of two kinds on the plane from -1 to 1, drawn from a seed; some are held out, to see what was learnt.
 *
 * @module
 */
import { Generator } from "../../src/core/random.ts";

/** The kinds of data sets; "none" begins empty, for points of one's own. */
export type DataName = "spiral" | "moons" | "circles" | "xor" | "none";

/** Their names. */
export const dataNames: readonly DataName[] = ["spiral", "moons", "circles", "xor", "none"];

/** Points and their kinds. */
export interface Points {
  /** x and y in turn. */
  readonly places: Float32Array;
  /** 0 or 1. */
  readonly kinds: Float32Array;
  /** 1 where the network never learns from the point, 0 where it does. */
  readonly held: Uint8Array;
}

/** No points. */
export function noPoints(): Points {
  return { places: new Float32Array(0), kinds: new Float32Array(0), held: new Uint8Array(0) };
}

/** `count` points of a data set; `noise` moves each by so much, and `held` is the share of each kind that is held out. */
export function makePoints(name: DataName, count: number, noise: number, seed: number, held = 0): Points {
  if (name === "none") return noPoints();
  const random = new Generator(seed), places = new Float32Array(2 * count), kinds = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const kind = i % 2, t = (i >> 1) / Math.max(1, (count >> 1) - 1);
    let x = 0, y = 0;
    if (name === "spiral") {
      const radius = 0.08 + 0.84 * t, angle = 1.75 * t * 2 * Math.PI + kind * Math.PI;
      x = radius * Math.sin(angle);
      y = radius * Math.cos(angle);
    } else if (name === "moons") {
      const angle = t * Math.PI;
      x = (kind ? 1 - Math.cos(angle) : Math.cos(angle)) * 0.55 - 0.28;
      y = (kind ? 0.5 - Math.sin(angle) : Math.sin(angle)) * 0.75 - 0.18;
    } else if (name === "circles") {
      const angle = random.uniform() * 2 * Math.PI, radius = kind ? 0.35 : 0.8;
      x = radius * Math.cos(angle);
      y = radius * Math.sin(angle);
    } else {
      x = (0.1 + 0.8 * random.uniform()) * (random.uniform() < 0.5 ? -1 : 1);
      y = (0.1 + 0.8 * random.uniform()) * (Math.sign(x) * (kind ? 1 : -1));
    }
    places[2 * i] = x + noise * random.normal();
    places[2 * i + 1] = y + noise * random.normal();
    kinds[i] = kind;
  }
  return { places, kinds, held: holdOut(count, held, random) };
}

/** Marks a share of each kind; even places are of one kind, odd ones of the other. */
function holdOut(count: number, share: number, random: Generator): Uint8Array {
  const held = new Uint8Array(count);
  for (const kind of [0, 1]) {
    const mine = Array.from({ length: count }, (_, i) => i).filter((i) => i % 2 === kind);
    const wanted = Math.round(share * mine.length);
    for (let k = 0; k < wanted; k++) {
      const other = k + Math.floor(random.uniform() * (mine.length - k));
      [mine[k], mine[other]] = [mine[other], mine[k]];
      held[mine[k]] = 1;
    }
  }
  return held;
}

/** Steps from 0 to 1 in a link; noise throws no point so far out that it would not fit. */
const scale = 7000;

/** Points as text for a link: four bytes a point, as Base64 for addresses. */
export function pointsToText({ places, kinds, held }: Points): string {
  const numbers = new Int16Array(places.length);
  const within = (value: number): number => Math.round(Math.min(Math.max(value, -2.3), 2.3) * scale);
  for (let i = 0; i < kinds.length; i++) {
    // The lowest bits are the kind and whether it is held out: they move a place by less than can be seen.
    numbers[2 * i] = within(places[2 * i]) * 2 + kinds[i];
    numbers[2 * i + 1] = within(places[2 * i + 1]) * 2 + held[i];
  }
  return bytesToText(new Uint8Array(numbers.buffer));
}

/** What {@link pointsToText} wrote; null where the text is nothing of the kind. */
export function pointsFromText(text: string): Points | null {
  const bytes = textToBytes(text);
  if (bytes === null || bytes.length % 4 !== 0 || bytes.length > 4000) return null;
  const numbers = new Int16Array(bytes.buffer), count = bytes.length / 4;
  const points = {
    places: new Float32Array(2 * count),
    kinds: new Float32Array(count),
    held: new Uint8Array(count),
  };
  for (let i = 0; i < 2 * count; i++) points.places[i] = (numbers[i] >> 1) / scale;
  for (let i = 0; i < count; i++) {
    points.kinds[i] = numbers[2 * i] & 1;
    points.held[i] = numbers[2 * i + 1] & 1;
  }
  return points;
}

/** Bytes as Base64 for addresses. */
export function bytesToText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** What {@link bytesToText} wrote, in a buffer of its own; null for another text. */
export function textToBytes(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    return Uint8Array.from(
      atob(text.replaceAll("-", "+").replaceAll("_", "/")),
      (letter) => letter.charCodeAt(0),
    );
  } catch {
    return null; // a length that Base64 does not have
  }
}
