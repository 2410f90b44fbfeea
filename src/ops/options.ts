/**
 * Options that more than one file takes, as data.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import * as kinds from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";
import type { ConvOptions } from "./conv.ts";

/** Where a tensor, or a module's parameters, go and as what. */
export const placeOptions: OptionTable<{ dtype?: DType; device?: DeviceName }> = {
  dtype: kinds.dtype,
  device: kinds.device,
};

/** Options of `gelu`. */
export const geluOptions: OptionTable<{ approximate?: "none" | "tanh" }> = {
  approximate: kinds.oneOf("none", "tanh"),
};

/** One number for all axes, or one each. */
export const perAxisFrom = (least: number): kinds.Kind =>
  kinds.either(kinds.whole(least), kinds.listOf(kinds.whole(least), "one for each axis"));

/** {@link ConvOptions} as data. */
export const convOptions: OptionTable<ConvOptions> = {
  stride: perAxisFrom(1),
  padding: perAxisFrom(0),
  dilation: perAxisFrom(1),
  groups: kinds.whole(1),
};
