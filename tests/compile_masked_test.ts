/** Windows that see nothing: rows of −∞ alone are in programs what they are eagerly, in value and gradient. */
import { assert } from "@std/assert";
import { describe, it } from "node:test";
import {
  amax,
  compile,
  crossEntropy,
  type DeviceName,
  full,
  gt,
  logSoftmax,
  logsumexp,
  matmul,
  noGrad,
  randn,
  scaledDotProductAttention,
  softmax,
  type Tensor,
  tensor,
  transpose,
  where,
} from "../mod.ts";
import { eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

/** q, k, v: [1, 2, 20, 8], and a mask [20, 20] that is added: 0 or −∞. */
type Attention = (q: Tensor, k: Tensor, v: Tensor, mask: Tensor) => Tensor;

const rows = 20, width = 8;

const primitives = (scores: Tensor): Tensor => {
  const e = scores.sub(amax(scores, -1, true)).exp();
  return e.div(e.sum(-1, true));
};
const scoresOf = (q: Tensor, k: Tensor): Tensor => matmul(q, transpose(k, -2, -1)).mul(0.3);

const functions: Readonly<Record<string, Attention>> = {
  "a mask that is added": (q, k, v, mask) => scaledDotProductAttention(q, k, v, { attnMask: mask }),
  "a mask of truths": (q, k, v, mask) => scaledDotProductAttention(q, k, v, { attnMask: gt(mask, -1) }),
  "a mask with softcap": (q, k, v, mask) =>
    scaledDotProductAttention(q, k, v, { attnMask: mask, softcap: 5 }),
  "fewer keys than causal rows": (q, k, v) =>
    scaledDotProductAttention(q, k.slice(null, null, [0, 12]), v.slice(null, null, [0, 12]), {
      isCausal: true,
    }),
  "fewer keys, and a window": (q, k, v) =>
    scaledDotProductAttention(q, k.slice(null, null, [0, 12]), v.slice(null, null, [0, 12]), {
      isCausal: true,
      window: 3,
    }),
  "what follows and precedes": (q, k, v, mask) =>
    scaledDotProductAttention(q.mul(0.5), k.tanh(), v, { attnMask: mask }).mul(2).add(q).gelu(),
  "softmax": (q, k, v, mask) => matmul(softmax(scoresOf(q, k).add(mask), -1), v),
  "softmax in primitives": (q, k, v, mask) => matmul(primitives(scoresOf(q, k).add(mask)), v),
  "softmax, with nothing where nothing is seen": (q, k, v, mask) => {
    const scores = scoresOf(q, k).add(mask), seen = gt(amax(scores, -1, true), -Infinity);
    return matmul(where(seen, softmax(where(seen, scores, 0), -1), 0), v);
  },
  "logarithms": (q, k, _, mask) => {
    const scores = scoresOf(q, k).add(mask);
    return logSoftmax(scores, -1).add(logsumexp(scores, -1, true));
  },
  "losses": (q, k, _, mask) =>
    crossEntropy(
      scoresOf(q, k).add(mask).reshape(-1, rows),
      tensor(Array.from({ length: 2 * rows }, (_, i) => i % rows), { dtype: "i32", device: q.device }),
      { reduction: "none" },
    ),
};

/** Masks: nothing hidden; a causal one; one with rows that see nothing; nothing seen at all. */
function masks(device: DeviceName): Tensor[] {
  const of = (sees: (i: number, j: number) => boolean): Tensor =>
    tensor(
      Array.from({ length: rows * rows }, (_, at) => sees(Math.floor(at / rows), at % rows) ? 0 : -Infinity),
      {
        shape: [rows, rows],
        device,
      },
    );
  return [
    of(() => true),
    of((i, j) => j <= i),
    of((i, j) => i % 3 > 0 && j <= i),
    full([rows, rows], -Infinity, { device }),
    of((i, j) => i > 4 && j === i),
  ];
}

function assertAlike(found: number[], expected: number[], what: string): void {
  assert(found.length === expected.length, what);
  found.forEach((x, i) => {
    const y = expected[i],
      isAlike = Object.is(x, y) || x === y || Math.abs(x - y) <= 2e-5 + 1e-4 * Math.abs(y);
    assert(isAlike, `${what}: element ${i} is ${x} instead of ${y}`);
  });
}

describe("windows that see nothing, compiled", () => {
  eachDevice((device) => {
    for (const [name, f] of Object.entries(functions)) {
      it(`${name}: values and gradients`, async () => {
        using forward = compile(f);
        const back: (...args: Parameters<Attention>) => Tensor[] = (q, k, v, mask) => {
          const own = [q, k, v].map((t) => t.detach().requiresGrad_(true)), [x, y, z] = own;
          f(x, y, z, mask).sum().backward();
          return own.map((t) => t.grad ? t.grad.mul(1) : t.detach().mul(0));
        };
        using backward = compile(back);
        let nothing = 0;
        for (const [call, mask] of masks(device).entries()) {
          const [q, k, v] = [0, 1, 2].map((i) => randn([1, 2, rows, width], { seed: 3 * call + i, device }));
          const expected = await numbersOf(noGrad(() => f(q, k, v, mask)));
          if (expected.some((x) => !Number.isFinite(x))) nothing++;
          assertAlike(await numbersOf(noGrad(() => forward(q, k, v, mask))), expected, `mask ${call}`);
          const gradients = back(q, k, v, mask), found = backward(q, k, v, mask);
          for (const [i, g] of gradients.entries()) {
            assertAlike(await numbersOf(found[i]), await numbersOf(g), `mask ${call}, gradient ${i}`);
          }
        }
        assert(nothing > 0 || name.includes("where nothing"), "no result shows that a row saw nothing");
        assert(forward.traces === 1 && backward.traces === 1);
      });
    }
  }, onWebGpu);
});
