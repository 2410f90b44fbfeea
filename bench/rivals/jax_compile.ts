/**
 * What `bench/flows/compile.ts` compiles, in jax-js under `jit`: chains, norms and activations in primitives, and a training
 * step of a small network with AdamW.
 *
 * @module
 */
// deno-lint-ignore-file no-explicit-any -- jax-js is loaded at run time, without its types
import { random } from "./random.ts";

type Function = (jax: any) => (...x: any[]) => any;

/** By the names of the rows. Arrays there are used up by what reads them; `.ref` reads without that. */
const functions: Readonly<Record<string, Function>> = {
  "twelve": () => (x) => {
    let y = x;
    for (let i = 0; i < 6; i++) y = y.mul(1.01).add(0.3 - i * 0.1);
    return y;
  },
  "mixed": ({ numpy: np, nn }) => (x) =>
    nn.sigmoid(np.exp(np.tanh(x.mul(0.5).add(0.1)).mul(1.2).sub(0.1)).mul(0.3).add(0.2)).mul(2).sub(1).add(
      0.5,
    ),
  "layer norm": ({ numpy: np }) => (x, w) => {
    const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred.div(np.sqrt(variance.add(1e-5))).mul(w.ref).add(w);
  },
  "RMS norm": ({ numpy: np }) => (x, w) => {
    const squares = np.mean(np.square(x.ref), -1, { keepdims: true });
    return x.div(np.sqrt(squares.add(1e-5))).mul(w);
  },
  "softmax": ({ numpy: np }) => (x, w) => {
    w.dispose();
    const e = np.exp(x.ref.sub(np.max(x, -1, { keepdims: true })));
    return e.ref.div(np.sum(e, -1, { keepdims: true }));
  },
  "GELU": ({ numpy: np }) => (x, w) => {
    w.dispose();
    const inner = x.ref.add(x.ref.mul(x.ref).mul(x.ref).mul(0.044715)).mul(0.7978845608);
    return x.mul(np.tanh(inner).add(1)).mul(0.5);
  },
  "SwiGLU": ({ numpy: np }) => (x, w) => {
    w.dispose();
    const half = x.shape[1] / 2, [a, b] = np.split(x, [half], 1);
    return a.ref.div(np.exp(a.mul(-1)).add(1)).mul(b);
  },
  "rotary": ({ numpy: np }) => (x, cos, sin) => {
    const half = x.shape.at(-1) / 2, [a, b] = np.split(x, [half], -1);
    return np.concatenate([
      a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref)),
      b.mul(cos).add(a.mul(sin)),
    ], -1);
  },
};

/** Does one of the functions on arrays of these shapes, and waits for it. */
export function compiled(
  jax: any,
  { what, shapes }: { what: string; shapes: number[][] },
): () => Promise<void> {
  const f = jax.jit(functions[what](jax));
  const given = shapes.map((shape) =>
    jax.numpy.array(random(shape.reduce((a, b) => a * b, 1))).reshape(shape)
  );
  return async () => {
    const y = f(...given.map((x: any) => x.ref));
    await y.blockUntilReady();
    y.dispose();
  };
}

/** Sizes of a network: [members, batch, in] through layers with tanh or ReLU. */
interface Net {
  readonly members: number;
  readonly batch: number;
  readonly sizes: readonly number[];
  readonly activation: "relu" | "tanh";
  readonly loss: "classes" | "bce";
}

/** One step of AdamW, and its loss. */
export function netTrainer(jax: any, { members, batch, sizes, activation, loss }: Net): () => Promise<void> {
  const { numpy: np, nn, jit, valueAndGrad, tree } = jax, outputs = sizes.at(-1)!;
  const shape = (...own: number[]): number[] => members === 1 ? own : [members, ...own];
  const array = (values: Float32Array, own: number[]): any => np.array(values).reshape(own);
  const normal = (own: number[]): any =>
    array(random(own.reduce((a, b) => a * b, 1)).map((v) => 0.1 * v), own);
  let p: any = sizes.slice(1).map((size, i) => ({
    w: normal(shape(sizes[i], size)),
    b: np.zeros(shape(1, size)),
  }));
  let m = tree.map((x: any) => np.zerosLike(x.ref), p), v = tree.map((x: any) => np.zerosLike(x.ref), p);
  const x = normal(shape(batch, sizes[0])),
    rows = members * batch,
    targets = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) targets[row * outputs + (outputs === 1 ? 0 : row % outputs)] = 1;
  const y = array(targets, shape(batch, outputs));
  const objective = (p: any, x: any, y: any): any => {
    let h = x;
    p.forEach(({ w, b }: any, i: number) => {
      h = np.matmul(h, w).add(b);
      if (i < p.length - 1) h = activation === "relu" ? nn.relu(h) : np.tanh(h);
    });
    if (loss === "classes") return nn.logSoftmax(h, -1).mul(y).sum().mul(-1 / rows);
    const soft = np.log(np.exp(np.abs(h.ref).mul(-1)).add(1));
    return nn.relu(h.ref).sub(h.mul(y)).add(soft).sum().mul(1 / rows);
  };
  const step = jit((p: any, m: any, v: any, c1: any, c2: any, x: any, y: any) => {
    const [value, gradient] = valueAndGrad(objective)(tree.ref(p), x, y);
    const ps = tree.leaves(p), gs = tree.leaves(gradient), ms = tree.leaves(m), vs = tree.leaves(v);
    const structure = tree.structure(p), next: any[] = [], nextM: any[] = [], nextV: any[] = [];
    for (let i = 0; i < ps.length; i++) {
      const m2 = ms[i].mul(0.9).add(gs[i].ref.mul(0.1)),
        v2 = vs[i].mul(0.999).add(gs[i].ref.mul(gs[i]).mul(0.001));
      const update = m2.ref.mul(c1.ref).div(np.sqrt(v2.ref.mul(c2.ref)).add(1e-8));
      next.push(ps[i].mul(1 - 1e-4 * 0.01).sub(update.mul(1e-4)));
      nextM.push(m2);
      nextV.push(v2);
    }
    c1.dispose();
    c2.dispose();
    return [value, ...[next, nextM, nextV].map((leaves) => tree.unflatten(structure, leaves))];
  });
  let steps = 0;
  return async () => {
    steps++;
    const c1 = np.array([1 / (1 - 0.9 ** steps)]), c2 = np.array([1 / (1 - 0.999 ** steps)]);
    let value: any;
    [value, p, m, v] = step(p, m, v, c1, c2, x.ref, y.ref);
    await value.data();
  };
}
