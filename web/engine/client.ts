/**
 * The page's end of the engine.
 *
 * @module
 */
import type { Answers, Loading, Piece, Question, Reply, Written } from "./messages.ts";
import type { Fitting } from "./tables.ts";

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
  piece?: ((piece: Written | Loading | Fitting) => void) | undefined;
}

/** Asks the engine; it starts with the first question. */
export class Engine {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #count = 0;

  #start(): Worker {
    if (typeof WebAssembly === "undefined") {
      throw new Error(
        "this browser does not let pages use WebAssembly, and everything here is computed by it",
      );
    }
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#waiting.get(data.id);
      if (!waiting) return;
      if ("piece" in data) return waiting.piece?.(data.piece);
      this.#waiting.delete(data.id);
      if ("answer" in data) waiting.resolve(data.answer);
      else waiting.reject(Object.assign(new Error(data.error), { name: data.name }));
    });
    worker.addEventListener("error", (event) => {
      const error = new Error(event.message || "the engine could not be loaded; is the connection lost?");
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
      this.#worker = null;
    });
    return worker;
  }

  /** The answer to a question; `piece` hears what comes before it. */
  ask<Q extends Question>(
    question: Q,
    options: { signal?: AbortSignal; piece?: (piece: Piece<Q>) => void } = {},
  ): Promise<Answers[Q["do"]]> {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      try {
        this.#worker ??= this.#start();
      } catch (error) {
        return reject(error as Error);
      }
      const piece = options.piece as ((piece: Written | Loading | Fitting) => void) | undefined;
      this.#waiting.set(id, { resolve: resolve as (answer: unknown) => void, reject, piece });
      options.signal?.addEventListener("abort", () => this.#worker?.postMessage({ id, cancel: true }), {
        once: true,
      });
      this.#worker.postMessage({ id, question });
    });
  }

  /** What the engine runs on, in a sentence. */
  async introduce(): Promise<string> {
    const { threads, why } = await this.ask({ do: "start" });
    const many = `The engine computes on ${threads} ${threads === 1 ? "thread" : "threads"}`;
    if (threads > 1) return `${many}.`;
    const reason = globalThis.crossOriginIsolated
      ? why ?? "there is one processor"
      : "the page was served without the headers that isolate it";
    return `${many}: ${reason}.`;
  }
}
