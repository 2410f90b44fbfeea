/** The race of small GPTs: one start, the same batches, losses of the library; slices that go through the ends of the paths. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { CharTokenizer, GPT2, manualSeed, optim, randomBatches, Trainer } from "../mod.ts";
import { type Directions, RealRace, type Slice } from "../web/race/real_race.ts";
import { type RealName, realRates } from "../web/race/real_settings.ts";
import { describe, it } from "./_suite.ts";

const text = "Jack and Jill went up the hill to fetch a pail of water.\n".repeat(6);

/** A race of `steps`, with snapshots after each `every`. */
async function raced(rates: Partial<Record<RealName, number>>, steps: number, every = 2) {
  const race = new RealRace(text, rates as typeof realRates, 4), losses = [];
  await race.remember();
  for (let step = 1; step <= steps; step++) {
    losses.push(await race.advance());
    if (step % every === 0) await race.remember();
  }
  return { race, losses };
}

describe("the race of small GPTs", () => {
  it("everyone has the same first loss, and goes on as the library's trainer does", async () => {
    const { race, losses } = await raced(realRates, 6);
    const names = Object.keys(realRates) as RealName[], first = losses[0];
    for (const name of names) assertStrictEquals(first[name], first.sgd, name);
    assertStrictEquals(new Set(names.map((name) => losses[5][name])).size, names.length, "all walk alike");
    const tokenizer = CharTokenizer.from(text), ids = [...tokenizer.encode(text)], seen: number[] = [];
    manualSeed(4);
    using model = new GPT2({
      ...{ vocabSize: tokenizer.vocabSize, nPositions: 32, nEmbd: 32, nLayer: 1, nHead: 4 },
      ...{ residPdrop: 0, embdPdrop: 0, attnPdrop: 0, bosTokenId: null, eosTokenId: null },
    });
    using optimizer = new optim.Adam(model.parameters(), { lr: realRates.adam });
    const data = randomBatches(ids, { batchSize: 8, blockSize: 32, seed: 4 });
    const onStep = ({ loss }: { loss: number }): void => void seen.push(loss);
    await new Trainer({ model, data, optimizer, steps: 6, reportEvery: 1, onStep }).run();
    assertEquals(losses.map(({ adam }) => adam), seen);
    const ways = race.ways(), texts = await race.texts(10);
    for (const name of names) {
      assert(
        ways[name]!.length >= ways[name]!.far - 1e-4 && ways[name]!.far > 0,
        `${name} ${JSON.stringify(ways[name])}`,
      );
      assert(texts[name]!.startsWith("Jack and") && texts[name]!.length === 18, texts[name]);
    }
    race.dispose();
  });

  it("slices go through the best end; paths begin at one place", async () => {
    const { race, losses } = await raced({ sgd: 0.3, adam: 0.01, muon: 0.01 }, 8);
    const side = 5, ends = losses.at(-1)!;
    for (const directions of ["paths", "random"] as const satisfies Directions[]) {
      const rows: number[][] = [];
      let slice!: Slice;
      await race.slice(directions, side, (index, losses, told) => {
        rows[index] = losses;
        slice = told;
        return true;
      });
      assertEquals(rows.map((row) => row.length), [5, 5, 5, 5, 5]);
      const paths = Object.entries(slice.paths);
      assertEquals(paths.map(([name]) => name), ["sgd", "adam", "muon"]);
      for (const [, path] of paths) {
        assertStrictEquals(path.length, 10);
        assertAlmostEquals(path[0], paths[0][1][0], 1e-3);
        assertAlmostEquals(path[1], paths[0][1][1], 1e-3);
      }
      // The centre is an end: the origin of the plane.
      const best = paths.reduce((a, b) => ends[b[0] as RealName]! < ends[a[0] as RealName]! ? b : a)[1];
      assertAlmostEquals(best.at(-2)!, 0, 1e-5);
      assertAlmostEquals(best.at(-1)!, 0, 1e-5);
      const [x0, x1, y0, y1] = slice.domain;
      assert(x0 < 0 && x1 > 0 && y0 < 0 && y1 > 0, slice.domain.join());
      if (directions === "random") {
        // As far away as the weights are long, the loss is higher than at the end.
        assert(rows[2][2] < Math.min(rows[0][0], rows[4][4], rows[0][4], rows[4][0]), `${rows}`);
        assertEquals(slice.domain, [-1, 1, -1, 1]);
      }
    }
    // The weights are those of before: the next step goes on.
    assert(Number.isFinite((await race.advance()).adam!));
    let heard = 0;
    await race.slice("random", side, () => (heard++, false));
    assertStrictEquals(heard, 1);
    race.dispose();
  });

  it("who diverges is out, and the rest goes on; a short text is refused in a sentence", async () => {
    const { race, losses } = await raced({ sgd: 1e30, adam: 0.01 }, 5);
    assertStrictEquals(losses.at(-1)!.sgd, null);
    assert(losses.at(-1)!.adam! < losses[0].adam!);
    assertEquals(Object.keys(await race.texts(5)), ["adam"]);
    race.dispose();
    const alone = (await raced({ sgd: 1e30 }, 4)).race;
    await assertRejects(() => alone.slice("paths", 3, () => true), Error, "lower learning rates");
    alone.dispose();
    assertThrows(() => new RealRace("short", realRates, 1), Error, "5 letters; 128 are the least");
  });
});
