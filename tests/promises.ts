/**
 * What is promised, the tests that hold it, and how much they try: `deno task promises` runs them on every runtime found and
 * prints the table; `--write` puts it into docs/promises.md, between its marks, as far as it has come. `--only A,B` runs the tests of
 * promises that have one of these words in them; the others' last run is then what that page says of it.
 *
 * How much is tried is read from the tests themselves, so that the table cannot say more than they do.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readTask } from "../tools/task.ts";
import { repository } from "./_data.ts";

/** A promise. */
export interface Promised {
  /** In words. */
  readonly promise: string;
  /** The tests that hold it, by file. */
  readonly tests: readonly string[];
  /** How much they try: texts in which `{name}` is the number that a test's source says, by the pattern that finds it. */
  readonly tried: string;
  /** For each name, the file and the pattern; the first group is the number. */
  readonly numbers?: Readonly<Record<string, readonly [file: string, pattern: RegExp]>>;
  /** What tries more, where there is such a command. */
  readonly more?: string;
}

/** All of them. */
export const promises: readonly Promised[] = [
  {
    promise: "Every operation gives what PyTorch recorded, with its gradient, on every device and compiled",
    tests: ["ops_golden_test.ts", "compile_ops_test.ts"],
    tried: "178 recorded cases a device, each eagerly and six times compiled",
  },
  {
    promise: "No kernel writes to memory that it does not own; devices agree on programs made at random",
    tests: ["fuzz_test.ts", "cpu_guard_test.ts"],
    tried: "two seeds of {programs} programs on Deno and of {fewer} on Bun, on a guarded heap",
    numbers: {
      programs: ["fuzz_test.ts", /const programs = width\((\d+)/],
      fewer: ["fuzz_test.ts", /const programs = width\(\d+, (\d+)/],
    },
    more: "deno task fuzz --minutes 10 --seed 1",
  },
  {
    promise: "A compiled function does what it does as it is, or is refused",
    tests: ["compile_test.ts", "compile_random_test.ts", "compile_model_test.ts"],
    tried:
      "3 kinds of {programs} random programs on Deno and of {fewer} on Bun, values, gradients and changes in place",
    numbers: {
      programs: ["compile_random_test.ts", /width\("1:(\d+)"/],
      fewer: ["compile_random_test.ts", /width\("1:\d+", "1:(\d+)"/],
    },
    more: "RANDOM_PROGRAMS=1:100000 deno test -A tests/compile_random_test.ts",
  },
  {
    promise:
      "However a text is cut, its numbers are the same to the bit: deterministic on cpu, always on reference",
    tests: ["exact_bits_test.ts"],
    tried:
      "every recorded family in up to four dtypes, long sums, caches of fewer bits, and log-probabilities of generation",
  },
  {
    promise:
      "A save that is killed leaves the old file or the new one, never half, and no leftover after the next",
    tests: ["killed_files_test.ts", "killed_sets_test.ts", "write_files_test.ts"],
    tried: "{kills} kills over every kind of write on Deno, and {fewer} on each of the others",
    numbers: {
      kills: ["_killed.ts", /FERROTYPE_KILLS \?\? width\((\d+)/],
      fewer: ["_killed.ts", /FERROTYPE_KILLS \?\? width\(\d+, (\d+)/],
    },
    more: "FERROTYPE_KILLS=1000 deno test -A tests/killed_files_test.ts tests/killed_sets_test.ts",
  },
  {
    promise:
      "A run that was stopped goes on with the same bits; with `--deterministic` on any runtime, and else it says so",
    tests: [
      "train_test.ts",
      "cli_train_test.ts",
      "cli_stop_test.ts",
      "train_recipe_test.ts",
      "train_data_test.ts",
    ],
    tried: "resumed at each checkpoint, from one runtime to the next, after signals, and after a full disk",
  },
  {
    promise: "Nothing is left of generating, training and serving: no buffer, no descriptor, no thread",
    tests: ["soak_test.ts", "memory_test.ts"],
    tried:
      "{rounds} rounds of an accelerated day on Deno and {fewer} on each of the others, after 2 that warm up",
    numbers: {
      rounds: ["soak_test.ts", /clean = width\((\d+)/],
      fewer: ["soak_test.ts", /clean = width\(\d+, (\d+)/],
    },
    more: "deno task soak --minutes 60 --seed 1",
  },
  {
    promise: "No more memory is taken than is allowed, and absurd sizes are a DeviceError at once",
    tests: ["max_memory_test.ts", "tensor_range_test.ts"],
    tried: "every function that makes or grows a tensor, on every device",
  },
  {
    promise: "A hostile file is a FormatError, in bounded time and memory",
    tests: [
      "safetensors_malformed_test.ts",
      "json_scanner_test.ts",
      "gguf_test.ts",
      "tokenizers_test.ts",
      "backtracking_test.ts",
      "hostile_test.ts",
    ],
    tried:
      "{texts} JSON texts, {ggufs} GGUFs and {inputs} files of every kind on Deno, {fewerGgufs} GGUFs and {fewerInputs} files elsewhere, made at random",
    numbers: {
      inputs: ["hostile_test.ts", /await run\([\d_]+, width\(([\d_]+)/],
      fewerInputs: ["hostile_test.ts", /await run\([\d_]+, width\([\d_]+, ([\d_]+)/],
      texts: ["json_scanner_test.ts", /rounds = width\(([\d_]+)/],
      ggufs: ["gguf_test.ts", /rounds = width\((\d+)/],
      fewerGgufs: ["gguf_test.ts", /rounds = width\(\d+, (\d+)/],
    },
    more: "deno task hostile --count 100000 --seed 1",
  },
  {
    promise:
      "No request stops the server or delays the others beyond bounds, and no page of another origin can ask",
    tests: ["serve_hostile_test.ts", "serve_guard_test.ts", "serve_fields_test.ts", "serve_stop_test.ts"],
    tried:
      "every kind of hostile schema, pattern and request, made with seeds, on Deno; sockets and ends on each runtime",
  },
  {
    promise: "A text keeps to its schema or pattern, whatever the model",
    tests: ["generate_constraint_test.ts"],
    tried: "{seeds} seeds",
    numbers: { seeds: ["generate_constraint_test.ts", /seed < width\((\d+)/] },
  },
  {
    promise: "An option is honoured or refused by name, wherever it is given",
    tests: ["options_test.ts", "options_public_test.ts", "cli_options_test.ts", "cli_idle_test.ts"],
    tried: "every options object that the exported types name, with wrong names and wrong kinds",
  },
  {
    promise: "Tables are read as they are written, whatever their dialect",
    tests: [
      "tabular_csv_test.ts",
      "tabular_csv_grammar_test.ts",
      "tabular_csv_layout_test.ts",
      "tabular_csv_random_test.ts",
      "tabular_csv_records_test.ts",
    ],
    tried: "tables in random dialects, in pieces of every size",
  },
  {
    promise: "Decoders give PyTorch's logits, losses, gradients and tokens, from safetensors and GGUF",
    tests: ["gpt2_test.ts", "families_test.ts"],
    tried: "GPT-2 on every device and runtime, ten families on every device",
  },
  {
    promise: "Tokenizers give the ids of their own libraries",
    tests: ["text_test.ts", "tokenizers_test.ts"],
    tried: "OpenAI's, SentencePiece's and llama.cpp's recorded ids",
  },
  {
    promise: "The package installs, checks, bundles and runs elsewhere",
    tests: [
      "packages/npm_test.ts",
      "packages/types_test.ts",
      "packages/bundlers_test.ts",
      "packages/bundle_size_test.ts",
    ],
    tried: "consumers on three runtimes, five bundlers, two kinds of type check",
    more: "bash tests/stranger.sh",
  },
];

/** How much a promise is tried, with its numbers. @throws {Error} where a test no longer says one. */
export function triedOf({ tried, numbers = {} }: Promised): string {
  return tried.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const [file, pattern] = numbers[name];
    const found = pattern.exec(readFileSync(join(repository, "tests", file), "utf8"));
    if (!found) throw new Error(`tests/${file} no longer says how many ${name} there are`);
    return Number(found[1].replaceAll("_", "")).toLocaleString("en");
  });
}

/** The promises as a table; `outcome` says how each one's tests went. */
export function table(outcome: (promised: Promised) => string): string {
  const lines = ["| promise | held by | tried | last run |", "|---|---|---|---|"];
  for (const promised of promises) {
    const tests = promised.tests.map((file) => `\`${file.replace(/_test\.ts$/, "")}\``).join(", ");
    const more = promised.more ? `; more: \`${promised.more}\`` : "";
    lines.push(`| ${promised.promise} | ${tests} | ${triedOf(promised)}${more} | ${outcome(promised)} |`);
  }
  return lines.join("\n");
}

/** What the page says of each promise's last run. */
function lastRuns(page: string): Map<string, string> {
  const rows = page.split("<!-- promises -->")[1]?.split("<!-- /promises -->")[0].split("\n") ?? [];
  // The first cell and the last one: what lies between may have a bar in it.
  return new Map(
    rows.map((row) => row.split("|").map((cell) => cell.trim())).map((
      cells,
    ) => [cells[1], cells.at(-2) ?? ""]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = readTask({
    name: "promises",
    summary: "Runs the tests that hold what is promised, and prints a table of both.",
    options: {
      write: { help: "puts the table into docs/promises.md, between its marks" },
      only: { value: "A,B", help: "only promises that have one of these words in them" },
    },
  });
  const words = values.text("only")?.toLowerCase().split(",");
  const isAsked = ({ promise }: Promised): boolean =>
    words?.some((word) => promise.toLowerCase().includes(word)) ?? true;
  const path = join(repository, "docs", "promises.md"),
    mark = /(<!-- promises -->)[\s\S]*?(<!-- \/promises -->)/;
  const outcomes = lastRuns(readFileSync(path, "utf8"));
  const told = (): string => table(({ promise }) => outcomes.get(promise) || "not yet");
  let isGood = true;
  for (const { promise, tests } of promises.filter(isAsked)) {
    console.error(promise);
    const { stdout } = spawnSync(process.execPath, [
      ..."Deno" in globalThis ? ["run", "-A"] : [],
      join(repository, "tests", "run.ts"),
      ...tests,
    ], { cwd: repository, encoding: "utf8", maxBuffer: 1 << 28 });
    const found = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(stdout);
    if (!found || found[2] !== "0") isGood = false;
    outcomes.set(
      promise,
      found ? `${new Date().toISOString().slice(0, 10)}: ${found[0].trim()}` : "did not run",
    );
    if (!found || found[2] !== "0") console.error(stdout.slice(-5000));
    if (!values.flag("write")) continue;
    const page = readFileSync(path, "utf8");
    writeFileSync(path, page.replace(mark, (_, a: string, b: string) => `${a}\n\n${told()}\n\n${b}`));
  }
  console.log(told());
  process.exitCode = isGood ? 0 : 1;
}
