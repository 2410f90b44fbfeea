/**
 * What all pages have: navigation, a line that says what goes on, and how to make elements.
 *
 * @module
 */
import { pages } from "../pages.ts";

type Child = Node | string;

/** An element with attributes and children; `on…` attributes are listeners. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number | boolean | ((event: Event) => void)>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/** The element with this id. */
export function at<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Puts the navigation in its place and the service worker to work. */
export function startPage(folder: string): void {
  const home = pages.find((page) => page.home)?.folder === folder, up = home ? "./" : "../";
  const links = pages.map((page) => {
    const link = h("a", { href: page.home ? up : `${up}${page.folder}/` }, page.name);
    if (page.folder === folder) link.setAttribute("aria-current", "page");
    return link;
  });
  at("top").append(
    h("a", { class: "brand", href: up }, "ferrotype"),
    h("nav", { "aria-label": "Pages" }, ...links),
  );
  if ("serviceWorker" in navigator && isSecureContext) {
    // Without one the page works as well, only not offline.
    navigator.serviceWorker.register(new URL(`${up}sw.js`, location.href)).catch(() => {});
  }
}

/** Says what goes on, to readers of the screen and to others. */
export function say(text: string, bad = false): void {
  const status = at("status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

/** A slider with its name and value. */
export function slider(
  name: string,
  { min, max, step, value }: { min: number; max: number; step: number; value: number },
  changed: (value: number) => void,
  shown: (value: number) => string = String,
): HTMLLabelElement & { input: HTMLInputElement } {
  const output = h("span", { class: "value" }, shown(value));
  const input = h("input", { type: "range", min, max, step, value });
  input.addEventListener("input", () => {
    output.textContent = shown(input.valueAsNumber);
    changed(input.valueAsNumber);
  });
  return Object.assign(h("label", {}, name, output, input), { input });
}
