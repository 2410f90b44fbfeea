/**
 * Who may fetch: where the token comes from and goes, and what Deno has to allow.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Asked } from "./_hub.ts";
import {
  at,
  cache,
  config,
  fails,
  fetchAll,
  fetchFile,
  file,
  hub,
  program,
  toStorage,
  useHub,
  weights,
} from "./_hub_client.ts";
import { describe, it } from "./_suite.ts";

useHub();

describe("the token", () => {
  it("goes to the hub, and never to where the hub sends one", async () => {
    hub.token = "hf_right";
    assertEquals(await fetchFile(file, { token: "hf_right" }), weights);
    assert(await fetchFile("config.json", { token: "hf_right" }));
    const [hubs, others] = [hub.asked.filter((a) => !toStorage(a)), hub.asked.filter(toStorage)];
    assert(hubs.length > 0 && hubs.every(({ headers }) => headers.authorization === "Bearer hf_right"));
    assert(others.length > 0 && others.every(({ headers }) => headers.authorization === undefined));
  });

  it("does not come back when the way leads back to the hub", async () => {
    const paths: string[] = [];
    hub.fault = ({ server, path, headers }) => {
      if (server === "storage") return { status: 302, headers: { location: `${hub.endpoint}/back` } };
      if (path !== "/back") return undefined;
      paths.push(String(headers.authorization));
      return { status: 404 };
    };
    await fails(fetchFile(file, { token: "hf_right" }), /404/);
    assertEquals(paths, ["undefined"]);
  });

  it("does not go to another server that the list of files continues on", async () => {
    const elsewhere = hub.endpoint.replace("127.0.0.1", "localhost"), away: Asked[] = [];
    hub.fault = (asked) => {
      if (asked.headers.host?.startsWith("localhost") && asked.server === "hub") away.push(asked);
      else if (asked.path.includes("/tree/")) {
        return { headers: { link: `<${elsewhere}${asked.path}?cursor=1>; rel="next"` } };
      }
      return undefined;
    };
    assertEquals(await fetchFile(file, { token: "hf_right" }), weights);
    assertStrictEquals(away.length, 1);
    assertStrictEquals(away[0].headers.authorization, undefined);
  });

  it("is found as Python's client finds it", async () => {
    const text = `
      const opened = await hub.openRepository("org/model");
      console.log(await opened.text("config.json"));
    `;
    hub.token = "hf_right";
    const home = join(cache, "home");
    mkdirSync(home);
    writeFileSync(join(home, "token"), "hf_right\n");
    const run = async (env: Record<string, string>) => {
      rmSync(at(), { recursive: true, force: true });
      rmSync(join(home, "hub"), { recursive: true, force: true });
      return await program(text, { HF_HUB_CACHE: "", HUGGING_FACE_HUB_TOKEN: "", ...env }).end;
    };
    for (
      const env of [
        { HF_HOME: home },
        { HF_HOME: home, HF_TOKEN: "hf_right" },
        { HF_HOME: cache, HF_TOKEN_PATH: join(home, "token"), HF_HUB_CACHE: join(home, "hub") },
      ]
    ) {
      const { code, stdout, stderr } = await run(env);
      assertEquals([code, stdout.trim()], [0, config.trim()], stderr);
      assert(existsSync(join(home, "hub", "models--org--model", "refs", "main")));
    }
    const wrong = await run({ HF_HOME: home, HF_TOKEN: "hf_wrong" });
    assertMatch(wrong.stderr, /refused the access token from HF_TOKEN \(401\)/);
    assert(!wrong.stderr.includes("hf_wrong"));
  });
});

describe("Deno without permissions", { skip: !("Deno" in globalThis) && "this is not Deno" }, () => {
  const text =
    `await hub.openRepository("org/model").catch((error) => console.log(error.name, error.message));`;

  it("says in one sentence what to run with", async () => {
    const none = await program(text, {}, []).end;
    assertStrictEquals(
      none.stdout,
      "HubError Deno was not allowed to fetch org/model from the hub and keep it; " +
        "run with --allow-env --allow-net --allow-read --allow-write\n",
      none.stderr,
    );
    const some = await program(text, {}, ["--allow-env", "--allow-net"]).end;
    assertMatch(some.stdout, /and keep it; run with --allow-read --allow-write\n$/);
    assertEquals(hub.asked, []);
  });

  it("needs no more than the sentence says", async () => {
    const flags = ["--allow-env", "--allow-net", "--allow-read", "--allow-write"];
    const { stdout, stderr } = await program(fetchAll, {}, flags).end;
    assertStrictEquals(stdout.trim(), String(weights.length), stderr);
  });
});
