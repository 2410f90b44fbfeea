/** The page that compares servers: metrics and preferences as numbers everywhere; the page in Chromium with real servers. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { GPT2 } from "../mod.ts";
import { Metrics } from "../cli/serve/metrics.ts";
import { type Contender, signTest, tally, type Verdict } from "../web/compare/blind.ts";
import { pulse, readMetrics } from "../web/compare/metrics.ts";
import { noBrowser, says, shows, TestSite, violations } from "./_browser.ts";
import { bundled, withServer } from "./_serve.ts";
import { after, before, describe, it } from "./_suite.ts";

const skip = noBrowser;

describe("a server's metrics", () => {
  it("are read as the server writes them; what happened is the difference of two looks", () => {
    const server = new Metrics(), load = { active: 2, waiting: 1, room: 200 };
    const first = readMetrics(server.text004(load)), text = server.text(10);
    for (let i = 0; i < 30; i++) text.token();
    server.answered("/v1/completions", 200, 0.5);
    server.answered("/v1/completions", 503, 0.5);
    const second = readMetrics(server.text004(load));
    assertStrictEquals(second.get("ferrotype_requests_total"), 2);
    assertStrictEquals(second.get("ferrotype_time_to_first_token_seconds_count"), 1);
    const seen = pulse(first, second, 2);
    assertEquals([seen.tokensPerSecond, seen.active, seen.waiting, seen.cache], [15, 2, 1, 0.2]);
    assert(seen.wait !== null && seen.wait >= 0);
    assertStrictEquals(pulse(second, second, 1).wait, null);
    // A server that was started anew counts from 0.
    const third = readMetrics(
      "ferrotype_generated_tokens_total 4\nno line of it\nferrotype_texts_active NaN\n",
    );
    assertStrictEquals(pulse(second, third, 2).tokensPerSecond, 2);
    assertStrictEquals(pulse(second, third, 2).active, 0);
  });
});

describe("preferences", () => {
  const one: Contender = { server: "http://a", model: "m", temperature: 0.8 };
  const other: Contender = { server: "http://a", model: "n", temperature: 0.8 };
  const verdict = (a: Contender, b: Contender, better: Verdict["better"]): Verdict => ({
    ...{ prompt: "", a, b, better, left: "a", answers: { a: "", b: "" } },
  });

  it("are counted by pair, whoever was called a", () => {
    const counts = tally([
      verdict(one, other, "a"),
      verdict(other, one, "b"),
      verdict(other, one, "a"),
      verdict(one, other, "neither"),
      verdict(one, { ...other, temperature: 0 }, "b"),
    ]);
    // "m" comes before "n", and 0 before 0.8.
    assertEquals(counts.map(({ a, wins }) => [a, wins]), [
      [one, { a: 2, b: 1, neither: 1 }],
      [one, { a: 0, b: 1, neither: 0 }],
    ]);
  });

  it("the sign test is the sum of binomial terms", () => {
    assertStrictEquals(signTest(0, 0), 1);
    assertStrictEquals(signTest(3, 3), 1);
    assertAlmostEquals(signTest(5, 0), 2 / 32, 1e-12);
    assertAlmostEquals(signTest(1, 9), 2 * 11 / 1024, 1e-12);
    assertAlmostEquals(signTest(9, 1), signTest(1, 9), 1e-12);
  });
});

describe("the page that compares", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());
  const expected = /asked another origin: http:\/\/127|CORS|ERR_|Failed to load|status of/;

  it("shows a server live, and keeps which of two answers was better", { skip }, async () => {
    using model = await GPT2.load(bundled);
    const origin = (await site.url()).replace(/\/$/, "");
    await withServer({ cors: [origin] }, async ({ url }) => {
      await site.open("compare/", async (page) => {
        await shows(page, "#command", new RegExp(`--cors ${origin}$`));
        await page.fill("#server-a", url);
        await page.fill("#server-b", `${url}/v1/`);
        await page.click("#connect");
        await says(page, /^Connected/);
        assertEquals(await page.$$eval("#model-b option", (list) => list.map((e) => e.textContent)), [
          "shakespeare",
        ]);
        // Nothing is drawn at temperature 0, so that both say what the library says.
        for (const label of await page.getByLabel("Temperature").all()) await label.fill("0");
        await page.fill("#tokens", "20");
        await page.click("#go");
        await says(page, /^Which is better/);
        const text = await model.complete("ROMEO:\n", { maxNewTokens: 20, doSample: false });
        assertEquals(await page.$$eval(".answer", (list) => list.map((e) => e.textContent)), [text, text]);
        await shows(page, "#live", /Tokens a second.*Texts at work.*MB/);
        await shows(page, "#live-hint", /every second/);
        assertStrictEquals(await page.textContent("#revealed"), "");
        await page.click("[data-better=left]");
        await shows(page, "#revealed", /^Left was shakespeare, temperature 0, .*; right was/);
        assert(await page.isHidden("#verdict"));
        assertStrictEquals(await page.locator("#tally tbody tr").count(), 1);
        assertEquals(await violations(page), []);
        const [file] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
        const [kept, ...more] = JSON.parse(readFileSync(await file.path(), "utf8")) as Verdict[];
        assertEquals(more, []);
        assertEquals([kept.better, kept.answers.a], [kept.left, text]);
        // The tab keeps it.
        await page.reload();
        assertStrictEquals(await page.locator("#tally tbody tr").count(), 1);
        await page.click("#forget");
        assertStrictEquals(await page.locator("#tally tbody tr").count(), 0);
      }, { expected });
    });
  });

  it("says when a server does not answer, and when it was not told of this page", { skip }, async () => {
    await withServer({}, async ({ url }) => {
      await site.open("compare/", async (page) => {
        for (
          const [address, message] of [[url, /without --cors/], [
            "ftp://x",
            /no address of a server/,
          ]] as const
        ) {
          await page.fill("#server-a", address);
          await page.click("#connect");
          await says(page, message);
        }
        assertMatch(await page.textContent("footer") ?? "", /goes to the servers that you name/);
        assert(await page.isDisabled("#go"));
      }, { expected });
    });
  });
});
