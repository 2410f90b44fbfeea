/**
 * The documentation site, from what the repository says anyway: `deno task docs` writes `docs/site`.
 *
 * Every Markdown file here becomes a page, and so does every file of the repository that one of them links to (a
 * lesson's source, a table of results); `deno doc --html` makes the reference from the comments of `mod.ts`, and a page here
 * lists its names by their categories. Links are those of the files, so what works in the repository works in the site; one
 * that leads nowhere stops the build.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Declaration, publicDeclarations } from "../tests/_face.ts";
import { ensurePackages } from "../tests/_install.ts";
import { findRuntimes, runtimeKinds } from "../tests/_runtimes.ts";
import { readTask } from "../tools/task.ts";

const repository = fileURLToPath(new URL("..", import.meta.url)), site = join(repository, "docs", "site");

/** The pages of the table of contents, in its order. */
const contents: readonly [title: string, pages: readonly string[]][] = [
  ["Start", [
    "README.md",
    "docs/lessons.md",
    ...pagesIn("docs").filter((page) => page !== "docs/lessons.md"),
  ]],
  ["Guides", pagesIn("docs/guides")],
  ["The house", [...pagesIn("docs/house"), "CONTRIBUTING.md", "SECURITY.md"].filter(isThere)],
  ["Record", ["CHANGELOG.md", "bench/RESULTS.md"]],
];

function isThere(file: string): boolean {
  return existsSync(join(repository, file));
}

function pagesIn(folder: string): string[] {
  return readdirSync(join(repository, folder)).filter((name) => name.endsWith(".md")).sort()
    .map((name) => `${folder}/${name}`);
}

/** Where a file of the repository stands in the site. */
function addressOf(file: string): string {
  return file === "README.md" ? "index.html" : file.replace(/\.md$/, "") + ".html";
}

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** `text` as HTML shows it. */
function escape(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => escapes[character]);
}

/** A page around its `body`. */
function page(file: string, title: string, body: string): string {
  const here = posix.dirname(addressOf(file));
  const to = (address: string): string => posix.relative(here, address);
  const lists = contents.map(([name, pages]) =>
    `<h2>${name}</h2><ul>${
      pages.map((other) => {
        const current = other === file ? ' aria-current="page"' : "";
        return `<li><a href="${to(addressOf(other))}"${current}>${escape(titleOf(other))}</a></li>`;
      }).join("")
    }</ul>`
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)} · ferrotype</title>
<link rel="stylesheet" href="${to("site.css")}">
<nav aria-label="Contents">
<p><a href="${to("index.html")}">ferrotype</a></p>
${lists.join("\n")}
<h2>Reference</h2><ul><li><a href="${to("reference.html")}">Every name</a></li></ul>
</nav>
<main>
${body}
</main>
</html>
`;
}

/** The first heading of a page, which is its title. */
function titleOf(file: string): string {
  const text = readFileSync(join(repository, file), "utf8");
  return file === "README.md" ? "Read me" : /^# (.*)$/m.exec(text)?.[1].replaceAll("`", "") ?? file;
}

/** Writes the pages into `folder`; gives their number. @throws {Error} where a link leads to nothing. */
export async function buildSite(folder: string): Promise<number> {
  const { Marked } = await import("marked");
  rmSync(folder, { recursive: true, force: true });
  const queue = contents.flatMap(([, pages]) => pages), seen = new Set(queue), dead: string[] = [];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const from = file, text = readFileSync(join(repository, file), "utf8");
    /** The link of a page, for the site; a file of the repository that is linked to comes along. */
    const link = (href: string): string => {
      if (/^([a-z]+:|#)/.test(href)) return href;
      const [path, anchor] = href.split("#"), target = posix.normalize(posix.join(posix.dirname(from), path));
      const full = join(repository, target);
      if (!existsSync(full)) {
        dead.push(`${from}: ${href}`);
        return href;
      }
      // A folder stands for what is in it.
      const wanted = statSync(full).isDirectory() ? folderPage(target) : target;
      if (/\.(png|svg|jpg)$/.test(wanted)) {
        mkdirSync(dirname(join(folder, wanted)), { recursive: true });
        writeFileSync(join(folder, wanted), readFileSync(full));
        return posix.relative(posix.dirname(addressOf(from)), wanted);
      }
      if (!seen.has(wanted)) queue.push(wanted);
      seen.add(wanted);
      const address = posix.relative(posix.dirname(addressOf(from)), addressOf(wanted));
      return anchor === undefined ? address : `${address}#${anchor}`;
    };
    const marked = new Marked({
      walkTokens(token) {
        if (token.type === "link" || token.type === "image") token.href = link(token.href);
      },
      renderer: {
        heading({ tokens, depth }) {
          const inner = this.parser.parseInline(tokens), plain = inner.replaceAll(/<[^>]*>/g, "");
          const id = plain.toLowerCase().replaceAll(/[^\p{L}\p{N} -]/gu, "").replaceAll(" ", "-");
          return `<h${depth} id="${id}">${inner}</h${depth}>\n`;
        },
      },
    });
    if (file.endsWith(".md")) write(folder, file, titleOf(file), await marked.parse(text));
    else writeSource(folder, file);
  }
  if (dead.length > 0) throw new Error(`links that lead nowhere:\n${dead.join("\n")}`);
  writeFileSync(join(folder, "site.css"), readFileSync(join(repository, "docs", "site.css")));
  return seen.size;
}

function write(folder: string, file: string, title: string, body: string): void {
  const path = join(folder, addressOf(file));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, page(file, title, body));
}

