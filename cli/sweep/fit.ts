/**
 * Which points of a space can be tried: what `train` would make of them, and whether the model and its training have room.
 *
 * @module
 */
import { FerrotypeError } from "../../mod.ts";
import { idleOf } from "../../src/core/options.ts";
import { totalMemory } from "../../src/platform/platform.ts";
import { countParameters } from "../../src/runtime/model_sizes.ts";
import type { Point, Space, Value } from "../../src/search/mod.ts";
import { type Given, UsageError, Values } from "../command.ts";
import { train } from "../commands/train.ts";
import { counted, formatBytes } from "../output.ts";
import { optimizersWith } from "../train_optimizers.ts";
import { newSettings, type RunSettings, sizesOf } from "../train_settings.ts";

/** Options by name, as `train` would be given them. */
export type Flags = Readonly<Record<string, Value>>;

/** What every trial has, whatever its point. */
export interface Ground {
  /** The text or the file of examples, and which of both it is. */
  readonly path: string;
  readonly isData: boolean;
  /** What all trials are given. */
  readonly fixed: Flags;
  /** Tokens of the text's characters; null where a tokenizer is trained or the model has its own. */
  readonly characters: number | null;
  /** Most parameters. */
  readonly maxParameters: number;
  /** Bytes that a trial may take. */
  readonly maxMemory: number;
}

/** What a trial is made with. */
export interface Plan {
  /** Settings of its point that count. */
  readonly parameters: Point;
  /** All options of `train`. */
  readonly flags: Flags;
  readonly settings: RunSettings;
  /** Numbers in its parameters; null where they are those of a model that is there. */
  readonly size: number | null;
}

/** Flags that are off are not there. */
const spoken = (flags: Flags): Record<string, Value> =>
  Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== false));

const givenOf = ({ path, isData }: Ground, flags: Flags): Given => ({
  positionals: isData ? [] : [path],
  out: "",
  ...(isData ? { data: path } : {}),
  ...spoken(flags),
});

/** The options that have no effect beside the others, of all that a trial would be given; and why. */
function withoutIdle(ground: Ground, point: Point): { flags: Flags; idle: Map<string, string> } {
  const flags: Record<string, Value> = { ...ground.fixed, ...point }, idle = new Map<string, string>();
  for (let found = true; found;) {
    found = false;
    for (const [name, why] of idleOf(givenOf(ground, flags), train.idle ?? [])) {
      if (!(name in flags)) continue;
      idle.set(name, why);
      delete flags[name];
      found = true;
      // One may have been without effect because of the other alone.
      break;
    }
  }
  return { flags, idle };
}

/** @throws {UsageError} for an option of all trials, or one that is searched, that has an effect in none of `points`. */
export function demandEffect(ground: Ground, space: Space, points: readonly Point[]): void {
  if (points.length === 0) return;
  const idle = points.map((point) => withoutIdle(ground, point).idle);
  for (const name of [...Object.keys(ground.fixed), ...Object.keys(space)]) {
    // A flag that is off is not there, so it is the points where it is on that tell.
    const reasons = points.flatMap((point, i) => point[name] === false ? [] : [idle[i].get(name)]);
    if (reasons.length === 0 || reasons.some((why) => why === undefined)) continue;
    const what = name in space ? `--search ${name}` : `--${name}`;
    throw new UsageError(`sweep: ${what} has no effect because ${reasons[0]}; leave it out`);
  }
}

/** What a trial of `point` would be, or why there can be none. */
export function planOf(ground: Ground, point: Point): Plan | { readonly refused: string } {
  const { flags } = withoutIdle(ground, point);
  const parameters = Object.fromEntries(Object.entries(point).filter(([name]) => name in flags));
  try {
    const settings = newSettings(new Values(givenOf(ground, flags)), ground.path, Infinity, 1);
    const size = sizeOf(settings, ground.characters), { maxParameters } = ground;
    if (size !== null && size > maxParameters) {
      return { refused: `it has ${counted(size, "parameter")}, and --max-parameters is ${maxParameters}` };
    }
    const least = size === null ? 0 : leastMemory(settings, size, ground.characters);
    if (least > ground.maxMemory) {
      return {
        refused: `training takes ${formatBytes(least)} at least, and a trial may take ${
          formatBytes(ground.maxMemory)
        }`,
      };
    }
    return { parameters, flags: spoken(flags), settings, size };
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FerrotypeError)) throw error;
    return { refused: error.message.replace(/^(?:train|sweep): /, "") };
  }
}

function sizeOf(settings: RunSettings, characters: number | null): number | null {
  if (settings.init !== null) return null;
  return countParameters(settings.family, sizesOf(settings, vocabularyOf(settings, characters)), "sweep");
}

const vocabularyOf = (settings: RunSettings, characters: number | null): number =>
  settings["vocab-size"] || (characters ?? 1);

/** Widths of what a layer keeps of a token until backward: norms, queries, keys, values, what attention gives, the MLP's inside. */
const keptWidths = 8;

/** Bytes that training cannot do without: weights, gradients and the optimizer's states, and what backward reads of a batch. */
export function leastMemory(settings: RunSettings, parameters: number, characters: number | null): number {
  const states = optimizersWith("beta2").includes(settings.optimizer) ? 2 : settings.momentum > 0 ? 1 : 0;
  const tokens = settings["batch-size"] * settings["block-size"];
  // Where blocks are computed again for backward, a layer keeps what goes into it alone.
  const isThrifty = (settings as unknown as Record<string, unknown>)["gradient-checkpointing"] === true;
  const kept = settings["n-layer"] * settings["n-embd"] * (isThrifty ? 1 : keptWidths) +
    vocabularyOf(settings, characters);
  return 4 * (parameters * (2 + states + (settings.ema === null ? 0 : 1)) + tokens * kept);
}

/** Bytes that a trial may take: what is allowed, and its part of nine tenths of the machine's where `jobs` run at a time. */
export function memoryOf(jobs: number, allowed: number | undefined): number {
  return Math.min(allowed ?? Infinity, 0.9 * (totalMemory() ?? Infinity) / jobs);
}
