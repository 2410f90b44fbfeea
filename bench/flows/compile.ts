/**
 * Compiled functions beside the same functions as they are, and beside jax-js under `jit`: chains, norms and activations in
 * primitives beside their kernels, training steps, decoding; then what is counted rather than timed.
 *
 * @module
 */
import {
  amax,
  compile,
  concat,
  crossEntropy,
  gelu,
  GPT2,
  keep,
  layerNorm,
  matmul,
  mul,
  nn,
  noGrad,
  optim,
  rand,
  randint,
  randn,
  rmsNorm,
  silu,
  softmax,
  type Tensor,
  tidy,
  zeros,
} from "../../mod.ts";
import { applyRotary, RotaryEmbedding } from "../../src/nn/rotary.ts";
import type { Bench, Group, RivalJob, Row, Subject } from "../harness.ts";
import { counts } from "./compile_counts.ts";
import { decoding } from "./compile_decode.ts";

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
function both(
  f: Unary,
  x: Tensor,
  names: [eager: string, compiled: string],
  versus?: Record<string, number>,
): Subject[] {
  const compiled = compile(f);
  return [
    { name: names[0], run: () => noGrad(() => tidy(() => f(x))).dispose() },
    { name: names[1], run: () => noGrad(() => compiled(x)).dispose(), ...(versus ? { versus } : {}) },
  ];
}

const jax = (bench: Bench, what: string, shapes: readonly (readonly number[])[]): RivalJob[] => [
  bench.rivals.job("jax-js", "compiled", { what, shapes }),
];

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
    rivals: jax(bench, "twelve", [[large.size]]),
  };
  large.dispose();
  const [alone] = both(three, small, ["tanh, exp and sigmoid alone", ""]);
  const [as, made] = both(mixed, small, ["eager", "compiled"], { "jax-js": 5 });
  const [, threeMade] = both(three, small, ["", "tanh, exp and sigmoid alone, compiled"]);
  yield {
    name: "twelve with tanh, exp and sigmoid among them on 4 M numbers",
    unit: "G elements/s",
    amount: small.size / 1e9,
    subjects: [as, made, alone, threeMade],
    pairs: [{ fast: "compiled", slow: "tanh, exp and sigmoid alone, compiled", least: 0.85 }],
    rivals: jax(bench, "mixed", [[small.size]]),
  };
  small.dispose();
}

async function* norms(bench: Bench): AsyncGenerator<Row> {
  const x = randn([4096, 768]), w = randn([768]);
  const heads = randn([4, 12, 256, 64]),
    { cos, sin } = new RotaryEmbedding({
      width: 64,
      theta: 10_000,
      maxPositions: 256,
    }).at(0, 256, "cpu");
  const rotary: Unary = (x) => {
    const a = x.slice(null, null, null, [0, 32]), b = x.slice(null, null, null, [32, 64]);
    return concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], -1);
  };
  const halves = (x: Tensor): [Tensor, Tensor] => [x.slice(null, [0, 384]), x.slice(null, [384, 768])];
  const cases: [name: string, kernel: Unary, primitives: Unary, x: Tensor, shapes: number[][]][] = [
    [
      "layer norm",
      (x) => layerNorm(x, 768, w, w),
      (x) => {
        const centred = x.sub(x.mean(-1, true));
        return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(w).add(w);
      },
      x,
      [[4096, 768], [768]],
    ],
    [
      "RMS norm",
      (x) => rmsNorm(x, 768, w, 1e-5),
      (x) => x.mul(x.square().mean(-1, true).add(1e-5).rsqrt()).mul(w),
      x,
      [[4096, 768], [768]],
    ],
    [
      "softmax",
      (x) => softmax(x, -1),
      (x) => {
        const e = x.sub(amax(x, -1, true)).exp();
        return e.div(e.sum(-1, true));
      },
      x,
      [[4096, 768], [768]],
    ],
    [
      "GELU",
      (x) => gelu(x, { approximate: "tanh" }),
      (x) => x.mul(x.add(x.pow(3).mul(0.044715)).mul(0.7978845608).tanh().add(1)).mul(0.5),
      x,
      [[4096, 768], [768]],
    ],
    [
      "SwiGLU",
      (x) => {
        const [a, b] = halves(x);
        return mul(silu(a), b);
      },
      (x) => {
        const [a, b] = halves(x);
        return a.div(a.neg().exp().add(1)).mul(b);
      },
      x,
      [[4096, 768], [768]],
    ],
    [
      "rotary",
      (x) => applyRotary(x, { cos, sin }),
      rotary,
      heads,
      [[4, 12, 256, 64], [256, 32], [256, 32]],
    ],
  ];
  for (const [name, kernel, primitives, x, shapes] of cases) {
    const [hand] = both(kernel, x, ["kernel", ""]),
      [eager, compiled] = both(primitives, x, ["eager", "compiled"], { "jax-js": 6 });
    yield {
      name: `${name} in primitives [${x.shape}]`,
      unit: "G elements/s",
      amount: x.size / 1e9,
      subjects: [hand, eager, compiled],
      pairs: [{ fast: "compiled", slow: "kernel", least: 0.7 }],
      rivals: jax(bench, name, shapes),
    };
  }
  for (const t of [x, w, heads, cos, sin]) t.dispose();
}

