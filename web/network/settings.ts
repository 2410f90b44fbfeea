/**
 * What a visitor chose on the page, and as the part of an address after #. A link holds everything: the points where they
 * are the visitor's own, and the weights where they are wanted.
 *
 * @module
 */
import {
  bytesToText,
  type DataName,
  dataNames,
  makePoints,
  type Points,
  pointsFromText,
  pointsToText,
  textToBytes,
} from "./data.ts";
import { type FeatureName, featureNames } from "./features.ts";
import type { NetworkOptions } from "./view.ts";

/** The largest network. */
export const most = { layers: 5, neurons: 8, points: 1000 };

/** Least, most and step of each slider; rates and strengths are a hundred times their decimal logarithm. */
export const ranges = {
  noise: [0, 30, 1],
  held: [0, 80, 10],
  rate: [-400, 0, 5],
  strength: [-500, -50, 10],
  seed: [1, 9999, 1],
} as const satisfies Record<string, readonly [number, number, number]>;

/** Points a step that one can choose; 0 is all of them. */
export const batches = [0, 1, 4, 10, 20, 50] as const;

/** Everything that one can choose. */
export interface Settings {
  data: DataName;
  /** In hundredths. */
  noise: number;
  /** The share of points that is held out, in hundredths. */
  held: number;
  rate: number;
  strength: number;
  seed: number;
  batch: number;
  penalty: NetworkOptions["penalty"];
  activation: NetworkOptions["activation"];
  optimizer: NetworkOptions["optimizer"];
  features: FeatureName[];
  hidden: number[];
}

/** What an address says. */
export interface Shared {
  readonly settings: Settings;
  /** Of the visitor's own; null where the settings make them. */
  readonly points: Points | null;
  /** Null for fresh ones. */
  readonly weights: Float32Array | null;
  /** Names in the address that say nothing, or something that cannot be. */
  readonly ignored: readonly string[];
}

/** Where a visitor begins. */
export function defaultSettings(): Settings {
  return {
    data: "spiral",
    noise: 3,
    held: 30,
    rate: -150,
    strength: -300,
    seed: 1,
    batch: 0,
    penalty: "none",
    activation: "tanh",
    optimizer: "adam",
    features: ["x", "y"],
    hidden: [6, 6],
  };
}

const choices: Readonly<Record<string, readonly string[]>> = {
  data: dataNames,
  penalty: ["none", "l1", "l2"],
  activation: ["tanh", "relu", "gelu", "sigmoid"],
  optimizer: ["adam", "adamw", "sgd"],
};

/** How many numbers a network's layers have, biases among them. */
export function countWeights({ features, hidden }: Pick<Settings, "features" | "hidden">): number {
  const sizes = [features.length, ...hidden, 1];
  return sizes.slice(1).reduce((sum, size, i) => sum + size * (sizes[i] + 1), 0);
}

/** The settings as the trainer takes them. */
export function toOptions(settings: Settings): NetworkOptions {
  const { rate, strength, ...rest } = settings;
  return {
    ...rest,
    lr: 10 ** (rate / 100),
    strength: settings.penalty === "none" ? 0 : 10 ** (strength / 100),
  };
}

/** The points that settings make. */
export function pointsOf({ data, noise, held }: Settings): Points {
  return makePoints(data, 200, noise / 100, 1, held / 100);
}

/** Reads an address; what it lacks, or gets wrong, is as at the beginning. */
export function fromHash(hash: string): Shared {
  const settings = defaultSettings(), ignored: string[] = [];
  let points: Points | null = null, bytes: Uint8Array<ArrayBuffer> | null = null;
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    let good = false;
    if (Object.hasOwn(ranges, name)) {
      const key = name as keyof typeof ranges,
        [least, largest, step] = ranges[key],
        number = Number(value || NaN);
      good = number >= least && number <= largest && (number - least) % step === 0;
      if (good) settings[key] = number;
    } else if (Object.hasOwn(choices, name)) {
      good = choices[name].includes(value);
      if (good) Object.assign(settings, { [name]: value });
    } else if (name === "batch") {
      good = value !== "" && (batches as readonly number[]).includes(Number(value));
      if (good) settings.batch = Number(value);
    } else if (name === "features") {
      const names = featureNames.filter((feature) => value.split(",").includes(feature));
      good = names.length > 0 && names.join() === value;
      if (good) settings.features = names;
    } else if (name === "hidden") {
      const sizes = value === "" ? [] : value.split(",").map(Number);
      good = sizes.length <= most.layers &&
        sizes.every((size) => Number.isInteger(size) && size >= 1 && size <= most.neurons);
      if (good) settings.hidden = sizes;
    } else if (name === "points") {
      points = pointsFromText(value);
      good = points !== null;
    } else if (name === "weights") {
      bytes = textToBytes(value);
      good = bytes !== null;
    }
    if (!good) ignored.push(name.slice(0, 20));
  }
  let weights: Float32Array | null = null;
  if (bytes !== null) {
    // They fit one network alone, and that is known when all has been read.
    const values = bytes.length === 4 * countWeights(settings) ? new Float32Array(bytes.buffer) : null;
    if (values?.every((value) => Number.isFinite(value) && Math.abs(value) <= 1e4)) weights = values;
    else ignored.push("weights");
  }
  return { settings, points, weights, ignored };
}

/** The address of settings, with the points and the weights where they are given. */
export function toHash(settings: Settings, points: Points | null, weights: Float32Array | null): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) query.set(name, String(value));
  if (points !== null) query.set("points", pointsToText(points));
  if (weights !== null) query.set("weights", bytesToText(new Uint8Array(weights.slice().buffer)));
  return query.toString().replaceAll("%2C", ",");
}
