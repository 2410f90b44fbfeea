/**
 * The page of the race: ties the race, its views and its controls together. Runs without the engine; the formula's
 * parser, the 3-D view and the tour are loaded when they are used.
 *
 * @module
 */
import { type Landscape, landscapes, optimizers2d } from "../../src/landscape/mod.ts";
import { type ChartLine, drawChart, short } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { h } from "../shared/elements.ts";
import { download } from "../shared/download.ts";
import { element, messageOf, reducedMotion, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { optimizerTexts } from "./explain.ts";
import { Heights, SurfaceMap } from "./map.ts";
import { Panel } from "./panel.ts";
import { lessons } from "./lessons.ts";
import { lossAt, Race, Racer } from "./race.ts";
import type { Scene } from "./scene.ts";
import { defaultSettings, fromHash, ratesFor, startOn, toHash } from "./settings.ts";
import { type Suggestion, suggestions } from "./suggest.ts";
import { whyLeads } from "./why.ts";

startPage();

const settings = fromHash(location.hash);
const racers = optimizers2d.map((name) => new Racer(name, { lr: settings.rates[name] }));
const race = new Race(racers, landscapes.rosenbrock);
const heights = new Heights();
const mapCanvas = element<HTMLCanvasElement>("map"), sceneCanvas = element<HTMLCanvasElement>("scene");
const map = new SurfaceMap(mapCanvas, heights, race.surface);
const surfaceSelect = element<HTMLSelectElement>("surface"),
  formulaInput = element<HTMLInputElement>("formula");
const time = element<HTMLInputElement>("time"), speed = element<HTMLInputElement>("speed");
const playButton = element<HTMLButtonElement>("play");
const shown: boolean[] = racers.map(() => true), colors: string[] = racers.map(() => "");
const chartPoints = 240;
const lines: ChartLine[] = racers.map(() => ({
  color: "",
  x: new Float64Array(chartPoints),
  y: new Float64Array(chartPoints),
  length: 0,
}));
let scene: Scene | null = null, in3d = false, playing = false, ended = false, at = 0, dirty = true, frame = 0;
let hashTimer: ReturnType<typeof setTimeout> | undefined, stopRecording: (() => Promise<Blob>) | null = null;

/** The next step of everyone obeys the settings. */
function apply(): void {
  for (let i = 0; i < racers.length; i++) {
    const { name, options } = racers[i];
    options.lr = settings.rates[name];
    options.momentum = settings.momentum;
    options.beta1 = settings.beta1;
    options.beta2 = name === "lion" ? 0.99 : settings.beta2;
    options.alpha = settings.alpha;
    options.weightDecay = settings.weightDecay;
    shown[i] = settings.on[name];
  }
  dirty = true;
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => history.replaceState(null, "", `#${toHash(settings)}`), 300);
}

const about = (): string => {
  const { title, about } = race.surface;
  return `${title}. ${about} ${Object.hasOwn(lessons, settings.surface) ? lesson().text : ""}`.trim();
};
const lesson = () => lessons[settings.surface as keyof typeof lessons];
const panel = new Panel(settings, apply, about);
/** The rates of each surface as they were left, and what the finder drew there. */
const left = new Map<string, { rates: typeof settings.rates; found: ChartLine[] | null }>();
let current = "", found: ChartLine[] | null = null;

function restart(x: number, y: number): void {
  // What the finder found holds for the place from which it tried.
  if (x !== settings.start[0] || y !== settings.start[1]) showFound(null);
  settings.start = [x, y];
  offered = null;
  race.restart(x, y);
  at = 0;
  apply();
  if (ended) play(true);
}

/** Paints what does not change with every step: after another surface, other colours, another size. */
function repaint(): void {
  for (let i = 0; i < racers.length; i++) lines[i].color = colors[i] = cssColor(`--c${i + 1}`);
  if (in3d) scene?.paint(race.surface, colors);
  else map.paint(race.surface);
  dirty = true;
}

