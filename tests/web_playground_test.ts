/** The playground in Chromium: it writes what the library writes here, shows its doubts, branches, and says what fails. */
import { assert, assertEquals, assertMatch, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BpeTokenizer, GPT2 } from "../mod.ts";
import { noBrowser, says, shows, TestSite, violations } from "./_browser.ts";
import { repository } from "./_data.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until as waitUntil } from "./_wait.ts";

const skip = noBrowser;

describe("the playground", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  it("writes what the library writes here; shows and takes other choices", { skip }, async () => {
    const model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const options = { maxNewTokens: 60, temperature: 0.8, topK: 0, topP: 1, minP: 0, seed: 7 };
    const expected = await model.complete("JULIET:\n", options);
    model.dispose();
    const state = new URLSearchParams({ prompt: "JULIET:\n", maxNewTokens: "60", seed: "7" });
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      assertMatch(await page.textContent("#machine") ?? "", /on \d+ threads?/);
      await page.click("#go");
      await says(page, /^Wrote 60/);
      const tokens = await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
      assertStrictEquals(tokens, expected);
      await page.hover(".token:nth-of-type(10)");
      // A click holds the letter while the pointer goes elsewhere.
      await page.click(".token:nth-of-type(10)");
      await shows(page, "#choices", /Above: the model/);
      const held = await page.textContent("#choices");
      await page.hover(".token:nth-of-type(20)");
      assertStrictEquals(await page.textContent("#choices"), held);
      assert(await page.locator(".choice").count() >= 6);
      await shows(page, "#choices", /Above: the model/);
      await page.locator(".choice[aria-pressed=false]").first().click();
      await says(page, /^Wrote 60/);
      assertStrictEquals(await page.$eval(".given", (e) => e.textContent!.slice(0, 8)), "JULIET:\n");
      // The link says all of it: who opens it and asks gets the same.
      await page.fill("#prompt", "JULIET:\n");
      await page.click("#share");
      await says(page, /^The link/);
      const link = new URLSearchParams(new URL(page.url()).hash.slice(1));
      for (const [name, value] of state) assertStrictEquals(link.get(name), value, name);
      await page.reload();
      await says(page, /^Ready/);
      await page.click("#go");
      await says(page, /^Wrote 60/);
      const again = await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
      assertStrictEquals(again, expected);
      await page.fill("#prompt", "€");
      await page.click("#go");
      await says(page, /none of these letters: €/);
    });
  });

  it("reads prompts of any length and letters, and links of any numbers", { skip }, async () => {
    const prompt = "Thé king of France is here. ".repeat(20), known = prompt.replaceAll("é", "");
    const model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const expected = await model.complete(model.encode(known).slice(-128), {
      ...{ maxNewTokens: 12, temperature: 0.8, seed: 1 },
    });
    model.dispose();
    const link = new URLSearchParams({
      prompt,
      maxNewTokens: "12",
      temperature: "-3",
      topK: "1e9",
      seed: "1.5",
    });
    await site.open(`playground/#${link}`, async (page) => {
      await page.locator(".token").nth(11).waitFor();
      await shows(page, "#note", /not know them: é The prompt has 540 tokens, and the model sees 128/);
      assertStrictEquals(
        await page.$$eval(".token", (list) => list.map((e) => e.textContent).join("")),
        expected,
      );
      assertStrictEquals(await page.inputValue("#prompt"), prompt);
      assertEquals(
        await page.$$eval(
          "[data-name=temperature], [data-name=topK], #seed",
          (list) => (list as HTMLInputElement[]).map(({ value }) => value),
        ),
        ["0.8", "0", "1"],
      );
      // A place of it, its neighbours, and another way from there.
      await page.locator(".token").nth(5).click();
      await shows(page, "#choices", /Above: the model/);
      await page.locator(".choice[aria-pressed=false]").first().click();
      await says(page, /^Wrote 12/);
      // Another link in the same tab shows what that one says.
      await page.evaluate(() => {
        location.hash = "#prompt=KING&maxNewTokens=3&topK=x&repository=someone/model";
      });
      await says(page, /made with someone\/model/);
      assertStrictEquals(await page.inputValue("#prompt"), "KING");
      assertStrictEquals(await page.inputValue("#repository"), "someone/model");
    });
  });

  it("takes every way to choose, and stops when asked", { skip }, async () => {
    const model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const options = {
      ...{ maxNewTokens: 40, temperature: 1.2, topK: 20, topP: 0.9, minP: 0.02, typicalP: 0.8, seed: 3 },
      ...{ epsilonCutoff: 0.002, etaCutoff: 0.003, repetitionPenalty: 1.1, frequencyPenalty: 0.3 },
      ...{ presencePenalty: 0.2, noRepeatNgramSize: 3 },
    };
    const expected = await model.complete("ROMEO:\n", options);
    for (const name of ["typicalP", "frequencyPenalty", "presencePenalty", "noRepeatNgramSize"] as const) {
      const { [name]: _, ...others } = options;
      assertNotStrictEquals(
        await model.complete("ROMEO:\n", others),
        expected,
        `${name} changes nothing here`,
      );
    }
    model.dispose();
    const state = new URLSearchParams({ prompt: "ROMEO:\n" });
    for (const [name, value] of Object.entries(options)) state.set(name, String(value));
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      await page.click("#go");
      await says(page, /^Wrote 40/);
      const tokens = await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
      assertStrictEquals(tokens, expected);
      await page.click("#more-options > summary");
      assertStrictEquals(await page.inputValue("[data-name=typicalP]"), "0.8");
      assertEquals(await violations(page), []);
      await page.locator("[data-name=maxNewTokens]").fill("500");
      await page.click("#go");
      // In the page itself: a click from outside may come when the text has ended.
      await page.evaluate(() =>
        new Promise<void>((resolve) => {
          const timer = setInterval(() => {
            if (document.querySelectorAll(".token").length < 4) return;
            clearInterval(timer);
            document.querySelector<HTMLButtonElement>("#stop")!.click();
            resolve();
          }, 1);
        })
      );
      await says(page, /^Stopped after \d+ tokens/);
      const count = await page.locator(".token").count();
      assert(count >= 4 && count < 500, `${count} tokens`);
    });
  });

  it("writes by itself when it opens, and its choices stand beside the text", { skip }, async () => {
    await site.open("playground/", async (page) => {
      await page.locator(".token").nth(20).waitFor();
      await page.locator(".token").nth(5).click();
      await shows(page, "#choices", /Above: the model/);
      const [text, choices] = [
        await page.locator("#text").boundingBox(),
        await page.locator("#choices .choice").first().boundingBox(),
      ];
      assert(text && choices && choices.x > text.x + text.width && choices.y < 800, JSON.stringify(choices));
      await page.click("#go");
      assertStrictEquals(await page.locator(".choice").count(), 0);
    });
  });

  it("shows what settings make of a place at once, without writing again", { skip }, async () => {
    const model = await GPT2.load(join(repository, "web/models/shakespeare")),
      prompt = model.encode("ROMEO:\n");
    const made = (await model.completion(prompt, { maxNewTokens: 30, temperature: 0.8, seed: 1 })).ids;
    const place = 20, sampling = { temperature: 0.5, topK: 4, repetitionPenalty: 1.5, frequencyPenalty: 1 };
    // The same text forced on a run with these settings: what it draws from at the place.
    const { scores } = await model.completion(prompt, {
      ...{ ...sampling, seed: 1, maxNewTokens: place + 1, outputScores: true },
      logitsProcessors: [(ids, logits) => {
        const at = ids.length - prompt.length;
        for (let id = 0; at < place && id < logits.length; id++) if (id !== made[at]) logits[id] = -Infinity;
      }],
    });
    const most = Math.max(...scores![place]), shares = scores![place].map((x) => Math.exp(x - most));
    const sum = shares.reduce((a, b) => a + b, 0);
    const expected = new Map([...shares.keys()].map((id) => [
      model.tokenizer!.decode([id]).replace("\n", "⏎").replace(" ", "␣"),
      `${(100 * shares[id] / sum).toFixed(1)} %`,
    ]));
    model.dispose();
    await site.open(
      `playground/#${new URLSearchParams({ prompt: "ROMEO:\n", maxNewTokens: "30" })}`,
      async (page) => {
        await page.locator(".token").nth(29).waitFor();
        const text = await page.textContent("#text");
        await page.locator(".token").nth(place).click();
        await shows(page, "#choices", /Above: the model/);
        for (const [name, value] of Object.entries(sampling)) {
          if (name === "frequencyPenalty") await page.click("#more-options > summary");
          await page.fill(`[data-name=${name}]`, String(value));
        }
        const shown = (): Promise<string[][]> =>
          page.$$eval(
            ".choice",
            (rows) => rows.map((row) => [...row.querySelectorAll(".mono")].map((e) => e.textContent!)),
          );
        await waitUntil(
          async () => (await shown()).every(([letter, share]) => expected.get(letter) === share),
          "the shares",
        );
        assert((await shown()).length >= 8);
        assert(await page.locator(".choice.out").count() >= 4);
        await shows(page, "#choices", /settings, 4 tokens left/);
        assertStrictEquals(await page.textContent("#text"), text);
        assertEquals(await violations(page), []);
        // The likeliest alone.
        await page.fill("[data-name=temperature]", "0");
        await shows(page, "#choices", /settings, 1 token left/);
      },
    );
  });

  it("tells what each layer would say, and compares two ways to hold the weights", { skip }, async () => {
    const folder = join(repository, "web/models/shakespeare"),
      judged = "To be, or not to be, that is the question.\n";
    const bits: string[] = [];
    for (const dtype of ["f32", "q8"] as const) {
      const model = await GPT2.load(folder, { dtype }), ids = model.encode(judged);
      const loss = model.loss([ids]);
      bits.push(`${(await loss.item() / Math.LN2).toFixed(3)} bits a letter`);
      loss.dispose();
      model.dispose();
    }
    await site.open("playground/", async (page) => {
      await page.locator(".token").nth(99).waitFor();
      await page.click("[data-view=lens]");
      await shows(page, "#lens-row", /, 4 layers would say/);
      assertStrictEquals(await page.locator("#lens td").count(), 5 * 24);
      // The row of the last layer is what the model says at the last letter but one: how sure it was of the last one.
      await page.focus("#lens");
      await page.keyboard.press("ArrowLeft");
      await page.locator(".token").nth(99).hover();
      await shows(page, "#choices", /Above: the model/);
      const widest = await page.$$eval(
        ".before",
        (bars) => parseFloat((bars[0] as HTMLElement).style.width).toFixed(0),
      );
      await shows(page, "#lens-row", new RegExp(`would say [^ ]+ ${widest} %`));
      assertEquals(await violations(page), []);
      await page.fill("#judged", judged);
      await page.selectOption("#side-b", "q8");
      await page.click("#compare");
      await shows(
        page,
        "#side-hint",
        /^q8 needs 0\.\d+ bits a letter (more|less) than f32, and takes \d\d % of its memory/,
      );
      assertEquals(
        await page.$$eval(".side .number", (list) => list.map((e) => e.textContent!.split(",")[0])),
        bits,
      );
      assertEquals(await page.$$eval(".side h3", (list) => list.map((e) => e.textContent)), ["f32", "q8"]);
    });
  });

  it("shows the tokens of a text, by the model's tokenizer or by any tokenizer.json", { skip }, async () => {
    const text = "naïve 東京 🙂 the theatre, 1234",
      sample = `${"the theatre of the naïve. ".repeat(30)}東京 🙂`;
    const tokenizer = BpeTokenizer.train(sample, { vocabSize: 290 }), own = tokenizer.encode(text);
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-tokens-"));
    try {
      const path = join(folder, "tokenizer.json");
      writeFileSync(path, JSON.stringify(tokenizer));
      writeFileSync(join(folder, "broken.json"), "{");
      await site.open("playground/", async (page) => {
        await shows(page, "#token-facts", /^42 tokens for 42 letters \(42 bytes\), 1\.00 letters a token$/);
        await page.fill("#to-cut", text);
        await shows(page, "#token-facts", /ï/);
        await page.setInputFiles("#tokenizer-file", path);
        await shows(
          page,
          "#token-facts",
          new RegExp(`^${own.length} tokens for ${[...text].length} letters`),
        );
        const ids = await page.locator("#pieces small").allTextContents();
        assertEquals(ids.map(Number), [...own]);
        await shows(
          page,
          "#tokenizer-name",
          new RegExp(`tokenizer.json knows ${tokenizer.vocabSize} tokens`),
        );
        await page.fill("#to-cut", "the theatre");
        await shows(
          page,
          "#token-facts",
          new RegExp(`^${tokenizer.encode("the theatre").length} tokens for 11 letters`),
        );
        await page.setInputFiles("#tokenizer-file", join(folder, "broken.json"));
        await shows(page, "#token-facts", /tokenizer\.json/);
        await page.click("#own-tokenizer");
        await shows(page, "#token-facts", /^11 tokens for 11 letters/);
        assertEquals(await violations(page), []);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("writes without threads, too", { skip }, async () => {
    await site.open("playground/", async (page) => {
      await says(page, /^Ready/);
      assertMatch(await page.textContent("#machine") ?? "", /on 1 thread:.*isolate/);
      await page.click("#go");
      await says(page, /^Wrote 100 tokens/);
    }, { isolation: false });
  });

  it("says what is wrong when a file is missing or WebAssembly is denied", { skip }, async () => {
    await site.open("playground/", async (page) => {
      await says(page, /model\.safetensors/);
      assertStrictEquals(await page.isDisabled("#go"), true);
    }, {
      expected: /404/,
      before: (page) => page.route("**/model.safetensors", (route) => route.fulfill({ status: 404 })),
    });
    await site.open("playground/", async (page) => {
      await says(page, /does not let pages use WebAssembly/);
    }, { before: (page) => page.addInitScript("delete globalThis.WebAssembly") });
    await site.open("playground/", async (page) => {
      await says(page, /could not be loaded/);
    }, {
      expected: /worker|Failed to load/,
      before: (page) => page.route("**/worker-*.js", (route) => route.abort()),
    });
  });
});
