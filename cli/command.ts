/**
 * What a command is: a name, its options as data, and a function. Help, parsing and errors follow from the data.
 *
 * Parsing is `parseArgs` of `node:util`, which Deno, Bun and Node all have; what a value may be is said by the kinds that
 * the library's own options have (`core/kinds.ts`), so that a range is written once.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { expectedOf, type Kind, text as aText } from "../src/core/kinds.ts";
import { hint } from "../src/core/nearest.ts";
import { checkIdle, type Idle } from "../src/core/options.ts";
import { show } from "../src/core/show.ts";

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
  /** What the value may be. Default: any text. */
  kind?: Kind;
  /** May be given again. */
  multiple?: boolean;
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

  /** Whatever was read, or undefined. */
  value(name: string): unknown {
    return this.#values[name];
  }

  /** A number, or undefined. */
  number(name: string): number | undefined {
    return this.#values[name] as number | undefined;
  }

  /** The names of all options that were given. */
  get given(): string[] {
    return Object.keys(this.#values).filter((name) => this.has(name));
  }

  /** All texts of an option that may be given again. */
  texts(name: string): string[] {
    return (this.#values[name] ?? []) as string[];
  }
}

/** The values that were given, by option name, and the plain arguments. */
export interface Given {
  /** The plain arguments. */
  readonly positionals: readonly string[];
  /** An option's value, or true for a flag. */
  readonly [option: string]: unknown;
}

/** What a line of arguments may say. */
export interface Usage {
  /** What it is of: a command, by two words where it is of a family (`tokenizer train`). */
  readonly name: string;
  /** What follows the name, for help: `[PROMPT]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** Further lines for its own help. */
  readonly details?: string;
  /** How many plain arguments it takes. */
  readonly positionals: readonly [least: number, most: number];
  /** Its options; those that all have come with them. */
  readonly options: Options;
  /** What the library calls a flag, where that is another word. */
  readonly calls?: Readonly<Record<string, string>>;
  /** Options that have no effect beside others. */
  readonly idle?: readonly Idle<Given>[];
  /** Why it has no answer in JSON, where it has none. */
  readonly noJson?: string;
}

/** A command; `--json`, `--verbose` and `--help` are every command's. */
export interface Command extends Usage {
  /** Whether it may be one of several ranks, which end together; "launched": asked only where a launcher started it. */
  readonly ranks?: boolean | "launched";
  /** Does it; resolves to the exit status (0 when it gives none). */
  run(values: Values, positionals: readonly string[]): Promise<number | void>;
}

/** What belongs to all that are called with one first word. */
export interface Program {
  /** What is written before a name. */
  readonly call: string;
  /** The options that all have. */
  readonly options: Options;
}

/** What everything called can be asked. */
export const helpOption: Option = { short: "h", help: "this text" };

/** Options that every command takes. */
export const common: Options = {
  json: { help: "print one JSON object on standard output, and nothing else there" },
  verbose: { help: "say more; with an error, where in the program it arose" },
  help: helpOption,
};

const ferrotype: Program = { call: "ferrotype", options: common };

const aPath: Kind = { expected: "a path", accepts: (x) => x !== "" };

/** What a value may be of which nothing else is said: an empty path would be taken for the folder that one is in. */
const usualKind = ({ value = "" }: Option): Kind => /\b(DIR|FILE|MODEL)\b/.test(value) ? aPath : aText;

function convert(name: string, option: Option, raw: string): unknown {
  const { kind = usualKind(option) } = option;
  const value = kind.read ? kind.read(raw) : raw;
  if (kind.accepts(value)) return value;
  // Leaving an option out is how a command line says null.
  throw new UsageError(`--${name} is ${expectedOf(kind, value).replace(/, or null$/, "")}, not ${show(raw)}`);
}

/** Help is for people. */
export const jsonHelp = "--json has no effect because --help is text; leave it out";

/** The flag of an option. */
const flagOf = (name: string): string => `--${name}`;

/** What parseArgs tells of an argument, as far as it is asked. */
interface Token {
  readonly kind: string;
  readonly name?: string;
  readonly value?: string | undefined;
}

/**
 * @throws {UsageError} for an option that takes one value and was given two, of which one would be lost; and for the same value
 * given twice to one that takes many, where the second says nothing.
 */
function demandOnce(tokens: readonly Token[], options: Options): void {
  const given = new Map<string, string[]>();
  for (const { kind, name = "", value } of tokens) {
    if (kind !== "option" || value === undefined) continue;
    const before = given.get(name) ?? [];
    if (before.includes(value)) {
      throw new UsageError(`--${name} is given twice as ${show(value)}; give it once`);
    }
    if (before.length > 0 && !options[name].multiple) {
      throw new UsageError(
        `--${name} is given twice, as ${show(before[0])} and ${show(value)}; give it once`,
      );
    }
    given.set(name, [...before, value]);
  }
}

/** Which option was probably meant by one that there is not. */
function guessOf(unknown: string, options: Options): string {
  const word = unknown.replace(/^-+/, ""), names = Object.keys(options);
  if (word.length > 1) return hint(word, names, flagOf);
  const short = names.find((name) => options[name].short === word);
  if (short !== undefined) return `; did you mean -${word}, ${flagOf(short)}?`;
  const [one, ...others] = names.filter((name) => name.startsWith(word));
  return one !== undefined && others.length === 0 ? `; did you mean ${flagOf(one)}?` : "";
}

/** Reads the arguments behind a command's name. @throws {UsageError} saying what is wrong and what is close to it. */
export function parse(
  command: Usage,
  args: readonly string[],
  program: Program = ferrotype,
): { values: Values; positionals: string[] } {
  const options: Options = { ...command.options, ...program.options };
  const config = Object.fromEntries(
    Object.entries(options).map(([name, o]) => [name, {
      type: o.value ? "string" as const : "boolean" as const,
      ...(o.short ? { short: o.short } : {}),
      ...(o.multiple ? { multiple: true } : {}),
    }]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[]; tokens: readonly Token[] };
  try {
    parsed = parseArgs({
      args: joinNegative(args, options),
      options: config,
      allowPositionals: true,
      strict: true,
      tokens: true,
    });
  } catch (error) {
    const code = (error as { code?: string }).code, message = String((error as Error).message);
    const unknown = /'(-[^']+)'/.exec(message)?.[1].split("=")[0];
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" && unknown) {
      throw new UsageError(`${command.name} has no option ${unknown}${guessOf(unknown, options)}`);
    }
    const [, name = ""] = /--([\w-]+)/.exec(message) ?? [];
    if (code !== "ERR_PARSE_ARGS_INVALID_OPTION_VALUE" || !Object.hasOwn(options, name)) {
      throw new UsageError(message.split(". ")[0]);
    }
    const { value } = options[name];
    throw new UsageError(
      value === undefined
        ? `--${name} takes no value; leave it away`
        : `--${name} needs a value: --${name} ${value}, or --${name}=${value} where that begins with a dash`,
    );
  }
  demandOnce(parsed.tokens, options);
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
    throw new UsageError(
      `usage: ${program.call} ${command.name} ${command.usage}`.trimEnd() + `; found ${found}`,
    );
  }
  if (values.help === true && values.json === true) throw new UsageError(jsonHelp);
  if (!values.help) {
    if (values.json === true && command.noJson !== undefined) {
      throw new UsageError(`${command.name}: --json has no effect because ${command.noJson}; leave it out`);
    }
    checkIdle<Given>(command.name, { ...values, positionals }, command.idle ?? [], flagOf);
  }
  return { values: new Values(values), positionals };
}

