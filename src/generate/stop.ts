/**
 * Texts that end generation, found even when they span tokens, and never shown.
 *
 * Text that could be the beginning of a stop text is held back until it is clear that it is not.
 *
 * @module
 */

/** Passes text through until a stop text appears. */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  /** The stop text that was found, or null. */
  found: string | null = null;

  /** With no stop texts everything passes at once. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The text that may be shown now. */
  push(text: string): string {
    if (this.found !== null) return "";
    const all = this.#held + text;
    let cut = -1;
    for (const stop of this.#stops) {
      const at = all.indexOf(stop);
      if (at >= 0 && (cut < 0 || at < cut)) {
        cut = at;
        this.found = stop;
      }
    }
    if (cut >= 0) {
      this.#held = "";
      return all.slice(0, cut);
    }
    const keep = this.#partial(all);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** What was held back, at the end. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** How many characters at the end could begin a stop text. */
  #partial(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      // A stop text may be long: only where its first character stands is it looked for.
      let at = text.indexOf(stop[0], Math.max(0, text.length - stop.length + 1));
      for (; at >= 0 && text.length - at > longest; at = text.indexOf(stop[0], at + 1)) {
        if (stop.startsWith(text.slice(at))) longest = text.length - at;
      }
    }
    return longest;
  }
}
