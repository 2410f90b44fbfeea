/**
 * Finds the machine's BLAS and opens it for the cpu device.
 *
 * Looked for by name: OpenBLAS, MKL, BLIS, and on macOS Accelerate. The environment variable `FERROTYPE_BLAS` picks
 * one of them ("mkl"), names another library (a path, or a name that the system's loader knows), or says "off".
 * Every library is told to compute on the calling thread alone, because the device's own threads call it.
 *
 * @module
 */
import type { NativeBlas } from "../backends/cpu/platform.ts";
import type { NativeSignature } from "../core/native_library.ts";
import { environment, nativeLibraryReason, openLibrary, system } from "../platform/platform.ts";

/** A library that was opened, or why there is none. */
export type BlasReport = { readonly found: NativeBlas; readonly reason: null } | {
  readonly found: null;
  readonly reason: string;
};

type Symbols = Record<string, NativeSignature>;

const sgemm = {
  parameters: [
    ...["i32", "i32", "i32", "i32", "i32", "i32"] as const, // order, transposed a, transposed b, m, n, k
    ...["f32", "address", "i32", "address", "i32"] as const, // alpha, a, lda, b, ldb
    ...["f32", "address", "i32"] as const, // beta, c, ldc
  ],
  result: "void",
} as const satisfies NativeSignature;

/** What there is to know about a library apart from sgemm. */
interface Family {
  readonly title: string;
  /** Names by operating system. */
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** The function that sets the number of threads, its argument for one, and that argument's type. */
  readonly alone: readonly [name: string, one: number, type: "i32" | "i64"] | null;
  /** Environment variables that pin the kernels it picks. */
  readonly pins: readonly string[];
  /** Version and kernels picked; "" where the library does not tell. */
  describe(path: string): string;
}

const text = { parameters: [], result: "address" } as const satisfies NativeSignature;
// The C library's, which every one of these is linked with: copies a text into a view.
const strncpy = {
  parameters: ["pointer", "address", "i64"],
  result: "address",
} as const satisfies NativeSignature;

function ended(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end)).trim();
}

/** Opens `path` once more for `symbols` and describes it by them; "" when it lacks one. */
function describeBy<const S extends Symbols>(
  path: string,
  symbols: S,
  describe: (
    functions: Record<string, (...values: number[]) => number>,
    read: (address: number) => string,
  ) => string,
): string {
  const { library } = openLibrary([path], { ...symbols, strncpy });
  if (!library) return "";
  const functions = library.functions as unknown as Record<string, (...values: unknown[]) => number>;
  return describe(functions, (address) => {
    if (address === 0) return "";
    const bytes = new Uint8Array(256);
    functions.strncpy!(bytes, address, bytes.length - 1);
    return ended(bytes);
  });
}

const families: readonly Family[] = [
  {
    title: "Accelerate",
    names: { darwin: ["/System/Library/Frameworks/Accelerate.framework/Accelerate"] },
    alone: ["BLASSetThreading", 1, "i32"],
    pins: [],
    describe: () => "",
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
    alone: ["openblas_set_num_threads", 1, "i32"],
    pins: ["OPENBLAS_CORETYPE"],
    describe: (path) =>
      describeBy(path, { openblas_get_config: text, openblas_get_corename: text }, (library, read) => {
        const version = /\d+(\.\d+)+/.exec(read(library.openblas_get_config!()))?.[0] ?? "";
        return `${version}, ${read(library.openblas_get_corename!())} kernels`;
      }),
  },
  {
    title: "MKL",
    names: {
      linux: ["libmkl_rt.so.2", "libmkl_rt.so.1", "libmkl_rt.so"],
      darwin: ["libmkl_rt.2.dylib", "libmkl_rt.dylib"],
      win32: ["mkl_rt.2.dll", "mkl_rt.dll"],
    },
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
];

// A library that FERROTYPE_BLAS names and that is none of these: it had better compute on one thread.
const other: Family = { title: "a BLAS", names: {}, alone: null, pins: [], describe: () => "" };

function openAs(family: Family, names: readonly string[]): BlasReport {
  const { title, alone, pins } = family;
  const setThreads = alone && { parameters: [alone[2]], result: "void" } as const;
  const opened = openLibrary(names, {
    cblas_sgemm: sgemm,
    ...(setThreads ? { [alone[0]]: setThreads } : {}),
  });
  if (!opened.library) return { found: null, reason: opened.reason };
  const { library } = opened, { path } = library;
  let before = "";
  if (alone) {
    const set = library.functions as unknown as Record<string, (count: number) => void>;
    set[alone[0]]!(alone[1]);
    // Where a library keeps the number for each thread, each has to say it.
    before = `(${(library as { functionSource(name: string): string }).functionSource(alone[0])})()(${
      alone[1]
    }); `;
  }
  const pinned = pins.filter((name) => environment(name) !== undefined)
    .map((name) => `${name}=${environment(name)} in the environment pins its kernels`);
  const about = [family.describe(path), ...pinned].filter((part) => part !== "").join("; ");
  return {
    found: {
      name: `${title} ${about}${about ? " " : ""}(${path})`,
      sgemm: library.functions.cblas_sgemm as NativeBlas["sgemm"],
      addressOf: (view) => library.addressOf(view),
      threadSource: `() => { ${before}return (${library.functionSource("cblas_sgemm")})(); }`,
    },
    reason: null,
  };
}

function find(): BlasReport {
  const named = environment("FERROTYPE_BLAS") ?? "";
  if (named.toLowerCase() === "off") return { found: null, reason: "FERROTYPE_BLAS=off in the environment" };
  const reason = nativeLibraryReason();
  if (reason !== null) return { found: null, reason };
  const { platform } = system();
  const namesOf = ({ names }: Family): readonly string[] => names[platform] ?? [];
  const asked = families.find(({ title }) => title.toLowerCase() === named.toLowerCase());
  if (named && !asked) {
    for (const family of [...families, other]) {
      const report = openAs(family, [named]);
      if (report.found || family === other) {
        return report.found ? report : { found: null, reason: `FERROTYPE_BLAS: ${report.reason}` };
      }
    }
  }
  for (const family of asked ? [asked] : families) {
    const report = openAs(family, namesOf(family));
    if (report.found) return report;
  }
  const tried = (asked ? [asked] : families).flatMap(namesOf);
  return {
    found: null,
    reason: tried.length === 0
      ? `no name of a BLAS is known for ${platform}; set FERROTYPE_BLAS to its path`
      : `none of ${tried.join(", ")} was found; install OpenBLAS, or set FERROTYPE_BLAS to a library`,
  };
}

let report: BlasReport | null = null;

/** The machine's BLAS, looked for once. Never throws, never asks for a permission. */
export function findBlas(): BlasReport {
  return report ??= find();
}
