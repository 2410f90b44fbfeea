/**
 * Servers that run: their metrics live, and a blind comparison of two of what they have.
 *
 * @module
 */
import { type ChartLine, drawChart } from "../shared/chart.ts";
import { cssColor } from "../shared/colors.ts";
import { download } from "../shared/download.ts";
import { h, slider } from "../shared/elements.ts";
import { element as at, messageOf, startPage } from "../shared/page.ts";
import { say } from "../shared/status.ts";
import { type Contender, tally, type Verdict } from "./blind.ts";
import { type Metrics, pulse } from "./metrics.ts";
import { answerOf, metricsOf, modelsOf, readAddress } from "./server.ts";

startPage();

type Side = "a" | "b";
const sides: readonly Side[] = ["a", "b"], store = "ferrotype-preferences", most = 300;
const temperatures: Record<Side, number> = { a: 0.8, b: 0.8 }, servers: Partial<Record<Side, string>> = {};
const line: ChartLine = { color: "", x: new Float64Array(most), y: new Float64Array(most), length: 0 };
const address = (side: Side): HTMLInputElement => at<HTMLInputElement>(`server-${side}`);
const model = (side: Side): HTMLSelectElement => at<HTMLSelectElement>(`model-${side}`);

let verdicts: Verdict[] = [], open: Omit<Verdict, "better"> | null = null;
let watching: AbortController | null = null, asking: AbortController | null = null;

at("command").textContent = `ferrotype serve --model DIR --cors ${location.origin}`;
for (const side of sides) {
  at("contenders").append(
    h(
      "fieldset",
      {},
      h("legend", {}, side === "a" ? "One" : "Other"),
      h("label", { for: `server-${side}` }, "Server"),
      h("input", {
        id: `server-${side}`,
        type: "text",
        value: "http://127.0.0.1:8080",
        spellcheck: "false",
        autocomplete: "off",
      }),
      h("label", { for: `model-${side}` }, "Model or adapter"),
      h("select", { id: `model-${side}`, disabled: true }),
      slider(
        "Temperature",
        { min: 0, max: 2, step: 0.05, value: 0.8 },
        (value) => temperatures[side] = value,
        (v) => v.toFixed(2),
      ),
    ),
  );
}

function drawRate(): void {
  line.color = cssColor("--accent");
  drawChart(at<HTMLCanvasElement>("rate"), [line], { x: "seconds", y: "tokens a second" });
}

