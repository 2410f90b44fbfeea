/**
 * What a native library looks like to the code that calls it: names, types of arguments, functions.
 *
 * Types only. `src/platform` opens libraries; a backend that wants one is handed a {@link NativeLibrary} and does
 * not learn which runtime opened it.
 *
 * @module
 */

/**
 * The types that may cross the border. A `pointer` takes a view and passes the address of its first byte; an
 * `address` takes a number, which spares hot paths the view ({@link NativeLibrary.addressOf} gives the first one).
 */
export type NativeType = "void" | "i32" | "u32" | "i64" | "f32" | "f64" | "pointer" | "address";

/** The signature of one function of a library. */
export interface NativeSignature {
  /** Types of the arguments, in order. */
  readonly parameters: readonly Exclude<NativeType, "void">[];
  /** Type of the result. */
  readonly result: Exclude<NativeType, "pointer">;
}

/** What an argument of each type is given as. */
export interface NativeArgument {
  /** A whole number from -2^31 on. */
  i32: number;
  /** A whole number from 0 on. */
  u32: number;
  /** A whole number of 64 bits; a number where it is exact. */
  i64: number | bigint;
  /** Rounded to single precision. */
  f32: number;
  /** As it is. */
  f64: number;
  /** A view, at its own offset in its buffer (shared memory and WebAssembly memory included), or `null`. */
  pointer: ArrayBufferView | null;
  /** An address in this process. */
  address: number;
}

/** What a result of each type arrives as. */
export interface NativeResult {
  /** Nothing. */
  void: undefined;
  /** A whole number from -2^31 on. */
  i32: number;
  /** A whole number from 0 on. */
  u32: number;
  /** A whole number of 64 bits. */
  i64: bigint;
  /** A single-precision number. */
  f32: number;
  /** A double-precision number. */
  f64: number;
  /** 0 for a null pointer. */
  address: number;
}

/** The arguments of a list of parameter types, in order. */
export type NativeArguments<P extends readonly Exclude<NativeType, "void">[]> = {
  -readonly [K in keyof P]: NativeArgument[P[K]];
};

/** The JavaScript function that a signature becomes. */
export type NativeFunction<S extends NativeSignature> = (
  ...values: NativeArguments<S["parameters"]>
) => NativeResult[S["result"]];

/** A library that is open, with the functions that were asked for. */
export interface NativeLibrary<S extends Record<string, NativeSignature> = Record<string, NativeSignature>> {
  /** The name or path under which it was found. */
  readonly path: string;
  /** The functions, by the names of their symbols. */
  readonly functions: { readonly [K in keyof S]: NativeFunction<S[K]> };
  /**
   * The address of the first byte of a view. That of WebAssembly memory stays when it grows if the memory is shared;
   * else it is good until the memory grows.
   */
  addressOf(view: ArrayBufferView): number;
  /**
   * Text of a JavaScript function without parameters that opens the library in another thread of this process and
   * returns the function of this name, with arguments as here.
   */
  functionSource(name: keyof S & string): string;
  /** Unloads the library. Calling a function afterwards is an error of the caller. */
  close(): void;
}

/** How a library is opened: the first of `names` that loads and has every symbol, or why there is none. */
export type OpenNativeLibrary = <const S extends Record<string, NativeSignature>>(
  names: readonly string[],
  symbols: S,
) => { library: NativeLibrary<S>; reason: null } | { library: null; reason: string };
