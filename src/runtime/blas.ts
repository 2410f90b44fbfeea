/**
 * Finds the machine's libraries for products of matrices and opens them for the cpu device.
 *
 * Looked for by name: oneDNN, MKL, BLIS, OpenBLAS, and on macOS Accelerate. Which of those that are there is used is
 * measured (`backends/cpu/tune.ts`) and remembered (`tuning.ts`). The environment variable `FERROTYPE_BLAS` picks one of
 * them ("mkl"), names another library (a path, or a name that the system's loader knows), or says "off"; what it names is
 * used as it is. With `FERROTYPE_TUNE=off` nothing is measured, and the one that is usually fastest on such a processor is
 * used. Every library is told to compute on the calling thread alone, because the device's own threads call it.
 *
 * @module
 */
import type { BlasCandidates, NativeBlas } from "../backends/cpu/platform.ts";
import { environment, nativeLibraryReason, system } from "../platform/platform.ts";
import { families, type Family, familyNamed, namesOf, openAs, other } from "./blas_families.ts";
import { rememberChoice, rememberedChoice } from "./tuning.ts";

let opened: readonly NativeBlas[] | null = null;

/** Every library that is there, opened once, in the order of {@link families}. Never throws, never asks for a permission. */
export function openLibraries(): readonly NativeBlas[] {
  return opened ??= families.flatMap((family) => {
    const names = namesOf(family, system().platform);
    const library = names.length === 0 ? "" : openAs(family, names);
    return typeof library === "string" ? [] : [library];
  });
}

/** Kernels for any processor: an OpenBLAS that picks them does not know this one. */
const anyProcessor = /, (Prescott|Core2|Generic|generic|ARMV8|Katmai|Coppermine|Northwood) kernels/;

/** The libraries by what is usually fastest here, the first first. */
function usualOrder(): readonly string[] {
  const { platform, arch } = system();
  if (platform === "darwin") return ["Accelerate", "OpenBLAS", "BLIS"];
  return arch === "x64" ? ["oneDNN", "MKL", "BLIS", "OpenBLAS"] : ["OpenBLAS", "BLIS", "MKL", "oneDNN"];
}

/** The library that is used where nothing may be measured; or why there is none. */
function usualLibrary(): NativeBlas | string {
  const found = openLibraries();
  for (const title of usualOrder()) {
    const library = found.find((one) => one.title === title);
    if (library && !anyProcessor.test(library.name)) return library;
  }
  if (found.length === 0) return absent(families);
  return `${
    found[0].name
  } does not know this processor, and FERROTYPE_TUNE=off in the environment lets nothing be measured`;
}

function absent(sought: readonly Family[]): string {
  const { platform } = system(), tried = sought.flatMap((family) => namesOf(family, platform));
  return tried.length === 0
    ? `no name of a BLAS is known for ${platform}; set FERROTYPE_BLAS to its path`
    : `none of ${tried.join(", ")} was found; install oneDNN or OpenBLAS, or set FERROTYPE_BLAS to a library`;
}

/** The library that `FERROTYPE_BLAS` names, or what is wrong with it. */
function namedLibrary(named: string): NativeBlas | string {
  const family = familyNamed(named);
  if (family) {
    const names = namesOf(family, system().platform);
    const library = names.length === 0 ? absent([family]) : openAs(family, names);
    return typeof library === "string" ? absent([family]) : library;
  }
  let problem = "";
  for (const family of [...families, other]) {
    const library = openAs(family, [named]);
    if (typeof library !== "string") return library;
    problem = library;
  }
  return `FERROTYPE_BLAS: ${problem}`;
}

const candidates: BlasCandidates = {
  open: openLibraries,
  recall() {
    const known = rememberedChoice();
    if (known === null) return null;
    const { library: title } = known.choice;
    if (title === null) return { ...known, library: null };
    const family = familyNamed(title);
    const library = family ? openAs(family, namesOf(family, system().platform)) : "";
    return typeof library === "string" ? null : { ...known, library };
  },
  remember: rememberChoice,
};

/**
 * The library to use, libraries to choose from, or why there is none. Nothing is opened yet where there is a choice.
 *
 * @param measure Whether it may be measured which one is fastest.
 */
export function findBlas(measure: boolean = true): NativeBlas | BlasCandidates | string {
  const named = environment("FERROTYPE_BLAS") ?? "";
  if (named.toLowerCase() === "off") return "FERROTYPE_BLAS=off in the environment";
  const reason = nativeLibraryReason();
  if (reason !== null) return reason;
  if (named) return namedLibrary(named);
  return measure && !isTuneOff() ? candidates : usualLibrary();
}

function isTuneOff(): boolean {
  return environment("FERROTYPE_TUNE")?.toLowerCase() === "off";
}
