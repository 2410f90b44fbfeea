/**
 * Two replicas behind a stock proxy, as `docs/deploy/haproxy.cfg` has it (Debian: haproxy): conversations stay with one, and a
 * replica that is stopped loses nobody's request.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { type RunningServer, startServer } from "../cli/serve/server.ts";
import { GPT2 } from "../mod.ts";
import { repository } from "./_data.ts";
import { bundled, post, serverDefaults } from "./_serve.ts";
import { after, before, describe, it } from "./_suite.ts";

const path = ["haproxy", "/usr/sbin/haproxy"].find((name) => spawnSync(name, ["-v"]).status === 0);
const skip = path === undefined ? "haproxy is not installed (Debian: haproxy)" : false;
const config = join(repository, "docs/deploy/haproxy.cfg");

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

describe("two replicas behind haproxy", { skip }, () => {
  let model: GPT2, replicas: RunningServer[], proxy: ChildProcess, url = "";
  before(async () => {
    model = await GPT2.load(bundled);
    const start = (): Promise<RunningServer> => startServer({ model, ...serverDefaults, maxTexts: 8 });
    replicas = [await start(), await start()];
    const [a, b] = replicas.map((replica) => new URL(replica.url).host),
      listen = `127.0.0.1:${await freePort()}`;
    url = `http://${listen}`;
    const env = { ...process.env, FERROTYPE_A: a, FERROTYPE_B: b, FERROTYPE_LISTEN: listen };
    proxy = spawn(path!, ["-db", "-f", config], { env, stdio: "ignore" });
    // It listens, and has found both ready, once an answer has come of each.
    for (let tries = 0; tries < 400; tries++) {
      const up = await fetch(`${url}/ready`).then((r) => r.text().then(() => r.ok), () => false);
      if (up) return;
      await new Promise((wake) => setTimeout(wake, 50));
    }
    throw new Error("haproxy does not answer");
  });
  after(async () => {
    proxy?.kill("SIGKILL");
    for (const replica of replicas ?? []) await replica.stop();
    model?.dispose();
  });

  const ask = async (session: string): Promise<[number, string]> => {
    const answer = await fetch(`${url}/v1/completions`, {
      method: post.method,
      headers: { ...post.headers, "x-session-id": session },
      body: JSON.stringify({ prompt: "ROMEO:", max_tokens: 6, seed: 1 }),
    });
    const { choices } = await answer.json() as { choices?: { text: string }[] };
    return [answer.status, choices?.[0].text ?? ""];
  };
  const requests = (replica: RunningServer): number =>
    Number(
      /requests_total\{route="\/v1\/completions",status="200"\} (\d+)/.exec(replica.service.metricsText)
        ?.[1] ?? 0,
    );

  it("serve each conversation from one of them, and all of both", async () => {
    for (let i = 0; i < 5; i++) assertStrictEquals((await ask("one"))[0], 200);
    assertEquals(replicas.map(requests).sort(), [0, 5]);
    for (let i = 0; i < 40; i++) await ask(`session ${i}`);
    for (const replica of replicas) assert(requests(replica) > 0);
  });

  it("lose no request when one of them stops", async () => {
    const expected = await ask("one");
    let isStopped = false, asked = 0;
    const stopping = replicas[0].stop().then(() => isStopped = true);
    for (let i = 0; !isStopped || i < 20; i++) {
      assertEquals(await ask(`session ${i % 16}`), expected, `request ${i}`);
      asked++;
    }
    await stopping;
    assert(asked >= 20);
    replicas.shift();
  });
});
