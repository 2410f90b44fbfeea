/** The network page: its data and its trainer on every runtime, then the page in Chromium, whose numbers are Deno's. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { areDeterministicAlgorithmsEnabled, useDeterministicAlgorithms } from "../mod.ts";
import { type Course, idleNeurons, judge } from "../web/network/convergence.ts";
import { type DataName, makePoints, type Points, pointsFromText, pointsToText } from "../web/network/data.ts";
import { featureNames, featureRows } from "../web/network/features.ts";
import { History } from "../web/network/history.ts";
import {
  countWeights,
  defaultSettings,
  fromHash,
  pointsOf,
  toHash,
  toOptions,
} from "../web/network/settings.ts";
import { NetworkTrainer } from "../web/network/trainer.ts";
import { type NetworkOptions, side } from "../web/network/view.ts";
import { phases } from "../web/network/phases.ts";
import { noBrowser, shows, TestSite, until } from "./_browser.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until as waitUntil } from "./_wait.ts";

const skip = noBrowser;
const options = toOptions(defaultSettings());

/** A trainer with points, freed after `use`. */
async function withTrainer(
  options: NetworkOptions,
  points: Points,
  use: (trainer: NetworkTrainer) => Promise<void>,
): Promise<void> {
  const trainer = new NetworkTrainer(options);
  trainer.setPoints(points);
  await use(trainer);
  trainer.dispose();
}

describe("points", () => {
  for (const name of ["spiral", "moons", "circles", "xor"] as DataName[]) {
    it(`${name}: two kinds in equal numbers, within the plane, the same from the same seed`, () => {
      const { places, kinds } = makePoints(name, 200, 0, 3);
      assertStrictEquals(kinds.reduce((sum, kind) => sum + kind), 100);
      assert(places.every((value) => Math.abs(value) <= 1));
      assertEquals(makePoints(name, 200, 0, 3).places, places);
      assertNotEquals(makePoints(name, 200, 0.1, 3).places, places);
    });
  }
  it("none are none", () => assertStrictEquals(makePoints("none", 200, 0, 1).kinds.length, 0));

  it("as many of each kind are held out, and nothing else changes", () => {
    for (const share of [0, 0.1, 0.5, 0.8]) {
      const { places, kinds, held } = makePoints("xor", 200, 0.1, 7, share);
      for (const kind of [0, 1]) {
        assertStrictEquals(held.filter((out, i) => out && kinds[i] === kind).length, 100 * share);
      }
      assertEquals(places, makePoints("xor", 200, 0.1, 7).places);
    }
  });

  it("a link holds them all; what it says once is what it says again", () => {
    for (const name of ["spiral", "circles"] as DataName[]) {
      const points = makePoints(name, 1000, 0.3, 5, 0.3), text = pointsToText(points);
      const read = pointsFromText(text)!;
      assertEquals([read.kinds, read.held], [points.kinds, points.held]);
      assert(read.places.every((value, i) => Math.abs(value - points.places[i]) <= 1 / 7000));
      assertStrictEquals(pointsToText(read), text);
    }
    for (const text of ["A", "AAA", "AAAAAA!", "A".repeat(8000)]) {
      assertStrictEquals(pointsFromText(text), null);
    }
  });
});

describe("the network", () => {
  for (const activation of ["tanh", "relu", "gelu", "sigmoid"] as const) {
    it(`learns the moons with ${activation}`, async () => {
      const trainer = new NetworkTrainer({ ...options, hidden: [8, 8], activation });
      trainer.setPoints(makePoints("moons", 200, 0.03, 1, 0.3));
      const first = await trainer.view();
      trainer.train(1000);
      const last = await trainer.view();
      assertStrictEquals(last.step, 1000);
      assert(
        last.loss < 0.2 * first.loss && last.accuracy > 0.95 && last.heldAccuracy > 0.9,
        `loss ${last.loss}, ${last.accuracy} right`,
      );
      assertEquals(last.weights.map(({ length }) => length), [16, 64, 8]);
      assertEquals(last.maps.map(({ length }) => length), [8, 8, 1].map((n) => n * side * side));
      trainer.dispose();
    });
  }

  it("has nothing to learn without points, and says so with NaN", async () => {
    const trainer = new NetworkTrainer(options);
    trainer.train(3);
    const { step, loss } = await trainer.view();
    assertStrictEquals(step, 0);
    assert(Number.isNaN(loss));
    trainer.dispose();
  });
});