function live(parts: Readonly<Record<string, string>>): void {
  at("live").replaceChildren(
    ...Object.entries(parts).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Looks at a server's metrics every second, until others are connected; rests while nobody looks at the page. */
async function watch(server: string, { signal }: AbortController): Promise<void> {
  let before: Metrics | null = null, last = 0, seconds = 0;
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        const now = await metricsOf(server, signal), time = performance.now();
        if (before) {
          const { tokensPerSecond, wait, active, waiting, cache, memory } = pulse(
            before,
            now,
            (time - last) / 1000,
          );
          live({
            "Tokens a second": tokensPerSecond.toFixed(0),
            "Texts at work": String(active),
            "In the queue": String(waiting),
            "To the first token": wait === null ? "–" : `${(1000 * wait).toFixed(0)} ms`,
            "Cache in use": `${(100 * cache).toFixed(0)} %`,
            "Tensors": `${(memory / 1e6).toFixed(0)} MB`,
          });
          if (line.length === most) {
            line.y.copyWithin(0, 1);
            line.x.copyWithin(0, 1);
            line.length--;
          }
          line.x[line.length] = seconds;
          line.y[line.length++] = tokensPerSecond;
          drawRate();
        }
        at("live-hint").textContent = `${server}, every second`;
        [before, last] = [now, time];
      } catch (error) {
        if (signal.aborted) return;
        at("live-hint").textContent = messageOf(error);
        before = null;
      }
    } else before = null;
    seconds++;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

at("sides").addEventListener("submit", async (event) => {
  event.preventDefault();
  watching?.abort();
  const own = watching = new AbortController();
  try {
    for (const side of sides) {
      const server = readAddress(address(side).value),
        found = await modelsOf(server, own.signal),
        select = model(side);
      const before = select.value;
      select.replaceChildren(...found.map((name) => h("option", {}, name)));
      if (found.includes(before)) select.value = before;
      select.disabled = false;
      servers[side] = server;
    }
    at<HTMLButtonElement>("go").disabled = false;
    say("Connected.");
    line.length = 0;
    void watch(servers.a!, own);
  } catch (error) {
    if (!own.signal.aborted) say(messageOf(error), "error");
  }
});

const contender = (side: Side): Contender => ({
  server: servers[side]!,
  model: model(side).value,
  temperature: temperatures[side],
});
const described = ({ server, model, temperature }: Contender): string =>
  `${model}, temperature ${temperature}, ${server}`;

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  asking?.abort();
  const own = asking = new AbortController(), prompt = at<HTMLTextAreaElement>("prompt").value;
  const [a, b] = sides.map(contender), chat = at<HTMLSelectElement>("kind").value === "chat";
  open = null;
  at("verdict").hidden = true;
  at("revealed").textContent = "";
  at("answers").replaceChildren();
  say("Both are at work …");
  try {
    const tokens = at<HTMLInputElement>("tokens").valueAsNumber;
    const [first, second] = await Promise.all(
      [a, b].map(({ server, model, temperature }) =>
        answerOf(server, { model, prompt, temperature, tokens, chat }, own.signal)
      ),
    );
    // Drawn for each pair, so that nothing of the place tells who it is.
    const left: Side = crypto.getRandomValues(new Uint8Array(1))[0] & 1 ? "a" : "b";
    const answers = { a: first, b: second }, right: Side = left === "a" ? "b" : "a";
    open = { prompt, a, b, answers, left };
    at("answers").replaceChildren(
      ...[["Left", answers[left]], ["Right", answers[right]]].map(([name, text]) =>
        h("div", { class: "stack" }, h("h3", {}, name), h("p", { class: "answer" }, text))
      ),
    );
    at("verdict").hidden = false;
    say("Which is better?");
  } catch (error) {
    if (!own.signal.aborted) say(messageOf(error), "error");
  }
});

function keep(): void {
  try {
    sessionStorage.setItem(store, JSON.stringify(verdicts));
  } catch {
    // The page has them as long as it stands.
  }
  const body = at("tally").querySelector("tbody")!, counts = tally(verdicts);
  at("tally").hidden = counts.length === 0;
  body.replaceChildren(...counts.map(({ a, b, wins, p }) => {
    const number = (text: string): HTMLElement => h("td", { class: "number" }, text);
    return h(
      "tr",
      {},
      h("td", {}, described(a)),
      ...[wins.a, wins.neither, wins.b].map((n) => number(String(n))),
      h("td", {}, described(b)),
      number(`${(100 * p).toFixed(0)} %`),
    );
  }));
  at<HTMLButtonElement>("export").disabled = at<HTMLButtonElement>("forget").disabled = verdicts.length === 0;
}

at("verdict").addEventListener("click", ({ target }) => {
  const said = (target as HTMLElement).dataset.better;
  if (!said || !open) return;
  const { left } = open, right: Side = left === "a" ? "b" : "a";
  verdicts.push({ ...open, better: said === "neither" ? "neither" : said === "left" ? left : right });
  at("revealed").textContent = `Left was ${described(open[left])}; right was ${described(open[right])}.`;
  open = null;
  at("verdict").hidden = true;
  keep();
});
at("export").addEventListener(
  "click",
  () => download("preferences.json", JSON.stringify(verdicts, null, 2), "application/json"),
);
at("forget").addEventListener("click", () => {
  verdicts = [];
  keep();
});
addEventListener("themechange", drawRate);
new ResizeObserver(drawRate).observe(at("rate"));
try {
  verdicts = JSON.parse(sessionStorage.getItem(store) ?? "[]") as Verdict[];
} catch {
  // Nothing is kept, or it is not what was written.
}
keep();
