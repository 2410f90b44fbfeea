#!/usr/bin/env -S deno run -A
/**
 * The command `ferrotype`.
 *
 * Exit status: 0 done; 1 it failed, with one line on standard error; 2 the call is wrong; 130 interrupted (Ctrl-C), 143
 * told to end (SIGTERM), 129 as the terminal went away (SIGHUP), 131 for SIGQUIT. However it ends, nothing half written stays.
 *
 * @module
 */
import { argv, exit } from "node:process";
import type { distributed } from "../mod.ts";
import { CancelledError, DeviceError, DTypeError, FormatError, OptionError } from "../src/core/errors.ts";
import { hint } from "../src/core/nearest.ts";
import { findLauncher } from "../src/platform/mpi_launcher.ts";
import {
  abandonAll,
  cacheCompiledCode,
  environment,
  onUnheard,
  stopStatus,
} from "../src/platform/platform.ts";
import {
  type Command,
  help,
  inFlags,
  isInner,
  jsonHelp,
  memoryInFlags,
  parse,
  UsageError,
} from "./command.ts";
import { loaders } from "./commands/table.ts";
import { childVariable, entry } from "./entry.ts";
import { note, OutputClosed, print, printJson } from "./output.ts";
import { version } from "./version.ts";

/** All commands, or those of a family: what begins with the word `family`. */
async function overview(family?: string): Promise<string> {
  const { commands } = await import("./commands/mod.ts");
  const shown = family === undefined ? commands : commands.filter((c) => c.name.startsWith(`${family} `));
  const width = Math.max(...shown.map((c) => c.name.length)) + 2;
  return [
    family === undefined ? "ferrotype <command> [options]" : `ferrotype ${family} <command> [options]`,
    "",
    ...(family === undefined ? ["Trains and runs GPT, natively on Deno, Bun and Node.", ""] : []),
    ...shown.map((c) => `  ${c.name.padEnd(width)}${c.summary}`),
    "",
    family === undefined
      ? "ferrotype <command> --help tells a command's options; --version the version."
      : `ferrotype ${family} <command> --help tells a command's options.`,
    "",
  ].join("\n");
}

/** Whether `word` by itself is no command, and the first word of some. */
const isFamily = (word: string): boolean =>
  !loaders.has(word) && [...loaders.keys()].some((name) => name.startsWith(`${word} `));

/** The command that `args` begin with, and how many words its name took. */
async function find(args: readonly string[]): Promise<{ command: Command; words: number }> {
  for (const words of [2, 1]) {
    const load = loaders.get(args.slice(0, words).join(" "));
    if (load && args.length >= words) return { command: await load(), words };
  }
  const names = [...loaders.keys()], family = names.filter((name) => name.startsWith(`${args[0]} `));
  if (family.length) throw new UsageError(`"${args[0]}" needs one of: ${family.join(", ")}`);
  const guess = /^-*v(ersion)?$/i.test(args[0])
    ? "; did you mean --version?"
    : hint(args[0], [...names, "--help", "--version"]);
  const what = args[0].startsWith("-") ? "option" : "command";
  throw new UsageError(`there is no ${what} "${args[0]}"${guess}`);
}

/** @throws {UsageError} for what stands behind the first argument and says nothing there; --verbose says more anywhere. */
function demandAlone([first, ...rest]: readonly string[], ...besides: readonly string[]): void {
  const odd = rest.find((arg) => !["--verbose", "--help", "-h", ...besides].includes(arg));
  if (odd !== undefined) throw new UsageError(`${first} stands alone; leave ${odd} out`);
}

