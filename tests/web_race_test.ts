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
import { type LandscapeName, landscapes, type Optimizer2d, optimizers2d, state2d, step2d } from "../mod.ts";
import { blocks, formulaOf } from "../web/race/blocks.ts";
import { optimizerTexts } from "../web/race/explain.ts";
import { findRate } from "../web/race/finder.ts";
import { parseFormula } from "../web/race/formula.ts";
import { lessons } from "../web/race/lessons.ts";
import { Heights } from "../web/race/map.ts";
import { measure, recentSteps, sharpest } from "../web/race/measure.ts";
import { capacity, Race, Racer } from "../web/race/race.ts";
import { defaultSettings, fromHash, ratesFor, startOn, toHash } from "../web/race/settings.ts";
import { suggestions } from "../web/race/suggest.ts";
import { whyLeads } from "../web/race/why.ts";
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

/** A race as the page begins it on a surface. */
function begun(surface: LandscapeName): Race {
  const { momentum, beta1, beta2, alpha, weightDecay } = defaultSettings(surface), rates = ratesFor(surface);
  const racers = optimizers2d.map((name) =>
    new Racer(name, {
      ...{ lr: rates[name], momentum, beta1, alpha, weightDecay },
      beta2: name === "lion" ? 0.99 : beta2,
    })
  );
  const race = new Race(racers, landscapes[surface]), heights = new Heights();
  heights.compute(race.surface);
  race.floor = heights.least;
  race.restart(...startOn(surface));
  return race;
}

describe("what each surface teaches is what happens on it", () => {
  const after = (surface: LandscapeName, steps: number) => {
    const race = begun(surface);
    race.run(steps);
    for (const racer of race.racers) assert(!racer.lost, `${surface}: ${racer.name} left the plane`);
    return Object.fromEntries(race.racers.map((racer) => [racer.name, racer])) as Record<Optimizer2d, Racer>;
  };
  const claims: Record<LandscapeName, () => void> = {
    bowl() {
      const { sgd } = after("bowl", 30);
      for (let step = 1; step < 30; step++) {
        assert(sgd.ring[sgd.rowOf(step) + 1] * sgd.ring[sgd.rowOf(step - 1) + 1] < 0, "from wall to wall");
      }
    },
    rosenbrock() {
      const { sgd, momentum } = after("rosenbrock", 400);
      assert(momentum.loss < sgd.loss / 10, `${momentum.loss}, ${sgd.loss}`);
    },
    beale() {
      const { sgd, momentum, adam } = after("beale", 200);
      assert(
        momentum.loss < sgd.loss / 3 && adam.loss < sgd.loss / 3,
        `${momentum.loss}, ${adam.loss}, ${sgd.loss}`,
      );
    },
    saddle() {
      const { sgd, rmsprop, adam, lion } = after("saddle", 600);
      for (const other of [rmsprop, adam, lion]) {
        assert(
          other.arrived && sgd.steps > 1.5 * other.steps,
          `${other.name} ${other.steps}, SGD ${sgd.steps}`,
        );
      }
    },
    rastrigin() {
      const { sgd, adam, momentum } = after("rastrigin", 600);
      assert(
        momentum.loss < 0.5 && sgd.loss > 10 && adam.loss > 10,
        `${momentum.loss}, ${sgd.loss}, ${adam.loss}`,
      );
    },
    himmelblau() {
      const ends = new Set(
        Object.values(after("himmelblau", 600)).map(({ state }) =>
          landscapes.himmelblau.minima.findIndex(([x, y]) => Math.hypot(x - state[0], y - state[1]) < 0.5)
        ),
      );
      assert(ends.size >= 3 && !ends.has(-1), `${[...ends]}`);
    },
    ackley() {
      const { sgd, muon, rmsprop, adam } = after("ackley", 400);
      assert(sgd.loss > 8 && muon.loss > 8 && rmsprop.loss < 1 && adam.loss < 1);
      const seen = measure(adam, landscapes.ackley, 400);
      assert(seen.length > 1e-3, `Adam still moves, by ${seen.length}`);
    },
    goldsteinPrice() {
      const { sgd, adam, lion, muon } = after("goldsteinPrice", 400);
      assert(adam.loss < 4 && lion.loss < 4 && muon.loss < 4 && sgd.loss > 20, `${sgd.loss}`);
      const g = new Float64Array(2), racer = new Racer("sgd", { lr: 1e-3 });
      landscapes.goldsteinPrice.gradient(...startOn("goldsteinPrice"), g);
      assert(Math.hypot(...g) > 1e4);
      racer.place(landscapes.goldsteinPrice, ...startOn("goldsteinPrice"));
      racer.run(landscapes.goldsteinPrice, 20);
      assert(racer.lost, "a rate of 0.001 throws SGD off");
    },
  };
  for (const [name, claim] of Object.entries(claims)) {
    it(`${name}: ${lessons[name as LandscapeName].text}`, claim);
  }

  it("who falls for ever stops at the border, on it; who only overshoots does not", () => {
    const race = begun("saddle");
    race.run(5000);
    for (const { name, arrived, state, loss, steps } of race.racers) {
      assert(arrived, name);
      assert(
        Math.abs(Math.abs(state[1]) - 2) < 1e-9 && Math.abs(state[0]) <= 2,
        `${name}: ${state[0]}, ${state[1]}`,
      );
      assertStrictEquals(loss, landscapes.saddle.value(state[0], state[1]));
      assert(steps < 5000);
    }
    race.restore(10);
    assert(race.racers.every(({ arrived }) => !arrived));
    for (const name of ["rosenbrock", "bowl", "beale", "himmelblau", "rastrigin"] as const) {
      const race = begun(name), { domain: [, most, , high] } = landscapes[name];
      race.restart(most * 0.99, high * 0.99);
      race.racers[1].options.lr *= 2;
      race.run(400);
      assert(race.racers.every(({ arrived }) => !arrived), name);
    }
  });
});

