/**
 * Options that more than one file of layers takes, as data.
 *
 * @module
 */
import { ShapeError } from "../core/errors.ts";
import { expectedOf, type Kind, whole } from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";
import { show } from "../core/show.ts";
import { placeOptions } from "../ops/options.ts";
import type { LayerOptions } from "./layers.ts";

const any = whole(0);

/** What a kernel is wide. */
export const positive: Kind = whole(1);

/** @throws {ShapeError} for sizes of a layer, by name, that are no sizes. */
export function demandSizes(what: string, sizes: Readonly<Record<string, unknown>>, size: Kind = any): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (size.accepts(value)) continue;
    throw new ShapeError(`${what}: ${name} is ${show(value)}, expected ${expectedOf(size, value)}`);
  }
}

/** Options that every layer with parameters takes. */
export const layerOptions: OptionTable<LayerOptions> = placeOptions;
