/**
 * What a server of `ferrotype serve` tells of itself, in Prometheus' text format (0.0.4), as a page shows it.
 *
 * @module
 */

/** Values by name; those of one name with different labels are added up. */
export type Metrics = ReadonlyMap<string, number>;

/** Reads the text; lines that say nothing known are left out. */
export function readMetrics(text: string): Metrics {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = /^([A-Za-z_:][\w:]*)(\{[^}]*\})?\s+(\S+)/.exec(line) ?? [];
    if (name === undefined || /\ble="/.test(labels) || !Number.isFinite(Number(value))) continue;
    found.set(name, (found.get(name) ?? 0) + Number(value));
  }
  return found;
}

/** What happened between two looks, and what is now. */
export interface Pulse {
  readonly tokensPerSecond: number;
  /** Mean seconds to the first token of texts that began meanwhile; null where none did. */
  readonly wait: number | null;
  readonly active: number;
  readonly waiting: number;
  /** Tokens at work as a share of those for which there is room. */
  readonly cache: number;
  /** Bytes of live tensors. */
  readonly memory: number;
}

/** Two looks, so many seconds apart. A counter that fell means that the server was started anew: it counts from 0. */
export function pulse(before: Metrics, now: Metrics, seconds: number): Pulse {
  const value = (name: string): number => now.get(`ferrotype_${name}`) ?? 0;
  const more = (name: string): number => {
    const last = before.get(`ferrotype_${name}`) ?? 0;
    return value(name) >= last ? value(name) - last : value(name);
  };
  const begun = more("time_to_first_token_seconds_count");
  return {
    tokensPerSecond: more("generated_tokens_total") / seconds,
    wait: begun > 0 ? more("time_to_first_token_seconds_sum") / begun : null,
    active: value("texts_active"),
    waiting: value("texts_waiting"),
    cache: value("cache_tokens") / Math.max(1, value("cache_tokens_limit")),
    memory: value("memory_bytes"),
  };
}