/** Draws what the finder found; null is nothing. */
function showFound(lines: ChartLine[] | null): void {
  found = lines;
  const canvas = element<HTMLCanvasElement>("finder");
  canvas.hidden = element("found").hidden = found === null;
  if (found === null) return;
  const [x, y] = settings.start.map((value) => +value.toFixed(2));
  element("found").textContent =
    `${race.surface.title}, from (${x}, ${y}): loss after 200 steps by learning rate, both as powers of ten.`;
  drawChart(canvas, found, { log: true, powers: true, x: "learning rate" });
}

/** Each surface has rates of its own: those that show its lesson, or those that the visitor left there. */
function changeRates(to: string): void {
  if (current === to) return;
  if (current !== "") {
    left.set(current, { rates: settings.rates, found });
    settings.rates = left.get(to)?.rates ?? ratesFor(to);
  }
  current = to;
  panel.show();
}

async function chooseSurface(keepStart: boolean): Promise<void> {
  const isFormula = settings.surface === "formula", error = element("formula-error");
  element("formula-field").hidden = element("blocks").hidden = !isFormula;
  if (isFormula) void openBlocks();
  let surface: Landscape | undefined;
  if (isFormula) {
    try {
      const { parseFormula } = await import("./formula.ts");
      surface = parseFormula(settings.formula);
      error.hidden = true;
    } catch (reason) {
      error.textContent = messageOf(reason);
      error.hidden = false;
      return;
    }
  } else if (Object.hasOwn(landscapes, settings.surface)) {
    surface = landscapes[settings.surface as keyof typeof landscapes];
    error.hidden = true;
  } else {
    say(`There is no surface "${settings.surface}"; this is Rosenbrock's.`, "error");
    settings.surface = surfaceSelect.value = "rosenbrock";
    surface = landscapes.rosenbrock;
  }
  changeRates(settings.surface);
  race.surface = surface;
  heights.compute(surface);
  race.floor = heights.least;
  element("explain").textContent = about();
  const kept = left.get(settings.surface)?.found ?? null;
  showFound(null);
  restart(...(keepStart ? settings.start : startOn(settings.surface)));
  if (!keepStart) showFound(kept);
  repaint();
}

let blocksOpen = false;
async function openBlocks(): Promise<void> {
  if (blocksOpen) return;
  blocksOpen = true;
  (await import("./blocks.ts")).showBlocks(element("blocks"), (formula) => {
    settings.formula = formulaInput.value = formula;
    void chooseSurface(true);
  });
}

/** What is offered now, so that a button does not change under the pointer. */
let offered: string | null = null;

function showSuggestions(): void {
  const list = suggestions(race, shown, at),
    key = list.map(({ racer, kind }) => `${racer.name} ${kind}`).join();
  if (key === offered) return;
  offered = key;
  element("suggestions").replaceChildren(...list.map((one) =>
    h(
      "li",
      {},
      h("span", {}, one.reason),
      h("button", { type: "button", onclick: () => follow(one) }, `Rate ${short(one.rate)}`),
    )
  ));
}

/** Does what was suggested; who had left the plane needs a new race. */
function follow({ racer, rate }: Suggestion): void {
  settings.rates[racer.name] = rate;
  panel.show();
  const { title } = optimizerTexts[racer.name], again = racer.lost;
  if (again) restart(...settings.start);
  else apply();
  offered = null;
  element("suggestions").replaceChildren();
  play(true);
  say(`${title} goes on with ${short(rate)}${again ? ", from the start with the others" : ""}.`);
}

function play(on: boolean): void {
  if (on && at < race.steps) race.restore(at);
  playing = on;
  ended = false;
  playButton.textContent = on ? "Pause" : "Play";
  dirty = true;
}

/** At most `chartPoints` of each way, evenly spaced. */
function drawLoss(): void {
  for (let i = 0; i < racers.length; i++) {
    const racer = racers[i], line = lines[i], last = Math.min(at, racer.steps), first = racer.oldest;
    line.length = 0;
    if (!shown[i]) continue;
    const stride = Math.max(1, Math.ceil((last - first + 1) / chartPoints));
    for (let step = first; step <= last && line.length < chartPoints; step += stride) {
      line.x[line.length] = step;
      line.y[line.length++] = racer.ring[racer.rowOf(step) + lossAt];
    }
  }
  drawChart(element<HTMLCanvasElement>("loss"), lines, { log: true });
}

