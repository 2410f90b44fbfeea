/**
 * The house in numbers, which nobody sees who adds a line to it: `deno task house` prints lines by room, what a token and a training
 * step run through on their way, what has grown long, and what goes in a circle.
 *
 * What runs is counted by V8 itself: the command runs under Node with coverage. Of each function that was called the lines count
 * that hold code, without the functions and branches inside it that did not run, and without what a module does as it is loaded.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { readTask } from "../tools/task.ts";
import { repository } from "./_data.ts";
import { circlesOf, lineOf, sourceFiles, withoutComments } from "./_imports.ts";
import { findRuntimes, runtimeKinds } from "./_runtimes.ts";

/** One function as V8 reports it: its ranges are its own, then those inside it that ran otherwise. */
interface Covered {
  readonly functionName: string;
  readonly ranges: readonly {
    readonly startOffset: number;
    readonly endOffset: number;
    readonly count: number;
  }[];
}

/** A walk through the house: a command, and what is printed of it. */
interface Walk {
  readonly name: string;
  readonly args: (folder: string) => readonly string[];
}

const model = join(repository, "web", "models", "shakespeare");
const walks: readonly Walk[] = [
  {
    name: "a token, cpu",
    args: () => ["generate", "ROMEO:", "--model", model, "--max-new-tokens", "2"],
  },
  {
    name: "a training step, cpu",
    args: (folder) => {
      const text = join(folder, "text.txt"), sizes = ["--n-layer", "1", "--n-head", "1", "--n-embd", "8"];
      writeFileSync(text, "the cat sat on the mat. ".repeat(100));
      return ["train", text, "-o", join(folder, "out"), ...sizes, "--block-size", "8", "--steps", "1"];
    },
  },
];

/** Rooms of kernels: what a device computes with, and what makes that. */
const kernels = /^src\/backends\/(cpu\/(kernels|math|assembler)|reference|webgpu)\//;
const longFile = 300, longFunction = 60, manyParameters = 7;

readTask({
  name: "house",
  summary: "The house in numbers: lines, ways, what is long, what goes in a circle.",
});
const { found, missing } = findRuntimes(runtimeKinds.filter(({ name }) => name === "node"), true);
if (found.length === 0) {
  console.error(`house: ${missing[0]}`);
  process.exit(1);
}
const node = found[0].path, texts = new Map<string, string>();

const files = sourceFiles("src").concat(sourceFiles("cli"), "mod.ts");
for (const file of files) texts.set(file, readFileSync(join(repository, file), "utf8"));
const codeLines = new Map(
  [...texts].map(([file, text]) =>
    [file, withoutComments(text).split("\n").map((line) => line.trim() !== "")] as const
  ),
);

inFolder((folder) => {
  printRooms();
  console.log();
  for (const { name, args } of walks) {
    printWay(name, covered(folder, [join(repository, "cli", "main.ts"), ...args(folder)]));
  }
  console.log();
  printLong(folder);
  console.log();
  print("circles", circlesOf(files).map((circle) => `      ${circle.join(", ")}`));
});

