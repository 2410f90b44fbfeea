/**
 * The space of a sweep, as options and files write it: `lr=log:1e-4..1e-2`, `n-layer=2,4,6`, `{"lr": {"log": [1e-4, 1e-2]}}`.
 *
 * @module
 */
import { FormatError } from "../../mod.ts";
import type { Kind } from "../../src/core/kinds.ts";
import { hint } from "../../src/core/nearest.ts";
import { show } from "../../src/core/show.ts";
import type { Dimension, Space, Value } from "../../src/search/mod.ts";
import { type Option, type Options, UsageError } from "../command.ts";

/** Settings that make held-out losses of another kind, so that they cannot be compared; and why. */
const unlike: Readonly<Record<string, string>> = {
  "vocab-size": "a loss is told for each token, and tokens would be others",
  "val-fraction": "trials would be judged by other texts",
  objective: "trials would be judged by other losses",
  init: "models may have other tokenizers, and a loss is told for each token",
  zero: "it shares work among ranks, and a trial has one",
  wire: "it shares work among ranks, and a trial has one",
};

const forms = "as values (2,4,6), a range (0..0.3, or 64..512/64 in steps) or log:1e-4..1e-2";

/** What `raw`, the text or the JSON of a dimension, means for the option `name`. */
function dimensionOf(where: string, name: string, raw: unknown, option: Option): Dimension {
  const wrong = (what: string): FormatError => new FormatError(`${where}: ${name} ${what}`);
  const value = (one: unknown): Value => valueOf(one, option, wrong);
  const bounds = (pair: unknown, log: boolean, step: unknown): Dimension => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw wrong(`has the bounds ${show(pair)}, expected two numbers`);
    }
    const [from, to] = pair.map(value);
    if (typeof from !== "number" || typeof to !== "number") {
      throw wrong(`is no number, expected values with commas between`);
    }
    if (!(from <= to)) throw wrong(`goes from ${from} to ${to}, expected the lower first`);
    if (log && !(from > 0)) {
      throw wrong(`begins at ${from}, expected a number above 0, which has a logarithm`);
    }
    if (step !== undefined && !(typeof step === "number" && step > 0 && Number.isFinite(step))) {
      throw wrong(`has steps of ${show(step)}, expected a number above 0`);
    }
    // Between whole numbers lies one that is none.
    const isWhole = from < to && option.kind?.accepts(from + (to - from) * 0.618033) === false;
    if (isWhole && step !== undefined && !Number.isInteger(step)) {
      throw wrong(`has steps of ${step}, expected a whole number`);
    }
    return { kind: "range", from, to, step: step as number | undefined ?? (isWhole ? 1 : null), log };
  };
  if (typeof raw === "string") {
    const found = /^(log:)?([^,]+?)\.\.([^,/]+)(?:\/(.+))?$/.exec(raw.trim());
    if (found && option.value !== undefined) {
      const [, log, from, to, step] = found;
      return bounds(
        [from, to].map((x) => x.trim()),
        log !== undefined,
        step === undefined ? step : Number(step),
      );
    }
    return listOf(raw.split(",").map((one) => value(one.trim())), wrong);
  }
  if (Array.isArray(raw)) return listOf(raw.map(value), wrong);
  if (typeof raw !== "object" || raw === null) return listOf([value(raw)], wrong);
  const { log, range, step, values, ...rest } = raw as Record<string, unknown>;
  const given = { log, range, values }, ways = Object.entries(given).filter(([, x]) => x !== undefined);
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined || ways.length !== 1 || (step !== undefined && values !== undefined)) {
    throw wrong(
      `is ${
        show(raw)
      }, expected one of {"values": […]}, {"range": [low, high]} and {"log": [low, high]}, the last two with "step" where wanted`,
    );
  }
  if (values === undefined) return bounds(log ?? range, log !== undefined, step);
  if (!Array.isArray(values)) throw wrong(`has the values ${show(values)}, expected a list`);
  return listOf(values.map(value), wrong);
}

/** A value as the option takes it. */
function valueOf(one: unknown, option: Option, wrong: (what: string) => FormatError): Value {
  if (option.value === undefined) {
    const on = one === true || one === "true", off = one === false || one === "false";
    if (!on && !off) throw wrong(`is ${show(one)}, expected true or false: it is a flag`);
    return on;
  }
  const kind: Kind = option.kind ?? { expected: "a text", accepts: (x) => typeof x === "string" && x !== "" };
  const value = typeof one === "string" && kind.read ? kind.read(one) : one;
  if (!kind.accepts(value)) throw wrong(`is ${show(one)}, expected ${kind.expected}; write it ${forms}`);
  return value as Value;
}

function listOf(values: readonly Value[], wrong: (what: string) => FormatError): Dimension {
  if (values.length === 0) throw wrong("has no values");
  const twice = values.find((value, i) => values.indexOf(value) < i);
  if (twice !== undefined) throw wrong(`has the value ${show(twice)} twice`);
  const isOrdered = values.every((value) => typeof value === "number");
  return isOrdered
    ? { kind: "list", values: [...values as number[]].sort((a, b) => a - b) }
    : { kind: "choice", values };
}

/** @throws {UsageError} for what is no setting of training, or none that trials may differ in. */
function demandSetting(where: string, name: string, settings: Options): void {
  if (!Object.hasOwn(settings, name)) {
    throw new UsageError(
      `${where}: train has no option "${name}"${hint(name, Object.keys(settings))}`,
    );
  }
  const why = unlike[name];
  if (why !== undefined) throw new UsageError(`${where}: ${name} cannot be searched, as ${why}`);
}

/**
 * The space of a JSON text and of `--search` options.
 * @throws {UsageError} for an unknown setting, one given twice, or none at all. @throws {FormatError} for values that it does not take.
 */
export function readSpace(
  file: { readonly path: string; readonly text: string } | null,
  searches: readonly string[],
  settings: Options,
): Space {
  const space: Record<string, Dimension> = {};
  const add = (where: string, name: string, raw: unknown): void => {
    demandSetting(where, name, settings);
    if (Object.hasOwn(space, name)) throw new UsageError(`${where}: ${name} is given twice; give it once`);
    space[name] = dimensionOf(where, name, raw, settings[name]);
  };
  if (file) {
    let json: unknown;
    try {
      json = JSON.parse(file.text);
    } catch (cause) {
      throw new FormatError(
        `${file.path} is not JSON, expected {"lr": {"log": [1e-4, 1e-2]}, "n-layer": [2, 4]}`,
        {
          cause,
        },
      );
    }
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new FormatError(`${file.path} is ${show(json)}, expected an object with settings by name`);
    }
    for (const [name, raw] of Object.entries(json)) add(file.path, name, raw);
  }
  for (const text of searches) {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`--search is ${show(text)}, expected NAME=VALUES, ${forms}`);
    add("--search", text.slice(0, at).trim(), text.slice(at + 1));
  }
  if (Object.keys(space).length === 0) {
    throw new UsageError(
      `sweep: there is nothing to search; give --search NAME=VALUES, ${forms}, or --space FILE`,
    );
  }
  return space;
}
