/**
 * One streamed request of the load test, over plain HTTP: it costs the machine little beside what the server costs.
 *
 * @module
 */
import { Agent, request } from "node:http";

/** What a client asks for. */
export interface Ask {
  /** The text to continue. */
  readonly prompt: string;
  /** New tokens. */
  readonly tokens: number;
  /** Draws by this seed; null: the likeliest token each time. */
  readonly seed: number | null;
}

/** What it got. */
export interface Answer {
  /** Milliseconds from asking to the first piece of text. */
  readonly first: number;
  /** Milliseconds from asking to the end. */
  readonly whole: number;
  /** New tokens, as the server counted them. */
  readonly tokens: number;
  /** The text. */
  readonly text: string;
}

interface Event {
  error?: { message: string };
  choices: { text: string; finish_reason: string | null }[];
  usage?: { completion_tokens: number } | null;
}

/** Clients of one server, each on a connection that is kept. */
export class Client {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  /** `url` is the server's, with `/v1`. */
  constructor(url: string) {
    this.#url = url;
  }

  /** @throws {Error} for any answer but a stream of events that is whole. */
  ask({ prompt, tokens, seed }: Ask): Promise<Answer> {
    const sampling = seed === null ? { temperature: 0 } : { temperature: 0.9, seed };
    const body = JSON.stringify({
      prompt,
      max_tokens: tokens,
      ...sampling,
      stream: true,
      stream_options: { include_usage: true },
    });
    const started = performance.now();
    return new Promise((resolve, reject) => {
      const asked = request(`${this.#url}/completions`, {
        method: "POST",
        agent: this.#agent,
        headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
      }, (response) => {
        let first = 0, received = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          first ||= performance.now() - started;
          received += chunk;
        });
        response.on("error", reject).on("end", () => {
          try {
            if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${received}`);
            resolve({ first, whole: performance.now() - started, ...readEvents(received) });
          } catch (error) {
            reject(error);
          }
        });
      });
      asked.on("error", reject).end(body);
    });
  }

  /** Ends all connections. */
  close(): void {
    this.#agent.destroy();
  }
}

function readEvents(received: string): { text: string; tokens: number } {
  const events = received.split("\n\n").filter(Boolean).map((line) => line.replace(/^data: /, ""));
  if (events.pop() !== "[DONE]") throw new Error("a stream ended before [DONE]");
  let text = "", tokens = 0, finish: string | null = null;
  for (const event of events) {
    const { error, choices, usage } = JSON.parse(event) as Event;
    if (error) throw new Error(error.message);
    if (choices[0]) text += choices[0].text;
    finish = choices[0]?.finish_reason ?? finish;
    tokens = usage?.completion_tokens ?? tokens;
  }
  if (finish === null) throw new Error("a stream tells no finish_reason");
  return { text, tokens };
}
