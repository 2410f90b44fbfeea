/**
 * Ten data sets: drag a value, and see what a model says and how sure it is.
 *
 * @module
 */
import { Engine } from "../engine/client.ts";
import type { ColumnSummary, InputSummary, Preset, TableAnswer } from "../engine/tables.ts";
import { h, slider } from "../shared/elements.ts";
import { element as at, messageOf, siteRoot, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";

startPage();
const engine = new Engine();
const sets = [
  "iris",
  "penguins",
  "seeds",
  "wine",
  "diabetes",
  "heart",
  "cancer",
  "titanic",
  "mpg",
  "housing",
];
let model: ColumnSummary | null = null,
  row: Record<string, string | number> = {},
  own: File | null = null,
  asking = false,
  again = false;

const short = (x: number): string =>
  Math.abs(x) >= 1000
    ? x.toLocaleString("en", { maximumFractionDigits: 0 })
    : String(Number(x.toPrecision(3)));

function control(input: InputSummary): HTMLElement {
  const { name, kind, categories, min, max, median } = input;
  if (kind === "categorical" || kind === "boolean") {
    const pick = h("select", {}, ...categories.map((text) => h("option", {}, text)));
    row[name] ??= categories[0];
    pick.value = String(row[name]);
    pick.addEventListener("change", () => {
      row[name] = pick.value;
      ask();
    });
    return h("label", {}, name, pick);
  }
  const value = Number(row[name] ??= median);
  const whole = input.quantiles.every(Number.isInteger), step = whole ? 1 : (max - min) / 200 || 1;
  return slider(name, { min, max, step, value }, (value) => {
    row[name] = value;
    ask();
  }, short);
}

/** A row's values in the controls, and the answer to it. */
function fill(preset: Preset): void {
  row = { ...preset.row };
  at("controls").replaceChildren(...model!.inputs.map(control));
  for (const button of at("presets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.textContent === preset.name));
  }
  void ask();
}

/** Rows to begin from, as the engine finds them. */
async function offer(of: ColumnSummary): Promise<void> {
  const found = await engine.ask({ do: "presets" });
  if (of !== model) return;
  at("presets").replaceChildren(
    ...found.map((preset) =>
      h("button", { type: "button", "aria-pressed": "false", onclick: () => fill(preset) }, preset.name)
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
      show(await engine.ask({ do: "predict", row: { ...row } }));
    } while (again);
  } catch (error) {
    say(messageOf(error), "error");
  } finally {
    asking = false;
  }
}

const percent = (p: number): string => `${(100 * p).toFixed(1)} %`;

function show({ classes, value, regression }: TableAnswer): void {
  if (!model) return;
  const lines: string[] = [];
  if (classes) {
    at("answer").replaceChildren(
      h("h2", {}, model.target),
      h("p", { class: "big" }, classes.table[0].name),
      h("p", { class: "small" }, `${classes.badge}: ${percent(classes.table[0].probability)}`),
      ...classes.table.map(({ name, probability }) =>
        h(
          "div",
          { class: "row", style: "flex-wrap:nowrap" },
          h("span", { style: "flex:0 0 7rem;overflow-wrap:anywhere" }, name),
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
    const { lower, upper, level } = regression.interval, part = Math.min(1, Math.max(0, regression.position));
    at("answer").replaceChildren(
      h("h2", {}, model.target),
      h("p", { class: "big" }, short(value)),
      h(
        "p",
        { class: "small" },
        `${(100 * level).toFixed(0)} % of truths lie from ${short(lower)} to ${short(upper)}`,
      ),
      h(
        "div",
        { class: "bar", role: "img", "aria-label": "Place in the range" },
        h("span", { style: `width:${(100 * part).toFixed(1)}%` }),
      ),
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

function about(model: ColumnSummary): string {
  const { heldOut, standardError, baseline, rows, source, reading, split } = model;
  const names = Object.keys(heldOut).filter((name) => name in baseline).slice(0, 6);
  return [
    `${source}: ${rows.toLocaleString("en")} rows`,
    ...reading,
    `held out: ${split}`,
    "",
    `${"".padEnd(12)}${"this model".padStart(20)}${"always the same".padStart(18)}`,
    ...names.map((name) => {
      const error = standardError[name], own = short(heldOut[name]);
      return name.padEnd(12) + `${own}${error === undefined ? "" : ` ± ${short(error)}`}`.padStart(20) +
        short(baseline[name]).padStart(18);
    }),
  ].join("\n");
}

function mark(name: string | null): void {
  for (const button of at("sets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.textContent === name));
  }
}

/** Shows a model that the engine has opened. */
async function use(next: ColumnSummary): Promise<void> {
  model = next;
  row = {};
  const target = h("select", { id: "target" }, ...model.columns.map((name) => h("option", {}, name)));
  target.value = model.target;
  target.addEventListener("change", () => own && void train(own, target.value));
  at("inputs").replaceChildren(
    h("h2", {}, "Values"),
    ...own ? [h("label", { for: "target" }, "Learn", target)] : [],
    h("div", { id: "presets", class: "row", role: "group", "aria-label": "Rows to begin from" }),
    h("div", { id: "controls", class: "stack" }, ...model.inputs.map(control)),
  );
  at("about").textContent = about(model);
  say(model.task === "regression" ? `How much is ${model.target}?` : `Which ${model.target} is it?`);
  await ask();
  await offer(next);
}

async function open(name: string): Promise<void> {
  mark(name);
  say(`Opening ${name} …`);
  try {
    const where = new URL(`models/tabular/${name}.safetensors`, siteRoot()).href;
    const next = await engine.ask({ do: "table", where });
    own = null;
    await use(next);
    history.replaceState(null, "", `#${name}`);
  } catch (error) {
    say(messageOf(error), "error");
  }
}

async function train(file: File, target: string | null = null): Promise<void> {
  say(`Training on ${file.name} …`);
  try {
    const next = await engine.ask({ do: "fit", csv: file, target });
    own = file;
    mark(null);
    await use({ ...next, source: file.name });
  } catch (error) {
    say(messageOf(error), "error");
  }
}

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
for (const name of sets) {
  at("sets").append(h("button", { type: "button", onclick: () => void open(name) }, name));
}
engine.introduce().then((text) => at("machine").textContent = text, () => undefined);
const asked = location.hash.slice(1);
await open(sets.includes(asked) ? asked : "iris");
