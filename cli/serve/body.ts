/**
 * Reading the body of a request: never more than is allowed, never for longer, and never so many at once that memory ends.
 *
 * @module
 */
import { counted } from "../../src/core/show.ts";
import type { IncomingMessage } from "node:http";
import { Problem } from "./problem.ts";

/** How bodies are read. */
export interface BodyLimits {
  /** The most bytes of one. */
  readonly maxBody: number;
  /** The most seconds that one may take to arrive. */
  readonly patience: number;
}

/** How many bodies of the largest size may be on their way at once. */
const mostAtOnce = 64;

/** What is read and forgotten of a body that is too large, so that its sender gets to see the answer: bytes, milliseconds. */
const mostForgotten = 16 * 2 ** 20, longestForgotten = 1000;

/** Reads bodies. */
export class BodyReader {
  readonly #limits: BodyLimits;
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** The whole body as text. @throws {Problem} for one that is too large, too slow, not UTF-8, or one too many. */
  async read(incoming: IncomingMessage): Promise<string> {
    const { maxBody, patience } = this.#limits, told = Number(incoming.headers["content-length"] ?? 0);
    if (this.#held + Math.min(told, maxBody) > mostAtOnce * maxBody) {
      throw new Problem(503, "too many requests are being read; try again later", null, "overloaded");
    }
    const chunks: Uint8Array[] = [];
    let held = 0, end: End = told > maxBody ? "full" : "whole";
    try {
      if (end === "whole") {
        end = await receive(incoming, 1000 * patience, (chunk) => {
          chunks.push(chunk);
          held += chunk.length;
          this.#held += chunk.length;
          return held <= maxBody;
        });
      }
    } finally {
      this.#held -= held;
    }
    if (end === "full") {
      let forgotten = 0;
      await receive(incoming, longestForgotten, ({ length }) => (forgotten += length) <= mostForgotten);
      throw new Problem(
        413,
        `the body is larger than ${maxBody} bytes (--max-body); send less`,
        null,
        null,
        true,
      );
    }
    if (end === "late") {
      throw new Problem(
        408,
        `the request took longer than ${counted(patience, "second")} to arrive`,
        null,
        null,
        true,
      );
    }
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(joined(chunks, held));
    } catch {
      throw new Problem(400, "the body is not UTF-8");
    }
  }
}

/** Why nothing more is received: it was whole, there was no room for more, or it came too late. */
type End = "whole" | "full" | "late";

/** Takes pieces as they come, until `take` says that there is no room for more. @throws {Problem} when the sender leaves. */
function receive(
  incoming: IncomingMessage,
  milliseconds: number,
  take: (chunk: Uint8Array) => boolean,
): Promise<End> {
  if (incoming.readableEnded) return Promise.resolve("whole");
  return new Promise<End>((resolve, reject) => {
    const end = (how: End): void => {
      clearTimeout(late);
      for (const [name, listener] of listeners) incoming.off(name, listener);
      incoming.pause();
      resolve(how);
    };
    const gone = (): void => {
      end("late");
      reject(new Problem(400, "the request ended before its body was whole"));
    };
    const late = setTimeout(() => end("late"), milliseconds);
    const listeners: [string, (chunk: Uint8Array) => void][] = [
      ["data", (chunk) => take(chunk) || end("full")],
      ["end", () => end("whole")],
      ["error", gone],
      ["aborted", gone],
      ["close", () => incoming.readableEnded ? end("whole") : gone()],
    ];
    for (const [name, listener] of listeners) incoming.on(name, listener);
    incoming.resume();
  });
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
