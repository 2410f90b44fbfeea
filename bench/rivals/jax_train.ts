/**
 * A GPT without biases and with a full attention, trained with AdamW in jax-js: one step of what nanoGPT calls
 * shakespeare_char on a CPU.
 *
 * @module
 */
// deno-lint-ignore-file no-explicit-any -- jax-js is loaded at run time, without its types

interface Sizes {
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly time: number;
  readonly batch: number;
  readonly vocab: number;
}

/** A function that does one step and waits for its loss. */
export function trainer(jax: any, { layers, heads, width, time, batch, vocab }: Sizes): () => Promise<void> {
  const { numpy: np, nn, jit, valueAndGrad, tree } = jax;
  const each = width / heads, rows = batch * time;
  const normal = (shape: number[]): any => {
    const count = shape.reduce((a, b) => a * b), values = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      values[i] = 0.02 * Math.sqrt(-2 * Math.log(Math.random() + 1e-9)) *
        Math.cos(2 * Math.PI * Math.random());
    }
    return np.array(values).reshape(shape);
  };
  const ones = (): any => np.ones([width]);
  let parameters: any = {
    wte: normal([vocab, width]),
    wpe: normal([time, width]),
    ln: ones(),
    h: Array.from({ length: layers }, () => ({
      l1: ones(),
      l2: ones(),
      q: normal([width, width]),
      k: normal([width, width]),
      v: normal([width, width]),
      o: normal([width, width]),
      f: normal([width, 4 * width]),
      p: normal([4 * width, width]),
    })),
  };
  /** x and y are one-hot [rows, vocab]. */
  const loss = (p: any, x: any, y: any): any => {
    let h = np.matmul(x, p.wte.ref).reshape([batch, time, width]).add(p.wpe);
    for (const b of p.h) {
      const n = nn.standardize(h.ref).mul(b.l1).reshape([rows, width]);
      const split = (weight: any, from: any): any =>
        np.matmul(from, weight).reshape([batch, time, heads, each]);
      const q = split(b.q, n.ref), k = split(b.k, n.ref), v = split(b.v, n);
      const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([rows, width]);
      h = h.add(np.matmul(mixed, b.o).reshape([batch, time, width]));
      const m = nn.standardize(h.ref).mul(b.l2).reshape([rows, width]);
      h = h.add(np.matmul(nn.gelu(np.matmul(m, b.f)), b.p).reshape([batch, time, width]));
    }
    const logits = np.matmul(nn.standardize(h).mul(p.ln).reshape([rows, width]), np.transpose(p.wte));
    return nn.logSoftmax(logits).mul(y).sum().mul(-1 / rows);
  };
  const step = jit((p: any, m: any, v: any, c1: any, c2: any, x: any, y: any) => {
    const [value, gradient] = valueAndGrad(loss)(tree.ref(p), x, y);
    const ps = tree.leaves(p), gs = tree.leaves(gradient), ms = tree.leaves(m), vs = tree.leaves(v);
    const structure = tree.structure(p);
    const next: any[] = [], nextM: any[] = [], nextV: any[] = [];
    for (let i = 0; i < ps.length; i++) {
      const m2 = ms[i].mul(0.9).add(gs[i].ref.mul(0.1)),
        v2 = vs[i].mul(0.99).add(gs[i].ref.mul(gs[i]).mul(0.01));
      const update = m2.ref.mul(c1.ref).div(np.sqrt(v2.ref.mul(c2.ref)).add(1e-8));
      next.push(ps[i].mul(1 - 1e-3 * 0.01).sub(update.mul(1e-3)));
      nextM.push(m2);
      nextV.push(v2);
    }
    c1.dispose();
    c2.dispose();
    return [value, ...[next, nextM, nextV].map((leaves) => tree.unflatten(structure, leaves))];
  });
  let m = tree.map((x: any) => np.zerosLike(x.ref), parameters);
  let v = tree.map((x: any) => np.zerosLike(x.ref), parameters);
  const oneHot = (): any => {
    const values = new Float32Array(rows * vocab);
    for (let row = 0; row < rows; row++) values[row * vocab + Math.floor(Math.random() * vocab)] = 1;
    return np.array(values).reshape([rows, vocab]);
  };
  let steps = 0;
  return async () => {
    steps++;
    const c1 = np.array([1 / (1 - 0.9 ** steps)]), c2 = np.array([1 / (1 - 0.99 ** steps)]);
    let value: any;
    [value, parameters, m, v] = step(parameters, m, v, c1, c2, oneHot(), oneHot());
    await value.data();
  };
}
