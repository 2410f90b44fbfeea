/**
 * Models of the visitor's in the playground, in Chromium: from a hub on loopback, whose files the browser keeps, and from a
 * folder; and what a model looks at.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { GPT2 } from "../mod.ts";
import { noBrowser, says, shows, TestSite, violations } from "./_browser.ts";
import { dataPath, missingData, readDataJson, repository } from "./_data.ts";
import { tinyFolder } from "./_gpt2.ts";
import { FakeHub } from "./_hub.ts";
import { after, before, beforeEach, describe, it } from "./_suite.ts";

const skip = noBrowser;
const names = ["config.json", "model.safetensors", "tokenizer.json"];
const other = /asked another origin: http:\/\/(127\.0\.0\.1|localhost)|Failed to load resource|ERR_/;

describe("models in the playground", { skip }, () => {
  const hub = new FakeHub(), prompt = "To be";
  let site: TestSite, expected = "";
  before(async () => {
    if (skip) return;
    await hub.start();
    site = await TestSite.start();
    const model = await GPT2.load(tinyFolder);
    expected = await model.complete(prompt, { maxNewTokens: 12, doSample: false, eosTokenId: [] });
    model.dispose();
  });
  after(async () => {
    await site?.close();
    if (!skip) await hub.stop();
  });
  beforeEach(() => {
    hub.reset();
    hub.repositories.clear();
    const files = Object.fromEntries(
      names.map((name) => [name, new Uint8Array(readFileSync(join(tinyFolder, name)))]),
    );
    hub.push("org/tiny", files);
  });

  /** Names a repository and asks for it. */
  const name = async (page: Page, repository: string): Promise<void> => {
    if (!await page.locator("#other-model").getAttribute("open").then((open) => open !== null)) {
      await page.click("#other-model > summary");
    }
    await page.fill("#hub", hub.endpoint);
    await page.fill("#repository", repository);
    await page.click("#fetch");
  };
  const state = new URLSearchParams({ prompt, maxNewTokens: "12", temperature: "0", repetitionPenalty: "1" });
  const written = async (page: Page): Promise<string> => {
    await page.click("#go");
    await says(page, /^Wrote/);
    return await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
  };

  it("come from a hub, are kept by the browser, and write what they write here", async () => {
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      const large = new Promise<void>((resolve) => {
        let times = 0;
        // The connection drops in the middle of the weights, once.
        hub.fault = ({ server, method, path }) => {
          if (server !== "storage" || method !== "GET" || !path.endsWith("model.safetensors")) {
            return undefined;
          }
          if (times++) return resolve(), undefined;
          return { cutAfter: 100_000 };
        };
      });
      await name(page, "org/tiny");
      await large;
      await says(page, /^Ready: [\d,.]+( million)? parameters, 64 positions/);
      assertMatch(await page.textContent("#model-name") ?? "", /^org\/tiny: .*held as f32/);
      const parts = hub.gets("model.safetensors");
      assert(
        parts.length === 2 && /^bytes=\d+-$/.test(parts[1].headers.range ?? ""),
        "no rest was asked for",
      );
      assertStrictEquals(await written(page), expected);
      // The second time the bytes are here.
      await page.reload();
      await says(page, /^Ready/);
      hub.asked = [];
      await name(page, "org/tiny");
      await says(page, /64 positions/);
      assertEquals(
        hub.asked.filter(({ path }) => path.endsWith(".safetensors") || path.endsWith("tokenizer.json")),
        [],
      );
      assertStrictEquals(await written(page), expected);
      // And without the hub.
      hub.fault = () => ({ status: 503 });
      await page.reload();
      await says(page, /^Ready/);
      await name(page, "org/tiny");
      await says(page, /64 positions/);
      assertStrictEquals(await written(page), expected);
    }, { expected: other });
  });

  it("stay as they were when a repository is missing, or its download is cancelled", async () => {
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      const before = await page.textContent("#model-name");
      await name(page, "org/none");
      await says(page, /has no repository org\/none/);
      assertStrictEquals(await page.textContent("#model-name"), before);
      let come = (): void => {};
      const wait = new Promise<void>((resolve) => come = resolve);
      hub.fault = ({ path }) => path.endsWith("model.safetensors") ? { wait } : undefined;
      await name(page, "org/tiny");
      await page.click("#cancel-load");
      await says(page, /cancelled/);
      come();
      assertStrictEquals(await page.textContent("#model-name"), before);
      assertStrictEquals(await page.isHidden("#loading"), true);
      assertStrictEquals((await written(page)).length, 12);
    }, { expected: other });
  });

  it("come from a folder, chosen or dropped, with weights held as one likes", async () => {
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      await page.click("#other-model > summary");
      await page.setInputFiles("#folder", tinyFolder);
      await says(page, /64 positions/);
      assertMatch(await page.textContent("#model-name") ?? "", /^gpt2-tiny: .*held as f32/);
      assertStrictEquals(await written(page), expected);
      await page.selectOption("#held", "bf16");
      await page.setInputFiles("#folder", tinyFolder);
      await says(page, /64 positions/);
      assertMatch(await page.textContent("#model-name") ?? "", /held as bf16/);
      await page.click("#bundled");
      await says(page, /128 positions/);
      await page.selectOption("#held", "as stored");
      const files = names.map((name) => [name, readFileSync(join(tinyFolder, name)).toString("base64")]);
      await page.evaluate((files) => {
        const data = new DataTransfer();
        for (const [name, text] of files) {
          data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
        }
        document.body.dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }),
        );
      }, files);
      await says(page, /64 positions/);
      assertStrictEquals(await written(page), expected);
    });
  });

  it(
    "are of any family, from a folder and from a GGUF",
    { skip: missingData("llama", "stories260K") },
    async () => {
      const folder = dataPath("llama", "stories260K"), file = "stories260K-f32.gguf";
      const { greedy } = readDataJson<{ greedy: { text: string } }>("llama", "stories260K", "golden.json");
      const story = new URLSearchParams({
        prompt: "Once upon a time",
        maxNewTokens: "30",
        temperature: "0",
        repetitionPenalty: "1",
      });
      await site.open(`playground/#${story}`, async (page) => {
        await says(page, /^Ready/);
        await page.click("#other-model > summary");
        await page.setInputFiles("#folder", folder);
        await says(page, /512 positions/);
        const text = await written(page);
        assert(text.length > 60 && greedy.text.startsWith(text), text);
        await page.click("#bundled");
        await says(page, /128 positions/);
        const base64 = readFileSync(join(folder, file)).toString("base64");
        await page.evaluate(([name, text]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
          document.body.dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }),
          );
        }, [file, base64]);
        await says(page, /512 positions/);
        assertMatch(await page.textContent("#model-name") ?? "", /^stories260K-f32\.gguf: /);
        assertStrictEquals(await written(page), text);
      });
    },
  );

  it("are refused in a sentence: no config.json, other files, damaged weights", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-page-"));
    try {
      await site.open("playground/", async (page) => {
        await says(page, /^Ready/);
        await page.click("#other-model > summary");
        const files: [string, string, RegExp][] = [
          ["notes.txt", "hello", /notes\.txt is no model that this page reads/],
          ["config.json", JSON.stringify({ model_type: "lama" }), /"lama".*"llama"/],
          ["config.json", readFileSync(join(tinyFolder, "config.json"), "utf8"), /safetensors/],
          ["model.safetensors", "not a model", /model\.safetensors/],
        ];
        for (const [file, text, message] of files) {
          writeFileSync(join(folder, file), text);
          await page.setInputFiles("#folder", folder);
          await says(page, message);
        }
        assertMatch(await page.textContent("#model-name") ?? "", /^Shakespeare/);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("show what tokens look at, as the library computes it", async () => {
    const prompt = "ROMEO:\nO, she doth";
    await site.open(`playground/#${new URLSearchParams({ prompt })}`, async (page) => {
      await says(page, /^Ready/);
      // The page writes by itself: what is looked at is all of that.
      await page.locator(".token").nth(99).waitFor();
      const text = await page.textContent("#text") ?? "";
      const model = await GPT2.load(join(repository, "web/models/shakespeare"));
      const ids = model.encode(text), last = ids.length - 1, [layer] = model.attentions(ids, { layers: [1] });
      const row = [...await layer.select(1, 2).select(1, last).data() as Float32Array];
      model.dispose();
      const most = row.indexOf(Math.max(...row));
      await page.selectOption("#layer", { value: "1" });
      // By itself when the text was there; then the layer, and the third of its heads.
      await page.locator(".heads button").nth(3).click();
      const told = (at: number): Promise<void> => shows(page, "#arcs-row", new RegExp(`^Token ${at}, .* %$`));
      const letter = text[most].replace("\n", "⏎").replace(" ", "␣").replace(/[.?]/, "\\$&");
      const share = `${letter} \\(${most + 1}\\) ${(100 * row[most]).toFixed(0)} %`;
      await shows(page, "#arcs-row", new RegExp(`^Token ${last + 1}, .*looks at ${share}.* %$`));
      await page.focus("#arcs");
      await page.keyboard.press("ArrowLeft");
      await told(last);
      const size = await page.locator(".heads canvas").nth(2).evaluate((canvas) =>
        (canvas as HTMLCanvasElement).width
      );
      assertStrictEquals(size, ids.length);
      assertEquals(await violations(page), []);
      await page.click("#go");
      await says(page, /^Wrote/);
      await page.click("#look");
      await told(prompt.length + 100);
    });
  });
});
