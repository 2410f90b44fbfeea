/**
 * Two replicas behind a stock proxy, as `docs/deploy` has it for haproxy and nginx: conversations stay with one, tokens come as they are
 * made, and a replica that is stopped loses nobody's request.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type RunningServer, startServer } from "../cli/serve/server.ts";
import { GPT2 } from "../mod.ts";
import { repository } from "./_data.ts";
import { bundled, post, serverDefaults } from "./_serve.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

/** A proxy: how it is told of the addresses, and started. */
interface Proxy {
  readonly name: string;
  readonly path: string | undefined;
  start(path: string, addresses: Record<string, string>, folder: string): ChildProcess;
}

const find = (name: string): string | undefined =>
  [name, `/usr/sbin/${name}`].find((path) => spawnSync(path, ["-v"]).status === 0);
const recipe = (name: string): string => join(repository, "docs/deploy", name);

const proxies: readonly Proxy[] = [
  {
    ...{ name: "haproxy", path: find("haproxy") },
    start: (path, addresses) =>
      spawn(path, ["-db", "-f", recipe("haproxy.cfg")], {
        env: { ...process.env, ...addresses },
        stdio: "ignore",
      }),
  },
  {
    ...{ name: "nginx", path: find("nginx") },
    start: (path, addresses, folder) => {
      const template = readFileSync(recipe("nginx.conf.template"), "utf8");
      writeFileSync(
        join(folder, "nginx.conf"),
        template.replace(/\$\{(\w+)\}/g, (_, name: string) => addresses[name]),
      );
      const own = `daemon off; pid ${join(folder, "pid")}; error_log ${join(folder, "errors")};`;
      return spawn(path, ["-p", folder, "-c", join(folder, "nginx.conf"), "-g", own], { stdio: "ignore" });
    },
  },
];

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

for (const { name, path, start: startProxy } of proxies) {
  const skip = path === undefined ? `${name} is not installed (Debian: ${name})` : false;
  describe(`two replicas behind ${name}`, { skip: skip || (name === "nginx" && asksNothing) }, () => {
    let model: GPT2, replicas: RunningServer[], proxy: ChildProcess, url = "", folder = "";
    before(async () => {
      model = await GPT2.load(bundled);
      const start = (): Promise<RunningServer> => startServer({ model, ...serverDefaults, maxTexts: 8 });
      replicas = [await start(), await start()];
      const [a, b] = replicas.map((replica) => new URL(replica.url).host),
        listen = `127.0.0.1:${await freePort()}`;
      url = `http://${listen}`;
      folder = mkdtempSync(join(tmpdir(), "ferrotype-proxy-"));
      proxy = startProxy(path!, { FERROTYPE_A: a, FERROTYPE_B: b, FERROTYPE_LISTEN: listen }, folder);
      // It listens, and has found both ready, once an answer has come of each.
      for (let tries = 0; tries < 400; tries++) {
        const up = await fetch(`${url}/ready`).then((r) => r.text().then(() => r.ok), () => false);
        if (up) return;
        await new Promise((wake) => setTimeout(wake, 50));
      }
      throw new Error(`${name} does not answer`);
    });
    after(async () => {
      // Told to end, it ends its workers, too.
      proxy?.kill("SIGTERM");
      for (const replica of replicas ?? []) await replica.stop();
      model?.dispose();
      if (folder !== "") rmSync(folder, { recursive: true, force: true });
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

    it("send tokens on as they come", { skip: asksNothing }, async () => {
      const answer = await fetch(`${url}/v1/completions`, {
        ...post,
        body: JSON.stringify({ prompt: "ROMEO:", max_tokens: 100, seed: 1, stream: true }),
      });
      let pieces = 0;
      for await (const _ of answer.body!) pieces++;
      assert(pieces > 3, `${pieces} pieces`);
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
}
