/**
 * Results for people: a table in the terminal, the same in Markdown, and the machine's line.
 *
 * @module
 */
import { loadavg } from "node:os";
import process from "node:process";
import { diagnose } from "../mod.ts";
import { curvesOf, lawText } from "./curves.ts";
import type { RowResult, SubjectResult } from "./harness.ts";
import { leftOut, rivalVersions } from "./rivals.ts";

/** Where and with what a run was made. */
export interface Machine {
  runtime: string;
  engine: string;
  system: string;
  threads: string;
  blas: string;
  date: string;
  load: string;
  rounds: number;
  rivals: Record<string, string>;
}

/** Looks at the machine. */
export async function describeMachine(rounds: number): Promise<Machine> {
  const found = await diagnose(), { v8, webkit } = process.versions as Record<string, string | undefined>;
  const engine = webkit ? `JavaScriptCore ${webkit.slice(0, 12)}` : v8 ? `V8 ${v8}` : "";
  return {
    runtime: found.runtime,
    engine,
    system: [found.system, found.cpu ?? "", found.memory ? `${(found.memory / 1e9).toFixed(1)} GB` : ""]
      .filter(Boolean)
      .join(", "),
    threads: `${found.threads.used} of ${found.threads.hardware}`,
    blas: found.blas.detail ?? "",
    date: new Date().toISOString().slice(0, 16).replace("T", " ") + " UTC",
    load: loadavg()[0].toFixed(1),
    rounds,
    rivals: rivalVersions(),
  };
}

const number = (x: number): string =>
  x >= 1000 ? x.toFixed(0) : x >= 100 ? x.toFixed(1) : x >= 1 ? x.toFixed(2) : x.toFixed(3);

function shareOf(unit: string, { limit, share }: SubjectResult): string {
  if (!limit || share === undefined) return "";
  // What is exceeded is no limit, and is not called one.
  if (!unit.endsWith("/s")) {
    const what = share < 1 ? `the reference, ${limit.name}` : limit.name;
    return `${share.toFixed(2)} × of ${what} (${number(limit.value)})`;
  }
  const what = share > 1 ? `the reference kernel, ${limit.name}` : limit.name;
  return `${(100 * share).toFixed(1)} % of ${what} (${number(limit.value)})`;
}

function verdict({ wanted, missed }: SubjectResult): string {
  if (wanted.length === 0) return "";
  return missed.length === 0 ? `met: ${wanted.join(", ")}` : `MISSED: ${missed.join(", ")}`;
}

