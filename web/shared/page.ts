/**
 * What every page does first: the switch between light and dark, the service worker, messages for what nobody caught,
 * and the line that tells what this browser gives.
 *
 * @module
 */
import { showCapabilities } from "./capabilities.ts";
import { say } from "./status.ts";

/** The root of the site, such as "http://127.0.0.1:8000/". */
export function siteRoot(): URL {
  return new URL(document.body.dataset.root ?? "./", location.href);
}

/** The element with this id. @throws when the page has none. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element "${id}"`);
  return found as T;
}

/** Whether the visitor asked for less motion. */
export function reducedMotion(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** What an error says, in words for a visitor. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (/failed to fetch|networkerror|load failed/i.test(text)) {
    return "A file could not be fetched: the connection is lost, or the server is gone.";
  }
  // Which function of the library said it is nothing to a visitor.
  return text.replace(/^generate: (.)/, (_, first: string) => first.toUpperCase());
}

function dark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

function startTheme(): void {
  element("theme-toggle").addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // It holds for this page.
    }
    dispatchEvent(new Event("themechange"));
    say(theme === "dark" ? "Dark." : "Light.");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener(
    "change",
    () => dispatchEvent(new Event("themechange")),
  );
}

async function startServiceWorker(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(new URL("sw.js", siteRoot()));
    const { active } = await navigator.serviceWorker.ready;
    active?.postMessage("keep the models");
    // A host that cannot send the headers for threads: the service worker adds them from the next load on.
    if (!crossOriginIsolated && sessionStorage.getItem("isolated") === null) {
      sessionStorage.setItem("isolated", "tried");
      if (navigator.serviceWorker.controller === null) location.reload();
    }
  } catch {
    // Offline use is a convenience; the page works without it.
  }
}

/** Of a paste that is longer than its field takes, the browser would lay out all before it cuts: it is cut first, and told. */
function cutPaste(event: ClipboardEvent): void {
  const field = event.target;
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) return;
  const { maxLength, selectionStart: from, selectionEnd: to, value, readOnly } = field;
  if (maxLength < 0 || readOnly || from === null || to === null) return;
  const pasted = event.clipboardData?.getData("text/plain") ?? "",
    room = maxLength - value.length + to - from;
  if (pasted.length <= room) return;
  event.preventDefault();
  field.setRangeText(pasted.slice(0, Math.max(0, room)), from, to, "end");
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  say(
    `There is room for ${maxLength.toLocaleString("en")} letters; the rest of what was pasted is left out.`,
  );
}

/** Starts what all pages share. Call it once, first. */
export function startPage(): void {
  addEventListener("error", (event) => say(messageOf(event.error ?? event.message), "error"));
  addEventListener("unhandledrejection", (event) => say(messageOf(event.reason), "error"));
  addEventListener("paste", cutPaste);
  startTheme();
  // On a phone the navigation is wider than the screen.
  const list = document.querySelector(".site-header nav"),
    here = list?.querySelector<HTMLElement>("[aria-current]");
  if (list && here) list.scrollLeft = here.offsetLeft - (list.clientWidth - here.offsetWidth) / 2;
  void showCapabilities(element("capabilities"));
  void startServiceWorker();
}
