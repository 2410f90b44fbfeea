/**
 * Options as data: one table says what each may be, and everything that takes options checks them by it.
 *
 * Nothing is ignored. A name that does not exist, a value of another kind, an option that must be there and is not, and
 * one that has no effect beside the others are each an OptionError that says where, what was given and what was
 * expected. An option that is `undefined` was not given.
 *
 * @module
 */
import { OptionError } from "./errors.ts";
import { expectedOf, type Kind } from "./kinds.ts";
import { hint } from "./nearest.ts";
import { show } from "./show.ts";
import { fixed, isDynamic } from "./number.ts";

/** One option. */
export interface Option extends Kind {
  /** Its value when it is not given, where that is one value. */
  readonly default?: unknown;
  /** Whether it must be given. */
  readonly required?: boolean;
}

/** An option that must be given. */
export interface RequiredOption extends Option {
  readonly required: true;
}

/** The options of `O` by name: the compiler sees to it that none is missing, and which must be given. */
export type OptionTable<O> = {
  readonly [K in keyof O]-?: Record<never, never> extends Pick<O, K> ? Option : RequiredOption;
};

/** When an option has no effect. */
export interface Idle<O> {
  /** The option, or several. */
  readonly option: keyof O & string | readonly (keyof O & string)[];
  /** Whether it has none beside what is given. */
  readonly when: (given: O) => boolean;
  /** Why: "schedule is constant". */
  readonly because: string | ((given: O) => string);
  /** A value that means what happens anyway, and may therefore stand. */
  readonly unless?: unknown;
}

/** The kind as an option that must be given. */
export const required = (of: Kind): RequiredOption => ({ ...of, required: true });

/** The kind as an option that is `value` when it is not given. */
export const byDefault = <T>(value: T, of: Kind): Option & { readonly default: T } => ({
  ...of,
  default: value,
});

/** @throws {OptionError} when `value` is not of the kind. */
export function checkOption(where: string, name: string, value: unknown, of: Kind): void {
  // In a compiled function a number may be a place for one; the check reads it.
  if (!of.accepts(isDynamic(value) ? fixed(value as number) : value)) {
    throw new OptionError(`${where}: ${name} is ${show(value)}, expected ${expectedOf(of, value)}`);
  }
}

/** The given options that have no effect, and why. */
export function* idleOf<O extends object>(
  given: O,
  idle: readonly Idle<O>[],
): Generator<[name: keyof O & string, why: string]> {
  for (const { option, when, because, unless } of idle) {
    for (const name of typeof option === "string" ? [option] : option as readonly (keyof O & string)[]) {
      const value = given[name];
      if (value === undefined || value === unless || !when(given)) continue;
      yield [name, typeof because === "string" ? because : because(given)];
    }
  }
}

/** @throws {OptionError} for a given option that has no effect. `spell` writes a name as its readers do. */
export function checkIdle<O extends object>(
  where: string,
  given: O,
  idle: readonly Idle<O>[],
  spell: (name: string) => string = (name) => name,
): void {
  for (const [name, why] of idleOf(given, idle)) {
    throw new OptionError(`${where}: ${spell(name)} has no effect because ${why}; leave it out`);
  }
}

/** Options are an object. @throws {OptionError} naming some that there are. */
export function demandObject(where: string, given: unknown, table: object): Record<string, unknown> {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) {
    return given as Record<string, unknown>;
  }
  const names = Object.keys(table).slice(0, 3).join(", ");
  throw new OptionError(`${where}: the options are ${show(given)}, expected an object with ${names} …`);
}

/**
 * The options given to `where`, checked: those themselves, or a copy without those that are undefined.
 *
 * @throws {OptionError} for an unknown name (with the nearest known one), a value of another kind, a missing option, and
 * one without effect.
 */
export function checkOptions<O extends object>(
  where: string,
  given: O | undefined,
  table: OptionTable<O>,
  idle: readonly Idle<O>[] = [],
): O {
  const kinds = table as Readonly<Record<string, Option>>;
  const options = demandObject(where, given === undefined ? {} : given, kinds);
  let hasGaps = false, isEmpty = true;
  for (const name in options) {
    const value = options[name];
    isEmpty = false;
    if (!Object.hasOwn(kinds, name)) {
      demandPlain(where, options);
      throw new OptionError(`${where}: there is no option "${name}"${hint(name, Object.keys(kinds))}`);
    }
    if (value === undefined) hasGaps = true;
    else if (!kinds[name].accepts(value)) checkOption(where, name, value, kinds[name]);
  }
  if (isEmpty) demandPlain(where, options);
  for (const name in kinds) {
    if (kinds[name].required && options[name] === undefined) {
      throw new OptionError(`${where}: ${name} is missing, expected ${kinds[name].expected}`);
    }
  }
  if (idle.length) checkIdle(where, options as O, idle);
  if (!hasGaps) return options as O;
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as O;
}

/** @throws {OptionError} when a class made it: a tensor or a module where options were to be. */
function demandPlain(where: string, options: object): void {
  const name: unknown = options.constructor?.name;
  if (typeof name !== "string" || name === "" || name === "Object") return;
  throw new OptionError(
    `${where}: the options are ${show(options)}, expected an object with options by name`,
  );
}