/** The library's name of a flag: `cacheDType` of `cache-dtype`. */
function optionOf(flag: string): string {
  return flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()).replace("Dtype", "DType");
}

/** A function of the library before what it says; no file, which is what is spoken of. */
const inner =
  /^(?!\S*\.(?:jsonl?|csv|txt|safetensors|gguf|onnx|npy): )(?:new )?[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z]\w*)*: /;

/** Whether a message is a function's of the library, rather than one about a file. */
export const isInner = (message: string): boolean => inner.test(message);

/**
 * What the library says of its options, said of the command and its flags: `generate: numBeams: 3` of `serve` is
 * `serve: --num-beams 3` here.
 */
export function inFlags(message: string, { name: command, options, calls = {} }: Command): string {
  const named = (flag: string): string => calls[flag] ?? optionOf(flag);
  const said = inWords(message, options).replace(inner, (before) => {
    // What is said of an option alone begins with its name.
    const flag = Object.keys(options).find((flag) => before === `${named(flag)}: `);
    return flag === undefined ? `${command}: ` : `${command}: ${flagOf(flag)}: `;
  });
  const flagged = Object.keys(options).reduce((text, flag) => {
    const name = named(flag);
    // A name of one word may be a word of the sentence, too: it is an option where something is said of it.
    const place = /[A-Z]/.test(name) ? `${name}\\b` : `${name}(?=: [\\d.]| (?:is|acts|names|has)\\b)`;
    return text.replace(
      new RegExp(`(?<![\\w-])${place}(: (?=[\\d.]))?`, "g"),
      (_, colon) => `${flagOf(flag)}${colon ? " " : ""}`,
    );
  }, said);
  // Where an option of a function has a flag of its own, as `targets` of `lora`, that one is meant.
  return flagged.replace(/^(\S+: )--[\w-]+: (?=--[\w-]+ )/, "$1");
}

