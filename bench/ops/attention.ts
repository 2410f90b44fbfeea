/**
 * Causal attention of 12 heads of 64, without a matrix of scores, beside softmax(QKᵀ)V.
 *
 * @module
 */
import {
  add,
  full,
  matmul,
  mul,
  noGrad,
  randn,
  scaledDotProductAttention,
  softmax,
  type Tensor,
  tidy,
  transpose,
  triu,
} from "../../mod.ts";
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const heads = 12, each = 64;
  const times = bench.settings.quick ? [256, 1024] : [256, 1024, 4096];
  for (const time of times) {
    const [q, k, v] = Array.from({ length: 3 }, () => randn([1, heads, time, each]));
    const mask = noGrad(() => tidy(() => triu(full([time, time], -1e9), 1)));
    const naive = (): Tensor => {
      const scores = add(mul(matmul(q, transpose(k, -2, -1)), 1 / Math.sqrt(each)), mask);
      return matmul(softmax(scores, -1), v);
    };
    yield {
      name: `forward, ${time} positions`,
      unit: "GFLOP/s",
      // Two products over the half of the scores that is seen.
      amount: 2 * 2 * heads * each * time * (time + 1) / 2 / 1e9,
      subjects: [
        {
          name: "WebAssembly",
          before: () => bench.useBlas(false),
          run: () => noGrad(() => tidy(() => void scaledDotProductAttention(q, k, v, { isCausal: true }))),
          limit: bench.peak(),
        },
        { name: "softmax(QKᵀ)V", run: () => noGrad(() => tidy(() => void naive())) },
      ],
      pairs: [{ fast: "WebAssembly", slow: "softmax(QKᵀ)V", least: 1 }],
    };
    bench.useBlas(true);
    for (const t of [q, k, v, mask]) t.dispose();
  }
  for (const time of times.filter((time) => time <= 1024)) {
    const [q, k, v] = Array.from({ length: 3 }, () => randn([1, heads, time, each], { requiresGrad: true }));
    yield {
      name: `forward and backward, ${time} positions`,
      unit: "GFLOP/s",
      // The gradient takes five products, one of them again for the scores.
      amount: 2 * 7 * heads * each * time * (time + 1) / 2 / 1e9,
      subjects: [{
        name: "WebAssembly",
        run: () => {
          tidy(() => scaledDotProductAttention(q, k, v, { isCausal: true }).sum().backward());
          for (const t of [q, k, v]) {
            t.grad?.dispose();
            t.grad = null;
          }
        },
        limit: bench.peak(),
      }],
    };
    for (const t of [q, k, v]) t.dispose();
  }
}

/** Attention. */
export const group: Group = { name: "causal attention, 12 heads of 64", rows };