/** A training step with AdamW, as it is and compiled: each with parameters of its own, which `dispose` gives back. */
function training(
  make: () => { parameters: Tensor[]; loss: (x: Tensor, y: Tensor) => Tensor },
  x: Tensor,
  y: Tensor,
): { subjects: Subject[]; dispose(): void } {
  const made: { dispose(): void }[] = [];
  const subjects = ["eager", "compiled"].map((name): Subject => {
    const { parameters, loss } = make(), optimizer = new optim.AdamW(parameters, { lr: 1e-4 });
    const step = (x: Tensor, y: Tensor, lr: number): Tensor => {
      const found = loss(x, y);
      found.backward();
      optimizer.step({ lr });
      optimizer.zeroGrad();
      return found.detach();
    };
    const compiled = compile(step);
    made.push(compiled, optimizer, ...parameters);
    return {
      name,
      run: () => (name === "eager" ? tidy(() => step(x, y, 1e-4)) : compiled(x, y, 1e-4)).dispose(),
    };
  });
  // What is left in the heap would have what follows lie beyond it.
  return { subjects, dispose: () => made.forEach((one) => one.dispose()) };
}

/** A small network: its parameters, and its loss. */
function small({ members, sizes, activation, loss }: {
  members: number;
  sizes: readonly number[];
  activation: "relu" | "tanh";
  loss: "classes" | "bce";
}): { parameters: Tensor[]; loss: (x: Tensor, y: Tensor) => Tensor } {
  const shape = (...own: number[]): number[] => members === 1 ? own : [members, ...own];
  const layers = sizes.slice(1).map((size, i) =>
    [randn(shape(sizes[i], size)).mul(0.1), zeros(shape(1, size))].map((t) =>
      keep(t.detach()).requiresGrad_()
    )
  );
  return {
    parameters: layers.flat(),
    loss: (x, y) => {
      const logits = layers.reduce((h, [w, b], i) => {
        const z = matmul(h, w).add(b);
        return i === layers.length - 1 ? z : activation === "relu" ? z.relu() : z.tanh();
      }, x);
      return loss === "bce"
        ? nn.bceWithLogits(logits, y)
        : crossEntropy(logits.reshape(-1, sizes.at(-1)!), y);
    },
  };
}

async function* steps(bench: Bench): AsyncGenerator<Row> {
  const nets = [
    {
      name: "MLP 784-256-10, training step, batch 128",
      net: { members: 1, batch: 128, sizes: [784, 256, 10], activation: "relu", loss: "classes" },
    },
    {
      name: "the tabular learner's step: 10 networks 16-64-64-3, batch 64",
      net: { members: 10, batch: 64, sizes: [16, 64, 64, 3], activation: "relu", loss: "classes" },
    },
    {
      name: "the network page's step: 2-8-8-1, 200 points",
      net: { members: 1, batch: 200, sizes: [2, 8, 8, 1], activation: "tanh", loss: "bce" },
    },
  ] as const;
  for (const { name, net } of nets) {
    const { members, batch, sizes } = net, lead = members === 1 ? [batch] : [members, batch];
    const x = randn([...lead, sizes[0]]), rows = members * batch;
    const y = net.loss === "bce" ? rand([...lead, 1]).round() : randint(sizes.at(-1)!, [rows]);
    const { subjects: [eager, compiled], dispose } = training(() => small(net), x, y);
    yield {
      name,
      unit: "steps/s",
      amount: 1,
      subjects: [eager, { ...compiled, versus: { "jax-js": 4 } }],
      pairs: [{ fast: "compiled", slow: "eager", least: 1.5 }],
      rivals: [bench.rivals.job("jax-js", "net", net)],
    };
    dispose();
    for (const t of [x, y]) t.dispose();
  }
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
    const { subjects, dispose } = training(
      () => {
        const model = new GPT2({ ...config, ...sizes });
        return { parameters: model.parameters(), loss: (x, y) => model.loss(x, y) };
      },
      ids,
      next,
    );
    yield {
      name: `${name}, training step of ${batch} × ${time}`,
      unit: "tokens/s",
      amount: batch * time,
      subjects,
      pairs: [{ fast: "compiled", slow: "eager", least }],
    };
    dispose();
    for (const t of [ids, next]) t.dispose();
  }
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  yield* chains(bench);
  yield* norms(bench);
  yield* steps(bench);
  yield* decoding(bench);
  yield* counts(bench);
}

/** Compiled functions. */
export const group: Group = { name: "compiled functions", rows };
