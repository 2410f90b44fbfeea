/**
 * One model over several ranks, a part of its layers on each (pipeline parallelism, Huang et al. 2019): each rank reads the weights of
 * its own layers alone.
 *
 * All ranks run the same program. A forward pass goes from rank to rank: what the layers of one give is sent to the next, and the
 * logits of the last go to all, so that every rank takes the same tokens. A rank's part of a decoding step is compiled as that of a
 * whole model is.
 *
 * @module
 */
import { FormatError, OptionError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import type { ExpectedTensors } from "../models/checkpoint.ts";
import type { CausalModel } from "../models/causal.ts";
import type { Family } from "../models/family.ts";
import type { Ids } from "../models/network.ts";
import type { ForwardOptions, Stage } from "../models/stage.ts";
import { concat, contiguous, empty, slice, type Tensor } from "../ops/mod.ts";
import { keep, noGrad, readNow, tidy } from "../tensor/mod.ts";
import { offsetOf } from "./memory.ts";
import type { Messenger } from "./messenger.ts";
import { onAllRanks } from "../core/on_all_ranks.ts";

/** Layers of a rank: from the first to before the second. */
export type Range = readonly [from: number, to: number];

/** As many layers for each of `ranks` as there are, the first ranks having one more where they do not divide. */
export function dealLayers(layers: number, ranks: number): Range[] {
  const least = Math.floor(layers / ranks), more = layers % ranks;
  return Array.from({ length: ranks }, (_, rank): Range => {
    const from = rank * least + Math.min(rank, more);
    return [from, from + least + (rank < more ? 1 : 0)];
  });
}

const inLayer = /^(.*?(?:layers|h)\.)(\d+)(\..+)$/;

/** A family whose models are this rank's part of them. */
export function partOf<C extends object>(family: Family<C>, messenger: Messenger): Family<C> {
  const { rank, size } = messenger, isFirst = rank === 0, isLast = rank === size - 1;
  let range: Range = [0, 0];
  /** Parameters outside layers that others have. */
  const elsewhere = (config: C): Set<string> => {
    const expected = family.expected(config),
      names = [...expected.names()],
      vocabSize = family.vocabSize(config);
    const first = names.findIndex((name) => inLayer.test(name)),
      last = names.findLastIndex((name) => inLayer.test(name));
    const isTable = (name: string): boolean => expected.shape(name)![0] === vocabSize;
    return new Set([
      ...names.slice(0, first).filter((name) =>
        !isFirst && !(isLast && family.isTied(config) && isTable(name))
      ),
      ...names.slice(last + 1).filter(() => !isLast),
    ]);
  };
  return {
    ...family,
    get title() {
      return range[0] === 0 ? family.title : `${family.title} from layer ${range[0]} on, which is 0 here,`;
    },
    parse: (json, where, changes, warn) => {
      const whole = family.parse(json, where, changes, warn), { layers } = family.trial(whole);
      if (layers < size) {
        throw onAllRanks(
          new OptionError(
            `${where}: a model of ${counted(layers, "layer")} cannot be split over ${
              counted(size, "rank")
            }; start fewer`,
          ),
        );
      }
      range = dealLayers(layers, size)[rank];
      const part = family.part(whole, ...range);
      if (part) return part;
      throw onAllRanks(
        new FormatError(
          `${where}: what a layer of this ${family.title} computes depends on more than what came before, so it cannot be split over ` +
            "ranks; start one",
        ),
      );
    },
    expected: (config) => without(family.expected(config), elsewhere(config)),
    parameterName: (name, config) => {
      const own = family.parameterName(name, config), [, before, layer, rest] = inLayer.exec(own ?? "") ?? [];
      if (own === null || layer === undefined) return own !== null && elsewhere(config).has(own) ? null : own;
      const index = Number(layer) - range[0];
      return index >= 0 && Number(layer) < range[1] ? `${before}${index}${rest}` : null;
    },
    network: (config, options) => {
      const network = family.network(config, options) as unknown as CausalModel;
      const cache = network.createCache(1, 1), isCounted = cache.layers.length > 0;
      cache.dispose();
      if (!isCounted) {
        network.dispose();
        throw new OptionError(
          `the layers ${range[0]} to ${
            range[1] - 1
          } of ${family.title} all have states, and one that attends counts; start fewer ranks`,
        );
      }
      for (const name of elsewhere(config)) drop(network, name);
      const stage = new PipelineStage(messenger, widthOf(family, config), network.vocabSize);
      const logits = network.logits.bind(network);
      network.logits = (hidden) => stage.isInside ? logits(hidden) : stage.logits(hidden, logits);
      network.stage = stage;
      return network;
    },
  };
}

const widthOf = <C>(family: Family<C>, config: C): number => family.trial(config).width;

/** What is expected, but for some names. */
function without(all: ExpectedTensors, names: ReadonlySet<string>): ExpectedTensors {
  return {
    ...{ size: all.size - names.size, modules: all.modules },
    shape: (name) => names.has(name) ? undefined : all.shape(name),
    *names() {
      for (const name of all.names()) if (!names.has(name)) yield name;
    },
  };
}

/** Takes the memory of a parameter that is never read; something of its device stays in its place. */
function drop(network: CausalModel, name: string): void {
  const path = name.split("."), key = path.pop()!;
  const holder = path.reduce(
    (at, part) => at[part] as Record<string, unknown>,
    network as unknown as Record<string, unknown>,
  );
  const old = holder[key] as Tensor;
  holder[key] = keep(empty([1], { device: old.device }));
  old.dispose();
}

/** A rank's part. */
class PipelineStage implements Stage {
  readonly isFirst: boolean;
  readonly isLast: boolean;
  isInside = false;
  readonly #messenger: Messenger;
  readonly #width: number;
  readonly #vocabSize: number;
  /** What a step of so many texts begins with: always in the same place, as its program reads it there. */
  readonly #steps = new Map<number, Tensor>();
  #given: Tensor | null = null;
  #taken = 0;

  constructor(messenger: Messenger, width: number, vocabSize: number) {
    this.#messenger = messenger;
    this.#width = width;
    this.#vocabSize = vocabSize;
    this.isFirst = messenger.rank === 0;
    this.isLast = messenger.rank === messenger.size - 1;
  }

  enter(time: number): Tensor {
    const given = this.#given!, from = this.#taken, { shape: [, all] } = given;
    this.#taken = (from + time) % all;
    return from === 0 && time === all ? given : contiguous(slice(given, null, [from, from + time]));
  }

  forward(ids: Ids, options: ForwardOptions, own: (ids: Ids, options: ForwardOptions) => Tensor): Tensor {
    const { cache } = options, [rows, time] = shapeOf(ids);
    this.#agree(ids);
    if (Array.isArray(cache) && time > 1) {
      // Each text by itself, as a whole model does it.
      const each = (cache as NonNullable<typeof cache>[]).map((cache, i) =>
        this.forward(rowOf(ids, i), { ...options, cache: cache as never }, own)
      );
      return each.length === 1 ? each[0] : concat(each, 0);
    }
    // The next layers want every position.
    const { lastOnly, ...rest } = options, last = lastOnly ? 1 : time;
    return this.#pass(
      [rows, time],
      () => own(ids, this.isLast && lastOnly ? options : rest),
      [rows, last, this.#vocabSize],
    );
  }

  hidden(ids: Ids, own: () => Tensor): Tensor {
    const [rows, time] = shapeOf(ids);
    this.#agree(ids);
    return this.#pass([rows, time], own, [rows, time, this.#width]);
  }

  /** Logits for what comes out of the last norm, which only the last can tell. */
  logits(hidden: Tensor, own: (hidden: Tensor) => Tensor): Tensor {
    return noGrad(() =>
      tidy(() => this.#ofLast(() => own(hidden), [...hidden.shape.slice(0, -1), this.#vocabSize]))
    );
  }

  /** Asks whether all ranks are given the same ids. */
  #agree(ids: Ids): void {
    let hash = 0;
    const list = Array.isArray(ids) ? ids.flat() : ids instanceof Int32Array ? ids : readNow(ids as Tensor);
    for (const id of list as ArrayLike<number> & Iterable<number | bigint>) {
      hash = Math.imul(hash, 31) + Number(id) | 0;
    }
    const messenger = this.#messenger;
    messenger.wait(messenger.post({ operation: "forward", count: hash, shape: shapeOf(ids) }));
  }

  /** From rank to rank; what the last gives, of this shape, goes to all. */
  #pass([rows, time]: readonly [number, number], own: () => Tensor, shape: readonly number[]): Tensor {
    return noGrad(() =>
      tidy(() => {
        const { rank } = this.#messenger;
        if (!this.isFirst) this.#receive(rows, time, rank - 1);
        if (!this.isLast) this.#run("send", this.#inside(own), rank + 1, rows * time * this.#width);
        return this.#ofLast(own, shape);
      })
    );
  }

  #ofLast(own: () => Tensor, shape: readonly number[]): Tensor {
    const out = this.isLast ? this.#inside(own) : empty(shape, { device: "cpu" });
    this.#run("broadcast", out, this.#messenger.size - 1, out.size);
    return out;
  }

  /** What `own` computes of this part. */
  #inside(own: () => Tensor): Tensor {
    this.isInside = true;
    this.#messenger.busy = true;
    try {
      return contiguous(own());
    } finally {
      this.isInside = false;
      this.#messenger.busy = false;
      this.#taken = 0;
    }
  }

  #receive(rows: number, time: number, from: number): void {
    const shape = [rows, time, this.#width];
    let x = time === 1 ? this.#steps.get(rows) : undefined;
    if (!x) {
      x = empty(shape, { device: "cpu" });
      if (time === 1) this.#steps.set(rows, keep(x));
    }
    this.#run("receive", x, from, x.size);
    this.#given = x;
  }

  #run(operation: "send" | "receive" | "broadcast", t: Tensor, peer: number, count: number): void {
    const from = offsetOf(t), to = operation === "receive" ? { to: from } : {};
    const job = { operation, type: "f32", peer, from, ...to, count, isAsked: false } as const;
    this.#messenger.wait(this.#messenger.post(job));
  }
}

/** [texts, ids of each]. */
function shapeOf(ids: Ids): readonly [number, number] {
  if (ids instanceof Int32Array) return [1, ids.length];
  if (!Array.isArray(ids)) {
    const { shape } = ids as Tensor;
    return shape.length === 1 ? [1, shape[0]] : [shape[0], shape[1]];
  }
  const [first] = ids as readonly (number | readonly number[])[];
  return typeof first === "number" ? [1, ids.length] : [ids.length, first.length];
}

function rowOf(ids: Ids, row: number): Ids {
  if (Array.isArray(ids)) return [(ids as readonly (readonly number[])[])[row]];
  return slice(ids as Tensor, [row, row + 1]);
}
