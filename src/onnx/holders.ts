/**
 * Who holds the tensors of a run: a tensor may be the value of several names, of states and lists of a loop, so holders are
 * counted, and what the last one lets go is freed at once.
 *
 * @module
 */
import type { Tensor } from "../ops/mod.ts";
import { tensorsOf, type Value } from "./values.ts";

/** Tensors that are held, and by how many; what comes from outside is not freed here. */
export class Holders {
  readonly #count = new Map<Tensor, number>();
  readonly #outside: ReadonlySet<Tensor>;

  /** Without what is `outside`. */
  constructor(outside: ReadonlySet<Tensor>) {
    this.#outside = outside;
  }

  /** One more holds what is in a value. */
  hold(value: Value): void {
    for (const t of tensorsOf(value)) {
      if (!this.#outside.has(t)) this.#count.set(t, (this.#count.get(t) ?? 0) + 1);
    }
  }

  /** One less; what nobody holds is freed. */
  drop(value: Value): void {
    for (const t of tensorsOf(value)) {
      if (this.#outside.has(t)) continue;
      const left = (this.#count.get(t) ?? 0) - 1;
      if (left > 0) this.#count.set(t, left);
      else {
        this.#count.delete(t);
        t.dispose();
      }
    }
  }
}
