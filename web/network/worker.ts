/**
 * The worker in which the network learns. Every message is answered by one, in order.
 *
 * @module
 */
import { getThreads, setThreads, useDeterministicAlgorithms } from "../../src/runtime/devices.ts";
import type { Points } from "./data.ts";
import { NetworkTrainer } from "./trainer.ts";
import type { NetworkOptions, NetworkView, Tuning, Walk } from "./view.ts";

/** What the page asks. */
export type Question =
  | {
    readonly ask: "make";
    readonly options: NetworkOptions;
    readonly points: Points;
    /** In place of fresh weights. */
    readonly weights: Float32Array | null;
  }
  | { readonly ask: "points"; readonly points: Points }
  | { readonly ask: "tune"; readonly tuning: Tuning }
  | {
    readonly ask: "weight";
    readonly layer: number;
    readonly to: number;
    readonly from: number;
    readonly value: number;
  }
  | { readonly ask: "train"; readonly steps: number }
  | { readonly ask: "walk" };

/** What the worker answers. */
export type Answer =
  | {
    readonly asked: Question["ask"];
    readonly view: NetworkView;
    readonly threads: number;
    readonly walk: Walk | null;
  }
  | { readonly error: string };

/** The part of a worker's scope that is used. */
interface Scope {
  postMessage(answer: Answer, transfer?: Transferable[]): void;
  onmessage: ((event: { data: Question }) => void) | null;
}

const scope = globalThis as unknown as Scope;
let trainer: NetworkTrainer | null = null, queue = Promise.resolve();

async function answer(question: Question): Promise<void> {
  let walk: Walk | null = null;
  if (question.ask === "make") {
    // The same network from the same seed on every machine; and it is too small to share among threads.
    useDeterministicAlgorithms(true);
    setThreads(1);
    trainer?.dispose();
    trainer = new NetworkTrainer(question.options);
    trainer.setPoints(question.points);
    if (question.weights !== null) trainer.setAllWeights(question.weights);
  }
  if (trainer === null) throw new Error("there is no network yet");
  if (question.ask === "points") trainer.setPoints(question.points);
  if (question.ask === "tune") trainer.tune(question.tuning);
  if (question.ask === "weight") {
    trainer.setWeight(question.layer, question.to, question.from, question.value);
  }
  if (question.ask === "train") trainer.train(question.steps);
  if (question.ask === "walk") walk = await trainer.walk();
  const view = await trainer.view();
  const arrays = [...view.weights, ...view.biases, ...view.maps];
  scope.postMessage(
    { asked: question.ask, view, threads: getThreads(), walk },
    arrays.map(({ buffer }) => buffer as ArrayBuffer),
  );
}

scope.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data)).catch((error: unknown) =>
    scope.postMessage({ error: error instanceof Error ? error.message : String(error) })
  );
};
