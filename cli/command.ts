/**
 * What a command is: a name, its options as data, and a function. Help, parsing and errors follow from the data.
 *
 * Parsing is `parseArgs` of `node:util`, which Deno, Bun and Node all have; this file only adds types, ranges and
 * words.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { hint } from "../src/core/nearest.ts";

/** A call that cannot be understood: exit status 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** One option. `value` names what it takes; without it the option is a flag. */
export interface Option {
  /** One letter, for `-n`. */
  short?: string;
  /** What the value is, for help: `N`, `DIR`. */
  value?: string;
  /** How the value is read. Default "text". */
  type?: "text" | "integer" | "number";
  /** Least number allowed. */
  min?: number;
  /** Largest number allowed. */
  max?: number;
  /** May be given again. */
  multiple?: boolean;
  /** The only texts allowed. */
  choices?: readonly string[];
  /** One line for help. */
  help: string;
}

/** Options by name, without the dashes. */
export type Options = Readonly<Record<string, Option>>;

/** Parsed values by option name. */
export class Values {
  readonly #values: Record<string, unknown>;

  /** As {@link parse} found them. */
  constructor(values: Record<string, unknown>) {
    this.#values = values;
  }

  /** Whether the option was given. */
  has(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** A text, or undefined. */
  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** A number, or undefined. */
  number(name: string): number | undefined {
    return this.#values[name] as number | undefined;
  }

  /** All texts of an option that may be given again. */
  texts(name: string): string[] {
    return (this.#values[name] ?? []) as string[];
  }
}

/** A command. */
export interface Command {
  /** Its name; two words for a command of a family (`tokenizer train`). */
  readonly name: string;
  /** What follows the name, for help: `[PROMPT]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** Further lines for its own help. */
  readonly details?: string;
  /** How many plain arguments it takes. */
  readonly positionals: readonly [least: number, most: number];
  /** Its options; `--json`, `--verbose` and `--help` are every command's. */
  readonly options: Options;
  /** Does it; resolves to the exit status (0 when it gives none). */
  run(values: Values, positionals: readonly string[]): Promise<number | void>;
}

/** Options that every command takes. */
export const common: Options = {
  json: { help: "print one JSON object on standard output, and nothing else there" },
  verbose: { help: "say more; with an error, where in the program it arose" },
  help: { short: "h", help: "this text" },
};

function convert(name: string, option: Option, raw: string): string | number {
  if (option.choices && !option.choices.includes(raw)) {
    throw new UsageError(`--${name} is one of ${option.choices.join(", ")}, not "${raw}"`);
  }
  if (option.type === undefined || option.type === "text") return raw;
  const n = Number(raw);
  const whole = option.type === "integer";
  const range = option.min !== undefined && option.max !== undefined
    ? ` from ${option.min} to ${option.max}`
    : option.min !== undefined
    ? ` from ${option.min}`
    : "";
  const ok = raw.trim() !== "" && Number.isFinite(n) && (!whole || Number.isInteger(n)) &&
    !(n < (option.min ?? -Infinity)) &&
    !(n > (option.max ?? Infinity));
  if (!ok) throw new UsageError(`--${name} is a ${whole ? "whole number" : "number"}${range}, not "${raw}"`);
  return n;
}

/** Reads the arguments behind a command's name. @throws {UsageError} saying what is wrong and what is close to it. */
export function parse(command: Command, args: readonly string[]): { values: Values; positionals: string[] } {
  const options: Options = { ...command.options, ...common };
  const config = Object.fromEntries(
    Object.entries(options).map(([name, o]) => [name, {
      type: o.value ? "string" as const : "boolean" as const,
      ...(o.short ? { short: o.short } : {}),
      ...(o.multiple ? { multiple: true } : {}),
    }]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: joinNegative(args, options),
      options: config,
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    const code = (error as { code?: string }).code;
    const unknown = /'(-[^']+)'/.exec(String((error as Error).message))?.[1];
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" && unknown) {
      const guess = unknown.startsWith("--")
        ? hint(unknown.slice(2).split("=")[0], Object.keys(options), (name) => `--${name}`)
        : "";
      throw new UsageError(`${command.name} has no option ${unknown.split("=")[0]}${guess}`);
    }
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
  const values: Record<string, unknown> = {};
  for (const [name, raw] of Object.entries(parsed.values)) {
    const option = options[name];
    if (typeof raw === "boolean") values[name] = raw;
    else if (Array.isArray(raw)) values[name] = raw.map((r) => convert(name, option, r as string));
    else values[name] = convert(name, option, raw as string);
  }
  const [least, most] = command.positionals, { positionals } = parsed;
  if (!values.help && (positionals.length < least || positionals.length > most)) {
    const found = positionals.length === 0 ? "nothing" : positionals.map((p) => JSON.stringify(p)).join(" ");
    throw new UsageError(`usage: ferrotype ${command.name} ${command.usage}; found ${found}`);
  }
  return { values: new Values(values), positionals };
}

/** `--seed -1` means the value -1: parseArgs alone would take it for an option. */
function joinNegative(args: readonly string[], options: Options): string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--") return [...joined, ...args.slice(i)];
    const next = args[i + 1];
    const option = Object.hasOwn(options, args[i].slice(2)) && args[i].startsWith("--")
      ? options[args[i].slice(2)]
      : undefined;
    if (option?.value && next !== undefined && /^-\d/.test(next)) {
      joined.push(`${args[i]}=${next}`);
      i++;
    } else joined.push(args[i]);
  }
  return joined;
}

/** The help text of one command. */
export function help(command: Command): string {
  const rows = Object.entries({ ...command.options, ...common }).map(([name, o]): [string, string] => {
    const short = o.short ? `-${o.short}, ` : "    ";
    return [`  ${short}--${name}${o.value ? ` ${o.value}` : ""}`, o.help];
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const lines = rows.map(([left, right]) => `${left.padEnd(width)}${right}`);
  return [
    `ferrotype ${command.name} ${command.usage}`.trimEnd(),
    "",
    command.summary,
    ...(command.details ? ["", command.details] : []),
    "",
    ...lines,
    "",
  ].join("\n");
}
