/**
 * Memory in huge pages: the processor finds 2 MiB by one entry of its table instead of 512, so what streams through much
 * memory (weights, at every token) is read faster, and fresh memory is got with fewer interruptions.
 *
 * Linux gives them to who asks with `madvise` (or to everybody, or to nobody, as its administrator set). Where libraries may
 * not be opened nothing is asked. Other systems have no such call for memory that a runtime has already reserved.
 *
 * @module
 */
import { nativeLibraryReason, openLibrary } from "./ffi.ts";
import { readSmallFile } from "./small_file.ts";
import { system } from "./system.ts";

const adviseHuge = 14; // MADV_HUGEPAGE

const signature = {
  madvise: { parameters: ["address", "i64", "i32"], result: "i32" },
} as const;

const settingPath = "/sys/kernel/mm/transparent_hugepage/enabled";

let library: ReturnType<typeof openLibrary<typeof signature>> | undefined;

function libc(): ReturnType<typeof openLibrary<typeof signature>> {
  return library ??= openLibrary(
    ["libc.so.6", `libc.musl-${system().arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"],
    signature,
  );
}

/** Why no huge pages can be asked for here; null when they can. Opens nothing. */
export function hugePagesReason(): string | null {
  const { platform } = system();
  if (platform !== "linux") return `${platform} has no way to ask for them`;
  const reason = nativeLibraryReason();
  if (reason !== null) return reason;
  return hugePagesSetting() === "never" ? `${settingPath} says never` : null;
}

/** What the system's administrator set: "always", "madvise" or "never"; null where that may not be known. */
export function hugePagesSetting(): string | null {
  return /\[(\w+)\]/.exec(readSmallFile(settingPath, 4096) ?? "")?.[1] ?? null;
}

/**
 * Asks for huge pages for memory; what of it was used before keeps its small ones for the time being. Whole 2 MiB of addresses
 * become huge when they are first written to.
 *
 * @returns why nothing came of it, or null.
 */
export function adviseHugePages(memory: Uint8Array): string | null {
  const reason = hugePagesReason();
  if (reason !== null) return reason;
  const opened = libc();
  if (!opened.library) return opened.reason;
  const { functions: { madvise }, addressOf } = opened.library;
  return madvise(addressOf(memory), memory.byteLength, adviseHuge) === 0 ? null : "the system refused them";
}