describe("what is measured of a network", () => {
  it("gradients, steps, turn and curvature are those of the numbers before and after", async () => {
    const given = { ...options, optimizer: "sgd", lr: 0.1, penalty: "l2", strength: 0.01 } as const;
    await withTrainer(given, pointsOf(defaultSettings()), async (trainer) => {
      const views = [await trainer.view()];
      assert(views[0].motion.gradients.every(Number.isNaN) && Number.isNaN(views[0].motion.turn));
      for (let k = 0; k < 4; k++) {
        trainer.train(1);
        views.push(await trainer.view());
      }
      const numbers = (k: number) => views[k].weights.flatMap((w, l) => [...w, ...views[k].biases[l]]);
      const way = (k: number) => numbers(k).map((value, i) => value - numbers(k - 1)[i]);
      const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
      for (let k = 2; k <= 4; k++) {
        const { moves, turn } = views[k].motion, step = way(k), before = way(k - 1);
        const close = (a: number, b: number) =>
          assert(Math.abs(a - b) <= 1e-3 * Math.abs(b) + 1e-6, `${a}, ${b}`);
        close(Math.hypot(...moves), Math.sqrt(dot(step, step)));
        close(turn, dot(step, before) / Math.sqrt(dot(step, step) * dot(before, before)));
        // SGD with momentum: the step is 0.9 of the last one less the rate times the gradient.
        const gradient = step.map((value, i) => (0.9 * before[i] - value) / 0.1);
        close(Math.hypot(...views[k].motion.gradients), Math.sqrt(dot(gradient, gradient)));
        if (k < 3) continue;
        const earlier = before.map((value, i) => (0.9 * way(k - 2)[i] - value) / 0.1);
        const bend = dot(gradient.map((value, i) => value - earlier[i]), before) / dot(before, before);
        assert(
          Math.abs(views[k].motion.curvature - bend) < 0.02 * Math.abs(bend) + 0.02,
          `${views[k].motion.curvature}, ${bend}`,
        );
      }
    });
  });

  it("one step and four at a time end with the same numbers, in batches too", async () => {
    for (const batch of [0, 10]) {
      const ends: unknown[] = [];
      for (const chunks of [[1, 1, 1, 1, 1, 1, 1, 1], [4, 4], [3, 5]]) {
        await withTrainer(
          { ...options, batch, penalty: "l1", strength: 0.001 },
          pointsOf(defaultSettings()),
          async (trainer) => {
            for (const count of chunks) trainer.train(count);
            const { weights, motion } = await trainer.view();
            ends.push({ weights, motion });
          },
        );
      }
      assertEquals(ends[1], ends[0]);
      assertEquals(ends[2], ends[0]);
    }
  });

  it("a penalty keeps weights small, and L1 makes more of them nearly nothing", async () => {
    const sizes: Record<string, number> = {}, nothing: Record<string, number> = {};
    for (const penalty of ["none", "l1", "l2"] as const) {
      const given = { ...options, features: featureNames, penalty, strength: penalty === "none" ? 0 : 0.003 };
      await withTrainer(given, makePoints("circles", 200, 0.05, 1), async (trainer) => {
        trainer.train(300);
        const { weights, accuracy } = await trainer.view(), all = weights.flatMap((w) => [...w]);
        assert(accuracy > 0.95, `${penalty}: ${accuracy}`);
        sizes[penalty] = Math.hypot(...all);
        nothing[penalty] = all.filter((w) => Math.abs(w) < 0.02).length / all.length;
      });
    }
    assert(sizes.l2 < 0.7 * sizes.none && sizes.l1 < 0.7 * sizes.none, JSON.stringify(sizes));
    assert(nothing.l1 > 0.4 && nothing.l1 > 2 * nothing.l2, JSON.stringify(nothing));
  });

  it("a number that is set is set alone; all of them come back as they were", async () => {
    await withTrainer(options, pointsOf(defaultSettings()), async (trainer) => {
      trainer.train(5);
      const first = await trainer.view(),
        all = Float32Array.from(first.weights.flatMap((w, l) => [...w, ...first.biases[l]]));
      assertStrictEquals(all.length, countWeights(defaultSettings()));
      trainer.setWeight(1, 3, 4, 2.5);
      trainer.setWeight(0, 2, -1, -0.75);
      const { weights, biases } = await trainer.view();
      assertEquals([weights[1][3 * 6 + 4], biases[0][2]], [2.5, -0.75]);
      const changed = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
        a.reduce((sum, one, k) => sum + one.filter((value, i) => value !== b[k][i]).length, 0);
      assertEquals([changed(weights, first.weights), changed(biases, first.biases)], [1, 1]);
      await withTrainer(options, pointsOf(defaultSettings()), async (other) => {
        other.setAllWeights(all);
        const { weights, biases } = await other.view();
        assertEquals([weights, biases], [first.weights, first.biases]);
      });
    });
  });

  for (const batch of [0, 1, 20]) {
    it(`a step that is walked through is the step that would have been taken, batch ${batch}`, async () => {
      const given = { ...options, batch };
      await withTrainer(given, pointsOf(defaultSettings()), async (trainer) => {
        trainer.train(7);
        const first = await trainer.view();
        const walk = (await trainer.walk())!, last = await trainer.view();
        await withTrainer(given, pointsOf(defaultSettings()), async (other) => {
          other.train(8);
          assertEquals((await other.view()).weights, last.weights);
        });
        assertEquals(walk.before, first.weights);
        assertEquals(walk.points, batch || 140);
        walk.changes.forEach((change, l) =>
          assertEquals(change, first.weights[l].map((value, i) => Math.fround(last.weights[l][i] - value)))
        );
        // The point's way by hand: forward, its loss, and its error back to the first layer.
        assertEquals(walk.inputs, featureRows(Float32Array.from(walk.place), given.features));
        let row = [...walk.inputs];
        const rows = walk.outputs.map((outputs, l) => {
          const { length: width } = row, weights = first.weights[l];
          row = [...outputs].map((_, o) => {
            const sum = row.reduce(
              (sum, value, i) => sum + value * weights[o * width + i],
              first.biases[l][o],
            );
            return l < walk.outputs.length - 1 ? Math.tanh(sum) : 1 / (1 + Math.exp(-sum));
          });
          return row;
        });
        const near = (a: ArrayLike<number>, b: ArrayLike<number>) =>
          Array.from(a).forEach((value, i) => assert(Math.abs(value - b[i]) < 1e-5, `${value}, ${b[i]}`));
        walk.outputs.forEach((outputs, l) => near(outputs, rows[l]));
        const chance = rows.at(-1)![0];
        near([walk.loss], [-Math.log(walk.kind ? chance : 1 - chance)]);
        let error = [chance - walk.kind];
        for (let l = rows.length - 1; l >= 0; l--) {
          near(walk.errors[l], error);
          if (l === 0) break;
          const width = rows[l - 1].length;
          const behind = error.map((value, o) => value * (l < rows.length - 1 ? 1 - rows[l][o] ** 2 : 1));
          error = rows[l - 1].map((_, i) =>
            behind.reduce((sum, value, o) => sum + value * first.weights[l][o * width + i], 0)
          );
        }
        if (batch === 0) near(walk.mean, [first.loss, last.loss]);
        const told = phases(walk, given);
        assertEquals(told.map(({ kind }) => kind), [
          "enter",
          "forward",
          "forward",
          "forward",
          "loss",
          "backward",
          "backward",
          "backward",
          "step",
        ]);
        assertMatch(told[2].text, /\[1, 6\] · \[6, 6\] → \[1, 6\]/);
      });
    });
  }
});

