/**
 * Copies of a model's weights that stand in their place while a batch goes forward and back: of fewer bits, of what blocks hold, or
 * both. Gradients gather at the weights, in f32, also over several batches.
 *
 * @module
 */
import { type MatrixPlace, matrixPlaces } from "../nn/matrices.ts";
import { type Module, parameter } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import { asLeaf, copyInto, copyLaid, gatherAt, noGrad } from "../tensor/mod.ts";
import type { Precision } from "./precision.ts";
import type { WeightBlocks } from "./qat.ts";

/** A weight and its copy. */
interface Twin {
  readonly place: MatrixPlace;
  readonly copy: Tensor;
  /** The version of the weight's memory that was copied. */
  version: number;
}

/** The copies of a model's matrices. */
export class Twins {
  readonly #model: Module;
  readonly #dtype: Precision;
  readonly #blocks: WeightBlocks | null;
  #made: { twins: readonly Twin[]; places: readonly (readonly [MatrixPlace, Twin])[] } | null = null;

  /** Copies are of `dtype`, with the values that `blocks` have where there are some. Nothing is copied yet. */
  constructor(model: Module, dtype: Precision, blocks: WeightBlocks | null) {
    this.#model = model;
    this.#dtype = dtype;
    this.#blocks = blocks;
  }

  /** Runs `f` with the copies in the model, brought up to date. */
  during<T>(f: () => T): T {
    const { twins, places } = this.#made ??= this.#make();
    for (const twin of twins) {
      const { version } = twin.place.weight.storage;
      if (twin.version !== version) this.#fill(twin.place, twin.copy);
      twin.version = version;
    }
    for (const [{ holder, key }, { copy }] of places) holder[key] = copy;
    try {
      return f();
    } finally {
      for (const [{ holder, key, weight }] of places) holder[key] = weight;
    }
  }

  /** Gives the copies back; they are made again when they are needed. */
  dispose(): void {
    for (const { copy } of this.#made?.twins ?? []) copy.dispose();
    this.#made = null;
  }

  #fill(place: MatrixPlace, copy: Tensor): void {
    if (this.#blocks?.holds(place)) this.#blocks.fill(place, copy);
    else copyInto(place.weight, copy);
  }

  /** Copies of all matrices that differ from theirs; weights that stand in two places have one. */
  #make(): { twins: Twin[]; places: [MatrixPlace, Twin][] } {
    const twins = new Map<Tensor, Twin>(), places: [MatrixPlace, Twin][] = [];
    for (const place of matrixPlaces(this.#model)) {
      const { weight } = place, isRounded = this.#blocks?.holds(place) ?? false;
      if (weight.dtype !== "f32" || this.#dtype === "f32" && !isRounded) continue;
      let twin = twins.get(weight);
      if (!twin) {
        const copy = parameter(noGrad(() => copyLaid(weight, this.#dtype)) as Tensor);
        if (!weight.requiresGrad) asLeaf(copy, false);
        else gatherAt(copy, weight);
        twins.set(weight, twin = { place, copy, version: isRounded ? -1 : weight.storage.version });
      }
      places.push([place, twin]);
    }
    return { twins: [...twins.values()], places };
  }
}
