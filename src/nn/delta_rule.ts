/**
 * The gated delta rule (Yang et al. 2024, "Gated Delta Networks"): a matrix that is read and written by keys.
 *
 *     S ← decay · S;    S ← S + k ⊗ β (v − kᵀS);    o = qᵀS
 *
 * What a key held is replaced, by the part β, with what it is to hold, and all fades by the decay. Where bits count, positions are
 * taken one after the other in the same operations, however many there are: so a text gives the same in one piece and step by step.
 * Else many are taken in chunks: what the positions of one write depends on what those before it in the chunk wrote, which is a
 * triangular system, and on the matrix before the chunk (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule").
 *
 * @module
 */
import {
  add,
  concat,
  cumsum,
  exp,
  full,
  log,
  matmul,
  maximum,
  mul,
  neg,
  pad,
  permute,
  reshape,
  slice,
  sub,
  type Tensor,
  transpose,
  tril,
  unsqueeze,
  where,
  zeros,
} from "../ops/mod.ts";

/** What positions do to the matrices; [batch, time, heads, ..]. */
export interface DeltaSteps {
  /** [batch, time, heads, keyWidth]. */
  readonly q: Tensor;
  /** [batch, time, heads, keyWidth]. */
  readonly k: Tensor;
  /** [batch, time, heads, valueWidth]. */
  readonly v: Tensor;
  /** What the matrix is multiplied by first, [batch, time, heads], 0 to 1. */
  readonly decay: Tensor;
  /** How much of what a key held is replaced, [batch, time, heads]. */
  readonly beta: Tensor;
}

/** What is read, [batch, time, heads, valueWidth], and the matrices behind the last position, [batch, heads, keyWidth, valueWidth]. */
export interface DeltaResult {
  /** What is read. */
  readonly out: Tensor;
  /** The matrices behind the last position. */
  readonly state: Tensor;
}

/** Positions of a chunk, and fewer than these are taken one by one. */
const chunkSize = 32, leastInChunks = 8;

/** The rule, on matrices that hold `before` (null: nothing). */
export function gatedDeltaRule(steps: DeltaSteps, before: Tensor | null): DeltaResult {
  const { k: { backend, shape: [, time] } } = steps;
  const isExact = backend.name === "reference" || backend.arithmetic === "deterministic";
  if (time < leastInChunks || isExact) return deltaScan(steps, before);
  let size = leastInChunks;
  while (size < time && size < chunkSize) size *= 2;
  return deltaChunks(steps, before, size);
}

/** Position by position. */
export function deltaScan({ q, k, v, decay, beta }: DeltaSteps, before: Tensor | null): DeltaResult {
  const [batch, time, heads, keys] = k.shape, values = v.shape[3];
  let state = before ?? zeros([batch, heads, keys, values], { device: v.device, dtype: v.dtype });
  const out: Tensor[] = [];
  for (let t = 0; t < time; t++) {
    const at = (x: Tensor): Tensor => reshape(slice(x, null, t), [batch, heads, 1, x.shape[3] ?? 1]);
    const key = at(k), faded = mul(state, at(decay));
    const written = mul(sub(at(v), matmul(key, faded)), at(beta)); // [batch, heads, 1, valueWidth]
    state = add(faded, mul(transpose(key, 2, 3), written));
    out.push(reshape(matmul(at(q), state), [batch, 1, heads, values]));
  }
  return { out: out.length === 1 ? out[0] : concat(out, 1), state };
}

/** A decay below which nothing is left: its logarithm is a number. */
const leastDecay = 1e-30;