describe("how it converges", () => {
  /** What is said after `steps` of training, looked at every second step as the page does. */
  async function course(given: NetworkOptions, points: Points, steps: number): Promise<[Course, string]> {
    let said: [Course, string] = ["unknown", ""];
    await withTrainer(given, points, async (trainer) => {
      const history = new History();
      for (let k = 0; k <= steps; k += 4) {
        const view = await trainer.view();
        history.add(view);
        if (k + 4 > steps) {
          const { course, text } = judge(history, view, given);
          said = [course, text];
        } else trainer.train(4);
      }
    });
    return said;
  }
  const easy = makePoints("moons", 100, 0.03, 1), hard = makePoints("xor", 100, 0.1, 1);
  const cases: [
    name: string,
    given: Partial<NetworkOptions>,
    points: Points,
    steps: number,
    course: Course,
  ][] = [
    ["too few steps", {}, easy, 8, "unknown"],
    ["a good rate", { lr: 0.02 }, makePoints("spiral", 200, 0, 1), 300, "learning"],
    ["points that are told apart", { lr: 0.05 }, easy, 800, "solved"],
    ["a rate far too small", { lr: 1e-5 }, easy, 200, "crawling"],
    ["a rate far too large", { lr: 100, optimizer: "sgd", activation: "relu" }, easy, 120, "rising"],
    ["a network without a hidden layer", { hidden: [], lr: 0.1 }, hard, 400, "flat"],
    ["a penalty too strong", { penalty: "l2", strength: 0.3, lr: 0.01 }, easy, 600, "held back"],
  ];
  for (const [name, given, points, steps, wanted] of cases) {
    it(`${name}: ${wanted}`, async () => {
      const [found, text] = await course({ ...options, ...given }, points, steps);
      assertStrictEquals(found, wanted, text);
    });
  }

  it("dead and saturated neurons are found, and none that still say something", async () => {
    for (const activation of ["relu", "tanh", "sigmoid"] as const) {
      await withTrainer({ ...options, activation, hidden: [4, 3] }, easy, async (trainer) => {
        const known = idleNeurons(await trainer.view(), activation);
        assert(!known.some(({ layer, neuron }) => layer === 0 && neuron === 2));
        for (const from of [0, 1]) trainer.setWeight(0, 2, from, 0);
        trainer.setWeight(0, 2, -1, activation === "relu" ? -1 : 20);
        const how = activation === "relu" ? "dead" : "saturated";
        const found = idleNeurons(await trainer.view(), activation).filter(({ layer }) => layer === 0);
        assertEquals(found, [...known.filter(({ layer }) => layer === 0), { layer: 0, neuron: 2, how }]);
      });
    }
  });
});

