/**
 * The MPI library of this machine: found, told apart by its ABI, and opened.
 *
 * Open MPI's handles are addresses of symbols, MPICH's are numbers that its ABI initiative fixed (Intel MPI and MVAPICH have
 * the same). The library is opened by the C library's own loader first, with its names visible to all, because Open MPI's parts
 * look for them; and UCX is told beforehand to leave signals alone, since a WebAssembly trap is one.
 *
 * @module
 */
import type { NativeLibrary, NativeSignature } from "../core/native_library.ts";
import { nativeLibraryReason, openLibrary } from "./ffi.ts";
import type { MpiFamily } from "./mpi_launcher.ts";
import { rawBuiltinModule } from "./runtime.ts";
import { environment, system } from "./system.ts";

/** What a program has to know of a library to call it. */
export interface MpiAbi {
  /** The communicator of all ranks. */
  readonly world: number;
  /** Handles of element types, by name. */
  readonly types: Readonly<Record<MpiType, number>>;
  /** Handles of operations, by name. */
  readonly operations: Readonly<Record<MpiOperation, number>>;
  /** The handler that has calls return what went wrong. */
  readonly errorsReturn: number;
  /** Instead of an address to send from: what is there already. */
  readonly inPlace: number;
  /** Any sender. */
  readonly anySource: number;
  /**
   * Bytes from which an all-reduce is faster as two exchanges of blocks. Open MPI's takes all of it at once (4.1.4: 500 MB of two
   * ranks in 575 ms, where its own that blocks takes 260 and two exchanges 230; `bench/distributed.ts`), MPICH's does as we would.
   */
  readonly blocksFrom: number;
}

/** Element types that are reduced. */
export type MpiType = "f32" | "f64" | "i32" | "i64" | "u8" | "u16";

/** Operations that reduce. */
export type MpiOperation = "sum" | "product" | "max" | "min";

/** An MPI library that is open, and not initialised. */
export interface MpiLibrary {
  readonly family: MpiFamily;
  /** As the library calls itself. */
  readonly version: string;
  readonly path: string;
  readonly abi: MpiAbi;
  /** Text of an object with all functions of {@link mpiSymbols}, for another thread. */
  readonly functionsSource: string;
  addressOf(view: ArrayBufferView): number;
  /** Ends this process with status 1 at once, whatever its threads are in, after a sentence if it is not empty. */
  endNow(sentence: string): never;
}

/** The library, or why there is none. */
export type MpiReport = { readonly library: MpiLibrary; readonly reason: null } | {
  readonly library: null;
  readonly reason: string;
};

/** Names under which libraries are looked for. */
const names: Readonly<Record<MpiFamily, Readonly<Record<string, readonly string[]>>>> = {
  "Open MPI": {
    linux: ["libmpi.so.40", "libmpi.so.80", "libmpi.so"],
    darwin: ["/opt/homebrew/lib/libmpi.40.dylib", "/usr/local/lib/libmpi.40.dylib", "libmpi.40.dylib"],
  },
  MPICH: {
    linux: ["libmpich.so.12", "libmpi.so.12", "libmpich.so"],
    darwin: ["/opt/homebrew/lib/libmpi.12.dylib", "/usr/local/lib/libmpi.12.dylib", "libmpi.12.dylib"],
  },
};

const debian: Readonly<Record<MpiFamily, string>> = { "Open MPI": "openmpi-bin", MPICH: "mpich" };

/** The C library's loader; on Linux it is part of libc since glibc 2.34. */
const loaders: Readonly<Record<string, readonly string[]>> = {
  linux: ["libc.so.6", "libdl.so.2"],
  darwin: ["libSystem.B.dylib"],
};

const loader = {
  dlopen: { parameters: ["pointer", "i32"], result: "address" },
  dlsym: { parameters: ["address", "pointer"], result: "address" },
  setenv: { parameters: ["pointer", "pointer", "i32"], result: "i32" },
  _exit: { parameters: ["i32"], result: "void" },
} as const satisfies Record<string, NativeSignature>;

/** What is called. Handles are `i64` where the family makes them addresses, `i32` where they are numbers; "h" stands for either. */
const functions: Readonly<Record<string, string>> = {
  // a: an address in memory, or what stands for one; i: an int; h: a handle.
  MPI_Init_thread: "aaia",
  MPI_Comm_rank: "ha",
  MPI_Comm_size: "ha",
  MPI_Comm_set_errhandler: "hh",
  MPI_Iallreduce: "aaihhha",
  MPI_Ireduce: "aaihhiha",
  MPI_Ibcast: "aihiha",
  MPI_Iallgather: "aihaihha",
  MPI_Ialltoall: "aihaihha",
  MPI_Ireduce_scatter_block: "aaihhha",
  MPI_Reduce_local: "aaihh",
  MPI_Ibarrier: "ha",
  MPI_Isend: "aihiiha",
  MPI_Irecv: "aihiiha",
  MPI_Send: "aihiih",
  MPI_Recv: "aihiiha",
  MPI_Iprobe: "iihaa",
  MPI_Test: "aaa",
  MPI_Finalize: "",
  MPI_Abort: "hi",
  MPI_Error_string: "iaa",
};

