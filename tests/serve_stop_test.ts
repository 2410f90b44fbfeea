/**
 * The end of `ferrotype serve`: whatever was sent before it is asked to end is answered, on every runtime.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Agent, request } from "node:http";
import process from "node:process";
import { describe, it } from "node:test";
import { ferrotype } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { byteModel } from "./_serve.ts";

interface Answer {
  status: number | string;
  text: string;
}

/** Asks on a connection of its own, or on that of `agent`; an error of the connection is the status. `began` hears of the first byte. */
function ask(url: string, body: object, agent?: Agent, began?: () => void): Promise<Answer> {
  const text = JSON.stringify({ prompt: "a", temperature: 0, ...body });
  return new Promise((resolve) => {
    const asked = request(`${url}/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Content-Length": text.length },
      ...(agent ? { agent } : { agent: new Agent({ keepAlive: false }) }),
    }, (response) => {
      let received = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        if (!received) began?.();
        received += piece;
      });
      response.on("error", (error: Error) => resolve({ status: error.message, text: received }));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: received }));
    });
    asked.on(
      "error",
      (error: Error & { code?: string }) => resolve({ status: error.code ?? error.message, text: "" }),
    );
    asked.end(text);
  });
}

describe("ferrotype serve, asked to end", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`by ${signal} answers all that was sent before`, async () => {
      await inFolder(async (folder) => {
        const model = byteModel(600);
        await model.save(folder);
        model.dispose();
        const answers: Promise<Answer>[] = [];
        const agent = new Agent({ keepAlive: true });
        const ended = await ferrotype([
          "serve",
          "--port",
          "0",
          "--json",
          "--model",
          folder,
          "--max-batch",
          "4",
        ], {
          started(child) {
            const late = setTimeout(() => child.kill("SIGKILL"), 50_000);
            child.on("close", () => clearTimeout(late));
            child.stdout.once("data", async (line: string) => {
              const { url } = JSON.parse(line) as { url: string };
              // A connection that is kept and used again, streams, and texts that wait for their turn.
              answers.push(ask(url, { max_tokens: 1 }, agent));
              await answers[0];
              const streams = Array.from(
                { length: 3 },
                () =>
                  new Promise<void>((began) =>
                    answers.push(ask(url, { max_tokens: 500, stream: true }, undefined, began))
                  ),
              );
              for (let i = 0; i < 12; i++) answers.push(ask(url, { max_tokens: 100 + i }));
              await streams[0];
              // These are on their way, and the signal overtakes them.
              for (let i = 0; i < 12; i++) answers.push(ask(url, { max_tokens: 5 }));
              answers.push(ask(url, { max_tokens: 3 }, agent));
              setTimeout(() => process.kill(child.pid as number, signal), 100);
            });
          },
        });
        agent.destroy();
        assertStrictEquals(ended.code, 0, ended.stderr);
        const all = await Promise.all(answers);
        assertEquals(
          all.map(({ status }) => status),
          all.map(() => 200),
          JSON.stringify(all.map(({ text }) => text.slice(0, 80))),
        );
        assertStrictEquals(all.length, 29);
        for (const { text } of all.slice(1, 4)) assert(text.endsWith("data: [DONE]\n\n"), text.slice(-100));
        assertStrictEquals(JSON.parse(all[15].text).usage.completion_tokens, 111);
      });
    });
  }
});