describe("the address of a network", () => {
  it("says all that was chosen, and names what it cannot", () => {
    const settings = {
      ...defaultSettings(),
      ...{
        data: "moons",
        noise: 12,
        held: 50,
        rate: -205,
        strength: -150,
        seed: 77,
        batch: 20,
        penalty: "l1",
      },
      ...{ activation: "relu", optimizer: "sgd", features: ["y", "xy", "sx"], hidden: [3, 8, 1] },
    } as ReturnType<typeof defaultSettings>;
    const points = pointsFromText(pointsToText(makePoints("circles", 60, 0.1, 2, 0.2)))!;
    const weights = Float32Array.from({ length: countWeights(settings) }, (_, i) => Math.sin(i) * 3);
    assertEquals(fromHash(`#${toHash(settings, points, weights)}`), {
      settings,
      points,
      weights,
      ignored: [],
    });
    assertEquals(fromHash(""), { settings: defaultSettings(), points: null, weights: null, ignored: [] });
    const wrong =
      "data=x&noise=31&held=5&rate=&seed=0&batch=3&penalty=l3&features=&hidden=9&points=A&weights=AAAA&toString=1&color=red";
    const read = fromHash(wrong);
    assertEquals(read.settings, defaultSettings());
    assertEquals([read.points, read.weights], [null, null]);
    assertEquals(
      new Set(read.ignored),
      new Set(
        "data noise held rate seed batch penalty features hidden points weights toString color".split(" "),
      ),
    );
  });
});

