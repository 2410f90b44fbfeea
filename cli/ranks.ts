/**
 * A command on several ranks: all are called alike.
 *
 * @module
 */
import type { Distributed } from "../mod.ts";
import type { Command, Values } from "./command.ts";

/** What a host may have of its own: how much it takes, what it says. */
const own = /^(threads|max-memory|quiet|verbose|json)$/;

/**
 * Checks that every rank was started with the same command and options. Of files and folders it counts that one is named: each
 * host may have them elsewhere.
 * @throws {FerrotypeError} on all ranks when one was not, naming it, its host, and the option.
 */
export function demandCalledAlike(ranks: Distributed, { name, options }: Command, values: Values): void {
  const facts: Record<string, string> = { command: name };
  for (const option of values.given) {
    if (own.test(option)) continue;
    const isPlace = /DIR|FILE|MODEL|GGUF/.test(options[option]?.value ?? "");
    facts[`--${option}`] = isPlace ? "given" : JSON.stringify(values.value(option));
  }
  ranks.demandAlike(facts);
}
