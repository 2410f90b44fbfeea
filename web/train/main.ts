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
import type { Answer, Question } from "./worker.ts";

startPage();

const most = 2000;
const line: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const text = at<HTMLTextAreaElement>("text"), go = at<HTMLButtonElement>("go");
const stop = at<HTMLButtonElement>("stop"), save = at<HTMLButtonElement>("download");
const settings = { layers: 2, width: 64, context: 64, steps: 300, rate: -250, seed: 1 };
let worker: Worker | null = null;

text.value = `Jack and Jill went up the hill
To fetch a pail of water;
Jack fell down and broke his crown,
And Jill came tumbling after.

Up Jack got, and home did trot,
As fast as he could caper,
To old Dame Dob, who patched his nob
With vinegar and brown paper.
`;

function draw(): void {
  line.color = cssColor("--accent");
  drawChart(at<HTMLCanvasElement>("loss"), [line]);
}

function running(on: boolean): void {
  go.disabled = on;
  stop.disabled = !on;
  if (on) save.disabled = true;
}

function take(answer: Answer): void {
  switch (answer.say) {
    case "start":
      say(`${answer.parameters.toLocaleString("en")} weights begin to learn.`);
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
    case "sample":
      at("samples-hint").hidden = true;
      at("samples").prepend(
        h("li", {}, h("span", { class: "step" }, `Step ${answer.step}`), h("p", {}, answer.text)),
      );
      break;
    case "end":
      running(false);
      save.disabled = false;
      say(
        answer.finished
          ? "It has learnt; the model is ready to download."
          : "Stopped; the model is as it was then.",
      );
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

go.addEventListener("click", () => {
  const { rate, ...rest } = settings;
  line.length = 0;
  at("samples").replaceChildren();
  ask({ ask: "train", options: { ...rest, text: text.value, lr: 10 ** (rate / 100) } });
});
stop.addEventListener("click", () => ask({ ask: "stop" }));
save.addEventListener("click", () => ask({ ask: "download" }));
const count = (): string => at("count").textContent = `${text.value.length.toLocaleString("en")} letters`;
text.addEventListener("input", count);
const row = (
  name: keyof typeof settings,
  label: string,
  min: number,
  max: number,
  step: number,
  shown: (value: number) => string = String,
) => slider(label, { min, max, step, value: settings[name] }, (value) => settings[name] = value, shown);
at("options").append(
  row("layers", "Layers", 1, 4, 1),
  row("width", "Width", 16, 128, 16),
  row("context", "Context, letters", 16, 128, 16),
  row("steps", "Steps", 50, 2000, 50),
  row("rate", "Learning rate", -400, -100, 10, (value) => short(10 ** (value / 100))),
  row("seed", "Seed", 1, 99, 1),
);
at("options").addEventListener("submit", (event) => event.preventDefault());
addEventListener("themechange", draw);
new ResizeObserver(draw).observe(at("loss"));
count();
