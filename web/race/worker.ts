/**
 * The worker in which small GPTs race.
 *
 * @module
 */
import { type Directions, RealRace, type Slice } from "./real_race.ts";
import type { RealName, RealRates } from "./real_settings.ts";

/** What the page asks. */
export type Question =
  | {
    readonly ask: "race";
    readonly run: number;
    readonly text: string;
    readonly rates: RealRates;
    readonly steps: number;
  }
  | { readonly ask: "slice"; readonly directions: Directions }
  | { readonly ask: "stop" };

/** What the worker says; a run has a number, which comes back with all that is said of it. */
export type Answer =
  & { readonly run: number }
  & (
    | {
      readonly say: "losses";
      readonly step: number;
      readonly losses: Readonly<Partial<Record<RealName, number | null>>>;
    }
    | {
      readonly say: "texts";
      readonly step: number;
      readonly texts: Readonly<Partial<Record<RealName, string>>>;
    }
    | { readonly say: "over"; readonly ways: ReturnType<RealRace["ways"]> }
    | {
      readonly say: "row";
      readonly index: number;
      readonly losses: readonly number[];
      readonly slice: Slice;
    }
    | { readonly say: "error"; readonly message: string }
  );

/** The part of a worker's scope that is used. */
interface Scope {
  postMessage(answer: Answer): void;
  onmessage: ((event: { data: Question }) => void) | null;
}

const scope = globalThis as unknown as Scope;

/** Points a side of a slice. */
const side = 21;

let race: RealRace | null = null, run = 0, work = 0, current: Promise<void> = Promise.resolve();

/** Lets what the page asks come in; whether this is still what it wants. */
async function goesOn(own: number): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve));
  return own === work;
}

async function compete(
  { text, rates, steps }: Question & { ask: "race" },
  own: number,
  of: number,
): Promise<void> {
  race?.dispose();
  race = null;
  const mine = race = new RealRace(text, rates, 1), every = Math.max(1, Math.round(steps / 15));
  await mine.remember();
  while (mine.step < steps && await goesOn(own)) {
    const losses = await mine.advance(), { step } = mine;
    scope.postMessage({ run: of, say: "losses", step, losses });
    if (step % every !== 0 && step !== steps) continue;
    await mine.remember();
    scope.postMessage({ run: of, say: "texts", step, texts: await mine.texts() });
  }
  scope.postMessage({ run: of, say: "over", ways: mine.ways() });
  if (own === work) await cut("paths", own, of);
}

async function cut(directions: Directions, own: number, of: number): Promise<void> {
  if (race === null) throw new Error("Nobody has raced yet.");
  await race.slice(directions, side, async (index, losses, slice) => {
    scope.postMessage({ run: of, say: "row", index, losses, slice });
    return await goesOn(own);
  });
}

scope.onmessage = ({ data }) => {
  const own = ++work;
  if (data.ask === "race") run = data.run;
  if (data.ask === "stop") return;
  const of = run;
  // One after the other: what runs ends at its next step, as the number of the work is another now.
  current = current.then(() =>
    own !== work ? undefined : data.ask === "race" ? compete(data, own, of) : cut(data.directions, own, of)
  )
    .catch((error: unknown) =>
      scope.postMessage({
        run: of,
        say: "error",
        message: error instanceof Error ? error.message : String(error),
      })
    );
};
