/**
 * Whether the network still learns, since when not, and why: from the losses, gradients and steps that were measured.
 *
 * @module
 */
import { short } from "../shared/chart.ts";
import type { History } from "./history.ts";
import type { NetworkOptions, NetworkView } from "./view.ts";

/** How it goes. */
export type Course =
  | "unknown"
  | "learning"
  | "slow"
  | "solved"
  | "flat"
  | "bouncing"
  | "noisy"
  | "crawling"
  | "held back"
  | "rising"
  | "broken";

/** What is said of it. */
export interface Verdict {
  readonly course: Course;
  /** One or two sentences, with what was measured. */
  readonly text: string;
}

/** Looks at the end that are judged together. */
const recent = 40;

/** The mean of the finite numbers of `column` from `from` up to `to`; NaN without. */
function mean(column: Float64Array, from: number, to: number): number {
  let sum = 0, count = 0;
  for (let i = Math.max(0, from); i < to; i++) {
    if (!Number.isFinite(column[i])) continue;
    sum += column[i];
    count++;
  }
  return sum / count;
}

/** Hidden neurons that say the same wherever one looks: ReLU's at 0, tanh's and the sigmoid's at their ends. */
export function idleNeurons(
  { maps }: NetworkView,
  activation: NetworkOptions["activation"],
): { layer: number; neuron: number; how: "dead" | "saturated" }[] {
  const idle: { layer: number; neuron: number; how: "dead" | "saturated" }[] = [];
  // The last layer is the answer.
  for (const [layer, map] of maps.slice(0, -1).entries()) {
    const places = maps.at(-1)!.length, neurons = map.length / places;
    for (let neuron = 0; neuron < neurons; neuron++) {
      let dead = 0, full = 0;
      for (let i = 0; i < places; i++) {
        const value = map[i * neurons + neuron];
        if ((activation === "relu" || activation === "gelu") && Math.abs(value) < 1e-6) dead++;
        if (activation === "tanh" && Math.abs(value) > 0.98) full++;
        if (activation === "sigmoid" && (value > 0.99 || value < 0.01)) full++;
      }
      if (dead === places) idle.push({ layer, neuron, how: "dead" });
      // A step from one end to the other is of use; the same end everywhere is not.
      else if (full === places && Math.sign(map[neuron] - 0.5) === signOfAll(map, neuron, neurons)) {
        idle.push({ layer, neuron, how: "saturated" });
      }
    }
  }
  return idle;
}

/** The sign of all values of a neuron around one half; 0 where they differ. */
function signOfAll(map: Float32Array, neuron: number, neurons: number): number {
  const first = Math.sign(map[neuron] - 0.5);
  for (let i = neuron; i < map.length; i += neurons) if (Math.sign(map[i] - 0.5) !== first) return 0;
  return first;
}

/** Such as "dead: 1, 2, 7 of layer 2; saturated: 3 of layer 1". */
function describeIdle(idle: ReturnType<typeof idleNeurons>): string {
  const groups = new Map<string, { how: string; layer: number; neurons: number[] }>();
  for (const { layer, neuron, how } of idle) {
    const key = `${how} ${layer}`, group = groups.get(key) ?? { how, layer, neurons: [] };
    group.neurons.push(neuron + 1);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ how, layer, neurons }) =>
    `${how}: ${neurons.join(", ")} of layer ${layer + 1}`
  )
    .join("; ");
}

/** The step since which the loss is within `part` of what it is now. */
function since(history: History, now: number, part: number): number {
  let at = history.length - 1;
  while (at > 0 && Math.abs(history.loss[at - 1] - now) <= part * now) at--;
  return history.step[at];
}