function inFolder(f: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "house-"));
  try {
    f(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What ran of each file when Node ran these arguments. */
function covered(folder: string, args: readonly string[]): Map<string, readonly Covered[]> {
  const to = mkdtempSync(join(folder, "coverage-"));
  const { status, stderr } = spawnSync(node, args, {
    cwd: repository,
    encoding: "utf8",
    env: { ...process.env, NODE_V8_COVERAGE: to, NODE_COMPILE_CACHE: "", FERROTYPE_TUNE: "off" },
  });
  if (status !== 0) throw new Error(`${args.slice(1).join(" ")}: ${stderr}`);
  const all = new Map<string, readonly Covered[]>();
  for (const name of readdirSync(to)) {
    const { result } = JSON.parse(readFileSync(join(to, name), "utf8")) as {
      result: { url: string; functions: Covered[] }[];
    };
    for (const { url, functions } of result) {
      if (!url.startsWith("file:")) continue;
      const file = relative(repository, fileURLToPath(url)).replaceAll("\\", "/");
      // The main thread's is the longest where workers read a file too.
      if (texts.has(file) && functions.length > (all.get(file)?.length ?? 0)) all.set(file, functions);
    }
  }
  return all;
}

/** How many lines of code ran. The first function is the module itself. */
function linesRun(file: string, functions: readonly Covered[]): number {
  const text = texts.get(file)!, code = codeLines.get(file)!, ran = new Uint8Array(code.length);
  // From the outside to the inside: what did not run inside of what did is taken out again.
  const ranges = functions.slice(1).flatMap(({ ranges }) => ranges)
    .sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  const starts = lineStarts(text);
  for (const { startOffset, endOffset, count } of ranges) {
    const first = lineAt(starts, startOffset), last = lineAt(starts, endOffset - 1);
    // The line that a branch not taken begins on holds its condition.
    for (let line = count > 0 ? first : first + 1; line <= last; line++) ran[line] = count > 0 ? 1 : 0;
  }
  return ran.reduce((sum, did, line) => sum + (did && code[line] ? 1 : 0), 0);
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineAt(starts: readonly number[], offset: number): number {
  let low = 0, high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

function printWay(name: string, all: ReadonlyMap<string, readonly Covered[]>): void {
  const runs = [...all].map(([file, functions]) => ({ file, lines: linesRun(file, functions) }))
    .filter(({ lines }) => lines > 0);
  const sum = (some: typeof runs): string =>
    `${
      some.reduce((total, { lines }) => total + lines, 0).toLocaleString("en")
    } lines in ${some.length} files`;
  const without = runs.filter(({ file }) => !kernels.test(file));
  console.log(`${name.padEnd(22)} ${sum(runs)}; without kernels ${sum(without)}`);
}

function printRooms(): void {
  const rooms = new Map<string, [files: number, lines: number]>();
  for (const [file, text] of texts) {
    const [top, room, part] = file.split("/"), lines = text.split("\n").length - 1;
    const names = [top, ...(room?.endsWith(".ts") === false ? [`${top}/${room}`] : [])];
    if (room === "backends" && !part.endsWith(".ts")) names.push(`${top}/${room}/${part}`);
    for (const name of names) {
      const [files, sum] = rooms.get(name) ?? [0, 0];
      rooms.set(name, [files + 1, sum + lines]);
    }
  }
  for (const [name, [files, lines]] of [...rooms].sort(([a], [b]) => a < b ? -1 : 1)) {
    console.log(`${name.padEnd(22)} ${lines.toLocaleString("en").padStart(8)} lines in ${files} files`);
  }
}

/** Reads every file, so that V8 knows all functions. */
function printLong(folder: string): void {
  const script = join(folder, "all.mjs"),
    urls = files.filter((file) => file !== "cli/main.ts")
      .map((file) => pathToFileURL(join(repository, file)).href);
  writeFileSync(
    script,
    `for (const url of ${JSON.stringify(urls)}) await import(url).catch(() => {});\nprocess.exit(0);\n`,
  );
  const long: string[] = [], wide: string[] = [];
  for (const [file, functions] of covered(folder, [script])) {
    const text = texts.get(file)!, starts = lineStarts(text), seen = new Set<number>();
    for (const { functionName, ranges: [{ startOffset, endOffset }] } of functions.slice(1)) {
      // What V8 makes of the fields of a class is no function that anybody wrote.
      if (seen.has(startOffset) || functionName.startsWith("<")) continue;
      seen.add(startOffset);
      const lines = lineAt(starts, endOffset - 1) - lineAt(starts, startOffset) + 1;
      const where = `${file}:${lineAt(starts, startOffset) + 1} ${functionName}`;
      if (lines > longFunction) long.push(`${String(lines).padStart(5)} ${where}`);
      const parameters = parametersAt(text, startOffset);
      if (parameters >= manyParameters) wide.push(`${String(parameters).padStart(5)} ${where}`);
    }
  }
  const longFiles = [...texts].map(([file, text]) => [text.split("\n").length - 1, file] as const)
    .filter(([lines]) => lines > longFile).map(([lines, file]) => `${String(lines).padStart(5)} ${file}`);
  const lets = [...texts].flatMap(([file, text]) =>
    [...withoutComments(text).matchAll(/^(export )?let /gm)].map(({ index }) =>
      `      ${file}:${lineOf(text, index)}`
    )
  );
  print(`files over ${longFile} lines`, longFiles);
  print(`functions over ${longFunction} lines`, long);
  print(`functions with ${manyParameters} parameters and more`, wide);
  print("variables of modules", lets);
}

function print(what: string, lines: readonly string[]): void {
  console.log(`${what}: ${lines.length}`);
  for (const line of [...lines].sort().reverse()) console.log(line);
}

/** Parameters of the function whose text begins here: commas between its first parentheses, outside of other brackets. */
function parametersAt(text: string, start: number): number {
  const open = text.indexOf("(", start), arrow = text.indexOf("=>", start);
  if (open < 0 || (arrow >= 0 && arrow < open)) return 1;
  let depth = 0, count = 0, isEmpty = true;
  for (let at = open; at < text.length; at++) {
    const letter = text[at];
    if ("([{<".includes(letter)) depth++;
    else if (letter === ">" && text[at - 1] === "=") continue;
    else if (")]}>".includes(letter)) depth--;
    if (depth === 0) break;
    if (depth === 1 && letter === ",") {
      count += isEmpty ? 0 : 1;
      isEmpty = true;
    } else if (at > open && letter.trim() !== "") isEmpty = false;
  }
  return count + (isEmpty ? 0 : 1);
}
