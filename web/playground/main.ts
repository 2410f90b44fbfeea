/**
 * The playground: a GPT continues a text, and every token shows what else it might have been.
 *
 * @module
 */
import { Engine } from "../engine/client.ts";
import type { Choice, ReadingNote, WriteOptions, Written } from "../engine/messages.ts";
import { h, slider } from "../shared/elements.ts";
import { element as at, messageOf, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { visible } from "../shared/heads.ts";
import { InsideView } from "./inside.ts";
import { hubAddress, ModelChooser } from "./model.ts";
import { sideBySide } from "./side.ts";
import { tokenView } from "./tokens.ts";

startPage();
const engine = new Engine(), text = at("text"), choices = at("choices");
const prompt = at<HTMLTextAreaElement>("prompt"),
  go = at<HTMLButtonElement>("go"),
  stop = at<HTMLButtonElement>("stop");
const tokens: { element: HTMLElement; written: Written }[] = [];
let controller: AbortController | null = null, chosen = -1, pinned = false;

const numbers = {
  maxNewTokens: 100,
  temperature: 0.8,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  epsilonCutoff: 0,
  etaCutoff: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  noRepeatNgramSize: 0,
  seed: 1,
};
let stopText = "", isOwn = false;

/** Least, most and step of each slider; an address holds values of these, too. */
const ranges: Readonly<
  Record<Exclude<keyof typeof numbers, "seed">, readonly [min: number, max: number, step: number]>
> = {
  maxNewTokens: [1, 500, 1],
  temperature: [0, 2, 0.05],
  topK: [0, 65, 1],
  topP: [0.05, 1, 0.05],
  minP: [0, 0.5, 0.01],
  typicalP: [0.05, 1, 0.05],
  epsilonCutoff: [0, 0.02, 0.0005],
  etaCutoff: [0, 0.02, 0.0005],
  repetitionPenalty: [1, 2, 0.05],
  frequencyPenalty: [-2, 2, 0.1],
  presencePenalty: [-2, 2, 0.1],
  noRepeatNgramSize: [0, 10, 1],
};

/** The most that top k may be, of any model. */
const mostTopK = 200;

/** The address says what was asked. */
function readAddress(given: URLSearchParams): string[] {
  const ignored: string[] = [];
  for (const name of Object.keys(numbers) as (keyof typeof numbers)[]) {
    const text = given.get(name), value = Number(text);
    if (text === null) continue;
    const [min, max, step] = name === "seed" ? [0, 2 ** 32 - 1, 1] : ranges[name];
    const most = name === "topK" ? mostTopK : max;
    if (text.trim() !== "" && value >= min && value <= most && (step < 1 || Number.isInteger(value))) {
      numbers[name] = value;
    } else ignored.push(`${name}=${text}`);
  }
  if (given.has("prompt")) prompt.value = given.get("prompt") as string;
  stopText = given.get("stop") ?? "";
  isOwn = given.get("model") === "own";
  return ignored;
}

function address(): string {
  const given = new URLSearchParams({ prompt: prompt.value });
  for (const [name, value] of Object.entries(numbers)) given.set(name, String(value));
  if (stopText) given.set("stop", stopText);
  const { place } = chooser;
  if (place && "repository" in place) {
    given.set("repository", place.repository);
    given.set("revision", place.revision);
    if (place.endpoint !== hubAddress) given.set("hub", place.endpoint);
  } else if (isOwn && place && "files" in place) given.set("model", "own");
  return `${location.origin}${location.pathname}#${given}`;
}

function controls(): void {
  const make = (
    name: keyof typeof ranges,
    label: string,
    shown?: (value: number) => string,
  ): HTMLElement => {
    const [min, max, step] = ranges[name];
    const made = slider(
      label,
      { min, max: Math.max(max, numbers[name]), step, value: numbers[name] },
      (value) => {
        numbers[name] = value;
        void weigh();
      },
      shown,
    );
    made.querySelector("input")!.dataset.name = name;
    return made;
  };
  const seed = h("input", { type: "number", min: 0, step: 1, value: numbers.seed, id: "seed" });
  seed.addEventListener("input", () => numbers.seed = Math.max(0, Math.floor(seed.valueAsNumber || 0)));
  const end = h("input", {
    type: "text",
    maxlength: 200,
    value: stopText,
    id: "end",
    placeholder: "nothing",
  });
  end.addEventListener("input", () => stopText = end.value);
  at("options").append(
    h("h2", {}, "How to choose"),
    make("temperature", "Temperature", (v) => v === 0 ? "0: the likeliest" : v.toFixed(2)),
    make("topK", "Top k", (v) => v === 0 ? "all" : String(v)),
    make("topP", "Top p", (v) => v.toFixed(2)),
    make("minP", "Min p", (v) => v.toFixed(2)),
    make("repetitionPenalty", "Repetition penalty", (v) => v.toFixed(2)),
    make("maxNewTokens", "Tokens"),
    h("label", { for: "seed" }, "Seed", seed),
    h("label", { for: "end" }, "Stop at", end),
    h(
      "details",
      { id: "more-options" },
      h("summary", {}, "More ways to choose"),
      h(
        "div",
        { class: "stack" },
        make("typicalP", "Typical p", (v) => v.toFixed(2)),
        make("epsilonCutoff", "Epsilon cutoff", (v) => v === 0 ? "off" : v.toFixed(4)),
        make("etaCutoff", "Eta cutoff", (v) => v === 0 ? "off" : v.toFixed(4)),
        make("frequencyPenalty", "Frequency penalty", (v) => v.toFixed(1)),
        make("presencePenalty", "Presence penalty", (v) => v.toFixed(1)),
        make(
          "noRepeatNgramSize",
          "No sequence twice, tokens",
          (v) => v === 0 ? "off" : String(v),
        ),
      ),
    ),
  );
}

/** The settings as the engine takes them. */
const asked = (): WriteOptions => ({ ...numbers, stop: stopText ? [stopText] : [] });

/** Shows what else token number `index` might have been; choosing one goes on from there. */
function show(index: number): void {
  tokens[chosen]?.element.classList.remove("chosen");
  chosen = index;
  const token = tokens[index];
  if (!token) return;
  token.element.classList.add("chosen");
  const { written } = token, rows = [...written.others];
  if (!rows.some(({ text }) => text === written.text)) rows.push(written);
  // What was told while it wrote; what the settings make of it comes when the engine has computed that.
  list(index, rows.map(({ text, probability }) => ({ text, before: probability, after: null })));
  void weigh();
}

/** Rows of choices: above what the model says, below what is drawn from. */
function list(
  index: number,
  rows: readonly (Omit<Choice, "id" | "after"> & { after: number | null })[],
): void {
  const { written } = tokens[index];
  const bar = (share: number, name: string): HTMLElement =>
    h("span", { class: "bar" }, h("span", { class: name, style: `width:${(100 * share).toFixed(1)}%` }));
  choices.replaceChildren(
    h(
      "div",
      { class: "stack" },
      ...rows.map(({ text, before, after }) =>
        h(
          "button",
          {
            type: "button",
            class: after === 0 ? "choice out" : "choice",
            "aria-pressed": String(text === written.text),
            onclick: () => branch(index, text),
          },
          h("span", { class: "mono" }, visible(text)),
          h("span", { class: "bars" }, bar(before, "before"), ...after === null ? [] : [bar(after, "after")]),
          h("span", { class: "mono" }, `${(100 * (after ?? before)).toFixed(1)} %`),
        )
      ),
    ),
  );
}

let weighing = false, weighAgain = false;

/** Asks what the settings make of the chosen place; while an answer is on its way, only the last question counts. */
async function weigh(): Promise<void> {
  if (weighing) {
    weighAgain = true;
    return;
  }
  weighing = true;
  try {
    do {
      weighAgain = false;
      const index = chosen, own = controller, token = tokens[index];
      if (!token) return;
      const made = tokens.slice(0, index).flatMap(({ written }) => written.ids);
      const found = await engine.ask({ do: "choices", prompt: started, made, options: asked() });
      if (index !== chosen || own !== controller) continue;
      const { written } = token, isThere = found.choices.some(({ text }) => text === written.text);
      list(index, [
        ...found.choices,
        ...isThere ? [] : [{ text: written.text, before: written.probability, after: null }],
      ]);
      const all = found.possible;
      choices.append(
        h(
          "p",
          { class: "hint" },
          `Above: the model. Below: with your settings, ${all} ${all === 1 ? "token" : "tokens"} left.`,
        ),
      );
    } while (weighAgain);
  } catch (error) {
    say(messageOf(error), "error");
  } finally {
    weighing = false;
  }
}

/** Goes on as if token number `index` had been another. */
function branch(index: number, other: string): void {
  prompt.value = `${started}${tokens.slice(0, index).map(({ written }) => written.text).join("")}${other}`;
  void write();
}

let started = "", opened = false;
const choicesHint = choices.firstElementChild as Element;

function add(written: Written): void {
  const index = tokens.length;
  // The less likely a token was, the darker its ground.
  const doubt = Math.min(1, -Math.log(Math.max(written.probability, 1e-6)) / 5);
  const element = h("span", { class: "token", style: `--doubt:${(60 * doubt).toFixed(0)}%` }, written.text);
  element.addEventListener("pointerenter", () => pinned || show(index));
  // A click holds a letter, so that its alternatives stay while the pointer travels to them; another lets go.
  element.addEventListener("click", () => {
    pinned = !(pinned && chosen === index);
    text.classList.toggle("pinned", pinned);
    show(index);
  });
  tokens.push({ element, written });
  text.append(element);
}

/** What the model does not see of a prompt, in words; nothing where it sees all. */
function noteOf({ left, tokens, seen }: ReadingNote): string {
  const notes = left ? [`Left out, as the model does not know them: ${left}`] : [];
  if (seen < tokens) {
    const [all, last] = [tokens, seen].map((count) => count.toLocaleString("en"));
    notes.push(`The prompt has ${all} tokens, and the model sees ${last} at once: the last ones.`);
  }
  return notes.join(" ");
}

/** `quiet`: by itself, when the page opens; then nothing is said of it. */
async function write(quiet = false): Promise<void> {
  controller?.abort();
  const own = controller = new AbortController();
  started = prompt.value;
  tokens.length = 0;
  chosen = -1;
  pinned = false;
  text.classList.remove("pinned");
  // What stood there belonged to the text before.
  choices.replaceChildren(choicesHint);
  const tell = (message: string): void => quiet ? undefined : say(message);
  text.replaceChildren(h("span", { class: "given" }, started));
  inside.clear();
  at("note").textContent = "";
  stop.disabled = false;
  tell("Writing …");
  const options = asked();
  try {
    const note = started ? await engine.ask({ do: "reading", text: started }) : null;
    if (own !== controller) return;
    if (note) at("note").textContent = noteOf(note);
    const { finishReason, tokensPerSecond } = await engine.ask(
      { do: "write", prompt: started, options },
      { signal: own.signal, piece: (piece) => own === controller && add(piece) },
    );
    if (own !== controller) return;
    at("speed").textContent = `${tokensPerSecond.toFixed(0)} tokens/s`;
    void inside.show();
    tell(finishReason === "stop" ? "Ended at the stop text." : `Wrote ${tokens.length} tokens.`);
  } catch (error) {
    if (own !== controller) return;
    if ((error as Error).name === "CancelledError") tell(`Stopped after ${tokens.length} tokens.`);
    else say(messageOf(error), "error");
  } finally {
    if (own === controller) stop.disabled = true;
  }
}

text.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !tokens.length) return;
  event.preventDefault();
  show(Math.min(tokens.length - 1, Math.max(0, chosen + step)));
});
go.addEventListener("click", () => void write());
stop.addEventListener("click", () => controller?.abort());
at("share").addEventListener("click", async () => {
  history.replaceState(null, "", address());
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  say("The link is in the address bar, and copied where the browser allows that.");
});
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void write();
});

