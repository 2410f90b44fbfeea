/** The race page: its parts on every runtime, then the page itself in Chromium, with the memory it promises. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { readFileSync } from "node:fs";
import { landscapes, type Optimizer2d, optimizers2d, state2d, step2d } from "../mod.ts";
import { optimizerTexts } from "../web/race/explain.ts";
import { findRate } from "../web/race/finder.ts";
import { parseFormula } from "../web/race/formula.ts";
import { capacity, Race, Racer } from "../web/race/race.ts";
import { defaultSettings, fromHash, toHash } from "../web/race/settings.ts";
import { measureHeap, type RaceHandle } from "./_page_rates.ts";
import { noBrowser, says, shows, TestSite, until, violations } from "./_browser.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until as waitUntil } from "./_wait.ts";

const skip = noBrowser;
const g = new Float64Array(2);

describe("a formula", () => {
  const cases: [text: string, truth: (x: number, y: number) => number][] = [
    ["x^2 + 3*y^2 - 1", (x, y) => x * x + 3 * y * y - 1],
    ["-x^2 + 2^-1", (x) => -x * x + 0.5],
    ["sin(3*x)*cos(y) + exp(-x*x)", (x, y) => Math.sin(3 * x) * Math.cos(y) + Math.exp(-x * x)],
    ["sqrt(abs(x)+1)/(1+y**2)", (x, y) => Math.sqrt(Math.abs(x) + 1) / (1 + y * y)],
    [
      "max(x, y)^3 + pow(y, 2) + tanh(x) + tan(y/3)",
      (x, y) => Math.max(x, y) ** 3 + y * y + Math.tanh(x) + Math.tan(y / 3),
    ],
    ["log(x*x + 1) + pi*erf(y) - e", (x, y) => Math.log(x * x + 1) + Math.PI * erf(y) - Math.E],
    ["2^x^y * 0 + 2^3^2", () => 512],
  ];
  for (const [text, truth] of cases) {
    it(`${text}: value and gradient`, () => {
      const { value, gradient } = parseFormula(text), h = 1e-5;
      for (const [x, y] of [[0.7, 1.3], [1.9, 0.4], [2.3, 2.9]]) {
        assert(Math.abs(value(x, y) - truth(x, y)) < 1e-6, `${value(x, y)} is not ${truth(x, y)}`);
        gradient(x, y, g);
        const sx = (value(x + h, y) - value(x - h, y)) / (2 * h);
        const sy = (value(x, y + h) - value(x, y - h)) / (2 * h);
        assert(Math.abs(g[0] - sx) < 1e-4 * (1 + Math.abs(sx)), `∂x ${g[0]} is not ${sx}`);
        assert(Math.abs(g[1] - sy) < 1e-4 * (1 + Math.abs(sy)), `∂y ${g[1]} is not ${sy}`);
      }
    });
  }
  for (
    const text of [
      "alert(1)",
      "x.constructor",
      "constructor(x)",
      "(function(){})()",
      "z + 1",
      "x = 3",
      "sin(x, y)",
      "'a'",
      "x; y",
      "[x]",
      "x +",
      "",
      "this",
      "x && y",
      `x${"+x".repeat(300)}`,
    ]
  ) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))} with a sentence`, () => {
      assertThrows(() => parseFormula(text), Error, "The formula");
    });
  }

  function erf(x: number): number {
    let sum = 0, term = x;
    for (let n = 0; n < 60; n++) {
      sum += term / (2 * n + 1);
      term *= -x * x / (n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
});

describe("a race", () => {
  const make = (): Race =>
    new Race(optimizers2d.map((name) => new Racer(name, { lr: 0.001 })), landscapes.rosenbrock);

  it("goes back in time and comes out at the same place", () => {
    const race = make();
    race.run(900);
    const before = race.racers.map(({ state }) => [...state]);
    race.restore(400);
    assertStrictEquals(race.steps, 400);
    assertNotEquals(race.racers.map(({ state }) => [...state]), before);
    race.run(500);
    assertEquals(race.racers.map(({ state }) => [...state]), before);
  });

  it("holds a bounded part of the way, and goes back no further", () => {
    const race = make();
    race.run(capacity * 2 + 10);
    assertStrictEquals(race.oldest, capacity + 11);
    race.restore(0);
    assertStrictEquals(race.steps, capacity + 11);
    assert(race.racers.every(({ steps }) => steps === capacity + 11));
  });

  it("takes out who leaves the plane", () => {
    const racer = new Racer("sgd", { lr: 10 }), race = new Race([racer], landscapes.rosenbrock);
    race.run(100);
    assert(racer.lost && racer.steps < 100);
    race.restart(1, 1);
    assert(!racer.lost);
  });

  it("finds a learning rate better than its neighbours far off", () => {
    const { rates, losses, best } = findRate(new Racer("sgd", { lr: 1 }), landscapes.bowl, -2.5, 1.8);
    assert(best > 0.05 && best < 0.2, `the steepest direction bears 2 / 10, and ${best} was found`);
    assert(losses[0] > losses[rates.indexOf(best)]);
  });

  it("is the same after a trip through the address", () => {
    const settings = defaultSettings();
    settings.surface = "formula";
    settings.formula = "x^2 + y^2 & #";
    settings.rates.lion = 0.0123;
    settings.on.sgd = false;
    settings.start = [0.5, -1.25];
    settings.beta2 = 0.95;
    assertEquals(fromHash(`#${toHash(settings)}`), settings);
    assertEquals(fromHash("#rates=sgd:oops,toString:3&start=NaN,1&speed=-4&beta1=7"), defaultSettings());
  });
});

describe("the race page", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start("--js-flags=--expose-gc");
  });
  after(() => site?.close());
  const seen = {
    before: (page: { addInitScript(script: string): Promise<unknown> }) =>
      page.addInitScript("localStorage.setItem('race-tour', 'seen')").then(() => undefined),
  };
  const ready = (): boolean => "race" in globalThis;

  it("races as Deno does: the same numbers", { skip }, async () => {
    await site.open("race/#surface=beale&start=1,1.5&speed=1", async (page) => {
      await until(page, ready);
      const states = await page.evaluate(() => {
        const { race, play } = (globalThis as unknown as { race: RaceHandle }).race;
        play(false);
        race.restart(1, 1.5);
        race.run(2000);
        return race.racers.map(({ name, options, state }) => ({ name, options, state: [...state] }));
      });
      assertEquals(states.map(({ name }) => name), optimizers2d);
      for (const { name, options, state } of states) {
        const mine = state2d(1, 1.5);
        for (let i = 0; i < 2000; i++) step2d(name as Optimizer2d, landscapes.beale, mine, options);
        assertEquals(state, [...mine], name);
      }
    }, seen);
  });

  it("allocates nothing that a step or a frame would have to give back", { skip }, async () => {
    await site.open("race/", async (page) => {
      await until(page, ready);
      const { grown, soak } = await measureHeap(page);
      // A number on the heap takes 12 bytes; the engine's own business is a few thousand.
      assert(grown < 1e6, `${grown} bytes in a million steps`);
      assert(soak < 1e6, `${soak} bytes in the steps and frames of ten minutes`);
    }, seen);
  });

  it("obeys: click, keys, sliders, step, time, formula, finder, files, 3-D, a link", { skip }, async () => {
    await site.open("race/", async (page) => {
      await until(page, ready);
      await page.click("#play");
      await page.click("#map", { position: { x: 100, y: 100 } });
      const start = (): Promise<number[]> =>
        page.evaluate(() => [...(globalThis as unknown as { race: RaceHandle }).race.race.start]);
      const clicked = await start();
      assert(clicked[0] < -1 && clicked[1] > 1.5, `${clicked}`);
      await page.focus("#map");
      await page.keyboard.press("ArrowRight");
      assert((await start())[0] > clicked[0]);
      const { title, about } = optimizerTexts.muon;
      await page.locator("#racers li").filter({ hasText: title }).hover();
      assertStrictEquals(await page.textContent("#explain"), about);
      await page.hover("h1");
      const surface = await page.textContent("#explain");
      assertMatch(surface ?? "", /^Rosenbrock/);
      await page.click("#step");
      await page.click("#step");
      await until(page, () => document.getElementById("time-value")?.textContent === "step 2");
      await page.locator("#time").fill("1");
      await until(page, () => document.getElementById("time-value")?.textContent === "step 1");
      await page.locator("#rate-adam").fill("-100");
      assertStrictEquals(
        await page.evaluate(() =>
          (globalThis as unknown as { race: RaceHandle }).race.race.racers[3].options.lr
        ),
        0.1,
      );
      await page.selectOption("#surface", "formula");
      await page.fill("#formula", "window");
      await page.locator("#formula-error").waitFor();
      assertMatch(await page.locator("#formula-error").innerText(), /names "window"/);
      await page.fill("#formula", "(x-1)^2 + y^2");
      await page.locator("#formula-error").waitFor({ state: "hidden" });
      await page.click("#find");
      await page.locator("#finder").waitFor();
      for (let i = 0; i < 3; i++) await page.click("#step");
      for (const name of ["json", "csv", "png"]) {
        const [file] = await Promise.all([page.waitForEvent("download"), page.click(`#${name}`)]);
        assertStrictEquals(file.suggestedFilename(), `race.${name}`);
        const bytes = readFileSync(await file.path());
        if (name === "png") assertStrictEquals(bytes.toString("latin1", 1, 4), "PNG");
        else {
          const text = bytes.toString(),
            races = await page.evaluate(() =>
              (globalThis as unknown as { race: RaceHandle }).race.race.racers.map(({ name, loss }) => ({
                name,
                loss,
              }))
            );
          assertStrictEquals(
            new Set(races.map(({ loss }) => loss)).size > 3,
            true,
            "they went different ways",
          );
          for (const { name: optimizer, loss } of races) {
            const last = name === "json"
              ? JSON.parse(text).racers.find((r: { optimizer: string }) => r.optimizer === optimizer).path.at(
                -1,
              )[3]
              : Number(text.split("\n").findLast((line) => line.startsWith(`${optimizer},`))?.split(",")[4]);
            assertStrictEquals(last, loss, `${optimizer} in ${name}`);
          }
        }
      }
      await page.click("#view-3d");
      await page.locator("#scene").waitFor();
      await until(page, () => {
        const { width, height } = document.getElementById("scene") as HTMLCanvasElement;
        const copy = document.createElement("canvas");
        copy.width = width;
        copy.height = height;
        const pen = copy.getContext("2d")!;
        pen.drawImage(document.getElementById("scene") as HTMLCanvasElement, 0, 0);
        return new Set(new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer)).size > 50;
      });
      await until(page, () => location.hash.includes("formula="));
      const link = fromHash(new URL(page.url()).hash);
      assertStrictEquals(link.formula, "(x-1)^2 + y^2");
    }, seen);
  });

  it(
    "races through a long formula at full speed",
    { skip },
    async () => {
      const formula = Array.from({ length: 12 }, (_, i) => `sin(x*${i})*cos(y)`).join("+");
      const state = new URLSearchParams({ surface: "formula", speed: "4096", formula });
      await site.open(`race/#${state}`, async (page) => {
        await until(page, ready);
        await until(page, () => (globalThis as unknown as { race: RaceHandle }).race.race.steps > 5000);
      }, seen);
    },
  );

  it("stands still until asked where less motion is wanted", { skip }, async () => {
    await site.open("race/", async (page) => {
      await until(page, ready);
      await page.waitForTimeout(200);
      const steps = (): Promise<number> =>
        page.evaluate(() => (globalThis as unknown as { race: RaceHandle }).race.race.steps);
      assertStrictEquals(await steps(), 0);
      await page.focus("#map");
      await page.keyboard.press("Space");
      await waitUntil(async () => await steps() > 0, "a step");
    }, { ...seen, context: { reducedMotion: "reduce" } });
  });

  it(
    "races small GPTs in loss and text, and shows a slice of their loss with the paths",
    { skip },
    async () => {
      await site.open("race/", async (page) => {
        await until(page, ready);
        await page.click("#real-open");
        await shows(page, "#real-texts [data-name=adam] .real-text", /^Jack␣and/);
        await page.click("#real-stop");
        await shows(page, "#real-facts", /ends at .*it walked \d+\.\d and is \d+\.\d from the start/);
        await page.selectOption("#directions", "random");
        await shows(page, ".real", /filter as long as its weights/);
        const painted = await page.$eval("#real-slice", (canvas) => {
          const { width, height } = canvas as HTMLCanvasElement;
          const pen = (canvas as HTMLCanvasElement).getContext("2d")!;
          return pen.getImageData(0, 0, width, height).data.some((x) => x > 0);
        });
        assert(painted);
        assertEquals(await violations(page), []);
        // A rate that is none is refused; one that is too high diverges, and is named.
        await page.fill("#real-rate-sgd", "0");
        await page.click("#real-go");
        await says(page, /SGD should be a number above 0/);
        await page.fill("#real-rate-sgd", "1e30");
        await page.click("#real-go");
        await shows(page, "#real-texts [data-name=sgd]", /diverged/);
        await page.click("#real-stop");
        await shows(page, "#real-facts", /Diverged, as the rate was too high: SGD\./);
      }, seen);
    },
  );

  it("records a video", { skip }, async () => {
    await site.open("race/", async (page) => {
      await until(page, ready);
      await page.click("#record");
      await until(page, () => (globalThis as unknown as { race: RaceHandle }).race.race.steps > 300);
      await page.waitForTimeout(900);
      const [file] = await Promise.all([page.waitForEvent("download"), page.click("#record")]);
      assertMatch(file.suggestedFilename(), /^race\.(webm|mp4)$/);
      await until(page, () => /[1-9]\d* KB/.test(document.getElementById("status")?.textContent ?? ""));
    }, seen);
  });

  it("shows its tour once, and lets one skip it", { skip }, async () => {
    await site.open("race/", async (page) => {
      await page.locator(".tour").waitFor();
      await page.getByRole("button", { name: /Next/ }).click();
      await page.getByRole("button", { name: "Skip the tour" }).click();
      assertStrictEquals(await page.locator(".tour").count(), 0);
      await page.reload();
      await until(page, ready);
      assertStrictEquals(await page.locator(".tour").count(), 0);
    });
  });
});