/** Says how it goes. */
export function judge(history: History, view: NetworkView, options: NetworkOptions): Verdict {
  const { length, loss, gradient, move, turn, curvature, step } = history, last = length - 1;
  if (length > 1 && !Number.isFinite(loss[last])) {
    let first = last;
    while (first > 0 && !Number.isFinite(loss[first - 1])) first--;
    return {
      course: "broken",
      text: `The loss is no number since step ${step[first]}: the step before was ${
        short(move[Math.max(first - 1, 0)])
      } long. Take new weights and a smaller learning rate.`,
    };
  }
  if (length < 12) return { course: "unknown", text: "Too few steps yet to tell how it goes." };
  const from = Math.max(1, length - recent), quarter = Math.max(1, (length - from) >> 2);
  const early = mean(loss, from, from + quarter), now = mean(loss, length - quarter, length);
  const g = mean(gradient, from, length), m = mean(move, from, length), c = mean(turn, from, length);
  const bend = mean(curvature, from, length), steps = step[last] - step[from], gained = (early - now) / early;
  const idle = idleNeurons(view, options.activation);
  const useless = idle.length === 0
    ? ""
    : ` Hidden neurons that say the same everywhere: ${describeIdle(idle)}.`;
  const gap = view.heldLoss > 2 * view.loss + 0.05
    ? ` The points held out have ${
      short(view.heldLoss)
    }: it learns these points by heart rather than the border.`
    : "";
  const back = c < -0.3
    ? ` Steps turn back on one another (cosine ${short(c)}): they are too long for how the loss bends` +
      (bend > 0 ? ` (curvature ${short(bend)} along them).` : ".")
    : "";
  if (now > 1.1 * early) {
    return {
      course: "rising",
      text: `The loss rises: from ${short(early)} to ${short(now)} in ${steps} steps.${
        back || " The steps overshoot; a smaller learning rate is wanted."
      }${useless}`,
    };
  }
  if (view.accuracy === 1 && now < 0.05) {
    return {
      course: "solved",
      text: `Solved: every point is on its side, and the loss of ${short(now)} falls by ${
        short(Math.max(0, 100 * gained))
      } % in ${steps} steps. Gradient ${short(g)} long.${gap}`,
    };
  }
  if (gained > 0.02) {
    const half = Math.round(steps * Math.LN2 / -Math.log(1 - Math.min(gained, 0.999)));
    return {
      course: gained > 0.1 ? "learning" : "slow",
      text: `It learns${
        gained > 0.1 ? "" : " slowly"
      }: the loss halves in about ${half} steps at this pace. Gradient ${short(g)} long, steps ${short(m)}.${
        gap || useless
      }`,
    };
  }
  const stalled = `The loss stays at ${short(now)} since about step ${since(history, now, 0.03)}.`;
  if (back !== "") {
    return { course: "bouncing", text: `${stalled}${back} A smaller learning rate settles it.${useless}` };
  }
  if (options.batch > 0 && g > 4 * Math.abs(early - now) && Math.abs(c) < 0.3 && m > 1e-4) {
    return {
      course: "noisy",
      text:
        `${stalled} Each step follows ${options.batch} points alone, and the steps point anywhere (cosine ${
          short(c)
        }): larger batches or a smaller rate let it settle.${useless}${gap}`,
    };
  }
  if (options.penalty !== "none" && options.strength > 0 && g < 0.02) {
    return {
      course: "held back",
      text: `${stalled} Fitting and keeping the weights small pull equally hard (gradient of both ${
        short(g)
      }): less regularisation would let it fit more closely.${useless}`,
    };
  }
  if (g < 1e-3) {
    return {
      course: "flat",
      text: `${stalled} The gradient is nearly nothing (${
        short(g)
      }): a plateau, or a minimum that is not good enough. New weights start elsewhere.${useless}`,
    };
  }
  if (m < 1e-3) {
    return {
      course: "crawling",
      text: `${stalled} There is a slope (gradient ${short(g)}), but each step is only ${
        short(m)
      } long: a larger learning rate goes further.${useless}`,
    };
  }
  return {
    course: "slow",
    text:
      `${stalled} Gradient ${short(g)}, steps ${
        short(m)
      } long: the network cannot bend the border much better. ` +
      `More neurons, or other inputs, can.${useless}${gap}`,
  };
}