/** The page of a file that is no page by itself. */
function writeSource(folder: string, file: string): void {
  const text = readFileSync(join(repository, file), "utf8");
  write(folder, file, file, `<h1>${escape(file)}</h1>\n<pre><code>${escape(text)}</code></pre>`);
}

/** The first sentence of a comment as HTML, without links to what stands elsewhere. */
function summaryOf({ jsDoc }: Declaration): string {
  const [first] = (jsDoc?.doc ?? "").split(/\n\n|(?<=\.)\s/),
    plain = first.replaceAll(/\{@link (\S+?)\}/g, "`$1`");
  return escape(plain).replaceAll(/`([^`]*)`/g, "<code>$1</code>");
}

/** Writes `folder`/reference.html: every name of mod.ts by its category, with a line about it, and gives their number. */
export function writeReference(folder: string, deno: string): number {
  const categories = new Map<string, Map<string, string>>();
  for (const [name, one] of publicDeclarations("mod.ts", deno)) {
    const category = one.jsDoc?.tags?.find(({ kind }) => kind === "category")?.doc?.trim() ?? "Other";
    const names = categories.get(category) ?? new Map<string, string>();
    // Of overloads, the first.
    if (!names.has(name)) names.set(name, summaryOf(one));
    categories.set(category, names);
  }
  const sorted = [...categories].sort(([a], [b]) => a < b ? -1 : 1);
  const anchor = (category: string): string => category.toLowerCase().replaceAll(/\W+/g, "-");
  const rows = (names: Map<string, string>): string =>
    [...names].sort(([a], [b]) => a.localeCompare(b)).map(([name, text]) =>
      `<dt><a href="api/~/${name}.html"><code>${escape(name)}</code></a></dt><dd>${text}</dd>`
    ).join("\n");
  const body = [
    "<h1>Every name</h1>",
    `<p>${sorted.map(([name]) => `<a href="#${anchor(name)}">${escape(name)}</a>`).join(" · ")}</p>`,
    ...sorted.map(([name, names]) =>
      `<h2 id="${anchor(name)}">${escape(name)}</h2>\n<dl>\n${rows(names)}\n</dl>`
    ),
  ].join("\n");
  writeFileSync(join(folder, "reference.html"), page("reference.md", "Every name", body));
  return [...categories.values()].reduce((sum, names) => sum + names.size, 0);
}

/**
 * Makes the reference in `folder`/api refer to sources by pages of the site: `deno doc` names the files of the disk that it
 * read, which nobody else has.
 */
export function linkSources(folder: string): void {
  const here = pathToFileURL(repository).href, sources = new Set<string>();
  for (const name of readdirSync(join(folder, "api"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".html")) continue;
    const path = join(folder, "api", name), text = readFileSync(path, "utf8");
    const from = posix.dirname(posix.join("api", name.replaceAll("\\", "/")));
    const linked = text.replaceAll(/href="(file:[^"]*)"/g, (whole, href: string) => {
      const url = href.replaceAll("&#x2F;", "/");
      if (!url.startsWith(here)) throw new Error(`${name} refers to ${url}, which is not of the repository`);
      const [source, anchor = ""] = decodeURIComponent(url.slice(here.length)).split(/(?=#)/);
      sources.add(source);
      return whole.replace(href, posix.relative(from, addressOf(source)) + anchor);
    });
    // Where one imports from, and the way back to the names by category.
    const home = posix.relative(from, "reference.html");
    const told = linked.replaceAll("from &quot;.&quot;", "from &quot;@ferrotype/ferrotype&quot;")
      .replaceAll(
        /<a href="[^"]*" class="contextLink">(ferrotype|default)<\/a>/g,
        `<a href="${home}" class="contextLink">$1</a>`,
      );
    if (told !== text) writeFileSync(path, told);
  }
  for (const source of sources) writeSource(folder, source);
}

/** The page that stands for a folder. */
function folderPage(folder: string): string {
  return folder.replace(/\/$/, "") === "examples"
    ? "docs/lessons.md"
    : `${folder.replace(/\/$/, "")}/README.md`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  readTask({
    name: "docs",
    summary: "Builds the documentation site into docs/site.",
  });
  ensurePackages();
  const pages = await buildSite(site);
  const { found: [deno], missing } = findRuntimes(runtimeKinds.filter(({ name }) => name === "deno"), true);
  if (deno === undefined) {
    console.error(`docs: the reference needs Deno: ${missing.join(" ")}`);
    process.exit(1);
  }
  const words = ["doc", "--quiet", "--html", "--name=ferrotype", `--output=${join(site, "api")}`, "mod.ts"];
  const { status } = spawnSync(deno.path, words, { cwd: repository, stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) process.exit(1);
  linkSources(site);
  const names = writeReference(site, deno.path);
  console.log(
    `${pages} pages and the reference of ${names} names are in docs/site; open docs/site/index.html`,
  );
}
