/**
 * Optimizer states divided over ranks: each steps the parameters that it owns, and gives them to all.
 *
 * Rajbhandari, Rasley, Ruwase, He: "ZeRO: memory optimizations toward training trillion parameter models", SC 2020. Parameters
 * are dealt out whole, the largest first to who has the least, as in PyTorch's ZeroRedundancyOptimizer.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { isDense } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { empty, type Tensor } from "../ops/mod.ts";
import type { Optimizer, OptimizerState, ParameterState } from "../optim/mod.ts";
import { copy, copyInto, noGrad } from "../tensor/mod.ts";
import { offsetOf, wireType } from "./memory.ts";
import type { Messenger } from "./messenger.ts";
import { gatherTexts } from "./texts.ts";

/** The rank that owns each of `sizes`, so that all own about as much. */
export function dealOut(sizes: readonly number[], ranks: number): number[] {
  const load = new Array<number>(ranks).fill(0), owners = new Array<number>(sizes.length).fill(0);
  const largestFirst = sizes.map((_, i) => i).sort((a, b) => sizes[b] - sizes[a] || a - b);
  for (const i of largestFirst) {
    const least = load.indexOf(Math.min(...load));
    owners[i] = least;
    load[least] += sizes[i];
  }
  return owners;
}

interface EntryNote {
  i: number;
  step: number;
  tensors: { name: string; shape: readonly number[]; dtype: Tensor["dtype"] }[];
}

/** An optimizer of which each rank has a part. */
export class Divided {
  readonly #messenger: Messenger;
  /** The owner of each parameter, in the order of the optimizer's groups. */
  readonly owners: readonly number[];
  readonly #params: readonly Tensor[];

  /** Deals out the parameters of `optimizer`. */
  constructor(messenger: Messenger, optimizer: Optimizer) {
    this.#messenger = messenger;
    this.#params = optimizer.paramGroups.flatMap(({ params }) => params);
    this.owners = dealOut(this.#params.map((p) => p.size), messenger.size);
  }

  /** Steps what this rank owns, and takes what the others stepped. */
  step(optimizer: Optimizer): void {
    const { rank } = this.#messenger;
    this.#params.forEach((p, i) => {
      if (this.owners[i] !== rank) p.grad = null;
    });
    optimizer.step();
    this.share();
  }

  /** Gives every parameter from its owner to all. */
  share(): void {
    const messenger = this.#messenger, jobs: number[] = [], moved: [Tensor, Tensor][] = [];
    noGrad(() =>
      this.#params.forEach((p, i) => {
        if (p.size === 0) return;
        // The same program lays them out in the same way everywhere.
        const work = isDense(p.shape, p.strides) ? p : copy(p) as Tensor;
        if (work !== p) moved.push([work, p]);
        const type = wireType("step", p);
        jobs.push(
          messenger.post({
            operation: "broadcast",
            type,
            peer: this.owners[i],
            from: offsetOf(work),
            count: p.size,
            isAsked: jobs.length === 0,
          }),
        );
      })
    );
    for (const job of jobs) messenger.wait(job);
    noGrad(() => {
      for (const [work, p] of moved) {
        copyInto(work, p);
        work.dispose();
      }
      for (const p of this.#params) p.storage.version++;
    });
  }

  /** The state of the whole optimizer, on rank 0; on the others only their own part. All ranks call it. */
  collect(optimizer: Optimizer): OptimizerState {
    const messenger = this.#messenger, { rank } = messenger, own = optimizer.stateDict();
    const notes: EntryNote[] = own.state.flatMap((entry, i) =>
      entry && this.owners[i] === rank
        ? [{
          i,
          step: entry.step,
          tensors: Object.entries(entry.tensors).map(([name, { shape, dtype }]) => ({ name, shape, dtype })),
        }]
        : []
    );
    const all = gatherTexts(messenger, JSON.stringify(notes)).map((text) => JSON.parse(text) as EntryNote[]);
    const state: (ParameterState | null)[] = own.state.map(() => null);
    all.forEach((list, owner) => {
      for (const { i, step, tensors } of list) {
        const entry: ParameterState = { step, tensors: {} };
        for (const { name, shape, dtype } of tensors) {
          const mine = rank === owner ? own.state[i]!.tensors[name] : null;
          const work = noGrad(() => (mine ? copy(mine) : empty(shape, { dtype, device: "cpu" })) as Tensor);
          messenger.wait(messenger.post({
            operation: "broadcast",
            type: wireType("save", work),
            peer: owner,
            from: offsetOf(work),
            count: work.size,
          }));
          mine?.dispose();
          if (rank === 0) entry.tensors[name] = work;
          else work.dispose();
        }
        if (rank === 0) state[i] = entry;
      }
    });
    return { state, paramGroups: own.paramGroups };
  }

  /** Takes of a whole state what this rank owns. */
  load(optimizer: Optimizer, whole: OptimizerState): void {
    if (whole.state.length !== this.owners.length) {
      throw new FerrotypeError(
        `the checkpoint has ${
          counted(whole.state.length, "parameter")
        }, this run ${this.owners.length}; it is another model's`,
      );
    }
    const { rank } = this.#messenger;
    optimizer.loadStateDict({
      ...whole,
      state: whole.state.map((entry, i) => this.owners[i] === rank ? entry : null),
    });
  }
}
