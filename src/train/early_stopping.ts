/**
 * Ends a run that no longer gets better: so many evaluations in a row without one that is better by enough.
 *
 * @module
 */
import { demand, demandObject } from "../core/json.ts";
import { number, orNull, whole } from "../core/kinds.ts";

/** What is remembered of the evaluations so far, fit for JSON. */
export interface StoppingState {
  /** The loss that the next has to be below. */
  best: number | null;
  /** Evaluations since. */
  waited: number;
}

/** Counts evaluations without improvement. */
export class EarlyStopping {
  readonly #patience: number;
  readonly #minDelta: number;
  #state: StoppingState = { best: null, waited: 0 };

  /** Ends after `patience` evaluations none of which was lower than the best before by more than `minDelta`. */
  constructor(patience: number, minDelta: number) {
    this.#patience = patience;
    this.#minDelta = minDelta;
  }

  /** One more evaluation. */
  note(loss: number): void {
    const { best, waited } = this.#state;
    const isBetter = Number.isFinite(loss) && (best === null || loss < best - this.#minDelta);
    this.#state = isBetter ? { best: loss, waited: 0 } : { best, waited: waited + 1 };
  }

  /** Whether the run is over. */
  get isOver(): boolean {
    return this.#state.waited >= this.#patience;
  }

  /** To be taken up again. */
  getState(): StoppingState {
    return this.#state;
  }

  /**
   * Goes on from `state`.
   * @throws {FormatError} where it is none.
   */
  setState(state: unknown): void {
    const where = "the state of this checkpoint has a stopping that";
    const { best, waited } = demandObject(state, where);
    demand(best, orNull(number()), `${where} has a best that`);
    demand(waited, whole(0), `${where} has a waited that`);
    this.#state = { best, waited } as StoppingState;
  }
}