function draw(): void {
  if (in3d) scene?.draw(race, at, shown);
  else map.draw(race, at, shown, colors);
  // Numbers change too fast to be read, and cost more than the map.
  if (!playing || frame % 6 === 0) {
    const order = panel.standings(race, at);
    if (!playing || frame % 48 === 0) {
      element("why").textContent = whyLeads(race, order, at);
      showSuggestions();
    }
    time.min = String(race.oldest);
    time.max = String(race.steps);
    time.value = String(at);
    element("time-value").textContent = `step ${at}`;
  }
  if (!playing || frame % 6 === 3) drawLoss();
}

/** The steps of a frame; fewer where a long formula would cost the frame more than 8 ms. */
function runFrame(): void {
  const until = performance.now() + 8;
  for (let left = settings.speed; left > 0 && performance.now() < until; left -= 64) {
    race.run(Math.min(left, 64));
  }
}

function tick(): void {
  requestAnimationFrame(tick);
  frame++;
  if (playing) {
    runFrame();
    at = race.steps;
    if (racers.every((racer, i) => racer.lost || racer.arrived || !shown[i])) {
      play(false);
      ended = true;
      const { length } = racers.filter(({ arrived }, i) => arrived && shown[i]);
      say(
        length > 0
          ? "Everyone has left: the surface falls for ever, and the border is the end of the race."
          : "Every optimizer has left the plane; smaller learning rates keep them on it.",
      );
    }
  } else if (!dirty) return;
  dirty = false;
  draw();
}

async function view(three: boolean): Promise<void> {
  if (three && scene === null) {
    try {
      const { Scene } = await import("./scene.ts");
      scene = new Scene(sceneCanvas, heights);
    } catch (error) {
      return say(messageOf(error), "error");
    }
  }
  in3d = three;
  sceneCanvas.hidden = !three;
  mapCanvas.hidden = three;
  element("view-2d").setAttribute("aria-pressed", String(!three));
  element("view-3d").setAttribute("aria-pressed", String(three));
  repaint();
}

function showSpeed(): void {
  speed.value = String(Math.round(Math.log2(settings.speed)));
  const text = `${settings.speed} step${settings.speed === 1 ? "" : "s"} a frame`;
  element("speed-value").textContent = text;
  speed.setAttribute("aria-valuetext", text);
}

for (const [name, { title }] of Object.entries(landscapes)) surfaceSelect.add(new Option(title, name));
surfaceSelect.add(new Option("A formula of yours", "formula"));
surfaceSelect.value = settings.surface;
formulaInput.value = settings.formula;
surfaceSelect.addEventListener("change", () => {
  settings.surface = surfaceSelect.value;
  void chooseSurface(false);
});
formulaInput.addEventListener("input", () => {
  settings.formula = formulaInput.value;
  void chooseSurface(true);
});
playButton.addEventListener("click", () => play(!playing));
element("step").addEventListener("click", () => {
  play(false);
  if (at < race.steps) race.restore(at);
  race.run(1);
  at = race.steps;
});
element("restart").addEventListener("click", () => restart(...settings.start));
element("reset").addEventListener("click", () => {
  const { surface, formula, start } = settings;
  Object.assign(settings, defaultSettings(surface), { surface, formula, start });
  panel.show();
  showSpeed();
  apply();
});
speed.addEventListener("input", () => {
  settings.speed = 2 ** Number(speed.value);
  showSpeed();
  apply();
});
time.addEventListener("input", () => {
  play(false);
  at = Number(time.value);
});
element("view-2d").addEventListener("click", () => void view(false));
element("view-3d").addEventListener("click", () => void view(true));

