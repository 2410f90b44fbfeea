/**
 * What the server tells those who watch it: whether it takes requests, and what it has done.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { post, withServer } from "./_serve.ts";

/** Values of the text format, by name with labels. */
async function metrics(url: string): Promise<Map<string, number>> {
  const answer = await fetch(`${url}/metrics`), text = await answer.text();
  assertMatch(answer.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const found = new Map<string, number>(), typed = new Set<string>();
  for (const line of text.trimEnd().split("\n")) {
    const [, name] = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line) ?? [];
    if (name) typed.add(name);
    if (line.startsWith("#")) continue;
    const [, key, value] = /^([a-z_]+(?:\{(?:[a-z]+="[^"\\]*",?)+\})?) (\S+)$/.exec(line)!;
    assert(Number.isFinite(Number(value)) && !found.has(key), line);
    assert(
      typed.has(key.replace(/\{.*/, "")) || typed.has(key.replace(/_(bucket|sum|count)(\{.*)?$/, "")),
      line,
    );
    found.set(key, Number(value));
  }
  return found;
}

describe("what a server tells of itself", () => {
  it("counts requests, tokens and times, and holds nothing when all is answered", async () => {
    await withServer({}, async ({ url }) => {
      const ask = (body: unknown): Promise<Response> =>
        fetch(`${url}/v1/completions`, { ...post, body: JSON.stringify(body) });
      const before = await metrics(url);
      assertStrictEquals(before.get("ferrotype_generated_tokens_total"), 0);
      for (const stream of [false, true]) {
        await (await ask({ prompt: "ROMEO:", max_tokens: 5, n: 2, stream })).text();
      }
      await (await ask({ prompt: "ROMEO:", max_tokens: -1 })).text();
      const after = await metrics(url), get = (name: string): number | undefined => after.get(name);
      assertStrictEquals(get('ferrotype_requests_total{route="/v1/completions",status="200"}'), 2);
      assertStrictEquals(get('ferrotype_requests_total{route="/v1/completions",status="400"}'), 1);
      assertStrictEquals(get("ferrotype_prompt_tokens_total"), 4 * 6);
      assertStrictEquals(get("ferrotype_generated_tokens_total"), 4 * 5);
      assertStrictEquals(get("ferrotype_time_to_first_token_seconds_count"), 4);
      assertStrictEquals(get('ferrotype_time_to_first_token_seconds_bucket{le="+Inf"}'), 4);
      for (const idle of ["ferrotype_texts_active", "ferrotype_texts_waiting", "ferrotype_cache_tokens"]) {
        assertStrictEquals(get(idle), 0, idle);
      }
      assert(get('ferrotype_memory_bytes{device="cpu"}')! > 0 && get("process_resident_memory_bytes")! > 0);
    });
  });

  it("is ready until its queue is full or it stops, and answers what it has", async () => {
    await withServer({ maxBatch: 1, maxQueue: 19 }, async (server) => {
      const ready = async (): Promise<[number, string]> => {
        const answer = await fetch(`${server.url}/ready`);
        return [answer.status, (await answer.json() as { reason?: string }).reason ?? "ready"];
      };
      assertEquals(await ready(), [200, "ready"]);
      const body = JSON.stringify({ prompt: "ROMEO:", max_tokens: 100, n: 20, stream: true });
      const long = await fetch(`${server.url}/v1/completions`, { ...post, body });
      assertEquals(await ready(), [503, "the queue is full"]);
      const stopped = server.stop();
      assertEquals(await ready(), [503, "stopping"]);
      assertMatch(await long.text(), /data: \[DONE\]\n\n$/);
      await stopped;
    });
  });
});
