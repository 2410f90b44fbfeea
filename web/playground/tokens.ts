/**
 * The tokenizer seen: a text cut into the tokens that a model reads, by its own tokenizer or by any tokenizer.json.
 *
 * @module
 */
import type { Engine } from "../engine/client.ts";
import { h } from "../shared/elements.ts";
import { visible } from "../shared/heads.ts";
import { element as at, messageOf } from "../shared/page.ts";
import { say } from "../shared/status.ts";

const example = "To be, or not to be: that is the question.";

/** Fills the card; gives what to call when another model is open. */
export function tokenView(engine: Engine): () => void {
  const text = h("textarea", { id: "to-cut", rows: 3, maxlength: 20_000, spellcheck: "false" }, example);
  const pieces = h("div", { id: "pieces", class: "pieces" }),
    facts = h("p", { class: "hint number", id: "token-facts" });
  const pick = h("input", {
    id: "tokenizer-file",
    type: "file",
    accept: ".json,.gguf",
    class: "visually-hidden",
  });
  const name = h("span", { class: "hint", id: "tokenizer-name" });
  const own = h("button", { type: "button", id: "own-tokenizer", hidden: true }, "The model's own");
  let file: File | null = null, asking = false, again = false;

  async function cut(): Promise<void> {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      do {
        again = false;
        const found = await engine.ask({ do: "tokens", text: text.value, file });
        name.textContent = `${file === null ? "The model's tokenizer" : file.name} knows ${
          found.vocabulary.toLocaleString("en")
        } tokens.`;
        const rate = found.count > 0 ? `, ${(found.letters / found.count).toFixed(2)} letters a token` : "";
        facts.textContent =
          (found.left ? `Left out, as the tokenizer does not know them: ${found.left}. ` : "") +
          `${found.count} tokens for ${found.letters} letters (${found.bytes} bytes)${rate}` +
          (found.pieces.length < found.count ? `; the first ${found.pieces.length} are shown` : "");
        pieces.replaceChildren(
          ...found.pieces.map(({ id, text }) =>
            h(
              "span",
              { class: `piece p${id % 5}`, title: `token ${id}` },
              visible(text),
              h("small", {}, String(id)),
            )
          ),
        );
      } while (again);
    } catch (error) {
      pieces.replaceChildren();
      facts.textContent = messageOf(error);
    } finally {
      asking = false;
    }
  }
  text.addEventListener("input", () => void cut());
  pick.addEventListener("change", () => {
    file = pick.files?.[0] ?? null;
    pick.value = "";
    own.hidden = file === null;
    if (file !== null) say(`${file.name} cuts the text now; the model reads with its own.`);
    void cut();
  });
  own.addEventListener("click", () => {
    file = null;
    own.hidden = true;
    void cut();
  });
  at("tokens").append(
    h(
      "p",
      { class: "hint" },
      "A model reads numbers, not letters: a tokenizer cuts the text into pieces that have one each.",
    ),
    h("label", { for: "to-cut" }, "Text to cut"),
    text,
    h(
      "div",
      { class: "row" },
      h("label", { for: "tokenizer-file", class: "button" }, "Another tokenizer.json"),
      pick,
      own,
      name,
    ),
    facts,
    pieces,
  );
  return () => void cut();
}
