/**
 * The race page's handle in its global scope, and the rates that the page is held to.
 *
 * @module
 */
import type { Page } from "playwright-core";
import type { Race } from "../web/race/race.ts";
import type { Settings } from "../web/race/settings.ts";

/** What the page leaves in its global scope. */
export interface RaceHandle {
  race: Race;
  settings: Settings;
  play(on: boolean): void;
  draw(): void;
}

/** What was measured. */
export interface RaceRates {
  /** Steps a second over four optimizers. */
  rate: number;
  /** Bytes by which the heap grew during a million steps. */
  grown: number;
  /** Milliseconds of script that 95 % of the frames stay within while racing. */
  p95: number;
  /** Frames that the browser showed in the best second of racing of a dozen at most: other work shares the machine. */
  frames: number;
  /** Bytes by which the heap grew in the steps and frames of ten minutes. */
  soak: number;
}

/** The rates as a sentence. */
export function describeRates({ rate, grown, p95, frames, soak }: RaceRates): string {
  return `${
    (rate / 1e6).toFixed(2)
  } million steps/s over four optimizers; ${grown} bytes allocated in a million steps; ` +
    `a frame takes ${
      p95.toFixed(2)
    } ms (p95), ${frames} a second; the heap grew by ${soak} bytes in ten minutes of racing`;
}

/** Measures an open race page, in a browser started with `--js-flags=--expose-gc`. */
export async function measureRace(page: Page): Promise<RaceRates> {
  return await page.evaluate(async () => {
    const { race: { race, play, draw }, gc } = globalThis as unknown as { race: RaceHandle; gc(): void };
    const heap = (): number =>
      (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;
    play(false);
    const four = race.racers.slice(0, 4), { surface } = race;
    race.restart(-1.2, 1);
    for (const racer of four) racer.run(surface, 50_000);
    gc();
    const start = performance.now(), heap0 = heap();
    for (const racer of four) racer.run(surface, 250_000);
    const grown = heap() - heap0, rate = 1e6 / ((performance.now() - start) / 1000);
    // What a frame of racing costs the main thread.
    const frames: number[] = [];
    race.restart(-1.2, 1);
    for (let i = 0; i < 400; i++) {
      const began = performance.now();
      race.run(2);
      draw();
      frames.push(performance.now() - began);
      if (i % 20 === 0) await new Promise(requestAnimationFrame);
    }
    frames.sort((a, b) => a - b);
    let most = 0;
    play(true);
    // Usually one second is enough; a machine at work on something else gets more tries.
    for (let second = 0; second < 12 && most < 55; second++) {
      const until = performance.now() + 1000;
      let shown = 0;
      while (await new Promise(requestAnimationFrame), performance.now() < until) shown++;
      most = Math.max(most, shown);
    }
    play(false);
    // Ten minutes at 60 frames a second, every 60th of them drawn.
    const round = (): void => {
      for (let i = 0; i < 36_000; i++) {
        race.run(2);
        if (i % 60 === 0) draw();
      }
    };
    round();
    await new Promise(requestAnimationFrame);
    gc();
    const before = heap();
    round();
    await new Promise(requestAnimationFrame);
    gc();
    return {
      rate,
      grown,
      p95: frames[Math.floor(0.95 * frames.length)],
      frames: most,
      soak: heap() - before,
    };
  });
}
