/**
 * The page of the network that one sees. The network lives in a worker; the page asks for the next steps once it has
 * drawn the last, so it never falls behind and never blocks.
 *
 * @module
 */
import { type ChartLine, drawChart, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { h } from "../shared/elements.ts";
import { element, messageOf, reducedMotion, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { judge } from "./convergence.ts";
import { noPoints, type Points, pointsFromText, pointsToText } from "./data.ts";
import { drawNetwork, drawPlane, palette, roomFor } from "./draw.ts";
import { featureNames, features } from "./features.ts";
import { neuronAt, type Spot, weightAt, type WeightPlace } from "./geometry.ts";
import { HeatMaps } from "./heat.ts";
import { History } from "./history.ts";
import { batches, fromHash, most, pointsOf, ranges, type Settings, toHash, toOptions } from "./settings.ts";
import type { NetworkOptions, NetworkView, Walk } from "./view.ts";
import type { WalkPlayer } from "./walk.ts";
import type { Answer, Question } from "./worker.ts";

startPage();

const plane = element<HTMLCanvasElement>("plane"), play = element<HTMLButtonElement>("play");
const diagram = element<HTMLCanvasElement>("diagram");
const number = element<HTMLInputElement>("weight"), slide = element<HTMLInputElement>("weight-slider");
const select = (id: string): HTMLSelectElement => element<HTMLSelectElement>(id);
const range = (id: string): HTMLInputElement => element<HTMLInputElement>(id);
const choices = ["data", "activation", "optimizer", "penalty", "batch"] as const;
const sliders = ["noise", "held", "rate", "strength"] as const;

const history = new History();
const curve = (y: Float64Array): ChartLine => ({ color: "", x: history.step, y, length: 0 });
const lines = {
  loss: curve(history.loss),
  held: curve(history.held),
  gradient: curve(history.gradient),
  move: curve(history.move),
};
const heats = new HeatMaps(element("heats"), choose);
let shared = fromHash(location.hash), settings: Settings = shared.settings, options = toOptions(settings);
let view: NetworkView | null = null,
  colors = palette(),
  points: Points = noPoints(),
  own = false,
  edited = false;
let spot: Spot | null = null, chosen: WeightPlace | null = null, walker: WalkPlayer | null = null;
let playing = false,
  busy = false,
  kind = 0,
  looks = 0,
  mark: readonly [number, number] | null = null,
  worker: Worker | null = null,
  hashTimer: ReturnType<typeof setTimeout> | undefined;

function send(question: Question): void {
  worker?.postMessage(question);
}

/** A network with fresh weights, or with those of a link, for the points there are. */
function make(weights: Float32Array | null = null): void {
  closeWalk();
  history.clear();
  spot = chosen = view = null;
  edited = false;
  options = toOptions(settings);
  showLayers();
  showEditor();
  send({ ask: "make", options, points, weights });
  keepHash();
}

/** What may change while the network learns. */
function tune(): void {
  const tuning: NetworkOptions = options = toOptions(settings);
  send({ ask: "tune", tuning });
  keepHash();
}

/** The address says what is chosen, so that going back or reloading loses nothing. */
function keepHash(): void {
  clearTimeout(hashTimer);
  hashTimer = setTimeout(
    () => globalThis.history.replaceState(null, "", `#${toHash(settings, own ? points : null, null)}`),
    300,
  );
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
  closeWalk();
  playing = on;
  play.textContent = on ? "Pause" : "Play";
  if (on) train(2);
  else drawCurves();
}

function draw(): void {
  if (view !== null) {
    if (walker === null) drawNetwork(diagram, view, options.features, colors, spot, chosen);
    heats.draw(view, colors, chosen);
  }
  drawPlane(plane, view, options.features, points, colors, mark, spot);
  for (const line of Object.values(lines)) line.length = history.length;
  lines.loss.color = lines.gradient.color = lines.move.color = cssColor("--accent");
  lines.held.color = cssColor("--c2");
  drawChart(element<HTMLCanvasElement>("loss"), [lines.held, lines.loss], { log: true });
  // They change slowly, and cost as much as the rest.
  if (!playing || looks % 8 === 0) drawCurves();
}

function drawCurves(): void {
  drawChart(element<HTMLCanvasElement>("gradients"), [lines.gradient], { log: true, y: "length" });
  drawChart(element<HTMLCanvasElement>("moves"), [lines.move], { log: true, y: "length" });
  if (view !== null) element("verdict").textContent = judge(history, view, options).text;
}

function take(next: NetworkView): void {
  view = next;
  looks++;
  const { step, loss, accuracy, heldLoss, heldAccuracy } = view,
    right = (part: number) => (100 * part).toFixed(1);
  if (points.kinds.length > 0) history.add(view);
  element("facts").textContent = `step ${step}` +
    (points.kinds.length > 0 ? `  loss ${short(loss)}  right ${right(accuracy)} %` : "") +
    (Number.isNaN(heldAccuracy) ? "" : `  held out ${short(heldLoss)}, ${right(heldAccuracy)} %`);
  if (chosen !== null && document.activeElement !== number && document.activeElement !== slide) showEditor();
  draw();
  if (!playing && element<HTMLDetailsElement>("weights").closest("details")!.open) showWeights();
}

function showWeights(): void {
  if (view === null) return;
  const rows: HTMLTableRowElement[] = [];
  for (const [l, biases] of view.biases.entries()) {
    const before = view.weights[l].length / biases.length;
    for (let o = 0; o < biases.length; o++) {
      const row = h("tr"), weights = [...view.weights[l].subarray(o * before, (o + 1) * before)];
      for (const text of [l + 1, o + 1, biases[o].toFixed(3), weights.map((w) => w.toFixed(3)).join("  ")]) {
        row.insertCell().textContent = String(text);
      }
      row.cells[2].className = "number";
      rows.push(row);
    }
  }
  element("weights").replaceChildren(...rows);
}

/** The number at a place. */
function valueAt({ layer, to, from }: WeightPlace): number {
  const weights = view!.weights[layer], biases = view!.biases[layer];
  return from < 0 ? biases[to] : weights[to * (weights.length / biases.length) + from];
}

function showEditor(): void {
  const none = chosen === null || view === null;
  number.hidden = slide.hidden = none;
  if (chosen === null || view === null) {
    element("weight-name").textContent = "Click a line or a neuron to change its number.";
    return;
  }
  const { layer, to, from } = chosen, last = layer === view.biases.length - 1;
  const target = last ? "the answer" : `neuron ${to + 1} of layer ${layer + 1}`;
  const source = layer === 0
    ? features[options.features[from]]?.label
    : `neuron ${from + 1} of layer ${layer}`;
  element("weight-name").textContent = from < 0 ? `Bias of ${target}` : `Weight from ${source} to ${target}`;
  number.value = slide.value = valueAt(chosen).toFixed(3);
}

/** Chooses the number that can be changed. */
function choose(place: WeightPlace, edit = false): void {
  chosen = place;
  showEditor();
  draw();
  if (edit) number.focus();
}

function setWeight(value: number): void {
  if (chosen === null || !Number.isFinite(value)) return;
  edited = true;
  send({ ask: "weight", ...chosen, value: Math.min(Math.max(value, -100), 100) });
}

/** Shows one neuron large; null is the answer again. */
function lookAt(next: Spot | null): void {
  if (spot?.layer === next?.layer && spot?.index === next?.index) return;
  spot = next;
  const last = view !== null && next?.layer === view.biases.length;
  element("plane-title").textContent = next === null || last
    ? "What it thinks of the plane"
    : next.layer === 0
    ? `Input ${features[options.features[next.index]].label}`
    : `Neuron ${next.index + 1} of layer ${next.layer}`;
  draw();
}

function showLayers(): void {
  const box = element("layers"), focused = document.activeElement?.id;
  const button = (
    id: string,
    text: string,
    label: string,
    disabled: boolean,
    act: () => void,
  ): HTMLButtonElement =>
    h("button", {
      ...{ type: "button", id, "aria-label": label, disabled },
      onclick: () => {
        act();
        make();
      },
    }, text);
  const { hidden } = settings;
  const change = (i: number, by: number) => () =>
    settings.hidden = hidden.map((n, k) => k === i ? n + by : n);
  box.replaceChildren(
    ...hidden.map((count, i) =>
      h(
        "div",
        { class: "layer" },
        `Layer ${i + 1}: ${count}`,
        button(`fewer-${i}`, "−", `One neuron fewer in layer ${i + 1}`, count === 1, change(i, -1)),
        button(`more-${i}`, "+", `One neuron more in layer ${i + 1}`, count === most.neurons, change(i, 1)),
        button(`drop-${i}`, "×", `Remove layer ${i + 1}`, false, () =>
          settings.hidden = hidden.filter((_, k) =>
            k !== i
          )),
      )
    ),
    button(
      "add-layer",
      "Add a layer",
      "Add a layer",
      hidden.length === most.layers,
      () => settings.hidden = [...hidden, 4],
    ),
  );
  if (focused) document.getElementById(focused)?.focus();
}

function newPoints(): void {
  points = pointsOf(settings);
  own = false;
  if (points.kinds.length === 0) setPlaying(false);
}

/** Adds a point of the chosen kind at (x, y), as a link would hold it. */
function addPoint(x: number, y: number): void {
  const { places, kinds, held } = points;
  if (kinds.length >= most.points) return say("A thousand points are the most.", "error");
  points = pointsFromText(pointsToText({
    places: Float32Array.from([...places, x, y]),
    kinds: Float32Array.from([...kinds, kind]),
    held: Uint8Array.from([...held, 0]),
  }))!;
  own = true;
  send({ ask: "points", points });
  keepHash();
  draw();
}

/** The controls say what the settings are. */
function showSettings(): void {
  for (const id of choices) select(id).value = String(settings[id]);
  for (const id of sliders) {
    const [least, largest, step] = ranges[id], input = range(id);
    Object.assign(input, { min: least, max: largest, step });
    input.value = String(settings[id]);
  }
  for (const name of featureNames) {
    element(`feature-${name}`).setAttribute("aria-pressed", String(settings.features.includes(name)));
  }
  const shown = {
    noise: (settings.noise / 100).toFixed(2),
    held: `${settings.held} %`,
    rate: short(10 ** (settings.rate / 100)),
    strength: short(10 ** (settings.strength / 100)),
  };
  for (const id of sliders) {
    element(`${id}-value`).textContent = shown[id];
    range(id).setAttribute("aria-valuetext", shown[id]);
  }
  element("strength-field").hidden = settings.penalty === "none";
}

function closeWalk(): void {
  if (walker === null) return;
  walker.close();
  walker = mark = null;
  element("walk-box").hidden = true;
  element("editor").hidden = false;
  draw();
}

async function showWalk(walk: Walk | null, seen: NetworkView): Promise<void> {
  if (walk === null) return say("There are no points to learn from; click on the plane to add some.");
  const { WalkPlayer } = await import("./walk.ts");
  closeWalk();
  mark = walk.place;
  element("editor").hidden = true;
  walker = new WalkPlayer(diagram, element("walk-box"), seen, walk, options, () => colors, closeWalk);
  draw();
}

/** Takes settings, points and weights from the address. */
function fromAddress(): void {
  settings = shared.settings;
  newPoints();
  if (shared.points !== null) {
    points = shared.points;
    own = true;
  }
  showSettings();
  make(shared.weights);
  if (shared.ignored.length > 0) {
    say(
      `The link says ${
        shared.ignored.join(", ")
      } in a way that this page does not know; the rest of it holds.`,
      "error",
    );
  }
}

function start(): void {
  if (typeof WebAssembly !== "object") {
    return say("This browser denies WebAssembly, and the network computes with it.", "error");
  }
  let opened = false;
  worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    if ("error" in data) {
      busy = false;
      setPlaying(false);
      return say(data.error, "error");
    }
    if (data.asked === "train") busy = false;
    for (const id of ["play", "step", "walk", "again", "share"]) {
      element<HTMLButtonElement>(id).disabled = false;
    }
    take(data.view);
    if (data.asked === "walk") void showWalk(data.walk, data.view);
    // Motion starts by itself only where the visitor does not mind it.
    if (!opened && !reducedMotion() && shared.weights === null && points.kinds.length > 0) setPlaying(true);
    opened = true;
    // Fast once the first shapes are there, slow enough at the beginning to be watched.
    if (playing && data.asked === "train") requestAnimationFrame(() => train(data.view.step < 60 ? 1 : 4));
  });
  worker.addEventListener("error", (event) => {
    busy = false;
    setPlaying(false);
    say(
      event.message
        ? messageOf(event.message)
        : "The engine could not be loaded: the connection is lost, or a file is missing.",
      "error",
    );
  });
}

