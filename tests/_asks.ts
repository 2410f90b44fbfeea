/**
 * What a test file asks of the runtime that it runs on, read from its imports and its words, those of the helpers of `tests/` that it
 * imports among them.
 *
 * A file that asks for nothing computes, and what it computes is its engine's: Deno and Node share one (V8), so one of them
 * answers for both, and Bun (JavaScriptCore) for itself. Most of these follow a program (options, messages, files, search, what a model is
 * told) that means the same on every engine; what an engine makes by itself is machine code of kernels, formulas, the bits of
 * numbers and patterns over text. A file that tries these names them, and such files alone run on a second engine.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { repository } from "./_data.ts";

/** What Node's modules give that asks for nothing which the engine does not have: null where all of it. */
const plain: Readonly<Record<string, readonly string[] | null>> = {
  "node:test": null,
  "node:path": null,
  "node:url": null,
  "node:util": null,
  "node:buffer": null,
  "node:crypto": ["createHash"],
  "node:module": ["createRequire"],
  "node:zlib": null,
  // Whether a text is an address.
  "node:net": ["isIP", "isIPv4", "isIPv6"],
  // Recorded results, and a scratch folder of a test's own. What looks at handles, links, sizes, times and modes tries files themselves.
  "node:fs": [
    ...[
      "copyFileSync",
      "cpSync",
      "existsSync",
      "mkdirSync",
      "mkdtempSync",
      "readFileSync",
      "readdirSync",
      "rmSync",
    ],
    "writeFileSync",
  ],
  "node:os": ["tmpdir"],
  // Settings of a campaign.
  "node:process": null,
};

/** What `src/platform` gives that is no question to the runtime. */
const ofPlatform: readonly string[] = ["runtimeName", "openBytes"];

/** Helpers of which a test need not ask all: what counts is what it names. The command runs in this process, or in its own. */
const shared: Readonly<Record<string, readonly string[]>> = {
  "_suite.ts": [],
  "_data.ts": [],
  "_command.ts": ["ferrotype", "interrupt"],
  "_collection.ts": ["collector"],
  "_gguf_files.ts": ["byRange"],
  // The workers that every kernel may have.
  "_cpu_platform.ts": [],
};

/** Words for threads, growing memory, devices, the network and a runtime's own globals. */
const words =
  /\b(?:[sg]etThreads|setMaxMemory|maxMemory|openWebGpu|requestGpuAdapter|spawnWorker|DecompressionStream|fetch\(|Worker\(|(?:Deno|Bun)\.|navigator\.|process\.(?:on\(|kill))/;

const imports = /^(?:import|export)\s+(?!type\b)(?:([^;"']*?)\s+from\s+)?"([^"]+)";/gm;

/** Rooms whose work is an engine's: kernels and their formulas, numbers of few bits, texts and their patterns. */
const ofEngine = /^\.\.\/src\/(?:(?:backends|expr|text|tabular\/csv)\/|core\/(?:half|quantize)\.)/;

/** Helpers by which a test gives all that a device computes, one device after the other. */
const devices = /^(?:_devices|_gradients|_ops_golden|_random_program)\.ts$|^fuzz\//;

/** The first thing that a test file tries which its engine makes by itself, in its own words; null where there is none. */
export function tries(file: string): string | null {
  return triesOf(readFileSync(join(repository, "tests", file), "utf8"));
}

/** The same of a file with this text. */
export function triesOf(text: string): string | null {
  for (const [, , from] of text.matchAll(imports)) {
    if (ofEngine.test(from) || devices.test(from.replace("./", ""))) return from;
  }
  return null;
}

const known = new Map<string, string | null>();

/** The first thing that a test file asks of its runtime, in its own words; null where it asks for nothing. */
export function asks(file: string): string | null {
  if (!known.has(file)) {
    known.set(file, null); // Helpers that import each other are read once.
    known.set(file, asksOf(file, readFileSync(join(repository, "tests", file), "utf8")));
  }
  return known.get(file)!;
}

/** The same of a file with this text. */
export function asksOf(file: string, text: string): string | null {
  for (const [, bound = "", from] of text.matchAll(imports)) {
    const names = namesIn(bound), asked = askedOf(file, from, names);
    if (asked !== null) return asked;
  }
  return words.exec(text.replace(/^\s*(\/\/|\/?\*).*$/gm, ""))?.[0] ?? null;
}

/** The names that an import binds, but for types. */
function namesIn(bound: string): string[] {
  return bound.replace(/[{}]/g, ",").split(",").map((name) => name.trim())
    .filter((name) => name !== "" && !name.startsWith("type ")).map((name) => name.split(/\s+as\s+/)[0]);
}

function askedOf(file: string, from: string, names: readonly string[]): string | null {
  const told = (name?: string): string => (name === undefined ? from : `${name} of ${from}`);
  if (from.startsWith("node:")) {
    if (!(from in plain)) return told();
    const allowed = plain[from], other = allowed && names.find((name) => !allowed.includes(name));
    return other ? told(other) : null;
  }
  if (!from.startsWith(".")) return null;
  const path = join(dirname(file), from).replaceAll("\\", "/");
  if (/^\.\.\/src\/platform\//.test(path)) {
    const other = names.find((name) => !ofPlatform.includes(name));
    return other ? told(other) : null;
  }
  if (/^\.\.\/(cli\/serve\/server|src\/hub\/|src\/distributed\/)/.test(path)) return told();
  if (path.startsWith("../") || !existsSync(join(repository, "tests", path))) return null;
  const counts = shared[path];
  if (counts === undefined) return asks(path);
  const counted = names.find((name) => counts.includes(name));
  return counted ? told(counted) : null;
}
