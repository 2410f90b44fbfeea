/**
 * `ferrotype serve`: an HTTP server that speaks OpenAI's API.
 *
 * @module
 */
import { kind, number, oneOf, whole } from "../../src/core/kinds.ts";
import { CancelledError, type CausalLM, formatLimits, loadChatTemplate, type Pooling } from "../../mod.ts";
import { environment, isPermitted, onStop } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { noteSeveral } from "../generation.ts";
import { bundledModel, deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, note, print, printJson } from "../output.ts";
import { fieldLines } from "../serve/fields.ts";
import { readHost, readOrigin } from "../serve/guard.ts";
import { mostDeep, mostValues } from "../serve/json_body.ts";
import { startServer } from "../serve/server.ts";

const loopback = /^(localhost|127(\.\d+){3}|::1|\[::1\])$/;

/** @throws {UsageError} for a value that cannot be read. */
function read(texts: readonly string[], reader: (text: string) => string): string[] {
  try {
    return texts.map(reader);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Whether both sides of the first `=` say something. */
function isNamed(x: unknown): boolean {
  return typeof x === "string" && /^[^=]+=./.test(x);
}

/** Loads adapters given as NAME=DIR; none is in use but by name. Gives the names. */
async function loadAdapters(
  model: CausalLM,
  given: readonly string[],
  served: string,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for (const text of given) {
    const at = text.indexOf("="), name = text.slice(0, at);
    if (names.includes(name) || name === served) {
      throw new UsageError(`--lora ${text}: something else is called ${name} already; give it another name`);
    }
    await model.loadAdapter(text.slice(at + 1), { name, signal, onWarning: (message) => void note(message) });
    names.push(name);
  }
  model.setAdapter(null);
  return names;
}

/** The command. */
export const serve: Command = {
  name: "serve",
  usage: "[options]",
  summary: "Serves a model over HTTP, as OpenAI's API does; requests that overlap are computed together.",
  details:
    "Routes: /v1/models, /v1/completions, /v1/chat/completions (for a model with a chat template),\n/v1/embeddings, " +
    "/health, /ready (503 while it stops or its queue is full), /metrics (for Prometheus).\n" +
    "Ctrl-C finishes what runs and ends; a second one ends at once.\n" +
    "It answers to the names of this machine alone (localhost, addresses, --host, --allowed-host), and to pages of --cors.\n\n" +
    `A body is JSON (Content-Type: application/json) of at most ${mostValues} values, ${mostDeep} deep. Its fields:\n` +
    `${fieldLines().join("\n")}\n` +
    `A schema has at most ${formatLimits.characters} characters and is ${formatLimits.depth} deep, a pattern ${formatLimits.patternCharacters} and ` +
    `${formatLimits.patternDepth};\nboth have at most ${formatLimits.parts} parts, and ${formatLimits.ways} ways to go on at one place. Prompts and answers are\n` +
    "together at most as long as the model's context. Other fields of OpenAI's API, vLLM, llama.cpp and Ollama are accepted\n" +
    "with values that change nothing.",
  positionals: [0, 0],
  options: {
    host: { value: "NAME", help: "address to listen at (default 127.0.0.1; elsewhere a key is needed)" },
    port: {
      value: "N",
      kind: whole(0, 65535),
      help: "port (default 8080; 0: any that is free)",
    },
    "api-key": { value: "KEY", help: "what clients must send (or FERROTYPE_API_KEY in the environment)" },
    name: { value: "NAME", help: "the model's name in answers (default: as given with --model)" },
    "max-batch": {
      value: "N",
      kind: whole(1, 256),
      help: "texts computed together (default 16)",
    },
    "max-queue": { value: "N", kind: whole(0), help: "texts that may wait (default 256)" },
    "max-texts": {
      value: "N",
      kind: whole(1, 65536),
      help: "texts that one request may ask for: prompts times n (default 256)",
    },
    pooling: {
      value: "HOW",
      kind: oneOf("mean", "last", "cls"),
      help: "how /v1/embeddings makes positions a vector: mean, last or cls (default mean)",
    },
    "format-seconds": {
      value: "SECONDS",
      kind: number({ from: 0 }),
      help:
        "seconds of work that one text's format may take; a costly one ends when it and those it waits for took as much, and a hundredth more for each token it has (default 10)",
    },
    "max-body": { value: "BYTES", kind: whole(1, 1 << 30), help: "largest request (default 1048576)" },
    patience: {
      value: "SECONDS",
      kind: whole(1, 3600),
      help: "how long a request may take to arrive (default 60)",
    },
    cors: {
      value: "ORIGIN",
      multiple: true,
      help: "a page that may ask from a browser, or * (again for more)",
    },
    "allowed-host": {
      value: "NAME",
      multiple: true,
      help: "a further name that this machine is asked by, or * (again for more)",
    },
    ...modelOptions,
    lora: {
      value: "NAME=DIR",
      multiple: true,
      kind: kind("a name and a folder, hub repository or GGUF, as in pirate=adapters/pirate", isNamed),
      help: "LoRA adapter that clients ask for by NAME, as `model` or `lora` (again for more)",
    },
  },
  idle: deviceIdle,
  async run(values) {
    const host = values.text("host") ?? "127.0.0.1",
      apiKey = values.text("api-key") ?? environment("FERROTYPE_API_KEY") ?? null;
    if (!loopback.test(host) && !apiKey) {
      throw new UsageError(`--host ${host} lets other machines in; give --api-key KEY too`);
    }
    if (apiKey === "") throw new UsageError("the API key is empty; give one of at least one character");
    const [cors, allowedHosts] = [
      read(values.texts("cors"), readOrigin),
      read(values.texts("allowed-host"), readHost),
    ];
    const port = values.number("port") ?? 8080;
    if (!isPermitted({ name: "net", host: `${host}:${port}` })) {
      throw new Error(
        `Deno was not allowed to listen at ${host}:${port}; run with --allow-net=${host}:${port}`,
      );
    }
    const controller = new AbortController();
    let interrupts = 0, stop: () => void = () => controller.abort();
    const onSignal = (): void => {
      interrupts++;
      stop();
    };
    const remove = onStop(onSignal);
    try {
      const { model, name } = await loadModel(values, controller.signal);
      if (!model.tokenizer) {
        throw new UsageError(`${name} has no tokenizer, and requests are texts; add its tokenizer.json`);
      }
      await noteSeveral(model.generationConfig, "a request says with n how many texts it wants");
      const adapters = await loadAdapters(
        model,
        values.texts("lora"),
        values.text("name") ?? name,
        controller.signal,
      );
      const template = await loadChatTemplate(values.text("model") ?? bundledModel);
      const server = await startServer({
        model,
        name: values.text("name") ?? name,
        adapters,
        template,
        host: host.replace(/^\[(.*)\]$/, "$1"),
        port,
        apiKey,
        cors,
        allowedHosts,
        maxBatch: values.number("max-batch") ?? 16,
        maxQueue: values.number("max-queue") ?? 256,
        pooling: (values.text("pooling") ?? "mean") as Pooling,
        maxTexts: values.number("max-texts") ?? 256,
        formatSeconds: values.number("format-seconds") ?? 10,
        maxBody: values.number("max-body") ?? 1 << 20,
        patience: values.number("patience") ?? 60,
      }).catch((error) => {
        const { code } = error as { code?: string };
        if (code !== "EADDRINUSE" && code !== "EACCES") throw error;
        throw new Error(
          `port ${port} of ${host} is ${
            code === "EACCES" ? "not allowed" : "in use"
          }; choose another with --port`,
        );
      });
      await server.service.warm(controller.signal);
      const served = values.text("name") ?? name;
      if (values.flag("json")) await printJson({ url: `${server.url}/v1`, model: served });
      else await print(`ferrotype serves ${served} at ${server.url}/v1`);
      await new Promise<void>((resolve, reject) => {
        stop = () => {
          if (interrupts > 1) {
            server.abort();
            return reject(new CancelledError("serve: interrupted"));
          }
          const { active, waiting } = server.service.load;
          if (active + waiting) {
            void note(`finishing ${counted(active + waiting, "text")}; interrupt again to end at once`);
          }
          void server.stop().then(resolve, reject);
        };
        if (controller.signal.aborted) stop();
      });
      model.dispose();
    } finally {
      remove();
    }
  },
};
