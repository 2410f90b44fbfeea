/**
 * The worker in which the network learns. Every message is answered by one, in order.
 *
 * @module
 */
import { getThreads, setThreads, useDeterministicAlgorithms } from "../../src/runtime/devices.ts";
import type { Points } from "./data.ts";
import { NetworkTrainer } from "./trainer.ts";
import type { NetworkOptions, NetworkView } from "./view.ts";

/** What the page asks. */
export type Question =
  | { readonly ask: "make"; readonly options: NetworkOptions; readonly points: Points }
  | { readonly ask: "points"; readonly points: Points }
  | { readonly ask: "rate"; readonly lr: number }
  | { readonly ask: "train"; readonly steps: number };

/** What the worker answers. */
export type Answer = { readonly view: NetworkView; readonly threads: number } | { readonly error: string };

/** The part of a worker's scope that is used. */
interface Scope {
  postMessage(answer: Answer, transfer?: Transferable[]): void;
  onmessage: ((event: { data: Question }) => void) | null;
}

const scope = globalThis as unknown as Scope;
let trainer: NetworkTrainer | null = null, queue = Promise.resolve();

async function answer(question: Question): Promise<void> {
  switch (question.ask) {
    case "make":
      // The same network from the same seed on every machine; and it is too small to share among threads.
      useDeterministicAlgorithms(true);
      setThreads(1);
      trainer?.dispose();
      trainer = new NetworkTrainer(question.options);
      trainer.setPoints(question.points);
      break;
    case "points":
      trainer?.setPoints(question.points);
      break;
    case "rate":
      trainer?.setRate(question.lr);
      break;
    case "train":
      trainer?.train(question.steps);
  }
  if (trainer === null) throw new Error("there is no network yet");
  const view = await trainer.view();
  const arrays = [...view.weights, ...view.biases, ...view.maps];
  scope.postMessage({ view, threads: getThreads() }, arrays.map(({ buffer }) => buffer as ArrayBuffer));
}

scope.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data)).catch((error: unknown) =>
    scope.postMessage({ error: error instanceof Error ? error.message : String(error) })
  );
};
