/**
 * Hostile files of every kind, made by the thousand: whatever is in them, a reader gives a value or throws the error that
 * it documents, soon.
 *
 * ```
 * deno run -A tests/hostile.ts --count 100000 --seed 7            # all kinds; --only chat,config for some
 * deno run -A tests/hostile.ts --large                            # headers of 20 to 100 MB: time and memory
 * ```
 *
 * Each input comes of a number alone, so that one that fails can be made again: `--only KIND --count 1 --seed NUMBER`.
 *
 * @module
 */
import "./_pin.ts";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { FerrotypeError } from "../src/core/errors.ts";
import { whole } from "../src/core/kinds.ts";
import { Generator } from "../src/core/random.ts";
import { namesOf, readTask } from "../tools/task.ts";
import { type HostileKind, hostileKinds as partKinds } from "./_hostile_kinds.ts";
import { wholeKinds } from "./_hostile_whole.ts";
import { ensurePackages } from "./_install.ts";

/** All kinds. */
const hostileKinds: readonly HostileKind[] = [...partKinds, ...wholeKinds];

/** What became of the inputs of one kind. */
export interface HostileResult {
  readonly kind: string;
  /** How many there were. */
  readonly inputs: number;
  /** How many were refused with the documented error. */
  readonly refused: number;
  /** The longest time that one took, in milliseconds of this thread, and which it was. */
  readonly slowest: { readonly milliseconds: number; readonly seed: number };
  /** Inputs that ended in another error, a few of them. */
  readonly failures: readonly { readonly seed: number; readonly error: string }[];
}

/** What may be said of a run. */
export interface HostileOptions {
  /** Kinds, by name. Default: all. */
  readonly only?: readonly string[];
  /** Hears of each input before it is read: the last one is to blame for a run that does not end. */
  readonly onInput?: (kind: string, seed: number) => void;
}

function runOne(kind: HostileKind, seed: number): Promise<boolean> {
  return kind.read(new Generator(seed)).then(() => false, (error) => {
    const documented = error instanceof FerrotypeError && kind.errors.includes(error.name);
    if (
      documented && error.message.length < 5000 &&
      !/undefined is not|of undefined|is not a function$/.test(error.message)
    ) return true;
    throw error;
  });
}

/** Reads `count` hostile inputs, of each kind its share; input i comes of the seed `seed` + i. */
export async function run(
  seed: number,
  count: number,
  options: HostileOptions = {},
): Promise<HostileResult[]> {
  const kinds = hostileKinds.filter(({ name }) => options.only?.includes(name) ?? true);
  const shares = kinds.reduce((sum, { share }) => sum + share, 0), results: HostileResult[] = [];
  for (const kind of kinds) {
    const inputs = Math.max(1, Math.round(count * kind.share / shares));
    const failures: { seed: number; error: string }[] = [];
    let refused = 0, slowest = { milliseconds: 0, seed };
    await kind.prepare?.();
    for (let i = 0; i < inputs; i++) {
      options.onInput?.(kind.name, seed + i);
      const before = process.cpuUsage();
      try {
        if (await runOne(kind, seed + i)) refused++;
      } catch (error) {
        const text = error instanceof Error
          ? `${error.name}: ${error.message}\n${error.stack ?? ""}`
          : String(error);
        if (failures.length < 20) failures.push({ seed: seed + i, error: text.slice(0, 1500) });
      }
      const { user, system } = process.cpuUsage(before), milliseconds = (user + system) / 1000;
      if (milliseconds > slowest.milliseconds) slowest = { milliseconds, seed: seed + i };
    }
    await kind.finish?.();
    results.push({ kind: kind.name, inputs, refused, slowest, failures });
  }
  return results;
}

async function main(): Promise<void> {
  const { values } = readTask({
    name: "hostile",
    summary:
      "Hostile files of every kind: a reader gives a value or throws the error that it documents, soon.",
    options: {
      seed: {
        value: "N",
        kind: whole(0),
        help: "of the first input; the next one's is one more (default 1)",
      },
      count: { value: "N", kind: whole(1), help: "inputs, each kind its share (default 20000)" },
      only: { value: "A,B", kind: namesOf(hostileKinds.map(({ name }) => name)), help: "only these kinds" },
      trace: { value: "FILE", help: "names each input there before it is read" },
      large: { help: "headers of 20 to 100 MB instead: time and memory" },
    },
    idle: [{
      option: ["seed", "count", "only", "trace"],
      when: ({ large }) => large === true,
      because: "--large has its own inputs",
    }],
  });
  ensurePackages();
  if (values.flag("large")) {
    const { large } = await import("./_hostile_large.ts");
    await large();
    return;
  }
  const fs = await import("node:fs");
  const only = values.value("only") as string[] | undefined, trace = values.text("trace");
  const results = await run(values.number("seed") ?? 1, values.number("count") ?? 20_000, {
    ...(only ? { only } : {}),
    ...(trace ? { onInput: (kind, seed) => fs.writeFileSync(trace, `${kind} ${seed}`) } : {}),
  });
  let failed = 0;
  console.log("kind            inputs   refused  slowest (ms, seed)");
  for (const { kind, inputs, refused, slowest, failures } of results) {
    const time = `${slowest.milliseconds.toFixed(0)}, ${slowest.seed}`;
    console.log(`${kind.padEnd(14)}${String(inputs).padStart(8)}${String(refused).padStart(10)}  ${time}`);
    for (const { seed, error } of failures) {
      console.log(`  FAILED --only ${kind} --count 1 --seed ${seed}\n${error}`);
    }
    failed += failures.length;
  }
  process.exitCode = failed ? 1 : 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
