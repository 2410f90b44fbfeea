/**
 * The optimizer race.
 *
 * @module
 */
import type { Landscape, Optimizer2d } from "../../src/landscape/mod.ts";
import { at, h, say, slider, startPage } from "../shared/shell.ts";
import { drawChart, drawMap, drawSurface } from "./draw.ts";
import { Race, remembered } from "./race.ts";
import { surfaces } from "./surfaces.ts";

startPage("race");
const map = at<HTMLCanvasElement>("map"), chart = at<HTMLCanvasElement>("chart");
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const given = new URLSearchParams(location.hash.slice(1));
let name = surfaces[given.get("surface") ?? ""] ? given.get("surface")! : "rosenbrock";
let speed = Number(given.get("speed")) || 4, lr = Number(given.get("lr")) || 0.02;
let formula = given.get("formula") ?? "";
const race = new Race(surfaces[name]);
race.lr = lr;
let background = drawSurface(race.surface, 360, 270), playing = !still, past: number | null = null;

function setSurface(surface: Landscape): void {
  race.surface = surface;
  race.restart(...surface.start);
  background = drawSurface(surface, 360, 270);
  past = null;
  say(surface.about);
  show();
}

function share(): void {
  const state = new URLSearchParams({ surface: name, speed: String(speed), lr: String(lr) });
  if (formula) state.set("formula", formula);
  history.replaceState(null, "", `#${state}`);
}

async function own(text: string): Promise<void> {
  try {
    const { surfaceOf } = await import("./formula.ts");
    setSurface(surfaceOf(text));
    formula = text;
    share();
  } catch (error) {
    say((error as Error).message, true);
  }
}

const time = slider("Back in time", { min: 0, max: 1, step: 1, value: 1 }, (value) => {
  playing = false;
  past = value;
  show();
}, () => "");
at("time").append(time);

const rows = race.racers.map((racer) => {
  const loss = h("td", { class: "number" }),
    swatch = h("span", { class: "swatch", style: `background:${racer.color}` });
  return { racer, loss, element: h("tr", { title: racer.about }, h("td", {}, swatch, racer.title), loss) };
});

/** Draws everything as it is, or as it was. */
function show(): void {
  const last = race.moments - 1, first = Math.max(0, race.moments - remembered);
  const moment = past === null ? last : Math.min(last, Math.max(first, past));
  drawMap(map, background, race, moment);
  drawChart(chart, race, moment, getComputedStyle(document.body).color);
  time.input.min = String(first);
  time.input.max = String(last);
  time.input.value = String(moment);
  at("play").textContent = playing ? "Pause" : "Play";
}

function standings(): void {
  const now = 3 * ((race.moments - 1) % remembered) + 2;
  rows.sort((a, b) => {
    const x = a.racer.trail[now], y = b.racer.trail[now];
    return Number(b.racer.on) - Number(a.racer.on) || (x < y || Number.isNaN(y) ? -1 : 1);
  });
  for (const { racer, loss, element } of rows) {
    loss.textContent = racer.on ? racer.trail[now].toPrecision(5) : "–";
    at("standings").append(element);
  }
}

let frames = 0;
function frame(): void {
  if (playing) {
    past = null;
    race.run(speed);
    show();
    if (frames++ % 15 === 0) standings();
  }
  requestAnimationFrame(frame);
}

const pick = h(
  "select",
  { id: "surface" },
  ...Object.entries(surfaces).map(([key, { title }]) =>
    h("option", { value: key, selected: key === name }, title)
  ),
);
pick.addEventListener("change", () => {
  name = pick.value;
  formula = "";
  setSurface(surfaces[name]);
  share();
});
const field = h("input", { type: "text", id: "formula", value: formula, placeholder: "x^2 + 3*sin(y)^2" });
field.addEventListener("change", () => void own(field.value));
at("options").append(
  h("h2", {}, "The race"),
  h("label", { for: "surface" }, "Surface", pick),
  h("label", { for: "formula" }, "Or your own, in x and y", field),
  slider("Learning rate", { min: -4, max: 0, step: 0.05, value: Math.log10(lr) }, (value) => {
    lr = 10 ** value;
    race.lr = lr;
    share();
  }, (value) => (10 ** value).toPrecision(2)),
  slider("Steps a frame", { min: 1, max: 200, step: 1, value: speed }, (value) => {
    speed = value;
    share();
  }),
  ...race.racers.map((racer) => {
    const box = h("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      racer.on = box.checked;
      show();
      standings();
    });
    return h(
      "label",
      { title: racer.about },
      box,
      " ",
      h("span", { class: "swatch", style: `background:${racer.color}` }),
      racer.title,
    );
  }),
);
at("options").addEventListener("submit", (event) => event.preventDefault());
at("play").addEventListener("click", () => {
  playing = !playing;
  show();
});
at("step").addEventListener("click", () => {
  playing = false;
  past = null;
  race.run(1);
  show();
  standings();
});
at("again").addEventListener("click", () => {
  race.restart(...race.surface.start);
  past = null;
  show();
});
map.addEventListener("click", (event) => {
  const box = map.getBoundingClientRect(), [x0, x1, y0, y1] = race.surface.domain;
  const x = x0 + (x1 - x0) * (event.clientX - box.left) / box.width;
  const y = y1 + (y0 - y1) * (event.clientY - box.top) / box.height;
  race.restart(x, y);
  past = null;
  say(`They start at (${x.toFixed(2)}, ${y.toFixed(2)}).`);
  show();
});

function save(file: string, blob: Blob): void {
  const link = h("a", { href: URL.createObjectURL(blob), download: file });
  link.click();
  URL.revokeObjectURL(link.href);
}
at("export").addEventListener("click", () => {
  const first = Math.max(0, race.moments - remembered);
  const paths = Object.fromEntries(
    race.racers.filter(({ on }) => on).map(({ name, trail }) => [
      name,
      Array.from({ length: race.moments - first }, (_, k) => {
        const at = 3 * ((first + k) % remembered);
        return [trail[at], trail[at + 1], trail[at + 2]];
      }),
    ]),
  );
  const text = JSON.stringify({ surface: race.surface.title, steps: race.steps, lr, paths });
  save("race.json", new Blob([text], { type: "application/json" }));
});
at("png").addEventListener("click", () => map.toBlob((blob) => blob && save("race.png", blob)));

/** For measurements: how many optimizer steps a second the page computes, over four optimizers. */
Object.assign(globalThis, {
  measureRace(milliseconds: number): number {
    const four: Optimizer2d[] = ["sgd", "momentum", "rmsprop", "adam"], own = new Race(surfaces.rosenbrock);
    own.lr = 0.001;
    for (const racer of own.racers) racer.on = four.includes(racer.name);
    const started = performance.now();
    while (performance.now() - started < milliseconds) own.run(1000);
    return 4 * own.steps / (performance.now() - started) * 1e3;
  },
});

if (formula) await own(formula);
else say(race.surface.about);
standings();
show();
requestAnimationFrame(frame);
