/**
 * The page of the network that one sees. The network lives in a worker; the page asks for the next steps once it has
 * drawn the last, so it never falls behind and never blocks.
 *
 * @module
 */
import { type ChartLine, drawChart, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { element, messageOf, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { type DataName, makePoints, type Points } from "./data.ts";
import { drawNetwork, drawPlane, palette } from "./draw.ts";
import type { NetworkOptions, NetworkView } from "./view.ts";
import type { Answer, Question } from "./worker.ts";

startPage();

const history = 4096, most = { layers: 5, neurons: 8 };
const line: ChartLine = { color: "", x: new Float64Array(history), y: new Float64Array(history), length: 0 };
const plane = element<HTMLCanvasElement>("plane"), play = element<HTMLButtonElement>("play");
const select = (id: string): HTMLSelectElement => element<HTMLSelectElement>(id);
const range = (id: string): HTMLInputElement => element<HTMLInputElement>(id);

let hidden = [6, 6], seed = 1, view: NetworkView | null = null, colors = palette();
let points: Points = { places: new Float32Array(0), kinds: new Float32Array(0) };
let playing = false,
  busy = false,
  kind = 0,
  mark: [number, number] | null = null,
  worker: Worker | null = null;

function send(question: Question): void {
  worker?.postMessage(question);
}

const rate = (): number => 10 ** (Number(range("rate").value) / 100);

function options(): NetworkOptions {
  return {
    hidden,
    activation: select("activation").value as NetworkOptions["activation"],
    optimizer: select("optimizer").value as NetworkOptions["optimizer"],
    lr: rate(),
    seed,
  };
}

/** A network with fresh weights, for the points there are. */
function make(): void {
  line.length = 0;
  showLayers();
  send({ ask: "make", options: options(), points });
}

function train(steps: number): void {
  if (busy) return;
  busy = true;
  send({ ask: "train", steps });
}

function setPlaying(on: boolean): void {
  if (on && points.kinds.length === 0) {
    return say("There are no points to learn from; click on the plane to add some.");
  }
  playing = on;
  play.textContent = on ? "Pause" : "Play";
  if (on) train(2);
}

function draw(): void {
  if (view !== null) drawNetwork(element<HTMLCanvasElement>("diagram"), view, colors);
  drawPlane(plane, view, points, colors, mark);
  line.color = cssColor("--accent");
  drawChart(element<HTMLCanvasElement>("loss"), [line], true);
}

function take(next: NetworkView): void {
  view = next;
  const { step, loss, accuracy } = view;
  if (Number.isFinite(loss)) {
    if (line.length === history) {
      // Every other point makes room for as many again.
      for (let i = 0; i < history / 2; i++) {
        line.x[i] = line.x[2 * i];
        line.y[i] = line.y[2 * i];
      }
      line.length = history / 2;
    }
    line.x[line.length] = step;
    line.y[line.length++] = loss;
  }
  element("facts").textContent = Number.isFinite(loss)
    ? `step ${step}  loss ${short(loss)}  right ${(100 * accuracy).toFixed(1)} %`
    : `step ${step}`;
  draw();
  if (!playing && element<HTMLDetailsElement>("weights").closest("details")!.open) showWeights();
}

function showWeights(): void {
  if (view === null) return;
  const rows: HTMLTableRowElement[] = [];
  for (const [l, biases] of view.biases.entries()) {
    const before = view.weights[l].length / biases.length;
    for (let o = 0; o < biases.length; o++) {
      const row = document.createElement("tr");
      const weights = [...view.weights[l].subarray(o * before, (o + 1) * before)];
      for (const text of [l + 1, o + 1, biases[o].toFixed(3), weights.map((w) => w.toFixed(3)).join("  ")]) {
        row.insertCell().textContent = String(text);
      }
      row.cells[2].className = "number";
      rows.push(row);
    }
  }
  element("weights").replaceChildren(...rows);
}

function showLayers(): void {
  const box = element("layers"), focused = document.activeElement?.id;
  const button = (
    id: string,
    text: string,
    label: string,
    disabled: boolean,
    act: () => void,
  ): HTMLButtonElement => {
    const made = document.createElement("button");
    made.type = "button";
    made.id = id;
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.disabled = disabled;
    made.addEventListener("click", () => {
      act();
      make();
    });
    return made;
  };
  const change = (i: number, by: number) => () => hidden = hidden.map((n, k) => k === i ? n + by : n);
  box.replaceChildren(...hidden.map((count, i) => {
    const item = document.createElement("div");
    item.className = "layer";
    item.append(
      `Layer ${i + 1}: ${count}`,
      button(`fewer-${i}`, "−", `One neuron fewer in layer ${i + 1}`, count === 1, change(i, -1)),
      button(`more-${i}`, "+", `One neuron more in layer ${i + 1}`, count === most.neurons, change(i, 1)),
      button(
        `drop-${i}`,
        "×",
        `Remove layer ${i + 1}`,
        false,
        () => hidden = hidden.filter((_, k) => k !== i),
      ),
    );
    return item;
  }));
  const add = button(
    "add-layer",
    "Add a layer",
    "Add a layer",
    hidden.length === most.layers,
    () => hidden = [...hidden, 4],
  );
  box.append(add);
  if (focused) document.getElementById(focused)?.focus();
}

function newPoints(): void {
  points = makePoints(select("data").value as DataName, 200, Number(range("noise").value), 1);
  if (points.kinds.length === 0) setPlaying(false);
  line.length = 0;
}

/** Adds a point of the chosen kind at (x, y). */
function addPoint(x: number, y: number): void {
  const { places, kinds } = points;
  if (kinds.length >= 1000) return say("A thousand points are the most.", "error");
  points = { places: Float32Array.from([...places, x, y]), kinds: Float32Array.from([...kinds, kind]) };
  send({ ask: "points", points });
  draw();
}

function showRanges(): void {
  element("noise-value").textContent = Number(range("noise").value).toFixed(2);
  element("rate-value").textContent = short(rate());
  range("rate").setAttribute("aria-valuetext", short(rate()));
}

function start(): void {
  if (typeof WebAssembly !== "object") {
    return say("This browser denies WebAssembly, and the network computes with it.", "error");
  }
  worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    busy = false;
    if ("error" in data) {
      setPlaying(false);
      return say(data.error, "error");
    }
    for (const id of ["play", "step", "again"]) element<HTMLButtonElement>(id).disabled = false;
    take(data.view);
    // Fast once the first shapes are there, slow enough at the beginning to be watched.
    if (playing) requestAnimationFrame(() => train(data.view.step < 60 ? 1 : 4));
  });
  worker.addEventListener("error", (event) => {
    setPlaying(false);
    say(
      event.message
        ? messageOf(event.message)
        : "The engine could not be loaded: the connection is lost, or a file is missing.",
      "error",
    );
  });
  make();
}

