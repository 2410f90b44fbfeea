/**
 * Native libraries: one small description per runtime of how it names types, and what it must be given.
 *
 * Deno opens libraries where it was permitted beforehand (nobody is asked), Bun with `bun:ffi`, Node with `node:ffi`
 * from version 26 on, and before that with the optional package koffi. Elsewhere the answer is the reason.
 *
 * @module
 */
import type { NativeFunction, NativeLibrary, NativeSignature, NativeType } from "../core/native_library.ts";
import { globals, isPermitted, rawBuiltinModule, runtimeName, runtimeVersion } from "./runtime.ts";

/** A function as a runtime hands it out. */
type RawFunction = (...values: unknown[]) => unknown;

/** How one runtime opens libraries. */
interface Binder {
  /** Its names for the types. */
  readonly types: Record<NativeType, string>;
  /** Whether 64-bit arguments, addresses among them, must be bigints. */
  readonly needsBigInt: boolean;
  /** Opens a library with symbols whose types have the runtime's names. Throws when it cannot. */
  open(
    path: string,
    symbols: Record<string, { parameters: string[]; result: string }>,
  ): { functions: Record<string, RawFunction>; close(): void };
  addressOf(view: ArrayBufferView): number;
  /** Text of an expression that gives the functions of a library in another thread. */
  openSource(path: string, symbols: Record<string, { parameters: string[]; result: string }>): string;
}

/**
 * Opens the first of `names` (paths, or names that the system's loader knows) that has every one of `symbols`.
 * Never throws and never prompts: what went wrong is in `reason`.
 */
export function openLibrary<const S extends Record<string, NativeSignature>>(
  names: readonly string[],
  symbols: S,
): { library: NativeLibrary<S>; reason: null } | { library: null; reason: string } {
  const binder = findBinder();
  if (typeof binder === "string") return { library: null, reason: binder };
  const failures: string[] = [];
  for (const name of names) {
    try {
      return { library: bind(binder, name, symbols), reason: null };
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
    }
  }
  return { library: null, reason: failures.join("; ") || "no library was named" };
}

function bind<S extends Record<string, NativeSignature>>(
  binder: Binder,
  path: string,
  symbols: S,
): NativeLibrary<S> {
  const named = Object.entries(symbols).map(([name, { parameters, result }]) => [name, {
    parameters: parameters.map((type) => binder.types[type]),
    result: binder.types[result],
  }]);
  const opened = binder.open(path, Object.fromEntries(named));
  const functions = Object.fromEntries(
    Object.entries(symbols).map((
      [name, signature],
    ) => [name, adapt(binder, opened.functions[name]!, signature)]),
  );
  return {
    path,
    functions: functions as { [K in keyof S]: NativeFunction<S[K]> },
    addressOf: (view) => binder.addressOf(view),
    functionSource(name) {
      const { parameters } = symbols[name]!;
      const names = parameters.map((_, i) => `x${i}`);
      const given = names.map((x, i) => binder.needsBigInt && isWide(parameters[i]!) ? `BigInt(${x})` : x);
      const open = binder.openSource(path, { [name]: Object.fromEntries(named)[name]! });
      return `() => { const call = ${open}.${name}; return (${names.join(", ")}) => call(${
        given.join(", ")
      }); }`;
    },
    close: () => opened.close(),
  };
}

function isWide(type: NativeType): boolean {
  return type === "i64" || type === "address";
}

/** Converts what a runtime takes or gives otherwise than promised; most functions stay as they are. */
function adapt(binder: Binder, call: RawFunction, { parameters, result }: NativeSignature): RawFunction {
  const wide = parameters.map(isWide);
  const converted = binder.needsBigInt && wide.includes(true)
    ? (...values: unknown[]) =>
      call(...values.map((value, i) => wide[i] ? BigInt(value as number | bigint) : value))
    : call;
  if (result === "address") return (...values) => Number(converted(...values) ?? 0);
  if (result === "i64") return (...values) => BigInt(converted(...values) as number | bigint);
  return converted;
}

/** Why native libraries cannot be opened here; null when they can. */
export function nativeLibraryReason(): string | null {
  const binder = findBinder();
  return typeof binder === "string" ? binder : null;
}

/** How this runtime does it, or why it does not. */
function findBinder(): Binder | string {
  switch (runtimeName()) {
    case "deno":
      return isPermitted({ name: "ffi" }) ? denoBinder() : "Deno was not given --allow-ffi";
    case "bun":
      return bunBinder();
    case "node":
      return nodeBinder() ?? koffiBinder() ??
        `Node ${runtimeVersion()} has no node:ffi; version 26 has, and the package koffi is as good (npm install koffi)`;
    case "browser":
      return "a browser opens no native libraries";
  }
}

const plainTypes = { void: "void", i32: "i32", u32: "u32", i64: "i64", f32: "f32", f64: "f64" };

