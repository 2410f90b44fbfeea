/**
 * A trained model as one HTML file: the model, a script and a few rules of style; it fetches nothing.
 *
 * @module
 */
import { escapeHtml } from "../shared/escape.ts";
import type { Standalone } from "./standalone.ts";

/** What goes into the file. */
export interface Taken {
  readonly title: string;
  /** Where the data come from. */
  readonly source: string;
  /** The bundled script of `standalone.ts`. */
  readonly script: string;
  readonly data: Standalone;
}

const style = `:root{color-scheme:light dark;--accent:light-dark(#a8431a,#f29a68)}
body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}
strong{font-size:2rem;display:block}#answer{position:sticky;top:0;background:Canvas;padding:.5rem 0;border-bottom:1px solid}
#answer p{margin:.2rem 0;display:flex;justify-content:space-between;gap:1rem}
label{display:grid;grid-template-columns:1fr auto;margin:.8rem 0}input,select{grid-column:1/-1;width:100%;accent-color:var(--accent);font:inherit}`;

/** Text inside a script element: nothing in it may end the element. */
const inScript = (text: string): string => text.replaceAll("</", "<\\/").replaceAll("<!--", "<\\!--");

/** The whole page. */
export function standalonePage({ title, source, script, data }: Taken): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p>${
    escapeHtml(source)
  }</p><div id="answer" aria-live="polite"></div><form id="inputs"></form>
<script>globalThis.STANDALONE=${inScript(JSON.stringify(data))}</script>
<script>${inScript(script)}</script></body></html>
`;
}
