/**
 * What a task of the repository is told. A task is described as a command is (`cli/command.ts`), so that `--help` tells its
 * options, and what it does not know is refused by name before anything is installed or done.
 *
 * @module
 */
import { writeSync } from "node:fs";
import process from "node:process";
import {
  help,
  helpOption,
  parse,
  type Program,
  type Usage,
  UsageError,
  type Values,
} from "../cli/command.ts";
import { OptionError } from "../src/core/errors.ts";
import type { Kind } from "../src/core/kinds.ts";

const tasks: Program = { call: "deno task", options: { help: helpOption } };

/** Some of these names, with commas between them. */
export function namesOf(names: readonly string[]): Kind {
  return {
    expected: `names with commas between them, out of ${names.join(", ")}`,
    accepts: (x) => Array.isArray(x) && x.every((name) => names.includes(name)),
    read: (text) => text.split(","),
  };
}

/** A task: its name, and what it does in a line. It takes nothing but the options that it names. */
export type Task = Pick<Usage, "name" | "summary"> & Partial<Usage>;

/** Reads a task's arguments. `--help` and a wrong call end the program: with status 0, and 2. */
export function readTask(
  task: Task,
  args: readonly string[] = process.argv.slice(2),
): { values: Values; positionals: readonly string[] } {
  const usage = {
    usage: task.options ? "[options]" : "",
    positionals: [0, 0],
    options: {},
    ...task,
  } as const;
  try {
    const given = parse(usage, args, tasks);
    if (!given.values.flag("help")) return given;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof OptionError)) throw error;
    const { message } = error, { name } = task;
    // Some begin with the name already: "fuzz has no option".
    writeSync(
      2,
      message.startsWith(`${name}: `) || message.startsWith(`${name} `)
        ? `${message}\n`
        : `${name}: ${message}\n`,
    );
    process.exit(2);
  }
  writeSync(1, help(usage, tasks));
  process.exit(0);
}
