/**
 * Compiled functions beside the same functions as they are: chains, norms in primitives beside their kernels, training steps.
 *
 * @module
 */
import {
  amax,
  compile,
  crossEntropy,
  gelu,
  GPT2,
  layerNorm,
  nn,
  noGrad,
  optim,
  randint,
  randn,
  rmsNorm,
  softmax,
  type Tensor,
  tidy,
} from "../../mod.ts";
import type { Bench, Group, Row, Subject } from "../harness.ts";

type Unary = (x: Tensor) => Tensor;

/** Twelve operations that only move numbers; a chain of tanh, exp and sigmoid among others; those three alone. */
const arithmetic: Unary = (x) => {
  let y = x;
  for (let i = 0; i < 6; i++) y = y.mul(1.01).add(0.3 - i * 0.1);
  return y;
};
const mixed: Unary = (x) =>
  x.mul(0.5).add(0.1).tanh().mul(1.2).sub(0.1).exp().mul(0.3).add(0.2).sigmoid().mul(2).sub(1).add(0.5);
const three: Unary = (x) => x.tanh().exp().sigmoid();

/** One function as it is and compiled, on `x`, as subjects. */
function both(f: Unary, x: Tensor, names: [eager: string, compiled: string]): Subject[] {
  const compiled = compile(f);
  return [
    { name: names[0], run: () => noGrad(() => tidy(() => f(x))).dispose() },
    { name: names[1], run: () => noGrad(() => compiled(x)).dispose() },
  ];
}

async function* chains(bench: Bench): AsyncGenerator<Row> {
  const large = randn([bench.settings.quick ? 4_000_000 : 32_000_000]), small = randn([4_000_000]);
  const [eager, compiled] = both(arithmetic, large, ["eager", "compiled"]);
  yield {
    name: `twelve arithmetic operations on ${large.size / 1e6} M numbers`,
    unit: "G elements/s",
    amount: large.size / 1e9,
    subjects: [eager, {
      ...compiled,
      limit: { ...bench.read(8e9), name: "8 bytes of memory each" },
      share: 0.85,
    }],
    pairs: [{ fast: "compiled", slow: "eager", least: 4 }],
  };
  large.dispose();
  const [alone] = both(three, small, ["tanh, exp and sigmoid alone", ""]);
  const [as, made] = both(mixed, small, ["eager", "compiled"]);
  const [, threeMade] = both(three, small, ["", "tanh, exp and sigmoid alone, compiled"]);
  yield {
    name: "twelve with tanh, exp and sigmoid among them on 4 M numbers",
    unit: "G elements/s",
    amount: small.size / 1e9,
    subjects: [as, made, alone, threeMade],
    pairs: [{ fast: "compiled", slow: "tanh, exp and sigmoid alone, compiled", least: 0.85 }],
  };
  small.dispose();
}

async function* norms(): AsyncGenerator<Row> {
  const x = randn([4096, 768]), w = randn([768]);
  const cases: [name: string, kernel: Unary, primitives: Unary][] = [
    ["layer norm", (x) => layerNorm(x, 768, w, w), (x) => {
      const centred = x.sub(x.mean(-1, true));
      return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(w).add(w);
    }],
    [
      "RMS norm",
      (x) => rmsNorm(x, 768, w, 1e-5),
      (x) => x.mul(x.square().mean(-1, true).add(1e-5).rsqrt()).mul(w),
    ],
    ["softmax", (x) => softmax(x, -1), (x) => {
      const e = x.sub(amax(x, -1, true)).exp();
      return e.div(e.sum(-1, true));
    }],
    [
      "GELU",
      (x) => gelu(x, { approximate: "tanh" }),
      (x) => x.mul(x.add(x.pow(3).mul(0.044715)).mul(0.7978845608).tanh().add(1)).mul(0.5),
    ],
  ];
  for (const [name, kernel, primitives] of cases) {
    const [hand] = both(kernel, x, ["kernel", ""]),
      [eager, compiled] = both(primitives, x, ["eager", "compiled"]);
    yield {
      name: `${name} in primitives [4096,768]`,
      unit: "G elements/s",
      amount: x.size / 1e9,
      subjects: [hand, eager, compiled],
      pairs: [{ fast: "compiled", slow: "kernel", least: 0.7 }],
    };
  }
  x.dispose();
  w.dispose();
}

/** A training step with AdamW, as it is and compiled: each with parameters of its own. */
function training(
  make: () => { parameters: Tensor[]; loss: (x: Tensor, y: Tensor) => Tensor },
  x: Tensor,
  y: Tensor,
): Subject[] {
  return ["eager", "compiled"].map((name): Subject => {
    const { parameters, loss } = make(), optimizer = new optim.AdamW(parameters, { lr: 1e-4 });
    const step = (x: Tensor, y: Tensor, lr: number): Tensor => {
      const found = loss(x, y);
      found.backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
      return found.detach();
    };
    const compiled = compile(step);
    return {
      name,
      run: () => (name === "eager" ? tidy(() => step(x, y, 1e-4)) : compiled(x, y, 1e-4)).dispose(),
    };
  });
}

async function* steps(bench: Bench): AsyncGenerator<Row> {
  const digits = randn([128, 784]), classes = randint(10, [128]);
  yield {
    name: "MLP 784-256-10, training step, batch 128",
    unit: "steps/s",
    amount: 1,
    subjects: training(
      () => {
        const net = new nn.Sequential(new nn.Linear(784, 256), new nn.ReLU(), new nn.Linear(256, 10));
        return { parameters: net.parameters(), loss: (x, y) => crossEntropy(net.forward(x), y) };
      },
      digits,
      classes,
    ),
    pairs: [{ fast: "compiled", slow: "eager", least: 1.5 }],
  };
  const sizes = { residPdrop: 0, embdPdrop: 0, attnPdrop: 0 };
  const models: [name: string, config: object, batch: number, time: number, least: number][] = [
    [
      "nanoGPT's baby model",
      { vocabSize: 65, nPositions: 256, nEmbd: 384, nLayer: 6, nHead: 6 },
      12,
      64,
      1.25,
    ],
    ["124M", {}, 4, 64, 1],
  ];
  for (const [name, config, batch, time, least] of bench.settings.quick ? models.slice(0, 1) : models) {
    const vocab = (config as { vocabSize?: number }).vocabSize ?? 50257;
    const ids = randint(vocab, [batch, time]), next = randint(vocab, [batch, time]);
    yield {
      name: `${name}, training step of ${batch} × ${time}`,
      unit: "tokens/s",
      amount: batch * time,
      subjects: training(
        () => {
          const model = new GPT2({ ...config, ...sizes });
          return { parameters: model.parameters(), loss: (x, y) => model.loss(x, y) };
        },
        ids,
        next,
      ),
      pairs: [{ fast: "compiled", slow: "eager", least }],
    };
  }
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  yield* chains(bench);
  yield* norms();
  yield* steps(bench);
}

/** Compiled functions. */
export const group: Group = { name: "compiled functions", rows };