const asking = new URLSearchParams(location.hash.slice(1)), ignored = readAddress(asking);
controls();
if (ignored.length > 0) say(`The link says what is not possible here; left out: ${ignored.join(", ")}.`);
const inside = new InsideView(engine, () => text.textContent || prompt.value);
sideBySide(engine, () => prompt.value, asked);
const cutTokens = tokenView(engine);
const chooser = new ModelChooser(engine, (model) => {
  go.disabled = !model.reads;
  controller?.abort();
  at("note").textContent = "";
  // What the model before wrote is plain text to this one.
  if (tokens.length > 0) text.replaceChildren(h("span", { class: "given" }, text.textContent ?? ""));
  tokens.length = 0;
  chosen = -1;
  choices.replaceChildren(choicesHint);
  inside.use(model);
  cutTokens();
  const topK = document.querySelector<HTMLInputElement>("#options input[type=range][data-name=topK]");
  if (topK) topK.max = String(Math.min(mostTopK, model.vocabulary));
  if (!opened && model.reads) void write(true);
  opened = true;
});
try {
  at("machine").textContent = await engine.introduce();
  await chooser.start(isOwn);
  const repository = asking.get("repository");
  if (repository) {
    chooser.propose({
      repository,
      revision: asking.get("revision") ?? "main",
      endpoint: asking.get("hub") ?? hubAddress,
    });
  }
} catch (error) {
  say(messageOf(error), "error");
}
// Another link, or a step back: what it says is shown anew.
addEventListener("hashchange", () => location.reload());
