/**
 * Who may ask `ferrotype serve`, how much, and in which order.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { GPT2 } from "../mod.ts";
import { fails, ferrotype, interrupt } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { bundled, byteModel, post, refused, withServer } from "./_serve.ts";
import { patience, until } from "./_wait.ts";

describe("serve, at the door", () => {
  let model: GPT2, long: GPT2;
  before(async () => {
    model = await GPT2.load(bundled);
    long = byteModel(20_000);
  });
  after(() => {
    model.dispose();
    long.dispose();
  });

  it("lets in who has the whole key, and nobody else", async () => {
    await withServer({ apiKey: "secret" }, async ({ url }) => {
      const status = async (headers: Record<string, string>, path = "/v1/models"): Promise<number> => {
        const response = await fetch(url + path, { headers });
        if (response.status === 401) {
          assertStrictEquals(response.headers.get("WWW-Authenticate"), "Bearer");
          assertStrictEquals((await response.json()).error.code, "invalid_api_key");
        } else await response.body?.cancel();
        return response.status;
      };
      for (const key of ["secre", "secrets", "secreT", "SECRET", "xecret", "s", "x".repeat(10_000)]) {
        assertStrictEquals(await status({ Authorization: `Bearer ${key}` }), 401, key.slice(0, 10));
      }
      for (const header of ["secret", "Basic secret", "bearer:secret", "Bearer  secret"]) {
        assertStrictEquals(await status({ Authorization: header }), 401, header);
      }
      assertStrictEquals(await status({ "X-Api-Key": "secret" }), 401);
      assertStrictEquals(await status({}, "/v1/models/shakespeare"), 401);
      assertStrictEquals(await status({}, "/v1/nothing"), 401);
      for (const scheme of ["Bearer", "bearer"]) {
        assertStrictEquals(await status({ Authorization: `${scheme} secret` }), 200);
      }
    }, model);
  });

  it("answers pages of the origin that was named, and their questions before", async () => {
    await withServer({ apiKey: "secret", cors: ["https://page.example"] }, async ({ url }) => {
      const before = await fetch(`${url}/v1/completions`, {
        method: "OPTIONS",
        headers: {
          Origin: "https://page.example",
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "authorization,content-type",
        },
      });
      assertStrictEquals(before.status, 204);
      assertStrictEquals(before.headers.get("Access-Control-Allow-Origin"), "https://page.example");
      assertMatch(before.headers.get("Access-Control-Allow-Headers") ?? "", /authorization/);
    }, model);
    await withServer({}, async ({ url }) => {
      const response = await fetch(`${url}/health`, { headers: { Origin: "https://page.example" } });
      await response.body?.cancel();
      assertStrictEquals(response.headers.get("Access-Control-Allow-Origin"), null);
    }, model);
  });

  it("refuses a body that is too large before it is read, and one that turns out to be", async () => {
    await withServer({ maxBody: 2000 }, async ({ url }) => {
      const piece = new TextEncoder().encode("x".repeat(500));
      let sent = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (++sent > 8) controller.close();
          else controller.enqueue(piece);
        },
      });
      const response = await fetch(
        `${url}/v1/completions`,
        { ...post, body, duplex: "half" } as RequestInit,
      );
      assertStrictEquals(response.status, 413);
      assertMatch((await response.json()).error.message, /larger than 2000 bytes/);
    }, model);
  });

  it("says when to come again, and forgets who left the queue", async () => {
    await withServer({ maxBatch: 1, maxQueue: 1, name: "long" }, async ({ url, service }, client) => {
      const body = { model: "long", prompt: "a", max_tokens: 15_000, temperature: 0 };
      const [first, second] = [new AbortController(), new AbortController()];
      const answers = [first, second].map(({ signal }) => client.completions.create(body, { signal }));
      const ends = answers.map((answer) => assertRejects(() => answer as unknown as Promise<unknown>));
      await until(() => service.load.active === 1 && service.load.waiting === 1, "one waits");
      const full = await fetch(`${url}/v1/completions`, { ...post, body: JSON.stringify(body) });
      assertEquals([full.status, full.headers.get("Retry-After")], [429, "1"]);
      assertStrictEquals((await full.json()).error.code, "queue_full");
      second.abort();
      await until(() => service.load.waiting === 0, "who left waits no more");
      assertStrictEquals(service.load.active, 1);
      first.abort();
      await until(() => service.load.active === 0, "who left is not computed any more");
      await Promise.all(ends);
    }, long);
  });

  it("gives a free place to the user who has least", async () => {
    await withServer({ maxBatch: 2, name: "long" }, async ({ service }, client) => {
      const body = { model: "long", prompt: "a", temperature: 0 }, order: string[] = [];
      const [first, second] = [new AbortController(), new AbortController()];
      const ends = [first, second].map(({ signal }) => {
        const answer = client.completions.create({ ...body, max_tokens: 15_000, user: "many" }, { signal });
        return assertRejects(() => answer as unknown as Promise<unknown>);
      });
      await until(() => service.load.active === 2, "both places are taken");
      const names = ["many", "many", "few"], asked: Promise<unknown>[] = [];
      for (const [i, user] of names.entries()) {
        asked.push(
          client.completions.create({ ...body, max_tokens: 1, user }).then(() => order.push(`${user} ${i}`)),
        );
        await until(() => service.load.waiting === i + 1, "they come one after another");
      }
      second.abort();
      await Promise.all(asked);
      assertStrictEquals(order[0], "few 2");
      first.abort();
      await Promise.all(ends);
      await refused(
        client.completions.create({ ...body, user: 5 as never }) as unknown as Promise<unknown>,
        400,
        /user is a text/,
      );
    }, long);
  });
});

describe("ferrotype serve, its end", () => {
  it("is at once when it is interrupted a second time", async () => {
    await inFolder(async (folder) => {
      const model = byteModel(20_000);
      await model.save(folder);
      model.dispose();
      let answer: Promise<unknown> | undefined, received = "";
      const ended = await ferrotype(["serve", "--port", "0", "--json", "--model", folder], {
        started(child) {
          const late = setTimeout(() => child.kill("SIGKILL"), patience);
          child.on("close", () => clearTimeout(late));
          // Two signals before the first is seen are one.
          child.stderr.on("data", (text: string) => text.startsWith("finishing") && interrupt(child));
          child.stdout.on("data", (line: string) => {
            const { url } = JSON.parse(line) as { url: string };
            const body = JSON.stringify({ prompt: "a", max_tokens: 19_000, temperature: 0, stream: true });
            answer = fetch(`${url}/completions`, { ...post, body }).then(async (response) => {
              const decoder = new TextDecoder();
              let isFirst = true;
              for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
                received += decoder.decode(chunk, { stream: true });
                if (isFirst) interrupt(child);
                isFirst = false;
              }
            });
            answer.catch(() => {});
          });
        },
      });
      assertStrictEquals(ended.code, 130, ended.stderr);
      assertMatch(ended.stderr, /finishing 1 text; interrupt again to end at once\n.*interrupted\n$/s);
      assert(received.startsWith("data: {") && !received.includes("[DONE]"), "what ran was not finished");
      await answer?.catch(() => {});
    });
  });

  it("comes before the beginning where the port is taken", async () => {
    await withServer({}, async ({ url }) => {
      const { port } = new URL(url);
      await fails(1, ["serve", "--port", port], /port \d+ of 127\.0\.0\.1 is in use; choose another/);
    });
  });
});
