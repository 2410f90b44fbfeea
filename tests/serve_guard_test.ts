/**
 * Who may ask `ferrotype serve`: programs on this machine and pages that were named, by whatever name they come; and what
 * becomes of a request that is too large or never whole.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import type { GPT2 } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { fails } from "./_command.ts";
import { byteModel, post, withServer } from "./_serve.ts";

/** What comes back on a connection until it ends, after these pieces were sent one after the other. */
function exchange(url: string, ...pieces: string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      for (const piece of pieces) socket.write(piece);
    });
    let received = "";
    socket.setEncoding("utf8").on("data", (text) => received += text);
    socket.on("close", () => resolve(received));
    // Who is told no while he speaks may find the line cut; what he was told counts.
    socket.on("error", (error) => received ? resolve(received) : reject(error));
  });
}

const body = JSON.stringify({ prompt: "a", max_tokens: 1, temperature: 0 });

/** One request whose connection ends with its answer. */
function ask(url: string, path: string, headers: Record<string, string>, method = "POST"): Promise<string> {
  const lines = Object.entries({ "Content-Type": "application/json", Connection: "close", ...headers });
  return exchange(
    url,
    `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}` +
      (method === "POST" ? `Content-Length: ${body.length}\r\n\r\n${body}` : "\r\n"),
  );
}

const status = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);

describe("serve, its guests", () => {
  let model: GPT2;
  before(() => model = byteModel(4000));
  after(() => model.dispose());

  it("come by this machine's own names, and by no other, however it is written", async () => {
    await withServer({ allowedHosts: ["server.example"] }, async ({ url }) => {
      const { port } = new URL(url);
      for (
        const host of [
          `127.0.0.1:${port}`,
          `localhost:${port}`,
          "localhost",
          "LOCALHOST.",
          "app.localhost:1",
          "[::1]:8080",
          "192.168.1.5",
          "server.example",
          "Server.Example:443",
        ]
      ) assertStrictEquals(status(await ask(url, "/v1/completions", { Host: host })), 200, host);
      const random = new Generator(7),
        pick = (list: string[]): string => list[Math.floor(random.uniform() * list.length)];
      const parts = ["localhost", "127.0.0.1", "server.example", "evil.example", "::1", "a"];
      const names = Array.from({ length: 40 }, () => {
        const name = [pick(parts), pick(parts), pick(parts)].join(pick([".", "-", "@", "_", ""]));
        return pick(["", "x."]) + name + pick(["", ".", ":80", `:${port}`]);
      });
      for (
        const host of [
          "evil.example",
          "localhost.evil.example",
          "server.example.evil",
          "127.0.0.1.nip.example",
          ...names,
        ]
      ) {
        if (
          /^([a-z0-9._-]+\.)?localhost\.?(:\d+)?$/.test(host) || /^(server\.example)\.?(:\d+)?$/.test(host)
        ) continue;
        for (
          const [path, method] of [["/v1/completions", "POST"], ["/v1/models", "GET"], ["/health", "GET"]]
        ) {
          const answer = await ask(url, path, { Host: host }, method);
          // What is no host at all is refused before it is looked at.
          assert([400, 403].includes(status(answer)), `${host}: ${answer}`);
          assert(!answer.includes("long") && !answer.includes("text_completion"), answer);
        }
      }
      assertMatch(
        await ask(url, "/v1/models", { Host: "evil.example" }, "GET"),
        /host_not_allowed|--allowed-host evil\.example/,
      );
    }, model);
  });

  it("are no pages but those that were named", async () => {
    const Host = "localhost";
    await withServer({ cors: ["https://page.example", "null"] }, async ({ url }) => {
      for (const Origin of ["https://page.example", "null"]) {
        const answer = await ask(url, "/v1/completions", { Host, Origin });
        assertStrictEquals(status(answer), 200);
        assertMatch(answer, new RegExp(`access-control-allow-origin: ${Origin}\\r`, "i"));
      }
      for (
        const Origin of [
          "https://evil.example",
          "http://page.example",
          "https://page.example:444",
          "https://page.example.evil",
          `http://localhost:${new URL(url).port}`,
          "file://",
        ]
      ) {
        for (
          const [path, method] of [["/v1/completions", "POST"], ["/v1/models", "GET"], [
            "/v1/completions",
            "OPTIONS",
          ]]
        ) {
          const answer = await ask(url, path, { Host, Origin }, method);
          assertStrictEquals(status(answer), 403, answer);
          assert(!/access-control-allow-origin/i.test(answer), answer);
        }
      }
    }, model);
    await withServer({}, async ({ url }) => {
      assertStrictEquals(status(await ask(url, "/v1/completions", { Host, Origin: "null" })), 403);
    }, model);
    await withServer({ cors: ["*"] }, async ({ url }) => {
      assertStrictEquals(
        status(await ask(url, "/v1/completions", { Host, Origin: "https://any.example" })),
        200,
      );
    }, model);
  });

  it("send JSON, and say so", async () => {
    await withServer({}, async ({ url }) => {
      for (
        const type of [
          "text/plain",
          "application/x-www-form-urlencoded",
          "multipart/form-data; boundary=x",
          "application/jsonp",
          "",
        ]
      ) {
        const answer = await ask(url, "/v1/completions", { Host: "localhost", "Content-Type": type });
        assertStrictEquals(status(answer), 415, answer);
        assertMatch(answer, /send Content-Type: application\/json/);
      }
      for (
        const type of [
          "application/json",
          "application/json; charset=utf-8",
          "Application/JSON;charset=UTF-8",
        ]
      ) {
        assertStrictEquals(
          status(await ask(url, "/v1/completions", { Host: "localhost", "Content-Type": type })),
          200,
        );
      }
    }, model);
  });

  it("are named in the way that browsers name them", async () => {
    for (const origin of ["page.example", "https://page.example/path", "https://page.example?x", ""]) {
      await fails(2, ["serve", "--cors", origin], /is no origin; it is scheme and host/);
    }
    for (const host of ["http://x.example", "x.example:80", "a/b", ""]) {
      await fails(2, ["serve", "--allowed-host", host], /is no name of a host/);
    }
  });
});

