/**
 * The tour of a first visit: seven stops of a few sentences, which can be left at any time.
 *
 * @module
 */
import { say } from "../shared/status.ts";

const stops: readonly (readonly [selector: string, title: string, text: string])[] = [
  [
    ".canvas-box",
    "A landscape of loss",
    "Training a model means walking downhill on a surface such as this one, only with millions of directions instead of two. Pale blue is low, rust is high; every contour line is one level. Small circles mark the lowest points.",
  ],
  [
    ".canvas-box",
    "Choose a start",
    "Click anywhere, or use the arrow keys, and all optimizers begin there. On some surfaces the start decides who wins.",
  ],
  [
    ".transport",
    "Race",
    "Play starts the race, Step takes a single step, Speed sets how many steps there are in a frame.",
  ],
  [
    "#racers",
    "Who leads",
    "The lowest loss leads. Untick one to take it out; drag its learning rate while it runs, and it obeys at once. A rate that is too large throws an optimizer off the plane.",
  ],
  [
    "#time",
    "Go back in time",
    "Drag Time to see the race as it was. Play goes on from there, with other settings if you like.",
  ],
  [
    "#sliders",
    "Settings for all",
    "Momentum and the betas say for how long an optimizer remembers. Point at anything to read what it does. The finder tries forty learning rates for each.",
  ],
  [
    "#surface",
    "Other surfaces",
    "Try Rastrigin for its hundred traps, Ackley for its plain, or type a formula of your own. The 3-D view turns with a drag. Have fun.",
  ],
];

/** Whether this visitor has seen it. */
export function tourSeen(): boolean {
  try {
    return localStorage.getItem("race-tour") !== null;
  } catch {
    return true;
  }
}

/** Shows the tour from its beginning; resolves once it is over. */
export function showTour(): void {
  document.querySelector(".tour")?.remove();
  const box = document.createElement("section");
  box.className = "tour";
  box.setAttribute("aria-label", "Tour");
  const title = document.createElement("h2"), text = document.createElement("p");
  const row = document.createElement("div"), skip = document.createElement("button");
  const next = document.createElement("button");
  row.className = "row spread";
  skip.type = next.type = "button";
  skip.textContent = "Skip the tour";
  next.className = "primary";
  row.append(skip, next);
  box.append(title, text, row);
  let at = -1;
  const unmark = (): void => document.querySelector(".toured")?.classList.remove("toured");
  const end = (): void => {
    unmark();
    box.remove();
    removeEventListener("keydown", onKey);
    try {
      localStorage.setItem("race-tour", "seen");
    } catch {
      // It shows again next time.
    }
  };
  const go = (): void => {
    unmark();
    if (++at === stops.length) return end();
    const [selector, heading, words] = stops[at];
    const target = document.querySelector(selector);
    target?.classList.add("toured");
    if (at > 0) target?.scrollIntoView({ block: "center" });
    title.textContent = heading;
    text.textContent = words;
    next.textContent = at === stops.length - 1 ? "Done" : `Next (${at + 1} of ${stops.length})`;
    if (at > 0) say(`${heading}. ${words}`);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") end();
  };
  skip.addEventListener("click", end);
  next.addEventListener("click", go);
  addEventListener("keydown", onKey);
  document.body.append(box);
  go();
}
