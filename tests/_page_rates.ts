/**
 * The rates that the pages are held to, for the report: `deno task report:web`; and the race page's handle in its global
 * scope. No test asserts a rate: it would be one of the machine and of what else it does.
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
  /** Milliseconds of script that 95 % of the frames stay within while racing. */
  p95: number;
  /** Frames that the browser showed in a second of racing. */
  frames: number;
}

/** By how many bytes the page's heap grew. */
export interface RaceHeap {
  /** In a million steps. */
  grown: number;
  /** In the steps and frames of ten minutes. */
  soak: number;
}

/** The rates as a sentence. */
export function describeRates({ rate, p95, frames }: RaceRates, { grown, soak }: RaceHeap): string {
  return `${
    (rate / 1e6).toFixed(2)
  } million steps/s over four optimizers; ${grown} bytes allocated in a million steps; ` +
    `a frame takes ${
      p95.toFixed(2)
    } ms (p95), ${frames} a second; the heap grew by ${soak} bytes in ten minutes of racing`;
}

/** Measures an open race page. */
export async function measureRace(page: Page): Promise<RaceRates> {
  return await page.evaluate(async () => {
    const { race: { race, play, draw } } = globalThis as unknown as { race: RaceHandle };
    play(false);
    const four = race.racers.slice(0, 4), { surface } = race;
    race.restart(-1.2, 1);
    for (const racer of four) racer.run(surface, 50_000);
    const start = performance.now();
    for (const racer of four) racer.run(surface, 250_000);
    const rate = 1e6 / ((performance.now() - start) / 1000);
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
    play(true);
    const until = performance.now() + 1000;
    let shown = 0;
    while (await new Promise(requestAnimationFrame), performance.now() < until) shown++;
    play(false);
    return { rate, p95: frames[Math.floor(0.95 * frames.length)], frames: shown };
  });
}

/** Measures the heap of an open race page, in a browser started with `--js-flags=--expose-gc`. */
export async function measureHeap(page: Page): Promise<RaceHeap> {
  return await page.evaluate(async () => {
    const { race: { race, play, draw }, gc } = globalThis as unknown as { race: RaceHandle; gc(): void };
    const heap = (): number =>
      (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;
    play(false);
    const four = race.racers.slice(0, 4), { surface } = race;
    race.restart(-1.2, 1);
    for (const racer of four) racer.run(surface, 50_000);
    gc();
    const start = heap();
    for (const racer of four) racer.run(surface, 250_000);
    const grown = heap() - start;
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
    return { grown, soak: heap() - before };
  });
}

/** Begins to watch the page's main thread; what it gives tells of the tasks above 50 ms since, and of the frames. */
export async function watchTasks(page: Page): Promise<() => Promise<{ long: number[]; frames: number }>> {
  type Watched = { tasks: { long: number[]; frames: number } };
  await page.evaluate(() => {
    const tasks = (globalThis as unknown as Watched).tasks = { long: [], frames: 0 } as Watched["tasks"];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.long.push(Math.round(duration));
    }).observe({ type: "longtask" });
    const frame = (): void => {
      tasks.frames++;
      requestAnimationFrame(frame);
    };
    frame();
  });
  return () => page.evaluate(() => (globalThis as unknown as Watched).tasks);
}

/** Moves a slider of the tables' page 40 times; how long each answer took, in milliseconds, the quickest first. */
export async function dragTimes(page: Page): Promise<number[]> {
  return await page.evaluate(async () => {
    const times: number[] = [], facts = document.getElementById("facts")!;
    const input = document.querySelector("#inputs input[type=range]") as HTMLInputElement;
    const [low, high] = [Number(input.min), Number(input.max)];
    for (let i = 0; i < 40; i++) {
      const changed = new Promise<void>((resolve) => {
        const observer = new MutationObserver(() => (observer.disconnect(), resolve()));
        observer.observe(facts, { childList: true, characterData: true, subtree: true });
      });
      input.value = String(low + (high - low) * ((i * 7 + 3) % 40) / 40);
      const began = performance.now();
      input.dispatchEvent(new Event("input"));
      await changed;
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b);
  });
}
