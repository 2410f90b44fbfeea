/**
 * A line that shows how far a download has come.
 *
 * @module
 */
import type { DownloadProgress } from "../mod.ts";
import { formatBytes, formatSeconds, LiveLine } from "./output.ts";

/** Shows downloads on a terminal, one file after the other; elsewhere it only counts. */
export class DownloadBar {
  readonly #line: LiveLine = new LiveLine();
  #file = "";
  #first = 0;
  #started = 0;
  #shown = 0;
  #last = 0;
  #bytes = 0;
  /** What is being written; a download does not wait for it. */
  #written: Promise<void> = Promise.resolve();

  /** Bytes that came over the network. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes what a download reports. */
  show({ file, loaded, total }: DownloadProgress): void {
    const now = performance.now();
    if (file !== this.#file) {
      this.#then(() => this.#line.end());
      this.#file = file;
      this.#first = this.#last = loaded;
      this.#started = now;
      this.#shown = 0;
    }
    // A download that began again counts again.
    this.#bytes += Math.max(0, loaded - this.#last);
    this.#last = loaded;
    if (!this.#line.on || (now - this.#shown < 100 && loaded < total)) return;
    this.#shown = now;
    const rate = (loaded - this.#first) / (now - this.#started) * 1000;
    const share = total > 0 ? Math.min(1, loaded / total) : 0, filled = Math.round(share * 24);
    const left = rate > 0 && loaded < total ? `, ${formatSeconds((total - loaded) / rate)} left` : "";
    const bar = total > 0 ? `${"█".repeat(filled)}${"░".repeat(24 - filled)} ` : "";
    const speed = rate > 0 ? `, ${formatBytes(Math.round(rate))}/s` : "";
    const size = `${formatBytes(loaded)}${total > 0 ? ` of ${formatBytes(total)}` : ""}`;
    this.#then(() => this.#line.show(`${file} ${bar}${size}${speed}${left}`));
  }

  #then(write: () => Promise<void>): void {
    this.#written = this.#written.then(write);
  }

  /** Ends the line. */
  async end(): Promise<void> {
    await this.#written;
    await this.#line.end();
  }
}
