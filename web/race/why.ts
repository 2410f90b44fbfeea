/**
 * Why the leader leads, in a sentence made of what was measured.
 *
 * @module
 */
import { short } from "../shared/chart.ts";
import { optimizerTexts } from "./explain.ts";
import { measure } from "./measure.ts";
import { lossAt, type Race, type Racer } from "./race.ts";

const times = (ratio: number): string => `${short(+ratio.toPrecision(2))} times`;
const degrees = (angle: number): string => `${angle.toFixed(0)}°`;

/** Says it of the racers `order` (indices, the best first) after step `at`; "" while there is too little to tell. */
export function whyLeads(race: Race, order: readonly number[], at: number): string {
  const [first, ...others] = order.map((i) => race.racers[i]);
  if (first === undefined || at < 10) return "";
  const low = (racer: Racer): number => racer.ring[racer.rowOf(at) + lossAt];
  // Adam and AdamW are the same without weight decay; what tells is the next that differs.
  const second =
    others.find((other) => Math.abs(low(other) - low(first)) > 1e-9 * (1 + Math.abs(low(first)))) ??
      others[0];
  const leader = optimizerTexts[first.name].title;
  if (first.arrived && at >= first.steps) {
    return `${leader} left at the border after ${first.steps} steps: below it the surface falls for ever.`;
  }
  if (second === undefined) return "";
  const other = optimizerTexts[second.name].title;
  const mine = measure(first, race.surface, at), its = measure(second, race.surface, at);
  if (Math.abs(mine.loss - its.loss) <= 1e-9 * (1 + Math.abs(mine.loss))) {
    return `${leader} and ${other} are equally low, at ${short(mine.loss)}.`;
  }
  const reach = race.surface.domain[1] - race.surface.domain[0];
  if (mine.length * mine.straight < 1e-6 * reach) {
    const y = first.rowOf(at), [px, py] = [first.ring[y], first.ring[y + 1]];
    return `${leader} has come to rest at (${short(px)}, ${short(py)}), with ${
      short(mine.loss)
    }; ${other} is at ${short(its.loss)}${
      its.length * its.straight < 1e-6 * reach ? ", at rest too, in a higher dent." : " and still moves."
    }`;
  }
  const reasons: { weight: number; text: string }[] = [];
  const longer = mine.length / its.length, straighter = mine.straight / its.straight;
  if (longer > 1.3) {
    reasons.push({
      weight: Math.log(longer),
      text: longer > 1000
        ? `it still moves, by ${short(mine.length)} a step, where ${other} has come to rest`
        : `its steps are ${times(longer)} as long (${short(mine.length)} against ${short(its.length)})`,
    });
  }
  if (straighter > 1.3) {
    reasons.push({
      weight: Math.log(straighter),
      text: `${(100 * mine.straight).toFixed(0)} % of what it walks is progress, against ${
        (100 * its.straight).toFixed(0)
      } %`,
    });
  }
  if (mine.off < its.off - 15) {
    reasons.push({
      weight: (its.off - mine.off) / 60,
      text: `it goes more directly downhill (${degrees(mine.off)} off the steepest way, against ${
        degrees(its.off)
      })`,
    });
  }
  if (mine.off > its.off + 15 && mine.curvature < its.curvature / 2) {
    reasons.push({
      weight: (mine.off - its.off) / 60,
      text: `it goes along the floor rather than down the walls: ${
        degrees(mine.off)
      } off the steepest way, where the loss bends little (curvature ${short(mine.curvature)} against ${
        short(its.curvature)
      })`,
    });
  }
  reasons.sort((a, b) => b.weight - a.weight);
  if (mine.gain >= its.gain && reasons.length > 0) {
    return `${leader} leads ${other} because in the last ${mine.steps} steps ${
      reasons.slice(0, 2).map(({ text }) => text).join(", and ")
    }.`;
  }
  return `${leader} leads from before: in the last ${mine.steps} steps its loss fell by ${
    short(mine.gain)
  }, and ${other}'s by ${short(its.gain)}.`;
}
