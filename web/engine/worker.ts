/**
 * The engine: the library in a worker, so that the page itself never waits for a computation.
 *
 * @module
 */
// Not from mod.ts: a bundler keeps all of a file that two chunks reach, and this worker needs a part.
import { diagnose } from "../../src/runtime/diagnose.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import type { CausalLM } from "../../src/runtime/causal_lm.ts";
import type {
  Answers,
  Attention,
  LoadedModel,
  Loading,
  Question,
  Reply,
  Request,
  Written,
} from "./messages.ts";

const running = new Map<number, AbortController>();
let model: GPT2 | CausalLM | null = null;

/** The families come when a visitor brings a model; those of this site are GPT-2s. */
const families = (): Promise<typeof import("../../src/runtime/causal_lm.ts")> =>
  import("../../src/runtime/causal_lm.ts");

/** The tabular engine comes when a page asks for it. */
const tables = (): Promise<typeof import("./tables.ts")> => import("./tables.ts");

const send = (reply: Reply): void => globalThis.postMessage(reply);

/** Loads a model; what is told of its progress is passed on now and then. */
async function load(
  { from, heldAs }: Question & { do: "load" },
  id: number,
  signal: AbortSignal,
): Promise<LoadedModel> {
  let told = -Infinity;
  const onProgress = ({ phase, file, loaded, total }: Loading): void => {
    const now = performance.now();
    if (now - told < 100 && loaded < total) return;
    told = now;
    send({ id, piece: { phase, loaded, total, ...(file === undefined ? {} : { file }) } });
  };
  const options = { signal, onProgress, ...(heldAs === "as stored" ? {} : { dtype: heldAs }) };
  const next = "url" in from
    ? await GPT2.load(new URL(from.url), options)
    : "files" in from
    ? await (await families()).CausalLM.load(from.files, options)
    : await (await families()).CausalLM.load(from.repository, {
      ...options,
      revision: from.revision,
      endpoint: from.endpoint,
    });
  model?.dispose();
  model = next;
  const { contextLength: positions, vocabSize: vocabulary, layers, heads, dtype } = next;
  return { parameters: next.numParameters(), positions, vocabulary, layers, heads, dtype };
}

/** What the tokens of a text look at in a layer; the last ones, where there are more than the model takes. */
async function attend(text: string, layer: number): Promise<Attention> {
  if (!model) throw new Error("no model is loaded");
  const ids = model.encode(text).slice(-model.contextLength),
    [found] = model.attentions(ids, { layers: [layer] });
  const weights = Float32Array.from(await found.data() as Float32Array);
  found.dispose();
  const tokens = ids.map((id) => model?.tokenizer?.decode([id], { skipSpecialTokens: false }) ?? String(id));
  return { tokens, heads: model.heads, weights };
}

async function* answer(
  question: Question,
  id: number,
  signal: AbortSignal,
): AsyncGenerator<Written, Answers[keyof Answers]> {
  switch (question.do) {
    case "start": {
      const { threads } = await diagnose();
      return { threads: threads.used, why: threads.detail ?? null };
    }
    case "load":
      return await load(question, id, signal);
    case "attend":
      return await attend(question.text, question.layer);
    case "write": {
      if (!model) throw new Error("no model is loaded");
      const {
        prompt,
        options: { temperature, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff, stop, seed, ...rest },
      } = question;
      const { tokenizer } = model;
      const text = (id: number): string => tokenizer?.decode([id], { skipSpecialTokens: false }) ?? `${id} `;
      const sampling = temperature === 0
        ? { doSample: false }
        : { seed, temperature, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff };
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
      return await (await tables()).fitTable(question.csv, question.target, signal);
    case "presets":
      return await (await tables()).presets();
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
    const steps = answer(data.question, id, controller.signal);
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
