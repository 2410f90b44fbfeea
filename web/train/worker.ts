/**
 * The worker in which a GPT learns.
 *
 * @module
 */
import { zip } from "../../src/files/zip.ts";
import type { Inside, Wish } from "./inside.ts";
import { Lesson, type LessonOptions, type Snapshot } from "./lesson.ts";

/** What the page asks; a run has a number, which comes back with all that is said of it. */
export type Question =
  | {
    readonly ask: "train";
    readonly run: number;
    readonly options: LessonOptions;
    /** In place of fresh weights, as `Lesson.half` gives them: then it waits before the first step. */
    readonly model: Uint16Array | null;
  }
  | { readonly ask: "half" }
  | { readonly ask: "pause"; readonly on: boolean }
  | { readonly ask: "step" }
  | { readonly ask: "stop" }
  | { readonly ask: "write"; readonly prompt: string }
  | { readonly ask: "look"; readonly wish: Wish }
  | { readonly ask: "at"; readonly step: number | null }
  | { readonly ask: "archive"; readonly to: "download" | "playground" };

/** What the worker says. */
export type Answer =
  & { readonly run: number }
  & (
    | { readonly say: "start"; readonly parameters: number }
    | { readonly say: "step"; readonly step: number; readonly loss: number; readonly tokensPerSecond: number }
    | { readonly say: "paused" }
    | {
      readonly say: "heldOut";
      readonly step: number;
      /** Null where the text is too short to hold a part of it out. */
      readonly loss: number | null;
    }
    | {
      readonly say: "sample";
      readonly step: number;
      readonly text: string;
      /** The steps of which there are snapshots. */
      readonly steps: readonly number[];
    }
    | { readonly say: "inside"; readonly step: number; readonly inside: Inside }
    | { readonly say: "written"; readonly text: string }
    | { readonly say: "unwritten"; readonly message: string }
    | { readonly say: "end"; readonly finished: boolean }
    | {
      readonly say: "archive";
      readonly to: "download" | "playground";
      readonly pieces: readonly Uint8Array<ArrayBuffer>[];
    }
    | { readonly say: "half"; readonly bits: Uint16Array<ArrayBuffer> }
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

/** What the page looks at, after which step (null: the newest), and whether it has not seen that yet. */
let wish: Wish | null = null, at: number | null = null, unseen = false;

/** The newest step, and when it was last looked into. */
let newest = 0, looked = 0;

/** The run that the lesson is of. */
let owner = 0;

/** Looks into a model that learns this often, in milliseconds: what is faster nobody sees. */
const glance = 250;

/** What the page waits for: a text, a look inside. */
async function serve(): Promise<void> {
  await write();
  if (wish === null || !unseen || lesson === null) return;
  unseen = false;
  const step = at ?? newest;
  try {
    scope.postMessage({ run: owner, say: "inside", step, inside: await lesson.look(wish, at) });
  } catch (error) {
    scope.postMessage({ run, say: "unwritten", message: (error as Error).message });
  }
  looked = performance.now();
}

async function keep(mine: Lesson, own: number, step: number): Promise<void> {
  const { text } = await mine.keep(step), steps = mine.snapshots.map((one: Snapshot) => one.step);
  scope.postMessage({ run: own, say: "sample", step, text, steps });
}

async function write(): Promise<void> {
  if (prompt === null) return;
  const asked = prompt;
  prompt = null;
  try {
    if (lesson === null) throw new Error("Nothing has been trained yet.");
    scope.postMessage({ run, say: "written", text: await lesson.write(asked, 120, at) });
  } catch (error) {
    // Training goes on.
    scope.postMessage({ run, say: "unwritten", message: (error as Error).message });
  }
}

/** A new run; the one before is stopped and over before it begins. */
function train(options: LessonOptions, model: Uint16Array | null): Promise<void> {
  const own = new AbortController(), before = current;
  stopper?.abort();
  stopper = own;
  paused = model !== null;
  granted = 0;
  wake();
  const mine = before.then(() => own.signal.aborted ? undefined : learn(options, model, own.signal)).finally(
    () => {
      if (stopper === own) stopper = null;
    },
  );
  current = mine.catch(() => undefined).then(serve); // what a run that ended or failed left unanswered
  return mine;
}

/** Waits while the run is paused; serves meanwhile. */
async function rest(signal: AbortSignal): Promise<void> {
  while (paused && granted === 0 && !signal.aborted) {
    await new Promise<void>((resolve) => wake = resolve);
    await serve();
  }
  if (granted > 0) granted--;
}

async function learn(options: LessonOptions, model: Uint16Array | null, signal: AbortSignal): Promise<void> {
  const own = run;
  lesson?.dispose();
  lesson = null;
  const mine = lesson = new Lesson(options);
  if (model !== null) mine.takeHalf(model);
  [newest, at, unseen, owner] = [0, null, true, own];
  scope.postMessage({ run: own, say: "start", parameters: mine.parameters });
  await keep(mine, own, 0);
  if (paused) {
    scope.postMessage({ run: own, say: "paused" });
    await serve();
    await rest(signal);
  }
  const letters = 8 * options.context;
  let last = performance.now(), told = 0;
  const finished = await mine.run(async ({ step, loss }) => {
    const now = performance.now();
    newest = step;
    if (now - last > 40 || step === 1 || step === options.steps || paused) {
      // Of the clock, samples and pictures included.
      const tokensPerSecond = 1e3 * letters * (step - told) / Math.max(now - last, 1e-3);
      [last, told] = [now, step];
      scope.postMessage({ run: own, say: "step", step, loss, tokensPerSecond });
    }
    if (mine.isDue(step)) {
      const heldOut = await mine.heldOut();
      scope.postMessage({ run: own, say: "heldOut", step, loss: heldOut });
      await keep(mine, own, step);
    }
    // Lets what the page asks come in.
    await new Promise((resolve) => setTimeout(resolve));
    if (at === null && (paused || step === options.steps || now - looked > glance)) unseen = true;
    await serve();
    if (paused) {
      if (granted === 0) {
        if (told !== step) scope.postMessage({ run: own, say: "step", step, loss, tokensPerSecond: 0 });
        told = step;
        scope.postMessage({ run: own, say: "paused" });
      }
      await rest(signal);
      last = performance.now(); // a pause is no work
    }
  }, signal);
  scope.postMessage({ run: own, say: "end", finished });
}

/** A run serves between its steps; without one, in the line in which runs stand: the next does not take the model away meanwhile. */
async function served(): Promise<void> {
  wake();
  if (stopper === null) await (current = current.then(serve));
}

async function answer(question: Question): Promise<void> {
  switch (question.ask) {
    case "train":
      run = question.run;
      return await train(question.options, question.model);
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
      return await served();
    case "look":
      wish = question.wish;
      unseen = true;
      return await served();
    case "at":
      at = question.step;
      unseen = true;
      return await served();
    case "half":
      if (lesson === null) throw new Error("nothing has been trained yet");
      scope.postMessage({ run, say: "half", bits: await lesson.half(at) });
      break;
    case "archive":
      if (lesson === null) throw new Error("nothing has been trained yet");
      scope.postMessage({ run, say: "archive", to: question.to, pieces: zip(await lesson.files(at)) });
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
