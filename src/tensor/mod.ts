/**
 * Floor 3: handles, lifetimes, dispatch and the tape.
 *
 * @module
 */
export * from "./anomaly.ts";
export * from "./autocast.ts";
export * from "./backward.ts";
export * from "./base.ts";
export * from "./capture/gate.ts";
export * from "./capture/mod.ts";
export * from "./device.ts";
export * from "./divisor.ts";
export * from "./expression.ts";
export * from "./fill.ts";
export * from "./functional.ts";
export * from "./fused.ts";
export * from "./gradcheck.ts";
export * from "./kinds.ts";
export * from "./lifetime.ts";
export * from "./scopes.ts";
export * from "./memory.ts";
export * from "./names.ts";
export * from "./notices.ts";
export * from "./quantize.ts";
export * from "./storage.ts";
export * from "./tape.ts";
export * from "./transfer.ts";