play.addEventListener("click", () => setPlaying(!playing));
element("step").addEventListener("click", () => {
  setPlaying(false);
  train(1);
});
element("again").addEventListener("click", () => {
  seed++;
  make();
});
for (const id of ["data", "noise"]) {
  element(id).addEventListener("input", () => {
    newPoints();
    showRanges();
    make();
  });
}
range("rate").addEventListener("input", () => {
  showRanges();
  send({ ask: "rate", lr: rate() });
});
for (const id of ["activation", "optimizer"]) select(id).addEventListener("change", make);
for (const k of [0, 1]) {
  element(`kind-${k}`).addEventListener("click", () => {
    kind = k;
    for (const other of [0, 1]) element(`kind-${other}`).setAttribute("aria-pressed", String(other === k));
  });
}
element("clear").addEventListener("click", () => {
  setPlaying(false);
  select("data").value = "none";
  newPoints();
  send({ ask: "points", points });
  draw();
});
plane.addEventListener("pointerdown", ({ offsetX, offsetY }) => {
  const { clientWidth, clientHeight } = plane;
  addPoint(2.2 * offsetX / clientWidth - 1.1, 1.1 - 2.2 * offsetY / clientHeight);
});
plane.addEventListener("keydown", (event) => {
  const [dx, dy] =
    { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
  if (event.key === "Enter" || event.key === " ") addPoint(...mark ?? [0, 0] as [number, number]);
  else if (dx === 0 && dy === 0) return;
  const clamp = (value: number): number => Math.min(Math.max(value, -1), 1);
  mark = [clamp((mark?.[0] ?? 0) + dx * 0.05), clamp((mark?.[1] ?? 0) + dy * 0.05)];
  draw();
  event.preventDefault();
});
plane.addEventListener("blur", () => {
  mark = null;
  draw();
});
element("weights").closest("details")!.addEventListener("toggle", showWeights);
addEventListener("themechange", () => {
  colors = palette();
  draw();
});
newPoints();
showRanges();
new ResizeObserver(draw).observe(plane);
start();
