/**
 * The settings of a race, in the address: a link is the whole race.
 *
 * @module
 */
import { type LandscapeName, type Optimizer2d, optimizers2d } from "../../src/landscape/mod.ts";
import { lessons } from "./lessons.ts";

/** What can be set. */
export interface Settings {
  /** A name of `landscapes`, or "formula". */
  surface: string;
  /** The text of the formula. */
  formula: string;
  /** Where everyone begins. */
  start: [number, number];
  /** The learning rate of each optimizer. */
  rates: Record<Optimizer2d, number>;
  /** Who takes part. */
  on: Record<Optimizer2d, boolean>;
  /** Of momentum and Muon. */
  momentum: number;
  /** Of Adam, AdamW and Lion. */
  beta1: number;
  /** Of Adam and AdamW. */
  beta2: number;
  /** Of RMSprop. */
  alpha: number;
  /** Of AdamW, Lion and Muon. */
  weightDecay: number;
  /** Steps a frame. */
  speed: number;
}

/** The sliders for everyone: name, least, most, step. */
export const sliders: readonly (readonly [
  "momentum" | "beta1" | "beta2" | "alpha" | "weightDecay",
  string,
  number,
  number,
  number,
])[] = [
  ["momentum", "Momentum", 0, 0.99, 0.01],
  ["beta1", "β₁", 0, 0.99, 0.01],
  ["beta2", "β₂", 0.9, 0.9999, 0.0001],
  ["alpha", "α of RMSprop", 0.5, 0.999, 0.001],
  ["weightDecay", "Weight decay", 0, 0.5, 0.01],
];

const all = <T>(make: (name: Optimizer2d) => T): Record<Optimizer2d, T> =>
  Object.fromEntries(optimizers2d.map((name) => [name, make(name)])) as Record<Optimizer2d, T>;

/** The rates with which a race begins on a surface; on a formula those of the valley. */
export function ratesFor(surface: string): Record<Optimizer2d, number> {
  return { ...lessons[Object.hasOwn(lessons, surface) ? surface as LandscapeName : "rosenbrock"].rates };
}

/** Where a race begins on a surface; on a formula, at the side. */
export function startOn(surface: string): [number, number] {
  const [x, y] = Object.hasOwn(lessons, surface) ? lessons[surface as LandscapeName].start : [-2.5, 2];
  return [x, y];
}

/** Where a visitor begins. */
export function defaultSettings(surface = "rosenbrock"): Settings {
  return {
    surface,
    formula: "x^2 + y^2 + 2*sin(3*x)*cos(3*y)",
    start: startOn(surface),
    rates: ratesFor(surface),
    on: all(() => true),
    momentum: 0.9,
    beta1: 0.9,
    beta2: 0.999,
    alpha: 0.99,
    weightDecay: 0,
    speed: 2,
  };
}

/** Settings as the part of an address after #. */
export function toHash(settings: Settings): string {
  const query = new URLSearchParams({
    surface: settings.surface,
    start: settings.start.map((value) => +value.toFixed(4)).join(","),
    rates: optimizers2d.map((name) => `${name}:${+settings.rates[name].toPrecision(3)}`).join(","),
    on: optimizers2d.filter((name) => settings.on[name]).join(","),
    speed: String(settings.speed),
  });
  for (const [key] of sliders) query.set(key, String(settings[key]));
  if (settings.surface === "formula") query.set("formula", settings.formula);
  return query.toString();
}

/** The settings that an address names; what it lacks or gets wrong is as at the beginning. */
export function fromHash(hash: string): Settings {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const settings = defaultSettings(query.get("surface") ?? undefined);
  settings.formula = query.get("formula") ?? settings.formula;
  const start = query.get("start")?.split(",").map(Number) ?? [];
  if (start.length === 2 && start.every(Number.isFinite)) settings.start = [start[0], start[1]];
  for (const pair of query.get("rates")?.split(",") ?? []) {
    const [name, value] = pair.split(":"), rate = Number(value);
    if (Object.hasOwn(settings.rates, name) && rate > 0 && rate <= 10) {
      settings.rates[name as Optimizer2d] = rate;
    }
  }
  const on = query.get("on")?.split(",");
  if (on) settings.on = all((name) => on.includes(name));
  for (const [key, , least, most] of sliders) {
    const value = Number(query.get(key) ?? NaN);
    if (value >= least && value <= most) settings[key] = value;
  }
  const speed = Number(query.get("speed"));
  if (Number.isInteger(speed) && speed >= 1 && speed <= 4096) settings.speed = speed;
  return settings;
}