describe("what is measured, said and suggested", () => {
  it("curvature, angles and lengths on a bowl are those of its formula", () => {
    // Straight down the steep side: the curvature is 10, and every step is 0.9 of the last.
    const racer = new Racer("sgd", { lr: 0.01 });
    racer.place(landscapes.bowl, 0, 2);
    racer.run(landscapes.bowl, recentSteps);
    const seen = measure(racer, landscapes.bowl, recentSteps), way = 2 - 2 * 0.9 ** recentSteps;
    for (
      const [found, truth] of [
        ...[[seen.curvature, 10], [seen.off, 0], [seen.turn, 1], [seen.straight, 1]],
        ...[[seen.length, way / recentSteps], [seen.gain, 20 - seen.loss], [seen.steps, recentSteps]],
        ...[[sharpest(landscapes.bowl, 1, 1), 10], [sharpest(landscapes.saddle, 1, 1), 2]],
        [sharpest(landscapes.rosenbrock, 1, 1), 501 + Math.sqrt(501 ** 2 - 400)],
      ]
    ) assert(Math.abs(found - truth) < 1e-4 * (1 + Math.abs(truth)), `${found}, ${truth}`);
  });

  it("says why the leader leads, with the numbers of the leader and the next", () => {
    const race = begun("rosenbrock"), order = [1, 0]; // momentum, SGD
    race.run(200);
    const text = whyLeads(race, order, 200), [first, second] = order.map((i) => race.racers[i]);
    assertMatch(
      text,
      new RegExp(
        `^${optimizerTexts[first.name].title} leads ${
          optimizerTexts[second.name].title
        } because in the last 60 steps `,
      ),
    );
    const ratio = measure(first, race.surface, 200).length / measure(second, race.surface, 200).length;
    assert(text.includes(`${+ratio.toPrecision(2)} times as long`), `${text}: ${ratio}`);
    assertStrictEquals(whyLeads(race, order, 5), "");
    const saddle = begun("saddle");
    saddle.run(5000);
    const there = [...saddle.racers.keys()].sort((a, b) => saddle.racers[a].steps - saddle.racers[b].steps);
    assertMatch(
      whyLeads(saddle, there, 5000),
      new RegExp(`left at the border after ${saddle.racers[there[0]].steps} steps`),
    );
  });

  for (const name of Object.keys(landscapes) as LandscapeName[]) {
    it(`${name}: whoever diverges comes back by what is suggested`, () => {
      for (const optimizer of ["sgd", "momentum"] as const) {
        const racer = new Racer(optimizer, { lr: name === "ackley" ? 300 : 3 });
        const race = new Race([racer], landscapes[name]), reasons: string[] = [];
        race.restart(...startOn(name));
        race.run(500);
        for (let tries = 0; tries < 12 && racer.lost; tries++) {
          const [{ kind, rate, reason }] = suggestions(race, [true], 500);
          assertStrictEquals(kind, "diverges");
          assert(rate < racer.options.lr);
          assertMatch(reason, /diverges: curvature .* wants a rate below/);
          reasons.push(reason);
          racer.options.lr = rate;
          race.restart(...startOn(name));
          race.run(500);
        }
        // On the saddle everyone leaves: it has no floor here.
        if (name !== "saddle") assert(!racer.lost, `${optimizer}: ${reasons.join(" ")}`);
      }
    });
  }

  it("whoever crawls or bounces gets a rate with which it comes further", () => {
    const cases: [Optimizer2d, number, "crawls" | "bounces"][] = [
      ["adam", 1e-4, "crawls"],
      ["sgd", 1e-5, "crawls"],
      ["lion", 0.3, "bounces"],
      ["sgd", 0.2, "bounces"],
    ];
    for (const [name, lr, wanted] of cases) {
      const racer = new Racer(name, { lr, beta2: 0.99 }), race = new Race([racer], landscapes.bowl);
      race.run(200);
      const [one] = suggestions(race, [true], 200), loss = racer.loss;
      assertStrictEquals(one?.kind, wanted, `${name} at ${lr}`);
      assertEquals(suggestions(race, [false], 200), []);
      racer.options.lr = one.rate;
      race.restart(...landscapes.bowl.start);
      race.run(200);
      assert(racer.loss < loss, `${name}: ${loss} with ${lr}, ${racer.loss} with ${one.rate}`);
    }
  });

  it("blocks make formulas that can be read, weights and signs included", () => {
    const all = Object.keys(blocks);
    for (const name of all) {
      for (const weight of [1, -1, 2.5, -0.5, 0]) {
        const alone = parseFormula(blocks[name]),
          sum = parseFormula(formulaOf([{ name: "Bowl", weight: -2 }, { name, weight }]));
        for (const [x, y] of [[0.3, -1.2], [-2, 1]]) {
          const truth = -(x * x + y * y) + weight * alone.value(x, y);
          assert(
            Math.abs(sum.value(x, y) - truth) < 1e-9,
            `${formulaOf([{ name, weight }])}: ${sum.value(x, y)}, ${truth}`,
          );
        }
      }
    }
    // The longest ones, as many as a sum may have.
    const longest = all.sort((a, b) => blocks[b].length - blocks[a].length)[0];
    parseFormula(formulaOf(Array.from({ length: 8 }, () => ({ name: longest, weight: -1.5 }))));
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
    "what was found and set belongs to its surface; one click follows a suggestion; a loss is built from blocks",
    {
      skip,
    },
    async () => {
      await site.open("race/", async (page) => {
        await until(page, ready);
        await page.click("#play");
        const rate = (): Promise<number> =>
          page.evaluate(() => (globalThis as unknown as { race: RaceHandle }).race.settings.rates.sgd);
        assertStrictEquals(await rate(), lessons.rosenbrock.rates.sgd);
        await page.click("#find");
        await shows(page, "#found", /^Rosenbrock, from \(-1.2, 1\)/);
        const found = await rate();
        await page.selectOption("#surface", "bowl");
        await page.locator("#finder").waitFor({ state: "hidden" });
        assertStrictEquals(await rate(), lessons.bowl.rates.sgd);
        await page.selectOption("#surface", "rosenbrock");
        await page.locator("#finder").waitFor();
        assertStrictEquals(await rate(), found);
        await page.click("#map", { position: { x: 90, y: 90 } });
        await page.locator("#finder").waitFor({ state: "hidden" });

        await page.click("#reset");
        await page.locator("#rate-sgd").fill("0");
        await page.click("#restart");
        for (let i = 0; i < 4; i++) await page.click("#step");
        await page.click("#play");
        await shows(page, "#why", / leads .* because in the last \d+ steps|leads from before/);
        await shows(page, "#suggestions", /SGD diverges: curvature [\d,.e]+ wants a rate below/);
        await page.locator("#suggestions button").first().click();
        assert(await rate() < 0.005, `${await rate()}`);
        await says(page, /^SGD goes on with .* from the start with the others/);

        await page.selectOption("#surface", "formula");
        await page.locator(".palette").waitFor();
        await page.dragAndDrop(".palette >> text=Bowl", ".sum");
        await until(
          page,
          () =>
            /^\(\(x\^2 \+ y\^2\)\/2\)$/.test((document.getElementById("formula") as HTMLInputElement).value),
        );
        await page.click(".palette >> text=Ripples");
        await page.getByLabel("How much of Ripples").fill("-2.5");
        assertStrictEquals(
          await page.inputValue("#formula"),
          formulaOf([{ name: "Bowl", weight: 1 }, { name: "Ripples", weight: -2.5 }]),
        );
        await page.click("#step");
        assert(await page.locator("#formula-error").isHidden());
        assertEquals(await violations(page), []);
      }, seen);
    },
  );

  it("on a phone a finger that scrolls over the map does not start the race anew, and one that taps does", {
    skip,
  }, async () => {
    await site.open("race/", async (page) => {
      await until(page, ready);
      await page.locator("#map").scrollIntoViewIfNeeded();
      const start = (): Promise<number[]> =>
        page.evaluate(() => [...(globalThis as unknown as { race: RaceHandle }).race.race.start]);
      const before = await start(), box = (await page.locator("#map").boundingBox())!;
      const client = await page.context().newCDPSession(page), from = await page.evaluate(() => scrollY);
      const touch = (type: "touchStart" | "touchMove" | "touchEnd", y: number) =>
        client.send("Input.dispatchTouchEvent", {
          type,
          touchPoints: type === "touchEnd" ? [] : [{ x: box.x + 60, y: box.y + y }],
        });
      await touch("touchStart", 200);
      for (let y = 180; y >= 40; y -= 20) await touch("touchMove", y);
      await touch("touchEnd", 40);
      await waitUntil(async () => await page.evaluate(() => scrollY) !== from, "a page that scrolled");
      assertEquals(await start(), before);
      await page.locator("#map").tap({ position: { x: 60, y: 100 } });
      await waitUntil(async () => (await start())[0] !== before[0], "a new start");
    }, { ...seen, width: 390, height: 844, context: { hasTouch: true, isMobile: true } });
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
