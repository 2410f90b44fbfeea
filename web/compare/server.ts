/**
 * The page's end of a server of `ferrotype serve`.
 *
 * @module
 */
import { type Metrics, readMetrics } from "./metrics.ts";

/** A server's address, without the slash at its end. @throws for what is none. */
export function readAddress(text: string): string {
  const trimmed = text.trim(), url = URL.parse(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new Error(`"${trimmed}" is no address of a server; it is such as http://127.0.0.1:8080`);
  }
  return (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/v1$/, "");
}

async function ask(server: string, path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${server}${path}`, init);
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Error(
      `${server} does not answer this page: either it does not run, or it was started without --cors ${location.origin}`,
    );
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null) as { error?: { message?: string } } | null;
  throw new Error(`${server}: ${told?.error?.message ?? `the server answered ${response.status}`}`);
}

/** The models that it has, and its adapters. */
export async function modelsOf(server: string, signal: AbortSignal): Promise<string[]> {
  const { data } = await (await ask(server, "/v1/models", { signal })).json() as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

/** What it tells of itself. */
export async function metricsOf(server: string, signal: AbortSignal): Promise<Metrics> {
  return readMetrics(await (await ask(server, "/metrics", { signal })).text());
}

/** What a model answers, or how it goes on with a text. */
export async function answerOf(
  server: string,
  { model, prompt, temperature, tokens, chat }: {
    readonly model: string;
    readonly prompt: string;
    readonly temperature: number;
    readonly tokens: number;
    readonly chat: boolean;
  },
  signal: AbortSignal,
): Promise<string> {
  const response = await ask(server, chat ? "/v1/chat/completions" : "/v1/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model, temperature, max_tokens: tokens },
      ...chat ? { messages: [{ role: "user", content: prompt }] } : { prompt },
    }),
    signal,
  });
  const { choices: [first] } = await response.json() as {
    choices: { text?: string; message?: { content: string | null } }[];
  };
  return first.text ?? first.message?.content ?? "";
}
