/**
 * The model held in two ways, side by side: the same prompt, how well each predicts a text, how fast it writes.
 *
 * @module
 */
import type { Engine } from "../engine/client.ts";
import type { HeldAs, Side, WriteOptions } from "../engine/messages.ts";
import { h } from "../shared/elements.ts";
import { element as at, messageOf } from "../shared/page.ts";
import { say } from "../shared/status.ts";

const ways: readonly HeldAs[] = ["f32", "bf16", "q8", "q4"];

/** What both are judged by at first. */
const judged = "Now is the winter of our discontent\nMade glorious summer by this sun of York;\n" +
  "And all the clouds that lour'd upon our house\nIn the deep bosom of the ocean buried.\n";

function result({ dtype, bytes, bitsPerLetter, tokensPerSecond, text }: Side): HTMLElement {
  return h(
    "div",
    { class: "stack side" },
    h("h3", {}, dtype),
    h(
      "p",
      { class: "number" },
      `${bitsPerLetter.toFixed(3)} bits a letter, ${(bytes / 1e6).toFixed(1)} MB, ${
        tokensPerSecond.toFixed(0)
      } tokens/s`,
    ),
    h("p", { class: "side-text" }, text),
  );
}

/** Fills the card. */
export function sideBySide(engine: Engine, prompt: () => string, options: () => WriteOptions): void {
  const pick = (id: string, value: HeldAs): HTMLSelectElement => {
    const select = h("select", { id }, ...ways.map((way) => h("option", {}, way)));
    select.value = value;
    return select;
  };
  const sides = [pick("side-a", "f32"), pick("side-b", "q4")], results = h("div", { class: "pair-even" });
  const text = h("textarea", { id: "judged", rows: 3, maxlength: 20_000, spellcheck: "false" }, judged);
  const go = h("button", { type: "button", id: "compare" }, "Compare"),
    hint = h("p", { class: "hint", id: "side-hint" });
  let running: AbortController | null = null;
  go.addEventListener("click", async () => {
    running?.abort();
    if (text.value.trim().length < 2) {
      return say("Give a text of two letters or more to judge them by.", "error");
    }
    const own = running = new AbortController(), found: Side[] = [];
    results.replaceChildren();
    hint.textContent = "";
    try {
      // One after the other: each has the machine for itself.
      for (const { value } of sides) {
        say(`Held as ${value} …`);
        const heldAs = value as HeldAs;
        const question = {
          do: "side",
          heldAs,
          judged: text.value,
          prompt: prompt(),
          options: options(),
        } as const;
        found.push(await engine.ask(question, { signal: own.signal }));
        if (own !== running) return;
        results.append(result(found.at(-1)!));
      }
      const [a, b] = found, more = b.bitsPerLetter - a.bitsPerLetter;
      hint.textContent =
        `${b.dtype} needs ${Math.abs(more).toFixed(3)} bits a letter ${more < 0 ? "less" : "more"} ` +
        `than ${a.dtype}, and takes ${(100 * b.bytes / a.bytes).toFixed(0)} % of its memory.`;
      say("Compared.");
    } catch (error) {
      if (own === running && (error as Error).name !== "CancelledError") say(messageOf(error), "error");
    }
  });
  at("side").append(
    h(
      "p",
      { class: "hint" },
      "The same model, its weights held in two ways: f32 and bf16 as numbers, q8 and q4 in blocks of 8 and 4 bits.",
    ),
    h(
      "div",
      { class: "row" },
      h("label", { class: "row" }, "Hold as", sides[0]),
      h("label", { class: "row" }, "and as", sides[1]),
      go,
    ),
    h(
      "div",
      { class: "field" },
      h("label", { for: "judged" }, "Text to judge them by; then both go on with the prompt above"),
      text,
    ),
    results,
    hint,
  );
}