describe("serve, a request that is too much", () => {
  let model: GPT2;
  before(() => model = byteModel(4000));
  after(() => model.dispose());
  const head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

  it("is answered, and its connection is closed as the answer says", async () => {
    await withServer({ maxBody: 2000 }, async ({ url }) => {
      const next = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
      for (
        const answer of [
          // It says so before, and then sends all of it, a part of it, or nothing.
          await exchange(url, `${head}Content-Length: 500000\r\n\r\n`, "x".repeat(500_000), next),
          await exchange(url, `${head}Content-Length: 50000000\r\n\r\n`, "x".repeat(5000)),
          await exchange(url, `${head}Content-Length: 5000\r\n\r\n`),
          // Or it turns out to be.
          await exchange(
            url,
            `${head}Transfer-Encoding: chunked\r\n\r\n`,
            `1000\r\n${"x".repeat(4096)}\r\n`.repeat(30),
            "0\r\n\r\n",
          ),
          await exchange(
            url,
            `${head}Transfer-Encoding: chunked\r\n\r\n`,
            `1000\r\n${"x".repeat(4096)}\r\n`.repeat(3),
          ),
        ]
      ) {
        assertStrictEquals(status(answer), 413, answer);
        assertMatch(answer, /connection: close\r/i);
        assertMatch(answer, /larger than 2000 bytes/);
        assertStrictEquals(answer.match(/HTTP\/1\.1/g)?.length, 1, "nothing follows");
      }
    }, model);
  });

  it("is given up when it does not come to an end", async () => {
    await withServer({ patience: 1 }, async ({ url, service }, client) => {
      const slow = exchange(url, `${head}Content-Length: 50\r\n\r\n{"prompt":`);
      // Nobody waits for it.
      const { choices } = await client.completions.create({
        model: "shakespeare",
        prompt: "a",
        max_tokens: 3,
      });
      assertStrictEquals(choices.length, 1);
      const answer = await slow;
      assertStrictEquals(status(answer), 408, answer);
      assertMatch(answer, /longer than 1 second to arrive/);
      assertEquals(service.load, { active: 0, waiting: 0 });
    }, model);
  });

  it("is told what is wrong with it, in a few words, whatever it holds", async () => {
    await withServer({ maxBody: 4 << 20 }, async ({ url }) => {
      const ask = async (text: string): Promise<string> => {
        const response = await fetch(`${url}/v1/completions`, { ...post, body: text });
        assertStrictEquals(response.status, 400, text.slice(0, 50));
        const { error } = await response.json();
        assert(error.message.length < 1000, error.message.slice(0, 2000));
        return error.message;
      };
      const long = "x".repeat(1 << 20);
      assertMatch(await ask(`{"${long}":1}`), /there is no field "x{60}"… \(1048576 characters\)/);
      assertMatch(await ask(`{"prompt":"a","model":"${long}"}`), /model is a text of up to 512 characters/);
      assertMatch(await ask(`{"prompt":"a","temperature":"${long}"}`), /temperature is "xx/);
      assertMatch(await ask(`{"prompt":"a","user":${"[".repeat(100)}${"]".repeat(100)}}`), /user is a text/);
      assertMatch(await ask(`${"[".repeat(1 << 20)}`), /more than 128 deep/);
      assertMatch(await ask(`{"a":${'{"a":'.repeat(300_000)}1${"}".repeat(300_000)}}`), /more than 128 deep/);
      assertMatch(await ask(`{"prompt":[${"1,".repeat(500_000)}1]}`), /more than 262144 values/);
      assertMatch(
        await ask(`{"prompt":[${"1,".repeat(100_000)}1]}`),
        /maximum context length is 4000 tokens.*100001/,
      );
      assertMatch(
        await ask(`{"prompt":"${long}${long}"}`),
        /maximum context length is 4000 tokens.*2097152 characters/,
      );
      assertMatch(
        await ask(`{"prompt":[${'"a",'.repeat(100_000)}"a"],"n":128}`),
        /100001 prompts, 128 texts each: .* at most 256 texts/,
      );
      assertMatch(await ask(`{"prompt":"a","n":129}`), /n is 129, expected a whole number from 1 to 128/);
      assertMatch(
        await ask(`{"prompt":"a","stop":[${'"x",'.repeat(16)}"x"]}`),
        /stop is a text .* up to 16 of them/,
      );
      assertMatch(await ask(`{"prompt":"a","stop":"${long}"}`), /stop is a text of 1 to 1000 characters/);
      const biases = Array.from({ length: 2000 }, (_, i) => `"${i}":1`).join();
      assertMatch(
        await ask(`{"prompt":"a","logit_bias":{${biases}}}`),
        /logit_bias is an object of up to 1024/,
      );
      assertMatch(
        await ask(`{"prompt":"a","guided_choice":[${'"x",'.repeat(1000)}"x"]}`),
        /guided_choice is a list of 1 to 1000 texts/,
      );
      assertMatch(await ask("\u0000"), /not JSON/);
    }, model);
  });
});
