/**
 * The page on which a GPT learns a text. Everything is computed in a worker.
 *
 * @module
 */
import { type ChartLine, drawChart, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { download } from "../shared/download.ts";
import { h, slider } from "../shared/elements.ts";
import { element as at, messageOf, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { fromHash, longestShared, ranges, type Settings, toHash } from "./settings.ts";
import { texts } from "./texts.ts";
import type { Answer, Question } from "./worker.ts";

startPage();

const most = 2000;
const line: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const held: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const text = at<HTMLTextAreaElement>("text"), go = at<HTMLButtonElement>("go");
const stop = at<HTMLButtonElement>("stop"), save = at<HTMLButtonElement>("download");
const shared = fromHash(location.hash), settings = shared.settings;
let worker: Worker | null = null;

const pause = at<HTMLButtonElement>("pause"), one = at<HTMLButtonElement>("step");
const choice = at<HTMLSelectElement>("choice");
let run = 0, waits = false, mine = false;

/** Longer texts make the box slow, and no run here reads more. */
const longest = 1_000_000;

function fill(whole: string): void {
  text.value = whole.slice(0, longest);
  count();
  if (whole.length > longest) {
    say(`The first million letters of ${whole.length.toLocaleString("en")} are taken; the rest is left out.`);
  }
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
  if (on) save.disabled = true;
}

function take(answer: Answer): void {
  if (answer.run !== run) return; // of a run that was left
  switch (answer.say) {
    case "start":
      if (mine) say(`${answer.parameters.toLocaleString("en")} weights begin to learn.`);
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
      if (held.length < most) {
        held.x[held.length] = answer.step;
        held.y[held.length++] = answer.loss;
      }
      at("held").textContent = `held out ${short(answer.loss)}`;
      draw();
      break;
    case "sample":
      at("samples-hint").hidden = true;
      at("samples").prepend(
        h("li", {}, h("span", { class: "step" }, `Step ${answer.step}`), h("p", {}, answer.text)),
      );
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
      save.disabled = false;
      if (mine) {
        say(
          answer.finished
            ? "It has learnt; the model is ready to download."
            : "Stopped; the model is as it was then.",
        );
      }
      break;
    case "archive":
      download("my-gpt.zip", new Blob([...answer.pieces], { type: "application/zip" }));
      say("my-gpt.zip is a folder that Hugging Face transformers and this library read.");
      break;
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

function begin(): void {
  const { rate, ...rest } = settings;
  line.length = held.length = 0;
  at("held").textContent = "";
  at("changed").hidden = true;
  at("samples").replaceChildren();
  ask({ ask: "train", run: ++run, options: { ...rest, text: text.value, lr: 10 ** (rate / 100) } });
}
go.addEventListener("click", () => {
  mine = true;
  say("Starting …");
  begin();
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
  if (pasted.length <= longest) return;
  event.preventDefault();
  fill(pasted);
  changed();
});
for (const kind of ["dragover", "drop"] as const) {
  addEventListener(kind, (event) => {
    const file = event.dataTransfer?.files[0];
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    // Four bytes a letter at most.
    if (kind === "drop" && file) {
      file.slice(0, 4 * longest + 4).text().then((whole) => {
        fill(whole);
        changed();
      }, (error) => say(messageOf(error), "error"));
    }
  });
}
/** What runs was begun with other settings. */
function changed(): void {
  at("changed").hidden = stop.disabled;
}
save.addEventListener("click", () => ask({ ask: "download" }));
const count = (): string => at("count").textContent = `${text.value.length.toLocaleString("en")} letters`;
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
at("share").addEventListener("click", async () => {
  history.replaceState(null, "", `#${toHash(settings, choice.value, text.value)}`);
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  const long = text.value.length > longestShared && text.value !== texts[choice.value]();
  say(
    long
      ? `The link holds the settings alone: your text has more than ${longestShared} letters.`
      : "The link is in the address bar, and copied where the browser allows that.",
  );
});
addEventListener("hashchange", () => location.reload());
choice.append(...Object.keys(texts).map((name) => h("option", {}, name)));
choice.value = shared.choice;
fill(shared.text ?? texts[choice.value]());
if (shared.ignored.length > 0) {
  say(`The link says what is not known here; left out: ${shared.ignored.join(", ")}.`);
}
begin();