/** Runs the command line and gives the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const verbose = args.includes("--verbose");
  const isHelp = ["--help", "-h", "help"].includes(args[0]);
  if (isHelp && args.length > 1 && !args[1].startsWith("-")) return await main([...args.slice(1), "--help"]);
  // Commands that have something to finish listen themselves.
  let ranks: Ranks = null;
  const remove = onUnheard(() => void stopped(ranks).finally(stop));
  cacheCompiledCode();
  try {
    if (args.length === 0) {
      await note(await overview());
      return 2;
    }
    if (isHelp) {
      if (args.includes("--json")) throw new UsageError(jsonHelp);
      demandAlone(args);
      await print(await overview());
      return 0;
    }
    if (args[0] === "--version") {
      demandAlone(args, "--json");
      await (args.includes("--json") ? printJson({ version }) : print(version));
      return 0;
    }
    const [asked, ...more] = isFamily(args[0])
      ? args.slice(1).filter((word) => !/^--(json|verbose)$/.test(word))
      : [];
    if (asked === "help" && more.length) return await main([args[0], ...more, "--help"]);
    if (/^(--help|-h|help)$/.test(asked ?? "")) {
      if (args.includes("--json")) throw new UsageError(jsonHelp);
      await print(await overview(args[0]));
      return 0;
    }
    const { command, words } = await find(args);
    const { values, positionals } = parse(command, args.slice(words));
    if (values.flag("help")) {
      await print(help(command));
      return 0;
    }
    if (command.ranks === true || (command.ranks && findLauncher() !== null)) {
      ranks = (await import("../mod.ts")).distributed;
    }
    const status = await command.run(values, positionals).catch((error) => {
      const isOurs = error instanceof OptionError || error instanceof DTypeError;
      if (isOurs || (error instanceof FormatError && isInner(error.message))) {
        error.message = inFlags(error.message, command);
      }
      if (error instanceof DeviceError) {
        error.message = memoryInFlags(error.message, values.has("max-memory"), command.name);
      }
      throw error;
    }) ?? 0;
    await ranks?.destroy();
    return status;
  } catch (error) {
    return await failure(error, verbose, ranks);
  } finally {
    remove();
  }
}

function interrupted(): Promise<void> {
  return note("ferrotype: interrupted");
}

/** Ends the program at once, and takes what is half written along. */
function stop(): never {
  abandonAll();
  exit(stopStatus());
}

/** What tells of other ranks; null for a command that has none. */
type Ranks = typeof distributed | null;

const isOneOfMany = (ranks: Ranks): ranks is typeof distributed =>
  ranks !== null && ranks.isInitialized && ranks.size > 1;

/** What ends one rank mostly ends all: the first one tells, and the launcher takes the others, which leave it the time to. */
const leaveTime = (ranks: typeof distributed): Promise<void> =>
  new Promise((go) => ranks.rank > 0 ? setTimeout(go, 3000) : go());

/** Says that a signal ends this. */
async function stopped(ranks: Ranks): Promise<void> {
  if (!isOneOfMany(ranks)) return await interrupted();
  await leaveTime(ranks);
  await note(`ferrotype: ${ranks.describe()}: interrupted; the job ends on all ranks`);
  ranks.abort(null);
}

async function failure(error: unknown, verbose: boolean, distributed: Ranks): Promise<number> {
  const isMany = isOneOfMany(distributed);
  const said = error instanceof Error ? error.message : String(error);
  const message = isMany && !distributed.isCommon(error) ? `${distributed.describe()}: ${said}` : said;
  if (isMany) {
    await leaveTime(distributed);
    if (!distributed.isCommon(error) || distributed.rank === 0) {
      await note(`ferrotype: ${message.replaceAll(/\s*\n\s*/g, " ")}`);
    }
    if (verbose && error instanceof Error && error.stack) await note(error.stack);
    distributed.abort(null);
    return 1;
  }
  if (error instanceof OutputClosed) return 0;
  if (error instanceof CancelledError) {
    await interrupted();
    return stopStatus();
  }
  await note(`ferrotype: ${message.replaceAll(/\s*\n\s*/g, " ")}`);
  if (verbose && error instanceof Error && error.stack) await note(error.stack);
  return error instanceof UsageError || (error instanceof Error && error.name === "OptionError") ? 2 : 1;
}

entry.url = import.meta.url;
if (import.meta.main) {
  if (environment(childVariable) !== undefined) (await import("./child.ts")).endWithParent();
  exit(await main(argv.slice(2)));
}
