/**
 * What making a model smaller costs: held-out loss against bytes and tokens a second, of one small model that is rounded, fitted,
 * trained in blocks, pruned, distilled, and several of these.
 *
 * `deno task compressed TEXTFILE` runs the commands that a reader would (train, convert, prune, distill), prints a table, and draws
 * it. Every way that trains from the beginning has the steps of the first; what follows something trained has a quarter of them more.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { main } from "../cli/main.ts";
import { redirectOutput } from "../cli/output.ts";
import { type Drawer, loadDrawer } from "../cli/plot.ts";
import { splitText } from "../cli/text.ts";
import { CausalLM, evaluate } from "../mod.ts";
import { whole } from "../src/core/kinds.ts";
import { ensurePackages } from "../tests/_install.ts";
import { readTask } from "../tools/task.ts";

const { values, positionals } = readTask({
  name: "compressed",
  usage: "TEXTFILE [options]",
  summary:
    "Makes a small model smaller in every way there is, and tells what each costs: loss, bytes, tokens a second.",
  positionals: [1, 1],
  options: {
    steps: {
      value: "N",
      kind: whole(8, 100_000),
      help: "steps of the model that is made smaller (default 600)",
    },
    width: { value: "N", kind: whole(1, 32), help: "its width, in 32s (default 4: 128)" },
    plot: { value: "FILE", help: "draw the table as SVG" },
    json: { help: "one JSON object on standard output" },
  },
});

/** A row of the table. */
interface Row {
  readonly way: string;
  readonly kind: "whole" | "quantised" | "pruned" | "distilled" | "both";
  /** Nats a token. */
  readonly loss: number;
  /** Of the file of weights. */
  readonly bytes: number;
  /** Decoding one text. */
  readonly tokensPerSecond: number;
}

const steps = values.number("steps") ?? 600, more = Math.max(2, Math.round(steps / 4));
const width = 32 * (values.number("width") ?? 4), block = 64, batch = 16;
const text = readFileSync(positionals[0], "utf8"), [learned, heldOut] = splitText(text, 0.1);
if (values.has("plot")) ensurePackages();
const plot = values.text("plot"), draw: Drawer | null = plot === undefined ? null : await loadDrawer();
const folder = mkdtempSync(join(tmpdir(), "ferrotype-compressed-")),
  at = (name: string): string => join(folder, name);
const rows: Row[] = [];

/** Runs a command of ours, which says what is wrong with it. */
async function run(line: string, ...rest: string[]): Promise<void> {
  let said = "";
  const restore = redirectOutput((stream, part) => {
    if (stream === "stderr") said += part;
    return Promise.resolve(true);
  });
  try {
    const args = [...line.split(" "), ...rest];
    if (await main(args) !== 0) throw new Error(`${args.join(" ")}: ${said}`);
  } finally {
    restore();
  }
}

/** How fast it decodes: the best of three texts, as others share the machine. */
async function speedOf(model: CausalLM): Promise<number> {
  const options = { maxNewTokens: model.contextLength - 1, doSample: false };
  let best = 0;
  for (let i = 0; i < 4; i++) {
    const begun = performance.now();
    const { ids } = await model.completion([0], options);
    if (i > 0) best = Math.max(best, ids.length / (performance.now() - begun) * 1000);
  }
  return best;
}

/** Judges the model in a folder. */
async function judge(way: string, kind: Row["kind"], name: string): Promise<void> {
  using model = await CausalLM.load(at(name), { onWarning: () => {} });
  const held = model.tokenizer!.encode(heldOut);
  const { loss } = await evaluate(model, held, { blockSize: block, batchSize: batch });
  const { size: bytes } = statSync(join(at(name), "model.safetensors"));
  const row = { way, kind, loss, bytes, tokensPerSecond: await speedOf(model) };
  rows.push(row);
  process.stderr.write(`${lineOf(row)}\n`);
}

function lineOf({ way, loss, bytes, tokensPerSecond }: Row): string {
  const first = rows[0] ?? { bytes, loss };
  return [
    `| ${way.padEnd(44)}`,
    loss.toFixed(4),
    `${loss >= first.loss ? "+" : "−"}${Math.abs(loss - first.loss).toFixed(4)}`,
    bytes.toLocaleString("en").padStart(10),
    (bytes / first.bytes).toFixed(2),
    `${Math.round(tokensPerSecond).toLocaleString("en").padStart(7)} |`,
  ].join(" | ");
}

