/**
 * What ranks tell each other in words, and whether they agree.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { empty, type Tensor, tensor } from "../ops/mod.ts";
import { readNow } from "../tensor/mod.ts";
import { offsetOf } from "./memory.ts";
import type { Messenger } from "./messenger.ts";

/** `values` of all ranks, which are as many on each: i32 [ranks, values]. */
function gather(messenger: Messenger, values: Int32Array | Uint8Array): Int32Array | Uint8Array {
  const type = values instanceof Uint8Array ? "u8" : "i32", options = { dtype: type, device: "cpu" } as const;
  using own = tensor(values, options);
  using all: Tensor = empty([messenger.size, values.length], options);
  messenger.wait(
    messenger.post({
      operation: "allGather",
      type,
      from: offsetOf(own),
      to: offsetOf(all),
      count: values.length,
    }),
  );
  return readNow(all) as Int32Array | Uint8Array;
}

/** The texts of all ranks. */
export function gatherTexts(messenger: Messenger, text: string): string[] {
  const bytes = new TextEncoder().encode(text), lengths = gather(messenger, Int32Array.of(bytes.length));
  const longest = Math.max(1, ...lengths), padded = new Uint8Array(longest);
  padded.set(bytes);
  const all = gather(messenger, padded) as Uint8Array;
  return Array.from(
    lengths,
    (length, rank) => new TextDecoder().decode(all.subarray(rank * longest, rank * longest + length)),
  );
}

/** What makes ranks agree, where that is not how they are started. */
const remedies: Readonly<Record<string, string>> = {
  "random state":
    "call manualSeed with the same seed on every rank, before the model is made, and draw as many numbers on each",
};

/**
 * Checks that every rank says the same.
 * @throws {FerrotypeError} on all ranks when one does not, naming it, its host, and what it says.
 */
export function demandSame(
  messenger: Messenger,
  facts: Readonly<Record<string, string>>,
  describe: (rank: number) => string,
): FerrotypeError | null {
  const all = gatherTexts(messenger, JSON.stringify(facts)).map((text) => JSON.parse(text) as typeof facts);
  const short = (text: string | undefined): string =>
    text === undefined ? "nothing" : text.length > 120 ? `${text.slice(0, 120)}…` : text;
  for (const name of new Set(all.flatMap(Object.keys))) {
    const votes = new Map<string | undefined, number>();
    for (const one of all) votes.set(one[name], (votes.get(one[name]) ?? 0) + 1);
    if (votes.size === 1) continue;
    // Who differs from most; with as many on either side, from rank 0.
    const most = Math.max(...votes.values());
    const usual = votes.get(all[0][name]) === most
      ? all[0][name]
      : [...votes].find(([, n]) => n === most)![0];
    const other = all.findIndex((one) => one[name] !== usual),
      same = all.findIndex((one) => one[name] === usual);
    return new FerrotypeError(
      `${describe(other)} has another ${name} (${short(all[other][name])}) than ${describe(same)} (${
        short(usual)
      }); ` +
        (remedies[name] ?? "start every rank with the same files and options"),
    );
  }
  return null;
}
