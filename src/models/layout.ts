/**
 * How a trained model's matrices lie in memory.
 *
 * Checkpoints store [in, out], so the weights of one output are apart. To compute one token, each output reads all its
 * weights once, and memory is fast only in order: with the weights of an output side by side a token takes half the
 * time. The shape stays [in, out]; only the strides change, so names, saving and training see no difference.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import { Conv1D, type Module, parameter } from "../nn/mod.ts";
import { contiguous, transpose } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";

/**
 * Lays the weights of every {@link Conv1D} of `model` so that those of one output are neighbours.
 *
 * @category Models
 */
export function layOutWeights(model: Module): void {
  for (const [, layer] of model.namedModules()) layOutWeight(layer);
}

/**
 * The same for one layer; others than {@link Conv1D}, and those that lie so already, are left as they are.
 *
 * @category Models
 */
export function layOutWeight(layer: Module): void {
  if (!(layer instanceof Conv1D) || isQuantized(layer.weight.dtype) || !layer.weight.isContiguous) return;
  const old = layer.weight;
  layer.weight = parameter(
    noGrad(() => tidy(() => transpose(contiguous(transpose(old.detach(), 0, 1)), 0, 1))),
  );
  old.dispose();
}
