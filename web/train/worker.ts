/**
 * The worker in which a GPT learns.
 *
 * @module
 */
import { zip } from "../../src/files/zip.ts";
import { Lesson, type LessonOptions } from "./lesson.ts";

/** What the page asks; a run has a number, which comes back with all that is said of it. */
export type Question =
  | { readonly ask: "train"; readonly run: number; readonly options: LessonOptions }
  | { readonly ask: "pause"; readonly on: boolean }
  | { readonly ask: "step" }
  | { readonly ask: "stop" }
  | { readonly ask: "write"; readonly prompt: string }
  | { readonly ask: "download" };

/** What the worker says. */
export type Answer =
  & { readonly run: number }
  & (
    | { readonly say: "start"; readonly parameters: number }
    | { readonly say: "step"; readonly step: number; readonly loss: number; readonly tokensPerSecond: number }
    | { readonly say: "paused" }
    | { readonly say: "heldOut"; readonly step: number; readonly loss: number }
    | { readonly say: "sample"; readonly step: number; readonly text: string }
    | { readonly say: "written"; readonly text: string }
    | { readonly say: "unwritten"; readonly message: string }
    | { readonly say: "end"; readonly finished: boolean }
    | { readonly say: "archive"; readonly pieces: readonly Uint8Array<ArrayBuffer>[] }
    | { readonly say: "error"; readonly message: string }
  );

/** The part of a worker's scope that is used. */
interface Scope {
  postMessage(answer: Answer): void;
  onmessage: ((event: { data: Question }) => void) | null;
}

const scope = globalThis as unknown as Scope;
let lesson: Lesson | null = null, stopper: AbortController | null = null;
let current = Promise.resolve(), run = 0;

/** Whether the run waits, how many steps it may go meanwhile, and what lets it look again. */
let paused = false, granted = 0, wake = (): void => {};

/** The last prompt that has no answer yet; a run answers between its steps. */
let prompt: string | null = null;

async function write(): Promise<void> {
  if (prompt === null) return;
  const asked = prompt;
  prompt = null;
  try {
    if (lesson === null) throw new Error("Nothing has been trained yet.");
    scope.postMessage({ run, say: "written", text: await lesson.write(asked) });
  } catch (error) {
    // Training goes on.
    scope.postMessage({ run, say: "unwritten", message: (error as Error).message });
  }
}

/** A new run; the one before is stopped and over before it begins. */
function train(options: LessonOptions): Promise<void> {
  const own = new AbortController(), before = current;
  stopper?.abort();
  stopper = own;
  paused = false;
  wake();
  const mine = before.then(() => own.signal.aborted ? undefined : learn(options, own.signal)).finally(() => {
    if (stopper === own) stopper = null;
  });
  current = mine.catch(() => undefined).then(write); // what a run that ended or failed left unanswered
  return mine;
}

async function learn(options: LessonOptions, signal: AbortSignal): Promise<void> {
  const own = run;
  lesson?.model.dispose();
  lesson = null;
  const mine = lesson = new Lesson(options);
  scope.postMessage({ run: own, say: "start", parameters: mine.parameters });
  const every = Math.max(10, Math.round(options.steps / 12)), letters = 8 * options.context;
  let last = performance.now(), told = 0;
  const finished = await mine.run(async ({ step, loss }) => {
    const now = performance.now();
    if (now - last > 40 || step === 1 || step === options.steps || paused) {
      // Of the clock, samples and pictures included.
      const tokensPerSecond = 1e3 * letters * (step - told) / Math.max(now - last, 1e-3);
      [last, told] = [now, step];
      scope.postMessage({ run: own, say: "step", step, loss, tokensPerSecond });
    }
    if (step % every === 0 || step === options.steps) {
      const heldOut = await mine.heldOut();
      if (heldOut !== null) scope.postMessage({ run: own, say: "heldOut", step, loss: heldOut });
      scope.postMessage({ run: own, say: "sample", step, text: await mine.sample() });
    }
    // Lets what the page asks come in.
    await new Promise((resolve) => setTimeout(resolve));
    await write();
    if (paused) {
      if (granted === 0) {
        if (told !== step) scope.postMessage({ run: own, say: "step", step, loss, tokensPerSecond: 0 });
        told = step;
        scope.postMessage({ run: own, say: "paused" });
      }
      while (paused && granted === 0 && !signal.aborted) {
        await new Promise<void>((resolve) => wake = resolve);
        await write();
      }
      if (granted > 0) granted--;
      last = performance.now(); // a pause is no work
    }
  }, signal);
  scope.postMessage({ run: own, say: "end", finished });
}

async function answer(question: Question): Promise<void> {
  switch (question.ask) {
    case "train":
      run = question.run;
      return await train(question.options);
    case "pause":
      paused = question.on;
      granted = 0;
      return wake();
    case "step":
      paused = true;
      granted++;
      return wake();
    case "stop":
      stopper?.abort();
      return wake();
    case "write":
      prompt = question.prompt;
      wake();
      // Without a run, in the line in which runs stand: the next one does not take the model away meanwhile.
      if (stopper === null) await (current = current.then(write));
      return;
    case "download":
      if (lesson === null) throw new Error("nothing has been trained yet");
      scope.postMessage({ run, say: "archive", pieces: zip(await lesson.files()) });
  }
}

scope.onmessage = ({ data }) => {
  const own = data.ask === "train" ? data.run : run;
  answer(data).catch((error: unknown) =>
    scope.postMessage({
      run: own,
      say: "error",
      message: error instanceof Error ? error.message : String(error),
    })
  );
};
