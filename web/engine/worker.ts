/**
 * The engine: the library in a worker, so that the page itself never waits for a computation.
 *
 * @module
 */
// Not from mod.ts: a bundler keeps all of a file that two chunks reach, and this worker needs a part.
import { diagnose } from "../../src/runtime/diagnose.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import type { Answers, Question, Reply, Request, Written } from "./messages.ts";

const running = new Map<number, AbortController>();
let model: GPT2 | null = null;

/** The tabular engine comes when a page asks for it. */
const tables = (): Promise<typeof import("./tables.ts")> => import("./tables.ts");

const send = (reply: Reply): void => globalThis.postMessage(reply);

async function* answer(
  question: Question,
  signal: AbortSignal,
): AsyncGenerator<Written, Answers[keyof Answers]> {
  switch (question.do) {
    case "start": {
      const { threads } = await diagnose();
      return { threads: threads.used, why: threads.detail ?? null };
    }
    case "load": {
      const next = await GPT2.load(new URL(question.where), { signal });
      model?.dispose();
      model = next;
      const parameters = next.parameters().reduce((sum, { size }) => sum + size, 0);
      return { parameters, positions: next.contextLength, dtype: next.wte.weight.dtype };
    }
    case "write": {
      if (!model) throw new Error("no model is loaded");
      const { prompt, options: { temperature, topK, topP, minP, stop, ...rest } } = question;
      const { tokenizer } = model;
      const text = (id: number): string => tokenizer?.decode([id], { skipSpecialTokens: false }) ?? `${id} `;
      const sampling = temperature === 0 ? { doSample: false } : { temperature, topK, topP, minP };
      const started = performance.now();
      const tokens = model.stream(prompt, {
        ...rest,
        ...sampling,
        ...(stop.length ? { stop } : {}),
        logprobs: 6,
        signal,
      });
      for (;;) {
        const step = await tokens.next();
        if (step.done) {
          const { finishReason, ids } = step.value;
          return { finishReason, tokensPerSecond: 1e3 * ids.length / (performance.now() - started) };
        }
        const { text: own, details } = step.value;
        if (!own) continue;
        yield {
          text: own,
          probability: Math.exp(details?.logprob ?? 0),
          others: (details?.top ?? []).map(({ id, logprob }) => ({
            text: text(id),
            probability: Math.exp(logprob),
          })),
        };
      }
    }
    case "table":
      return await (await tables()).openTable(new URL(question.where));
    case "fit":
      return await (await tables()).fitTable(question.csv, signal);
    case "predict":
      return await (await tables()).askTable(question.row);
  }
}

globalThis.addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  const { id } = data;
  if ("cancel" in data) return running.get(id)?.abort();
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const steps = answer(data.question, controller.signal);
    for (;;) {
      const step = await steps.next();
      if (step.done) {
        send({ id, answer: step.value });
        return;
      }
      send({ id, piece: step.value });
    }
  } catch (error) {
    const { name, message } = error as Error;
    send({ id, error: message, name });
  } finally {
    running.delete(id);
  }
});
