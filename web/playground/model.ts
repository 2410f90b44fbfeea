/**
 * Which model writes: the one that ships here, a folder of the visitor's, or a repository of a hub.
 *
 * @module
 */
import type { Engine } from "../engine/client.ts";
import type { HeldAs, LoadedModel, Loading, ModelPlace } from "../engine/messages.ts";
import { h } from "../shared/elements.ts";
import { element as at, messageOf, siteRoot } from "../shared/page.ts";
import { ownModel } from "../shared/own_model.ts";
import { say } from "../shared/status.ts";
import { unzip } from "../../src/files/zip.ts";

/** The hub that is asked unless another is named. */
export const hubAddress = "https://huggingface.co";

const bundled: ModelPlace = { url: new URL("models/shakespeare/", siteRoot()).href };

/** Small files of a model that pages read, beside its weights; others in a folder are left alone. */
const small: readonly string[] = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
];
const isWanted = (name: string): boolean =>
  small.includes(name) || /\.safetensors(\.index\.json)?$|\.gguf$/i.test(name);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** How many weights, in words. */
function parametersOf(count: number): string {
  if (count < 1e5) return `${count.toLocaleString("en")} parameters`;
  return `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} million parameters`;
}

function progressText({ phase, file, loaded, total }: Loading): string {
  const what = phase === "download" ? `Fetching ${file ?? "the model"}` : "Reading the weights";
  return total > 0 ? `${what}: ${megabytes(loaded)} of ${megabytes(total)}` : `${what}: ${megabytes(loaded)}`;
}

/** Why these files are no model, as far as their names tell. */
function unopened(files: readonly File[]): string {
  const names = files.map(({ name }) => name.toLowerCase());
  const whole = "open the whole folder as Hugging Face has it, or a .gguf";
  if (names.some((name) => name.startsWith("adapter_"))) {
    return `This is an adapter, which changes a model and is none by itself; mergeAdapter() of the library makes a whole model of both; ${whole}.`;
  }
  if (names.some((name) => name.endsWith(".safetensors"))) {
    return `These are weights without the config.json that says what they are of; ${whole}.`;
  }
  if (names.includes("tokenizer.json")) {
    return `This is a tokenizer and no model; choose it under Tokens to see how it cuts a text, or ${whole}.`;
  }
  const what = files.length === 1
    ? `${files[0].name} is no model`
    : `None of these ${files.length} files is a model`;
  return `${what} that this page reads; ${whole}.`;
}

/** All files below an entry that was dropped. */
async function filesBelow(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [
      await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
    ];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader(), found: File[] = [];
  for (;;) {
    // A reader gives a hundred entries at most each time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject)
    );
    if (!some.length) return found;
    for (const one of some) if (one.isFile) found.push(...await filesBelow(one));
  }
}

