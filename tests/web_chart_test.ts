/** The ticks of the pages' charts are round numbers inside what is shown, neither too few nor too many. */
import { assert, assertEquals } from "@std/assert";
import { roundPowers, roundTicks } from "../web/shared/chart.ts";
import { numbersFrom } from "./_random_program.ts";
import { describe, it } from "./_suite.ts";

/** Whether a number is 1, 2 or 5 times a power of ten. */
const isRound = (x: number): boolean => /^[125]e/.test(Math.abs(x).toExponential());

describe("ticks of charts", () => {
  const random = numbersFrom(11);
  it("evenly: apart by a round step, inside, about as many as wanted", () => {
    for (let round = 0; round < 300; round++) {
      const least = 200 * (random() - 0.5),
        most = least + 10 ** (8 * random() - 4),
        count = 2 + Math.floor(5 * random());
      const ticks = roundTicks(least, most, count), reach = most - least;
      assert(ticks.length >= 2 && ticks.length <= count + 3, `${least} … ${most}: ${ticks}`);
      for (const [k, tick] of ticks.entries()) {
        assert(tick >= least - 1e-9 * reach && tick <= most + 1e-9 * reach, `${tick} in ${least} … ${most}`);
        if (k === 0) continue;
        const step = Number((tick - ticks[k - 1]).toPrecision(6));
        assert(isRound(step), `${ticks}`);
      }
    }
  });

  it("by powers of ten: round, inside, rising", () => {
    for (let round = 0; round < 300; round++) {
      const least = 10 ** (20 * random() - 12), most = least * 10 ** (0.5 + 14 * random());
      const ticks = roundPowers(least, most, 4);
      assert(ticks.length >= 1 && ticks.length <= 7, `${least} … ${most}: ${ticks}`);
      assert(ticks.every((tick, k) => isRound(tick) && (k === 0 || tick > ticks[k - 1])), `${ticks}`);
      assert(ticks[0] >= least * 0.999 && ticks.at(-1)! <= most * 1.001);
    }
    assertEquals(roundTicks(3, 3, 4), [3]);
    assertEquals(roundTicks(0, 0, 4), [0]);
    assertEquals(roundPowers(0.001, 1000, 6), [0.001, 0.01, 0.1, 1, 10, 100, 1000]);
    assertEquals(roundPowers(0.6, 0.72, 3), [0.6, 0.65, 0.7]);
  });
});
