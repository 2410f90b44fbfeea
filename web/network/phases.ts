/**
 * What happens in one step of training, part by part, in a line each with shapes.
 *
 * @module
 */
import { short } from "../shared/chart.ts";
import { features } from "./features.ts";
import type { NetworkOptions, Walk } from "./view.ts";

/** One part of the step. */
export interface Phase {
  readonly kind: "enter" | "forward" | "loss" | "backward" | "step";
  /** Of the weights that are used; -1 where none are. */
  readonly layer: number;
  /** What happens, in a line with shapes. */
  readonly text: string;
}

const names = { sgd: "SGD with momentum", adam: "Adam", adamw: "AdamW" } as const;

/** What happens in a step, in order. */
export function phases(walk: Walk, { features: given, activation, optimizer, lr }: NetworkOptions): Phase[] {
  const sizes = [given.length, ...walk.outputs.map(({ length }) => length)], last = walk.outputs.length - 1;
  const kind = walk.kind < 0.5 ? "orange" : "blue", chance = walk.outputs[last][0];
  const list: Phase[] = [{
    kind: "enter",
    layer: -1,
    text: `A point enters, ${kind}: ${
      given.map((name, i) => `${features[name].label} = ${short(walk.inputs[i])}`).join(", ")
    }. Shape [1, ${given.length}].`,
  }];
  for (const layer of walk.outputs.keys()) {
    list.push({
      kind: "forward",
      layer,
      text: `Layer ${layer + 1}: inputs times weights, plus bias, then ${
        layer < last ? activation : "the sigmoid, which makes a chance"
      }. [1, ${sizes[layer]}] · [${sizes[layer]}, ${sizes[layer + 1]}] → [1, ${sizes[layer + 1]}].`,
    });
  }
  list.push({
    kind: "loss",
    layer: -1,
    text: `It says blue with ${(100 * chance).toFixed(1)} %, and the point is ${kind}: the loss is −ln ${
      short(walk.kind < 0.5 ? 1 - chance : chance)
    } = ${short(walk.loss)}.`,
  });
  for (let layer = last; layer >= 0; layer--) {
    list.push({
      kind: "backward",
      layer,
      text: `Back through layer ${
        layer + 1
      }: each weight's gradient is the error behind it times what went in, [${sizes[layer + 1]}, 1] · [1, ${
        sizes[layer]
      }] → [${sizes[layer + 1]}, ${sizes[layer]}]${
        layer > 0 ? `; the errors go on through the weights, [1, ${sizes[layer]}].` : "."
      }`,
    });
  }
  const moved = Math.max(
    ...walk.changes.map((change) => change.reduce((a, b) => Math.max(a, Math.abs(b)), 0)),
  );
  list.push({
    kind: "step",
    layer: -1,
    text: `The step: gradients are averaged over ${walk.points} point${walk.points === 1 ? "" : "s"}, and ${
      names[optimizer]
    } at rate ${short(lr)} moves the weights, none by more than ${short(moved)}. Their mean loss goes from ${
      walk.mean[0].toPrecision(5)
    } to ${walk.mean[1].toPrecision(5)}.`,
  });
  return list;
}