describe("the network page", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());
  const enabled = (): boolean => !(document.getElementById("play") as HTMLButtonElement).disabled;

  const still = { context: { reducedMotion: "reduce" } } as const;

  it(
    "trains with the numbers that Deno gets, which can be changed, and a link holds them",
    { skip },
    async () => {
      const before = areDeterministicAlgorithmsEnabled();
      useDeterministicAlgorithms(true);
      const trainer = new NetworkTrainer(options);
      trainer.setPoints(pointsOf(defaultSettings()));
      trainer.train(10);
      const { biases, weights } = await trainer.view();
      trainer.dispose();
      useDeterministicAlgorithms(before);
      await site.open("network/", async (page) => {
        await until(page, enabled);
        for (let step = 1; step <= 10; step++) {
          await page.click("#step");
          await shows(page, "#facts", new RegExp(`^step ${step} `));
        }
        await page.click("summary");
        const table = () =>
          page.locator("#weights tr").evaluateAll((rows) =>
            rows.map((row) => [...(row as HTMLTableRowElement).cells].map(({ textContent }) => textContent))
          );
        const rows = await table();
        assertStrictEquals(rows.length, 13);
        assertStrictEquals(rows[0][2], biases[0][0].toFixed(3));
        assertStrictEquals(rows[0][3], [...weights[0].subarray(0, 2)].map((w) => w.toFixed(3)).join("  "));
        assertStrictEquals(rows[12][3], [...weights[2]].map((w) => w.toFixed(3)).join("  "));

        // By the keyboard: the third neuron of layer 1, its weight from y.
        await page.locator(".heat").first().focus();
        for (const key of ["ArrowDown", "ArrowDown", "ArrowRight", "Enter"]) await page.keyboard.press(key);
        await shows(page, "#weight-name", /^Weight from y to neuron 3 of layer 1$/);
        assertStrictEquals(await page.inputValue("#weight"), weights[0][5].toFixed(3));
        await page.keyboard.press("ControlOrMeta+A");
        await page.keyboard.type("1.5");
        await until(
          page,
          () => / 1\.500$/.test(document.querySelectorAll("#weights tr")[2].textContent ?? ""),
        );
        // By the pointer: the last neuron is the answer.
        const box = (await page.locator("#diagram").boundingBox())!;
        await page.click("#diagram", { position: { x: box.width - 34, y: box.height / 2 } });
        await shows(page, "#weight-name", /^Bias of the answer$/);
        await page.fill("#weight", "-2");
        await until(
          page,
          () => /-2\.000/.test(document.querySelectorAll("#weights tr")[12].textContent ?? ""),
        );
        const changed = await table();
        await page.click("#share");
        await until(page, () => /weights=/.test(location.hash));
        await page.reload();
        await until(page, enabled);
        await page.click("summary");
        assertEquals(await table(), changed);
      }, still);
    },
  );

  it(
    "learns; layers, points and settings act; a neuron is seen large; a step is walked through",
    { skip },
    async () => {
      await site.open("network/", async (page) => {
        // It began by itself.
        await until(page, () => /^step [1-9]/.test(document.getElementById("facts")?.textContent ?? ""));
        await page.selectOption("#data", "circles");
        await until(
          page,
          () => /right (9[5-9]|100).*held out/.test(document.getElementById("facts")?.textContent ?? ""),
        );
        await shows(page, "#verdict", /^(It learns|Solved|The loss)/);
        await page.click("#play");
        const box = (await page.locator("#diagram").boundingBox())!;
        await page.mouse.move(box.x + 74, box.y + box.height / 2 - 26);
        await shows(page, "#plane-title", /^Input x$/);
        await page.click("#walk");
        await shows(page, "#walk-box", /^1 of 9\. A point enters, (orange|blue): x = /);
        for (let k = 2; k <= 9; k++) await page.click("#walk-box >> text=Next");
        await shows(
          page,
          "#walk-box",
          /^9 of 9\. The step: gradients are averaged over 140 points, and Adam/,
        );
        await page.click("#walk-box >> text=Close");

        await page.selectOption("#penalty", "l2");
        await page.selectOption("#batch", "10");
        await page.click("#feature-sx");
        await page.click("#add-layer");
        await page.click("#fewer-0");
        await page.click("#drop-1");
        await until(page, () => /^step 0/.test(document.getElementById("facts")?.textContent ?? ""));
        // The heat maps are drawn anew when the worker has answered.
        await until(
          page,
          () =>
            document.querySelectorAll(".layer").length === 2 &&
            document.querySelectorAll(".heat").length === 3,
        );
        await until(page, () => /batch=10&penalty=l2&.*features=x,y,sx&hidden=5,4/.test(location.hash));
        await page.click("#feature-sx");
        await page.selectOption("#batch", "0");
        await page.click("#clear");
        await page.click("#play");
        await until(page, () => /no points/.test(document.getElementById("status")?.textContent ?? ""));
        await page.click("#plane", { position: { x: 60, y: 60 } });
        await page.click("#kind-1");
        await page.focus("#plane");
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("Enter");
        await page.click("#play");
        await until(page, () => /right 100/.test(document.getElementById("facts")?.textContent ?? ""));
        await until(page, () => /data=none&.*points=/.test(location.hash));
      });
    },
  );

  it("a finger that scrolls over the plane adds no point, and one that taps does", { skip }, async () => {
    await site.open("network/#data=none", async (page) => {
      await until(page, enabled);
      await page.locator("#plane").scrollIntoViewIfNeeded();
      const box = (await page.locator("#plane").boundingBox())!,
        client = await page.context().newCDPSession(page);
      const touch = (type: "touchStart" | "touchMove" | "touchEnd", y: number) =>
        client.send("Input.dispatchTouchEvent", {
          type,
          touchPoints: type === "touchEnd" ? [] : [{ x: box.x + 80, y: box.y + y }],
        });
      const scrolled = await page.evaluate(() => scrollY);
      await touch("touchStart", 200);
      for (let y = 180; y >= 40; y -= 20) await touch("touchMove", y);
      await touch("touchEnd", 40);
      await waitUntil(async () => await page.evaluate(() => scrollY) !== scrolled, "a page that scrolled");
      assert(!/points=/.test(page.url()), page.url());
      await page.locator("#plane").tap({ position: { x: 80, y: 80 } });
      await until(page, () => /points=\w{6}$/.test(location.hash));
    }, { width: 390, height: 844, context: { hasTouch: true, isMobile: true, reducedMotion: "reduce" } });
  });

  it("says so where WebAssembly is denied", { skip }, async () => {
    await site.open("network/", async (page) => {
      await until(
        page,
        () => /denies WebAssembly/.test(document.getElementById("status")?.textContent ?? ""),
      );
      assertMatch(await page.locator("#capabilities").innerText(), /WebAssembly off/);
    }, { before: (page) => page.addInitScript("delete globalThis.WebAssembly") });
  });

  it("says so where the engine cannot be fetched", { skip }, async () => {
    await site.open("network/", async (page) => {
      await until(
        page,
        () => /could not be loaded/.test(document.getElementById("status")?.textContent ?? ""),
      );
    }, {
      expected: /worker|Failed to load resource/,
      before: (page) => page.route("**/worker-*.js", (route) => route.abort()),
    });
  });
});
