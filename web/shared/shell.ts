/**
 * What surrounds every page: head, navigation and footer, as text that the build writes into the HTML, so that a page
 * shows before any script has run.
 *
 * @module
 */
import { type PageInfo, pages } from "../pages.ts";
import { escapeHtml } from "./escape.ts";

/** Where the build put what a page asks for, seen from the page. */
export interface PageAssets {
  /** From the page to the root of the site: "./" or "../". */
  readonly root: string;
  /** Style sheets. */
  readonly styles: readonly string[];
  /** The small script that runs before the first paint. */
  readonly theme: string;
  /** The page's module. */
  readonly script: string;
  /** Modules that it imports. */
  readonly preload: readonly string[];
}

// Hub models are read only when the visitor names one.
const hub = "https://huggingface.co https://*.huggingface.co https://*.hf.co";
const policy = (more: string): string =>
  [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    `connect-src 'self' blob: ${hub}${more}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' " +
  "fill='%23a8431a'/%3E%3Cpath d='M8 23c5 0 5-14 16-14M8 16h12' stroke='%23fff' stroke-width='3' fill='none' stroke-linecap='round'/%3E%3C/svg%3E";

function link(page: PageInfo, root: string, current: PageInfo): string {
  const here = page === current ? ' aria-current="page"' : "";
  return `<li><a href="${root}${page.id === "" ? "" : `${page.id}/`}"${here}>${
    escapeHtml(page.nav)
  }</a></li>`;
}

/** The cards of the landing page. */
function cards(root: string): string {
  return pages.filter(({ id }) => id !== "").map(({ id, title, about }) =>
    `<li><a class="card card-link" href="${root}${id}/"><span class="card-art art-${id}" aria-hidden="true"></span>` +
    `<h2>${escapeHtml(title)}</h2><p>${escapeHtml(about)}</p></a></li>`
  ).join("\n");
}

/** A whole page around `content`. */
export function renderPage(page: PageInfo, content: string, assets: PageAssets): string {
  const { root, styles, theme, script, preload } = assets;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy(page.asksServers ? " http: https:" : "")}">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escapeHtml(page.about)}">
<meta property="og:title" content="${escapeHtml(page.title)} – ferrotype">
<meta property="og:description" content="${escapeHtml(page.about)}">
<meta property="og:type" content="website">
<meta property="og:site_name" content="ferrotype">
<meta name="twitter:card" content="summary">
<title>${escapeHtml(page.title)} – ferrotype</title>
<link rel="icon" href="${icon}">
<script src="${theme}"></script>
${styles.map((href) => `<link rel="stylesheet" href="${href}">`).join("\n")}
${preload.map((href) => `<link rel="modulepreload" href="${href}">`).join("\n")}
<script type="module" src="${script}"></script>
</head>
<body data-page="${page.id || "start"}" data-root="${root}">
<a class="skip" href="#main">Skip to the content</a>
<header class="site-header">
<a class="brand" href="${root}"><span class="brand-mark" aria-hidden="true"></span>ferrotype</a>
<nav aria-label="Pages"><ul>
${pages.map((one) => link(one, root, page)).join("\n")}
</ul></nav>
<button type="button" class="button quiet theme-toggle" id="theme-toggle" aria-label="Light or dark">◐</button>
</header>
<main id="main" tabindex="-1">
<noscript><p class="notice">These pages compute in your browser, so they need JavaScript.</p></noscript>
${content.replace("<!-- cards -->", () => cards(root))}
</main>
<p id="status" class="status" role="status" aria-live="polite"></p>
<footer class="site-footer">
<div id="capabilities" class="capabilities"></div>
<p>${
    page.asksServers
      ? "What you ask goes to the servers that you name, and nowhere else."
      : "Everything is computed on this machine. Nothing you type leaves it."
  }</p>
</footer>
</body>
</html>
`;
}
