/**
 * The server under load, on loopback: how many tokens a second clients get together, and how long the first one takes.
 *
 * Every request is a stream of its own over HTTP. Eight clients should get at least three times what one gets, since their
 * steps are taken together and weights are read once for all.
 *
 * @module
 */
import process from "node:process";
import type { GPT2 } from "../../mod.ts";
import { type RunningServer, startServer } from "../../cli/serve/server.ts";
import { loadGpt2 } from "../gpt2.ts";
import { gpt2WithTokenizer } from "../load/server.ts";
import type { Bench, Group, Row, Subject } from "../harness.ts";
import { median } from "../harness.ts";

/** Milliseconds until the first piece of a streamed answer, and how many pieces there were. */
export async function request(
  url: string,
  tokens: number,
  seed: number,
): Promise<{ first: number; pieces: number }> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt: [5, 6, 7, seed % 200], max_tokens: tokens, temperature: 0, stream: true }),
  });
  if (!response.ok || !response.body) throw new Error(`${response.status} ${await response.text()}`);
  let first = 0, text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    first ||= performance.now() - started;
    text += decoder.decode(chunk as Uint8Array, { stream: true });
  }
  if (!text.trimEnd().endsWith("data: [DONE]")) throw new Error("a stream ended early");
  return { first, pieces: text.split("data: ").length - 1 };
}

/** A server of the model, on loopback. */
export function serve(model: GPT2): Promise<RunningServer> {
  return startServer({
    model,
    name: "bench",
    template: null,
    maxBatch: 16,
    maxQueue: 256,
    host: "127.0.0.1",
    port: 0,
    apiKey: null,
    maxBody: 1 << 16,
    cors: [],
    allowedHosts: [],
    maxTexts: 256,
    patience: 60,
  });
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { quick } = bench.settings, tokens = quick ? 8 : 32;
  await gpt2WithTokenizer();
  const model = await loadGpt2("f32");
  if (typeof model === "string") {
    yield { name: "GPT-2 124M, f32", unit: "tokens/s", amount: 1, subjects: [], failed: model };
    return;
  }
  const server = await serve(model);
  let seed = 0;
  const waits: number[] = [], memory: number[] = [];
  const clients = (count: number): Subject => ({
    name: `${count} ${count === 1 ? "client" : "clients"}`,
    async run() {
      const started = performance.now();
      const answers = await Promise.all(
        Array.from({ length: count }, () => request(server.url, tokens, seed++)),
      );
      if (count === 32) {
        for (const { first } of answers) waits.push(first);
        memory.push(process.memoryUsage().rss);
      }
      return (performance.now() - started) / 1e3 / count;
    },
  });
  try {
    const row: Row = {
      name: `GPT-2 124M, f32, ${tokens} tokens a request`,
      unit: "tokens/s",
      amount: tokens,
      subjects: [clients(1), clients(8), clients(32)],
      pairs: [{ fast: "8 clients", slow: "1 client", least: 3 }],
    };
    yield row;
    waits.sort((a, b) => a - b);
    const at = (share: number): string =>
      waits[Math.min(waits.length - 1, Math.floor(share * waits.length))].toFixed(0);
    const grown = memory.length > 2 ? (memory[memory.length - 1] - memory[1]) / 1e6 : 0;
    yield {
      name: "32 clients, of which 16 are computed together",
      unit: "",
      amount: 1,
      subjects: [],
      note:
        `${waits.length} requests without an error; first token after ${at(0.5)} ms (half), ${
          at(0.99)
        } ms (99 %), median of ` +
        `all ${median(waits).toFixed(0)} ms; memory grew by ${grown.toFixed(0)} MB after the first round`,
    };
  } finally {
    await server.stop();
    model.dispose();
  }
}

/** Serving. */
export const group: Group = { name: "serving", rows };
