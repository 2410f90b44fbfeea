/**
 * Options that more than one file of layers takes, as data.
 *
 * @module
 */
import type { OptionTable } from "../core/options.ts";
import { placeOptions } from "../ops/options.ts";
import type { LayerOptions } from "./layers.ts";

/** Options that every layer with parameters takes. */
export const layerOptions: OptionTable<LayerOptions> = placeOptions;
