/**
 * The one line that tells the visitor what happens; screen readers speak it.
 *
 * @module
 */
let timer: ReturnType<typeof setTimeout> | undefined;

/** Says `text`. Errors stay until the next message; the rest fades after a few seconds. */
export function say(text: string, kind: "note" | "error" = "note"): void {
  const line = document.getElementById("status");
  if (line === null) return;
  clearTimeout(timer);
  line.textContent = text;
  line.dataset.kind = kind;
  line.classList.toggle("shown", text !== "");
  if (kind === "note") timer = setTimeout(() => line.classList.remove("shown"), 5000);
}
