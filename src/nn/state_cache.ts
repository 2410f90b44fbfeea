/**
 * What a layer remembers of earlier positions in memory of one size, however many there were: the tail that a convolution still
 * sees, the matrix of a linear attention.
 *
 * Such a state holds its last position and none before, so going back is not cutting: copies are kept of it at some positions
 * (`models/cache.ts` says at which), and it goes back to one of these.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { Shape } from "../core/shape.ts";
import { copyInto, indexSelect, mul, type Tensor, zeros } from "../ops/mod.ts";
import { keep, noGrad, outsideCapture, tidy } from "../tensor/mod.ts";

/**
 * What a layer with a state finds of earlier positions, and leaves for later ones.
 *
 * @category Modules
 */
export interface Recurrence {
  /** Its states behind the position before, each [batch, ...sizes]; null where the text begins: they are 0. */
  readonly before: readonly Tensor[] | null;
  /** bool [batch, time]: false where texts of unequal length are padded. Null: all are of the text. */
  readonly real: Tensor | null;
  /** bool [batch, 1, time, positions]: what positions see, where several texts stand in a row. Null: all before. */
  readonly seen: Tensor | null;
  /** Takes its states behind the positions at work. */
  leave(after: readonly Tensor[]): void;
}

/**
 * The states of one layer, f32.
 *
 * @category Modules
 */
export class StateCache {
  /** Each [batch, ...sizes]. */
  readonly now: readonly Tensor[];
  /** Copies, by the number of positions that they are behind. */
  readonly #kept: Map<number, readonly Tensor[]> = new Map();

  /** States of these sizes, all 0, for `batch` texts. */
  constructor(batch: number, sizes: readonly Shape[], device?: DeviceName) {
    this.now = sizes.map((size) => keep(zeros([batch, ...size], device ? { device } : {})));
  }

  /** What one set of its states takes, in bytes. */
  get byteLength(): number {
    return this.now.reduce((sum, { size }) => sum + 4 * size, 0);
  }

  /**
   * Takes what `after` holds.
   * @throws {ShapeError} for states of other shapes.
   */
  leave(after: readonly Tensor[]): void {
    noGrad(() => this.now.forEach((state, i) => copyInto(after[i].detach(), state)));
  }

  /** Keeps a copy, behind `position` positions. */
  keepAt(position: number): void {
    this.drop(position);
    outsideCapture(() =>
      noGrad(() => this.#kept.set(position, this.now.map((t) => keep(mul(t.detach(), 1)))))
    );
  }

  /** Goes back to the copy behind `position` positions; 0: to the beginning. */
  backTo(position: number): void {
    const kept = this.#kept.get(position);
    noGrad(() =>
      tidy(() =>
        this.now.forEach((t, i) => copyInto(kept ? kept[i] : zeros(t.shape, { device: t.device }), t))
      )
    );
  }

  /** Forgets a copy. */
  drop(position: number): void {
    for (const t of this.#kept.get(position) ?? []) t.dispose();
    this.#kept.delete(position);
  }

  /**
   * Row i becomes row `rows[i]` of `from` (i32), as it is now or, where `position` is given, as it was kept there.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   * @throws {ShapeError} for rows that are not there.
   * @throws {DeviceError} for tensors on different devices.
   */
  copyRows(from: StateCache, rows: Tensor, position: number | null = null): void {
    const source = position === null ? from.now : from.#kept.get(position);
    this.now.forEach((t, i) =>
      copyInto(source ? indexSelect(source[i], 0, rows) : zeros(t.shape, { device: t.device }), t)
    );
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const position of [...this.#kept.keys()]) this.drop(position);
    for (const t of this.now) t.dispose();
  }
}
