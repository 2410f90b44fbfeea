/**
 * A server for one test, and the official `openai` client to ask it.
 *
 * @module
 */
import { assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import OpenAI from "openai";
import { BpeTokenizer, GPT2, manualSeed } from "../mod.ts";
import { type RunningServer, type ServerOptions, startServer } from "../cli/serve/server.ts";
import { repository } from "./_data.ts";

/** The folder of the bundled model. */
export const bundled: string = join(repository, "web/models/shakespeare");
/** A chat template. */
export const chatml: string =
  "{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}ASSISTANT:\n{% endif %}";

/** A server as tests have it, of the bundled model. */
export const serverDefaults: Omit<ServerOptions, "model"> = {
  name: "shakespeare",
  template: null,
  maxBatch: 8,
  maxQueue: 64,
  host: "127.0.0.1",
  port: 0,
  apiKey: null,
  maxTexts: 256,
  maxBody: 1 << 16,
  patience: 60,
  cors: [],
  allowedHosts: [],
};

/** Starts a server with these options, and stops it after `use`. */
export async function withServer(
  options: Partial<ServerOptions>,
  use: (server: RunningServer, client: OpenAI) => Promise<void>,
  model?: GPT2,
): Promise<void> {
  const own = model ?? await GPT2.load(bundled);
  const server = await startServer({
    model: own,
    ...serverDefaults,
    ...options,
  });
  try {
    const apiKey = options.apiKey ?? "none";
    await use(server, new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }));
  } finally {
    await server.stop();
    if (!model) own.dispose();
  }
}

/** What `fetch` is told besides a body. */
export const post = { method: "POST", headers: { "Content-Type": "application/json" } } as const;

/** An error of the API. */
export async function refused(promise: Promise<unknown>, status: number, message: RegExp): Promise<void> {
  const error: Error & { status?: number } = await assertRejects(() => promise, Error);
  assertStrictEquals(error.status, status, error.message);
  assertMatch(error.message, message);
}

/** A model of a few thousand random weights that writes any bytes, up to `nPositions` tokens of them. */
export function byteModel(nPositions: number): GPT2 {
  const tokenizer = BpeTokenizer.train("the quick brown fox ".repeat(9), { vocabSize: 270 });
  manualSeed(4);
  const model = new GPT2({
    vocabSize: tokenizer.vocabSize,
    nPositions,
    nEmbd: 16,
    nLayer: 1,
    nHead: 2,
    eosTokenId: null,
  }).eval();
  model.tokenizer = tokenizer;
  return model;
}
