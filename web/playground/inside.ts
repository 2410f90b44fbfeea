/**
 * What is inside the model for the text that stands there: arcs of attention, a layer at a time, and what each layer would say next.
 *
 * @module
 */
import type { Engine } from "../engine/client.ts";
import type { LoadedModel } from "../engine/messages.ts";
import { h } from "../shared/elements.ts";
import { HeadsView } from "../shared/heads.ts";
import { LensTable } from "../shared/lens_table.ts";
import { element as at, messageOf } from "../shared/page.ts";
import { say } from "../shared/status.ts";

type View = "attention" | "lens";

/** The card. */
export class InsideView {
  readonly #engine: Engine;
  readonly #text: () => string;
  readonly #layer = h("select", { id: "layer" });
  readonly #layerField = h("label", { class: "row" }, "Layer", this.#layer);
  readonly #look = h("button", { type: "button", id: "look" }, "Look");
  readonly #heads = new HeadsView("arcs");
  readonly #lens = new LensTable("lens");
  readonly #views = h("div", { class: "row", id: "views", role: "group", "aria-label": "What to look at" });
  readonly #hint = h("p", { class: "hint" });
  #view: View = "attention";
  #asked = 0;

  /** `text` gives what there is to look at. */
  constructor(engine: Engine, text: () => string) {
    this.#engine = engine;
    this.#text = text;
    this.#look.addEventListener("click", () => void this.show());
    this.#layer.addEventListener("change", () => void this.show());
    const names: Record<View, string> = { attention: "Attention", lens: "Layer by layer" };
    for (const [view, name] of Object.entries(names) as [View, string][]) {
      this.#views.append(
        h("button", { type: "button", "data-view": view, onclick: () => this.#choose(view, true) }, name),
      );
    }
    at("inside").append(
      h("div", { class: "row" }, this.#views, this.#layerField, this.#look),
      this.#heads.element,
      this.#lens.element,
      this.#hint,
    );
    this.#choose(this.#view, false);
  }

  #choose(view: View, looks: boolean): void {
    this.#view = view;
    for (const button of this.#views.children) {
      button.setAttribute("aria-pressed", String((button as HTMLElement).dataset.view === view));
    }
    this.#layerField.hidden = view !== "attention";
    this.#hint.textContent = view === "attention"
      ? "Each head chooses which tokens before it a token takes something from. Point at a token; choose a head."
      : "What the model would say next if it ended after each layer (the logit lens). Darker is surer.";
    this.clear();
    if (looks) void this.show();
  }

  /** Another model: other layers and heads. */
  use({ layers }: LoadedModel): void {
    this.#layer.replaceChildren(
      ...Array.from({ length: layers }, (_, i) => h("option", { value: i }, String(i + 1))),
    );
    this.clear();
  }

  /** The text is another one now. */
  clear(): void {
    this.#asked++;
    this.#heads.clear();
    this.#lens.clear();
  }

  /** Looks at the text as it is. */
  async show(): Promise<void> {
    const text = this.#text(), own = ++this.#asked, view = this.#view;
    if (!text) return say("There is no text to look at yet.", "error");
    try {
      if (view === "lens") {
        const found = await this.#engine.ask({ do: "lens", text });
        if (own === this.#asked) this.#lens.show(found);
      } else {
        const found = await this.#engine.ask({ do: "attend", text, layer: Number(this.#layer.value) });
        if (own === this.#asked) this.#heads.show(found);
      }
    } catch (error) {
      say(messageOf(error), "error");
    }
  }
}
