/**
 * What was found out about this machine, kept for the next process: which library multiplies fastest.
 *
 * One small file in the user's folder for caches, with an entry for each processor, runtime, version and set of libraries, the
 * latest first; old ones fall out at its end. Where the folder may not be read or written, nothing is; what the file says is
 * checked, and one that somebody else wrote is as good as none. `FERROTYPE_TUNE=again` does not look into it.
 *
 * @module
 */
import { cases, type Choice, type Speeds } from "../backends/cpu/choice.ts";
import { version } from "../core/version.ts";
import {
  cachePath,
  cpuModel,
  environment,
  modifiedTime,
  readSmallFile,
  runtimeName,
  runtimeVersion,
  system,
  writeSmallFile,
} from "../platform/platform.ts";

/** What is kept. */
export interface Tuning {
  /** What was chosen. */
  readonly choice: Choice;
  /** The speeds that it was chosen by. */
  readonly table: readonly Speeds[];
}

interface Entry extends Tuning {
  readonly key: string;
}

/** Bytes of the file at most. */
export const mostTuningBytes = 4096;

// What changes which library is found, or the kernels that it picks.
const variables = [
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "OPENBLAS_CORETYPE",
  "BLIS_ARCH_TYPE",
  "MKL_ENABLE_INSTRUCTIONS",
  "MKL_DEBUG_CPU_TYPE",
  "MKL_CBWR",
  "ONEDNN_MAX_CPU_ISA",
  "DNNL_MAX_CPU_ISA",
  "ONEDNN_DEFAULT_FPMATH_MODE",
];

/** The file; null where there is no place for it. */
export function tuningPath(): string | null {
  return cachePath("products.json");
}

/** What the speeds depend on, as text; null where the processor may not be known. */
function machineKey(): string | null {
  const processor = cpuModel(), { platform, arch } = system();
  if (!processor) return null;
  // The loader's own cache is written anew when libraries are installed.
  const libraries = platform === "linux" ? modifiedTime("/etc/ld.so.cache") : 0;
  const set = variables.flatMap((name) => {
    const value = environment(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
  const runtime = `${runtimeName()} ${runtimeVersion()}`;
  const key = [version, runtime, platform, arch, processor, cases.length, libraries, ...set].join("; ");
  return key.length <= 512 ? key : null;
}

/** What was found out before; null when nothing is known. */
export function rememberedChoice(): Tuning | null {
  if (environment("FERROTYPE_TUNE")?.toLowerCase() === "again") return null;
  const key = machineKey();
  return key === null ? null : readEntries().find((entry) => entry.key === key) ?? null;
}

/** Keeps what was found out, where that is allowed. */
export function rememberChoice(choice: Choice, table: readonly Speeds[]): void {
  const key = machineKey(), path = tuningPath();
  if (key === null || path === null) return;
  const rounded = table.map((row) => ({ ...row, speeds: row.speeds.map((x) => Math.round(10 * x) / 10) }));
  const others = readEntries().filter((entry) => entry.key !== key);
  const text = fileText([{ key, choice, table: rounded }, ...others]);
  if (text !== null) writeSmallFile(path, text);
}

/** The file's text with as many entries as there is room for; null when not even the first has room. */
export function fileText(entries: readonly Entry[]): string | null {
  for (let count = entries.length; count > 0; count--) {
    const text = JSON.stringify(
      { entries: entries.slice(0, count) },
      (_key, x) => x === Infinity ? "never" : x,
    );
    if (new TextEncoder().encode(text).length <= mostTuningBytes) return text;
  }
  return null;
}

function readEntries(): readonly Entry[] {
  const path = tuningPath(), text = path === null ? null : readSmallFile(path, mostTuningBytes);
  return text === null ? [] : parseEntries(text);
}

/** The entries of a file's text that are whole; none when it is anything else. */
export function parseEntries(text: string): readonly Entry[] {
  try {
    const { entries } = JSON.parse(text, (_key, x) => x === "never" ? Infinity : x);
    return Array.isArray(entries) ? entries.filter(isEntry) : [];
  } catch {
    return [];
  }
}

const isText = (x: unknown): x is string => typeof x === "string";
const isLeast = (x: unknown): boolean => typeof x === "number" && x >= 1;
const isSpeed = (x: unknown): boolean => typeof x === "number" && x >= 0 && x < 1e9;

function isEntry(x: unknown): x is Entry {
  if (typeof x !== "object" || x === null) return false;
  const { key, choice, table } = x as Partial<Entry>;
  if (!isText(key) || !Array.isArray(table) || typeof choice !== "object" || choice === null) return false;
  const { library, why, leastRows, leastRowsTransposed, leastWork, leastQuantizedRows } = choice;
  const least = [leastRows, leastRowsTransposed, leastWork, leastQuantizedRows];
  if (library !== null && !table.some((row) => row?.name === library)) return false;
  if (!isText(why) || !least.every(isLeast)) return false;
  return table.length > 0 &&
    table.every((row) =>
      typeof row === "object" && row !== null && isText(row.name) && Array.isArray(row.speeds) &&
      row.speeds.length === cases.length && row.speeds.every(isSpeed) &&
      (row.refused === undefined || isText(row.refused))
    );
}
