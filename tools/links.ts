/**
 * What a page of the repository names, file by file: whoever has the page without the repository, as npm has README, is to have
 * that too.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The relative links of a page in Markdown, pictures too, as paths from the repository's root. */
export function linksIn(page: string, text: string): string[] {
  const found = [...text.matchAll(/\]\(([^()\s]+)\)/g)].map(([, link]) => link.replace(/#.*$/, ""));
  const relative = found.filter((link) => link !== "" && !/^[a-z][\w+.-]*:/i.test(link));
  return [...new Set(relative.map((link) => posix.join(posix.dirname(page), link)))];
}

/** The page, the pages and pictures that it names, and what those name: paths from the root, sorted. */
export async function linkedFrom(page: string): Promise<string[]> {
  const found = new Set([page]);
  for (const one of found) {
    if (!one.endsWith(".md")) continue;
    for (const link of linksIn(one, await readFile(join(root, one), "utf8"))) {
      // Sources are in the package in another form; a folder is none to read.
      if (/\.(md|png|svg|jpg)$/.test(link) && !link.startsWith("..")) found.add(link);
    }
  }
  return [...found].sort();
}