for (const count of batches) {
  select("batch").add(
    new Option(count === 0 ? "all" : String(count), String(count)),
  );
}
for (const name of featureNames) {
  element("features").append(h("button", {
    ...{ type: "button", id: `feature-${name}` },
    onclick: () => {
      const on = settings.features.includes(name);
      if (on && settings.features.length === 1) return say("Something has to go in.");
      settings.features = featureNames.filter((one) => one === name ? !on : settings.features.includes(one));
      showSettings();
      make();
    },
  }, features[name].label));
}
play.addEventListener("click", () => setPlaying(!playing));
element("step").addEventListener("click", () => {
  setPlaying(false);
  train(1);
});
element("walk").addEventListener("click", () => {
  setPlaying(false);
  send({ ask: "walk" });
});
element("again").addEventListener("click", () => {
  settings.seed = settings.seed % ranges.seed[1] + 1;
  make();
});
element("share").addEventListener("click", async () => {
  const weights = view === null || view.step === 0 && !edited
    ? null
    : Float32Array.from(view.weights.flatMap((w, l) => [...w, ...view!.biases[l]]));
  const link = new URL(`#${toHash(settings, own ? points : null, weights)}`, location.href).href;
  clearTimeout(hashTimer);
  globalThis.history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(link);
    say(weights === null ? "The link is copied." : "The link is copied; it holds the weights too.");
  } catch {
    say("The link is in the address bar.");
  }
});
for (const id of choices) {
  select(id).addEventListener("change", () => {
    Object.assign(settings, { [id]: id === "batch" ? Number(select(id).value) : select(id).value });
    showSettings();
    if (id === "batch" || id === "penalty") return tune();
    if (id === "data") newPoints();
    make();
  });
}
for (const id of sliders) {
  range(id).addEventListener("input", () => {
    settings[id] = range(id).valueAsNumber;
    showSettings();
    if (id === "rate" || id === "strength") return tune();
    newPoints();
    make();
  });
}
for (const input of [number, slide]) {
  input.addEventListener("input", () => {
    (input === number ? slide : number).value = input.value;
    setWeight(input.valueAsNumber);
  });
}
for (const k of [0, 1]) {
  element(`kind-${k}`).addEventListener("click", () => {
    kind = k;
    for (const other of [0, 1]) element(`kind-${other}`).setAttribute("aria-pressed", String(other === k));
  });
}
element("clear").addEventListener("click", () => {
  settings.data = "none";
  newPoints();
  showSettings();
  send({ ask: "points", points });
  keepHash();
  draw();
});
// A click, not a touch: who scrolls past adds no point.
plane.addEventListener("click", ({ offsetX, offsetY }) => {
  const { clientWidth, clientHeight } = plane;
  addPoint(2.2 * offsetX / clientWidth - 1.1, 1.1 - 2.2 * offsetY / clientHeight);
});
const arrows: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};
plane.addEventListener("keydown", (event) => {
  const arrow = arrows[event.key];
  if (event.key === "Enter" || event.key === " ") addPoint(...mark ?? [0, 0] as [number, number]);
  else if (arrow === undefined) return;
  const clamp = (value: number): number => Math.min(Math.max(value, -1), 1), [dx, dy] = arrow ?? [0, 0];
  mark = [clamp((mark?.[0] ?? 0) + dx * 0.05), clamp((mark?.[1] ?? 0) + dy * 0.05)];
  draw();
  event.preventDefault();
});
plane.addEventListener("blur", () => {
  mark = null;
  draw();
});
diagram.addEventListener("pointermove", ({ offsetX, offsetY }) => {
  if (view !== null) lookAt(neuronAt(roomFor(diagram, view, options.features), offsetX, offsetY));
});
for (const event of ["pointerleave", "blur"]) diagram.addEventListener(event, () => lookAt(null));
diagram.addEventListener("click", ({ offsetX, offsetY }) => {
  if (view === null) return;
  const room = roomFor(diagram, view, options.features), neuron = neuronAt(room, offsetX, offsetY);
  lookAt(neuron);
  const place = neuron === null ? weightAt(room, offsetX, offsetY) : biasOf(neuron);
  if (place !== null) choose(place);
});
diagram.addEventListener("keydown", (event) => {
  const arrow = arrows[event.key];
  if (view === null || event.key !== "Enter" && arrow === undefined) return;
  event.preventDefault();
  const at = spot ?? { layer: 0, index: 0 }, place = biasOf(at);
  if (arrow === undefined) return place === null ? undefined : choose(place, true);
  const { counts } = roomFor(diagram, view, options.features);
  const layer = Math.min(Math.max(at.layer + (spot === null ? 0 : arrow[0]), 0), counts.length - 1);
  lookAt({ layer, index: Math.min(Math.max(at.index - arrow[1], 0), counts[layer] - 1) });
});
/** The bias of a neuron; an input has none. */
function biasOf({ layer, index }: Spot): WeightPlace | null {
  return layer === 0 ? null : { layer: layer - 1, to: index, from: -1 };
}
element("weights").closest("details")!.addEventListener("toggle", showWeights);
addEventListener("themechange", () => {
  colors = palette();
  draw();
});
addEventListener("hashchange", () => {
  shared = fromHash(location.hash);
  setPlaying(false);
  fromAddress();
});
new ResizeObserver(draw).observe(plane);
start();
fromAddress();
