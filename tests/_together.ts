/**
 * Cases that are started one after the other and answered together. A device that answers late (Deno looks for an answer
 * of WebGPU once in 10 ms) is waited for once for many cases, not once for each.
 *
 * What a case does before its first `await` is done in turn, so it starts all its reads there, and takes no random
 * numbers after it.
 *
 * @module
 */

/** Cases on their way, up to a number. */
export class Together {
  readonly #most: number;
  readonly #failures: unknown[] = [];
  #running: Promise<void>[] = [];

  constructor(most = 64) {
    this.#most = most;
  }

  /** Starts a case, and waits for all when there are many. */
  async start(run: () => Promise<unknown>): Promise<void> {
    this.#running.push(run().then(() => {}, (error) => void this.#failures.push(error)));
    if (this.#running.length >= this.#most) await this.end();
  }

  /** Waits for what was started, and throws the first failure. */
  async end(): Promise<void> {
    await Promise.all(this.#running);
    this.#running = [];
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
