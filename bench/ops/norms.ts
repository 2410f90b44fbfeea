/**
 * Operations along rows: softmax, layer norm, cross-entropy, with their gradients.
 *
 * @module
 */
import {
  crossEntropy,
  layerNorm,
  noGrad,
  ones,
  randint,
  randn,
  softmax,
  type Tensor,
  tidy,
  zeros,
} from "../../mod.ts";
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const forward = async function* (
    name: string,
    shape: [number, number],
    bytes: number,
    make: (x: Tensor) => Tensor,
    task?: string,
  ): AsyncGenerator<Row> {
    const x = randn(shape);
    yield {
      name: `${name} [${shape}]`,
      unit: "G elements/s",
      amount: shape[0] * shape[1] / 1e9,
      subjects: [{
        name: "WebAssembly",
        run: () => noGrad(() => tidy(() => void make(x))),
        limit: { ...bench.read(bytes * 1e9), name: `${bytes} bytes of memory each` },
      }],
      rivals: task
        ? [
          bench.rivals.job("tfjs-wasm", task, {
            rows: shape[0],
            columns: shape[1],
            threads: bench.engine.threads,
          }),
        ]
        : [],
    };
    x.dispose();
  };
  yield* forward("softmax", [8192, 1024], 8, (x) => softmax(x, -1), "softmax");
  const weight = ones([768]), bias = zeros([768]);
  yield* forward("layer norm", [8192, 768], 8, (x) => layerNorm(x, [768], weight, bias));
  weight.dispose();
  bias.dispose();
  const targets = randint(0, 50257, [256]);
  yield* forward("cross-entropy", [256, 50257], 4, (x) => crossEntropy(x, targets));
  const logits = randn([256, 50257], { requiresGrad: true });
  yield {
    name: "cross-entropy and its gradient [256,50257]",
    unit: "G elements/s",
    amount: 256 * 50257 / 1e9,
    subjects: [{
      name: "WebAssembly",
      run: () => {
        tidy(() => crossEntropy(logits, targets).backward());
        logits.grad?.dispose();
        logits.grad = null;
      },
      limit: { ...bench.read(12e9), name: "12 bytes of memory each" },
    }],
  };
  logits.dispose();
  targets.dispose();
}

/** Operations along rows. */
export const group: Group = { name: "along rows", rows };
