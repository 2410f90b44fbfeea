/**
 * What a caller may say about the hub, as data.
 *
 * @module
 */
import * as kinds from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";
import type { HubOptions } from "./settings.ts";

/** {@link HubOptions} as data. */
export const hubOptions: OptionTable<HubOptions> = {
  revision: kinds.someText,
  signal: kinds.abortSignal,
  endpoint: kinds.text,
  token: kinds.text,
  cacheDir: kinds.someText,
  offline: kinds.flag,
  timeout: kinds.number({ above: 0 }),
  retryDelay: kinds.number({ from: 0 }),
  onDownload: kinds.callback,
};