/** The part of the page that chooses the model; `ready` hears of each one that was loaded. */
export class ModelChooser {
  readonly #engine: Engine;
  readonly #ready: (model: LoadedModel, name: string) => void;
  readonly #progress = h("progress", {
    id: "loading",
    max: 1,
    value: 0,
    "aria-label": "How far the model is",
  });
  readonly #cancel = h("button", { type: "button", id: "cancel-load" }, "Cancel");
  readonly #held = h(
    "select",
    { id: "held" },
    ...["as stored", "f32", "bf16", "q8", "q4"].map((name) => h("option", {}, name)),
  );
  #controller: AbortController | null = null;
  /** Where the model is that is open. */
  place: ModelPlace | null = null;

  /** Fills the card. */
  constructor(engine: Engine, ready: (model: LoadedModel, name: string) => void) {
    this.#engine = engine;
    this.#ready = ready;
    const repository = h("input", {
      id: "repository",
      type: "text",
      placeholder: "openai-community/gpt2",
      spellcheck: "false",
      autocomplete: "off",
    });
    const revision = h("input", {
      id: "revision",
      type: "text",
      value: "main",
      spellcheck: "false",
      autocomplete: "off",
    });
    const hub = h("input", {
      id: "hub",
      type: "text",
      value: hubAddress,
      spellcheck: "false",
      autocomplete: "off",
    });
    const fetchIt = (event: Event): void => {
      event.preventDefault();
      const name = repository.value.trim();
      if (!name) return say("Name a repository first, such as openai-community/gpt2.", "error");
      void this.load({
        repository: name,
        revision: revision.value.trim() || "main",
        endpoint: hub.value.trim(),
      }, name);
    };
    const folder = h("input", { id: "folder", class: "visually-hidden", type: "file", multiple: true });
    // Not every browser lets a folder be chosen; several files do as well.
    folder.toggleAttribute("webkitdirectory", "webkitdirectory" in folder);
    const archive = h("input", {
      id: "archive",
      class: "visually-hidden",
      type: "file",
      accept: ".zip,.gguf",
    });
    for (const input of [folder, archive]) {
      input.addEventListener("change", () => {
        const files = [...input.files ?? []];
        input.value = "";
        if (files.length) void this.#files(files);
      });
    }
    this.#progress.hidden = this.#cancel.hidden = true;
    this.#cancel.addEventListener("click", () => this.#controller?.abort());
    at("model").append(
      h("p", { id: "model-name" }, "…"),
      h("div", { class: "row" }, this.#progress, this.#cancel),
      h(
        "details",
        { id: "other-model" },
        h("summary", {}, "Another model"),
        h(
          "div",
          { class: "stack" },
          h("label", { class: "button", for: "folder" }, "Choose a folder of a model"),
          folder,
          h("label", { class: "button", for: "archive" }, "Choose a .zip or a .gguf"),
          archive,
          h(
            "p",
            { class: "hint" },
            "or drop it anywhere: config.json, model.safetensors and the tokenizer, as Hugging Face has them, that folder as a .zip, or a GGUF; LLaMA, Qwen, Gemma, Phi and others. It stays on this machine and is read as it is needed.",
          ),
          h(
            "form",
            { class: "stack", onsubmit: fetchIt },
            h("label", { for: "repository" }, "A repository of the Hub", repository),
            h("label", { for: "revision" }, "Revision", revision),
            h("label", { for: "hub" }, "Hub", hub),
            h("button", { type: "submit", id: "fetch" }, "Fetch it"),
          ),
          h("label", { for: "held" }, "Hold weights as", this.#held),
          h("button", {
            type: "button",
            id: "bundled",
            onclick: () => void this.load(bundled, "Shakespeare"),
          }, "Back to the model of this page"),
        ),
      ),
    );
    for (const kind of ["dragover", "drop"]) {
      addEventListener(kind, (event) => {
        event.preventDefault();
        if (kind === "drop") void this.#drop((event as DragEvent).dataTransfer);
      });
    }
  }

  async #drop(transfer: DataTransfer | null): Promise<void> {
    // Entries must be asked for before anything is waited for: then the list is empty.
    const entries = [...transfer?.items ?? []].map((item) => item.webkitGetAsEntry?.() ?? null);
    const plain = [...transfer?.files ?? []];
    try {
      const known = entries.filter((entry) => entry !== null);
      const files = known.length ? (await Promise.all(known.map(filesBelow))).flat() : plain;
      if (files.length) await this.#files(files);
    } catch (error) {
      say(messageOf(error), "error");
    }
  }

  async #files(given: readonly File[]): Promise<void> {
    let all = given;
    if (given.length === 1 && given[0].name.toLowerCase().endsWith(".zip")) {
      try {
        all = await unzip(given[0]);
      } catch (error) {
        return say(`${given[0].name}: ${messageOf(error)}`, "error");
      }
      if (all.length === 0) return say(`${given[0].name} is an archive without files.`, "error");
    }
    const folderOf = ({ name, webkitRelativePath }: File): string =>
      webkitRelativePath.slice(0, -name.length);
    // A chosen folder comes with all below it: the model is where the outermost config.json is, or the outermost GGUF.
    const outermost = (is: (name: string) => boolean): File | undefined =>
      all.filter(({ name }) => is(name)).sort((a, b) => folderOf(a).length - folderOf(b).length)[0];
    const config = outermost((name) => name === "config.json") ??
      outermost((name) => name.toLowerCase().endsWith(".gguf"));
    const files = all.filter((file) => isWanted(file.name) && config && folderOf(file) === folderOf(config));
    const path = all[0].webkitRelativePath;
    if (!config) {
      return say(unopened(all), "error");
    }
    await this.load(
      { files },
      path.split("/")[0] || (config.name.endsWith(".gguf") ? config.name : "your folder"),
    );
  }

  /** Fills in a repository that a link speaks of: what is asked of a hub, the visitor asks. */
  propose({ repository, revision, endpoint }: Extract<ModelPlace, { repository: string }>): void {
    const fields = { repository, revision, hub: endpoint };
    for (const [id, value] of Object.entries(fields)) at<HTMLInputElement>(id).value = value;
    at<HTMLDetailsElement>("other-model").open = true;
    say(`This link was made with ${repository} of a hub: "Fetch it", under Model, gets it.`);
  }

  /** The model that ships with the page; with `own`, the one that the visitor brought along from the page where it was trained. */
  async start(own = false): Promise<void> {
    const archive = own ? await ownModel() : null;
    if (archive) return await this.#files([new File([archive], "my-gpt.zip")]);
    if (own) say("The model that this link speaks of is in the browser in which it was trained.", "error");
    return await this.load(bundled, "Shakespeare");
  }

  /** Loads a model; the one before stays when that fails or is cancelled. */
  async load(from: ModelPlace, name: string): Promise<void> {
    this.#controller?.abort();
    const own = this.#controller = new AbortController(),
      label = at("model-name"),
      before = label.textContent;
    this.#progress.hidden = this.#cancel.hidden = false;
    this.#progress.removeAttribute("value");
    say(`Loading ${name} …`);
    try {
      const heldAs = this.#held.value as HeldAs;
      const model = await this.#engine.ask({ do: "load", from, heldAs }, {
        signal: own.signal,
        piece: (piece) => {
          if (own !== this.#controller) return;
          if (piece.total > 0) this.#progress.value = piece.loaded / piece.total;
          label.textContent = progressText(piece);
        },
      });
      if (own !== this.#controller) return;
      const size = parametersOf(model.parameters), positions = model.positions.toLocaleString("en");
      label.textContent = `${name}: ${size}, ${positions} positions, held as ${model.dtype}`;
      this.place = from;
      const wordless =
        "It came without a tokenizer.json, so it reads no text: open it together with that file.";
      if (model.reads) say(`Ready: ${size}, ${positions} positions.`);
      else say(wordless, "error");
      this.#ready(model, name);
    } catch (error) {
      if (own !== this.#controller) return;
      label.textContent = before;
      if ((error as Error).name === "CancelledError") say("Loading was cancelled; what has arrived is kept.");
      else say(messageOf(error), "error");
    } finally {
      if (own === this.#controller) this.#progress.hidden = this.#cancel.hidden = true;
    }
  }
}