// A click, not a touch: who scrolls past does not start the race anew.
mapCanvas.addEventListener("click", (event) => restart(...map.placeAt(event.offsetX, event.offsetY)));
mapCanvas.addEventListener("pointermove", (event) => {
  const [x, y] = map.placeAt(event.offsetX, event.offsetY);
  element("readout").textContent = `x ${x.toFixed(2)}  y ${y.toFixed(2)}  loss ${
    short(race.surface.value(x, y))
  }`;
});
mapCanvas.addEventListener("pointerleave", () => element("readout").textContent = "");
const arrows: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};
for (const canvas of [mapCanvas, sceneCanvas]) {
  canvas.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (event.key === " ") play(!playing);
    else if (arrow === undefined) return;
    else if (canvas === mapCanvas) {
      const [x0, x1, y0, y1] = race.surface.domain, [x, y] = settings.start;
      restart(x + arrow[0] * (x1 - x0) / 50, y + arrow[1] * (y1 - y0) / 50);
      say(`Start at ${settings.start.map((value) => value.toFixed(2)).join(", ")}.`);
    } else rotate(arrow[0] * 0.1, arrow[1] * 0.1);
    event.preventDefault();
  });
}
function rotate(turn: number, tilt: number): void {
  if (scene === null) return;
  scene.turn += turn;
  scene.tilt = Math.min(Math.max(scene.tilt + tilt, 0.15), 1.5);
  dirty = true;
}
sceneCanvas.addEventListener("pointermove", (event) => {
  if (event.buttons === 1) rotate(event.movementX * 0.01, event.movementY * -0.01);
});

element("find").addEventListener("click", async () => {
  const { findRate } = await import("./finder.ts");
  const lines: ChartLine[] = [], [x, y] = settings.start, where = settings.surface;
  for (let i = 0; i < racers.length; i++) {
    if (!shown[i]) continue;
    const { rates, losses, best } = findRate(racers[i], race.surface, x, y);
    // Another surface was chosen meanwhile: what was found is not its own.
    if (where !== settings.surface) return;
    settings.rates[racers[i].name] = best;
    lines.push({ color: colors[i], x: rates.map(Math.log10), y: losses, length: rates.length });
    await new Promise(requestAnimationFrame); // the page stays alive
  }
  panel.show();
  restart(x, y);
  showFound(lines);
  say("Each optimizer has the learning rate that served it best in 200 steps from here.");
});
element("share").addEventListener("click", async () => {
  const link = new URL(`#${toHash(settings)}`, location.href).href;
  history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(link);
    say("The link is copied.");
  } catch {
    say("The link is in the address bar.");
  }
});
element("json").addEventListener("click", async () => {
  const { raceJson } = await import("./export.ts");
  download("race.json", raceJson(race, settings), "application/json");
});
element("csv").addEventListener("click", async () => {
  const { raceCsv } = await import("./export.ts");
  download("race.csv", raceCsv(race, settings), "text/csv");
});
element("png").addEventListener("click", async () => {
  const { savePicture } = await import("./export.ts");
  await savePicture(in3d ? sceneCanvas : mapCanvas);
});
element("record").addEventListener("click", async () => {
  const button = element("record");
  try {
    if (stopRecording === null) {
      const { recordVideo } = await import("./export.ts");
      stopRecording = recordVideo(in3d ? sceneCanvas : mapCanvas);
      play(true);
      say("Recording.");
    } else {
      const stop = stopRecording;
      stopRecording = null;
      const { size } = await stop();
      say(`The video has ${(size / 1024).toFixed(0)} KB.`);
    }
  } catch (error) {
    say(messageOf(error), "error");
  }
  button.setAttribute("aria-pressed", String(stopRecording !== null));
  button.textContent = stopRecording === null ? "Record video" : "Stop recording";
});
element("real-open").addEventListener("click", async () => {
  play(false); // the small GPTs want the machine
  const { RealCard } = await import("./real.ts");
  new RealCard(element("real")).start();
});
element("tour").addEventListener("click", async () => (await import("./tour.ts")).showTour());
addEventListener("themechange", repaint);
addEventListener("hashchange", () => {
  Object.assign(settings, fromHash(location.hash));
  current = ""; // the address has rates of its own
  surfaceSelect.value = settings.surface;
  formulaInput.value = settings.formula;
  panel.show();
  showSpeed();
  void chooseSurface(true);
});
new ResizeObserver(repaint).observe(element("map").parentElement!);

showSpeed();
await chooseSurface(location.hash.length > 1);
requestAnimationFrame(tick);
// Motion starts by itself only where the visitor does not mind it.
if (!reducedMotion()) play(true);
const { showTour, tourSeen } = await import("./tour.ts");
if (!tourSeen()) showTour();

/** For the console, and for tests. */
(globalThis as unknown as { race: unknown }).race = { race, settings, play, draw };
