/**
 * Training steps in f32: forward, backward, AdamW.
 *
 * @module
 */
import { type DeviceName, GPT2, type GPT2Config, optim, randint, tidy } from "../../mod.ts";
import { forwardOperations, headOperations } from "../gpt2.ts";
import type { Bench, Group, Row, Subject } from "../harness.ts";

/** A function that does one step and waits for it. */
export function stepper(
  config: Partial<GPT2Config>,
  batch: number,
  time: number,
  device: DeviceName = "cpu",
): { run(): Promise<void>; dispose(): void } {
  const model = new GPT2({ ...config, residPdrop: 0, embdPdrop: 0, attnPdrop: 0 }, { device });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const ids = randint(0, model.config.vocabSize, [batch, time + 1], { device });
  return {
    async run() {
      const loss = tidy(() => {
        optimizer.zeroGrad();
        const loss = model.loss(ids);
        loss.backward();
        optimizer.step();
        return loss.detach();
      });
      await loss.item();
      loss.dispose();
    },
    dispose() {
      optimizer.dispose();
      ids.dispose();
      model.dispose();
    },
  };
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const small = { nLayer: 4, nHead: 4, nEmbd: 128, nPositions: 64, vocabSize: 65 };
  const smallOperations = 3 * 2 * (4 * 12 * 128 * 128 + 65 * 128);
  const sizes: [string, Partial<GPT2Config>, number, number, number, Partial<Subject>, Partial<Subject>][] = [
    [
      "nanoGPT's small model, batch 12 of 64",
      small,
      12,
      64,
      smallOperations,
      { versus: { "jax-js": 2.2 } },
      {},
    ],
    ["124M, batch 4 of 64", {}, 4, 64, 3 * (forwardOperations + headOperations), { share: 0.77 }, {}],
  ];
  for (const [name, config, batch, time, operations, wanted, wantedNative] of sizes) {
    const { run, dispose } = stepper(config, batch, time), isSmall = config === small;
    const subjects: Subject[] = [{
      name: "WebAssembly",
      before: () => bench.useBlas(false),
      run,
      limit: bench.peak(operations),
      ...wanted,
    }];
    bench.useBlas(true);
    if (bench.engine.blas.available) {
      subjects.push({ name: "BLAS", before: () => bench.useBlas(true), run, ...wantedNative });
    }
    const options = { layers: 4, heads: 4, width: 128, time, batch, vocab: 65 };
    yield {
      name,
      unit: "tokens/s",
      amount: batch * time,
      subjects,
      rivals: isSmall ? [bench.rivals.job("jax-js", "train", options)] : [],
      note: isSmall
        ? "not compared: PyTorch, which needs Python"
        : "not compared: PyTorch and llm.c, which npm does not have",
    };
    bench.useBlas(true);
    dispose();
  }
}

/** Training. */
export const group: Group = { name: "training", rows };
