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

/** A page's blocks of code, which hold no links. */
const fence = /^```.*?^```$/gms;

const isRelative = (link: string): boolean => link !== "" && !/^[a-z][\w+.-]*:/i.test(link);

/** The relative links of a page in Markdown, pictures too, as paths from the repository's root. */
export function linksIn(page: string, text: string): string[] {
  const found = [...text.replace(fence, "").matchAll(/\]\(([^()\s]+)\)/g)]
    .map(([, link]) => link.replace(/#.*$/, ""));
  return [...new Set(found.filter(isRelative).map((link) => posix.join(posix.dirname(page), link)))];
}

/**
 * A page as it stands in the npm form: what is there in another form is named by that (sources are scripts), and what is not
 * there is named without a link. `has` says what is there, by its path from the root.
 */
export function relinked(page: string, text: string, has: (path: string) => boolean): string {
  const link = (whole: string, said: string, to: string): string => {
    const [path, ...rest] = to.split("#");
    if (!isRelative(path) || has(posix.join(posix.dirname(page), path))) return whole;
    const script = path.replace(/\.ts$/, ".js");
    return has(posix.join(posix.dirname(page), script)) ? `[${said}](${[script, ...rest].join("#")})` : said;
  };
  let at = 0, out = "";
  const prose = (part: string): string => part.replace(/\[([^[\]]*)\]\(([^()\s]+)\)/g, link);
  for (const { index, 0: block } of text.matchAll(fence)) {
    out += prose(text.slice(at, index)) + block;
    at = index + block.length;
  }
  return out + prose(text.slice(at));
}

/** The pages, the pages and pictures that they name, and what those name: paths from the root, sorted. */
export async function linkedFrom(...pages: readonly string[]): Promise<string[]> {
  const found = new Set(pages);
  for (const one of found) {
    if (!one.endsWith(".md")) continue;
    for (const link of linksIn(one, await readFile(join(root, one), "utf8"))) {
      // Sources are in the package in another form, but for the lessons; a folder is none to read.
      if (/\.(md|png|svg|jpg)$|^examples\/\w+\.ts$/.test(link) && !link.startsWith("..")) found.add(link);
    }
  }
  return [...found].sort();
}
