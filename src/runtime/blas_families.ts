/**
 * The libraries that multiply matrices: their names on each system, how each is kept to one thread, and how its products are
 * called. All but oneDNN have the C interface of the BLAS.
 *
 * @module
 */
import type { NativeBlas, NativeProduct } from "../backends/cpu/platform.ts";
import type { NativeLibrary, NativeSignature } from "../core/native_library.ts";
import { environment, openLibrary, system } from "../platform/platform.ts";

type Symbols = Record<string, NativeSignature>;
type Functions = Record<string, (...values: unknown[]) => number>;

/** `pthread_sigmask` of the C library: how, which signals, where the ones before go. */
type SignalMask = (how: number, set: Uint8Array, before: Uint8Array | null) => number;

/** How the products of a library are called. */
interface Products {
  /** The functions, and those that it may be without. */
  readonly symbols: Symbols;
  readonly optional: Symbols;
  /**
   * Makes a {@link NativeProduct} of the library's function and of `pthread_sigmask`, where it asks for that. Its text goes to
   * other threads, so it stands for itself.
   */
  readonly wrap: (call: (...values: number[]) => number, mask: SignalMask | null) => NativeProduct;
  /** Names of the functions. */
  readonly sgemm: string;
  readonly bgemm: string | null;
}

/** What there is to know about a library. */
export interface Family {
  readonly title: string;
  /** Names by operating system. */
  readonly names: Readonly<Record<string, readonly string[]>>;
  readonly products: Products;
  /** The function that sets the number of threads, its argument for one, and that argument's type. */
  readonly alone: readonly [name: string, one: number, type: "i32" | "i64"] | null;
  /** Environment variables that pin the kernels it picks. */
  readonly pins: readonly string[];
  /** Version and kernels picked; "" where the library does not tell; null where it is not to be used. */
  describe(path: string): string | null;
}

const i32 = "i32", i64 = "i64", f32 = "f32", address = "address";

// Order 101 is row-major, transpositions are 111 and 112 (cblas.h).
const cblas: Products = {
  symbols: {
    cblas_sgemm: {
      parameters: [i32, i32, i32, i32, i32, i32, f32, address, i32, address, i32, f32, address, i32],
      result: "void",
    },
  },
  optional: {},
  sgemm: "cblas_sgemm",
  bgemm: null,
  wrap: (call) => (ta, tb, m, n, k, a, lda, b, ldb, c, ldc) => {
    call(101, 111 + ta, 111 + tb, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
  },
};

// Row-major; transpositions are the letters N and T (dnnl.h). The product of bf16 is exported without being in the header.
const gemm = {
  parameters: [i32, i32, i64, i64, i64, f32, address, i64, address, i64, f32, address, i64],
  result: i32,
} as const satisfies NativeSignature;
const dnnl: Products = {
  symbols: { dnnl_sgemm: gemm },
  optional: { dnnl_gemm_bf16bf16f32: gemm },
  sgemm: "dnnl_sgemm",
  bgemm: "dnnl_gemm_bf16bf16f32",
  // Its kernels have the stack pointer elsewhere for a time (2.6.3, in an AVX-512 product: seen as a heap that glibc finds broken
  // when signals arrive meanwhile), and a handler would write there. So signals wait until the product is done.
  wrap: (call, mask) => {
    const asynchronous = new Uint8Array(128).fill(255), before = new Uint8Array(128);
    // Not SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE and SIGSEGV, which are raised by what is being done.
    asynchronous[0] = 0b0000_0111;
    asynchronous[1] = 0b1111_1011;
    return (ta, tb, m, n, k, a, lda, b, ldb, c, ldc) => {
      mask?.(0, asynchronous, before);
      const status = call(ta ? 84 : 78, tb ? 84 : 78, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
      mask?.(2, before, null);
      if (status !== 0) throw new Error(`oneDNN: a product ended with status ${status}`);
    };
  },
};

/** Where signals can be held back: how, and the first argument, are numbers of Linux. */
const sigmask = {
  pthread_sigmask: { parameters: [i32, "pointer", "pointer"], result: i32 },
} as const satisfies Symbols;

const text = { parameters: [], result: "address" } as const satisfies NativeSignature;
// The C library's, which every one of these is linked with: copies memory into a view.
const memcpy = {
  parameters: ["pointer", "address", "i64"],
  result: "address",
} as const satisfies NativeSignature;
const strncpy = memcpy;

function ended(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end)).trim();
}

