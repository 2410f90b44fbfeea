/**
 * The end of `ferrotype serve`: whatever was sent before it is asked to end is answered, on every runtime.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { describe, it } from "node:test";
import { ferrotype } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { byteModel } from "./_serve.ts";
import { patience } from "./_wait.ts";

/** One connection, and all that comes back on it. */
class Line {
  received = "";
  readonly #socket: Socket;
  /** Resolves when it has ended, with the status of each answer; an error of the connection is one too. */
  readonly ended: Promise<(number | string)[]>;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = connect(Number(port), hostname);
    let failure: string | null = null;
    this.#socket.setEncoding("utf8").on("data", (piece: string) => this.received += piece);
    this.#socket.on("error", (error: Error & { code?: string }) => failure = error.code ?? error.message);
    this.ended = once(this.#socket, "close").then(() => {
      const found = [...this.received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
      return failure === null || found.length ? found : [failure];
    });
  }

  /** Resolves when the system has the whole request. */
  send(body: object, connection = "close"): Promise<void> {
    const text = JSON.stringify({ prompt: "a", temperature: 0, ...body });
    const head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
      `Connection: ${connection}\r\nContent-Length: ${text.length}\r\n\r\n`;
    return new Promise((resolve) => this.#socket.write(head + text, () => resolve()));
  }

  /** Resolves with the first piece of an answer. */
  async began(): Promise<void> {
    await once(this.#socket, "data");
  }
}

describe("ferrotype serve, asked to end", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`by ${signal} answers all that was sent before`, async () => {
      await inFolder(async (folder) => {
        const model = byteModel(600);
        await model.save(folder);
        model.dispose();
        const lines: Line[] = [];
        const words = ["serve", "--port", "0", "--json", "--model", folder, "--max-batch", "4"];
        const ended = await ferrotype(words, {
          started(child) {
            const late = setTimeout(() => child.kill("SIGKILL"), patience);
            child.on("close", () => clearTimeout(late));
            child.stdout.once("data", async (line: string) => {
              const { url } = JSON.parse(line) as { url: string };
              const open = (): Line => lines[lines.push(new Line(url)) - 1];
              // A connection that is kept, streams, and texts that wait for their turn.
              const kept = open();
              await kept.send({ max_tokens: 1 }, "keep-alive");
              await kept.began();
              const streams = Array.from({ length: 3 }, open);
              await Promise.all(streams.map((stream) => stream.send({ max_tokens: 500, stream: true })));
              await Promise.all(Array.from({ length: 12 }, (_, i) => open().send({ max_tokens: 100 + i })));
              if (!streams[0].received) await streams[0].began();
              // These are in the hands of the system, and the signal overtakes them.
              await Promise.all(Array.from({ length: 12 }, () => open().send({ max_tokens: 5 })));
              await kept.send({ max_tokens: 3 });
              process.kill(child.pid as number, signal);
            });
          },
        });
        assertStrictEquals(ended.code, 0, ended.stderr);
        assertStrictEquals(lines.length, 28);
        const found = await Promise.all(lines.map((line) => line.ended));
        const told = lines.map(({ received }) => received.slice(-200)).join("\n");
        assertEquals(found, [[200, 200], ...Array.from({ length: 27 }, () => [200])], told);
        for (const { received } of lines.slice(1, 4)) {
          assert(received.includes("data: [DONE]\n\n"), received.slice(-100));
        }
        assert(lines[15].received.includes('"completion_tokens":111'), lines[15].received);
      });
    });
  }
});