/** Says something on standard error, before this process may end. */
export function sayNow(sentence: string): void {
  try {
    (rawBuiltinModule("node:fs") as { writeSync(fd: number, text: string): void })
      .writeSync(2, `ferrotype: ${sentence}\n`);
  } catch {
    // Nobody listens.
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

const RTLD_NOW = 2, RTLD_GLOBAL = system().platform === "darwin" ? 8 : 0x100;

const mpich: MpiAbi = {
  world: 0x44000000,
  types: {
    f32: 0x4c00040a,
    f64: 0x4c00080b,
    i32: 0x4c000439,
    i64: 0x4c00083a,
    u8: 0x4c00013b,
    u16: 0x4c00023c,
  },
  operations: { sum: 0x58000003, product: 0x58000004, max: 0x58000001, min: 0x58000002 },
  errorsReturn: 0x54000001,
  inPlace: -1,
  anySource: -2,
  blocksFrom: Infinity,
};

function openMpiAbi(symbol: (name: string) => number): MpiAbi {
  return {
    world: symbol("ompi_mpi_comm_world"),
    types: {
      f32: symbol("ompi_mpi_float"),
      f64: symbol("ompi_mpi_double"),
      i32: symbol("ompi_mpi_int32_t"),
      i64: symbol("ompi_mpi_int64_t"),
      u8: symbol("ompi_mpi_uint8_t"),
      u16: symbol("ompi_mpi_uint16_t"),
    },
    operations: {
      sum: symbol("ompi_mpi_op_sum"),
      product: symbol("ompi_mpi_op_prod"),
      max: symbol("ompi_mpi_op_max"),
      min: symbol("ompi_mpi_op_min"),
    },
    errorsReturn: symbol("ompi_mpi_errors_return"),
    inPlace: 1,
    anySource: -1,
    blocksFrom: 1 << 20,
  };
}

/** The signatures of {@link functions} for a family. */
function symbolsOf(family: MpiFamily): Record<string, NativeSignature> {
  // An address is an i64 here: MPICH's MPI_IN_PLACE is -1, which no unsigned number is.
  const handle = family === "MPICH" ? "i32" : "i64";
  const types = { a: "i64", i: "i32", h: handle } as const;
  const one = (letters: string): NativeSignature => ({
    parameters: [...letters].map((letter) => types[letter as keyof typeof types]),
    result: "i32",
  });
  return Object.fromEntries(Object.entries(functions).map(([name, letters]) => [name, one(letters)]));
}

function versionOf(library: NativeLibrary, family: MpiFamily): string {
  const { MPI_Get_library_version: ask } = library.functions as unknown as Record<
    string,
    (text: Uint8Array, length: Int32Array) => number
  >;
  // MPI_MAX_LIBRARY_VERSION_STRING of MPICH, the longest, is 8192.
  const text = new Uint8Array(16384), length = new Int32Array(1);
  ask(text, length);
  const said = new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
  const [, number = ""] = /(?:Open MPI v|MPICH Version:\s*|MPICH ABI\D*|Library )(\d[\w.]*)/.exec(said) ?? [];
  return number ? `${family} ${number}` : said.split("\n")[0] || family;
}

/** Opens the library `name`; a text when that fails. */
function open(name: string): MpiLibrary | string {
  const { library: libc, reason } = openLibrary(loaders[system().platform] ?? [], loader);
  if (!libc) return `the system's loader could not be opened (${reason})`;
  const { dlopen, dlsym, setenv, _exit } = libc.functions;
  // UCX, which MPICH of Debian sits on, would take SIGSEGV, by which engines notice that WebAssembly leaves its memory.
  setenv(bytes("UCX_ERROR_SIGNALS"), bytes(""), 1);
  const handle = dlopen(bytes(name), RTLD_NOW | RTLD_GLOBAL);
  if (handle === 0) return `${name} is not there, or needs what is not there`;
  const symbol = (of: string): number => dlsym(handle, bytes(of));
  const family: MpiFamily = symbol("ompi_mpi_comm_world") !== 0 ? "Open MPI" : "MPICH";
  if (symbol("MPI_Init_thread") === 0) return `${name} is no MPI library`;
  const symbols = symbolsOf(family);
  const version: NativeSignature = { parameters: ["pointer", "pointer"], result: "i32" };
  const opened = openLibrary([name], { ...symbols, MPI_Get_library_version: version });
  if (!opened.library) return opened.reason;
  const { library } = opened;
  const sources = Object.keys(symbols).map((key) => `${key}: (${library.functionSource(key as never)})()`);
  return {
    family,
    version: versionOf(library as unknown as NativeLibrary, family),
    path: name,
    abi: family === "MPICH" ? mpich : openMpiAbi(symbol),
    functionsSource: `{ ${sources.join(", ")} }`,
    addressOf: (view) => library.addressOf(view),
    endNow(sentence) {
      if (sentence !== "") sayNow(sentence);
      _exit(1);
      throw new Error("unreachable");
    },
  };
}

/**
 * Opens the first library of these families that is found, or the one that `FERROTYPE_MPI` in the environment names (a path,
 * or a name that the system's loader knows). It is not initialised.
 */
export function findMpi(families: readonly MpiFamily[] = ["Open MPI", "MPICH"]): MpiReport {
  const reason = nativeLibraryReason(), named = environment("FERROTYPE_MPI"), { platform } = system();
  if (reason !== null) return { library: null, reason };
  if (named) {
    const opened = open(named);
    return typeof opened === "string"
      ? { library: null, reason: `FERROTYPE_MPI: ${opened}` }
      : { library: opened, reason: null };
  }
  const tried: string[] = [];
  for (const family of families) {
    for (const name of names[family][platform] ?? []) {
      const opened = open(name);
      if (typeof opened !== "string") return { library: opened, reason: null };
      tried.push(name);
    }
  }
  const packages = families.map((family) => debian[family]).join(" or ");
  return {
    library: null,
    reason: tried.length === 0
      ? `no name of an MPI library is known for ${platform}; set FERROTYPE_MPI to its path`
      : `none of ${
        tried.join(", ")
      } could be opened; install one (Debian: ${packages}), or set FERROTYPE_MPI to its path`,
  };
}