/** The same in chunks of `size` positions, a power of two. */
export function deltaChunks(
  { q, k, v, decay, beta }: DeltaSteps,
  before: Tensor | null,
  size: number,
): DeltaResult {
  const [batch, time, heads, keys] = k.shape, values = v.shape[3], chunks = Math.ceil(time / size);
  const missing = chunks * size - time;
  /** [batch, time, heads, ..] → [batch, heads, chunks, size, ..]; positions behind the last write nothing, and nothing fades. */
  const inChunks = (x: Tensor, value = 0): Tensor => {
    const wide = x.shape.length === 4, border = [...wide ? [0, 0] : [], 0, 0, 0, missing];
    const all = missing > 0 ? pad(x, border, { value }) : x, last = wide ? [x.shape[3]] : [];
    const parts = reshape(all, [batch, chunks, size, heads, ...last]);
    return permute(parts, wide ? [0, 3, 1, 2, 4] : [0, 3, 1, 2]);
  };
  const read = inChunks(q), key = inChunks(k), b = unsqueeze(inChunks(beta), 4);
  const rate = log(maximum(inChunks(decay, 1), leastDecay)); // [batch, heads, chunks, size]
  const since = exp(sums(rate, size)); // what is left at i of what was written at j
  const left = unsqueeze(exp(cumsum(rate, 3)), 4); // at i of what was there before
  const kept = transpose(slice(since, null, null, null, [size - 1, size]), 3, 4); // behind all, of what was written at j
  const turned = transpose(key, 3, 4), written = mul(key, b);
  const solve = unitInverse(reshape(tril(mul(matmul(written, turned), since), -1), [-1, size, size]));
  const inverse = reshape(solve, [batch, heads, chunks, size, size]);
  const fresh = matmul(inverse, mul(inChunks(v), b)); // as if there had been nothing before
  const old = matmul(inverse, mul(written, left)); // what of the matrix before is replaced
  const seen = tril(mul(matmul(read, turned), since)), far = mul(read, left), near = mul(key, kept);
  let state = before ?? zeros([batch, heads, keys, values], { device: v.device, dtype: v.dtype });
  const out: Tensor[] = [];
  for (let i = 0; i < chunks; i++) {
    const at = (x: Tensor): Tensor => slice(x, null, null, i);
    const change = sub(at(fresh), matmul(at(old), state)); // [batch, heads, size, valueWidth]
    out.push(add(matmul(at(far), state), matmul(at(seen), change)));
    const fading = slice(at(left), null, null, [size - 1, size]); // [batch, heads, 1, 1]
    state = add(mul(state, fading), matmul(transpose(at(near), 2, 3), change));
  }
  const all = transpose(out.length === 1 ? out[0] : concat(out, 2), 1, 2);
  return { out: missing > 0 ? slice(all, null, [0, time]) : all, state };
}

/** Σ x[t] over j < t ≤ i, [.., i, j], for x [.., size]; −∞ where j > i. Added up each by itself: differences of long sums are not exact. */
function sums(x: Tensor, size: number): Tensor {
  const place = { device: x.device };
  const below = tril(full([size, size], 1, { ...place, dtype: "bool" }), -1); // [t, j]: j < t
  const each = cumsum(where(below, unsqueeze(x, -1), 0), -2);
  return where(tril(full([size, size], 1, { ...place, dtype: "bool" })), each, -Infinity);
}

/** (1 + L)⁻¹ of strictly lower triangular matrices L [count, size, size], by halves: no power of L grows on the way. */
function unitInverse(lower: Tensor): Tensor {
  const [count, size] = lower.shape, half = size / 2, { device, dtype } = lower;
  if (size === 1) return full([count, 1, 1], 1, { device, dtype });
  const part = (row: number, column: number): Tensor =>
    slice(lower, null, [row * half, (row + 1) * half], [column * half, (column + 1) * half]);
  const both = unitInverse(concat([part(0, 0), part(1, 1)], 0));
  const first = slice(both, [0, count]), second = slice(both, [count, 2 * count]);
  const below = neg(half === 1 ? part(1, 0) : matmul(matmul(second, part(1, 0)), first));
  const above = zeros([count, half, half], { device, dtype });
  return concat([concat([first, above], 2), concat([below, second], 2)], 1);
}
