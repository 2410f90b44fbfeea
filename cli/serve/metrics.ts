/**
 * What the server has done and is at, as Prometheus reads it (the text format, version 0.0.4).
 *
 * @module
 */
import { memory } from "../../mod.ts";
import { residentMemory } from "../../src/platform/platform.ts";

/** Upper ends of the buckets of times, in seconds. */
const ends = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Times, counted by how long they were. */
class Histogram {
  readonly #counts = ends.map(() => 0);
  #sum = 0;
  #count = 0;

  add(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    ends.forEach((end, i) => {
      if (seconds <= end) this.#counts[i]++;
    });
  }

  lines(name: string, labels = ""): string[] {
    const more = labels && `,${labels}`, own = labels && `{${labels}}`;
    return [
      ...ends.map((end, i) => `${name}_bucket{le="${end}"${more}} ${this.#counts[i]}`),
      `${name}_bucket{le="+Inf"${more}} ${this.#count}`,
      `${name}_sum${own} ${this.#sum}`,
      `${name}_count${own} ${this.#count}`,
    ];
  }
}

/** What is at work, for who writes it down. */
export interface Load {
  /** Texts that are computed. */
  readonly active: number;
  /** Texts that wait. */
  readonly waiting: number;
  /** Tokens for which the caches have room. */
  readonly room: number;
}

/** Counts. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #first = new Histogram();
  readonly #whole = new Histogram();
  #prompt = 0;
  #made = 0;
  #held = 0;

  /** A request was answered, after so many seconds. */
  answered(route: string, status: number, seconds: number): void {
    const labels = `route="${route}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    this.#whole.add(seconds);
  }

  /** A text was begun. Gives what is to be called for each of its tokens, and when it has ended. */
  text(promptTokens: number): { token: () => void; end: () => void } {
    const started = performance.now();
    let made = 0, ended = false;
    this.#prompt += promptTokens;
    this.#held += promptTokens;
    return {
      token: () => {
        if (made++ === 0) this.#first.add((performance.now() - started) / 1000);
        this.#made++;
        this.#held++;
      },
      end: () => {
        if (!ended) this.#held -= promptTokens + made;
        ended = true;
      },
    };
  }

  /** All of it. */
  text004({ active, waiting, room }: Load): string {
    const lines: string[] = [];
    const family = (name: string, kind: string, help: string, values: readonly string[]): void =>
      void lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`, ...values);
    const one = (name: string, kind: string, help: string, value: number): void =>
      family(name, kind, help, [`${name} ${value}`]);
    family(
      "ferrotype_requests_total",
      "counter",
      "Requests that were answered.",
      [...this.#requests].map(([labels, n]) => `ferrotype_requests_total{${labels}} ${n}`),
    );
    one("ferrotype_prompt_tokens_total", "counter", "Tokens of prompts that were read.", this.#prompt);
    one("ferrotype_generated_tokens_total", "counter", "Tokens that were made.", this.#made);
    one("ferrotype_texts_active", "gauge", "Texts that are computed.", active);
    one("ferrotype_texts_waiting", "gauge", "Texts in the queue.", waiting);
    one("ferrotype_cache_tokens", "gauge", "Tokens of texts at work and in the queue.", this.#held);
    one("ferrotype_cache_tokens_limit", "gauge", "Tokens of as many texts as are computed together.", room);
    family(
      "ferrotype_time_to_first_token_seconds",
      "histogram",
      "From a text's place in the queue to its first token.",
      this.#first.lines("ferrotype_time_to_first_token_seconds"),
    );
    family(
      "ferrotype_request_seconds",
      "histogram",
      "From a request to its answer's beginning, or the whole answer where it does not stream.",
      this.#whole.lines("ferrotype_request_seconds"),
    );
    family(
      "ferrotype_memory_bytes",
      "gauge",
      "Bytes of live tensors.",
      Object.entries(memory()).map(([device, use]) =>
        `ferrotype_memory_bytes{device="${device}"} ${use.bytes}`
      ),
    );
    one(
      "process_resident_memory_bytes",
      "gauge",
      "Bytes of memory that the process occupies.",
      residentMemory() ?? 0,
    );
    return `${lines.join("\n")}\n`;
  }
}
