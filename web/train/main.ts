/**
 * The page on which a GPT learns a text. Everything is computed in a worker.
 *
 * @module
 */
import { type ChartLine, drawChart, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { download } from "../shared/download.ts";
import { h, slider } from "../shared/elements.ts";
import { element as at, messageOf, siteRoot, startPage } from "../shared/page.ts";
import { keepOwnModel } from "../shared/own_model.ts";
import { say } from "../shared/status.ts";
import { readText, whyNoText } from "../shared/text_file.ts";
import {
  fromHash,
  isShareable,
  longestShared,
  mostShared,
  ranges,
  type Settings,
  toHash,
} from "./settings.ts";
import type { View } from "./inside.ts";
import { texts } from "./texts.ts";
import { InsideView, views } from "./view.ts";
import type { Answer, Question } from "./worker.ts";

startPage();

const most = 2000;
const line: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const held: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const text = at<HTMLTextAreaElement>("text"), go = at<HTMLButtonElement>("go");
const stop = at<HTMLButtonElement>("stop"), save = at<HTMLButtonElement>("download");
const open = at<HTMLButtonElement>("open");
const shared = fromHash(location.hash), settings = shared.settings;
let worker: Worker | null = null;

const pause = at<HTMLButtonElement>("pause"), one = at<HTMLButtonElement>("step");
const choice = at<HTMLSelectElement>("choice");
let run = 0, waits = false, mine = false, parameters = 0;
/** The settings and the text of the run, whose model a link may hold. */
let begun = "";
/** Whether the visitor trained a model that is nowhere but here. */
let unsaved = false;

/** No run here reads more. */
const longest = 1_000_000;

/** What the box shows of a text, at most: with more, browsers take seconds to lay it out. */
const mostShown = 20_000;

/** A text that is too long for the box, which shows its beginning; null: what is in the box is the text. */
let long: string | null = null;

/** The text to learn. */
const given = (): string => long ?? text.value;

/** Takes a text; what was there before comes back by the browser's own undo where it was typed. */
function fill(whole: string, isCut = whole.length > longest): void {
  const taken = whole.slice(0, longest);
  long = taken.length > mostShown ? taken : null;
  text.value = taken.slice(0, mostShown);
  text.readOnly = long !== null;
  at("whole").hidden = long === null;
  count();
  if (isCut) say("The first million letters are taken; the rest is left out.");
}

function draw(): void {
  line.color = cssColor("--accent");
  held.color = cssColor("--c2");
  drawChart(at<HTMLCanvasElement>("loss"), [line, held]);
}

function running(on: boolean): void {
  go.textContent = on ? "Start again" : "Train";
  stop.disabled = pause.disabled = one.disabled = !on;
  waits = false;
  pause.textContent = "Pause";
  if (on) save.disabled = open.disabled = true;
}

/** Steps of which there are snapshots, and which of them is looked at; null: the newest step there is. */
let kept: readonly number[] = [], seen: number | null = null;
const time = at<HTMLInputElement>("time"), inside = new InsideView(at("inside"));
let view: View = "map";

/** The slider of time ends at the newest step, whatever has a snapshot. */
function drawTime(): void {
  time.max = String(kept.length);
  time.disabled = kept.length === 0;
  time.value = String(seen === null ? kept.length : kept.indexOf(seen));
  at("when").textContent = seen === null ? "the newest step" : `step ${seen}`;
  time.setAttribute("aria-valuetext", at("when").textContent!);
  const items = [...at("samples").children] as HTMLElement[];
  for (const item of items) item.classList.toggle("seen", item.dataset.step === String(seen ?? kept.at(-1)));
  if (seen !== null) {
    const chosen = items.find((item) => item.dataset.step === String(seen));
    if (chosen) at("samples").scrollTop = chosen.offsetTop - at("samples").offsetTop;
  }
}

/** Looks at a step again; null: at the newest, as it goes on. */
function goTo(step: number | null): void {
  if (step === seen) return;
  seen = step;
  drawTime();
  ask({ ask: "at", step });
}

function look(): void {
  const layer = Number(at<HTMLSelectElement>("layer").value || 0);
  ask({ ask: "look", wish: { view, sentence: at<HTMLInputElement>("sentence").value, layer } });
}

/** Looks at something else. */
function show(next: View): void {
  view = next;
  for (const button of at("views").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
  at("sentence-field").hidden = view !== "attention" && view !== "lens";
  at("layer-field").hidden = view !== "attention";
  at("inside-hint").textContent = views[view][1];
  look();
}

function take(answer: Answer): void {
  if (answer.run !== run) return; // of a run that was left
  switch (answer.say) {
    case "start":
      parameters = answer.parameters;
      if (mine) say(`${parameters.toLocaleString("en")} weights begin to learn.`);
      break;
    case "step": {
      if (line.length < most) {
        line.x[line.length] = answer.step;
        line.y[line.length++] = answer.loss;
      }
      at<HTMLProgressElement>("progress").value = answer.step / settings.steps;
      const pace = Math.round(answer.tokensPerSecond).toLocaleString("en");
      at("facts").textContent = `step ${answer.step}  loss ${short(answer.loss)}  ${pace} letters/s`;
      draw();
      break;
    }
    case "paused":
      at("facts").append(", paused");
      break;
    case "heldOut":
      if (answer.loss === null) {
        at("held").textContent = "nothing held out: the text is short";
        break;
      }
      if (held.length < most) {
        held.x[held.length] = answer.step;
        held.y[held.length++] = answer.loss;
      }
      at("held").textContent = `held out ${short(answer.loss)}`;
      draw();
      break;
    case "sample":
      at("samples-hint").hidden = true;
      kept = answer.steps;
      at("samples").prepend(
        h(
          "li",
          { "data-step": answer.step },
          h("span", { class: "step" }, answer.step === 0 ? "Before the first step" : `Step ${answer.step}`),
          h("p", {}, answer.text),
        ),
      );
      drawTime();
      break;
    case "inside": {
      if (answer.inside.view !== view) break; // of what was looked at before
      inside.show(answer.inside);
      const { left } = answer.inside;
      at("inside-step").textContent = `after step ${answer.step}`;
      at("inside-hint").textContent = left
        ? `Left out, as the model does not know them: ${left}`
        : views[view][1];
      break;
    }
    case "half":
      void copyLink(answer.bits);
      break;
    case "written":
      at("written").textContent = answer.text;
      break;
    case "unwritten":
      at("written").textContent = "";
      say(answer.message, "error");
      break;
    case "end":
      running(false);
      save.disabled = open.disabled = false;
      unsaved = mine;
      if (mine) {
        say(
          answer.finished
            ? "It has learnt; the model is ready to download."
            : "Stopped; the model is as it was then.",
        );
      }
      break;
    case "archive": {
      unsaved = false;
      const archive = new Blob([...answer.pieces], { type: "application/zip" });
      if (answer.to === "playground") {
        const prompt = new URLSearchParams({ model: "own", prompt: at<HTMLInputElement>("prompt").value });
        keepOwnModel(archive).then(
          () => location.href = new URL(`playground/#${prompt}`, siteRoot()).href,
          (error) => say(messageOf(error), "error"),
        );
        break;
      }
      download("my-gpt.zip", archive);
      say(
        "my-gpt.zip is a folder that Hugging Face transformers and this library read; the Playground opens it, too.",
      );
      break;
    }
    case "error":
      running(false);
      say(answer.message, "error");
  }
}

function ask(question: Question): void {
  if (typeof WebAssembly !== "object") {
    return say("This browser denies WebAssembly, and the model is computed with it.", "error");
  }
  if (worker === null) {
    worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => take(data));
    worker.addEventListener("error", (event) => {
      worker = null;
      running(false);
      const lost = "The engine could not be loaded: the connection is lost, or a file is missing.";
      say(event.message ? messageOf(event.message) : lost, "error");
    });
  }
  if (question.ask === "train") running(true);
  worker.postMessage(question);
}

function begin(model: Uint16Array<ArrayBuffer> | null = null): void {
  const { rate, ...rest } = settings, layers = at<HTMLSelectElement>("layer");
  [kept, seen] = [[], null];
  const layer = Math.min(Number(layers.value || 0), settings.layers - 1);
  layers.replaceChildren(
    ...Array.from({ length: settings.layers }, (_, i) => h("option", { value: i }, String(i + 1))),
  );
  layers.value = String(layer);
  line.length = held.length = 0;
  at("held").textContent = "";
  at("changed").hidden = true;
  at("samples").replaceChildren();
  drawTime();
  ask({ ask: "train", run: ++run, options: { ...rest, text: given(), lr: 10 ** (rate / 100) }, model });
  begun = JSON.stringify([settings, given()]);
  if (model !== null) wait(true);
}
go.addEventListener("click", () => {
  mine = true;
  say("Starting …");
  at<HTMLInputElement>("sentence").value = text.value.slice(0, 24).replaceAll("\n", " ");
  begin();
  show(view);
});
stop.addEventListener("click", () => {
  mine = true;
  ask({ ask: "stop" });
});
function wait(on: boolean): void {
  waits = on;
  pause.textContent = on ? "Go on" : "Pause";
}
pause.addEventListener("click", () => {
  wait(!waits);
  ask({ ask: "pause", on: waits });
});
one.addEventListener("click", () => {
  wait(true);
  ask({ ask: "step" });
});
// A page that nobody sees rests, and goes on where it was.
document.addEventListener("visibilitychange", () => {
  if (!stop.disabled && !waits) ask({ ask: "pause", on: document.hidden });
});
choice.addEventListener("change", () => {
  fill(texts[choice.value]());
  changed();
});
text.addEventListener("paste", (event) => {
  const pasted = event.clipboardData?.getData("text/plain") ?? "";
  if (pasted.length + text.value.length <= mostShown && long === null) return;
  event.preventDefault();
  const { value, selectionStart: from, selectionEnd: to } = text;
  fill(long === null ? value.slice(0, from) + pasted + value.slice(to) : pasted);
  changed();
});
at("clear").addEventListener("click", () => {
  fill("");
  text.focus();
  changed();
});
for (const kind of ["dragover", "drop"] as const) {
  addEventListener(kind, (event) => {
    const file = event.dataTransfer?.files[0];
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (kind === "drop" && file) void takeFile(file);
  });
}
/** Takes a file that was dropped; one that is no text leaves what is there. */
async function takeFile(file: File): Promise<void> {
  try {
    const flaw = await whyNoText(file), most = 4 * longest + 4; // four bytes a letter at most
    if (flaw !== null) return say(`${flaw} What is learnt here is a text.`, "error");
    const whole = await readText(file, most);
    fill(whole, whole.length > longest || file.size > most);
    changed();
  } catch (error) {
    say(messageOf(error), "error");
  }
}
/** What runs was begun with other settings. */
function changed(): void {
  at("changed").hidden = stop.disabled;
}
save.addEventListener("click", () => ask({ ask: "archive", to: "download" }));
open.addEventListener("click", () => ask({ ask: "archive", to: "playground" }));
const count = (): string => at("count").textContent = `${given().length.toLocaleString("en")} letters`;
text.addEventListener("input", () => {
  count();
  changed();
});
const row = (name: keyof Settings, label: string, shown: (value: number) => string = String) => {
  const [min, max, step] = ranges[name];
  return slider(label, { min, max, step, value: settings[name] }, (value) => {
    settings[name] = value;
    changed();
  }, shown);
};
at("options").append(
  row("layers", "Layers"),
  row("width", "Width"),
  row("context", "Context, letters"),
  row("steps", "Steps"),
  row("rate", "Learning rate", (value) => short(10 ** (value / 100))),
  row("seed", "Seed"),
);
at("options").addEventListener("submit", (event) => event.preventDefault());
addEventListener("themechange", draw);
new ResizeObserver(draw).observe(at("loss"));
at("write").addEventListener("submit", (event) => {
  event.preventDefault();
  at("written").textContent = "Writing …";
  ask({ ask: "write", prompt: at<HTMLInputElement>("prompt").value });
});
/** Puts the link into the address bar and copies it; with the model where there is one to hold. */
async function copyLink(model: Uint16Array<ArrayBuffer> | null): Promise<void> {
  history.replaceState(null, "", `#${toHash(settings, choice.value, given(), model)}`);
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  const weights = parameters.toLocaleString("en"), most = mostShared.toLocaleString("en");
  say(
    !isShareable(choice.value, given())
      ? `The link holds the settings alone: your text has more than ${longestShared} letters.`
      : "The link is in the address bar, and copied where the browser allows that. " +
        (model !== null
          ? `It holds the model too, all ${weights} weights.`
          : parameters > mostShared
          ? `The model has ${weights} weights, more than the ${most} of a link: download it to keep it.`
          : "The model is left out: it is of other settings, or of none yet."),
  );
}
at("share").addEventListener("click", () => {
  const same = begun === JSON.stringify([settings, given()]);
  if (same && parameters > 0 && parameters <= mostShared && isShareable(choice.value, given())) {
    ask({ ask: "half" });
  } else void copyLink(null);
});
addEventListener("hashchange", () => location.reload());
// A model that was trained by hand, and not taken along, is lost with the page: the browser asks.
addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
at("views").append(
  ...(Object.keys(views) as View[]).map((name) =>
    h("button", { type: "button", "data-view": name, onclick: () => show(name) }, views[name][0])
  ),
);
time.addEventListener("input", () => goTo(kept[time.valueAsNumber] ?? null));
at("samples").addEventListener("click", ({ target }) => {
  const step = (target as Element).closest<HTMLElement>("li")?.dataset.step;
  if (step !== undefined && kept.includes(Number(step))) goTo(Number(step));
});
at("sentence").addEventListener("input", look);
at("layer").addEventListener("change", look);
choice.append(...Object.keys(texts).map((name) => h("option", {}, name)));
choice.value = shared.choice;
fill(shared.text ?? texts[choice.value]());
if (shared.ignored.length > 0) {
  say(`The link says what is not known here; left out: ${shared.ignored.join(", ")}.`);
}
at<HTMLInputElement>("sentence").value = text.value.slice(0, 24).replaceAll("\n", " ");
begin(shared.model);
show(view);
if (shared.model !== null) say("This is the model of the link, as it was; Go on trains it further.");
