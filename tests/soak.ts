/**
 * An accelerated day: rounds of loading and writing, training and taking up again, serving and hanging up, after each of which
 * nothing may be left: `deno task soak --minutes N --seed S`; `--help` tells the options.
 *
 * Live buffers, their bytes, descriptors and threads must be what they were after the first rounds, in which runtime and
 * library fill what they keep. Memory that the system counts moves by itself, so there the trend is judged: over all pairs of
 * samples, the median slope (Theil, 1950), and a quarter of the slopes below which it is no trend at all. The exit status is 1
 * when something is left or grows.
 *
 * @module
 */
import "./_pin.ts";
import process from "node:process";
import { number, whole } from "../src/core/kinds.ts";
import { readTask } from "../tools/task.ts";
import { ensurePackages } from "./_install.ts";

const { values } = readTask({
  name: "soak",
  summary: "An accelerated day of generating, training and serving, after which nothing may be left.",
  options: {
    minutes: { value: "N", kind: number({ from: 0 }), help: "how long (default 3, without --rounds)" },
    rounds: { value: "N", kind: whole(1), help: "how many, whatever time they take" },
    seed: { value: "N", kind: whole(0), help: "what they do (default 1)" },
  },
});
ensurePackages();
const { soak, trends } = await import("./soak/soak.ts");

const rounds = values.number("rounds") ?? Infinity;
const minutes = values.number("minutes") ?? (rounds === Infinity ? 3 : Infinity);
const began = performance.now(), deadline = began + minutes * 60_000;
let said = began;
const result = await soak(values.number("seed") ?? 1, {
  // Four samples are the least that a trend is seen in.
  goesOn: (done) => done < rounds && (performance.now() < deadline || done < 4),
  onRound(done) {
    if (performance.now() - said < 10_000) return;
    said = performance.now();
    console.error(`${done} rounds, ${Math.round((said - began) / 1000)} s`);
  },
});
const { work, samples, left, workersStarted } = result;
console.log(
  `${samples.length} rounds after ${result.warmUp} to warm up, in ${
    Math.round((performance.now() - began) / 1000)
  } s: ` +
    `${work.tokens} tokens written, ${work.steps} steps trained, ${work.requests} requests, ${workersStarted} threads started`,
);
console.log("held              at first      at last    a round  ");
let grows = false;
for (const { name, first, last, slope, isGrowing } of trends(samples)) {
  grows ||= isGrowing;
  const columns = [first, last, slope].map((x) => x === null ? "-" : Math.round(x).toLocaleString("en"));
  console.log(
    `${name.padEnd(13)}${columns[0].padStart(13)}${columns[1].padStart(13)}${columns[2].padStart(11)}  ${
      isGrowing ? "GROWS" : ""
    }`,
  );
}
for (const line of left) console.log(`LEFT ${line}`);
process.exitCode = grows || left.length > 0 ? 1 : 0;
