/**
 * The engine: the library in a worker, so that the page itself never waits for a computation.
 *
 * @module
 */
// Not from mod.ts: a bundler keeps all of a file that two chunks reach, and this worker needs a part.
import { diagnose } from "../../src/runtime/diagnose.ts";
import { GPT2 } from "../../src/runtime/gpt2.ts";
import type { CausalLM } from "../../src/runtime/causal_lm.ts";
import { keptFile, modelPaths } from "../shared/kept.ts";
import { attend, logitLens } from "./lens.ts";
import { readingOf } from "./reading.ts";
import type {
  Answers,
  HeldAs,
  LoadedModel,
  Loading,
  ModelPlace,
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

/** So does what tells of choices. */
const choices = (): Promise<typeof import("./choices.ts")> => import("./choices.ts");

/** This script lies one folder below the root of the site. */
const root = new URL("../", import.meta.url);

/** The files of a model of this site, by name, all at once. */
async function bundledFiles(
  folder: URL,
  signal: AbortSignal,
  onProgress: (told: Loading) => void,
): Promise<Record<string, Blob>> {
  const names = modelPaths().map((path) => new URL(path, root)).filter(({ href }) =>
    href.startsWith(folder.href)
  )
    .map(({ href }) => href.slice(folder.href.length));
  const states = new Map<string, readonly [loaded: number, total: number]>();
  const files = await Promise.all(names.map(async (name) => {
    const blob = await keptFile(new URL(name, folder), root, signal, (loaded, total) => {
      states.set(name, [loaded, total]);
      const sum = (i: 0 | 1): number => [...states.values()].reduce((sum, state) => sum + state[i], 0);
      onProgress({ phase: "download", file: "the model", loaded: sum(0), total: sum(1) });
    });
    return [name, blob] as const;
  }));
  return Object.fromEntries(files);
}

const send = (reply: Reply): void => globalThis.postMessage(reply);

/** Where the model is that was loaded last. */
let place: ModelPlace | null = null;

/** Reads a model; what is told of its progress is passed on now and then. */
async function read(
  from: ModelPlace,
  heldAs: HeldAs,
  id: number,
  signal: AbortSignal,
): Promise<GPT2 | CausalLM> {
  let told = -Infinity;
  const onProgress = ({ phase, file, loaded, total }: Loading): void => {
    const now = performance.now();
    if (now - told < 100 && loaded < total) return;
    told = now;
    send({ id, piece: { phase, loaded, total, ...(file === undefined ? {} : { file }) } });
  };
  const options = { signal, onProgress, ...(heldAs === "as stored" ? {} : { dtype: heldAs }) };
  return "url" in from
    ? await GPT2.load(await bundledFiles(new URL(from.url), signal, onProgress), options)
    : "files" in from
    ? await (await families()).CausalLM.load(from.files, options)
    : await (await families()).CausalLM.load(from.repository, {
      ...options,
      revision: from.revision,
      endpoint: from.endpoint,
    });
}

/** Loads the model that all else is asked of. */
async function load(
  { from, heldAs }: Question & { do: "load" },
  id: number,
  signal: AbortSignal,
): Promise<LoadedModel> {
  const next = await read(from, heldAs, id, signal);
  model?.dispose();
  model = next;
  place = from;
  const { contextLength: positions, vocabSize: vocabulary, layers, heads, dtype } = next;
  return {
    parameters: next.numParameters(),
    positions,
    vocabulary,
    layers,
    heads,
    dtype,
    reads: next.tokenizer !== null,
  };
}

/** The model that was loaded. @throws while there is none. */
function loaded(): GPT2 | CausalLM {
  if (!model) throw new Error("no model is loaded");
  return model;
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
    case "reading": {
      const { left, ids, seen } = readingOf(loaded(), question.text);
      return { left, tokens: ids.length, seen: seen.length };
    }
    case "attend":
      return await attend(loaded(), readingOf(loaded(), question.text).ids, question.layer);
    case "lens":
      return await logitLens(loaded(), readingOf(loaded(), question.text).ids);
    case "choices": {
      const { prompt, made, options } = question, { choicesAt } = await choices();
      return await choicesAt(loaded(), prompt, made, options, 8);
    }
    case "side": {
      if (place === null) throw new Error("no model is loaded");
      const { heldAs, judged, prompt, options } = question, { sideOf } = await import("./side_by_side.ts");
      using one = await read(place, heldAs, id, signal);
      return await sideOf(one, judged, prompt, options, signal);
    }
    case "write": {
      if (!model) throw new Error("no model is loaded");
      const { prompt, options } = question, { libraryOptions } = await choices();
      const { tokenizer } = model;
      const text = (id: number): string => tokenizer?.decode([id], { skipSpecialTokens: false }) ?? `${id} `;
      const started = performance.now();
      const tokens = model.stream(prompt && readingOf(model, prompt).seen, {
        ...libraryOptions(options),
        logprobs: 6,
        signal,
      });
      let parts: number[] = [];
      for (;;) {
        const step = await tokens.next();
        if (step.done) {
          const { finishReason, ids } = step.value;
          return { finishReason, tokensPerSecond: 1e3 * ids.length / (performance.now() - started) };
        }
        const { id, text: own, details } = step.value;
        if (id !== null) parts.push(id);
        if (!own) continue;
        const ids = parts;
        parts = [];
        yield {
          text: own,
          ids,
          probability: Math.exp(details?.logprob ?? 0),
          others: (details?.top ?? []).map(({ id, logprob }) => ({
            text: text(id),
            probability: Math.exp(logprob),
          })),
        };
      }
    }
    case "tokens": {
      const { text, file } = question, { tokensOf } = await import("./tokens.ts");
      return await tokensOf(text, file, model?.tokenizer ?? null);
    }
    case "table":
      return await (await tables()).openTable(
        new File([await keptFile(new URL(question.where), root, signal)], question.where.split("/").at(-1)!),
        signal,
      );
    case "fit":
      return await (await tables()).fitTable(
        question.csv,
        question.target,
        signal,
        (piece) => send({ id, piece }),
      );
    case "presets":
      return await (await tables()).presets();
    case "predict":
      return await (await tables()).askTable(question.row);
    case "explain":
      return await (await tables()).explainRow(question.row);
    case "keep":
      return await (await tables()).keepTable();
    case "carry":
      return (await tables()).carryTable();
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
    // Waiting and fetching are cancelled by their own name.
    send({ id, error: message, name: name === "AbortError" ? "CancelledError" : name });
  } finally {
    running.delete(id);
  }
});
