/**
 * Random numbers for programs: the same on every runtime, and cheap (Doty-Humphrey's sfc32, from PractRand). What is tested
 * has a generator of its own.
 */
export class Dice {
  #a: number;
  #b: number;
  #c = 1;
  #d = 1;

  /** The dice of number `index` of `seed`. */
  constructor(seed: number, index: number = 0) {
    this.#a = seed | 0;
    this.#b = index | 0;
    this.#c = Math.floor(seed / 2 ** 32) ^ Math.floor(index / 2 ** 32) | 1;
    for (let i = 0; i < 12; i++) this.#word();
  }

  #word(): number {
    const sum = (this.#a + this.#b | 0) + this.#d | 0;
    this.#d = this.#d + 1 | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = this.#c + (this.#c << 3) | 0;
    this.#c = (this.#c << 21 | this.#c >>> 11) + sum | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1). */
  uniform(): number {
    return this.#word() / 2 ** 32;
  }

  /** A whole number in [low, high). */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low));
  }

  /** A number about as normal as the sum of four uniform ones is: of mean 0 and variance 1. */
  normal(): number {
    return (this.uniform() + this.uniform() + this.uniform() + this.uniform() - 2) * 1.7320508;
  }
}
