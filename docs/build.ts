/**
 * The documentation site, from what the repository says anyway: `deno task docs` writes `docs/site`.
 *
 * Every Markdown file here becomes a page, and so does every file of the repository that one of them links to (a
 * lesson's source, a table of results); `deno doc --html` makes the reference from the comments of `mod.ts`. Links are
 * those of the files, so what works in the repository works in the site; one that leads nowhere stops the build.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { installed } from "./_install.ts";

const repository = fileURLToPath(new URL("..", import.meta.url)), site = join(repository, "docs", "site");

/** The pages of the table of contents, in its order. */
const contents: readonly [title: string, pages: readonly string[]][] = [
  ["Start", ["README.md", "docs/lessons.md", "docs/errors.md", "docs/generation.md", "docs/permissions.md"]],
  ["Guides", pagesIn("docs/guides")],
  ["The house", pagesIn("docs/house").concat("CONTRIBUTING.md", "SECURITY.md")],
  ["Record", ["CHANGELOG.md", "bench/RESULTS.md"]],
];

function pagesIn(folder: string): string[] {
  return readdirSync(join(repository, folder)).filter((name) => name.endsWith(".md")).sort()
    .map((name) => `${folder}/${name}`);
}

/** Where a file of the repository stands in the site. */
function addressOf(file: string): string {
  return file === "README.md" ? "index.html" : file.replace(/\.md$/, "") + ".html";
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