const sizes = (n: number, layers: number): string =>
  `--n-layer ${layers} --n-head 4 --n-embd ${n} --block-size ${block} --batch-size ${batch} --quiet`;
const fresh = (out: string, also = ""): Promise<void> =>
  run(
    `train ${sizes(width, 2)} --steps ${steps} --eval-every ${steps}${also}`,
    positionals[0],
    "-o",
    at(out),
  );
const further = (from: string, out: string, qat: string): Promise<void> =>
  run(
    `train --block-size ${block} --batch-size ${batch} --quiet --steps ${more} --eval-every ${more} --qat ${qat}`,
    ...[positionals[0], "--init", at(from), "-o", at(out)],
  );
const rounded = (from: string, dtype: string, ...rest: string[]): Promise<void> =>
  run(`convert --dtype ${dtype}`, at(from), at(`${from}-${dtype}${rest.length ? "-fitted" : ""}`), ...rest);

try {
  const calibration = at("learned.txt");
  writeFileSync(calibration, learned);
  await fresh("whole");
  await judge("f32", "whole", "whole");
  for (const dtype of ["q8", "q4"]) {
    await rounded("whole", dtype);
    await judge(`rounded to ${dtype}`, "quantised", `whole-${dtype}`);
  }
  await rounded("whole", "q4", "--calibrate", calibration);
  await judge("fitted to q4 (GPTQ)", "quantised", "whole-q4-fitted");
  for (const qat of ["q8", "q4", "ternary"]) {
    await fresh(qat, ` --qat ${qat}`);
    if (qat !== "ternary") await rounded(qat, qat);
    await judge(`trained in ${qat}`, "quantised", qat === "ternary" ? qat : `${qat}-${qat}`);
  }
  await further("whole", "later", "q4");
  await rounded("later", "q4");
  await judge("f32, then trained in q4", "quantised", "later-q4");
  await run(
    `prune --neurons 0.25 --recover ${more} --block-size ${block} --batch-size ${batch}`,
    ...[at("whole"), at("pruned"), "--text", positionals[0]],
  );
  await judge("a quarter of the neurons pruned", "pruned", "pruned");
  await run(
    `train ${sizes(width / 2, 2)} --steps ${more} --eval-every ${more}`,
    positionals[0],
    "-o",
    at("student"),
  );
  await run(
    `distill --steps ${steps} --block-size ${block} --batch-size ${batch}`,
    ...[at("whole"), at("student"), positionals[0], "-o", at("distilled")],
  );
  await judge("distilled to half the width", "distilled", "distilled");
  for (const from of ["pruned", "distilled"]) {
    await rounded(from, "q4", "--calibrate", calibration);
    await judge(`${from}, fitted to q4`, "both", `${from}-q4-fitted`);
    await further(from, `${from}-later`, "q4");
    await rounded(`${from}-later`, "q4");
    await judge(`${from}, then trained in q4`, "both", `${from}-later-q4`);
  }
  if (values.flag("json")) console.log(JSON.stringify({ steps, width, rows }));
  else {
    console.log("| way | held-out loss | against f32 | bytes | of f32's | tokens/s |");
    console.log("| --- | --: | --: | --: | --: | --: |");
    for (const row of rows) console.log(lineOf(row));
  }
  const x = { type: "quantitative", scale: { type: "log", nice: false, padding: 20 } };
  const panel = (field: string, title: string): object => ({
    width: 420,
    height: 360,
    encoding: {
      x: { ...x, field, title },
      y: {
        field: "loss",
        type: "quantitative",
        title: "held-out loss, nats a token",
        scale: { zero: false, padding: 12 },
      },
    },
    layer: [
      {
        mark: { type: "point", filled: true, size: 60 },
        encoding: { color: { field: "kind", type: "nominal", title: null } },
      },
      {
        mark: { type: "text", align: "left", dx: 7, fontSize: 9 },
        encoding: { text: { field: "way", type: "nominal" } },
      },
    ],
  });
  await draw?.(plot!, {
    title: `${steps} steps, width ${width}`,
    data: { values: rows },
    hconcat: [panel("bytes", "bytes of weights"), panel("tokensPerSecond", "tokens a second, one text")],
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
