/**
 * The worker in which a GPT learns.
 *
 * @module
 */
import { zip } from "../shared/zip.ts";
import { Lesson, type LessonOptions } from "./lesson.ts";

/** What the page asks. */
export type Question =
  | { readonly ask: "train"; readonly options: LessonOptions }
  | { readonly ask: "stop" }
  | { readonly ask: "download" };

/** What the worker says. */
export type Answer =
  | { readonly say: "start"; readonly parameters: number }
  | { readonly say: "step"; readonly step: number; readonly loss: number; readonly tokensPerSecond: number }
  | { readonly say: "sample"; readonly step: number; readonly text: string }
  | { readonly say: "end"; readonly finished: boolean }
  | { readonly say: "archive"; readonly pieces: readonly Uint8Array<ArrayBuffer>[] }
  | { readonly say: "error"; readonly message: string };

/** The part of a worker's scope that is used. */
interface Scope {
  postMessage(answer: Answer): void;
  onmessage: ((event: { data: Question }) => void) | null;
}

const scope = globalThis as unknown as Scope;
let lesson: Lesson | null = null, stopper: AbortController | null = null;

async function train(options: LessonOptions): Promise<void> {
  if (stopper !== null) throw new Error("a training run is under way; stop it first");
  const own = stopper = new AbortController();
  try {
    lesson?.model.dispose();
    lesson = null;
    const mine = lesson = new Lesson(options);
    scope.postMessage({ say: "start", parameters: mine.parameters });
    const every = Math.max(10, Math.round(options.steps / 12));
    let last = performance.now();
    const finished = await mine.run(async ({ step, loss, tokensPerSecond }) => {
      const now = performance.now();
      if (now - last > 40 || step === 1 || step === options.steps) {
        last = now;
        scope.postMessage({ say: "step", step, loss, tokensPerSecond });
      }
      if (step % every === 0 || step === options.steps) {
        scope.postMessage({ say: "sample", step, text: await mine.sample() });
      }
      // Lets a wish to stop come in.
      await new Promise((resolve) => setTimeout(resolve));
    }, own.signal);
    scope.postMessage({ say: "end", finished });
  } finally {
    stopper = null;
  }
}

async function answer(question: Question): Promise<void> {
  if (question.ask === "stop") return stopper?.abort();
  if (question.ask === "train") return await train(question.options);
  if (lesson === null) throw new Error("nothing has been trained yet");
  scope.postMessage({ say: "archive", pieces: zip(await lesson.files()) });
}

scope.onmessage = ({ data }) => {
  answer(data).catch((error: unknown) =>
    scope.postMessage({ say: "error", message: error instanceof Error ? error.message : String(error) })
  );
};