/** Opens `path` once more for `symbols` and describes it by them; "" when it lacks one. */
function describeBy<const S extends Symbols, T extends string | null>(
  path: string,
  symbols: S,
  describe: (functions: Functions, read: (address: number) => string) => T,
): T | "" {
  const { library } = openLibrary([path], { ...symbols, strncpy });
  if (!library) return "";
  const functions = library.functions as unknown as Functions;
  return describe(functions, (address) => {
    if (address === 0) return "";
    const bytes = new Uint8Array(256);
    functions.strncpy!(bytes, address, bytes.length - 1);
    return ended(bytes);
  });
}

const runtimes: Readonly<Record<number, string>> = { 1: "no threads", 2: "OpenMP", 4: "TBB", 8: "a pool" };
const instructions: Readonly<Record<number, string>> = {
  0x1: "SSE4.1",
  0x3: "AVX",
  0x7: "AVX2",
  0x27: "AVX-512",
  0x67: "AVX-512 VNNI",
  0xe7: "AVX-512 BF16",
};

/** The bit of bf16 in what `dnnl_get_effective_cpu_isa` gives; without it products of bf16 are done in f32. */
const bf16Bit = 0x80;

function instructionsOf(path: string): number {
  const symbols = { dnnl_get_effective_cpu_isa: { parameters: [], result: "i32" } } as const;
  return openLibrary([path], symbols).library?.functions.dnnl_get_effective_cpu_isa() ?? 0;
}

/** All that are known. */
export const families: readonly Family[] = [
  {
    title: "Accelerate",
    names: { darwin: ["/System/Library/Frameworks/Accelerate.framework/Accelerate"] },
    products: cblas,
    alone: ["BLASSetThreading", 1, "i32"],
    pins: [],
    describe: () => "",
  },
  {
    title: "oneDNN",
    names: {
      linux: ["libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"],
      darwin: ["/opt/homebrew/opt/onednn/lib/libdnnl.dylib", "libdnnl.dylib"],
      win32: ["dnnl.dll"],
    },
    products: dnnl,
    // Of OpenMP, which it is linked with; each thread has its own number.
    alone: ["omp_set_num_threads", 1, "i32"],
    pins: ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"],
    describe: (path) =>
      describeBy(path, { dnnl_version: text, memcpy }, ({ dnnl_version, memcpy }) => {
        // int major, minor, patch; const char* hash; unsigned runtime of processors, of graphics cards.
        const words = new Int32Array(8);
        memcpy!(words, dnnl_version!(), words.byteLength - 4);
        const isa = instructionsOf(path), runtime = runtimes[words[6]] ?? `runtime ${words[6]}`;
        // Threads of TBB cannot be kept to one from here.
        if (words[6] > 2) return null;
        return `${words[0]}.${words[1]}.${words[2]}, ${
          instructions[isa] ?? `instructions 0x${isa.toString(16)}`
        }, ${runtime}`;
      }),
  },
  {
    title: "MKL",
    names: {
      linux: ["libmkl_rt.so.2", "libmkl_rt.so.1", "libmkl_rt.so"],
      darwin: ["libmkl_rt.2.dylib", "libmkl_rt.dylib"],
      win32: ["mkl_rt.2.dll", "mkl_rt.dll"],
    },
    products: cblas,
    alone: ["MKL_Set_Num_Threads", 1, "i32"],
    pins: ["MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR"],
    describe(path) {
      const symbols = { MKL_Get_Version_String: { parameters: ["pointer", "i32"], result: "void" } } as const;
      const { library } = openLibrary([path], symbols);
      const bytes = new Uint8Array(256);
      library?.functions.MKL_Get_Version_String(bytes, bytes.length - 1);
      // "Intel(R) oneAPI Math Kernel Library Version 2024.0-Product Build 20231011 for Intel(R) 64 architecture applications"
      const [, version = "", kernels = ""] = /Version ([^ ]+).* for (.*) applications/.exec(ended(bytes)) ??
        [];
      return kernels ? `${version}, for ${kernels}` : version;
    },
  },
  {
    title: "BLIS",
    names: {
      linux: ["libblis-mt.so", "libblis.so.4", "libblis.so"],
      darwin: ["/opt/homebrew/opt/blis/lib/libblis.dylib", "libblis.dylib"],
    },
    products: cblas,
    alone: ["bli_thread_set_num_threads", 1, "i64"],
    pins: ["BLIS_ARCH_TYPE"],
    describe: (path) =>
      describeBy(path, {
        bli_info_get_version_str: text,
        bli_arch_query_id: { parameters: [], result: "i32" },
        bli_arch_string: { parameters: ["i32"], result: "address" },
      }, (library, read) => {
        const kernels = read(library.bli_arch_string!(library.bli_arch_query_id!()));
        return `${read(library.bli_info_get_version_str!())}, ${kernels} kernels`;
      }),
  },
  {
    title: "OpenBLAS",
    names: {
      linux: ["libopenblas.so.0", "libopenblas.so", "libopenblasp.so.0"],
      darwin: [
        "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
        "/usr/local/opt/openblas/lib/libopenblas.dylib",
        "libopenblas.dylib",
      ],
      win32: ["libopenblas.dll"],
    },
    products: cblas,
    alone: ["openblas_set_num_threads", 1, "i32"],
    pins: ["OPENBLAS_CORETYPE"],
    describe: (path) =>
      describeBy(path, { openblas_get_config: text, openblas_get_corename: text }, (library, read) => {
        const version = /\d+(\.\d+)+/.exec(read(library.openblas_get_config!()))?.[0] ?? "";
        return `${version}, ${read(library.openblas_get_corename!())} kernels`;
      }),
  },
];

