/**
 * Writers that are killed: what they leave is the old state or the new, never half of each, and nothing of it is left
 * when the next one has written. In all 100 are killed (11, one of each kind, on the second and third runtime), with `FERROTYPE_KILLS=1000` so many.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import { runDying } from "./_dies.ts";
import { callsMade, countCalls } from "./_dying.ts";
import {
  filesUnder,
  foreignWeights,
  type KindOfWrite,
  kindsOfWrites,
  type Which,
} from "./_kinds_of_writes.ts";
import { inFewFiles } from "./_program.ts";
import { width } from "./_width.ts";

const kills = Number(process.env.FERROTYPE_KILLS ?? width(100, 11));
const seed = Number(process.env.FERROTYPE_SEED ?? 13);

/** What an undisturbed write of a state leaves, in a new folder or over the other state. */
interface Whole {
  readonly seen: string;
  readonly foreign: string | null;
  readonly files: string[];
  /** How many calls it makes. */
  calls: number;
}

/** Undisturbed writes of one kind: by the state that was there, and the one that is written. */
async function undisturbedWrites(kind: KindOfWrite, place: string): Promise<Map<string, Whole>> {
  const found = new Map<string, Whole>();
  for (const before of [null, 0, 1] as const) {
    for (const which of [0, 1] as const) {
      if (before === which) continue;
      const folder = mkdtempSync(join(place, "whole-"));
      if (before !== null) await kind.write(folder, before);
      countCalls();
      await kind.write(folder, which);
      found.set(`${before} ${which}`, {
        calls: callsMade(),
        seen: await kind.read(folder),
        foreign: await foreignWeights(folder),
        files: filesUnder(folder),
      });
    }
  }
  // A process of its own makes as many; and what the runtime keeps of the sources for the next process, it keeps as one ends well.
  const calls = await runDying(await inFewFiles("tests/_killed_writer.ts"), [
    kind.name,
    mkdtempSync(join(place, "whole-")),
    "0",
    "0",
  ]);
  assertEquals(calls, found.get("null 0")!.calls, `calls of ${kind.name}`);
  return found;
}

/** Kills writers of one kind `times` times. */
async function killMany(
  kind: KindOfWrite,
  undisturbed: ReadonlyMap<string, Whole>,
  place: string,
  times: number,
  random: Generator,
): Promise<void> {
  for (let killed = 0; killed < times;) {
    const which = random.integer(0, 2) as Which,
      before = random.uniform() < 0.25 ? null : 1 - which as Which;
    const whole = undisturbed.get(`${before} ${which}`)!, old = undisturbed.get(`${which} ${before}`);
    const folder = mkdtempSync(join(place, "killed-")), at = 1 + random.integer(0, whole.calls + 1);
    if (before !== null) await kind.write(folder, before);
    const calls = await runDying(await inFewFiles("tests/_killed_writer.ts"), [
      kind.name,
      folder,
      String(which),
      String(at),
    ]);
    if (calls !== null) {
      // There were fewer calls than that.
      assert(calls < at, `${calls} calls, and the ${at}th did not kill`);
      whole.calls = calls;
      continue;
    }
    killed++;
    whole.calls = Math.max(whole.calls, at);
    const when = `${kind.name}, ${before} to ${which}, killed at call ${at}`;
    const seen = await kind.read(folder).catch((error: Error) => `nothing: ${error.message}`);
    const allowed = [whole.seen, ...(old ? [old.seen] : [])];
    assert(allowed.includes(seen) || (!old && seen.startsWith("nothing")), `${when}: reads as ${seen}`);
    assert(
      [whole.foreign, old?.foreign, null].includes(await foreignWeights(folder)),
      `${when}: mixed weights`,
    );
    await kind.write(folder, which);
    assertEquals(await kind.read(folder), whole.seen, when);
    assertEquals(filesUnder(folder), whole.files, when);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The tests of some kinds. `FERROTYPE_SEED` chooses other moments. */
export function describeKilled(what: string, kinds: readonly KindOfWrite[]): void {
  const times = Math.ceil(kills / kindsOfWrites.length);
  describe(what, () => {
    for (const [i, kind] of kinds.entries()) {
      // Two at a time: a process mostly waits to begin.
      it(`${kind.name}, ${times} times`, async () => {
        const place = mkdtempSync(join(tmpdir(), "ferrotype-killed-"));
        try {
          const undisturbed = await undisturbedWrites(kind, place);
          const halves = [Math.ceil(times / 2), Math.floor(times / 2)];
          await Promise.all(
            halves.map((n, half) =>
              killMany(kind, undisturbed, place, n, new Generator(seed + 2 * i + half))
            ),
          );
        } finally {
          rmSync(place, { recursive: true, force: true });
        }
      });
    }
  });
}
