/**
 * Decoding with GPT-2 124M as one writes it (forward with a cache, then the largest logit), as it is and compiled: one text, and
 * eight side by side.
 *
 * @module
 */
import { argmax, compile, GPT2, keep, noGrad, reshape, type Tensor, tidy, zeros } from "../../mod.ts";
import { cpuBackend } from "../../src/runtime/cpu.ts";
import { gpt2Folder } from "../gpt2.ts";
import type { Bench, Row, Subject } from "../harness.ts";
import { eagerly, javascript } from "./compile_counts.ts";
import { weightBytes } from "./decode.ts";

/** The step of a model and `texts` texts, as it is and compiled; each has a cache of its own. */
function stepsOf(
  model: GPT2,
  texts: number,
  tokens: number,
): { eager(): void; compiled(): void; dispose(): void } {
  const make = (wrap: (f: () => Tensor) => () => Tensor) => {
    const cache = model.createCache(texts, tokens + 8), ids = keep(zeros([texts, 1], { dtype: "i32" }));
    const next = wrap(() =>
      noGrad(() =>
        reshape(argmax(reshape(model.forward(ids, { cache, lastOnly: true }), [texts, -1]), -1), [texts, 1])
      )
    );
    const run = (): void => {
      if (cache.length >= tokens) cache.truncate(0);
      next().dispose();
    };
    return { run, cache, ids };
  };
  const program: { f: { dispose(): void } | null } = { f: null };
  const eager = make((f) => () => eagerly(cpuBackend(), () => tidy(f))),
    compiled = make((f) => program.f = compile(f));
  return {
    eager: eager.run,
    compiled: compiled.run,
    dispose() {
      program.f?.dispose();
      for (const { cache, ids } of [eager, compiled]) {
        cache.dispose();
        ids.dispose();
      }
    },
  };
}

/** Rows of decoding. */
export async function* decoding(bench: Bench): AsyncGenerator<Row> {
  const { quick } = bench.settings,
    tokens = 256,
    dtypes = quick ? ["q4"] as const : ["f32", "bf16", "q8", "q4"] as const;
  for (const dtype of dtypes) {
    const model = await GPT2.load(await gpt2Folder(), { dtype }), bytes = weightBytes(model);
    for (const texts of [1, 8]) {
      const { eager, compiled, dispose } = stepsOf(model, texts, tokens);
      const run = (f: () => void): Subject["run"] => () => f();
      yield {
        name: `124M, decode, ${dtype}, ${texts === 1 ? "one text" : `${texts} texts`}`,
        unit: "tokens/s",
        amount: texts,
        subjects: [{ name: "eager", run: run(eager) }, {
          name: "compiled",
          run: run(compiled),
          limit: { ...bench.read(bytes / texts), name: `reading ${(bytes / 1e6).toFixed(0)} MB` },
        }],
        pairs: [{ fast: "compiled", slow: "eager", least: 0.98 }],
      };
      yield {
        name: `124M, decode, ${dtype}, ${texts === 1 ? "one text" : `${texts} texts`}: JavaScript a step`,
        unit: "ms",
        amount: 1e3,
        subjects: [{ name: "eager", run: () => javascript(eager) }, {
          name: "compiled",
          run: () => javascript(compiled),
          atMost: 0.1,
        }],
      };
      dispose();
    }
    model.dispose();
  }
}