/** A library that is none of these: it had better compute on one thread. */
export const other: Family = {
  title: "a BLAS",
  names: {},
  products: cblas,
  alone: null,
  pins: [],
  describe: () => "",
};

/** The families that can be asked for by name. */
export function familyNamed(name: string): Family | undefined {
  return families.find(({ title }) => title.toLowerCase() === name.toLowerCase());
}

/** The names of a family on this system. */
export function namesOf({ names }: Family, platform: string): readonly string[] {
  return names[platform] ?? [];
}

/** Opens the first of `names` as a library of this family, to compute on one thread; or says why not. */
export function openAs(family: Family, names: readonly string[]): NativeBlas | string {
  const { title, alone, pins, products } = family, { sgemm } = products;
  const setThreads: Symbols = alone ? { [alone[0]]: { parameters: [alone[2]], result: "void" } } : {};
  const holdsSignals = products === dnnl && system().platform === "linux";
  const required = { ...products.symbols, ...setThreads, ...(holdsSignals ? sigmask : {}) };
  // Once more with what not every version has.
  let opened = openLibrary(names, { ...required, ...products.optional });
  const isWhole = opened.library !== null;
  if (!isWhole) opened = openLibrary(names, required);
  if (!opened.library) return opened.reason;
  const library: NativeLibrary<Symbols> = opened.library, { path } = library;
  const about = family.describe(path);
  if (about === null) return `${path} computes on threads of its own that cannot be kept to one`;
  let before = "";
  if (alone) {
    (library.functions as unknown as Functions)[alone[0]]!(alone[1]);
    // Where a library keeps the number for each thread, each has to say it.
    before = `(${library.functionSource(alone[0])})()(${alone[1]}); `;
  }
  const pinned = pins.filter((name) => environment(name) !== undefined)
    .map((name) => `${name}=${environment(name)} in the environment pins its kernels`);
  const parts = [about, ...pinned].filter((part) => part !== "").join("; ");
  const bgemm = isWhole && products.bgemm && (instructionsOf(path) & bf16Bit) !== 0 ? products.bgemm : null;
  const maskSource = holdsSignals ? `(${library.functionSource("pthread_sigmask")})()` : "null";
  const source = (name: string): string =>
    `(${products.wrap})((${library.functionSource(name)})(), ${maskSource})`;
  const functions = library.functions as unknown as Functions & { pthread_sigmask?: SignalMask };
  const here = (name: string): NativeProduct =>
    products.wrap(functions[name]!, functions.pthread_sigmask ?? null);
  return {
    title,
    name: `${title} ${parts}${parts ? " " : ""}(${path})`,
    sgemm: here(sgemm),
    bgemm: bgemm ? here(bgemm) : null,
    addressOf: (view) => library.addressOf(view),
    threadSource: `() => { ${before}return { sgemm: ${source(sgemm)}, bgemm: ${
      bgemm ? source(bgemm) : "null"
    } }; }`,
  };
}