/** A row as lines of text. */
export function rowLines({ name, unit, subjects, rivals, note, failed }: RowResult): string[] {
  const lines = [`  ${name}`];
  if (failed) lines.push(`    failed: ${failed}`);
  for (const subject of subjects) {
    const parts = [shareOf(unit, subject), verdict(subject)].filter(Boolean);
    lines.push(
      `    ${subject.name.padEnd(26)}${number(subject.value).padStart(9)} ${unit}   ${parts.join("   ")}`
        .trimEnd(),
    );
  }
  const absent = new Map<string, string[]>();
  for (const { name: rival, value, missing } of rivals) {
    if (missing !== undefined) absent.set(missing, [...absent.get(missing) ?? [], rival]);
    if (value === undefined) continue;
    const ratios = subjects.filter(({ ratios }) => ratios[rival] !== undefined)
      .map(({ name, ratios }) => `${name} ${ratios[rival].toFixed(2)} ×`);
    lines.push(`    ${rival.padEnd(26)}${number(value).padStart(9)} ${unit}   ${ratios.join(", ")}`);
  }
  for (const [reason, names] of absent) lines.push(`    not measured: ${names.join(", ")}: ${reason}`);
  if (note) lines.push(`    (${note})`);
  return lines;
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** A run as a section of RESULTS.md. */
export function section(machine: Machine, results: readonly RowResult[]): string {
  const missing = results.flatMap(({ rivals }) => rivals.map(({ missing }) => missing));
  const isAlone = missing.includes(leftOut) && missing.every((reason) => reason !== undefined);
  const lines = [
    `## ${machine.runtime}`,
    "",
    `${machine.date}. ${machine.system}; threads ${machine.threads}; ${machine.engine}; load average at the start ${machine.load}; ` +
    `medians of ${machine.rounds} rounds. BLAS: ${machine.blas || "none"}.`,
    "",
    isAlone
      ? `Without rivals: ${leftOut}.`
      : `Rivals: ${
        Object.entries(machine.rivals).map(([name, version]) => `${name} ${version}`).join(", ") ||
        "none installed"
      }.`,
  ];
  for (const group of new Set(results.map((row) => row.group))) {
    lines.push(
      "",
      `### ${group}`,
      "",
      "| work | ours | speed | of the limit | rivals | wanted |",
      "|---|---|---|---|---|---|",
    );
    const notes = new Set<string>(), absent = new Map<string, Set<string>>();
    for (const row of results.filter((row) => row.group === group)) {
      for (const { name, missing } of row.rivals) {
        if (missing !== undefined && !(isAlone && missing === leftOut)) {
          absent.set(missing, (absent.get(missing) ?? new Set()).add(name));
        }
      }
      if (row.subjects.length === 0 && !row.failed) lines.push(`| ${cell(row.name)} | | | | | |`);
      if (row.failed) lines.push(`| ${cell(row.name)} | – | failed: ${cell(row.failed)} | | | |`);
      for (const subject of row.subjects) {
        const ratios = row.rivals.flatMap(({ name, value }) =>
          value === undefined ? [] : [`${name} ${number(value)}: **${subject.ratios[name].toFixed(2)} ×**`]
        );
        for (const [name, ratio] of Object.entries(subject.ratios)) {
          if (!row.rivals.some((rival) => rival.name === name)) {
            ratios.push(`${name}: **${ratio.toFixed(2)} ×**`);
          }
        }
        const cells = [
          row.name,
          subject.name,
          `${number(subject.value)} ${row.unit}`,
          shareOf(row.unit, subject),
          ratios.join("; "),
          verdict(subject),
        ];
        lines.push(`| ${cells.map(cell).join(" | ")} |`);
      }
      if (row.note) notes.add(`${row.name}: ${row.note}.`);
    }
    for (const [reason, names] of absent) notes.add(`Not measured: ${[...names].join(", ")} (${reason}).`);
    if (notes.size) lines.push("", ...notes);
    const curves = curvesOf(results.filter((row) => row.group === group));
    if (curves.length > 0) {
      const path = curvesPath(machine);
      lines.push(
        "",
        `![Curves of ${group} with their laws](${path})`,
        "",
        ...curves.map((curve) => `- ${lawText(curve)}`),
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Where the curves of a machine's run are drawn, beside RESULTS.md. */
export const curvesPath = ({ runtime }: Machine): string => `growth-${runtime.split(" ")[0]}.svg`;

const preface = `# What the benches measured

Written by \`deno task bench --write\` (\`bun bench --write\`, \`node bench/main.ts --write\`), each runtime its own section. Ours, the
limit and the rivals take turns in one run, so only ratios should be quoted; each is the quotient of the two medians beside it,
and says how many times as fast as the rival ours is. "Of the limit" compares with a kernel that only multiplies and adds in
registers, through the same engine in the same moment, or with how fast the C library reads memory in huge pages (the engine, where
no library may be opened); one that ours exceeds is called a reference.
"Wanted" is the project's own aim, written beside each row in \`bench/ops\` and \`bench/flows\`.
`;

/** The section `last` with the groups of `now` in the place of its own. */
function withGroups(last: string, now: string, { date, load, rounds }: Machine): string {
  const split = (text: string): string[] => text.split(/^(?=### )/m).map((part) => part.trimEnd());
  const [head, ...groups] = split(last), [, ...fresh] = split(now);
  const titleOf = (group: string): string => group.split("\n", 1)[0];
  for (const group of fresh) {
    const title = titleOf(group), at = groups.findIndex((other) => titleOf(other) === title);
    const when =
      `Measured by itself: ${date}, load average at the start ${load}, medians of ${rounds} rounds.`;
    groups.splice(at < 0 ? groups.length : at, at < 0 ? 0 : 1, group.replace(title, `${title}\n\n${when}`));
  }
  return `${[head, ...groups].join("\n\n")}\n`;
}

/**
 * RESULTS.md with this run in the place of the same runtime's last; of a run of some groups only (`partial`), with those in
 * the place of what they were, each with a line that says when.
 */
export function mergeResults(
  before: string,
  machine: Machine,
  results: readonly RowResult[],
  partial = false,
): string {
  const kind = machine.runtime.split(" ")[0], parts = before.split(/^(?=## )/m);
  const others = parts.filter((part) => part.startsWith("## ") && !part.startsWith(`## ${kind} `));
  const last = parts.find((part) => part.startsWith(`## ${kind} `)), now = section(machine, results);
  const own = partial && last !== undefined ? withGroups(last, now, machine) : now;
  const sections = [...others.map((part) => `${part.trimEnd()}\n`), own].sort();
  return [preface, ...sections].join("\n");
}

/** The rows that the README shows, by group and name; of each, the first of ours. */
const headlines: readonly [group: string, row: string][] = [
  ["f32 products", "[512,768]×[768,3072]"],
  ["products with quantised weights", "q8 [512,768]×[768,3072]"],
  ["GPT-2 124M, decode", "f32"],
  ["GPT-2 124M, decode", "q8"],
  ["GPT-2 124M, decode", "q4"],
  ["GPT-2 124M, prefill", "f32, 512 tokens"],
  ["training", "nanoGPT's small model, batch 12 of 64"],
  ["loading", "124M, f32, ready to decode"],
  ["tokenizer", "encode 1 MB"],
];

/** Of several ways to run one rival (threads, a browser) the one that ours is least ahead of. */
function strongest(ratios: Readonly<Record<string, number>>): [rival: string, ratio: number][] {
  const best = new Map<string, [rival: string, ratio: number]>();
  for (const [rival, ratio] of Object.entries(ratios)) {
    const program = rival.split(" ", 1)[0], other = best.get(program);
    if (other === undefined || ratio < other[1]) best.set(program, [rival, ratio]);
  }
  return [...best.values()];
}

/** `readme` with the table of this run between its two marks. */
export function headline(readme: string, machine: Machine, results: readonly RowResult[]): string {
  const lines = [
    "",
    `${machine.date}, ${machine.runtime}, ${machine.system}, ${machine.threads} threads, medians of ${machine.rounds} rounds.`,
    "",
    "| work | ours | of the limit | times as fast as |",
    "|---|---|---|---|",
  ];
  for (const [group, name] of headlines) {
    const row = results.find((row) => row.group === group && row.name === name),
      [subject] = row?.subjects ?? [];
    if (row === undefined || subject === undefined) continue;
    const rivals = Object.entries(subject.ratios).filter(([rival]) =>
      row.rivals.some(({ name }) => name === rival)
    );
    const ratios = strongest(Object.fromEntries(rivals)).map(([rival, ratio]) =>
      `${rival} ${ratio.toFixed(2)} ×`
    );
    const cells = [
      `${group}: ${name}`,
      `${number(subject.value)} ${row.unit}`,
      shareOf(row.unit, subject),
      ratios.join(", "),
    ];
    lines.push(`| ${cells.map(cell).join(" | ")} |`);
  }
  const mark = /(<!-- bench -->)[\s\S]*?(<!-- \/bench -->)/;
  return readme.replace(mark, (_, begin: string, end: string) => `${begin}\n${lines.join("\n")}\n\n${end}`);
}
