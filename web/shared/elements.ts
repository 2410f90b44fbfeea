/**
 * Elements made by scripts.
 *
 * @module
 */

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

let sliders = 0;

/** A slider with its name and value. */
export function slider(
  name: string,
  { min, max, step, value }: { min: number; max: number; step: number; value: number },
  changed: (value: number) => void,
  shown: (value: number) => string = String,
): HTMLElement {
  const id = `slider-${++sliders}`, output = h("output", { for: id }, shown(value));
  const input = h("input", { id, type: "range", min, max, step, value, "aria-valuetext": shown(value) });
  input.addEventListener("input", () => {
    output.textContent = shown(input.valueAsNumber);
    input.setAttribute("aria-valuetext", output.textContent);
    changed(input.valueAsNumber);
  });
  return h(
    "div",
    { class: "field" },
    h("span", { class: "row" }, h("label", { for: id }, name), output),
    input,
  );
}
