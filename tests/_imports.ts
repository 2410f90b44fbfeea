/**
 * The sources as text: which files there are, and what they import. Nothing is parsed, so it takes no time.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { repository } from "./_data.ts";

/** One import or re-export, and where it stands. */
export interface Import {
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
  /** A dynamic `import()` is loaded when it is reached, a type never. */
  readonly kind: "static" | "dynamic" | "type";
}

/** The sources in a folder, or the one file. */
export function sourceFiles(folder: string): string[] {
  const root = join(repository, folder);
  if (!existsSync(root)) return [];
  if (root.endsWith(".ts")) return [folder];
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".ts") && !/\/(node_modules|dist)\//.test(name));
}

/** Text with its comments blanked out, of the same length and with the same lines. */
export function withoutComments(text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, " ");
  // Strings are matched first so that "https://" in one does not begin a comment.
  return text.replace(
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|\/\*[^]*?\*\/|\/\/[^\n]*/g,
    (part) => part.startsWith("/") ? blank(part) : part,
  );
}

/** Text with comments and the insides of strings blanked out. */
export function withoutStrings(text: string): string {
  return withoutComments(text).replace(
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`/g,
    (part) => part.replace(/[^\n]/g, " "),
  );
}

/** The number of the line that a character stands in. */
export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/** What a file imports. */
export function importsOf(file: string): Import[] {
  const text = withoutComments(readFileSync(join(repository, file), "utf8"));
  const found: Import[] = [];
  const add = (pattern: RegExp, kind: (match: RegExpExecArray) => Import["kind"]) => {
    for (const match of text.matchAll(pattern)) {
      found.push({ file, line: lineOf(text, match.index), specifier: match.groups!.at!, kind: kind(match) });
    }
  };
  add(
    /^[ \t]*(?:import|export)\s+(?<type>type\s+)?(?:[\w*$\s,{}]*?\sfrom\s*|\{[^}]*\}\s*from\s*|\*\s*from\s*)?"(?<at>[^"\n]+)"/gm,
    (match) => match.groups!.type === undefined ? "static" : "type",
  );
  add(/\bimport\(\s*"(?<at>[^"\n]+)"\s*\)/g, () => "dynamic");
  return found;
}

/** The file in the repository that an import leads to; null when it leads elsewhere. */
export function targetOf({ file, specifier }: Import): string | null {
  if (!specifier.startsWith(".")) return null;
  return relative(repository, resolve(repository, dirname(file), specifier)).replaceAll("\\", "/");
}

/** Groups of files that reach one another by what they import as they are loaded (Tarjan 1972). */
export function circlesOf(files: readonly string[]): string[][] {
  const next = new Map(
    files.map((file) =>
      [file, importsOf(file).filter(({ kind }) => kind === "static").map(targetOf)] as const
    ),
  );
  const index = new Map<string, number>(), low = new Map<string, number>(), stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const to of next.get(file)!) {
      if (to === null || !next.has(to)) continue;
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(file, Math.min(low.get(file)!, low.get(to)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) circles.push(circle);
  };
  for (const file of files) if (!index.has(file)) visit(file);
  return circles;
}
