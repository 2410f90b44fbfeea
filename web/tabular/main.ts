/**
 * Ten data sets: drag a value, and see what a model says and how sure it is.
 *
 * @module
 */
import { Engine } from "../engine/client.ts";
import type { ColumnSummary, InputSummary, Preset, TableAnswer } from "../engine/tables.ts";
import { h, slider } from "../shared/elements.ts";
import { download } from "../shared/download.ts";
import { element as at, messageOf, siteRoot, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { whyNoText } from "../shared/text_file.ts";
import { describe } from "./about.ts";
import { entropyGauge, inputScale, valueScale } from "./gauges.ts";
import type { Standalone } from "./standalone.ts";
import { standalonePage } from "./take.ts";
import { columnWords, type SetWords, valueWords, withoutFlags, words } from "./words.ts";

startPage();
const engine = new Engine();
let model: ColumnSummary | null = null,
  row: Record<string, string | number> = {},
  own: File | null = null,
  asking = false,
  again = false;

/** What the columns of the set are called, its name, and how often another was chosen: what comes late is of none. */
let called: SetWords | null = null, setName = "", turn = 0, controller = new AbortController();

/** The target in words. */
const targetWords = () => called?.target ?? [model?.target ?? ""] as const;

const short = (x: number): string =>
  Math.abs(x) >= 1000
    ? x.toLocaleString("en", { maximumFractionDigits: 0 })
    : String(Number(x.toPrecision(3)));

function control(input: InputSummary): HTMLElement {
  const { name, kind, categories, min, max, median } = input, own = columnWords(called, name);
  const [title, unit, values] = own, label = unit ? `${title}, ${unit}` : title;
  if (values) {
    const codes = Object.keys(values).map(Number), value = Number(row[name] ??= median);
    const nearest = codes.reduce((a, b) => Math.abs(b - value) < Math.abs(a - value) ? b : a);
    row[name] = nearest;
    const pick = h(
      "select",
      { "data-name": name },
      ...codes.map((code) => h("option", { value: code }, values[code])),
    );
    pick.value = String(nearest);
    pick.addEventListener("change", () => {
      row[name] = Number(pick.value);
      moved();
    });
    return h("label", {}, label, pick);
  }
  if (kind === "categorical" || kind === "boolean") {
    const pick = h("select", {}, ...categories.map((text) => h("option", {}, text)));
    row[name] ??= categories[0];
    pick.value = String(row[name]);
    pick.addEventListener("change", () => {
      row[name] = pick.value;
      moved();
    });
    return h("label", {}, label, pick);
  }
  const value = Number(row[name] ??= median);
  const whole = input.quantiles.every(Number.isInteger), step = whole ? 1 : (max - min) / 200 || 1;
  const scale = inputScale(input, short),
    field = slider(label, { min, max, step, value }, (value) => {
      row[name] = value;
      scale.show(value);
      moved();
    }, short);
  scale.show(value);
  field.append(scale.element);
  return field;
}

/** The address says where the sliders are. */
let toKeep: ReturnType<typeof setTimeout> | undefined;
function moved(): void {
  void ask();
  clearTimeout(toKeep);
  if (setName) toKeep = setTimeout(() => history.replaceState(null, "", address()), 300);
}

function address(): string {
  const values = new URLSearchParams(Object.entries(row).map(([name, value]) => [name, String(value)]));
  return `#${setName}&${values}`;
}

/** A row's values in the controls, and the answer to it. */
function fill(preset: Preset): void {
  row = { ...preset.row };
  at("controls").replaceChildren(...model!.inputs.map(control));
  moved();
  for (const button of at("presets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.textContent === presetName(preset)));
  }
}

/** "clearly 1" is "clearly yes" where 1 means that. */
const presetName = ({ name }: Preset): string =>
  name.startsWith("clearly ") ? `clearly ${valueWords(targetWords(), name.slice(8))}` : name;

/** Rows to begin from, as the engine finds them. */
async function offer(of: ColumnSummary): Promise<void> {
  const found = await engine.ask({ do: "presets" });
  if (of !== model) return;
  at("presets").replaceChildren(
    ...found.map((preset) =>
      h(
        "button",
        { type: "button", "aria-pressed": "false", onclick: () => fill(preset) },
        presetName(preset),
      )
    ),
  );
}

/** Asks for the row as it is; while an answer is on its way, only the last one counts. */
async function ask(): Promise<void> {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    do {
      again = false;
      const of = turn, answer = await engine.ask({ do: "predict", row: { ...row } });
      if (of === turn) show(answer);
    } while (again);
    void explain();
  } catch (error) {
    say(messageOf(error), "error");
  } finally {
    asking = false;
  }
}

/** Inputs whose part in an answer is shown one by one. */
const mostMoved = 10;

/** What each input added, once the sliders rest: it takes many answers. */
async function explain(): Promise<void> {
  const of = turn, asked = { ...row };
  try {
    const { of: label, base, inputs } = await engine.ask({ do: "explain", row: asked });
    if (of !== turn || asking) return;
    const most = Math.max(1e-12, ...inputs.map(({ adds }) => Math.abs(adds))), unit = targetWords()[1];
    const shown = (x: number): string => label === null ? short(x) : (100 * x).toFixed(1);
    const signed = (x: number): string => `${x < 0 ? "−" : "+"}${shown(Math.abs(x))}`;
    at("moved-about").textContent = label === null
      ? `Usual rows give ${short(base)}${unit ? ` ${unit}` : ""}; each value moves the answer from there.`
      : `Usual rows are "${valueWords(targetWords(), label)}" with ${
        percent(base)
      }; each value moves that, in percentage points.`;
    // All together lead to the answer: what is not shown is told as one.
    const rest = inputs.slice(mostMoved), added = rest.reduce((sum, { adds }) => sum + adds, 0);
    at("moved").replaceChildren(
      ...inputs.slice(0, mostMoved).map(({ name, adds }) => {
        const [title, , values] = columnWords(called, name), value = asked[name];
        const text = values
          ? valueWords([title, "", values], value)
          : typeof value === "number"
          ? short(value)
          : value;
        return h(
          "div",
          { "data-name": name },
          h("span", {}, `${title}: ${text}`),
          h(
            "span",
            { class: "track" },
            h("span", {
              class: adds < 0 ? "down" : "up",
              style: `width:${(50 * Math.abs(adds) / most).toFixed(1)}%`,
            }),
          ),
          h("span", { class: "mono" }, signed(adds)),
        );
      }),
      ...rest.length === 0 ? [] : [h(
        "div",
        {},
        h("span", {}, `${rest.length} other${rest.length === 1 ? "" : "s"}, together`),
        h("span", {}),
        h("span", { class: "mono" }, signed(added)),
      )],
    );
  } catch (error) {
    if (of === turn) say(messageOf(error), "error");
  }
}

const percent = (p: number): string => `${(100 * p).toFixed(1)} %`;

function show({ classes, value, regression }: TableAnswer): void {
  if (!model) return;
  const lines: string[] = [];
  if (classes) {
    at("answer").replaceChildren(
      h("h2", {}, targetWords()[0]),
      h("p", { class: "big" }, valueWords(targetWords(), classes.table[0].name)),
      h("p", { class: "small" }, `${classes.badge}: ${percent(classes.table[0].probability)}`),
      entropyGauge(classes.entropy, classes.normalizedEntropy, classes.table.length),
      ...classes.table.map(({ name, probability }) =>
        h(
          "div",
          { class: "row", style: "flex-wrap:nowrap" },
          h("span", { style: "flex:0 0 7rem;overflow-wrap:anywhere" }, valueWords(targetWords(), name)),
          h(
            "span",
            { class: "bar", style: "flex:1" },
            h("span", { style: `width:${(100 * probability).toFixed(1)}%` }),
          ),
          h("span", { class: "mono", style: "flex:0 0 4.5rem;text-align:right" }, percent(probability)),
        )
      ),
    );
    lines.push(`${"class".padEnd(16)}${"p".padStart(9)}${"ln p".padStart(9)}${"odds".padStart(11)}`);
    for (const { name, probability, logProbability, odds } of classes.table) {
      lines.push(
        name.slice(0, 15).padEnd(16) + percent(probability).padStart(9) +
          logProbability.toFixed(2).padStart(9) +
          odds.toPrecision(3).padStart(11),
      );
    }
    lines.push(
      "",
      `entropy   ${classes.entropy.toFixed(3)} bits (${
        percent(classes.normalizedEntropy)
      } of the largest): ${classes.badge}`,
    );
    lines.push(`margin    ${percent(classes.margin)} before the second class`);
  } else if (value !== null && regression) {
    const { lower, upper, level } = regression.interval;
    at("answer").replaceChildren(
      h("h2", {}, targetWords()[1] ? `${targetWords()[0]}, ${targetWords()[1]}` : targetWords()[0]),
      h("p", { class: "big" }, short(value)),
      h(
        "p",
        { class: "small" },
        `${(100 * level).toFixed(0)} % of truths lie from ${short(lower)} to ${short(upper)}`,
      ),
      valueScale({
        value,
        min: model.min,
        max: model.max,
        mean: value - regression.distance,
        lower,
        upper,
        level,
      }, short),
    );
    lines.push(
      `position  ${percent(regression.position)} of the way from ${short(model.min)} to ${short(model.max)}`,
    );
    lines.push(`z-score   ${regression.z.toFixed(2)} deviations from the mean`);
    lines.push(`distance  ${short(regression.distance)} from the mean`);
    lines.push(`quartile  ${regression.quartile} of 4; ${percent(regression.share)} of rows are at or below`);
    lines.push(`interval  ${short(lower)} … ${short(upper)} (conformal, ${(100 * level).toFixed(0)} %)`);
  }
  lines.push("", `${"input".padEnd(18)}${"value".padStart(11)}${"z".padStart(8)}${"range".padStart(9)}`);
  for (const { name, kind, mean, std, min, max } of model.inputs) {
    const own = row[name];
    if (kind === "categorical" || kind === "boolean" || typeof own !== "number") {
      lines.push(name.slice(0, 17).padEnd(18) + String(own).slice(0, 10).padStart(11));
    } else {
      lines.push(
        name.slice(0, 17).padEnd(18) + short(own).padStart(11) +
          ((own - mean) / (std || 1)).toFixed(2).padStart(8) +
          percent((own - min) / (max - min || 1)).padStart(9),
      );
    }
  }
  at("facts").textContent = lines.join("\n");
}

function mark(name: string | null): void {
  for (const button of at("sets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.set === name));
  }
}

/** Shows a model that the engine has opened. */
async function use(next: ColumnSummary, given: Readonly<Record<string, string>> = {}): Promise<void> {
  model = next;
  row = {};
  for (const { name, kind, min, max, categories } of next.inputs) {
    const value = Object.hasOwn(given, name) ? given[name] : "";
    if (kind !== "numeric") {
      if (categories.includes(value)) row[name] = value;
    } else if (value !== "" && Number(value) >= min && Number(value) <= max) row[name] = Number(value);
  }
  at("source").textContent = called?.source ?? `Trained on ${next.source} in this tab.`;
  at("moved").replaceChildren();
  at("moved-about").textContent = "";
  const target = h("select", { id: "target" }, ...model.columns.map((name) => h("option", {}, name)));
  target.value = model.target;
  target.addEventListener("change", () => own && void train(own, target.value));
  at("inputs").replaceChildren(
    h("h2", {}, "Values"),
    ...own ? [h("label", { for: "target" }, "Learn", target)] : [],
    h("div", { id: "presets", class: "row", role: "group", "aria-label": "Rows to begin from" }),
    h("div", { id: "controls", class: "stack" }, ...model.inputs.map(control)),
  );
  at("about").replaceChildren(...describe(model, short));
  say(`${targetWords()[0]}: move a value and see.`);
  await ask();
  await offer(next);
}

/** Whoever was at work before is called off. */
function begin(): { own: number; signal: AbortSignal } {
  controller.abort();
  controller = new AbortController();
  at("cancel").hidden = at("fitting-line").hidden = true;
  return { own: ++turn, signal: controller.signal };
}

function failed(error: unknown, own: number): void {
  if (own === turn && (error as Error).name !== "CancelledError") {
    say(withoutFlags(messageOf(error)), "error");
  }
}

/** `goes`: a step that the browser's button goes back. */
async function open(
  name: string,
  given: Readonly<Record<string, string>> = {},
  goes = false,
): Promise<void> {
  const { own: mine, signal } = begin();
  mark(name);
  say(`Opening ${words[name].name} …`);
  try {
    const where = new URL(`models/tabular/${name}.safetensors`, siteRoot()).href;
    const next = await engine.ask({ do: "table", where }, { signal });
    if (mine !== turn) return;
    [own, called, setName] = [null, words[name], name];
    if (goes && location.hash !== `#${name}`) history.pushState(null, "", `#${name}`);
    await use(next, given);
    if (mine === turn) history.replaceState(null, "", Object.keys(given).length > 0 ? address() : `#${name}`);
  } catch (error) {
    failed(error, mine);
  }
}

async function train(file: File, target: string | null = null): Promise<void> {
  const { own: mine, signal } = begin(), cancel = at("cancel"), bar = at<HTMLProgressElement>("fitting");
  const flaw = await whyNoText(file).catch(messageOf);
  if (mine !== turn) return;
  if (flaw !== null) return say(`${flaw} What is learnt here is a CSV file: rows of cells.`, "error");
  say(`Training on ${file.name} …`);
  cancel.hidden = at("fitting-line").hidden = false;
  bar.value = 0;
  at("fitting-text").textContent = `Reading ${file.name}`;
  try {
    const next = await engine.ask({ do: "fit", csv: file, target }, {
      signal,
      piece: ({ step, steps, what }) => {
        if (mine !== turn) return; // of a run that was called off
        bar.value = steps > 0 ? step / steps : 0;
        at("fitting-text").textContent = `${file.name}, ${what}: step ${
          step.toLocaleString("en")
        } of at most ${steps.toLocaleString("en")}`;
      },
    });
    if (mine !== turn) return;
    cancel.hidden = at("fitting-line").hidden = true;
    [own, called, setName] = [file, null, ""];
    mark(null);
    await use({ ...next, source: file.name });
  } catch (error) {
    failed(error, mine);
  } finally {
    if (mine === turn) cancel.hidden = at("fitting-line").hidden = true;
  }
}

at("cancel").addEventListener("click", () => {
  begin();
  say("Training was cancelled; the model before stays.");
});
at("link").addEventListener("click", async () => {
  if (!setName) return say("A link cannot hold a model of your own; download it as one HTML file.", "error");
  history.replaceState(null, "", address());
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  say(
    "The link is in the address bar, with the values as they are, and copied where the browser allows that.",
  );
});
at("page-file").addEventListener("click", async () => {
  if (!model) return;
  try {
    const { model: carried, radius } = await engine.ask({ do: "carry" });
    const name = setName || model.source.replace(/\.[^.]*$/, "");
    const script = await fetch(new URL("assets/standalone.js", siteRoot()));
    if (!script.ok) throw new Error(`standalone.js: the server answered ${script.status}`);
    const page = standalonePage({
      ...{ title: called?.name ?? name, source: at("source").textContent ?? "", script: await script.text() },
      data: {
        ...{ model: carried, target: [...targetWords()] as unknown as Standalone["target"], radius },
        columns: carried.schema.columns.map(({ name }) => columnWords(called, name)),
      },
    });
    const blob = new Blob([page], { type: "text/html" });
    download(`${name}.html`, blob);
    say(
      `${name}.html, ${(blob.size / 1000).toFixed(0)} kB: it opens without a network, from a USB stick, too.`,
    );
  } catch (error) {
    say(messageOf(error), "error");
  }
});

at("model-file").addEventListener("click", async () => {
  if (!model) return;
  try {
    const name = `${setName || model.source.replace(/\.[^.]*$/, "")}.safetensors`;
    const blob = new Blob([await engine.ask({ do: "keep" })]);
    download(name, blob);
    say(
      `${name}, ${
        (blob.size / 1000).toFixed(0)
      } kB: "ferrotype tabular predict" and TabularModel.load read it.`,
    );
  } catch (error) {
    say(messageOf(error), "error");
  }
});

const csv = at<HTMLInputElement>("csv");
csv.addEventListener("change", () => {
  const file = csv.files?.[0];
  if (file) void train(file);
  csv.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"] as const) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    const file = kind === "drop" ? event.dataTransfer?.files[0] : undefined;
    if (file) void train(file);
  });
}
at("inputs").addEventListener("submit", (event) => event.preventDefault());
for (const [name, { name: text }] of Object.entries(words)) {
  at("sets").append(
    h("button", { type: "button", "data-set": name, onclick: () => void open(name, {}, true) }, text),
  );
}
engine.introduce().then((text) => at("machine").textContent = text, () => undefined);

/** What the address says: a set, and values of it. */
async function follow(): Promise<void> {
  const [asked, ...rest] = location.hash.slice(1).split("&");
  if (Object.hasOwn(words, asked)) await open(asked, Object.fromEntries(new URLSearchParams(rest.join("&"))));
  else await open("iris");
}
// Back, forward, and another link in the same tab.
addEventListener("popstate", () => void follow());
await follow();
