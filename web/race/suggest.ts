/**
 * Suggestions while the race runs: a learning rate, with its reason from what was measured.
 *
 * @module
 */
import { short } from "../shared/chart.ts";
import { optimizerTexts } from "./explain.ts";
import { measure, type Measured, sharpest } from "./measure.ts";
import { lossAt, type Race, type Racer } from "./race.ts";

/** A rate for one optimizer. */
export interface Suggestion {
  readonly racer: Racer;
  readonly kind: "diverges" | "bounces" | "crawls";
  /** Why. */
  readonly reason: string;
  /** The rate that is proposed. */
  readonly rate: number;
}

/** Numbers that are easy to read. */
const round = (rate: number): number => +rate.toPrecision(1);

/** The rate above which steps along curvature `bend` grow: for SGD, and for momentum as a heavy ball; else none. */
function limit({ name, options }: Racer, bend: number): number {
  if (!(bend > 0)) return Infinity;
  if (name === "sgd") return 2 / bend;
  return name === "momentum" ? 2 * (1 + (options.momentum ?? 0.9)) / bend : Infinity;
}

/** The largest curvature that the racer met on the part of the plane that is shown. */
function sharpestMet(racer: Racer, race: Race): number {
  const [x0, x1, y0, y1] = race.surface.domain, { ring } = racer;
  let most = sharpest(race.surface, race.start[0], race.start[1]);
  for (let step = racer.oldest; step <= Math.min(racer.steps, racer.oldest + 200); step++) {
    const row = racer.rowOf(step), x = ring[row], y = ring[row + 1];
    if (x < x0 || x > x1 || y < y0 || y > y1) {
      // It jumped out: what lies between here and the border is what threw it.
      const last = racer.rowOf(step - 1),
        toX = Math.min(Math.max(x, x0), x1),
        toY = Math.min(Math.max(y, y0), y1);
      for (let k = 1; k <= 16; k++) {
        const part = k / 16;
        const at = [ring[last] * (1 - part) + toX * part, ring[last + 1] * (1 - part) + toY * part] as const;
        most = Math.max(most, sharpest(race.surface, ...at));
      }
      break;
    }
    most = Math.max(most, sharpest(race.surface, x, y));
  }
  return most;
}

function diverging(race: Race, racer: Racer): Suggestion {
  const { title } = optimizerTexts[racer.name], bend = sharpestMet(racer, race), most = limit(racer, bend);
  const rate = round(Math.min(most / 2, racer.options.lr / 2));
  return {
    racer,
    kind: "diverges",
    rate: Number.isFinite(most) ? rate : round(racer.options.lr / 10),
    reason: Number.isFinite(most)
      ? `${title} diverges: curvature ${short(bend)} wants a rate below ${short(+most.toPrecision(2))}.`
      : `${title} diverges with steps as long as ${short(racer.options.lr)}.`,
  };
}

function bouncing(race: Race, racer: Racer, seen: Measured, at: number): Suggestion | null {
  const { title } = optimizerTexts[racer.name], row = racer.rowOf(at);
  const bend = sharpest(race.surface, racer.ring[row], racer.ring[row + 1]), most = limit(racer, bend);
  if (Number.isFinite(most)) {
    if (racer.options.lr < most / 2) return null;
    return {
      racer,
      kind: "bounces",
      rate: round(most / 2),
      reason: `${title} jumps from wall to wall: curvature ${short(bend)} bears ${
        short(+most.toPrecision(2))
      } at most, and half of it goes straight down.`,
    };
  }
  return {
    racer,
    kind: "bounces",
    rate: round(racer.options.lr / 4),
    reason:
      `${title} goes to and fro (${
        (100 * seen.straight).toFixed(0)
      } % of its way is progress) and gains nothing: ` +
      `steps of ${short(seen.length)} are too long here.`,
  };
}

function crawling(race: Race, racer: Racer, seen: Measured, at: number): Suggestion | null {
  const { title } = optimizerTexts[racer.name], row = racer.rowOf(at), { domain } = race.surface;
  const bend = sharpest(race.surface, racer.ring[row], racer.ring[row + 1]);
  const rate = round(Math.min(4 * racer.options.lr, limit(racer, bend) / 3));
  if (rate < 2 * racer.options.lr) return null;
  return {
    racer,
    kind: "crawls",
    rate,
    reason: `${title} walks straight on (cosine ${short(+seen.turn.toPrecision(2))}) in steps of ${
      short(seen.length)
    }: the width of the map would take ${
      short(+((domain[1] - domain[0]) / seen.length).toPrecision(2))
    } of them.`,
  };
}

/** At most two, the most pressing first, for the racers that are shown, after step `at`. */
export function suggestions(race: Race, shown: readonly boolean[], at: number): Suggestion[] {
  const found: Suggestion[] = [], { domain } = race.surface, width = domain[1] - domain[0];
  for (const [i, racer] of race.racers.entries()) {
    if (!shown[i] || racer.arrived) continue;
    const first = racer.ring[racer.rowOf(0) + lossAt];
    if (racer.lost && at >= racer.steps) found.push(diverging(race, racer));
    if (racer.lost || at < 30) continue;
    const seen = measure(racer, race.surface, at), gained = seen.gain / (Math.abs(seen.loss) + 1e-9);
    if (seen.loss > 10 * Math.abs(first) + 1 && racer.oldest === 0) found.push(diverging(race, racer));
    else if ((seen.turn < -0.6 || seen.straight < 0.1) && gained < 0.01 && seen.length > 1e-4 * width) {
      const one = bouncing(race, racer, seen, at);
      if (one) found.push(one);
    } else if (
      seen.turn > 0.95 && gained < 0.1 && seen.length > 0 && seen.length * seen.steps < 0.02 * width
    ) {
      const one = crawling(race, racer, seen, at);
      // Who rests in a dent goes nowhere, however far it could step.
      const plain = racer.name === "sgd" || racer.name === "momentum";
      if (
        one && seen.straight > 0.9 &&
        (plain ? seen.length > 1e-7 * width : seen.length > 0.3 * racer.options.lr)
      ) {
        found.push(one);
      }
    }
  }
  const order = ["diverges", "bounces", "crawls"];
  return found.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind)).slice(0, 2);
}
