/** The page of tables in Chromium: it answers what the library answers here, at every drag. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { TabularModel } from "../mod.ts";
import { valueWords, words } from "../web/tabular/words.ts";
import { noBrowser, says, shows, TestSite, violations } from "./_browser.ts";
import { repository } from "./_data.ts";
import { dragTimes } from "./_page_rates.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";

const skip = noBrowser;

describe("the page of tables", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  for (const name of ["titanic", "mpg"]) {
    it(`${name}: the answers of the library, and others when a slider moves`, { skip }, async () => {
      const model = await TabularModel.load(join(repository, `web/models/tabular/${name}.safetensors`));
      const row = Object.fromEntries(
        model.schema.columns.filter(({ ignored }) => ignored === null).map((c) => [
          c.name,
          c.categories.length ? c.categories[0] : c.quantiles[10],
        ]),
      );
      const { class: label, value, probabilities } = await model.predict(row);
      const { min: least, max: largest } = model.schema.target;
      model.dispose();
      await site.open(`tabular/#${name}`, async (page) => {
        const called = words[name], said = (value: string): string => valueWords(called.target, value);
        await says(page, new RegExp(`^${called.target[0]}: move`));
        await page.waitForSelector("#answer .big");
        const first = await page.textContent("#answer .big");
        if (label !== null) {
          assertStrictEquals(first, said(label));
          const shown = `${(100 * probabilities![label]).toFixed(1)} %`;
          assert((await page.textContent("#answer"))!.includes(shown), shown);
          const chances = Object.values(probabilities!),
            bits = -chances.reduce((sum, p) => sum + (p > 0 ? p * Math.log2(p) : 0), 0);
          const doubt = await page.textContent("#answer .doubt figcaption") ?? "";
          const [, told, most] = /^Doubt: ([\d.]+) of ([\d.]+) bits/.exec(doubt)!.map(Number);
          assert(
            Math.abs(told - bits) < 0.0051 && Math.abs(most - Math.log2(chances.length)) < 0.0051,
            `${doubt}, ${bits}`,
          );
        } else {
          assertStrictEquals(Number(first), Number(value!.toPrecision(3)));
          const place = Number.parseFloat(
            await page.$eval(".scale-value", (mark) => (mark as HTMLElement).style.left),
          );
          assert(
            Math.abs(place - 100 * (value! - least) / (largest - least)) < 0.01,
            `${place} % of the scale`,
          );
          const label = await page.getAttribute(".scale", "aria-label") ?? "";
          assertMatch(label, /the mean of all rows being [\d.]+; 90 % of truths lie from/);
        }
        const facts = await page.textContent("#facts");
        await page.$eval("#inputs input[type=range]", (input: HTMLInputElement) => {
          input.value = input.min;
          input.dispatchEvent(new Event("input"));
        });
        await until(async () => await page.textContent("#facts") !== facts, "other facts");
        // Rows to begin from: each class has one that the model is sure of; of numbers a low and a high one.
        await page.locator("#presets button").last().waitFor();
        const big = async (): Promise<string> => await page.textContent("#answer .big") ?? "";
        const press = async (name: string): Promise<string> => {
          await page.$eval("#answer .big", (old) => old.setAttribute("data-old", ""));
          await page.click(`#presets button:text-is("${name}")`);
          await page.locator("#answer .big:not([data-old])").waitFor();
          return await big();
        };
        if (label !== null) {
          for (const one of Object.keys(probabilities!)) {
            assertStrictEquals(await press(`clearly ${said(one)}`), said(one));
          }
        } else {
          const [low, middle, high] = [await press("low"), await press("middle"), await press("high")].map(
            Number,
          );
          assert(low < middle && middle < high, `${low} ${middle} ${high}`);
          assertStrictEquals(middle, Number(value!.toPrecision(3)));
        }
        assertMatch((await page.textContent("#about"))!, /cross-validation/);
      });
    });
  }

  it("parts add up to the answer, values stand beside their mean, back goes back", { skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-table-"));
    try {
      await site.open("tabular/#cancer", async (page) => {
        await shows(page, "#moved", /20 others, together/);
        const numbers = (await page.locator("#moved .mono").allTextContents())
          .map((text) => Number(text.replace("−", "-").replace(",", "")));
        assertStrictEquals(numbers.length, 11);
        const base = Number(/with ([\d.]+) %/.exec(await page.textContent("#moved-about") ?? "")![1]);
        const answer = Number(/: ([\d.]+) %/.exec(await page.textContent("#answer .small") ?? "")![1]);
        const sum = numbers.reduce((a, b) => a + b, base);
        assert(Math.abs(sum - answer) < 0.7, `${sum} and ${answer}`); // each of 13 numbers is rounded
        // The file that it gives is the model.
        const [file] = await Promise.all([page.waitForEvent("download"), page.click("#model-file")]);
        await file.saveAs(join(folder, "own.safetensors"));
        const [own, kept] = [
          await TabularModel.load(join(folder, "own.safetensors")),
          await TabularModel.load(join(repository, "web/models/tabular/cancer.safetensors")),
        ];
        const row = Object.fromEntries(kept.schema.columns.map((c) => [c.name, c.mean]));
        assertEquals(await own.predict(row), await kept.predict(row));
        const { mean, std, max, name } = kept.schema.columns.find(({ ignored }) => ignored === null)!;
        own.dispose();
        kept.dispose();
        const slider = page.locator("#controls input").first();
        await slider.fill(String(await slider.getAttribute("max")));
        const told = await page.locator(".input-scale").first().textContent() ?? "";
        const z = Number(/z ([+−]\d+\.\d)/.exec(told)![1].replace("−", "-"));
        assert(Math.abs(z - (max - mean) / std) < 0.06, `${name}: ${told}`);
        assertStrictEquals(await page.locator(".input-part").first().getAttribute("class"), "input-part far");
        assertEquals(await violations(page), []);
        for (const [set, title] of [["wine", /^Quality/], ["mpg", /^Mileage/]] as const) {
          await page.click(`[data-set=${set}]`);
          await shows(page, "#answer h2", title);
        }
        await page.goBack();
        await shows(page, "#answer h2", /^Quality/);
        await page.goForward();
        await shows(page, "#answer h2", /^Mileage/);
        await page.evaluate(() => {
          location.hash = "#titanic&Pclass=1&Sex=1&Age=30&SibSp=0&Parch=0&Fare=80";
        });
        await shows(page, "#answer .big", /^yes$/);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("files of other kinds are told of in a sentence without flags of the command", { skip }, async () => {
    const zeros = Buffer.from([80, 75, 3, 4, 0, 0, 1, 2, 3]);
    const files = [
      ["data.zip", zeros, /^data\.zip is no text: .* CSV file/],
      ["empty.csv", Buffer.alloc(0), /^empty\.csv is empty\. .* CSV file/],
      [
        "tokenizer.json",
        readFileSync(join(repository, "web/models/shakespeare/tokenizer.json")),
        /^tokenizer\.json/,
      ],
      ["latin.csv", Buffer.from("größe,y\n1,2\n", "latin1"), /^latin\.csv is not UTF-8/],
      ["one.csv", Buffer.from("x\n1\n2\n"), /one column only/],
    ] as const;
    await site.open("tabular/", async (page) => {
      await says(page, /^Species/);
      for (const [name, buffer, said] of files) {
        await page.setInputFiles("#csv", { name, mimeType: "text/csv", buffer });
        await says(page, said);
        assert(!/ --|iconv/.test(await page.textContent("#status") ?? ""), name);
        assert(await page.locator("#fitting-line").isHidden(), name);
      }
    });
  });

  it("answers every drag", { skip }, async () => {
    await site.open("tabular/#titanic", async (page) => {
      await page.waitForSelector("#answer .big");
      assertStrictEquals((await dragTimes(page)).length, 40);
    });
  });

  it("trains on a CSV file of one's own, and says what is wrong with one", { skip }, async () => {
    const rows = Array.from({ length: 90 }, (_, i) => `${i % 9},${i % 5},${i % 9 > 4 ? "high" : "low"}`);
    const buffer = Buffer.from(["level,noise,kind", ...rows].join("\n"));
    await site.open("tabular/", async (page) => {
      await says(page, /^Species: move/);
      await page.setInputFiles("#csv", { name: "levels.csv", mimeType: "text/csv", buffer });
      await says(page, /^kind: move/);
      assertMatch(await page.textContent("#about") ?? "", /levels\.csv: 90 rows/);
      const slider = page.getByLabel("level", { exact: true });
      for (const [value, kind] of [["8", "high"], ["0", "low"]]) {
        await slider.fill(value);
        await shows(page, "#answer .big", new RegExp(`^${kind}$`));
      }
      // Another column of the same file.
      await page.selectOption("#target", "noise");
      await says(page, /^noise: move/);
      assertEquals(await page.$$eval("#controls label", (list) => list.length > 0), true);
      await page.selectOption("#target", "kind");
      await says(page, /^kind: move/);
      await page.getByLabel("level", { exact: true }).fill("0");
      await shows(page, "#answer .big", /^low$/);
      await page.setInputFiles("#csv", {
        name: "bad.csv",
        mimeType: "text/csv",
        buffer: Buffer.from("a,b\n1,2\n"),
      });
      await page.locator("#status[data-kind=error]").waitFor();
      assertStrictEquals(await page.textContent("#answer .big"), "low");
    });
  });

  it("tells what moved the answer; a link keeps the values", { skip }, async () => {
    const model = await TabularModel.load(join(repository, "web/models/tabular/titanic.safetensors"));
    const row = { Pclass: 1, Sex: 1, Age: 30, SibSp: 0, Parch: 0, Fare: 80 };
    const { prediction, columns } = await model.explain(row, { orders: 6 });
    model.dispose();
    const most = columns.reduce((a, b) => Math.abs(b.contribution[1]) > Math.abs(a.contribution[1]) ? b : a);
    assert(prediction[1] > 0.5, `${prediction}`);
    const link = new URLSearchParams(Object.entries(row).map(([name, value]) => [name, String(value)]));
    await site.open(`tabular/#titanic&${link}`, async (page) => {
      await shows(page, "#answer .big", /^yes$/);
      await shows(page, "#moved-about", /^Usual rows are "yes"/);
      const first = page.locator("#moved > div").first();
      assertStrictEquals(await first.getAttribute("data-name"), most.column);
      assertMatch(
        await first.textContent() ?? "",
        new RegExp(`\\+${(100 * most.contribution[1]).toFixed(1)}$`),
      );
      assertStrictEquals(await page.inputValue("select[data-name=Sex]"), "1");
      await page.selectOption("select[data-name=Sex]", "0");
      await shows(page, "#moved", /Sex: male/);
      await page.click("#link");
      await says(page, /^The link/);
      assertStrictEquals(new URLSearchParams(new URL(page.url()).hash).get("Sex"), "0");
      assertEquals(await violations(page), []);
    });
  });

  it(
    "a model as one HTML file answers alone, from a disk and without a network, as the page does",
    { skip },
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "ferrotype-page-"));
      try {
        for (const [name, largest] of [["heart", 150], ["housing", 150], ["cancer", 150]] as const) {
          await site.open(`tabular/#${name}`, async (page) => {
            await page.waitForSelector("#answer .big");
            // What comes last moves what is below it, the button too.
            await page.locator("#moved > div").first().waitFor();
            const [file] = await Promise.all([page.waitForEvent("download"), page.click("#page-file")]);
            assertStrictEquals(file.suggestedFilename(), `${name}.html`);
            const path = join(folder, `${name}.html`);
            await file.saveAs(path);
            assert(statSync(path).size < 1000 * largest, `${name}: ${statSync(path).size} bytes`);
            const model = await TabularModel.load(join(repository, `web/models/tabular/${name}.safetensors`));
            const { columns, target } = model.schema;
            await page.context().setOffline(true);
            await page.goto(pathToFileURL(path).href);
            // Sliders at their least, whatever is chosen as it is.
            const given = await page.$$eval("input, select", (list) =>
              list.map((input) => {
                if (input instanceof HTMLInputElement) input.value = input.min;
                input.dispatchEvent(new Event("input"));
                return Number((input as HTMLInputElement).value);
              }));
            const { value, probabilities } = await model.predict(
              Object.fromEntries(columns.map((c, i) => [c.name, given[i]])),
            );
            model.dispose();
            const answer = await page.textContent("#answer") ?? "";
            if (value !== null) {
              const shown = Number(/^[-\d,.]+/.exec(answer)![0].replaceAll(",", ""));
              assert(Math.abs(shown / value - 1) < 1e-3, `${shown} for ${value}`);
            } else {
              for (const [label, p] of Object.entries(probabilities!)) {
                const text = `${valueWords(words[name].target, label)} ${(100 * p).toFixed(1)} %`;
                assert(answer.includes(text), `${answer} lacks ${text} of ${target.name}`);
              }
            }
          }, { expected: /asked another origin: file:/ });
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  it("who chooses another set while one trains sees that set; training is called off", { skip }, async () => {
    const rows = Array.from({ length: 4000 }, (_, i) => `${i % 97},${i % 89},${i % 9 > 4 ? "high" : "low"}`);
    const buffer = Buffer.from(["level,noise,kind", ...rows].join("\n"));
    await site.open("tabular/", async (page) => {
      await says(page, /^Species/);
      await page.setInputFiles("#csv", { name: "levels.csv", mimeType: "text/csv", buffer });
      await page.locator("#cancel").waitFor();
      await shows(page, "#fitting-text", /^levels\.csv, .+: step [\d,]+ of at most [\d,]+$/);
      // A second run before the first has ended: what is told and shown is of the second alone.
      const few = Buffer.from(
        ["size,kind", ...rows.slice(0, 60).map((row, i) => `${i % 7},${row.split(",")[2]}`)].join("\n"),
      );
      await page.setInputFiles("#csv", { name: "second.csv", mimeType: "text/csv", buffer: few });
      await says(page, /^kind: move/);
      assertMatch(await page.textContent("#about") ?? "", /^second\.csv: 60 rows/);
      assertEquals(await page.locator("#controls input").count(), 1);
      assert(await page.locator("#fitting-line").isHidden() && await page.locator("#cancel").isHidden());
      await page.setInputFiles("#csv", { name: "levels.csv", mimeType: "text/csv", buffer });
      await shows(page, "#fitting-text", /^levels\.csv/);
      await page.click("[data-set=wine]");
      await says(page, /^Quality/);
      assert(await page.locator("#fitting-line").isHidden());
      await page.setInputFiles("#csv", { name: "levels.csv", mimeType: "text/csv", buffer });
      await page.click("#cancel");
      await says(page, /cancelled/);
      await page.getByLabel("Alcohol, % by volume").fill("14");
      await shows(page, "#moved", /Alcohol: 14/);
      assertMatch(await page.textContent("#answer h2") ?? "", /^Quality/);
    });
  });

  it("says what is wrong when a model is missing", { skip }, async () => {
    await site.open("tabular/#iris", async (page) => {
      await says(page, /iris\.safetensors/);
    }, {
      expected: /404/,
      before: (page) => page.route("**/iris.safetensors", (route) => route.fulfill({ status: 404 })),
    });
  });
});
