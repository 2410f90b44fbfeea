/** The network page: its data and its trainer on every runtime, then the page in Chromium, whose numbers are Deno's. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { areDeterministicAlgorithmsEnabled, useDeterministicAlgorithms } from "../mod.ts";
import { type DataName, makePoints } from "../web/network/data.ts";
import { NetworkTrainer } from "../web/network/trainer.ts";
import { type NetworkOptions, side } from "../web/network/view.ts";
import { noBrowser, shows, TestSite, until } from "./_browser.ts";
import { after, before, describe, it } from "./_suite.ts";

const skip = noBrowser;
const options: NetworkOptions = {
  hidden: [6, 6],
  activation: "tanh",
  optimizer: "adam",
  lr: 10 ** -1.5,
  seed: 1,
};

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
});

describe("the network", () => {
  for (const activation of ["tanh", "relu", "gelu", "sigmoid"] as const) {
    it(`learns the moons with ${activation}`, async () => {
      const trainer = new NetworkTrainer({ ...options, hidden: [8, 8], activation });
      trainer.setPoints(makePoints("moons", 200, 0.03, 1));
      const first = await trainer.view();
      trainer.train(1000);
      const last = await trainer.view();
      assertStrictEquals(last.step, 1000);
      assert(
        last.loss < 0.2 * first.loss && last.accuracy > 0.95,
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

describe("the network page", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());
  const enabled = (): boolean => !(document.getElementById("play") as HTMLButtonElement).disabled;

  it("trains with the numbers that Deno gets", { skip }, async () => {
    const before = areDeterministicAlgorithmsEnabled();
    useDeterministicAlgorithms(true);
    const trainer = new NetworkTrainer(options);
    trainer.setPoints(makePoints("spiral", 200, 0.03, 1));
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
      const rows = await page.locator("#weights tr").evaluateAll((rows) =>
        rows.map((row) => [...(row as HTMLTableRowElement).cells].map(({ textContent }) => textContent))
      );
      assertStrictEquals(rows.length, 13);
      assertStrictEquals(rows[0][2], biases[0][0].toFixed(3));
      assertStrictEquals(rows[0][3], [...weights[0].subarray(0, 2)].map((w) => w.toFixed(3)).join("  "));
      assertStrictEquals(rows[12][3], [...weights[2]].map((w) => w.toFixed(3)).join("  "));
    });
  });

  it("learns; layers, points and settings act", { skip }, async () => {
    await site.open("network/", async (page) => {
      await until(page, enabled);
      await page.selectOption("#data", "circles");
      await page.click("#play");
      await until(page, () => /right (9[5-9]|100)/.test(document.getElementById("facts")?.textContent ?? ""));
      await page.click("#play");
      await page.click("#add-layer");
      await page.click("#fewer-0");
      await page.click("#drop-1");
      await until(page, () => /^step 0/.test(document.getElementById("facts")?.textContent ?? ""));
      assertStrictEquals(await page.locator(".layer").count(), 2);
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
    });
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