/** What the library tells a program to set, as what the command is given. */
function inWords(message: string, options: Options): string {
  const draws = "temperature" in options
    ? `give ${flagOf("temperature")} above 0 to draw`
    : "nothing draws here";
  const ids = "prompt-ids" in options
    ? `give ${flagOf("prompt-ids")}, or a model with one`
    : "name a model with one";
  return message
    .replace(
      "nothing is drawn; it belongs to doSample: true; leave it out",
      `nothing is drawn; leave it out, or ${draws}`,
    )
    .replace("so prompts are token ids; set model.tokenizer to give text", `and texts cannot be read; ${ids}`)
    .replace("use generateIds, or set model.tokenizer", "name a model with one")
    .replace(/; set model\.tokenizer\b/, "; name a model with one");
}

/**
 * What a device says of memory, said of the command: a program disposes its tensors and calls `setMaxMemory`; one who calls the
 * command gives --max-memory, which is spoken of where it `bounds`.
 */
export function memoryInFlags(message: string, bounds: boolean, command: string): string {
  const sizes = / of these sizes has more than .*, which \w+ can hold;/;
  if (sizes.test(message)) {
    const said = message.replace(inner, `${command}: `);
    return bounds
      ? said.replace(/which (\w+) can hold;/, `which ${flagOf("max-memory")} allows on $1; allow more,`)
      : said;
  }
  const said = message
    .replace(/; dispose tensors that are no longer needed \(tidy, using\), or/, ";")
    .replace(", or dispose tensors that are no longer needed", "");
  if (!bounds) {
    return said.replace(", or setMaxMemory allows", "").replace(
      "allow more with setMaxMemory",
      "give it less at once",
    );
  }
  const flag = flagOf("max-memory"), named = said.replaceAll("setMaxMemory", flag);
  return named.includes(flag) || !named.includes("cannot allocate")
    ? named
    : `${named}, or allow more with ${flag}`;
}

/** `--seed -1` and `-n -5` mean the values -1 and -5: parseArgs alone would take them for options. */
function joinNegative(args: readonly string[], options: Options): string[] {
  const shorts = new Map(Object.entries(options).map(([name, { short }]) => [`-${short}`, name]));
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--") return [...joined, ...args.slice(i)];
    const next = args[i + 1], long = args[i].startsWith("--") ? args[i].slice(2) : undefined;
    const name = long ?? shorts.get(args[i]);
    const takes = name !== undefined && Object.hasOwn(options, name) && options[name].value !== undefined;
    if (takes && next !== undefined && /^-\.?\d/.test(next)) {
      joined.push(`--${name}=${next}`);
      i++;
    } else joined.push(args[i]);
  }
  return joined;
}

/** What help says of an option: with the values that it may have, unless its own words name them all. */
export function helpOf({ value, kind, help }: Option): string {
  const choices = kind?.choices ?? [];
  const named = (choice: unknown): boolean =>
    help.split(/[^\w:-]+/).some((word) => word.replace(/:$/, "") === String(choice));
  return choices.every(named)
    ? help
    : `${help}; ${value} is ${choices.join(", ").replace(/, (?=[^,]*$)/, " or ")}`;
}

/** The options that a command's help names: all but --json where that is always refused. */
export function optionsOf(command: Usage, program: Program = ferrotype): [name: string, option: Option][] {
  return Object.entries({ ...command.options, ...program.options })
    .filter(([name]) => name !== "json" || command.noJson === undefined);
}

/** The help text of one command. */
export function help(command: Usage, program: Program = ferrotype): string {
  const rows = optionsOf(command, program).map(
    ([name, o]): [string, string] => {
      const short = o.short ? `-${o.short}, ` : "    ";
      return [`  ${short}--${name}${o.value ? ` ${o.value}` : ""}`, helpOf(o)];
    },
  );
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const lines = rows.map(([left, right]) => `${left.padEnd(width)}${right}`);
  return [
    `${program.call} ${command.name} ${command.usage}`.trimEnd(),
    "",
    command.summary,
    ...(command.details ? ["", command.details] : []),
    "",
    ...lines,
    "",
  ].join("\n");
}