function denoBinder(): Binder {
  const deno = globals.Deno!;
  return {
    types: { ...plainTypes, pointer: "buffer", address: "usize" },
    needsBigInt: false,
    open(path, symbols) {
      const library = deno.dlopen(path, symbols);
      return { functions: library.symbols, close: () => library.close() };
    },
    addressOf: (view) => Number(deno.UnsafePointer.value(deno.UnsafePointer.of(view))),
    openSource: (path, symbols) => `Deno.dlopen(${JSON.stringify(path)}, ${JSON.stringify(symbols)}).symbols`,
  };
}

/** The part of `bun:ffi` that is used. */
interface BunFfi {
  dlopen(path: string, symbols: Record<string, { args: string[]; returns: string }>): {
    symbols: Record<string, RawFunction>;
    close(): void;
  };
  ptr(view: ArrayBufferView): number;
}

function bunBinder(): Binder {
  const ffi = rawBuiltinModule("bun:ffi") as BunFfi;
  const renamed = (symbols: Record<string, { parameters: string[]; result: string }>) =>
    Object.fromEntries(
      Object.entries(symbols).map((
        [name, { parameters, result }],
      ) => [name, { args: parameters, returns: result }]),
    );
  return {
    types: { ...plainTypes, pointer: "ptr", address: "u64" },
    needsBigInt: false,
    open(path, symbols) {
      const library = ffi.dlopen(path, renamed(symbols));
      return { functions: library.symbols, close: () => library.close() };
    },
    addressOf: (view) => ffi.ptr(view),
    openSource: (path, symbols) =>
      `process.getBuiltinModule("bun:ffi").dlopen(${JSON.stringify(path)}, ${
        JSON.stringify(renamed(symbols))
      }).symbols`,
  };
}

/** The part of `node:ffi` that is used. */
interface NodeFfi {
  dlopen(path: string, symbols: Record<string, { arguments: string[]; return: string }>): {
    functions: Record<string, RawFunction>;
    lib: { close(): void };
  };
  getRawPointer(view: ArrayBufferView): bigint;
}

function nodeBinder(): Binder | null {
  const ffi = withoutWarnings(() => rawBuiltinModule("node:ffi") as NodeFfi | undefined);
  if (typeof ffi?.dlopen !== "function") return null;
  const renamed = (symbols: Record<string, { parameters: string[]; result: string }>) =>
    Object.fromEntries(
      Object.entries(symbols).map(([name, { parameters, result }]) => [
        name,
        { arguments: parameters, return: result },
      ]),
    );
  return {
    types: {
      void: "void",
      i32: "int32",
      u32: "uint32",
      i64: "int64",
      f32: "float32",
      f64: "float64",
      pointer: "pointer",
      address: "uint64",
    },
    needsBigInt: true,
    open(path, symbols) {
      const library = ffi.dlopen(path, renamed(symbols));
      return { functions: library.functions, close: () => library.lib.close() };
    },
    addressOf: (view) => Number(ffi.getRawPointer(view)),
    // A thread has its own `process`, and hears the same warning.
    openSource: (path, symbols) =>
      `(process.emitWarning = () => {}, process.getBuiltinModule("node:ffi").dlopen(${
        JSON.stringify(path)
      }, ${JSON.stringify(renamed(symbols))}).functions)`,
  };
}

/** The part of the package koffi that is used. */
interface Koffi {
  load(
    path: string,
  ): { func(name: string, result: string, parameters: string[]): RawFunction; unload?(): void };
  address(view: ArrayBufferView): bigint;
}

/** For Node before 26, where somebody installed it. */
function koffiBinder(): Binder | null {
  const { createRequire } = rawBuiltinModule("node:module") as {
    createRequire(from: string): (name: string) => unknown;
  };
  // By a name that is a value: nobody who bundles or installs this is to have it unasked.
  const name = "koffi", from = import.meta.url;
  let koffi: Koffi;
  try {
    koffi = createRequire(from)(name) as Koffi;
  } catch {
    return null;
  }
  return {
    types: {
      ...{ void: "void", i32: "int32", u32: "uint32", i64: "int64", f32: "float", f64: "double" },
      ...{ pointer: "void *", address: "uint64" },
    },
    needsBigInt: false,
    open(path, symbols) {
      const library = koffi.load(path);
      const functions = Object.entries(symbols).map(([name, { parameters, result }]) =>
        [name, library.func(name, result, parameters)] as const
      );
      return { functions: Object.fromEntries(functions), close: () => library.unload?.() };
    },
    addressOf: (view) => Number(koffi.address(view)),
    openSource: (path, symbols) => {
      const load = `process.getBuiltinModule("node:module").createRequire(${
        JSON.stringify(from)
      })("${name}")`;
      const functions = Object.entries(symbols).map(([name, { parameters, result }]) =>
        `${JSON.stringify(name)}: library.func(${JSON.stringify(name)}, "${result}", ${
          JSON.stringify(parameters)
        })`
      );
      return `((library) => ({ ${functions.join(", ")} }))(${load}.load(${JSON.stringify(path)}))`;
    },
  };
}

/** Node announces on standard error that the module is experimental, which is no news to the user of a BLAS. */
function withoutWarnings<T>(work: () => T): T {
  const process = globals.process!;
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}
